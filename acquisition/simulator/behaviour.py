"""Which emotion a simulated subject has when, and how the body follows it."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.simulator.subject import EMOTIONS, POPULATION_EFFECTS, SimulatedSubject, substream

GRAMMAR = (
    "'random', 'random:SECONDS', or EMOTION:SECONDS separated by commas with 'rest:SECONDS' between; "
    f"emotions are {', '.join(EMOTIONS)}"
)
_RANDOM_TRIALS = 1000  # before a random schedule repeats its order (its trials still differ)


@dataclass(frozen=True)
class Segment:
    """A stretch of time with one emotion, or of rest."""

    index: int  # counts from 0 through the whole session; also names the trial effect
    emotion: str | None  # None = rest
    onset_s: float  # since the session began
    duration_s: float


class Timeline(Protocol):
    """Emotions over the session's time; append-only where it is not known beforehand."""

    def segment_at(self, t: float) -> Segment:
        """Return the segment at session time ``t`` (seconds; before 0 counts as 0)."""

    def segment_before(self, segment: Segment) -> Segment | None:
        """Return the segment before, None for the first."""

    def segments_between(self, t_start: float, t_end: float) -> list[Segment]:
        """Return the segments with ``t_start <= onset < t_end``."""


class Schedule:
    """Segments known beforehand; after the last one they begin again, as new trials.

    The same emotion never comes twice in a row, not even across a rest or where the list begins again. A
    schedule of a single segment holds that emotion for ever. Raises `InputError` on an unknown emotion, a
    duration that is not positive, or one emotion twice in a row.
    """

    def __init__(self, segments: list[tuple[str | None, float]]) -> None:
        _check(segments)
        if len(segments) == 1:
            segments = [(segments[0][0], float("inf"))]
        self._segments: list[Segment] = []
        onset = 0.0
        for index, (emotion, duration) in enumerate(segments):
            self._segments.append(Segment(index, emotion, onset, duration))
            onset += duration
        self.cycle_s = onset
        self._onsets = [segment.onset_s for segment in self._segments]

    @classmethod
    def balanced(cls, seed: int, n_trials: int, trial_s: float) -> Schedule:
        """Return trials in random order, every emotion equally often (to one where it does not divide)."""
        return cls([(emotion, trial_s) for emotion in _balanced_order(seed, n_trials)])

    @classmethod
    def parse(cls, spec: str, seed: int = 0) -> Schedule:
        """Return the schedule that a text such as ``happy:20,rest:5,sad:20`` or ``random:15`` describes.

        Raises `InputError` with the grammar, if the text is something else.
        """
        segments: list[tuple[str | None, float]] = []
        for part in spec.split(","):
            emotion, _, seconds = (piece.strip() for piece in part.partition(":"))
            if emotion == "random" and "," not in spec:
                return cls.balanced(seed, _RANDOM_TRIALS, _seconds(seconds or "20", spec))
            segments.append((None if emotion == "rest" else emotion, _seconds(seconds, spec)))
        return cls(segments)

    def segment_at(self, t: float) -> Segment:
        t = max(t, 0.0)
        cycle = int(t // self.cycle_s) if self.cycle_s < float("inf") else 0
        within = t - cycle * self.cycle_s if cycle else t
        return self._in_cycle(cycle, max(bisect.bisect_right(self._onsets, within) - 1, 0))

    def segment_before(self, segment: Segment) -> Segment | None:
        if segment.index == 0:
            return None
        return self._in_cycle(*divmod(segment.index - 1, len(self._segments)))

    def segments_between(self, t_start: float, t_end: float) -> list[Segment]:
        found = []
        segment = self.segment_at(t_start)
        while segment.onset_s < t_end:
            if segment.onset_s >= t_start:
                found.append(segment)
            if segment.duration_s == float("inf"):
                break
            segment = self._in_cycle(*divmod(segment.index + 1, len(self._segments)))
        return found

    def _in_cycle(self, cycle: int, place: int) -> Segment:
        segment = self._segments[place]
        if cycle == 0:
            return segment
        index = cycle * len(self._segments) + place
        return replace(segment, index=index, onset_s=segment.onset_s + cycle * self.cycle_s)


class FollowedTimeline:
    """Emotions as they are announced by somebody else, at rest until the first."""

    def __init__(self) -> None:
        self._segments = [Segment(0, None, 0.0, float("inf"))]

    def begin(self, emotion: str | None, t: float) -> Segment:
        """Start an emotion (or rest) at session time ``t``; not before the one that is running."""
        last = self._segments[-1]
        t = max(t, last.onset_s)
        self._segments[-1] = replace(last, duration_s=t - last.onset_s)
        self._segments.append(Segment(last.index + 1, emotion, t, float("inf")))
        return self._segments[-1]

    def segment_at(self, t: float) -> Segment:
        """Return the segment at session time ``t``, as far as it was announced."""
        place = bisect.bisect_right(self._segments, max(t, 0.0), key=lambda segment: segment.onset_s) - 1
        return self._segments[place]

    def segment_before(self, segment: Segment) -> Segment | None:
        return self._segments[segment.index - 1] if segment.index else None

    def segments_between(self, t_start: float, t_end: float) -> list[Segment]:
        return [segment for segment in self._segments if t_start <= segment.onset_s < t_end]


def _balanced_order(seed: int, n_trials: int) -> list[str]:
    """Shuffle the five emotions again and again, redrawing a round that would repeat its neighbour."""
    rng = substream(seed, "schedule")
    order: list[str] = []
    while len(order) < n_trials:
        round_ = [EMOTIONS[i] for i in rng.permutation(len(EMOTIONS))][: n_trials - len(order)]
        closes = len(order) + len(round_) == n_trials
        repeats = bool(order) and (round_[0] == order[-1] or (closes and round_[-1] == order[0]))
        if not repeats:
            order += round_
    return order


def _seconds(text: str, spec: str) -> float:
    try:
        return float(text)
    except ValueError:
        what = f"expected {GRAMMAR}; found {spec!r}"
        raise InputError(what, where="schedule", remedy="example: happy:20,rest:5,sad:20") from None


def _check(segments: list[tuple[str | None, float]]) -> None:
    for emotion, duration in segments:
        if emotion is not None and emotion not in EMOTIONS:
            raise InputError(f"expected {GRAMMAR}; found emotion {emotion!r}", where="schedule")
        if not 0 < duration < float("inf") or np.isnan(duration):
            raise InputError(f"a duration must be positive and finite, found {duration}", where="schedule")
    emotions = [emotion for emotion, _ in segments if emotion is not None]
    if len(segments) > 1:
        for first, second in zip(emotions, emotions[1:] + emotions[:1], strict=True):
            if first == second and len(emotions) > 1:
                what = f"{first} appears twice in a row (the schedule repeats)"
                remedy = "insert another emotion, or use one longer segment"
                raise InputError(what, where="schedule", remedy=remedy)


RESPONSE_S = 0.8  # time constant with which the body follows a new emotion
BLINKS_PER_S = 0.25
_SLOT_S = 1.0  # at most one blink a slot
_DRAWS_PER_S_BITS = 32  # no stream draws 2**32 numbers a second; a generator has 2**128


class Behaviour:
    """A subject living through a timeline of emotions.

    Everything is a function of the time alone (seconds since the session began), so that EEG, eyes,
    face and voice agree and any of them can be computed without the others.

    ``begin_s`` is the session time of the devices' first samples: later than 0 for a subject who is met
    again: the same subject with the same devices, but other noise.
    """

    def __init__(self, subject: SimulatedSubject, timeline: Timeline, begin_s: float = 0.0) -> None:
        self.subject, self.timeline, self.begin_s = subject, timeline, begin_s
        self._blink = lru_cache(256)(self._blink_in)

    def renew(self, rng: np.random.Generator) -> None:
        """Move a generator on to noise that no other starting time draws."""
        n_drawn = int(self.begin_s) << _DRAWS_PER_S_BITS
        if n_drawn:
            rng.bit_generator.advance(n_drawn)  # type: ignore[attr-defined]

    def latent(self, modality: str, t: float) -> dict[str, float]:
        """Return a modality's latent parameters at ``t``, in trial standard deviations."""
        now = self.timeline.segment_at(t)
        values = self._segment_part(modality, now.index, now.emotion)
        before = self.timeline.segment_before(now)
        if before is not None:
            fade = np.exp(-(t - now.onset_s) / RESPONSE_S)
            values = values + fade * (self._segment_part(modality, before.index, before.emotion) - values)
        values = values + self.subject.without_emotion(modality, t)
        return dict(zip(POPULATION_EFFECTS[modality], values.tolist(), strict=True))

    def _segment_part(self, modality: str, index: int, emotion: str | None) -> NDArray[np.float64]:
        return self.subject.effect(modality, emotion) + self.subject.trial_effect(modality, index)

    def blinks(self, t_start: float, t_end: float) -> list[tuple[float, float]]:
        """Return (onset, duration) in seconds of the blinks that touch this interval."""
        slots = range(max(0, int(t_start / _SLOT_S) - 1), int(t_end / _SLOT_S) + 1)
        found = [blink for slot in slots if (blink := self._blink(slot)) is not None]
        return [(onset, length) for onset, length in found if onset < t_end and onset + length > t_start]

    def lid_closure(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the lids are closed, 0 open to 1 shut, at increasing times (n_times,)."""
        closure = np.zeros(len(times))
        for onset, length in self.blinks(times[0], times[-1]):
            phase = (times - onset) / length
            inside = (phase > 0) & (phase < 1)
            closure[inside] = np.sin(np.pi * phase[inside]) ** 0.7
        return closure

    def _blink_in(self, slot: int) -> tuple[float, float] | None:
        chance, place, length = self.subject.rng("blink", slot).random(3)
        rate = BLINKS_PER_S * np.exp(0.3 * self.latent("eye", slot * _SLOT_S)["blink_rate"])
        onset = slot * _SLOT_S + 0.5 * place
        return (onset, 0.13 + 0.12 * length) if chance < min(rate * _SLOT_S, 0.6) else None
