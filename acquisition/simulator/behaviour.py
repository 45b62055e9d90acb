"""What a simulated person does at a moment: parameters that follow the emotion, and blinks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acquisition.simulator.schedule import Timeline
from acquisition.simulator.subject import POPULATION_EFFECTS, SimulatedSubject

RESPONSE_S = 0.8  # time constant with which the body follows a new emotion
BLINKS_PER_S = 0.25
_SLOT_S = 1.0  # at most one blink a slot
_DRAWS_PER_S_BITS = 32  # no stream draws 2**32 numbers a second; a generator has 2**128


class Behaviour:
    """A subject living through a timeline of emotions.

    Everything is a function of the time alone (seconds since the session began), so that EEG, eyes,
    face and voice agree and any of them can be computed without the others.

    Parameters
    ----------
    subject : SimulatedSubject
    timeline : Timeline
    begin_s : float
        Session time at which the devices' first samples lie: later than 0 for somebody who is met again.
        Person and devices are the same then, their noise is not.
    """

    def __init__(self, subject: SimulatedSubject, timeline: Timeline, begin_s: float = 0.0) -> None:
        self.subject = subject
        self.timeline = timeline
        self.begin_s = begin_s
        self._blink_cache: dict[int, tuple[float, float] | None] = {}

    def renew(self, rng: np.random.Generator) -> None:
        """Move a generator on to noise that nobody has drawn who began at another time."""
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
        found = [blink for slot in slots if (blink := self._blink_in(slot)) is not None]
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
        if slot not in self._blink_cache:
            if len(self._blink_cache) > 256:
                self._blink_cache.clear()
            chance, place, length = self.subject.rng("blink", slot).random(3)
            rate = BLINKS_PER_S * np.exp(0.3 * self.latent("eye", slot * _SLOT_S)["blink_rate"])
            blinking = chance < min(rate * _SLOT_S, 0.6)
            onset = slot * _SLOT_S + 0.5 * place
            self._blink_cache[slot] = (onset, 0.13 + 0.12 * length) if blinking else None
        return self._blink_cache[slot]
