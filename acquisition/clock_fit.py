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


def steps_of(times: NDArray[np.float64], last: float) -> NDArray[np.float64]:
    """Return the steps (n,) to each of ``times`` (n,), the first from ``last``; faster than `np.diff`."""
    steps = np.empty(len(times))
    steps[0] = times[0] - last
    np.subtract(times[1:], times[:-1], out=steps[1:])
    return steps


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


#: A forward leap of stamps up to this is a pause; no session pauses for longer.
LONGEST_PAUSE_S = 3600.0
_N_SHIFTS = 8


class Leaps:
    """Undoes leaps of a sender's clock: what comes later in a stream was sampled later.

    Stamps that fall back while samples go on are continued, as are those that leap further ahead than any
    pause lasts; a shift ends where the stamps come back to an earlier clock. A leap ahead of up to an hour is
    taken for a pause; if the stamps return from it, the samples until time has caught up cannot be placed.
    """

    def __init__(self, period_s: float, max_gap_s: float) -> None:
        self.shift_s = 0.0
        self._shifts: tuple[float, ...] = (0.0,)  # of the clocks seen so far
        self.step_s, self._max_gap_s, self._is_regular = period_s, max_gap_s, period_s > 0
        self._last = self._before_pause = float("nan")  # unshifted; shifted

    def follow(
        self, placed: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64] | None, list[tuple[int, float]]]:
        """Return shifts (n,) in seconds, and (position, leap in seconds) wherever the stamps leapt.

        None stands for no shift at all.
        """
        steps = steps_of(placed, self._last)
        leapt = np.flatnonzero(np.abs(steps) > RESET_S).tolist()
        shifts = np.full(len(placed), self.shift_s) if leapt or self.shift_s else None
        leaps = []
        for at in leapt:
            self._take_step(steps[:at])
            last = placed[at] - steps[at] + self.shift_s
            self._leap(float(placed[at]), float(last), self.step_s)
            assert shifts is not None
            shifts[at:] = self.shift_s
            leaps.append((at, float(steps[at])))
        self._take_step(steps)
        self._last = float(placed[-1])
        return shifts, leaps

    def _take_step(self, steps: NDArray[np.float64]) -> None:
        """Let an irregular stream's period be its newest step forward that is no leap."""
        if not self._is_regular:
            self.step_s = next((float(s) for s in steps[::-1] if 0 < s <= RESET_S), self.step_s)

    def _leap(self, stamp: float, last: float, step_s: float) -> None:
        expected = last + step_s
        for known in self._shifts:
            if abs(stamp + known - expected) <= self._max_gap_s:
                self.shift_s = known
                return
        ahead_s = stamp + self.shift_s - last
        if 0 <= ahead_s <= LONGEST_PAUSE_S:
            self._before_pause = last
        elif ahead_s > 0 or not stamp + self.shift_s > self._before_pause:  # NaN compares False
            self.shift_s = expected - stamp
            self._shifts = (*self._shifts[-_N_SHIFTS + 1 :], self.shift_s)


