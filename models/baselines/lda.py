"""Linear discriminant analysis with a shrunk covariance (scikit-learn), on flattened features."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from models.baselines.flat import FlatWindows
from models.baselines.protocol import over_all_labels
from models.datasets.types import WindowSet


class LdaClassifier:
    """Shrinkage LDA on all modalities' features side by side.

    The covariance is shrunk towards a multiple of the identity by the share that Ledoit and Wolf (2004) give
    for the rows' deviations from their class means, over all classes together. They assume independent rows;
    overlapping windows are not, so the share errs on the small side.
    """

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._n_labels = n_labels

    def fit(self, train: WindowSet) -> Self:
        """Learn means and covariance; see `models.baselines.protocol.Classifier`."""
        self._flat = FlatWindows(train)
        self._labels = np.unique(train.label)
        if len(self._labels) > 1:
            rows = self._flat.rows(train)
            covariance = _Shrunk(_deviations(rows, train.label), self._flat.n_features)
            self._lda = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=covariance)
            # scikit-learn wants more rows than labels; twice the rows have the same means and covariances.
            twice = np.tile(np.arange(len(rows)), 2 if len(rows) <= len(self._labels) else 1)
            self._lda.fit(rows[twice], train.label[twice])
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return probabilities (n, n_labels)."""
        rows = self._flat.rows(test)
        probs = self._lda.predict_proba(rows) if len(self._labels) > 1 else np.ones((len(rows), 1))
        return over_all_labels(probs, self._labels, self._n_labels)


class _Shrunk:
    """A class's covariance as scikit-learn asks for it, shrunk by what all classes together call for."""

    def __init__(self, deviations: NDArray[np.float64], n_features: int) -> None:
        self._share, self._variance = ledoit_wolf(deviations, n_features)

    def fit(self, rows: NDArray[Any]) -> Self:
        """Set ``covariance_`` from one class's rows (n, q)."""
        centred = rows - rows.mean(axis=0)
        covariance = (1 - self._share) * centred.T @ centred / len(rows)
        self.covariance_ = covariance + self._share * self._variance * np.eye(rows.shape[1])
        return self


def ledoit_wolf(deviations: NDArray[np.float64], n_features: int) -> tuple[float, float]:
    """Return the share of shrinkage and the mean variance it shrinks towards.

    The formulas of `sklearn.covariance.ledoit_wolf_shrinkage` for centred rows, written so that rows rotated
    into their span, (n, q), give what the ``n_features`` columns before the rotation would.
    """
    n, p = len(deviations), n_features
    lengths = (deviations**2).sum(axis=1)
    trace = lengths.sum() / n
    mean = trace / p
    if mean == 0:
        return 1.0, 1.0  # one window a class: the nearest mean
    squares = ((deviations.T @ deviations) ** 2).sum() / n**2  # of the covariance's entries
    distance = (squares - 2 * mean * trace + p * mean**2) / p
    error = ((lengths**2).sum() / n - squares) / (p * n)
    return float(np.clip(error / distance, 0.0, 1.0)) if distance > 0 else 1.0, float(mean)


def _deviations(rows: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return rows minus their class means."""
    centred = rows.copy()
    for one in np.unique(label):
        centred[label == one] -= rows[label == one].mean(axis=0)
    return centred
