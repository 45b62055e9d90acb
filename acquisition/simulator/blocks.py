"""Turns a signal made in blocks of its own size into pieces of any size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class BlockBuffer:
    """Hands out consecutive samples of an endless iterator of (n_samples, n_channels) blocks.

    The blocks' sizes never depend on what is asked for, so neither do the samples.
    """

    def __init__(self, blocks: Iterator[NDArray[np.float64]]) -> None:
        self._blocks = blocks
        self._held: list[NDArray[np.float64]] = []
        self.n_held = 0

    def fill(self, n_samples: int) -> bool:
        """Make one block if fewer samples are held, and say whether one was made."""
        if self.n_held >= n_samples:
            return False
        block = next(self._blocks)
        self._held.append(block)
        self.n_held += len(block)
        return True

    def take(self, n_samples: int) -> NDArray[np.float64]:
        """Return the next samples, (n_samples, n_channels)."""
        while self.fill(n_samples):
            pass
        joined = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held = [joined[n_samples:]]
        self.n_held -= n_samples
        return joined[:n_samples].copy()
