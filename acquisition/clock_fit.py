"""What is fitted to a sender's stamps: the offset between two clocks, and the line of a regular stream."""

from __future__ import annotations

from collections import deque
from copy import copy
from statistics import median
from typing import TypeVar

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


_T = TypeVar("_T")


def forked(state: _T) -> _T:
    """Return a copy that goes on from here as ``state`` would: its lists are its own, its arrays shared."""
    other = copy(state)
    vars(other).update({name: copy(v) for name, v in vars(state).items() if isinstance(v, (list, deque))})
    return other


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
#: Stamps that fall back by more, or lie ahead of their arrival after a step of more, have leapt. Chosen: far
#: beyond jitter, and the shortest step that certain checks of a laboratory's clocks use is 0.5 s.
LEAP_S = 0.4
_SAME_S = LEAP_S / 2  # nearer ones are one clock; a sample this far ahead of its arrival is impossible
_N_SHIFTS = 8
_N_AGES = 250
_N_BACK = 32
_SCATTER_OF_STEPS = 8.0  # chosen: a step of this many times the mean step back is no jitter
_LEAST_BACK = 4  # steps back that tell the jitter; without it there are none
_CONFIRMED_S = 2.0  # a pause after which the stamps did not lie ahead of their arrival for so long was one


class Leaps:
    """Undoes leaps of a sender's clock: what comes later in a stream was sampled later, and before it came.

    Stamps that fall back while samples go on are continued, as are those that leap further ahead than any
    pause lasts; a shift ends where the stamps come back to an earlier clock. Stamps alone cannot tell a leap
    ahead of up to an hour from a pause: it is undone where the arrival shows that there was none. If it is
    not known and the stamps return, the samples until time has caught up cannot be placed.
    """

    def __init__(self, period_s: float) -> None:
        self.shift_s = 0.0
        self._shifts: tuple[float, ...] = (0.0,)  # of the clocks seen so far
        self.step_s, self._is_regular = period_s, period_s > 0
        self._last = self._before_pause = float("nan")  # unshifted; shifted
        self._back: deque[float] = deque(maxlen=_N_BACK)  # newest steps back that are no leaps, seconds
        self._ages: deque[float] = deque(maxlen=_N_AGES)  # seconds from the newest sample to its arrival
        self._arrival = float("nan")
        self._pause = (float("nan"), 0.0)  # when the newest one ended (arrival), and its seconds

    def follow(
        self, placed: NDArray[np.float64], arrival: float = float("nan")
    ) -> tuple[NDArray[np.float64] | None, list[tuple[int, float]]]:
        """Return shifts (n,) in seconds, and (position, leap in seconds) wherever the stamps leapt.

        None stands for no shift at all. ``arrival`` is when ``placed`` (n,) had come, NaN in a replay.
        """
        steps = steps_of(placed, self._last)
        is_live = arrival == arrival  # not NaN
        leapt = self._beyond_scatter(steps, (steps > (LEAP_S if is_live else RESET_S)) | (steps < -LEAP_S))
        latest = arrival - max(min(self._ages, default=0.0), -_SAME_S) + _SAME_S
        is_confirming = arrival - self._pause[0] < _CONFIRMED_S
        # A sender that was late and catches up is early only by what was usual, not by the clock.
        impossible = latest if is_confirming else max(latest, arrival + _SAME_S)
        is_ahead = float(placed[-1]) + self.shift_s > impossible and not leapt
        shifts = np.full(len(placed), self.shift_s) if leapt or self.shift_s or is_ahead else None
        leaps = []
        for at, end in zip(leapt, [*leapt[1:], len(placed)], strict=False):
            assert shifts is not None
            self._take_step(steps[:at])
            last = placed[at] - steps[at] + self.shift_s
            self._leap(float(placed[at]), float(last), float(placed[end - 1]), arrival, latest)
            shifts[at:] = self.shift_s
            leaps.append((at, float(steps[at])))
        if is_ahead:  # a pause that was none, or a clock that runs away
            assert shifts is not None
            usual_s = max(0.0, median(self._ages)) if self._ages else 0.0
            ahead_s = float(placed[-1]) + self.shift_s - arrival + usual_s
            by_s = self._pause[1] if is_confirming else ahead_s
            shifts -= by_s
            self._shift_to(self.shift_s - by_s)
            leaps.append((0, by_s))
        self._take_step(steps)
        self._last = float(placed[-1])
        if is_live:
            self._arrival = arrival
            self._ages.append(arrival - self._last - self.shift_s)
        return shifts, leaps

    def _beyond_scatter(self, steps: NDArray[np.float64], is_large: NDArray[np.bool_]) -> list[int]:
        """Return which of the large steps are larger than the scatter of the stamps explains."""
        leapt, n_taken = [], 0
        for at in np.flatnonzero(is_large).tolist():
            self._back.extend((-steps[n_taken:at][steps[n_taken:at] < 0]).tolist())
            n_taken = at
            scatter_s = sum(self._back) / len(self._back) if len(self._back) >= _LEAST_BACK else 0.0
            if abs(steps[at]) > _SCATTER_OF_STEPS * scatter_s:
                leapt.append(at)
                n_taken += 1
        self._back.extend((-steps[n_taken:][steps[n_taken:] < 0][-_N_BACK:]).tolist())
        return leapt

    def _take_step(self, steps: NDArray[np.float64]) -> None:
        """Let an irregular stream's period be its newest step forward that is no leap."""
        if not self._is_regular:
            self.step_s = next((float(s) for s in steps[::-1] if 0 < s <= RESET_S), self.step_s)

    def _leap(self, stamp: float, last: float, newest: float, arrival: float, latest: float) -> None:
        """Choose the shift from ``stamp`` to ``newest``; ``last`` is the time before, shifted."""
        expected = last + self.step_s
        if arrival - self._arrival - (newest - stamp) > LEAP_S:
            # Nothing was sent for a while: the arrival tells, not the count.
            expected = arrival - median(self._ages) - (newest - stamp)
        for known in self._shifts:
            if abs(stamp + known - expected) <= _SAME_S:
                self.shift_s = known
                return
        ahead_s = stamp + self.shift_s - last
        if 0 <= ahead_s <= LONGEST_PAUSE_S and not newest + self.shift_s > latest:  # NaN compares False
            self._before_pause = last
            self._pause = arrival, ahead_s - self.step_s
        elif ahead_s > 0 or latest == latest or not stamp + self.shift_s > self._before_pause:
            self._shift_to(expected - stamp)

    def _shift_to(self, shift_s: float) -> None:
        self.shift_s, self._pause = shift_s, (float("nan"), 0.0)
        self._shifts = (*self._shifts[-_N_SHIFTS + 1 :], shift_s)


