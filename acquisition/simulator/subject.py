"""What the five emotions do to a simulated subject: the effect that all subjects share.

One table a modality; a row is a latent parameter, its columns are the emotions in the order of
`EMOTIONS`. The unit is the standard deviation of that parameter from trial to trial. Directions follow
the literature loosely (frontal alpha asymmetry with valence, temporal beta and gamma with joy, pupil
with arousal, pitch and energy with arousal). The tables are built so that each modality confuses other
pairs: EEG fear with disgust, eyes sad with neutral and disgust with happy, the face fear with sad and
disgust with neutral, the voice fear with happy and disgust with neutral.
"""

import zlib
from functools import lru_cache

import numpy as np

from acquisition.errors import InputError

EMOTIONS = ("disgust", "fear", "sad", "neutral", "happy")

#: Latent parameters by modality: name -> effect of disgust, fear, sad, neutral, happy.
POPULATION_EFFECTS: dict[str, dict[str, tuple[float, ...]]] = {
    "eeg": {
        "alpha_asymmetry": (-0.9, -0.7, -0.5, 0.4, 1.7),  # right minus left frontal alpha
        "posterior_alpha": (-0.5, -0.8, 0.4, 1.5, -0.6),
        "temporal_beta": (0.1, 0.3, -0.7, -0.8, 1.1),
        "temporal_gamma": (0.3, 0.4, -0.9, -1.0, 1.2),
        "frontal_theta": (0.6, 0.3, 1.0, -1.2, -0.7),
        "central_delta": (0.4, 0.3, 0.6, -0.8, -0.5),
    },
    "eye": {
        "pupil": (0.3, 1.8, -0.9, -1.0, -0.2),
        "pupil_waves": (0.2, 1.0, -0.6, -0.5, -0.1),
        "dispersion": (-0.6, 1.1, -0.7, -0.3, 0.5),
        "fixation_duration": (0.4, -1.3, 0.9, 0.5, -0.5),
        "blink_rate": (-0.1, -1.0, -0.3, 0.9, 0.5),
    },
    "face": {
        "mouth_curve": (-0.6, -0.8, -1.1, 0.2, 2.3),
        "mouth_open": (-0.2, 0.8, -0.5, -0.6, 0.5),
        "brow_slant": (-0.9, 0.8, 1.1, -0.3, -0.7),  # inner ends up
        "brow_height": (-0.9, 0.7, 0.3, -0.3, 0.2),
        "eye_opening": (-0.6, 0.9, -0.3, 0.2, -0.2),
        "head_drop": (0.1, 0.1, 0.7, -0.4, -0.5),
    },
    "voice": {
        "pitch": (-0.3, 1.1, -1.2, -0.5, 0.9),
        "pitch_range": (-0.2, 0.5, -1.1, -0.4, 1.2),
        "energy": (0.2, 0.5, -1.4, 0.1, 0.6),
        "speech_rate": (-0.4, 0.9, -1.1, 0.2, 0.4),
        "brightness": (0.3, 0.4, -1.1, 0.0, 0.4),
    },
}

#: How strongly each modality shows the emotion at default difficulty. With these a linear classifier of
#: the latent parameters themselves, which no feature can beat by much, names the emotion of a trial of
#: an unseen subject in 50-52 % of trials by one modality and in 84 % by all four; with the subject's own
#: level known, all four name it in 95 %.
MODALITY_STRENGTH = {"eeg": 0.95, "eye": 1.1, "face": 0.95, "voice": 1.2}


#: Named difficulties as effect sizes, relative to the default.
DIFFICULTIES = {"easy": 1.8, "default": 1.0, "hard": 0.5, "none": 0.0}

SUBJECT_GAIN_SD = 0.2  # log of how much of the shared effect this subject shows
SUBJECT_EFFECT_SD = 0.5  # own deviation of each emotion's effect
# Where this subject's parameters lie without any emotion. Subjects differ from each other by more than one
# subject does from trial to trial, which is why a calibration can help.
SUBJECT_BASELINE_SD = 1.2
TRIAL_SD = 1.0  # one trial against another of the same emotion: the unit of the effect tables
DRIFT_SD = 0.3  # slow wandering within a session
DRIFT_PERIODS_S = (47.0, 131.0, 463.0)


