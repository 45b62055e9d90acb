"""Covariance of EEG seconds, and as vectors in a tangent space (Barachant et al. 2012; Zanini et al. 2018).

A second's covariance P becomes ``log(G^-½ P G^-½)`` at G, the geometric mean of the training trials: a
symmetric matrix, whose upper triangle, with √2 beside the diagonal, is a vector as long as P is far from G.
Windows, trials and levels are means of their seconds' vectors, and a subject's own level is taken off as that
of any feature. To first order that is the recentring of Zanini et al. by the subject's own mean M, which
takes ``M^-½ P M^-½``; unlike it, it runs second by second, with prior and class effects of `models.level`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError

_Array = NDArray[np.float64]

#: 1 to 40 Hz: what a model on covariances reads.
COVARIANCE_HZ = (1.0, 40.0)
#: Of more channels no covariances are taken: one second would hold tens of thousands of numbers.
MOST_CHANNELS = 64
_RIDGE = 0.01  # of the mean variance
_LEAST_SPREAD = 1e-6  # of the widest axis


def covariances(
    x: NDArray[np.floating], sfreq: float, band: tuple[float, float] | None, n_tapers: int
) -> NDArray[np.float32] | None:
    """Return the covariance in a band (Hz), (..., C, C) µV², of EEG steps (..., C, n_times) in µV.

    The spectrum is that of the entropy: less a line, over ``n_tapers`` sine tapers, of this step alone, so
    there is no filter and no state from step to step. None without a band, or of too many channels.
    """
    if band is None or x.shape[-2] > MOST_CHANNELS:
        return None
    n_times = x.shape[-1]
    t = np.arange(n_times) - (n_times - 1) / 2
    y = np.asarray(x, np.float64) - x.mean(axis=-1, keepdims=True)
    y -= (y @ t)[..., None] * t / (t @ t)
    hz = np.fft.rfftfreq(n_times, 1 / sfreq)
    kept = (hz >= band[0]) & (hz <= band[1])
    found = np.zeros((*x.shape[:-1], x.shape[-2]))
    for k in range(1, n_tapers + 1):
        taper = math.sqrt(2) * np.sin(math.pi * k * (np.arange(n_times) + 0.5) / n_times)
        spectrum = np.fft.rfft(y * taper, axis=-1)[..., kept]
        found += 2 * np.real(spectrum @ spectrum.conj().swapaxes(-1, -2)) / n_times**2 / n_tapers
    return found.astype(np.float32)


def geometric_mean(matrices: _Array, n_rounds: int = 10) -> _Array:
    """Return the Riemannian mean of covariances (n, C, C) by fixed-point iteration (Moakher 2005)."""
    mean = matrices.mean(axis=0)
    for _ in range(n_rounds if len(matrices) > 1 else 0):
        root, inverse = _spectral(mean, np.sqrt), _spectral(mean, lambda x: x**-0.5)
        mean = root @ _spectral(_spectral(inverse @ matrices @ inverse, np.log).mean(axis=0), np.exp) @ root
    return mean


def _spectral(matrices: _Array, function: Callable[[NDArray[Any]], NDArray[Any]]) -> _Array:
    values, vectors = np.linalg.eigh((matrices + matrices.swapaxes(-1, -2)) / 2)
    return np.asarray((vectors * function(values)[..., None, :]) @ vectors.swapaxes(-1, -2))


def _ridged(matrices: _Array) -> _Array:
    variance = np.diagonal(matrices, axis1=-2, axis2=-1)
    total = variance.sum(axis=-1)
    mean = total / np.maximum((variance > 1e-9 * total[..., None]).sum(axis=-1), 1)
    return matrices + _RIDGE * mean[..., None, None] * np.eye(matrices.shape[-1])


@dataclass(frozen=True, eq=False)
class Seconds:
    """Covariances of steps over the channels of a model, and which of those carry a signal in each."""

    covariance: _Array  # (W, C, C) µV²
    usable: NDArray[np.bool_]  # (W, C)

    @classmethod
    def of(cls, covariance: NDArray[Any], usable: NDArray[np.bool_], at: Sequence[int], n: int) -> Self:
        """Place (W, c, c) and (W, c) of channels that are ``at`` some of the model's ``n``."""
        places = np.asarray(at)
        whole, seen = np.zeros((len(covariance), n, n)), np.zeros((len(covariance), n), dtype=bool)
        whole[:, places[:, None], places], seen[:, places] = covariance, usable
        return cls(whole, seen)

    def mean(self) -> _Array:
        """Return the mean covariance (C, C), of each pair where both carry a signal."""
        both = self.usable[:, :, None] & self.usable[:, None]
        mean = np.where(both, self.covariance, 0).sum(axis=0) / np.maximum(both.sum(axis=0), 1)
        return _spectral(mean, lambda x: np.maximum(x, 0.0))  # pairs of unlike seconds can leave less


