"""Classifiers on a clip's statistics: support vector machines and discriminants over a fixed grid, averaged.

With five speakers to learn from, the best member of a grid in cross-validation is mostly luck; the mean of
all members needs no choice. `choose_inside` makes the choice all the same, to show what it is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from models.speech.scores import balanced_accuracy

Head = Callable[[], Any]
Member = tuple[str, str]  # copies, head

# Which of augment.COPIES a member learns from.
COPY_SETS = {"original": (0,), "pitch": (0, 1, 2), "tempo": (0, 3, 4), "pitch and tempo": (0, 1, 2, 3, 4)}


def _svm(cost: float) -> Head:
    return lambda: SVC(C=cost, class_weight="balanced")


def _discriminant(shrinkage: float, n_labels: int) -> Head:
    priors = np.full(n_labels, 1 / n_labels)
    return lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=priors)


def heads(n_labels: int) -> dict[str, Head]:
    """Return the grid's classifiers; every class weighs the same in each."""
    return {
        "svm C=0.3": _svm(0.3),
        "svm C=1": _svm(1.0),
        "svm C=3": _svm(3.0),
        "lda shrinkage=0.3": _discriminant(0.3, n_labels),
        "lda shrinkage=0.6": _discriminant(0.6, n_labels),
    }


def member_probabilities(
    rows: NDArray[Any], label: NDArray[Any], test_rows: NDArray[Any], n_labels: int
) -> dict[Member, NDArray[Any]]:
    """Train every member and let it judge the test part.

    Parameters
    ----------
    rows : ndarray (n_train, n_copies, n_features)
        Standardised by the originals, which are copy 0.
    label : ndarray (n_train,)
        Holds every one of the ``n_labels`` classes.
    test_rows : ndarray (n_test, n_features)

    Returns
    -------
    dict of Member to ndarray (n_test, n_labels)
        The softmax of a member's decision values: a common scale for averaging, not a calibrated
        probability.
    """
    scaler = StandardScaler().fit(rows[:, 0])
    test = scaler.transform(test_rows)
    found: dict[Member, NDArray[Any]] = {}
    for copies, chosen in COPY_SETS.items():
        train = scaler.transform(rows[:, list(chosen)].reshape(-1, rows.shape[-1]))
        target = np.repeat(label, len(chosen))
        for name, make in heads(n_labels).items():
            scores = make().fit(train, target).decision_function(test)
            # A discriminant's scores are log posteriors with far too little doubt; halved, they are of the
            # size of the machines' one-against-rest scores.
            found[copies, name] = _softmax(scores * (0.5 if name.startswith("lda") else 1.0))
    return found


def choose_inside(
    rows: NDArray[Any], label: NDArray[Any], speaker: NDArray[Any], n_labels: int
) -> tuple[Member, float]:
    """Return the member with the highest mean-of-speakers balanced accuracy, leaving out each speaker."""
    found: dict[Member, list[float]] = {}
    for train, test in _speaker_folds(speaker):
        if len(np.unique(label[train])) < n_labels:
            continue
        answers = member_probabilities(rows[train], label[train], rows[test, 0], n_labels)
        for member, answer in answers.items():
            found.setdefault(member, []).append(balanced_accuracy(label[test], answer.argmax(axis=1)))
    means = {member: float(np.mean(values)) for member, values in found.items()}
    best = max(means, key=means.__getitem__)
    return best, means[best]


def _speaker_folds(speaker: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    for name in np.unique(speaker):
        yield np.flatnonzero(speaker != name), np.flatnonzero(speaker == name)


def _softmax(scores: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
