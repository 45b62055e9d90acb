"""Simulated EEG: 62 channels of the SEED montage, 1000 Hz, microvolts.

All sources are rows of one matrix that is mixed onto the scalp in one product: band oscillations at
places in the head (their amplitude follows the emotion), a 1/f background, blinks, muscle, line noise,
slow drift. Sensor noise, electrode pops and a constant offset come on top of each channel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt, unit_impulse

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.artefacts import BlinkSource, ElectrodePops, MuscleBursts, slow_waves
from acquisition.simulator.behaviour import Behaviour
from acquisition.simulator.scalp import electrode_positions, spread

SFREQ = 1000.0
BLOCK_N = 250  # samples made at once; a block costs a few milliseconds
GAIN = 0.2  # log amplitude (= nats of DE) of one latent unit where its map is 1

#: Where the oscillations come from, named by the electrode above.
SOURCE_PLACES = (
    *("AF3", "AF4", "F5", "F6", "FZ", "FC3", "FC4", "T7", "T8", "C3", "CZ", "C4"),
    *("TP7", "TP8", "P3", "PZ", "P4", "PO7", "PO8", "OZ"),
)

#: Band -> (low Hz, high Hz, amplitude in microvolts).
BANDS = {
    "delta": (1.0, 4.0, 6.0),
    "theta": (4.0, 8.0, 4.5),
    "alpha": (8.0, 13.0, 6.5),
    "beta": (15.0, 29.0, 3.2),
    "gamma": (32.0, 48.0, 2.2),
}

#: The background as first-order low-pass noises (corner Hz, microvolts) that add up to about 1/f.
_BACKGROUND = ((0.8, 7.0), (8.0, 2.5))
_N_BACKGROUND = 12
_SENSOR_UV = 0.8


def emotion_maps(places: NDArray[np.float64]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return how each latent parameter changes each band at each place.

    Parameters
    ----------
    places : ndarray, (n_places, 3)
        Unit vectors.

    Returns
    -------
    dict of str to dict of str to ndarray, (n_places,)
        Band -> latent parameter -> weight, about -1 to 1.
    """

    def near(names: str, width_rad: float) -> NDArray[np.float64]:
        return spread(electrode_positions(names.split()), places, width_rad).max(axis=0)

    temporal = near("T7 T8", 0.5)
    return {
        "delta": {"central_delta": near("CZ FCZ", 0.7)},
        "theta": {"frontal_theta": near("FZ AF3 AF4", 0.55)},
        "alpha": {
            "alpha_asymmetry": near("F4 F6", 0.45) - near("F3 F5", 0.45),
            "posterior_alpha": near("PZ PO3 PO4 OZ", 0.5),
        },
        "beta": {"temporal_beta": temporal},
        "gamma": {"temporal_gamma": temporal},
    }


class _Oscillations:
    """Band-limited noises whose amplitude follows the emotion; rows (band, place)."""

    def __init__(self, behaviour: Behaviour) -> None:
        rng = behaviour.subject.rng("eeg sources")
        places = electrode_positions(SOURCE_PLACES)
        self.rng = behaviour.subject.rng("eeg oscillations")
        self.behaviour = behaviour
        # Every head is a little different: places move by some degrees.
        moved = places + 0.08 * rng.standard_normal(places.shape)
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        self.topography = spread(moved, electrode_positions(SEED_CH_NAMES), 0.42)
        self.maps = emotion_maps(places)
        posterior = 1.0 + 0.9 * np.clip(-places[:, 1], 0, 1)
        self.filters, self.states, self.amplitudes = [], [], []
        for band, (low, high, amplitude) in BANDS.items():
            sos = butter(2, (low, high), "bandpass", fs=SFREQ, output="sos")
            response = sosfilt(sos, unit_impulse(4000))
            self.filters.append(sos)
            self.states.append(np.zeros((len(sos), len(places), 2)))
            personal = np.exp(0.15 * rng.standard_normal(len(places)))
            place_gain = posterior if band == "alpha" else 1.0
            # Neighbouring sources overlap on the scalp: scale one source down accordingly.
            self.amplitudes.append(0.6 * amplitude * personal * place_gain / np.sqrt(np.sum(response**2)))
        behaviour.renew(self.rng)
        self.gains = self._gains(behaviour.begin_s)

    def mixing(self) -> NDArray[np.float64]:
        return np.tile(self.topography, (len(BANDS), 1))

    def block(self, t_end: float) -> NDArray[np.float64]:
        gains = self._gains(t_end)
        ramp = np.arange(1, BLOCK_N + 1) / BLOCK_N
        rows = []
        for i, sos in enumerate(self.filters):
            noise = self.rng.standard_normal((len(SOURCE_PLACES), BLOCK_N))
            wave, self.states[i] = sosfilt(sos, noise, axis=1, zi=self.states[i])
            rows.append(wave * (self.gains[i][:, None] * (1 - ramp) + gains[i][:, None] * ramp))
        self.gains = gains
        return np.concatenate(rows)

    def _gains(self, t: float) -> list[NDArray[np.float64]]:
        latent = self.behaviour.latent("eeg", t)
        return [
            amplitude * np.exp(GAIN * sum(latent[name] * weight for name, weight in self.maps[band].items()))
            for band, amplitude in zip(BANDS, self.amplitudes, strict=True)
        ]


