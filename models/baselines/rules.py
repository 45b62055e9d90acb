"""Decisions of one classifier a modality put together by a rule: the maximum, and the fuzzy integral.

Both stand in the MMV-SSTMA paper's Table 2, taken from Liu et al. (2021), over linear SVMs. The SVMs here
are `TunedSvm`, whose probabilities are calibrated on training trials, as both rules compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from models.baselines.flat import FlatWindows
from models.baselines.protocol import trial_ids
from models.baselines.svm import TunedSvm
from models.datasets.types import WindowSet

_DENSITY_LIMITS = (0.01, 0.99)


class _OnePerModality:
    """A `TunedSvm` on each modality of training."""

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._n_labels, self._seed = n_labels, seed

    def fit(self, train: WindowSet) -> Self:
        """Train each modality's classifier; see `models.baselines.protocol.Classifier`."""
        self._flat = FlatWindows(train)
        self._svms = {
            name: TunedSvm(self._n_labels, self._seed).fit(rows, train.label, trial_ids(train))
            for name, rows in self._flat.rows_by_modality(train).items()
        }
        return self

    def _scores(self, test: WindowSet) -> NDArray[np.float64]:
        """Return probabilities (modalities, n, n_labels)."""
        rows = self._flat.rows_by_modality(test)
        return np.stack([svm.predict_proba(rows[name]) for name, svm in self._svms.items()])


class MaxClassifier(_OnePerModality):
    """MAX: the class with the largest probability over the modalities' classifiers."""

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return each class's largest probability, made to sum to 1 (n, n_labels)."""
        return _to_one(self._scores(test).max(axis=0))


class FuzzyIntegralClassifier(_OnePerModality):
    """Fuzzy integral: each class's Choquet integral of the modalities' probabilities.

    The measure is a Sugeno λ-measure. The density of a modality is the accuracy of its classifier on training
    trials left out of its training [inferred: the accuracy on the very windows it was trained on is 1 with
    more features than windows, and says nothing].
    """

    def fit(self, train: WindowSet) -> Self:
        """Train the classifiers, take densities from their accuracy and solve for λ."""
        super().fit(train)
        accuracies = [svm.accuracy for svm in self._svms.values()]
        self.densities = [float(np.clip(accuracy, *_DENSITY_LIMITS)) for accuracy in accuracies]
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return the integrals, made to sum to 1 (n, n_labels)."""
        return _to_one(choquet(self._scores(test), self.densities))


def choquet(scores: NDArray[np.float64], densities: Sequence[float]) -> NDArray[np.float64]:
    """Return the Choquet integral of scores over their first axis under a λ-measure.

    With scores sorted h(1) ≥ h(2) ≥ ... and A(i) the sources of the first i, it is the sum of
    (h(i) - h(i+1)) g(A(i)), where g(A ∪ {j}) = g(A) + g_j + λ g(A) g_j and g of all sources is 1.

    Parameters
    ----------
    scores : ndarray (n_sources, ...)
        Of each source, at least 0.
    densities : sequence of float
        g_j of each source alone, between 0 and 1.

    Returns
    -------
    ndarray (...)
    """
    lam = sugeno_lambda(densities)
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    steps = ranked - np.concatenate([ranked[1:], np.zeros_like(ranked[:1])])
    density = np.asarray(densities)[order]  # of each rank's source
    measure, total = np.zeros(scores.shape[1:]), np.zeros(scores.shape[1:])
    for rank in range(len(scores)):
        measure = measure + density[rank] + lam * measure * density[rank]
        total += steps[rank] * (measure if rank < len(scores) - 1 else 1.0)
    return total


def sugeno_lambda(densities: Sequence[float]) -> float:
    """Return the λ > -1 with Π (1 + λ g_j) = 1 + λ that makes the whole measure 1.

    It is 0 where the densities sum to 1 (or there is one), negative above, positive below.
    """
    g = np.asarray(densities, dtype=np.float64)
    excess = g.sum() - 1.0
    if len(g) < 2 or abs(excess) < 1e-9:
        return 0.0

    def without_root_at_0(lam: float) -> float:
        return float((np.prod(1 + lam * g) - 1) / lam - 1)

    if excess > 0:
        return float(brentq(without_root_at_0, -1 + 1e-12, -1e-12))
    upper = 1.0
    while without_root_at_0(upper) < 0:
        upper *= 2
    return float(brentq(without_root_at_0, 1e-12, upper))


def _to_one(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores / scores.sum(axis=-1, keepdims=True)
