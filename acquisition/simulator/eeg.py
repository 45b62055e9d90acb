"""Simulated EEG: 62 channels of the SEED montage, 1000 Hz, microvolts.

All sources are rows of one matrix that is mixed onto the scalp in one product: band oscillations at places in
the head (their amplitude follows the emotion), a 1/f background, blinks, muscle, line noise, slow drift.
Sensor noise, electrode pops and a constant offset come on top of each channel.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import scipy  # loads its signal package when that is used
from numpy.typing import NDArray

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.behaviour import Behaviour
from acquisition.simulator.subject import SimulatedSubject

# Degrees from the vertex of each row's midline electrode (front positive), and degrees round the
# head's equator, from the front, of the row's outermost electrode.
_ROWS = {
    "FP": (90.0, 18.0),
    "AF": (67.5, 36.0),
    "F": (45.0, 54.0),
    "FC": (22.5, 72.0),
    "FT": (22.5, 72.0),
    "C": (0.0, 90.0),
    "T": (0.0, 90.0),
    "CP": (-22.5, 108.0),
    "TP": (-22.5, 108.0),
    "P": (-45.0, 126.0),
    "PO": (-67.5, 144.0),
    "O": (-90.0, 162.0),
}


def electrode_positions(ch_names: Sequence[str]) -> NDArray[np.float64]:
    """Return unit vectors (n_channels, 3) of 10-10 electrodes: x right, y front, z up.

    Rows are great arcs from the midline electrode to the equator, divided in four; CB1 and CB2 lie
    below O1 and O2.
    """
    return np.stack([_position(name) for name in ch_names])


def _position(name: str) -> NDArray[np.float64]:
    match = re.fullmatch(r"([A-Z]+?)(Z|\d+)", name)
    if match is None:
        raise ValueError(f"not a 10-20 name: {name!r}")
    row, place = match.groups()
    side = 0.0 if place == "Z" else (-1.0 if int(place) % 2 else 1.0)
    if row == "CB":
        return _on_sphere(azimuth_deg=155.0 * side, elevation_deg=-22.0)
    sagittal_deg, equator_deg = _ROWS[row]
    midline = _on_sphere(0.0, 90.0 - sagittal_deg)
    outer = _on_sphere(equator_deg * side, 0.0)
    steps = 0 if place == "Z" else (int(place) + 1) // 2
    # FP1 and O1 are the first of their row and lie on the equator already.
    fraction = 1.0 if row in ("FP", "O") and steps else steps / 4.0
    angle = np.arccos(np.clip(midline @ outer, -1.0, 1.0))
    if steps == 0:
        return midline
    return (np.sin((1 - fraction) * angle) * midline + np.sin(fraction * angle) * outer) / np.sin(angle)


def _on_sphere(azimuth_deg: float, elevation_deg: float) -> NDArray[np.float64]:
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    return np.array(
        [np.cos(elevation) * np.sin(azimuth), np.cos(elevation) * np.cos(azimuth), np.sin(elevation)]
    )


def spread(
    centres: NDArray[np.float64], positions: NDArray[np.float64], width_rad: float
) -> NDArray[np.float64]:
    """Return how strongly each centre is seen at each position, (n_centres, n_positions).

    A Gaussian of the angle between unit vectors, (n_centres, 3) and (n_positions, 3): 1 where they coincide.
    """
    angle = np.arccos(np.clip(centres @ positions.T, -1.0, 1.0))
    return np.exp(-0.5 * (angle / width_rad) ** 2)


_BURST_SLOT_S = 6.0
_BURST_CHANCE = 0.15  # a slot holds a muscle burst
_POP_SLOT_S = 20.0
_POP_CHANCE = 0.3  # a slot holds a pop, on one channel
_POP_DECAY_S = 0.25
_DRIFT_PERIODS_S = (11.0, 23.0, 41.0, 97.0)


class MuscleBursts:
    """Bursts of 20-120 Hz at the temples, now left, now right."""

    def __init__(self, behaviour: Behaviour, positions: NDArray[np.float64], sfreq: float) -> None:
        self.subject = behaviour.subject
        self._rng = self.subject.rng("muscle noise")
        behaviour.renew(self._rng)
        self.topography = 9.0 * spread(electrode_positions(["FT7", "FT8"]), positions, 0.35)
        self._sos = scipy.signal.butter(2, (20.0, 120.0), "bandpass", fs=sfreq, output="sos")
        self._state = np.zeros((len(self._sos), 2, 2))

    def block(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the two temples' bursts, (2, n_times)."""
        noise = 2.0 * self._rng.standard_normal((2, len(times)))
        wave, self._state = scipy.signal.sosfilt(self._sos, noise, axis=1, zi=self._state)
        envelope = np.zeros((2, len(times)))
        slot = int(times[0] // _BURST_SLOT_S)
        for k in (slot - 1, slot):
            chance, side, place, length = self.subject.rng("burst", max(k, 0)).random(4)
            if k < 0 or chance > _BURST_CHANCE:
                continue
            phase = (times - (k + place) * _BURST_SLOT_S) / (0.3 + length)
            envelope[int(side > 0.5)] += np.where((phase > 0) & (phase < 1), np.sin(np.pi * phase) ** 2, 0.0)
        return wave * envelope


class ElectrodePops:
    """Sudden steps of one electrode that decay."""

    def __init__(self, subject: SimulatedSubject, n_channels: int) -> None:
        self.subject, self._n_channels = subject, n_channels

    def block(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pops in microvolts, (n_times, n_channels), or (1, 1) zero where there is none."""
        slot = int(times[0] // _POP_SLOT_S)
        total = np.zeros((1, 1))
        for k in (slot - 1, slot):
            if k < 0:
                continue
            rng = self.subject.rng("pop", k)
            chance, place, height = rng.random(3)
            since = times - (k + place) * _POP_SLOT_S
            if chance > _POP_CHANCE or since[-1] < 0 or since[0] > 10 * _POP_DECAY_S:
                continue
            pop = np.zeros((len(times), self._n_channels))
            shape = np.where(since >= 0, np.exp(-np.maximum(since, 0) / _POP_DECAY_S), 0.0)
            pop[:, rng.integers(self._n_channels)] = (60.0 + 140.0 * height) * shape
            total = total + pop
        return total


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
    """Return how each latent parameter changes each band at each place (n_places, 3), unit vectors.

    Band -> latent parameter -> weight (n_places,), about -1 to 1.
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
        scalp = spread(moved, electrode_positions(SEED_CH_NAMES), 0.42)
        self.topography = np.tile(scalp, (len(BANDS), 1))
        self.maps = emotion_maps(places)
        posterior = 1.0 + 0.9 * np.clip(-places[:, 1], 0, 1)
        self.filters, self.states, self.amplitudes = [], [], []
        for band, (low, high, amplitude) in BANDS.items():
            sos = scipy.signal.butter(2, (low, high), "bandpass", fs=SFREQ, output="sos")
            response = scipy.signal.sosfilt(sos, scipy.signal.unit_impulse(4000))
            self.filters.append(sos)
            self.states.append(np.zeros((len(sos), len(places), 2)))
            personal = np.exp(0.15 * rng.standard_normal(len(places)))
            place_gain = posterior if band == "alpha" else 1.0
            # Neighbouring sources overlap on the scalp: scale one source down accordingly.
            self.amplitudes.append(0.6 * amplitude * personal * place_gain / np.sqrt(np.sum(response**2)))
        behaviour.renew(self.rng)
        self.gains = self._gains(behaviour.begin_s)

    def block(self, t_end: float) -> NDArray[np.float64]:
        gains = self._gains(t_end)
        ramp = np.arange(1, BLOCK_N + 1) / BLOCK_N
        rows = []
        for i, sos in enumerate(self.filters):
            noise = self.rng.standard_normal((len(SOURCE_PLACES), BLOCK_N))
            wave, self.states[i] = scipy.signal.sosfilt(sos, noise, axis=1, zi=self.states[i])
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

    def block(self) -> NDArray[np.float64]:
        total = np.zeros((_N_BACKGROUND, BLOCK_N))
        for i, (corner_hz, amplitude) in enumerate(_BACKGROUND):
            pole = np.exp(-2 * np.pi * corner_hz / SFREQ)
            noise = self.rng.standard_normal((_N_BACKGROUND, BLOCK_N))
            # A first-order low-pass of unit white noise has variance 1 / (1 - pole²).
            gain = amplitude * np.sqrt(1 - pole**2)
            wave, self.states[i] = scipy.signal.lfilter([gain], [1, -pole], noise, axis=1, zi=self.states[i])
            total += wave
        return total


def eeg_blocks(behaviour: Behaviour) -> Iterator[NDArray[np.float64]]:
    """Yield consecutive blocks of EEG, (250, 62) in microvolts; sample i lies i / 1000 s after the begin."""
    rng = behaviour.subject.rng("eeg sensors")
    positions = electrode_positions(SEED_CH_NAMES)
    oscillations, background = _Oscillations(behaviour), _Background(behaviour)
    muscle = MuscleBursts(behaviour, positions, SFREQ)
    # The corneo-retinal field when the lids close, largest at the forehead.
    blink_uv = 130.0 * np.exp(0.2 * behaviour.subject.rng("blink field").standard_normal())
    blink = blink_uv * spread(electrode_positions(["FPZ"]), positions, 0.5)
    pops = ElectrodePops(behaviour.subject, len(SEED_CH_NAMES))
    line_uv = rng.uniform(0.5, 3.0, len(SEED_CH_NAMES))
    line_angle = rng.normal(0.0, 0.4, len(SEED_CH_NAMES))
    line = np.stack([line_uv * np.cos(line_angle), line_uv * np.sin(line_angle), 0.15 * line_uv])
    drift = rng.normal(0.0, 6.0, (4, len(SEED_CH_NAMES)))
    offset_uv = rng.normal(0.0, 60.0, len(SEED_CH_NAMES))
    mixing = np.concatenate(
        [oscillations.topography, background.topography, blink, muscle.topography, line, drift]
    )
    behaviour.renew(rng)
    start = round(behaviour.begin_s * SFREQ)
    while True:
        times = (start + np.arange(BLOCK_N)) / SFREQ
        mains = 2 * np.pi * 50.0 * times
        rows = [
            oscillations.block(times[-1]),
            background.block(),
            behaviour.lid_closure(times)[None],
            muscle.block(times),
            np.stack([np.sin(mains), np.cos(mains), np.sin(3 * mains)]),
            np.sin(2 * np.pi * times / np.array(_DRIFT_PERIODS_S)[:, None]),
        ]
        noise = rng.standard_normal((BLOCK_N, len(SEED_CH_NAMES)), dtype=np.float32)
        yield np.concatenate(rows).T @ mixing + _SENSOR_UV * noise + pops.block(times) + offset_uv
        start += BLOCK_N
