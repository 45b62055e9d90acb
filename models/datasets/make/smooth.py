"""From seconds to the published steps: averages over 4 s, smoothed with the future as the sets do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.datasets.make.person import DRIFT_S

STEP_S = 4
_LDS_WEIGHT = 0.5  # of a neighbour one step away: stands in for the sets' linear dynamic system
_N_AVERAGED = 5
_N_REACH = 48  # steps: what is further away weighs nothing, and no window is longer


def averaged(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means over consecutive 4 s, (W, D) from (n_seconds, D)."""
    n_steps = len(rows) // STEP_S
    return rows[: n_steps * STEP_S].reshape(n_steps, STEP_S, -1).mean(axis=1)


def lds_weights(n_steps: int) -> NDArray[np.float64]:
    """Return the smoothing of ``de_LDS`` as (W, W): two-sided exponential weights that sum to 1."""
    apart = np.abs(np.subtract.outer(np.arange(n_steps), np.arange(n_steps)))
    weights = _LDS_WEIGHT ** apart.astype(float)
    return weights / weights.sum(axis=1, keepdims=True)


def moving_average_weights(n_steps: int) -> NDArray[np.float64]:
    """Return the smoothing of ``de_movingAve`` as (W, W): the mean of five steps, fewer at the ends."""
    apart = np.abs(np.subtract.outer(np.arange(n_steps), np.arange(n_steps)))
    weights = (apart <= _N_AVERAGED // 2).astype(float)
    return weights / weights.sum(axis=1, keepdims=True)


def autocovariance(white: bool, n_lags: int = _N_REACH) -> NDArray[np.float64]:
    """Return how unit noise of one second each covaries after averaging and ``de_LDS``, (n_lags,) by lag.

    Parameters
    ----------
    white : bool
        True for white noise, False for drift.

    Notes
    -----
    Exact in the middle of a long trial; within three steps of a trial's ends smoothing averages less.
    """
    n_steps = 2 * n_lags + 1
    seconds = np.arange(n_steps * STEP_S)
    apart = np.abs(np.subtract.outer(seconds, seconds))
    unit = np.eye(len(seconds)) if white else np.exp(-apart / DRIFT_S)
    mean = np.kron(np.eye(n_steps), np.full((1, STEP_S), 1 / STEP_S))  # (W, n_seconds)
    weights = lds_weights(n_steps) @ mean
    covariance = weights @ unit @ weights.T
    middle = n_steps // 2
    return covariance[middle, middle : middle + n_lags]
