"""The one causal map from a sender's stamps to LSL seconds, the same live and in replay.

Measured clock offsets are smoothed and regular streams dejittered (`acquisition.clock_fit`), and an own
recording's map is followed where it has one (`RecordedMap`). How the samples were cut into chunks changes no
bit of the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.clock_fit import (
    LEAP_S,
    LEAST_COUNTED_SFREQ,
    RESET_S,
    Leaps,
    OffsetTrack,
    Repeats,
    SampleLine,
    Scatter,
    Spreader,
    forked,
    steps_of,
)
from acquisition.types import DROPPED, Fate, MapSegment, StreamLedger

#: No clock shows such a time (3000 years); a stamp beyond it is a broken one.
LARGEST_TIME_S = 1e11
_OTHER_S = 0.75 * LEAP_S  # maps that differ by more are of two clocks


class RecordedMap:
    """Follows the segments an own recording carries.

    A segment begins at the very sample it was made for, found by its stamp; samples before the first such
    sample are estimated. Segments whose sample is not in the file (it was made before the recording began)
    are skipped.
    """

    _SAME_STAMP_S = 1e-8  # two inlets deduce a stamp by the same sums, and text keeps every digit

    _HOLE_S = 0.5  # stamps this far ahead of a segment's line: samples are lost here that the live run had
    _GONE_S = 0.5  # and this far after the last sample before a pause, where that one is lost

    def __init__(self, segments: Sequence[MapSegment]) -> None:
        self._segments = [segment for segment in segments if not segment.pause]
        self._pauses = list[tuple[float, float]]()  # stamps of the last sample before and of the first after
        self._pause, self._is_paused, self._last_raw = 0, False, float("nan")
        last = None
        for segment in segments:
            if segment.pause:
                last = segment.raw_start if last is None else last
            elif last is not None:
                self._pauses.append((last, segment.raw_start))
                last = None
        self._pauses += [(last, float("inf"))] if last is not None else []
        raw_starts = np.array([segment.raw_start for segment in self._segments])
        self._order = np.argsort(raw_starts, kind="stable")
        self._raw_starts = raw_starts[self._order]
        self._has_begun = False  # a sample was mapped
        self._last_stamp = float("nan")
        self._running = -1  # index of the segment in force; -1: none yet, times are estimated
        self._count = 0  # samples since the running segment began
        self._is_adrift = False  # they are no longer to be counted

    def taken(self, stamps: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Return which of the next samples (n,) the live run took; None for all of them."""
        if self._pause == len(self._pauses):
            return None
        taken = np.ones(len(stamps), dtype=bool)
        before, self._last_raw = np.concatenate([[self._last_raw], stamps[:-1]]), float(stamps[-1])
        at = 0
        while at < len(stamps) and self._pause < len(self._pauses):
            last, back = self._pauses[self._pause]
            if self._is_paused:
                turns = stamps >= back - self._SAME_STAMP_S
            else:
                is_over = (abs(before - last) <= self._SAME_STAMP_S) & (
                    abs(stamps - last) > self._SAME_STAMP_S
                )
                turns = is_over | (stamps > last + self._GONE_S)
            turn = at + int(turns[at:].argmax()) if turns[at:].any() else len(stamps)
            taken[at:turn] = not self._is_paused
            if turn < len(stamps):
                self._pause += self._is_paused
                self._is_paused = not self._is_paused
            at = turn
        return None if taken.all() else taken

    def map(
        self,
        stamps: NDArray[np.float64],
        estimate: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.bool_]]],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return times and break flags."""
        times = np.empty(len(stamps))
        breaks = np.zeros(len(stamps), dtype=bool)
        begins: list[tuple[int, int | None]] = [(0, None), *self._begins(stamps)]
        if not self._has_begun:
            self._has_begun = True
            self._take_offset_from_before(stamps[0])
        ends = [*(at for at, _ in begins[1:]), len(stamps)]
        for (at, segment), end in zip(begins, ends, strict=True):
            if segment is not None:
                self._running, self._count, self._is_adrift = segment, 0, False
                breaks[at] = self._segments[segment].is_break
            if end == at:
                continue
            if self._running < 0:
                times[at:end], breaks[at:end] = estimate(stamps[at:end])
            else:
                times[at:end] = self._piece(stamps[at:end], breaks[at:end])
        return times, breaks

    def _piece(self, stamps: NDArray[np.float64], breaks: NDArray[np.bool_]) -> NDArray[np.float64]:
        segment = self._segments[self._running]
        if segment.period_s == 0:
            return stamps + segment.offset_s
        counts = np.arange(self._count, self._count + len(stamps), dtype=np.float64)
        self._count += len(stamps)
        times: NDArray[np.float64] = segment.t_start + counts * segment.period_s
        placed = stamps + (segment.t_start - segment.raw_start)
        is_adrift = (placed - times > self._HOLE_S) | self._is_adrift
        if is_adrift.any():  # until the next segment
            at = int(is_adrift.argmax())
            breaks[at] |= not self._is_adrift
            times[at:], self._is_adrift = placed[at:], True
        return times

    def _begins(self, stamps: NDArray[np.float64]) -> list[tuple[int, int]]:
        """Return (position, segment) wherever a later segment begins in ``stamps``.

        Stamps that fell back occur twice: a segment of another clock begins only where they leap.
        """
        steps = steps_of(stamps, self._last_stamp)
        self._last_stamp = float(stamps[-1])
        first = np.searchsorted(self._raw_starts, stamps - self._SAME_STAMP_S)
        end = np.searchsorted(self._raw_starts, stamps + self._SAME_STAMP_S, side="right")
        found: list[tuple[int, int]] = []
        newest = self._running
        for at in np.flatnonzero(end > first).tolist():
            for segment in self._order[first[at] : end[at]].tolist():
                is_other = newest >= 0 and abs(self._shift(segment) - self._shift(newest)) > _OTHER_S
                is_here = segment == newest + 1 if found and found[-1][0] == at else segment > newest
                if is_here and not (is_other and abs(steps[at]) < _OTHER_S):
                    found.append((at, segment))
                    newest = segment
        return found

    def _shift(self, at: int) -> float:
        return self._segments[at].t_start - self._segments[at].raw_start

    def _take_offset_from_before(self, stamp: float) -> None:
        """Let an offset that was in force when the recording began hold from its first sample."""
        before = np.flatnonzero(self._raw_starts <= stamp)
        if len(before) and self._segments[int(self._order[before[-1]])].period_s == 0:
            self._running = int(self._order[before[-1]])


_N_SEGMENTS = 10_000  # 40 min of a regular stream: bounds what is kept where nobody publishes the map


@dataclass(frozen=True, eq=False)
class Mapped:
    """Samples on the LSL clock.

    ``times`` is (n_kept,), strictly increasing; ``breaks`` are positions in it; ``keep`` is a mask over
    the samples handed in, or None when all were kept.
    """

    times: NDArray[np.float64]
    breaks: tuple[int, ...]
    keep: NDArray[np.bool_] | None = None


def _widened(mapped: Mapped, taken: NDArray[np.bool_]) -> Mapped:
    """Return a map of the samples that ``taken`` (n,) leaves as one of all n."""
    keep = taken.copy()
    keep[taken] = True if mapped.keep is None else mapped.keep
    return replace(mapped, keep=keep)


class ClockMapper:
    """Maps one stream's stamps to LSL seconds.

    Parameters
    ----------
    stream : str
        Identity written into published segments, ``name|type|source_id``.
    nominal_sfreq : float
        Hz; 0 for an irregular stream, which is never dejittered. A wrong rate is unlearned.
    dejitter : bool
        Count samples instead of trusting each stamp. Not for streams that drop samples.
    max_gap_s : float
        A longer hole between stamps is a gap: the first sample after it is marked as a break.
    offset_mean_s : float
        ``desc/synchronization/offset_mean``: a known device delay, subtracted from every stamp.
    recorded : sequence of MapSegment
        The map that was in force when an own recording was made; followed where it applies.
    allow_ties : bool
        Keep samples with equal stamps: two markers may mean one moment.
    """

    def __init__(
        self,
        stream: str,
        nominal_sfreq: float,
        *,
        dejitter: bool = True,
        max_gap_s: float = 0.1,
        offset_mean_s: float = 0.0,
        recorded: Sequence[MapSegment] = (),
        allow_ties: bool = False,
    ) -> None:
        self.stream = stream
        self.offsets = OffsetTrack()
        self.ledger = StreamLedger()
        self._notes: list[tuple[Fate, float, float, int]] = []
        self._nominal_sfreq, self._max_gap_s = nominal_sfreq, max_gap_s
        self._offset_mean_s = offset_mean_s
        self._line = SampleLine(nominal_sfreq, max_gap_s) if dejitter and nominal_sfreq > 0 else None
        self._recorded = RecordedMap(recorded) if recorded else None
        self._allow_ties = allow_ties
        self._leaps = Leaps(1 / nominal_sfreq if nominal_sfreq > 0 else 0.0)
        self._spreader, self._shift_s = Spreader(), 0.0
        is_regular = nominal_sfreq > 0 and not allow_ties
        self._repeats = Repeats(nominal_sfreq) if is_regular else None
        counts_later = is_regular and self._line is None and nominal_sfreq >= LEAST_COUNTED_SFREQ
        self._scatter = Scatter(nominal_sfreq) if counts_later else None
        self._last_stamp = float("nan")
        self._last = float("nan")  # mapped time of the newest kept sample
        self._last_offset_mapped = float("nan")  # before dejittering
        self._segments: deque[MapSegment] = deque(maxlen=_N_SEGMENTS)
        self._noted_offset = float("nan")
        self._must_state, self._pause = False, ""
        self._is_dropping = False  # the newest sample was dropped
        self._overlap_s = 0.0  # how far the samples being dropped lie back at most

    @property
    def shift_s(self) -> float:
        """What the newest sample was shifted by, as its sender's clock had leapt."""
        return self._leaps.shift_s

    @property
    def n_dropped(self) -> int:
        """Samples that could not be placed."""
        return sum(self.ledger.n_with[fate] for fate in DROPPED)

    def take_notes(self) -> list[tuple[Fate, float, float, int]]:
        """Return what befell the stream since the last call: fate, LSL time, seconds, samples."""
        notes, self._notes = self._notes, []
        return sorted(notes, key=lambda note: note[1])

    def _note(self, fate: Fate, time: float, seconds: float, n_samples: int = 0) -> None:
        self._notes = [*self._notes[-99:], (fate, time, seconds, n_samples)]

    def add_offset(self, raw_time: float, offset_s: float) -> None:
        """Take a clock-offset measurement: LSL time = raw + ``offset_s`` near ``raw_time``."""
        self.offsets.add(raw_time, offset_s)

    def map(self, stamps: NDArray[np.float64], arrival: float = float("nan")) -> Mapped:
        """Map consecutive raw stamps, (n_samples,) seconds on the sender's clock.

        Samples with decreasing timestamps (a clock set back, a duplicate) are dropped and counted.
        ``arrival`` (LSL seconds, NaN where it is not known) tells a clock that leaps ahead from a pause. What
        it decides is in the segments, and so in the replay of an own recording.
        """
        if self._recorded is not None and len(stamps):
            taken = self._recorded.taken(stamps := np.asarray(stamps, dtype=np.float64))
            if taken is not None:
                return _widened(self._map_taken(stamps[taken], arrival), taken)
        return self._map_taken(stamps, arrival)

    def _map_taken(self, stamps: NDArray[np.float64], arrival: float) -> Mapped:
        self._pause = "" if len(stamps) else self._pause
        stamps = np.asarray(stamps, dtype=np.float64)
        self.ledger.n_received += len(stamps)
        taken = np.ones(len(stamps), dtype=bool)
        stamps, n_unplaced = self._without_nan(stamps)
        taken[:n_unplaced] = False
        if self._repeats is not None and (is_repeat := self._repeats.find(stamps)) is not None:
            taken[n_unplaced:], stamps = ~is_repeat, stamps[~is_repeat]
            self.ledger.note(Fate.OVERLAP, int(is_repeat.sum()), 0.0)
        at = self._scatter.begins(stamps) if self._scatter is not None and len(stamps) else None
        mapped = self._mapped(stamps[:at], arrival)
        if at is not None:
            assert self._scatter is not None
            self._line, self._scatter = SampleLine(self._scatter.sfreq, self._max_gap_s, can_drop=True), None
            rest, n = self._mapped(stamps[at:], arrival), len(mapped.times)
            breaks = (*mapped.breaks, *(n + position for position in rest.breaks))
            kept = [
                np.ones(size, bool) if m.keep is None else m.keep
                for m, size in ((mapped, at), (rest, len(stamps) - at))
            ]
            mapped = Mapped(np.concatenate([mapped.times, rest.times]), breaks, np.concatenate(kept))
        return mapped if taken.all() else _widened(mapped, taken)

    def _mapped(self, stamps: NDArray[np.float64], arrival: float) -> Mapped:
        if len(stamps) == 0:
            return Mapped(np.empty(0), ())
        if self._recorded is not None:
            times, breaks = self._recorded.map(stamps, self._map_estimated)
        else:
            times, breaks = self._map_estimated(stamps, arrival)
        if self._line is None:
            if not self._allow_ties:
                n_before, times = self._spreader.n_spread, self._spreader.spread(times)
                if n_spread := self._spreader.n_spread - n_before:
                    if n_before == 0:
                        self._note(Fate.SPREAD, float(times[-1]), 0.0)
                    self.ledger.note(Fate.SPREAD, n_spread, 0.0)
        else:
            self._note_line(float(times[-1]))
        return self._increasing(times, breaks)

    def _note_line(self, time: float) -> None:
        """Take over what the line found: stalls that are over, and stamps that scatter."""
        line = self._line
        assert line is not None
        for end, n in line.departures:
            self.ledger.note(Fate.STALL, n, n / self._nominal_sfreq)
            self._note(Fate.STALL, end, n / self._nominal_sfreq, n)
        line.departures = []
        if line.n_scattered and not self.ledger.n_with[Fate.SCATTER]:
            self._note(Fate.SCATTER, time, line.scatter_s)
        self.ledger.note(Fate.SCATTER, line.n_scattered, 0.0)
        line.n_scattered = 0

    def copy(self) -> ClockMapper:
        """Return a mapper that maps on from here as this one would, with no segments to publish.

        Both share the measured offsets; none is added later.
        """
        other = copy(self)
        other.offsets = copy(self.offsets)
        other._recorded, other._repeats = copy(self._recorded), copy(self._repeats)
        other._line = None if self._line is None else forked(self._line)
        other._scatter = None if self._scatter is None else forked(self._scatter)
        other._leaps, other._spreader = forked(self._leaps), forked(self._spreader)
        other.ledger, other._notes = StreamLedger(), []
        other._segments = deque(maxlen=_N_SEGMENTS)
        return other

    def take_segments(self) -> list[MapSegment]:
        segments = list(self._segments)
        self._segments.clear()
        return segments

    def restate(self) -> None:
        """State the map in force again as a new segment, for a recording that begins now."""
        self._noted_offset, self._must_state = float("nan"), True
        if self._pause:
            self.pause(self._pause)

    def pause(self, why: str) -> None:
        """Note for the recording that nothing is taken after the newest sample; the next one ends it."""
        if self._allow_ties:  # markers that a recorder has are markers
            return
        self._noted_offset, self._must_state, self._pause = float("nan"), True, why
        last, time = self._last_stamp, self._last
        if np.isnan(last + time):  # nothing was taken at all
            last, time = -LARGEST_TIME_S, 0.0
        self._segments.append(MapSegment(self.stream, last, time, 0.0, 0.0, self._nominal_sfreq, True, why))

    def _map_estimated(
        self, stamps: NDArray[np.float64], arrival: float = float("nan")
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return times (n,) and break flags (n,) from offsets and, for regular streams, the line."""
        offsets = self.offsets.in_force(stamps, self._last_offset_mapped)
        self._last_offset_mapped = float(stamps[-1] + offsets[-1])
        offsets = offsets - self._offset_mean_s
        placed = stamps + offsets
        leapt = np.zeros(len(placed), dtype=bool)
        if not self._allow_ties:
            shifts, leaps = self._leaps.follow(placed, arrival)
            if shifts is not None:
                placed, offsets = placed + shifts, offsets + shifts
                self._note_leaps(placed, shifts, leaps, leapt)
        if self._line is None:
            # A hole; the very first sample counts as one.
            breaks = ~(steps_of(placed, self._last) <= self._max_gap_s) | leapt
            changed = steps_of(offsets, self._noted_offset) != 0  # NaN differs from all
            for at in np.flatnonzero(changed).tolist():
                self._begin_segment(stamps[at], placed[at], breaks[at], offset_s=float(offsets[at]))
            self._noted_offset = float(offsets[-1])
            return placed, leapt
        step_s = self._line.step_s
        times, breaks, starts = self._line.follow(placed, leapt)
        if self._must_state and not (starts and starts[0][0] == 0):
            starts.insert(0, (0, float(times[0]), step_s))
        self._must_state = False
        for at, t_start, period in starts:
            self._begin_segment(stamps[at], t_start, breaks[at], period_s=period, sfreq=self._nominal_sfreq)
        return times, breaks

    def _note_leaps(
        self,
        placed: NDArray[np.float64],
        shifts: NDArray[np.float64],
        leaps: list[tuple[int, float]],
        leapt: NDArray[np.bool_],
    ) -> None:
        """Say where stamps leapt; what was shifted is set in ``leapt`` and counted."""
        before = np.concatenate([[self._shift_s], shifts[:-1]])
        for at, leap_s in leaps:
            if shifts[at] != before[at]:
                leapt[at] = True
                self._note(Fate.LEAP, float(placed[at]), leap_s)
        self._shift_s = float(shifts[-1])
        n_shifted = int((shifts != 0).sum())
        self.ledger.note(Fate.LEAP, n_shifted, n_shifted * self._leaps.step_s)

    def _begin_segment(self, raw_start: float, t_start: float, is_break: bool, **values: float) -> None:
        known: dict[str, Any] = {"period_s": 0.0, "offset_s": 0.0, "sfreq": 0.0, **values}
        segment = MapSegment(self.stream, float(raw_start), float(t_start), is_break=bool(is_break), **known)
        self._segments.append(segment)

    def _without_nan(self, stamps: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        """Return stamps where each broken one follows its predecessor, and how many had no predecessor.

        One NaN would otherwise make the line, and with it every later time, NaN.
        """
        broken = ~(np.abs(stamps) < LARGEST_TIME_S)  # NaN compares False
        if not broken.any():
            self._last_stamp = float(stamps[-1]) if len(stamps) else self._last_stamp
            return stamps, 0
        n_unplaced = 0
        if np.isnan(self._last_stamp):
            n_unplaced = len(stamps) if broken.all() else int(np.argmin(broken))
            self.ledger.note(Fate.NO_STAMP, n_unplaced, 0.0)
        stamps, broken = stamps[n_unplaced:].copy(), broken[n_unplaced:]
        if broken.any() and not np.isnan(self._last):
            self._note(Fate.NO_STAMP, self._last, 0.0, int(broken.sum()))
        period_s = 1.0 / self._nominal_sfreq if self._nominal_sfreq > 0 else 0.0
        for at in np.flatnonzero(broken):
            stamps[at] = (stamps[at - 1] if at else self._last_stamp) + period_s
        if len(stamps):
            self._last_stamp = float(stamps[-1])
        return stamps, n_unplaced

    def _increasing(self, times: NDArray[np.float64], breaks: NDArray[np.bool_]) -> Mapped:
        steps, keep = steps_of(times, self._last), None
        goes_back = steps < 0 if self._allow_ties else steps <= 0  # NaN before the first sample is False
        # A sample after a dropped one continues nothing unless only a stamp or two went astray.
        follows = np.full(len(times), self._line is not None)
        follows[0] &= not self._is_dropping
        self._is_dropping = False
        if not goes_back.any():
            self._overlap_s = 0.0
        else:
            highest = np.maximum.accumulate(np.fmax(times, self._last))
            previous = np.concatenate([[self._last], highest[:-1]])
            keep = ~(times < previous) if self._allow_ties else ~(times <= previous)
            self._note_overlaps(previous, previous - times, keep)
            self._is_dropping = not keep[-1]
            follows[1:] &= keep[:-1]
            times, breaks, follows = times[keep], breaks[keep], follows[keep]
            if len(times) == 0:
                self._is_dropping = True
                return Mapped(times, (), keep)
            steps = steps_of(times, self._last)
        breaks = breaks | ~((steps <= self._max_gap_s) | follows)
        least_s = RESET_S if self._nominal_sfreq == 0 else max(RESET_S, 3 / self._nominal_sfreq)
        for at in np.flatnonzero(steps > least_s).tolist() if not self._allow_ties else ():
            self.ledger.note(Fate.GAP, 1, float(steps[at]))
            self._note(Fate.GAP, float(times[at] - steps[at]), float(steps[at]))
        self._last = float(times[-1])
        return Mapped(times, tuple(np.flatnonzero(breaks).tolist()), keep)

    def _note_overlaps(
        self, previous: NDArray[np.float64], lost_s: NDArray[np.float64], keep: NDArray[np.bool_]
    ) -> None:
        """Count dropped samples, and of each run of them how far they lie back at most."""
        at = np.flatnonzero(~keep)
        for run in np.split(at, np.flatnonzero(np.diff(at) > 1) + 1):
            before = self._overlap_s if run[0] == 0 else 0.0
            self._overlap_s = max(before, float(lost_s[run].max()))
            if before <= RESET_S < self._overlap_s:
                self._note(Fate.OVERLAP, float(previous[run[0]]), self._overlap_s)
            self.ledger.note(Fate.OVERLAP, len(run), self._overlap_s - before)
        self._overlap_s *= not keep[-1]
