"""What every baseline can do, and the parts of windows they share."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.types import WindowSet

#: (train, test) indices, a pair a fold.
Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


class Classifier(Protocol):
    """A baseline: made with the number of labels, fitted once, then asked."""

    def fit(self, train: WindowSet) -> Self:
        """Learn from windows and their labels; NaN may be anywhere. Returns itself.

        Raises
        ------
        InputError
            There is no window, or no modality that the baseline takes.
        """

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return probabilities (n, n_labels) whose rows sum to 1; 0 for a label that training never saw.

        Raises
        ------
        InputError
            The windows have other modalities or shapes than in training.
        """


def modality_arrays(windows: WindowSet) -> dict[str, NDArray[Any]]:
    """Return the arrays of EEG (n, C, T, n_bands) and eye (n, E, T) that the windows hold.

    Raises
    ------
    InputError
        There is no window, or neither modality.
    """
    arrays = {
        name: array for name, array in (("eeg", windows.eeg), ("eye", windows.eye)) if array is not None
    }
    if not arrays or not len(windows):
        raise InputError(
            f"expected windows of EEG or eye features, found {len(windows)} windows of "
            f"{' and '.join(arrays) or 'neither'}",
            where="baseline",
            remedy="take more trials, or another part of the data set",
        )
    return arrays


def trial_ids(windows: WindowSet) -> NDArray[np.int64]:
    """Return a number (n,) for each window that is the same within a trial and differs between trials."""
    parts = [
        np.unique(column, return_inverse=True)[1]
        for column in (windows.subject, windows.session, windows.trial)
    ]
    return np.unique(np.column_stack(parts), axis=0, return_inverse=True)[1].astype(np.int64).ravel()


def trial_folds(label: NDArray[np.int64], trials: NDArray[np.int64], n_folds: int = 3) -> Folds:
    """Return folds that split no trial and hold each label in like shares.

    Returns
    -------
    list of (train, test)
        Empty where it cannot be: fewer than two trials, or a fold would train on one label alone.
    """
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
