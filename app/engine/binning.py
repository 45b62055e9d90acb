"""Samples to bins of equal length on the LSL clock, in pieces of any size and always with the same result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.engine.pieces import Piece

#: Stamps that should lie on a bin's edge stray by rounding.
_EDGE = 1e-6


class BinSplitter:
    """Cuts a stream into whole bins; the samples of the bin that is still open are held back.

    Parameters
    ----------
    bin_s : float
        Length of a bin, seconds.
    """

    def __init__(self, bin_s: float) -> None:
        self.bin_s = bin_s
        self._open: Piece | None = None

    def split(self, piece: Piece) -> tuple[Piece, NDArray[np.int64], NDArray[np.intp]] | None:
        """Add samples; return those of whole bins, their bins (n,), and where each bin starts (n,)."""
        if self._open is not None:
            n = len(self._open.times)
            breaks = (*self._open.breaks, *(at + n for at in piece.breaks))
            data = np.concatenate([self._open.data, piece.data])
            piece = Piece(data, np.concatenate([self._open.times, piece.times]), breaks)
        bins = np.floor(piece.times / self.bin_s + _EDGE).astype(np.int64)
        changes = np.flatnonzero(np.diff(bins)) + 1
        end = int(changes[-1]) if len(changes) else 0
        self._open = piece.part(end, len(bins))
        if end == 0:
            return None
        starts = np.concatenate([[0], changes[:-1]]).astype(np.intp)
        return piece.part(0, end), bins[starts], starts
