"""Linear support vector machine (scikit-learn); two free numbers are chosen inside the training trials."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.svm import LinearSVC

from models.baselines.flat import FlatWindows
from models.baselines.protocol import Folds, over_all_labels, trial_folds, trial_ids
from models.datasets.types import WindowSet

_PENALTIES = (0.03, 0.3, 3.0)  # C, for rows of mean length 1
_TEMPERATURES = np.geomspace(0.03, 3.0, 25)


class TunedSvm:
    """Linear SVM, one label against the rest, on rows of numbers.

    C is the one of three with the best accuracy over folds that split no trial. Probabilities are the softmax
    of the margins over a temperature, the one of least negative log-likelihood on the same folds. Where
    no folds can be made, C is 0.3 and the temperature 1.

    Attributes
    ----------
    accuracy : float
        Of the chosen C on trials left out of its training; of training itself where no folds can be made.
    """

    accuracy: float

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._n_labels, self._seed = n_labels, seed
        self._temperature = 1.0

    def fit(self, rows: NDArray[np.float64], label: NDArray[np.int64], trials: NDArray[np.int64]) -> Self:
        """Learn from rows (n, q) with labels (n,) and trial numbers (n,)."""
        self._scale = float(np.sqrt(np.mean((rows**2).sum(axis=1)))) or 1.0
        self._labels = np.unique(label)
        self.accuracy = 1.0
        if len(self._labels) == 1:
            return self
        folds = trial_folds(label, trials)
        penalty = self._tune(rows, label, folds) if folds else 0.3
        self._svm = self._fitted(rows, label, penalty)
        if not folds:
            self.accuracy = float(np.mean(self._margins(self._svm, rows).argmax(axis=1) == label))
        return self

    def predict_proba(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities (n, n_labels)."""
        if len(self._labels) == 1:
            return over_all_labels(np.ones((len(rows), 1)), self._labels, self._n_labels)
        return softmax(self._margins(self._svm, rows) / self._temperature, axis=1)

    def _tune(self, rows: NDArray[np.float64], label: NDArray[np.int64], folds: Folds) -> float:
        """Return C; sets temperature and accuracy."""
        best, self.accuracy = _PENALTIES[0], -1.0
        tested = np.concatenate([test for _, test in folds])
        for penalty in _PENALTIES:
            margins = np.concatenate(
                [self._margins(self._fitted(rows[a], label[a], penalty), rows[b]) for a, b in folds]
            )
            accuracy = float(np.mean(margins.argmax(axis=1) == label[tested]))
            if accuracy > self.accuracy:
                best, self.accuracy = penalty, accuracy
                self._temperature = _best_temperature(margins, label[tested])
        return best

    def _fitted(self, rows: NDArray[np.float64], label: NDArray[np.int64], penalty: float) -> LinearSVC:
        return LinearSVC(C=penalty, random_state=self._seed, max_iter=5000).fit(rows / self._scale, label)

    def _margins(self, svm: LinearSVC, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, n_labels), -inf for a label that the machine never saw."""
        margins = svm.decision_function(rows / self._scale)
        if margins.ndim == 1:  # two labels have one margin
            margins = np.column_stack([-margins, margins])
        full = np.full((len(rows), self._n_labels), -np.inf)
        full[:, svm.classes_] = margins
        return full


def _best_temperature(margins: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Return the temperature of least negative log-likelihood; labels that a fold never saw do not count."""
    at = np.arange(len(label))
    seen = np.isfinite(margins[at, label])
    if not seen.any():
        return 1.0
    nll = [-log_softmax(margins / t, axis=1)[at, label][seen].mean() for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(nll))])


class SvmClassifier:
    """`TunedSvm` on all modalities' flattened features side by side."""

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._svm = TunedSvm(n_labels, seed)

    @property
    def accuracy(self) -> float:
        """Accuracy on training trials left out of training; see `TunedSvm`."""
        return self._svm.accuracy

    def fit(self, train: WindowSet) -> Self:
        """Learn the separating planes; see `models.baselines.protocol.Classifier`."""
        self._flat = FlatWindows(train)
        self._svm.fit(self._flat.rows(train), train.label, trial_ids(train))
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return probabilities (n, n_labels)."""
        return self._svm.predict_proba(self._flat.rows(test))
