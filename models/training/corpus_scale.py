"""Normalisation fitted to a corpus in one pass over its shards, a trial in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.normalise import MIN_SD_NATS, EegScale, EyeScale, eye_scale
from models.training.corpus import Entry, steps_of

_MIN_SD_SHARE = 1e-3  # of the scaled eye features' span of 90: nothing real varies less


@dataclass(eq=False)
class _Moments:
    """Sums over steps, (C, F) float64; NaN counts nowhere."""

    n: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Moments:
        n, total, squares = (np.zeros(shape) for _ in range(3))
        return cls(n, total, squares, np.full(shape, np.inf), np.full(shape, -np.inf))

    def add(self, rows: NDArray[np.float32], at: NDArray[np.int64]) -> None:
        """Add (W, len(at), F) rows to the channels ``at``."""
        known = np.isfinite(rows)
        values = np.where(known, rows, 0.0).astype(np.float64)
        self.n[at] += known.sum(axis=0)
        self.total[at] += values.sum(axis=0)
        self.squares[at] += (values**2).sum(axis=0)
        self.low[at] = np.minimum(self.low[at], np.where(known, rows, np.inf).min(axis=0))
        self.high[at] = np.maximum(self.high[at], np.where(known, rows, -np.inf).max(axis=0))

    def mean_and_sd(self) -> tuple[Tensor, Tensor]:
        """Return mean and SD, NaN where nothing was known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self.total / self.n
            sd = np.sqrt(np.maximum(self.squares / self.n - mean**2, 0.0))
        return torch.from_numpy(mean), torch.from_numpy(sd)


def fit_eeg_scale(entries: Sequence[Entry], ch_names: Sequence[str]) -> EegScale:
    """Return what `models.features.normalise.fit_eeg` gives for all steps together.

    A channel that was usable nowhere gets the mean and SD of the others: it is masked in training.
    """
    moments = None
    for entry in entries:
        known = [name for name in entry.ch_names if name in ch_names]
        if not known:
            continue
        rows = steps_of(entry, "eeg")
        if moments is None:
            moments = _Moments.of((len(ch_names), rows.shape[2]))
        moments.add(
            rows[:, [entry.ch_names.index(name) for name in known]],
            np.array([list(ch_names).index(name) for name in known]),
        )
    assert moments is not None
    mean, sd = moments.mean_and_sd()
    mean, sd = (torch.where(mean.isnan(), part.nanmean(dim=0), part) for part in (mean, sd))
    return EegScale(mean.float(), sd.clamp_min(MIN_SD_NATS).float())


def fit_eye_scale(entries: Sequence[Entry], n_features: int) -> tuple[EyeScale, Tensor, Tensor]:
    """Return what `models.features.normalise.fit_eye` gives, and mean and SD (E,) of the scaled features."""
    moments = _Moments.of((n_features, 1))
    for entry in entries:
        if entry.n_eye:
            moments.add(steps_of(entry, "eye")[..., None], np.arange(entry.n_eye))
    mean, sd = (part[:, 0] for part in moments.mean_and_sd())
    low, high = torch.from_numpy(moments.low[:, 0]), torch.from_numpy(moments.high[:, 0])
    scale = eye_scale(low, high, mean)
    span = (scale.high - scale.low).double()
    scaled_mean = scale.apply(mean.float())
    scaled_sd = (90.0 * sd.nan_to_num(0.0) / span).clamp_min(90.0 * _MIN_SD_SHARE)
    return scale, scaled_mean.float(), scaled_sd.float()
