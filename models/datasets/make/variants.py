"""Generated subjects that break one assumption each of what is good at telling the ordinary ones.

They stand beside `GeneratedSubject`, which stays as it is; the same seed gives the same subject otherwise. No
true discriminant is written for them: their features are not Gaussian, or not alike from trial to trial.
"""

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.make.generator import GeneratedSubject, Structure
from models.features.config import EEG_BANDS

_Array = NDArray[np.float64]

TAIL_DF = 3.0  # degrees of freedom of Student's t
SHIFT_SD, EYE_SHIFT_SD = 0.4, 1.0  # nats where a pattern is strongest, and spreads, from first trial to last
GAIN_SD = 0.4  # of the log


class NoSharedPattern(GeneratedSubject):
    """Emotions lie as far apart as ever, but in directions of each subject's own."""

    def effect(self, modality: str, emotion: str) -> _Array:
        """Return the effect turned by the subject's own rotation."""
        effect = super().effect(modality, emotion)
        return np.linalg.qr(self._rng("rotation", modality).standard_normal((len(effect),) * 2))[0] @ effect


class HeavyTails(GeneratedSubject):
    """Each trial deviates from its emotion's mean by a factor of its own: Student's t, not Gauss."""

    def eeg_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> _Array:
        rows = super().eeg_trial(session, trial, emotion, n_seconds)
        return self._stretched(rows, self.eeg_mean(session, emotion), "eeg", session, trial)

    def eye_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> _Array:
        rows = super().eye_trial(session, trial, emotion, n_seconds)
        return self._stretched(rows, self.eye_mean(session, emotion), "eye", session, trial)

    def _stretched(self, rows: _Array, mean: _Array, *names: str | int) -> _Array:
        """Return the rows with deviations of the same variance and heavier tails."""
        factor = np.sqrt((TAIL_DF - 2) / self._rng("tails", *names).chisquare(TAIL_DF))
        return mean + factor * (rows - mean)


class SessionShifts(GeneratedSubject):
    """The level moves steadily from a session's first trial to its last, as electrodes dry."""

    def eeg_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> _Array:
        shift = self._patterned(self._rng("shift", session), SHIFT_SD)
        return super().eeg_trial(session, trial, emotion, n_seconds) + _moved(trial) * shift

    def eye_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> _Array:
        rows = super().eye_trial(session, trial, emotion, n_seconds)
        shift = EYE_SHIFT_SD * self._rng("eye shift", session).standard_normal(rows.shape[1])
        return rows + _moved(trial) * shift * self._shared.eye_spread


def _moved(trial: int) -> float:
    """Return -0.5 at a session's first trial, 0.5 at the 24th."""
    return (trial - 1) / 23 - 0.5


class PersonGains(GeneratedSubject):
    """Each subject's features vary more or less than others', band by band and in the eyes as a whole."""

    def eeg_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> _Array:
        rows = super().eeg_trial(session, trial, emotion, n_seconds)
        gains = np.exp(GAIN_SD * self._rng("gains").standard_normal(len(EEG_BANDS)))
        base = self._shared.base
        return base + (rows - base) * np.tile(gains, len(base) // len(gains))

    def eye_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> _Array:
        rows = super().eye_trial(session, trial, emotion, n_seconds)
        gain = float(np.exp(GAIN_SD * self._rng("eye gain").standard_normal()))
        return self._shared.eye_mean + gain * (rows - self._shared.eye_mean)


#: By the name of `--variant`.
VARIANTS: dict[str, type[GeneratedSubject]] = {
    "default": GeneratedSubject,
    "no-shared-pattern": NoSharedPattern,
    "heavy-tails": HeavyTails,
    "session-shifts": SessionShifts,
    "person-gains": PersonGains,
}


def generated_subject(
    variant: str, seed: int, subject: int, shared: Structure, difficulty: str | float
) -> GeneratedSubject:
    """Return a subject of a variant; raises `InputError` if there is no such variant."""
    if variant not in VARIANTS:
        raise InputError(f"expected one of {', '.join(VARIANTS)}; found {variant!r}", where="--variant")
    return VARIANTS[variant](seed, subject, shared, difficulty)
