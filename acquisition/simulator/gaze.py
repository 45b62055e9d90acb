"""Simulated eye tracker: 60 Hz gaze on the screen (0-1), pupils in millimetres, validity."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from acquisition.simulator.behaviour import Behaviour

SFREQ = 60.0
CH_NAMES = ("gaze_x", "gaze_y", "pupil_left", "pupil_right", "validity")
UNITS = ("normalized", "normalized", "mm", "mm", "")
BLOCK_N = 60
_WAVE_HZ = np.array([0.06, 0.11, 0.17, 0.24, 0.31, 0.38, 0.45, 0.56, 0.67, 0.81, 0.95])
_PUPIL_MM = 0.2  # one latent unit
_WAVE_MM = 0.035  # amplitude of the slowest wave


class _Scanpath:
    """Fixations one after the other, joined by saccades; corner points of the gaze's course."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.rng = behaviour.subject.rng("scanpath")
        self.centre = 0.5 + 0.04 * self.rng.standard_normal(2)
        behaviour.renew(self.rng)
        self.times, self.points = [behaviour.begin_s], [self.centre]

    def positions(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        while self.times[-1] <= times[-1]:
            self._next_fixation()
        # Corners before this block are no longer needed.
        first = max(np.searchsorted(self.times, times[0]) - 1, 0)
        self.times, self.points = self.times[first:], self.points[first:]
        corners = np.array(self.points)
        return np.stack([np.interp(times, self.times, corners[:, i]) for i in (0, 1)], axis=1)

    def _next_fixation(self) -> None:
        latent = self.behaviour.latent("eye", self.times[-1])
        spread = 0.12 * np.exp(0.18 * latent["dispersion"])
        target = np.clip(self.centre + spread * self.rng.standard_normal(2) * (1.0, 0.7), 0.02, 0.98)
        amplitude = float(np.linalg.norm(target - self.points[-1]))
        arrives = self.times[-1] + 0.02 + 0.08 * amplitude  # the main sequence, roughly
        length = 0.32 * np.exp(0.16 * latent["fixation_duration"] + 0.35 * self.rng.standard_normal())
        self.times += [arrives, arrives + max(length, 0.1)]
        self.points += [target, target + 0.002 * self.rng.standard_normal(2)]


def gaze_blocks(behaviour: Behaviour) -> Iterator[NDArray[np.float64]]:
    """Yield consecutive seconds of gaze, (60, 5); sample i lies i / 60 s after the begin.

    While the lids are closed gaze and pupils are NaN and the validity is 0.
    """
    rng = behaviour.subject.rng("eye tracker")
    path = _Scanpath(behaviour)
    base_mm = rng.normal(3.6, 0.25)
    unequal_mm = 0.06 * rng.standard_normal()
    phases = rng.uniform(0, 2 * np.pi, len(_WAVE_HZ))
    heights = _WAVE_MM * (_WAVE_HZ / _WAVE_HZ[0]) ** -0.5
    behaviour.renew(rng)
    start = round(behaviour.begin_s * SFREQ)
    while True:
        times = (start + np.arange(BLOCK_N)) / SFREQ
        latents = [behaviour.latent("eye", t) for t in (times[0], times[-1])]
        along = np.linspace(0.0, 1.0, BLOCK_N)
        level, wave_gain = (
            latents[0][name] * (1 - along) + latents[1][name] * along for name in ("pupil", "pupil_waves")
        )
        waves = np.sin(2 * np.pi * _WAVE_HZ * times[:, None] + phases) @ heights
        pupil = base_mm + _PUPIL_MM * level + np.exp(0.2 * wave_gain) * waves
        block = np.empty((BLOCK_N, len(CH_NAMES)))
        block[:, :2] = path.positions(times) + 0.0015 * rng.standard_normal((BLOCK_N, 2))
        block[:, 2] = pupil + unequal_mm / 2
        block[:, 3] = pupil - unequal_mm / 2
        block[:, 2:4] = np.maximum(block[:, 2:4] + 0.012 * rng.standard_normal((BLOCK_N, 2)), 1.2)
        shut = behaviour.lid_closure(times) > 0.5
        block[:, 4] = 1.0 - shut
        block[shut, :4] = np.nan
        yield block
        start += BLOCK_N