@dataclass(frozen=True, eq=False)
class Tangent:
    """The space at a mean covariance, and the axes in it in which training trials differ.

    What a linear model with a quadratic penalty learns lies in the span of its training rows, so vectors are
    given on that span's axes alone. Arrays hold float32 values in float64.
    """

    mean: _Array  # (C, C) µV²
    axes: _Array  # (q, C (C + 1) / 2), orthonormal
    _roots: list[_Array] = field(default_factory=list)  # the mean's -½ power, once it was asked for

    @classmethod
    def fit(cls, trials: Sequence[Seconds]) -> Self:
        """Take mean and axes from training trials; no label enters."""
        found = [_ridged(trial.mean()) for trial in trials if trial.usable.any()]
        mean = geometric_mean(np.stack(found)) if found else np.eye(trials[0].usable.shape[1])
        mean = mean.astype(np.float32).astype(np.float64)
        whole = cls(mean, np.eye(len(mean) * (len(mean) + 1) // 2))
        rows = [rows[np.isfinite(rows[:, 0])] for rows in map(whole.rows, trials)]
        known = [each.mean(axis=0, dtype=np.float64) for each in rows if len(each)]
        if not known:
            what, remedy = "no second of EEG has a signal in most of the channels", "use other recordings"
            raise InputError(what, where="covariances", remedy=remedy, code=ErrorCode.DATA)
        means = np.stack(known)
        _, spread, axes = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
        axes = axes[spread > _LEAST_SPREAD * max(spread[0], 1e-9)]
        return cls(mean, axes.astype(np.float32).astype(np.float64))

    def rows(self, seconds: Seconds) -> NDArray[np.float32]:
        """Return vectors (W, q); NaN where half or more of the channels of training carry no signal."""
        if not self._roots:
            self._roots.append(_spectral(self.mean, lambda x: x**-0.5))
        root, (above, beside) = self._roots[0], np.triu_indices(len(self.mean))
        found = np.full((len(seconds.covariance), len(self.axes)), np.nan, np.float32)
        beyond = np.abs(self.mean - np.diag(np.diag(self.mean))).sum(axis=0)  # 0 of a channel never seen
        usable = seconds.usable[:, beyond > 1e-9 * np.trace(self.mean)]
        at = np.flatnonzero(2 * usable.sum(axis=1) > usable.shape[1])
        if len(at):
            whole = np.stack([self._completed(seconds.covariance[k], seconds.usable[k]) for k in at])
            logs = _spectral(root @ whole @ root, np.log)[:, above, beside]
            found[at] = (logs * np.where(above == beside, 1, math.sqrt(2))) @ self.axes.T
        return found

    def _completed(self, covariance: _Array, usable: NDArray[np.bool_]) -> _Array:
        """Return a covariance whose channels without signal are as the others lead to expect, by the mean."""
        if usable.all():
            return _ridged(covariance)
        known, unknown = np.ix_(usable, usable), np.ix_(usable, ~usable)
        weights = np.linalg.solve(self.mean[known], self.mean[unknown])  # (K, U)
        to_all = np.zeros((usable.sum(), len(usable)))
        to_all[:, usable], to_all[:, ~usable] = np.eye(usable.sum()), weights
        found = to_all.T @ _ridged(covariance[known]) @ to_all
        rest = np.ix_(~usable, ~usable)
        found[rest] += self.mean[rest] - self.mean[unknown].T @ weights
        return np.asarray(found)
