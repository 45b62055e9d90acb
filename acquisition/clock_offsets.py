"""The measured clock offsets of one stream, smoothed causally, in epochs between clock resets."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

#: Offsets or times that jump by more than this mean that a clock was reset, not that it drifted.
RESET_S = 1.0
_N_SMOOTHED = 7  # offsets in the running median
_N_KEPT = 100_000


class OffsetTrack:
    """Tells which offset was in force at a stamp: LSL time = raw stamp + offset."""

    def __init__(self) -> None:
        self._epochs: list[_Epoch] = []
        self._epoch = 0

    def add(self, raw_time: float, offset_s: float) -> None:
        """Take a measurement made when the sender's clock showed ``raw_time``."""
        if not self._epochs or self._is_reset(raw_time, offset_s):
            self._epochs.append(_Epoch())
        self._epochs[-1].add(raw_time, offset_s)

    def _is_reset(self, raw_time: float, offset_s: float) -> bool:
        epoch = self._epochs[-1]
        return raw_time < epoch.raw_times[-1] - RESET_S or abs(offset_s - epoch.newest[-1]) > RESET_S

    def in_force(self, stamps: NDArray[np.float64], last: float) -> NDArray[np.float64]:
        """Return the offset in force at each stamp, switching epochs where the clock was reset.

        ``last`` is the LSL time of the sample before the first, or NaN.
        """
        offsets = self._in_epoch(self._epoch, stamps)
        times = stamps + offsets
        start = 0
        while self._epoch + 1 < len(self._epochs) and start < len(stamps):
            steps = np.diff(times[start:], prepend=last if start == 0 else times[start - 1])
            jumps = np.flatnonzero(np.abs(steps) > RESET_S)
            if np.isnan(last) and start == 0:
                jumps = self._first_sample_fits_better(stamps, times)
            if len(jumps) == 0:
                break
            at = start + int(jumps[0])
            other = self._in_epoch(self._epoch + 1, stamps[at:])
            before = times[at - 1] if at > 0 else last
            if np.isnan(before) or abs(stamps[at] + other[0] - before) < abs(times[at] - before):
                self._epoch += 1
                offsets[at:] = other
                times[at:] = stamps[at:] + other
            start = at + 1
        return offsets

    def _first_sample_fits_better(
        self, stamps: NDArray[np.float64], times: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Return [0] where a stream that starts after a reset belongs to the next epoch."""
        here = np.array(self._epochs[self._epoch].raw_times)
        following = np.array(self._epochs[self._epoch + 1].raw_times)
        nearer = np.abs(following - stamps[0]).min() < np.abs(here - stamps[0]).min()
        if nearer:
            return np.array([0])
        steps = np.diff(times)
        return np.flatnonzero(np.abs(steps) > RESET_S) + 1

    def _in_epoch(self, epoch: int, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self._epochs:
            return np.zeros(len(stamps))
        return self._epochs[epoch].at(stamps)


class _Epoch:
    """Offsets between two clock resets: a running median over the last few, so that it stays causal."""

    def __init__(self) -> None:
        self.newest: deque[float] = deque(maxlen=_N_SMOOTHED)  # offsets as measured
        self.raw_times: list[float] = []
        self.medians: list[float] = []
        self._arrays: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def add(self, raw_time: float, offset_s: float) -> None:
        self.newest.append(offset_s)
        self.raw_times.append(raw_time)
        self.medians.append(float(np.median(self.newest)))
        self._arrays = None
        # Six days of measurements; a file gives all of its offsets before its first sample.
        del self.raw_times[:-_N_KEPT], self.medians[:-_N_KEPT]

    def at(self, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the offset in force at each stamp; before the first measurement, the first."""
        if self._arrays is None:
            self._arrays = (np.array(self.raw_times), np.array(self.medians))
        raw_times, medians = self._arrays
        at = np.searchsorted(raw_times, stamps, side="right") - 1
        return medians[np.maximum(at, 0)]