class Spreader:
    """Spreads the equal stamps of whole chunks by the rate of the chunks before, once four have shown it."""

    def __init__(self) -> None:
        self.n_spread = 0
        self._stamp = float("nan")
        self._n = 0  # samples of that stamp so far
        self._chunks: deque[tuple[int, float]] = deque(maxlen=4)  # samples and seconds to the next stamp
        self._newest = float("nan")

    def copy(self) -> Spreader:
        """Return one that goes on from here as this one would."""
        other = copy(self)
        other._chunks = copy(self._chunks)
        return other

    def spread(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return times (n,), with ties left where the rate is not known."""
        steps = steps_of(times, self._stamp)
        if self._n <= 1 and not self._chunks and not (steps == 0).any():
            self._stamp, self._n, self._newest = float(times[-1]), 1, float(times[-1])
            return times
        out = times.copy()
        for at, (time, step) in enumerate(zip(times.tolist(), steps.tolist(), strict=True)):
            if step != 0:
                if step > 0 and (self._n > 1 or self._chunks):
                    self._chunks.append((self._n, step))
                    if all(n == 1 for n, _ in self._chunks) and len(self._chunks) == 4:
                        self._chunks.clear()
                self._n = 0
            self._stamp = time
            sizes = sorted(n for n, _ in self._chunks)
            if len(sizes) == 4 and sizes[1] > 1:
                period_s = sorted(seconds / n for n, seconds in self._chunks)[1]
                # A chunk's stamp is that of its last sample, as `push_chunk` writes it.
                placed = time + (self._n + 1 - sizes[1]) * period_s
                out[at] = max(placed, self._newest + 0.25 * period_s)
                self.n_spread += step == 0
            self._newest = float(out[at])
            self._n += 1
        return out


_BLOCK_S = 0.25  # how often the line is corrected
_FIRST_MEMORY = 4  # blocks of trust in the nominal rate
_LONGEST_MEMORY = 120  # blocks, 30 s: afterwards the line follows slow drift


_N_SOUND = 8  # blocks, 2 s: what is older is not of a transient that has just begun
_N_POINTS = 240  # blocks, a minute: the line that tells the rate when stamps depart
_RELEARN_S = 10.0  # a departure without a hole that lasts longer is another rate


class SampleLine:
    """Counts samples along a line kept on the stamps by an alpha-beta filter with growing memory.

    The gains are those of a least-squares line over the blocks seen so far (growing-memory
    alpha-beta filter), capped so that the memory never exceeds `_LONGEST_MEMORY` blocks.

    Stamps that depart from the line by more than the longest gap (a radio that stalls and refills) teach it
    nothing: until they are steady again, each block starts anew on its stamps with the rate of before.
    """

    def __init__(self, nominal_sfreq: float) -> None:
        self._period = self._step = 1.0 / nominal_sfreq  # of the rate, and of the running block
        self._n_block = max(1, round(_BLOCK_S * nominal_sfreq))
        self._n_memory = _FIRST_MEMORY
        self._t_start = float("nan")  # line time of the running block's first sample
        self._errors: list[NDArray[np.float64]] = []  # stamps minus line in the running block
        self._n_in_block = 0
        self._points: deque[tuple[float, float]] = deque(maxlen=_N_POINTS)  # count, stamp of blocks' middles
        self._n_seen = 0
        self._known = self._period  # the last rate that was certain, at first the nominal one
        self._trusted: float | None = None  # the period of before a departure, until it is over
        self._n_quiet = self._n_departed = 0  # blocks that fit again; samples since the departure
        self._must_break = False
        self._last_placed = float("nan")
        self._n_dense = 0  # samples that follow each other too closely
        self._dense_from = float("nan")
        self.departures: list[
            tuple[float, int]
        ] = []  # (line time at the end, samples) of those that are over

    @property
    def step_s(self) -> float:
        """Seconds from sample to sample in the running block."""
        return self._step

    def copy(self) -> SampleLine:
        """Return a line that continues from here as this one would."""
        other = copy(self)
        other._errors, other._points, other.departures = list(self._errors), copy(self._points), []
        return other

    def follow(
        self, placed: NDArray[np.float64], max_gap_s: float, cuts: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[tuple[int, float, float]]]:
        """Return line times, break flags and (position, start time, period) of each new line piece.

        ``cuts`` (n,) are samples with which a new piece begins.
        """
        n_samples = len(placed)
        times = np.empty(n_samples)
        breaks = np.zeros(n_samples, dtype=bool)
        cuts = None if cuts is None or not cuts.any() else cuts.copy()
        starts: list[tuple[int, float, float]] = []
        at = 0
        while at < n_samples:
            if self._n_in_block == 0:
                if np.isnan(self._t_start):
                    self._t_start = float(placed[at])
                    breaks[at] = True
                breaks[at] |= self._must_break
                self._must_break = False
                starts.append((at, self._t_start, self._step))
            end = min(n_samples, at + self._n_block - self._n_in_block)
            counts = np.arange(self._n_in_block, self._n_in_block + end - at)
            line = self._t_start + counts * self._step
            stamps, runs = self._undense(placed[at:end], max_gap_s)
            errors = stamps - line
            is_astray = errors > max_gap_s
            if len(self._points) < 2 * _N_SOUND:
                is_astray |= errors < -RESET_S
            if cuts is not None:
                is_astray |= cuts[at:end]
            astray = np.flatnonzero(is_astray)
            if len(astray):
                end = at + int(astray[0])
                line, errors = line[: astray[0]], errors[: astray[0]]
            times[at:end] = line
            self._errors.append(errors)
            self._n_in_block += end - at
            self._n_departed += end - at
            self._n_seen += end - at
            if end > at:
                self._note_dense(placed[at:end], runs, max_gap_s)
            if len(astray):
                is_hole = placed[end] - self._last_placed > max_gap_s
                if cuts is not None:
                    is_hole, cuts[end] = is_hole or cuts[end], False
                self._begin_after_gap(float(stamps[astray[0]]), bool(is_hole))
                breaks[end] = True
            elif self._n_in_block == self._n_block:
                self._correct(max_gap_s)
            at = end
        return times, breaks, starts

    # A buffer stamped too densely, or with one stamp, and then a hole: its first stamps count.

    def _n_trusted_dense(self, max_gap_s: float) -> int:
        return max(2, int(self._n_block * max_gap_s / 8 / _BLOCK_S))

    def _undense(
        self, placed: NDArray[np.float64], max_gap_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.intp] | None]:
        """Return stamps with long dense runs counted on, and each sample's place in its run (or None)."""
        steps = steps_of(placed, self._last_placed)
        is_dense = (steps >= 0) & (steps < 0.5 * self._period)
        if not is_dense.any():
            return placed, None
        at = np.arange(len(placed))
        begin = np.maximum.accumulate(np.where(is_dense, -1 - self._n_dense, at))
        runs = at - begin
        n_trusted = self._n_trusted_dense(max_gap_s)
        beyond = runs > n_trusted
        if not beyond.any():
            return placed, runs
        first = begin + n_trusted
        bases = np.where(first >= 0, placed[np.clip(first, 0, len(placed) - 1)], self._dense_from)
        return np.where(beyond, bases + (runs - n_trusted) * self._period, placed), runs

    def _note_dense(
        self, placed: NDArray[np.float64], runs: NDArray[np.intp] | None, max_gap_s: float
    ) -> None:
        n_trusted, last = self._n_trusted_dense(max_gap_s), len(placed) - 1
        self._last_placed = float(placed[last])
        if runs is None:
            self._n_dense = 0
            return
        if runs[last] >= n_trusted and (at := last - int(runs[last]) + n_trusted) >= 0:
            self._dense_from = float(placed[at])
        self._n_dense = int(runs[last])

    def _begin_after_gap(self, time: float, is_hole: bool) -> None:
        """Start a new piece at ``time``; unlearn the rate if not one block ever fitted it."""
        if self._n_memory == _FIRST_MEMORY and self._n_in_block > 4:
            measured = (time - self._t_start) / self._n_in_block
            if 0 < measured < 100 * self._period and not 0.8 < measured / self._period < 1.25:
                self._period = measured
                self._n_block = max(1, round(_BLOCK_S / measured))
        if self._n_in_block and len(self._points):
            self._note_point(float(np.concatenate(self._errors).mean()))
        if not is_hole:  # lost samples say nothing of the rate
            self._depart()
        elif time - self._last_placed > RESET_S:
            self._points.clear()
        self._start_block(time)

    def _note_point(self, error: float) -> float:
        """Keep the running block's middle for the rate, and return its stamp."""
        middle = self._t_start + (self._n_in_block - 1) / 2 * self._step + error
        self._points.append((self._n_seen - self._n_in_block / 2, middle))
        return middle

    def _start_block(self, time: float) -> None:
        self._t_start, self._step = time, self._period
        self._n_in_block, self._errors = 0, []

    def _depart(self) -> None:
        """Go back to the rate of the minute before; if the stamps do not come back, take theirs."""
        if self._trusted is None:
            if len(self._points) < 2 * _N_SOUND:
                return
            if len(self._points) >= 6 * _N_SOUND:  # a shorter line could be all transient
                self._known = self._slope(len(self._points) - _N_SOUND)
            self._trusted, self._n_departed = self._known, 0
        elif self._n_departed * self._period > _RELEARN_S:
            while len(self._points) > 2 * _N_SOUND:
                self._points.popleft()
            self._period = self._known = self._slope(len(self._points))
            self._trusted = None
            return
        self._period, self._n_quiet = self._trusted, 0

    def _slope(self, n_points: int) -> float:
        """Return the median period between points half of the row apart."""
        if n_points < 2:  # the others lie before a hole
            return self._period
        points, half = np.array(self._points)[:n_points], n_points // 2
        counts, stamps = (points[half:] - points[: len(points) - half]).T
        slope = float(np.median(stamps / counts))
        return slope if 0.2 < slope / self._period < 5 else self._period

    def _correct(self, max_gap_s: float) -> None:
        """Move the line by the block's mean error, and its slope by the share that repeats."""
        error = float(np.concatenate(self._errors).mean())
        newest = self._t_start + (self._n_block - 1) * self._step
        middle = self._note_point(error)
        if self._trusted is None and error < -max_gap_s:
            self._depart()
        if self._trusted is not None:
            if self._step != self._period or error < -max_gap_s / 2:
                self._catch_up(middle, newest)
                return
            self._n_quiet = self._n_quiet + 1 if error < max_gap_s / 2 else 0
        n = self._n_memory
        alpha = 2 * (2 * n - 1) / (n * (n + 1))
        beta = 6 / (n * (n + 1))
        t_next = self._t_start + self._n_block * self._period + alpha * error
        # Late stamps that were caught up later must not turn time back.
        t_next = max(t_next, newest + 0.25 * self._period)
        self._period *= 1 + min(max(beta * error / (self._n_block * self._period), -0.2), 0.2)
        self._n_memory = min(n + 1, _LONGEST_MEMORY)
        self._start_block(t_next)
        if self._trusted is not None and self._n_quiet == _N_SOUND:
            self.departures.append((t_next, self._n_departed - _N_SOUND * self._n_block))
            self._trusted = None

    def _catch_up(self, middle: float, newest: float) -> None:
        """Start anew on the block's stamps; where they lie in the past, with samples four times as dense."""
        self._depart()
        t_next = middle + (self._n_block + 1) / 2 * self._period
        self._start_block(max(t_next, newest + 0.25 * self._period))
        if self._t_start > t_next:
            self._step = 0.25 * self._period
        self._must_break = True
