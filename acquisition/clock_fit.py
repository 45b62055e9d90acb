"""What is fitted to a sender's stamps: the offset between two clocks, and the line of a regular stream."""

from __future__ import annotations

from collections import deque
from copy import copy

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
        return np.flatnonzero(np.abs(np.diff(times)) > RESET_S) + 1

    def _in_epoch(self, epoch: int, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._epochs[epoch].at(stamps) if self._epochs else np.zeros(len(stamps))


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


#: A measured rate this close to the nominal one is the nominal one.
RATE_TOLERANCE = 0.02


def agrees(measured: float, nominal: float) -> bool:
    """Tell whether a stream runs at the rate (Hz) it states; one that states none agrees with nothing."""
    return nominal > 0 and abs(measured / nominal - 1) <= RATE_TOLERANCE


_BLOCK_S = 0.25  # how often the line is corrected
_FIRST_MEMORY = 4  # blocks of trust in the nominal rate
_LONGEST_MEMORY = 120  # blocks, 30 s: afterwards the line follows slow drift


class SampleLine:
    """Counts samples along a line kept on the stamps by an alpha-beta filter with growing memory.

    The gains are those of a least-squares line over the blocks seen so far (growing-memory
    alpha-beta filter), capped so that the memory never exceeds `_LONGEST_MEMORY` blocks.
    """

    def __init__(self, nominal_sfreq: float) -> None:
        self._period = 1.0 / nominal_sfreq
        self._n_block = max(1, round(_BLOCK_S * nominal_sfreq))
        self._n_memory = _FIRST_MEMORY
        self._t_start = float("nan")  # line time of the running block's first sample
        self._errors: list[NDArray[np.float64]] = []  # stamps minus line in the running block
        self._n_in_block = 0

    def copy(self) -> SampleLine:
        """Return a line that continues from here as this one would."""
        other = copy(self)
        other._errors = list(self._errors)
        return other

    def follow(
        self, placed: NDArray[np.float64], max_gap_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[tuple[int, float, float]]]:
        """Return line times, break flags and (position, start time, period) of each new line piece."""
        n_samples = len(placed)
        times = np.empty(n_samples)
        breaks = np.zeros(n_samples, dtype=bool)
        starts: list[tuple[int, float, float]] = []
        at = 0
        while at < n_samples:
            if self._n_in_block == 0:
                if np.isnan(self._t_start):
                    self._t_start = float(placed[at])
                    breaks[at] = True
                starts.append((at, self._t_start, self._period))
            end = min(n_samples, at + self._n_block - self._n_in_block)
            counts = np.arange(self._n_in_block, self._n_in_block + end - at)
            line = self._t_start + counts * self._period
            errors = placed[at:end] - line
            astray = np.flatnonzero((errors > max_gap_s) | (errors < -RESET_S))
            if len(astray):
                end = at + int(astray[0])
                line, errors = line[: astray[0]], errors[: astray[0]]
            times[at:end] = line
            self._errors.append(errors)
            self._n_in_block += end - at
            at = end
            if len(astray):
                self._begin_after_gap(float(placed[at]))
                breaks[at] = True
            elif self._n_in_block == self._n_block:
                self._correct()
        return times, breaks, starts

    def _begin_after_gap(self, time: float) -> None:
        """Start a new piece at ``time``; unlearn the rate if not one block ever fitted it."""
        if self._n_memory == _FIRST_MEMORY and self._n_in_block > 4:
            measured = (time - self._t_start) / self._n_in_block
            if 0 < measured < 100 * self._period and not 0.8 < measured / self._period < 1.25:
                self._period = measured
                self._n_block = max(1, round(_BLOCK_S / measured))
        self._t_start = time
        self._n_in_block = 0
        self._errors = []

    def _correct(self) -> None:
        """Move the line by the block's mean error, and its slope by the share that repeats."""
        n = self._n_memory
        alpha = 2 * (2 * n - 1) / (n * (n + 1))
        beta = 6 / (n * (n + 1))
        error = float(np.concatenate(self._errors).mean())
        t_next = self._t_start + self._n_block * self._period + alpha * error
        newest = self._t_start + (self._n_block - 1) * self._period
        # Late stamps that were caught up later must not turn time back.
        self._t_start = max(t_next, newest + 0.25 * self._period)
        self._period *= 1 + min(max(beta * error / (self._n_block * self._period), -0.2), 0.2)
        self._n_memory = min(n + 1, _LONGEST_MEMORY)
        self._n_in_block = 0
        self._errors = []