class _Background:
    """Noise that falls with frequency, from places all over the head."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.rng = behaviour.subject.rng("eeg background")
        places = self.rng.standard_normal((_N_BACKGROUND, 3))
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        self.topography = 0.7 * spread(places, electrode_positions(SEED_CH_NAMES), 0.9)
        self.states = [np.zeros((_N_BACKGROUND, 1)) for _ in _BACKGROUND]
        behaviour.renew(self.rng)

    def mixing(self) -> NDArray[np.float64]:
        return self.topography

    def block(self) -> NDArray[np.float64]:
        total = np.zeros((_N_BACKGROUND, BLOCK_N))
        for i, (corner_hz, amplitude) in enumerate(_BACKGROUND):
            pole = np.exp(-2 * np.pi * corner_hz / SFREQ)
            noise = self.rng.standard_normal((_N_BACKGROUND, BLOCK_N))
            # A first-order low-pass of unit white noise has variance 1 / (1 - pole²).
            wave, self.states[i] = lfilter([amplitude * np.sqrt(1 - pole**2)], [1, -pole], noise, axis=1,
                                           zi=self.states[i])  # fmt: skip
            total += wave
        return total


def eeg_blocks(behaviour: Behaviour) -> Iterator[NDArray[np.float64]]:
    """Yield consecutive blocks of EEG, (250, 62) in microvolts; sample i lies i / 1000 s after the begin."""
    rng = behaviour.subject.rng("eeg sensors")
    positions = electrode_positions(SEED_CH_NAMES)
    oscillations, background = _Oscillations(behaviour), _Background(behaviour)
    blink, muscle = BlinkSource(behaviour, positions), MuscleBursts(behaviour, positions, SFREQ)
    pops = ElectrodePops(behaviour.subject, len(SEED_CH_NAMES))
    line_uv = rng.uniform(0.5, 3.0, len(SEED_CH_NAMES))
    line_angle = rng.normal(0.0, 0.4, len(SEED_CH_NAMES))
    line = np.stack([line_uv * np.cos(line_angle), line_uv * np.sin(line_angle), 0.15 * line_uv])
    drift = rng.normal(0.0, 6.0, (4, len(SEED_CH_NAMES)))
    offset_uv = rng.normal(0.0, 60.0, len(SEED_CH_NAMES))
    mixing = np.concatenate(
        [oscillations.mixing(), background.mixing(), blink.mixing(), muscle.mixing(), line, drift]
    )
    behaviour.renew(rng)
    start = round(behaviour.begin_s * SFREQ)
    while True:
        times = (start + np.arange(BLOCK_N)) / SFREQ
        mains = 2 * np.pi * 50.0 * times
        rows = [
            oscillations.block(times[-1]),
            background.block(),
            blink.block(times),
            muscle.block(times),
            np.stack([np.sin(mains), np.cos(mains), np.sin(3 * mains)]),
            slow_waves(times),
        ]
        noise = rng.standard_normal((BLOCK_N, len(SEED_CH_NAMES)), dtype=np.float32)
        yield np.concatenate(rows).T @ mixing + _SENSOR_UV * noise + pops.block(times) + offset_uv
        start += BLOCK_N