class Spreader:
    """Spreads the equal stamps of whole chunks by the rate of the chunks before, once four have shown it."""

    def __init__(self) -> None:
        self.n_spread = 0
        self._stamp = float("nan")
        self._n = 0  # samples of that stamp so far
        self._chunks: deque[tuple[int, float]] = deque(maxlen=4)  # samples and seconds to the next stamp
        self._newest = float("nan")

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


class Repeats:
    """Finds samples of a regular stream that came before: they bear the very stamps of samples lately."""

    def __init__(self, sfreq: float) -> None:
        self._n_kept, self._most_s = max(2, round(LEAP_S * sfreq)), 1.5 / sfreq
        self._recent = np.empty(0)

    def find(self, stamps: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Return which of the next stamps (n,) are repeats; None if none can be."""
        seen, n_before = np.concatenate([self._recent, stamps]), len(self._recent)
        self._recent = seen[-self._n_kept :]
        highest = np.maximum.accumulate(seen)
        if not (seen[1:] <= highest[:-1])[max(0, n_before - 1) :].any():
            return None
        at, order = np.arange(len(seen)), np.argsort(seen, kind="stable")
        before = np.full(len(seen), -self._n_kept)  # where the same stamp was last
        is_same = seen[order[1:]] == seen[order[:-1]]
        before[order[1:][is_same]] = order[:-1][is_same]
        # A row of equal stamps may be that of a whole chunk: then the stamp before the row is further away.
        is_tie = np.concatenate([[False], seen[1:] == seen[:-1]])
        begun = np.maximum.accumulate(np.where(is_tie, 0, at))
        advance_s = seen - np.where(begun > 0, seen[begun - 1], -np.inf)
        is_next = ~is_tie | ((advance_s > 0) & (advance_s <= self._most_s) & (at - begun < self._n_kept))
        repeats: NDArray[np.bool_] = ((at - before < self._n_kept) & is_next)[n_before:]
        return repeats


#: Hz: of fewer frames a second no line is better than their stamps.
LEAST_COUNTED_SFREQ = 20.0
_LEAST_SCATTER_S = 0.02  # chosen: eye trackers that send both eyes' samples in turn stay below
_N_STEPS_BACK = 6  # within five seconds
_N_STAMPS = 64


class Scatter:
    """Tells when stamps scatter by more than the period, so that counting places the samples better."""

    def __init__(self, sfreq: float) -> None:
        self.sfreq, self._within = sfreq, 5 * sfreq  # Hz, corrected where it is far off
        self._back: deque[int] = deque(maxlen=_N_STEPS_BACK)  # positions of steps back
        self._n = 0
        self._recent = np.full(1, np.nan)

    def begins(self, stamps: NDArray[np.float64]) -> int | None:
        """Return the position in the next stamps (n,) from which they are known to scatter."""
        steps, recent = steps_of(stamps, float(self._recent[-1])), np.concatenate([self._recent, stamps])
        for at in np.flatnonzero((steps < -_LEAST_SCATTER_S) & (steps > -LEAP_S)).tolist():
            self._back.append(self._n + at)
            if len(self._back) == _N_STEPS_BACK and self._n + at - self._back[0] <= self._within:
                # Samples that come in another order than they were taken lie on an even grid.
                grid = np.diff(np.unique(recent[: len(self._recent) + at + 1][-_N_STAMPS:]))
                if np.median(abs(grid - np.median(grid))) > 0.25 * np.median(grid):
                    if not 0.9 < 1 / (grid.mean() * self.sfreq) < 1.1:
                        self.sfreq = 1 / float(grid.mean())
                    return int(at)
        self._n, self._recent = self._n + len(stamps), recent[-_N_STAMPS:]
        return None


_BLOCK_S = 0.25  # how often the line is corrected
_FIRST_MEMORY = 4  # blocks of trust in the nominal rate
_LONGEST_MEMORY = 120  # blocks, 30 s: afterwards the line follows slow drift


_N_SOUND = 8  # blocks, 2 s: what is older is not of a transient that has just begun
_N_POINTS = 240  # blocks, a minute: the line that tells the rate when stamps depart
_RELEARN_S = 10.0  # a departure without a hole that lasts longer is another rate
_SCATTER = 5.0  # chosen: a stamp this many times the mean step back after the line is a hole, not jitter
_SCATTERED_MEMORY = 40  # blocks: chosen
_FORGET = 0.9  # of steps back, with every block


class SampleLine:
    """Counts samples along a line kept on the stamps by an alpha-beta filter with growing memory.

    The gains are those of a least-squares line over the blocks seen so far (growing-memory
    alpha-beta filter), capped so that the memory never exceeds `_LONGEST_MEMORY` blocks.

    Stamps that depart from the line by more than the longest gap (a radio that stalls and refills) teach it
    nothing: until they are steady again, each block starts anew on its stamps with the rate of before.
    """

    def __init__(self, nominal_sfreq: float, max_gap_s: float, *, can_drop: bool = False) -> None:
        self._max_gap_s = max_gap_s
        self._is_steady = not can_drop  # and jitter is averaged over two minutes
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
        self._steps_back: list[NDArray[np.float64]] = []  # of the stamps, in the running block
        self._n_back = 0.0, 0.0  # how many there were lately, and their seconds
        self.scatter_s = 0.0  # their mean, about the standard deviation of the stamps; 0 without jitter
        self.n_scattered = 0  # steps back by jitter that the caller has not counted yet
        self._n_dense = 0  # samples that follow each other too closely
        self._dense_from = float("nan")
        #: Line time at the end, and samples, of those that are over.
        self.departures: list[tuple[float, int]] = []

    @property
    def step_s(self) -> float:
        """Seconds from sample to sample in the running block."""
        return self._step

    def follow(
        self, placed: NDArray[np.float64], cuts: NDArray[np.bool_] | None = None
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
            steps = steps_of(placed[at:end], self._last_placed)
            stamps, runs = self._undense(placed[at:end], steps)
            errors = stamps - line
            is_cut = np.zeros(len(errors), dtype=bool) if cuts is None else cuts[at:end]
            if len(self._points) < 2 * _N_SOUND:
                is_cut = is_cut | (errors < -RESET_S)
            astray = self._astray(errors, is_cut, steps)
            if len(astray):
                end = at + int(astray[0])
                line, errors = line[: astray[0]], errors[: astray[0]]
            times[at:end] = line
            self._errors.append(errors)
            self._n_in_block += end - at
            self._n_departed += end - at
            self._n_seen += end - at
            if end > at:
                self._note_dense(placed[at:end], runs)
            if len(astray):
                is_hole = placed[end] - self._last_placed > self._max_gap_s
                if cuts is not None:
                    is_hole, cuts[end] = is_hole or cuts[end], False
                self._begin_after_gap(float(stamps[astray[0]]), bool(is_hole))
                breaks[end] = True
            elif self._n_in_block == self._n_block:
                self._correct()
            at = end
        return times, breaks, starts

    def _astray(
        self,
        errors: NDArray[np.float64],
        is_cut: NDArray[np.bool_],
        steps: NDArray[np.float64],
    ) -> NDArray[np.intp]:
        """Return the samples with which a new piece begins; stamps that scatter are none."""
        n_taken = 0
        while True:
            least_s = max(self._max_gap_s, _SCATTER * self.scatter_s)
            if not len(astray := np.flatnonzero(is_cut | (errors > least_s))):
                break
            first, known_s = int(astray[0]) + 1, self.scatter_s
            self._steps_back.append(steps[n_taken:first][steps[n_taken:first] < 0])
            n_taken = first
            self._measure_scatter()
            if is_cut[first - 1] or self.scatter_s <= known_s:
                return astray
        self._steps_back.append(steps[n_taken:][steps[n_taken:] < 0])
        return astray

    def _measure_scatter(self) -> None:
        """Let steps back tell the jitter: without it there are none."""
        back = np.concatenate(self._steps_back) if self._steps_back else np.empty(0)
        n, total = self._n_back[0] * _FORGET + len(back), self._n_back[1] * _FORGET - float(back.sum())
        self._n_back, self._steps_back = (n, total), []
        self.scatter_s = total / n if n >= _LEAST_BACK else 0.0
        if self.scatter_s > self._max_gap_s / 5:
            self.n_scattered += len(back)

    # A buffer stamped too densely, or with one stamp, and then a hole: its first stamps count.

    def _n_trusted_dense(self) -> int:
        return max(2, int(self._n_block * self._max_gap_s / 8 / _BLOCK_S))

    def _undense(
        self, placed: NDArray[np.float64], steps: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp] | None]:
        """Return stamps with long dense runs counted on, and each sample's place in its run (or None)."""
        is_dense = (steps >= 0) & (steps < 0.5 * self._period)
        if not is_dense.any():
            return placed, None
        at = np.arange(len(placed))
        begin = np.maximum.accumulate(np.where(is_dense, -1 - self._n_dense, at))
        runs = at - begin
        n_trusted = self._n_trusted_dense()
        beyond = runs > n_trusted
        if not beyond.any():
            return placed, runs
        first = begin + n_trusted
        bases = np.where(first >= 0, placed[np.clip(first, 0, len(placed) - 1)], self._dense_from)
        return np.where(beyond, bases + (runs - n_trusted) * self._period, placed), runs

    def _note_dense(self, placed: NDArray[np.float64], runs: NDArray[np.intp] | None) -> None:
        n_trusted, last = self._n_trusted_dense(), len(placed) - 1
        self._last_placed = float(placed[last])
        if runs is None:
            self._n_dense = 0
            return
        if runs[last] >= n_trusted and (at := last - int(runs[last]) + n_trusted) >= 0:
            self._dense_from = float(placed[at])
        self._n_dense = int(runs[last])

    def _begin_after_gap(self, time: float, is_hole: bool) -> None:
        """Start a new piece at ``time``; unlearn the rate if not one block ever fitted it."""
        self._measure_scatter()
        is_early = self._n_memory == _FIRST_MEMORY and self._n_in_block > 4 and self.scatter_s == 0
        if is_early and np.median(np.abs(np.diff(np.concatenate(self._errors)))) > 0.2 * self._period:
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
        if n_points < 2:  # the others lie before a hole
            return self._period
        points, half = np.array(self._points)[:n_points], n_points // 2
        counts, stamps = (points[half:] - points[: len(points) - half]).T
        slope = float(np.median(stamps / counts))
        return slope if 0.2 < slope / self._period < 5 else self._period

    def _correct(self) -> None:
        """Move the line by the block's mean error, and its slope by the share that repeats."""
        self._measure_scatter()
        error = float(np.concatenate(self._errors).mean())
        newest = self._t_start + (self._n_block - 1) * self._step
        middle = self._note_point(error)
        scatters = self.scatter_s > self._max_gap_s / 5
        is_new = self._n_memory == _FIRST_MEMORY or self._step < 0.5 * self._period
        if scatters and (error > self._max_gap_s or is_new):
            # A hole no longer than the jitter; or one stamp began the line, and the mean of many is better.
            self._n_memory += self._n_memory == _FIRST_MEMORY
            self._restart(middle, newest)
            return
        if self._trusted is None and error < -self._max_gap_s:
            self._depart()
        if self._trusted is not None:
            if self._step != self._period or error < -self._max_gap_s / 2:
                self._depart()
                self._restart(middle, newest)
                return
            self._n_quiet = self._n_quiet + 1 if error < self._max_gap_s / 2 else 0
        n = self._n_memory
        alpha = 2 * (2 * n - 1) / (n * (n + 1))
        if scatters:  # what a few stamps say of the rate is less certain than the nominal one
            n = max(n, _SCATTERED_MEMORY)
        beta = 6 / (n * (n + 1))
        t_next = self._t_start + self._n_block * self._step + alpha * error
        # Late stamps that were caught up later must not turn time back.
        back_s = min(0.0, t_next - newest - 0.25 * self._period)
        t_next = max(t_next, newest + 0.25 * self._period)
        self._period *= 1 + min(max(beta * error / (self._n_block * self._period), -0.2), 0.2)
        longest = _LONGEST_MEMORY * (4 if self._is_steady and scatters else 1)
        self._n_memory = min(self._n_memory + 1, longest)
        self._start_block(t_next)
        if scatters and self._trusted is None:  # a correction back makes the next block slower
            self._step += max(back_s / self._n_block, -0.25 * self._period)
        if self._trusted is not None and self._n_quiet == _N_SOUND:
            self.departures.append((t_next, self._n_departed - _N_SOUND * self._n_block))
            self._trusted = None

    def _restart(self, middle: float, newest: float) -> None:
        """Start anew on the block's stamps; where they lie in the past, with samples four times as dense."""
        t_next = middle + (self._n_block + 1) / 2 * self._period
        self._start_block(max(t_next, newest + 0.25 * self._period))
        if self._t_start > t_next:
            self._step = 0.25 * self._period
        self._must_break = True
