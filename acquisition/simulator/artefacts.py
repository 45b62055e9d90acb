"""What disturbs an EEG: blinks, muscle, electrode pops, slow drift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from acquisition.simulator.behaviour import Behaviour
from acquisition.simulator.scalp import electrode_positions, spread
from acquisition.simulator.subject import SimulatedSubject

_BURST_SLOT_S = 6.0
_BURST_CHANCE = 0.15  # a slot holds a muscle burst
_POP_SLOT_S = 20.0
_POP_CHANCE = 0.3  # a slot holds a pop, on one channel
_POP_DECAY_S = 0.25
_DRIFT_PERIODS_S = (11.0, 23.0, 41.0, 97.0)


class BlinkSource:
    """The eyes' own field when the lids close, largest at the forehead."""

    def __init__(self, behaviour: Behaviour, positions: NDArray[np.float64]) -> None:
        self.behaviour = behaviour
        rng = behaviour.subject.rng("blink field")
        self._topography = 130.0 * np.exp(0.2 * rng.standard_normal()) * (
            spread(electrode_positions(["FPZ"]), positions, 0.5)
        )  # fmt: skip

    def mixing(self) -> NDArray[np.float64]:
        """Return microvolts at each position, (1, n_positions)."""
        return self._topography

    def block(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the lids are closed, (1, n_times)."""
        return self.behaviour.lid_closure(times)[None]


class MuscleBursts:
    """Bursts of 20-120 Hz at the temples, now left, now right."""

    def __init__(self, behaviour: Behaviour, positions: NDArray[np.float64], sfreq: float) -> None:
        self.subject = behaviour.subject
        self._rng = self.subject.rng("muscle noise")
        behaviour.renew(self._rng)
        self._topography = 9.0 * spread(electrode_positions(["FT7", "FT8"]), positions, 0.35)
        self._sos = butter(2, (20.0, 120.0), "bandpass", fs=sfreq, output="sos")
        self._state = np.zeros((len(self._sos), 2, 2))

    def mixing(self) -> NDArray[np.float64]:
        """Return microvolts at each position, (2, n_positions)."""
        return self._topography

    def block(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the two temples' bursts, (2, n_times)."""
        noise = 2.0 * self._rng.standard_normal((2, len(times)))
        wave, self._state = sosfilt(self._sos, noise, axis=1, zi=self._state)
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
        self.subject = subject
        self._n_channels = n_channels

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


def slow_waves(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the courses of the electrodes' drift, (4, n_times)."""
    return np.sin(2 * np.pi * times / np.array(_DRIFT_PERIODS_S)[:, None])
