"""A causal Kalman filter of entropy: the live form of the LDS smoothing of SEED's published features.

Each channel and band is a random walk seen through white noise (Shi and Lu 2010 smooth DE so, with future
samples). Only the ratio of both variances matters: ``q`` of a second's walk over the noise of a step. A step
that is missing or unusable only predicts: what is known of the level fades, and the next one counts for more.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class EntropySmoother:
    """The filters of one stream of EEG steps, one for each grid of steps a second apart."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._grids: dict[int, tuple[float, Tensor, Tensor]] = {}

    def __call__(self, t_end: float, entropy: Tensor) -> Tensor:
        """Return a step's entropy (C, n_bands) as filtered up to it, NaN where it is NaN.

        A step of a grid that is not later than its last one, or has other channels, starts that grid anew.
        """
        grid, seen = round(1000 * (t_end % 1.0)), torch.isfinite(entropy)
        value = entropy.double().nan_to_num()
        last, mean, variance = self._grids.get(grid, (math.inf, value, value))
        if t_end <= last or mean.shape != value.shape:  # nothing is known of it
            mean, variance = value, torch.full_like(value, math.inf)
        else:
            variance = variance + self._ratio * (t_end - last)
        gain = 1 / (1 + 1 / variance)  # in units of a step's noise; also its variance once it is seen
        mean = torch.where(seen, mean + gain * (value - mean), mean)
        self._grids[grid] = t_end, mean, torch.where(seen, gain, variance)
        return torch.where(seen, mean, torch.nan).to(entropy.dtype)


def smoothed(entropy: NDArray[np.float32], ratio: float | None, step_s: float = 1.0) -> NDArray[np.float32]:
    """Return consecutive steps (W, C, n_bands) as filtered from the first on; unchanged without a ratio."""
    if ratio is None:
        return entropy
    smoother = EntropySmoother(ratio)
    steps = (smoother(at * step_s, torch.from_numpy(rows)) for at, rows in enumerate(entropy))
    return np.stack([step.numpy() for step in steps]) if len(entropy) else entropy
