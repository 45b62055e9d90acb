"""Utterances measured once for all folds, the classifiers on their statistics, and figures by speaker.

With five speakers to learn from, the best member of a grid in cross-validation is mostly luck; the mean of
all members needs no choice. `choose_inside` makes the choice all the same, to show its effect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import confusion_matrix
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from models.datasets.emodb import Utterance
from models.papers.speech.features import contours, copies, functionals
from models.papers.speech.network import clip_rows
from models.training.scores import balanced_accuracy, t_interval


def speaker_scores(
    label: NDArray[Any], answer: NDArray[Any], speaker: NDArray[Any], n_labels: int
) -> dict[str, Any]:
    """Return balanced accuracy by speaker, its mean with a 95 % t interval over speakers, and pooled.

    The interval's ends are cut to 0-1. ``confusion`` counts true labels in rows, answers in columns.
    """
    by_speaker = {
        str(name): balanced_accuracy(label[speaker == name], answer[speaker == name])
        for name in np.unique(speaker)
    }
    values = np.array(list(by_speaker.values()))
    interval = t_interval(list(values))
    return {
        "mean": float(values.mean()),
        "interval": None if interval is None else [max(0.0, interval[0]), min(1.0, interval[1])],
        "speakers": by_speaker,
        "pooled": balanced_accuracy(label, answer),
        "confusion": confusion_matrix(label, answer, labels=range(n_labels)).tolist(),
    }


@dataclass(frozen=True, eq=False)
class SpeechCorpus:
    """Utterances with their augmented copies (the original first), measured."""

    label: NDArray[Any]  # (n,) int64
    speaker: NDArray[Any]  # (n,) str
    functionals: NDArray[Any]  # (n, n_copies, n_features)
    rows: list[list[Tensor]]  # n times n_copies of (n_frames, N_ROWS), for the network


def measure(
    utterances: Sequence[Utterance], seed: int, progress: Callable[[float], None] = lambda share: None
) -> SpeechCorpus:
    """Measure utterances and their copies; ``seed`` is of the copies' noise."""
    statistics, rows = [], []
    for index, utterance in enumerate(utterances):
        rng = np.random.default_rng([seed, index])
        clips = [contours(wave) for wave in copies(utterance.wave, rng)]
        statistics.append([list(functionals(clip).values()) for clip in clips])
        rows.append([clip_rows(clip) for clip in clips])
        progress((index + 1) / len(utterances))
    return SpeechCorpus(
        label=np.array([utterance.label for utterance in utterances], dtype=np.int64),
        speaker=np.array([utterance.speaker for utterance in utterances]),
        functionals=np.array(statistics),
        rows=rows,
    )


def by_own_speaker(values: NDArray[Any], speaker: NDArray[Any]) -> NDArray[Any]:
    """Return features (n, n_copies, n_features) relative to each speaker's own clips, without their labels.

    Mean and SD are those of the speaker's originals (copy 0). A test in which the test speaker's clips are
    scaled so is transductive: it needs a speaker's other clips, and gains from knowing how these are spread
    over the emotions.
    """
    scaled = np.empty_like(values)
    for name in np.unique(speaker):
        own = speaker == name
        originals = values[own, 0]
        scaled[own] = (values[own] - originals.mean(axis=0)) / (originals.std(axis=0) + 1e-6)
    return scaled


Head = Callable[[], Any]
Member = tuple[str, str]  # copies, head
Fold = tuple[NDArray[Any], NDArray[Any]]  # indices of the training and the test part

#: Which of `features.COPIES` a member learns from.
COPY_SETS = {"original": (0,), "pitch": (0, 1, 2), "tempo": (0, 3, 4), "pitch and tempo": (0, 1, 2, 3, 4)}


def heads(n_labels: int) -> dict[str, Head]:
    """Return the grid's classifiers; every class weighs the same in each."""
    lda = partial(LinearDiscriminantAnalysis, solver="lsqr", priors=np.full(n_labels, 1 / n_labels))
    svm = partial(SVC, class_weight="balanced")
    found: dict[str, Head] = {f"svm C={cost:g}": partial(svm, C=cost) for cost in (0.3, 1.0, 3.0)}
    return found | {f"lda shrinkage={share:g}": partial(lda, shrinkage=share) for share in (0.3, 0.6)}


def member_probabilities(
    rows: NDArray[Any], label: NDArray[Any], test_rows: NDArray[Any], n_labels: int
) -> dict[Member, NDArray[Any]]:
    """Train every member on rows (n_train, n_copies, n_features); it judges others (n_test, n_features).

    Features are standardised by the originals, which are copy 0; ``label`` holds every class. Answers
    (n_test, n_labels) are the softmax of a member's decision values: a common scale for averaging, not a
    calibrated probability.
    """
    scaler = StandardScaler().fit(rows[:, 0])
    test = scaler.transform(test_rows)
    found: dict[Member, NDArray[Any]] = {}
    for copy_set, chosen in COPY_SETS.items():
        train = scaler.transform(rows[:, list(chosen)].reshape(-1, rows.shape[-1]))
        target = np.repeat(label, len(chosen))
        for name, make in heads(n_labels).items():
            scores = make().fit(train, target).decision_function(test)
            # A discriminant's scores are log posteriors with far too little doubt; halved, they are of the
            # size of the machines' one-against-rest scores.
            found[copy_set, name] = softmax(scores * (0.5 if name.startswith("lda") else 1.0), axis=1)
    return found


def choose_inside(
    rows: NDArray[Any], label: NDArray[Any], speaker: NDArray[Any], n_labels: int
) -> tuple[Member, float]:
    """Return the member with the highest mean-of-speakers balanced accuracy, leaving out each speaker."""
    found: dict[Member, list[float]] = {}
    for train, test in speaker_folds(speaker):
        if len(np.unique(label[train])) < n_labels:
            continue
        answers = member_probabilities(rows[train], label[train], rows[test, 0], n_labels)
        for member, answer in answers.items():
            found.setdefault(member, []).append(balanced_accuracy(label[test], answer.argmax(axis=1)))
    means = {member: float(np.mean(values)) for member, values in found.items()}
    best = max(means, key=means.__getitem__)
    return best, means[best]


def speaker_folds(speaker: NDArray[Any]) -> list[Fold]:
    """Return a fold for each speaker, tested on that speaker alone."""
    return [(np.flatnonzero(speaker != name), np.flatnonzero(speaker == name)) for name in np.unique(speaker)]
