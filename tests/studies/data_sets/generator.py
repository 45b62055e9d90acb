"""The generative model of EEG and eye features, and the steps and raw EEG made of it.

    log amplitude (nats of DE) of channel c, band b, second t of a trial =
        place (population, subject, session)
        + GAIN · map[c, b] · (emotion's effect + this trial's effect + drift(t))     six latent parameters
        + nuisance[c, b] · (this trial's + drift(t))                                  forty smooth patterns
        + white noise

Everything is Gaussian and linear. A trial's own effect is as large as the emotions', so windows of one
trial resemble each other: split by window, and a classifier only has to recognise the trial. Effects and maps
are the simulator's.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.eeg import BANDS, GAIN, electrode_positions, emotion_maps, spread
from acquisition.simulator.subject import POPULATION_EFFECTS, SimulatedSubject, substream
from models.features.config import EEG_BANDS
from models.features.gaze import EYE_FEATURES

#: Half the logarithm of 2πe: DE of unit variance.
DE_OF_UNIT = 0.5 * math.log(2 * math.pi * math.e)

#: Factor on the simulator's emotion effects. Chosen so that shrinkage LDA on one session's EEG, trained on
#: its first trials and tested on its last, names 45-65 % of the windows right with four classes.
EEG_EFFECT, EYE_EFFECT = 1.15, 1.1

SUBJECT_SD, SESSION_SD, WHITE_SD = 0.25, 0.1, 0.12  # nats
NUISANCE_TRIAL_SD, NUISANCE_DRIFT_SD = 0.12, 0.10  # nats, where a pattern is strongest
LATENT_BASELINE_SD, LATENT_SESSION_SD = 0.4, 0.3  # in units of a trial's effect
LATENT_TRIAL_SD, LATENT_DRIFT_SD = 1.0, 0.5
EYE_SUBJECT_SD, EYE_SESSION_SD, EYE_TRIAL_SD = 0.5, 0.2, 0.35  # in units of a row's spread
EYE_DRIFT_SD, EYE_WHITE_SD = 0.3, 0.5
DRIFT_S = 8.0  # time constant with which a trial's features wander

_N_NUISANCE_PLACES = 8  # times five bands
_N_CLIP_ROWS = 9  # eye rows 23 to 31 are statistics of the whole clip

#: Of each eye feature: the latent parameter that it follows, with what weight, its mean and its spread.
_EYE_ROWS = [
    (row["follows"], float(row["weight"]), float(row["mean"]), float(row["spread"])) for row in EYE_FEATURES
]


@dataclass(frozen=True, eq=False)
class Structure:
    """What all generated subjects share, for one set of channels; D = C · n_bands, channel-major."""

    base: NDArray[np.float64]  # (D,) nats
    latent: NDArray[np.float64]  # (D, 6) nats a latent unit
    nuisance: NDArray[np.float64]  # (D, 40) nats a unit of `NUISANCE_*_SD`, 1 at its strongest
    eye_mean: NDArray[np.float64]  # (33,)
    eye_spread: NDArray[np.float64]  # (33,)
    eye_latent: NDArray[np.float64]  # (33, 5) in spreads a latent unit


def structure(ch_names: tuple[str, ...] = SEED_CH_NAMES) -> Structure:
    """Return the shared structure on these channels."""
    positions = electrode_positions(ch_names)
    maps = emotion_maps(positions)
    names = list(POPULATION_EFFECTS["eeg"])
    n_bands = len(BANDS)
    base = np.zeros((len(ch_names), n_bands))
    latent = np.zeros((len(ch_names), n_bands, len(names)))
    for b, (band, (_, _, amplitude)) in enumerate(BANDS.items()):
        posterior = 0.6 if band == "alpha" else 0.0
        base[:, b] = np.log(amplitude) + posterior * np.clip(-positions[:, 1], 0, 1) + DE_OF_UNIT
        for name, weight in maps[band].items():
            latent[:, b, names.index(name)] = GAIN * weight
    places = substream(0, "nuisance places").standard_normal((_N_NUISANCE_PLACES, 3))
    places[:, 2] = np.abs(places[:, 2])
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    patterns = spread(places, positions, 0.6).T  # (C, 8)
    nuisance = np.einsum("cp,bk->cbpk", patterns, np.eye(n_bands)).reshape(len(ch_names) * n_bands, -1)
    eye_names = list(POPULATION_EFFECTS["eye"])
    eye_latent = np.zeros((len(_EYE_ROWS), len(eye_names)))
    for row, (name, loading, _, _) in enumerate(_EYE_ROWS):
        eye_latent[row, eye_names.index(name)] = loading
    return Structure(
        base=base.ravel(),
        latent=latent.reshape(-1, len(names)),
        nuisance=nuisance,
        eye_mean=np.array([mean for _, _, mean, _ in _EYE_ROWS]),
        eye_spread=np.array([spread_ for _, _, _, spread_ in _EYE_ROWS]),
        eye_latent=eye_latent,
    )


class GeneratedSubject:
    """One generated subject, counted from 1; the seed is of the data set, the difficulty the simulator's."""

    def __init__(self, seed: int, subject: int, shared: Structure, difficulty: str | float) -> None:
        # A simulated subject carries how strongly, and how differently, this subject shows each emotion.
        self._simulated = SimulatedSubject(1000 * seed + subject, difficulty)
        self._shared = shared
        rng = self._rng("places")
        self._place = self._patterned(rng, SUBJECT_SD)
        self._latent_place = LATENT_BASELINE_SD * rng.standard_normal((shared.latent.shape[1],))
        self._eye_place = EYE_SUBJECT_SD * rng.standard_normal(len(shared.eye_mean))

    def _rng(self, *names: str | int) -> np.random.Generator:
        return self._simulated.rng("data set", *names)

    def _patterned(self, rng: np.random.Generator, sd: float) -> NDArray[np.float64]:
        """Return (D,): half smooth over the scalp, half each channel for itself."""
        smooth = self._shared.nuisance @ rng.standard_normal(self._shared.nuisance.shape[1])
        return sd * (0.7 * smooth + 0.7 * rng.standard_normal(len(self._shared.base)))

    def effect(self, modality: str, emotion: str) -> NDArray[np.float64]:
        """Return what an emotion does to the latent parameters of a modality, in SDs of a trial."""
        return self._simulated.effect(modality, emotion)

    def eeg_mean(self, session: int, emotion: str) -> NDArray[np.float64]:
        """Return the true mean of the features of one emotion in one session, (D,) nats."""
        rng = self._rng("session", session)
        place = self._place + self._patterned(rng, SESSION_SD)
        n_latent = self._shared.latent.shape[1]
        z = self._latent_place + LATENT_SESSION_SD * rng.standard_normal((n_latent,))
        z += EEG_EFFECT * self.effect("eeg", emotion)
        return self._shared.base + place + self._shared.latent @ z

    def eye_mean(self, session: int, emotion: str) -> NDArray[np.float64]:
        """Return the true mean of the eye features, (33,) in their units."""
        shared = self._shared
        place = self._eye_place + EYE_SESSION_SD * self._rng("eye session", session).standard_normal(
            len(shared.eye_mean)
        )
        z = EYE_EFFECT * self.effect("eye", emotion)
        return shared.eye_mean + shared.eye_spread * (place + shared.eye_latent @ z)

    def eeg_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> NDArray[np.float64]:
        """Return one trial's features, one row a second, (n_seconds, D) nats."""
        shared, rng = self._shared, self._rng("eeg trial", session, trial)
        n_latent, n_nuisance = shared.latent.shape[1], shared.nuisance.shape[1]
        of_trial = LATENT_TRIAL_SD * rng.standard_normal(n_latent)
        z = of_trial + LATENT_DRIFT_SD * drift(rng, n_seconds, n_latent)  # (n_seconds, 6)
        also = NUISANCE_TRIAL_SD * rng.standard_normal(n_nuisance)
        u = also + NUISANCE_DRIFT_SD * drift(rng, n_seconds, n_nuisance)  # (n_seconds, 40)
        white = WHITE_SD * rng.standard_normal((n_seconds, len(shared.base)))
        return self.eeg_mean(session, emotion) + z @ shared.latent.T + u @ shared.nuisance.T + white

    def eye_trial(self, session: int, trial: int, emotion: str, n_seconds: int) -> NDArray[np.float64]:
        """Return one trial's eye features, one row a second, (n_seconds, 33) in their units."""
        shared, rng = self._shared, self._rng("eye trial", session, trial)
        n_rows, n_latent = shared.eye_latent.shape
        z = rng.standard_normal(n_latent) @ shared.eye_latent.T + EYE_TRIAL_SD * rng.standard_normal(n_rows)
        moving = EYE_DRIFT_SD * drift(rng, n_seconds, n_rows)
        moving += EYE_WHITE_SD * rng.standard_normal((n_seconds, n_rows))
        moving[:, clip_rows()] = 0.0
        return self.eye_mean(session, emotion) + shared.eye_spread * (z + moving)


