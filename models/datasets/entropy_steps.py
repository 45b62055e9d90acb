"""Differential entropy of a recording step by step, by the functions that serve live."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.features.config import FeatureConfig
from models.features.de import differential_entropy
from models.step_features import usable_channels

STEP_S = 1.0


def entropy_steps(
    x: NDArray[np.floating], sfreq: float, config: FeatureConfig, step_s: float = STEP_S
) -> NDArray[np.float32]:
    """Return the entropy of consecutive steps.

    Parameters
    ----------
    x : ndarray, (C, n_times)
        EEG in µV; what is left over after the last whole step is not used.
    sfreq : float
        Hz.
    config : FeatureConfig
        Bands and mains.
    step_s : float
        Length of a step, and the distance to the next.

    Returns
    -------
    ndarray, (W, C, n_bands), float32
        Nats; NaN where a channel is flat, at its rails or not finite in that step.

    Raises
    ------
    InputError
        If the rate is too low for a band.
    """
    n_channels, n_times = x.shape
    n_step = round(step_s * sfreq)
    n_steps = n_times // n_step
    if n_steps == 0:
        return np.zeros((0, n_channels, len(config.bands)), dtype=np.float32)
    steps = x[:, : n_steps * n_step].reshape(n_channels, n_steps, n_step).transpose(1, 0, 2)  # (W, C, n)
    usable = np.array([usable_channels(step) for step in steps]).reshape(n_steps, n_channels)
    filled = torch.from_numpy(np.where(usable[:, :, None], steps, 0.0))
    de = differential_entropy(filled, sfreq, config).numpy()  # (W, C, n_bands)
    return np.where(usable[:, :, None], de, np.nan).astype(np.float32)
