"""The most frequent class of training: what needs no signal at all."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.baselines.protocol import modality_arrays
from models.datasets.types import WindowSet


class MajorityClassifier:
    """Gives every window the training's label frequencies; the largest is the prediction."""

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._n_labels = n_labels
        self._probs = np.full(n_labels, 1 / n_labels)

    def fit(self, train: WindowSet) -> Self:
        """Count the labels; see `models.baselines.protocol.Classifier`."""
        modality_arrays(train)
        self._probs = np.bincount(train.label, minlength=self._n_labels) / len(train)
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return the frequencies (n, n_labels), the same in every row."""
        return np.tile(self._probs, (len(test), 1))
