"""Slow waves of the pupil: differential entropy in bands below 1 Hz."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.features.config import FeatureConfig

GRID_HZ = 10.0  # samples are averaged into 0.1 s: ten times the highest band, and no alias of noise


def pupil_entropy(
    times: NDArray[np.float64], pupils: NDArray[np.floating], t_end: float, config: FeatureConfig
) -> NDArray[np.float64]:
    """Return the entropy of each pupil in each of ``pupil_bands``.

    Parameters
    ----------
    times : ndarray, (n,)
        Seconds.
    pupils : ndarray, (n, n_eyes)
        Diameters, NaN where not known. Only ``eye_context_s`` (10 s) before ``t_end`` counts.
    t_end : float
        Where the context ends.
    config : FeatureConfig
        Bands, context and how much may be missing.

    Returns
    -------
    ndarray, (n_eyes, n_bands), float64
        ½ ln(2πe σ²) nats, σ² in squared units of ``pupils``. NaN if less than ``pupil_min_coverage`` of
        the context is known, holes of up to ``pupil_max_hole_s`` counted as known.

    Notes
    -----
    Hann window, bins 0.1 Hz apart, without the bin at 0 Hz: the band 0-0.2 Hz is the bin at 0.1 Hz. Only
    the mean is removed, no line: the slow drift is what the lowest band is about.
    """
    grid, known = _on_grid(times, pupils, t_end, config)
    n_grid = grid.shape[1]
    window = np.hanning(n_grid + 1)[:-1]  # periodic
    centred = grid - (grid @ window / window.sum())[:, None]  # so that the windowed mean is 0 exactly
    power = np.abs(np.fft.rfft(centred * window)) ** 2 * (2 / (n_grid * np.sum(window**2)))
    hz = np.fft.rfftfreq(n_grid, 1 / GRID_HZ)
    top = max(hi for _, _, hi in config.pupil_bands)
    slack = 0.1 * hz[1]
    entropy = np.empty((len(grid), len(config.pupil_bands)))
    for i, (_, lo, hi) in enumerate(config.pupil_bands):
        inside = (hz > 0) & (hz >= lo - slack) & ((hz <= hi + slack) if hi == top else (hz < hi - slack))
        variance = np.maximum(power[:, inside].sum(1), config.pupil_variance_floor)
        entropy[:, i] = 0.5 * np.log(2 * math.pi * math.e * variance)
    entropy[known < config.pupil_min_coverage] = np.nan
    return entropy


def _on_grid(
    times: NDArray[np.float64], pupils: NDArray[np.floating], t_end: float, config: FeatureConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means over 0.1 s, (n_eyes, n_grid), without holes, and the share of each row that is known."""
    n_grid = round(config.eye_context_s * GRID_HZ)
    # Counted back from t_end: the newest cell is complete.
    cells = n_grid - 1 - np.floor((t_end - times) * GRID_HZ + 1e-6).astype(np.intp)
    grid = np.zeros((pupils.shape[1], n_grid))
    known = np.zeros(pupils.shape[1])
    everywhere = np.arange(n_grid)
    for eye in range(pupils.shape[1]):
        good = np.isfinite(pupils[:, eye]) & (cells >= 0) & (cells < n_grid)
        counts = np.bincount(cells[good], minlength=n_grid)
        filled = np.flatnonzero(counts)
        if len(filled) == 0:
            continue
        means = np.bincount(cells[good], weights=pupils[good, eye], minlength=n_grid)[filled] / counts[filled]
        grid[eye] = np.interp(everywhere, filled, means)
        holes = np.diff(filled) - 1
        bridged = holes[holes <= config.pupil_max_hole_s * GRID_HZ].sum()
        known[eye] = (len(filled) + bridged) / n_grid
    return grid, known