def substream(seed: int, *names: str | int) -> np.random.Generator:
    """Return a random generator that depends on the seed and the names alone."""
    keys = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return np.random.default_rng([seed, *keys])


def effect_size(difficulty: str | float) -> float:
    """Return the factor on all emotion effects.

    Raises `InputError` if the difficulty is neither a known name nor a number from 0 up.
    """
    if isinstance(difficulty, str) and difficulty in DIFFICULTIES:
        return DIFFICULTIES[difficulty]
    try:
        size = float(difficulty)
    except ValueError:
        size = -1.0
    if not 0.0 <= size < float("inf"):
        what = f"expected {', '.join(DIFFICULTIES)} or an effect size from 0 up, found {difficulty!r}"
        raise InputError(what, where="difficulty", remedy="1 is the default, 0 carries no emotion at all")
    return size


class SimulatedSubject:
    """The parameters of one simulated subject; the same seed, from 0 up, is the same subject.

    A latent parameter is the sum of the subject's baseline, the emotion's effect (the population's, scaled
    and changed a little by the subject), a trial effect and a slow drift. ``difficulty`` is ``"easy"``,
    ``"default"``, ``"hard"``, ``"none"``, or the effect size itself: 1 is the default, larger is easier, 0
    carries no emotion. Raises `InputError` on another difficulty or a negative seed.
    """

    def __init__(self, seed: int, difficulty: str | float = "default") -> None:
        if seed < 0:
            raise InputError(f"expected a seed from 0 up, found {seed}", where="seed")
        self.seed = seed
        self.effect_size = effect_size(difficulty)
        self._effects = {modality: self._own_effects(modality) for modality in POPULATION_EFFECTS}
        self._baselines: dict[str, np.ndarray] = {}
        self._drift_phases: dict[str, np.ndarray] = {}
        for modality, table in POPULATION_EFFECTS.items():
            rng = self.rng("baseline", modality)
            self._baselines[modality] = SUBJECT_BASELINE_SD * rng.standard_normal(len(table))
            self._drift_phases[modality] = rng.uniform(0, 2 * np.pi, (len(DRIFT_PERIODS_S), len(table)))
        self.trial_effect = lru_cache(64)(self._trial_effect)  # a session needs the last few only

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return this subject's random generator of that name."""
        return substream(self.seed, "subject", *names)

    def effect(self, modality: str, emotion: str | None) -> np.ndarray:
        """Return what an emotion adds to a modality's parameters, (n_parameters,); zeros for rest."""
        if emotion is None:
            return np.zeros(len(POPULATION_EFFECTS[modality]))
        return self._effects[modality][EMOTIONS.index(emotion)]

    def _trial_effect(self, modality: str, trial: int) -> np.ndarray:
        """Return what distinguishes one trial from the others, (n_parameters,)."""
        n_parameters = len(POPULATION_EFFECTS[modality])
        return TRIAL_SD * self.rng("trial", modality, trial).standard_normal(n_parameters)

    def without_emotion(self, modality: str, t: float) -> np.ndarray:
        """Return baseline and drift at session time ``t`` in seconds, (n_parameters,)."""
        angles = 2 * np.pi * t / np.array(DRIFT_PERIODS_S)[:, None] + self._drift_phases[modality]
        drift = DRIFT_SD * np.sqrt(2 / len(DRIFT_PERIODS_S)) * np.sin(angles).sum(axis=0)
        return self._baselines[modality] + drift

    def _own_effects(self, modality: str) -> np.ndarray:
        shared = np.array(list(POPULATION_EFFECTS[modality].values())).T  # (emotions, parameters)
        rng = self.rng("effects", modality)
        gain = np.exp(SUBJECT_GAIN_SD * rng.standard_normal())
        own = SUBJECT_EFFECT_SD * rng.standard_normal(shared.shape)
        return self.effect_size * MODALITY_STRENGTH[modality] * (gain * shared + own)
