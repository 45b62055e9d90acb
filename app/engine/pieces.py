"""Samples to bins of equal length on the LSL clock, in pieces of any size and always with the same result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.timebase import agrees
from acquisition.types import Chunk

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


_RATE_OVER_S = 1.0  # unbroken samples a rate is measured over
_PATIENCE_S = 10.0  # after which any rate has to do


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive samples; ``breaks`` lists positions of samples that do not continue the one before."""

    data: NDArray[np.floating]  # (n, C)
    times: NDArray[np.float64]  # (n,)
    breaks: tuple[int, ...] = ()

    def runs(self) -> Iterator[tuple[bool, Piece]]:
        """Give the parts without a break inside, each with whether it begins with one."""
        edges = sorted({0, *self.breaks, len(self.times)})
        for start, stop in pairwise(edges):
            yield start in self.breaks, self.part(start, stop)

    def part(self, start: int, stop: int) -> Piece:
        """Return samples start..stop-1."""
        breaks = tuple(at - start for at in self.breaks if start <= at < stop)
        return Piece(self.data[start:stop], self.times[start:stop], breaks)


def joined(chunks: list[Chunk]) -> Piece:
    """Return the samples of consecutive chunks of one signal stream."""
    breaks: list[int] = []
    n = 0
    for chunk in chunks:
        breaks += [n + at for at in chunk.breaks]
        n += len(chunk.times)
    if len(chunks) == 1:
        return Piece(np.asarray(chunks[0].data), chunks[0].times, tuple(breaks))
    data: list[Any] = [chunk.data for chunk in chunks]
    return Piece(np.concatenate(data), np.concatenate([chunk.times for chunk in chunks]), tuple(breaks))


class RateGate:
    """Holds samples back until the stream's rate is known, for filters depend on it.

    Parameters
    ----------
    nominal : float
        Hz; 0 where the stream states none. It is never trusted, only preferred where it fits.
    """

    def __init__(self, nominal: float) -> None:
        self.sfreq = 0.0  # Hz, once known
        self._nominal = nominal
        self._held: Piece | None = None

    def pass_on(self, piece: Piece) -> Piece | None:
        """Return the samples, with those held back before them; None while the rate is not known."""
        if self.sfreq > 0:
            return piece
        held = self._held
        if held is not None:
            breaks = (*held.breaks, *(at + len(held.times) for at in piece.breaks))
            data, times = np.concatenate([held.data, piece.data]), np.concatenate([held.times, piece.times])
            piece = Piece(data, times, breaks)
        self.sfreq = self._measure(piece)
        self._held = None if self.sfreq > 0 else piece
        return piece if self.sfreq > 0 else None

    def _measure(self, piece: Piece) -> float:
        for _, run in piece.runs():
            # The first sample that is far enough, not the newest: the answer depends on no chunk's size.
            n = int(np.searchsorted(run.times, run.times[0] + _RATE_OVER_S))
            if n < len(run.times) and n > 1:
                measured = n / float(run.times[n] - run.times[0])
                return self._nominal if agrees(measured, self._nominal) else measured
        span = float(piece.times[-1] - piece.times[0])
        if span > _PATIENCE_S:  # it breaks off all the time
            return self._nominal or len(piece.times) / span
        return 0.0
