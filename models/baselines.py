"""Baselines on flattened features: shrinkage LDA and linear SVM, and what they share.

Each is made with the number of labels and a seed, fitted once to windows, NaN anywhere, then asked for
probabilities (n, n_labels). `InputError`: no window or modality, or windows that are not like training's.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.datasets.trials import WindowSet
from models.training.scores import best_temperature, trial_ids

if TYPE_CHECKING:
    from sklearn.svm import LinearSVC  # two seconds of imports, which most commands need not wait for

#: (train, test) indices, a pair a fold.
Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def modality_arrays(windows: WindowSet) -> dict[str, NDArray[Any]]:
    """Return the arrays of EEG (n, C, T, n_bands) and eye (n, E, T) that the windows hold."""
    found = {"eeg": windows.eeg, "eye": windows.eye}
    arrays = {name: array for name, array in found.items() if array is not None}
    if not arrays or not len(windows):
        raise _unfit(
            f"expected windows of EEG or eye features, found {len(windows)} windows of "
            f"{' and '.join(arrays) or 'neither'}",
            "use more trials, or another part of the data set",
        )
    return arrays


def _unfit(what: str, remedy: str) -> InputError:
    return InputError(what, where="baseline", remedy=remedy, code=ErrorCode.DATA)


def trial_folds(label: NDArray[np.int64], trials: NDArray[np.int64], n_folds: int = 3) -> Folds:
    """Return folds that split no trial, labels in like shares; none where one would train on one label."""
    ids, first = np.unique(trials, return_index=True)
    n_folds = min(n_folds, len(ids))
    if n_folds < 2:
        return []
    by_label = np.argsort(label[first], kind="stable")  # dealt out in turn, label after label
    fold_of_trial = np.empty(len(ids), dtype=np.int64)
    fold_of_trial[by_label] = np.arange(len(ids)) % n_folds
    fold = fold_of_trial[np.searchsorted(ids, trials)]
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]
    return folds if all(len(np.unique(label[train])) > 1 for train, _ in folds) else []


def over_all_labels(
    probs: NDArray[np.float64], labels: NDArray[np.int64], n_labels: int
) -> NDArray[np.float64]:
    """Return (n, n_labels) from probabilities (n, k) of some labels (k,); the others get 0."""
    full = np.zeros((len(probs), n_labels))
    full[:, labels] = probs
    return full


class FlatRows:
    """Flattened features, each with mean 0 and SD 1 over the training windows; what is NaN becomes 0.

    There are more features (3100 of EEG) than windows. All that a linear model can learn lies in the span of
    the training rows, so they are rotated into it: lengths and angles stay, and directions perpendicular to
    every training row, which such a model ignores, are dropped.
    """

    n_features: int  # before the rotation

    def fit(self, array: NDArray[Any]) -> Self:
        """Take scales and span from training windows (n, ...)."""
        from sklearn.preprocessing import StandardScaler

        self._shape, rows = array.shape[1:], _flat(array)
        self.n_features = rows.shape[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a feature that is never there stays NaN
            self._scaler = StandardScaler().fit(rows)
        self._basis = None
        if len(rows) < self.n_features:
            self._basis = np.linalg.qr(self._standardised(array).T)[0]  # (n_features, n)
        return self

    def transform(self, array: NDArray[Any]) -> NDArray[np.float64]:
        """Return (n, q) of windows of the training's shape."""
        if array.shape[1:] != self._shape:
            raise _unfit(
                f"expected windows of shape {self._shape} as in training, found {array.shape[1:]}",
                "cut training and test windows with the same channels, features and length",
            )
        rows = self._standardised(array)
        return rows if self._basis is None else rows @ self._basis

    def _standardised(self, array: NDArray[Any]) -> NDArray[np.float64]:
        return np.nan_to_num(self._scaler.transform(_flat(array)))


def _flat(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64).reshape(len(array), -1)


class FlatWindows:
    """`FlatRows` of every modality that the training windows hold, side by side."""

    def __init__(self, train: WindowSet) -> None:
        self._flat = {name: FlatRows().fit(array) for name, array in modality_arrays(train).items()}
        self.n_features = sum(flat.n_features for flat in self._flat.values())

    def rows(self, windows: WindowSet) -> NDArray[np.float64]:
        """Return (n, q) of windows that hold what the training's held."""
        arrays = modality_arrays(windows)
        if missing := [name for name in self._flat if name not in arrays]:
            raise _unfit(
                f"expected windows with {' and '.join(self._flat)} as in training, "
                f"found none of {' and '.join(missing)}",
                "train and test on the same modalities",
            )
        return np.concatenate([flat.transform(arrays[name]) for name, flat in self._flat.items()], axis=1)


class LdaClassifier:
    """Shrinkage LDA on all features side by side; overlapping windows shrink little, unless trials count."""

    def __init__(self, n_labels: int, seed: int = 0, *, count_trials: bool = False) -> None:
        self._n_labels, self._count_trials = n_labels, count_trials

    def fit(self, train: WindowSet) -> Self:
        self._flat = FlatWindows(train)
        self._labels, at, counts = np.unique(train.label, return_inverse=True, return_counts=True)
        rows = self._flat.rows(train)
        means = np.stack([rows[at == k].mean(axis=0) for k in range(len(self._labels))])
        n_independent = len(np.unique(trial_ids(train))) if self._count_trials else len(rows)
        covariance = shrunk_covariance(rows - means[at], self._flat.n_features, n_independent)
        self._maps = np.linalg.lstsq(covariance, means.T)[0].T  # (labels, q)
        self._bias = np.log(counts / len(rows)) - 0.5 * (self._maps * means).sum(axis=1)
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        probs = scipy.special.softmax(self._flat.rows(test) @ self._maps.T + self._bias, axis=1)
        return over_all_labels(probs, self._labels, self._n_labels)


