"""Sessions of simulated subjects with a profile, and of noise, as the fusion learns from them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.windowing import WindowConfig
from models.level import Evidence, Recent, RunningLevel, recent_of
from models.mixed_part import LabelledTrial, own_level


def profiled_session(
    features: Recent,
    trials: Sequence[LabelledTrial],
    trial: NDArray[np.integer],
    evidence: Evidence,
    windows: WindowConfig,
) -> tuple[Tensor, Tensor]:
    """Return evidence (n, 4, n_labels), measures (n, 4, 2) by profiles of a session's other trials."""
    found = {}
    for number in range(len(trials)):
        others = [one for at, one in enumerate(trials) if at != number]
        level = own_level(others)
        updated = evidence.discriminant.update([one.minus(level) for one in others])
        own = Evidence(updated, evidence.range, evidence.config)
        fixed = RunningLevel(updated, evidence.config, level)
        for at in np.flatnonzero(trial == number).tolist():
            found[at] = own.of_window(recent_of(features, at, windows), fixed)
    pairs = [found[at] for at in range(len(trial))]
    return torch.stack([one for one, _ in pairs]), torch.stack([other for _, other in pairs])


def noise(
    features: Recent, n: int, evidence: Evidence, windows: WindowConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return evidence (n, 4, n_labels) and measures (n, 4, 2) of windows of noise, twice the signal's SD."""
    mean = {m: np.nanmean(x, axis=0) for m, x in features.items()}
    sd = {m: np.nanstd(x, axis=0) for m, x in features.items()}
    level = RunningLevel(evidence.discriminant, evidence.config, mean)
    found = []
    for _ in range(n):
        drawn = {
            m: mean[m] + 2 * sd[m] * rng.standard_normal((windows.eeg_n_steps, len(mean[m]))) for m in mean
        }
        found.append(evidence.of_window(recent_of(drawn, windows.eeg_n_steps - 1, windows), level))
    return torch.stack([one for one, _ in found]), torch.stack([other for _, other in found])
