"""The voice on speakers, corpora and languages that trained nothing, beside openSMILE and an SVM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from acquisition.errors import ErrorCode, InputError
from models.datasets.voices import EMOTIONS, Utterance
from models.training.loop import Progress
from models.training.scores import balanced_accuracy, t_interval
from models.training.voices import (
    SHRINKAGE,
    Fold,
    check_folds,
    measure,
    running_evidence,
    running_logits,
    speaker_folds,
)

_N = len(EMOTIONS)
NORMALISE = ("training", "running", "speaker")
Fit = Callable[[NDArray[Any], NDArray[Any]], Any]  # of rows and labels, a classifier of scikit-learn
_CAVEAT = (
    "Settings are fixed and identical in all folds. The features were first made for six EMO-DB speakers "
    "(03, 08-12) in tests within that set; what is new since was fixed by RAVDESS and nEMO alone."
)


def egemaps(utterances: Sequence[Utterance]) -> NDArray[Any] | None:
    """Return (n, 88) functionals; None where the package ``opensmile`` is not installed."""
    try:
        import opensmile
    except ImportError:
        return None
    extractor = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )
    rows = [extractor.process_signal(one.wave, 16000).to_numpy()[0] for one in utterances]
    return np.nan_to_num(np.stack(rows))


def fit_linear(rows: NDArray[Any], label: NDArray[Any]) -> Any:
    """Return the voice's head on statistics (n, n_features): LDA, classes weighed alike."""
    head = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE, priors=np.full(_N, 1 / _N))
    return make_pipeline(StandardScaler(), head).fit(rows, label)


def fit_reference(rows: NDArray[Any], label: NDArray[Any]) -> Any:
    """Return an RBF machine (C=1, classes weighted equally)."""
    return make_pipeline(StandardScaler(), SVC(C=1.0, class_weight="balanced")).fit(rows, label)


def by_own_speaker(rows: NDArray[Any], speaker: NDArray[Any]) -> NDArray[Any]:
    """Return features (n, n_features) scaled by each speaker's own clips: in a test, transductive."""
    scaled = np.empty_like(rows)
    for name in np.unique(speaker):
        own = speaker == name
        scaled[own] = (rows[own] - rows[own].mean(axis=0)) / (rows[own].std(axis=0) + 1e-6)
    return scaled


@dataclass(frozen=True, eq=False)
class VoiceTest:
    """What is trained and tested: ``tested`` are other speakers; without them one at a time is left out."""

    train: Sequence[Utterance]
    tested: Sequence[Utterance] = ()
    normalise: Sequence[str] = NORMALISE


def speaker_scores(
    label: NDArray[Any], answer: NDArray[Any], speaker: NDArray[Any], n_labels: int
) -> dict[str, Any]:
    """Return balanced accuracy by speaker, its mean and 95 % t interval over speakers, and pooled."""
    by_speaker = {
        str(name): balanced_accuracy(label[speaker == name], answer[speaker == name])
        for name in np.unique(speaker)
    }
    values = list(by_speaker.values())
    counts = np.bincount(label * n_labels + answer, minlength=n_labels**2).reshape(n_labels, n_labels)
    interval = t_interval(values)
    return {
        "mean": float(np.mean(values)),
        "interval": None if interval is None else [max(0.0, interval[0]), min(1.0, interval[1])],
        "n_speakers": len(values),
        "n_clips": len(label),
        "speakers": by_speaker,
        "pooled": balanced_accuracy(label, answer),
        "confusion": counts.tolist(),
    }


def folds_of(test: VoiceTest) -> list[Fold]:
    """Return folds of one speaker each, or one whose test part is the clips ``tested``, behind the others.

    Raises `InputError`: too few speakers, an emotion missing from a training part, or a speaker on both
    sides.
    """
    if not test.tested:
        return speaker_folds(test.train)
    speaker = np.array([one.speaker for one in test.train])
    both = sorted(set(speaker.tolist()) & {one.speaker for one in test.tested})
    if both:
        what = f"on both sides: {', '.join(both)}; test speakers must differ from training speakers"
        remedy = "omit --test: each speaker is then tested in turn"
        raise InputError(what, where="--test", remedy=remedy, code=ErrorCode.SUBJECT)
    n = len(speaker)
    folds = [(np.arange(n), np.arange(n, n + len(test.tested)))]
    check_folds(folds, speaker, np.array([one.label for one in test.train]))
    return folds


def evaluate_voice(test: VoiceTest, progress: Progress) -> dict[str, Any]:
    """Train and test the voice beside the reference, where opensmile is installed.

    Returns ``protocol``, ``unit``, ``chance``, ``labels``, ``rows`` (``model``, ``normalise``,
    ``transductive``, ``chance``, `speaker_scores`), ``differences`` paired by speaker, and ``caveat``,
    JSON-ready.

    Raises `InputError`: too few speakers, an emotion missing from a training part, or a speaker on both
    sides.
    """
    everything = [*test.train, *test.tested]
    folds = folds_of(test)
    label = np.array([one.label for one in everything])
    speaker = np.array([one.speaker for one in everything])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one core, and the same last bits wherever it runs
    try:
        models: dict[str, tuple[NDArray[Any] | None, Fit]] = {
            "voice": (measure(everything, progress), fit_linear),
            "egemaps": (egemaps(everything), fit_reference),
        }
    finally:
        torch.set_num_threads(threads)
    tested = np.concatenate([part for _, part in folds])
    rows = []
    for model, (values, fit) in models.items():
        for normalise in test.normalise:
            if values is None:
                continue
            if normalise == "running" and model != "voice":
                continue  # nothing else is live
            seen = by_own_speaker(values, speaker) if normalise == "speaker" else values
            answer = []
            for train, part in folds:
                if normalise == "running":
                    evidence = running_evidence(seen[train], label[train], speaker[train])
                    answer.append(running_logits(evidence, seen[part], speaker[part]).argmax(axis=1))
                else:
                    answer.append(fit(seen[train], label[train]).predict(seen[part]))
            scores = speaker_scores(label[tested], np.concatenate(answer), speaker[tested], _N)
            transductive = normalise == "speaker"
            rows.append(
                dict(model=model, normalise=normalise, transductive=transductive, chance=1 / _N, **scores)
            )
    return {
        "protocol": _protocol(test),
        "unit": "mean over speakers of balanced accuracy; 95 % t interval over speakers",
        "chance": 1 / _N,
        "labels": list(EMOTIONS),
        "rows": rows,
        "differences": _differences(rows),
        "n_training_speakers": len({one.speaker for one in test.train}),
        "caveat": _CAVEAT,
    }


def _differences(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for ours in (row for row in rows if row["model"] == "voice"):
        for theirs in rows:
            if (theirs["model"], theirs["normalise"]) == ("egemaps", ours["normalise"]):
                pairs = [value - theirs["speakers"][name] for name, value in ours["speakers"].items()]
                mean = float(np.mean(pairs))
                found.append({"normalise": ours["normalise"], "mean": mean, "interval": t_interval(pairs)})
    return found


def _protocol(test: VoiceTest) -> str:
    n_train, n_tested = (len({one.speaker for one in part}) for part in (test.train, test.tested))
    split = f"trained on {n_train} speakers, tested on {n_tested} of other folders"
    split = split if test.tested else f"leave one of {n_train} speakers out"
    return (
        f"{split}; scaling and training see the training speakers only; rows of normalise=speaker are "
        "transductive: each speaker's features are scaled by that speaker's own unlabelled clips; of "
        "normalise=running the level is the mean of what the speaker said before, as live"
    )