def shrunk_covariance(
    deviations: NDArray[np.float64],
    n_features: int,
    n_independent: int | None = None,
    share: float | None = None,
) -> NDArray[np.float64]:
    """Return the covariance (q, q) of (n, q) about class means, shrunk by ``share`` or `ledoit_wolf`."""
    fitted, variance = ledoit_wolf(deviations, n_features, n_independent)
    share = fitted if share is None else share
    covariance = (1 - share) * deviations.T @ deviations / len(deviations)
    covariance[np.diag_indices_from(covariance)] += share * variance
    return covariance


def ledoit_wolf(
    deviations: NDArray[np.float64], n_features: int, n_independent: int | None = None
) -> tuple[float, float]:
    """Return the share of shrinkage and the mean variance it shrinks towards (Ledoit and Wolf 2004).

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
    error = ((lengths**2).sum() / n - squares) / (p * (n_independent or n))
    return float(np.clip(error / distance, 0.0, 1.0)) if distance > 0 else 1.0, float(mean)


_PENALTIES = (0.03, 0.3, 3.0)  # C, for rows of mean length 1
_TEMPERATURES = np.geomspace(0.03, 3.0, 25)
_NEVER = -30.0  # logit of a label that did not train


class TunedSvm:
    """Linear SVM, one label against the rest, on rows of numbers.

    C is the one of three with the best accuracy over folds that split no trial. Probabilities are the softmax
    of the margins over a temperature, the one of least negative log-likelihood on the same folds. Where
    no folds can be made, C is 0.3 and the temperature 1.
    """

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._n_labels, self._seed = n_labels, seed
        self._temperature = 1.0

    def fit(self, rows: NDArray[np.float64], label: NDArray[np.int64], trials: NDArray[np.int64]) -> Self:
        """Learn from rows (n, q) with labels (n,) and trial numbers (n,)."""
        self._scale = float(np.sqrt(np.mean((rows**2).sum(axis=1)))) or 1.0
        self._n_features = rows.shape[1]
        self._labels = np.unique(label)
        if len(self._labels) == 1:
            return self
        folds = trial_folds(label, trials)
        penalty = self._tune(rows, label, folds) if folds else 0.3
        self._svm = self._fitted(rows, label, penalty)
        return self

    def predict_proba(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(self._labels) == 1:
            return over_all_labels(np.ones((len(rows), 1)), self._labels, self._n_labels)
        return scipy.special.softmax(self._margins(self._svm, rows) / self._temperature, axis=1)

    def planes(self) -> NDArray[np.float64]:
        """Return (n_labels, q + 1) weights and bias of which `predict_proba` is the softmax."""
        found = np.zeros((1, self._n_features + 1))
        if len(self._labels) > 1:
            found = np.column_stack([self._svm.coef_ / self._scale, self._svm.intercept_]) / self._temperature
            found = np.concatenate([-found, found]) if len(found) == 1 else found
        return _of_all_labels(found, self._labels, self._n_labels)

    def _tune(self, rows: NDArray[np.float64], label: NDArray[np.int64], folds: Folds) -> float:
        best, most = _PENALTIES[0], -1.0
        tested = np.concatenate([test for _, test in folds])
        for penalty in _PENALTIES:
            margins = np.concatenate(
                [self._margins(self._fitted(rows[a], label[a], penalty), rows[b]) for a, b in folds]
            )
            accuracy = float(np.mean(margins.argmax(axis=1) == label[tested]))
            if accuracy > most:
                best, most = penalty, accuracy
                self._temperature = _svm_temperature(margins, label[tested])
        return best

    def _fitted(self, rows: NDArray[np.float64], label: NDArray[np.int64], penalty: float) -> LinearSVC:
        from sklearn.svm import LinearSVC

        return LinearSVC(C=penalty, random_state=self._seed, max_iter=5000).fit(rows / self._scale, label)

    def _margins(self, svm: LinearSVC, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, n_labels), -inf for a label not in its training."""
        margins = svm.decision_function(rows / self._scale)
        if margins.ndim == 1:  # two labels have one margin
            margins = np.column_stack([-margins, margins])
        full = np.full((len(rows), self._n_labels), -np.inf)
        full[:, svm.classes_] = margins
        return full


def logistic_planes(
    rows: NDArray[np.float64], label: NDArray[np.int64], n_labels: int
) -> NDArray[np.float64]:
    """Return (n_labels, q + 1) weights and bias of logistic regression (C = 1) on rows (n, q)."""
    from sklearn.linear_model import LogisticRegression

    labels = np.unique(label)
    found = np.zeros((1, rows.shape[1] + 1))
    if len(labels) > 1:
        fitted = LogisticRegression(max_iter=1000).fit(rows, label)
        found = np.column_stack([fitted.coef_, fitted.intercept_])
        found = np.concatenate([-found / 2, found / 2]) if len(found) == 1 else found
    return _of_all_labels(found, labels, n_labels)


def _of_all_labels(
    planes: NDArray[np.float64], labels: NDArray[np.int64], n_labels: int
) -> NDArray[np.float64]:
    full = np.zeros((n_labels, planes.shape[1]))
    full[:, -1] = _NEVER
    full[labels] = planes
    return full


def _svm_temperature(margins: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Return the temperature of least negative log-likelihood; labels missing from a fold do not count."""
    at = np.arange(len(label))
    seen = np.isfinite(margins[at, label])
    if not seen.any():
        return 1.0
    _, best = best_temperature(
        lambda t: -scipy.special.log_softmax(margins / t, axis=1)[at, label][seen].mean(), _TEMPERATURES
    )
    return best