def clip_rows() -> slice:
    """Return the eye rows that are one statistic of the whole clip."""
    return slice(22, 22 + _N_CLIP_ROWS)


def drift(rng: np.random.Generator, n_seconds: int, n: int) -> NDArray[np.float64]:
    """Return first-order autoregressive noise of unit variance, (n_seconds, n), time constant `DRIFT_S`."""
    pole = np.exp(-1 / DRIFT_S)
    noise = rng.standard_normal((n_seconds, n))
    noise[1:] *= np.sqrt(1 - pole**2)
    return lfilter([1.0], [1.0, -pole], noise, axis=0)


# -- From seconds to the published steps: averages over 4 s, smoothed with the future as the sets do -------

STEP_S = 4
_LDS_WEIGHT = 0.5  # of a neighbour one step away: stands in for the sets' linear dynamic system
_N_AVERAGED = 5


def averaged(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over consecutive 4 s, (W, D) from (n_seconds, D)."""
    n_steps = len(rows) // STEP_S
    return rows[: n_steps * STEP_S].reshape(n_steps, STEP_S, -1).mean(axis=1)


def lds_weights(n_steps: int) -> NDArray[np.float64]:
    """Return the smoothing of ``de_LDS`` as (W, W): two-sided exponential weights that sum to 1."""
    return _to_one(_LDS_WEIGHT ** _apart(n_steps).astype(float))


def moving_average_weights(n_steps: int) -> NDArray[np.float64]:
    """Return the smoothing of ``de_movingAve`` as (W, W): the mean of five steps, fewer at the ends."""
    return _to_one((_apart(n_steps) <= _N_AVERAGED // 2).astype(float))


def _apart(n: int) -> NDArray[np.int64]:
    return np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


def _to_one(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return weights / weights.sum(axis=1, keepdims=True)


# -- Raw EEG whose entropy follows given features second by second -----------------------------------------

#: Values are whole multiples of this, as an amplifier's are, only coarser: the files then pack to a sixth.
#: Its noise, 0.3 µV over all frequencies, adds less than 1 % to the power of the weakest band.
RESOLUTION_UV = 1.0
_N_SOURCES = 16
#: Electrodes' offsets; between 512 and 1024 floating-point numbers share their exponent, which packs well.
_OFFSET_UV, _OFFSET_SD_UV = 768.0, 20.0


def signal(
    de: NDArray[np.float64], ch_names: tuple[str, ...], sfreq: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return EEG (C, n_seconds · sfreq) in µV with the entropy ``de`` (n_seconds, C, n_bands) in nats.

    Each band is Gaussian noise of common sources and of each channel's own, scaled second by second.
    """
    n_seconds, n_channels = de.shape[:2]
    n_a_second = round(sfreq)
    n = n_seconds * n_a_second
    amplitudes = np.exp(de - DE_OF_UNIT)  # (n_seconds, C, n_bands) µV
    places = rng.standard_normal((_N_SOURCES, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    mixing = spread(places, electrode_positions(ch_names), 0.6)  # (16, C)
    mixing /= np.linalg.norm(mixing, axis=0)
    total = np.zeros((n_channels, n_seconds, n_a_second))
    for band, (_, low, high) in enumerate(EEG_BANDS):
        common = _band_noise(rng, _N_SOURCES, n, sfreq, low, high)
        own = _band_noise(rng, n_channels, n, sfreq, low, high)
        wave = 0.8 * mixing.T.astype(np.float32) @ common + 0.6 * own  # unit variance, (C, n)
        total += wave.reshape(n_channels, n_seconds, -1) * amplitudes[:, :, band].T[:, :, None]
    total += rng.normal(_OFFSET_UV, _OFFSET_SD_UV, (n_channels, 1, 1))
    return np.round(total.reshape(n_channels, n) / RESOLUTION_UV) * RESOLUTION_UV


def _band_noise(
    rng: np.random.Generator, n_rows: int, n: int, sfreq: float, low: float, high: float
) -> NDArray[np.float32]:
    """Return Gaussian noise of unit variance between two frequencies, (n_rows, n)."""
    first, last = int(np.ceil(low * n / sfreq)), int(np.ceil(high * n / sfreq))
    spectrum = np.zeros((n_rows, n // 2 + 1), dtype=np.complex64)
    parts = rng.standard_normal((2, n_rows, last - first), dtype=np.float32)
    spectrum[:, first:last] = parts[0] + 1j * parts[1]
    noise = np.fft.irfft(spectrum, n).astype(np.float32)
    # Each of the m bins adds 4 / n² to the variance: two parts of unit variance, doubled by symmetry.
    return noise * np.float32(n / (2 * np.sqrt(last - first)))
