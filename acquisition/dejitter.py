"""Even sample times from uneven stamps, causally."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from acquisition.clock_offsets import RESET_S

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
        """Return a line that goes on from here as this one would."""
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
