"""How well emotion is predicted from acted speech of speakers not in training, compared with openSMILE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from acquisition.errors import ErrorCode, InputError
from models.datasets.emodb import EMOTIONS, Utterance
from models.papers.speech.committee import (
    COPY_SETS,
    Fold,
    SpeechCorpus,
    by_own_speaker,
    choose_inside,
    heads,
    measure,
    member_probabilities,
    speaker_folds,
    speaker_scores,
)
from models.papers.speech.features import COPIES
from models.papers.speech.network import VoiceNetworkConfig, predict, train_voice_network
from models.training.loop import Progress
from models.training.scores import t_interval


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


def reference_answer(
    rows: NDArray[Any], label: NDArray[Any], train: NDArray[Any], test: NDArray[Any]
) -> NDArray[Any]:
    """Return the labels that an RBF machine (C=1, classes weighted equally) gives the test part."""
    machine = make_pipeline(StandardScaler(), SVC(C=1.0, class_weight="balanced"))
    return machine.fit(rows[train], label[train]).predict(rows[test])


_N = len(EMOTIONS)
_CAVEAT = (
    "Settings are fixed and identical in all folds, but were chosen after seeing results on six EMO-DB "
    "speakers (03, 08-12): about 100 variants of features, augmentation and classifiers scored 0.74 to 0.82, "
    "so differences of a few points are meaningless."
)


@dataclass(frozen=True)
class SpeechTest:
    """Settings of a run: all fixed beforehand."""

    seeds: tuple[int, ...] = (1, 2)  # a network each, averaged
    network: VoiceNetworkConfig = field(default_factory=VoiceNetworkConfig)
    network_share: float = 0.5  # of the network beside the committee in the answer
    quick: bool = False

    @classmethod
    def quick_run(cls) -> SpeechTest:
        """One network, few passes, no choice inside: to check that it runs."""
        return cls(seeds=(1,), network=replace(VoiceNetworkConfig(), pretrain_epochs=3, epochs=6), quick=True)


def evaluate_speech(
    utterances: Sequence[Utterance],
    test_utterances: Sequence[Utterance] | None,
    settings: SpeechTest,
    progress: Progress,
) -> dict[str, Any]:
    """Train and test the audio path beside the reference.

    ``test_utterances`` are of other speakers: trained on ``utterances``, tested on these. Without them one
    speaker at a time is left out.

    Raises `InputError`: too few speakers, an emotion missing from a training part, or a speaker on both
    sides.

    Returns
    -------
    dict
        JSON-ready: ``protocol``, ``unit``, ``chance``, ``labels``; ``ours``, ``reference`` and
        ``reference_transductive`` (None without opensmile) as `speaker_scores` gives them, ``ours`` with its
        ``parts``; ``difference`` (ours less reference, paired by speaker); ``settings``, ``n_clips``,
        ``quick``.
    """
    everything = [*utterances, *(test_utterances or ())]
    folds = _folds(utterances, test_utterances)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one core, and the same last bits wherever it runs
    try:
        corpus = measure(everything, settings.seeds[0], lambda share: progress("features", share, np.nan))
        answers, chosen = _answers(corpus, folds, settings, progress)
    finally:
        torch.set_num_threads(threads)
    tested = np.concatenate([test for _, test in folds])
    label, speaker = corpus.label[tested], corpus.speaker[tested]
    scores = {name: speaker_scores(label, answer, speaker, _N) for name, answer in answers.items()}
    ours, reference = scores.pop("ours"), _reference(everything, corpus, folds, tested)
    difference = None
    if reference["reference"] is not None:
        theirs = reference["reference"]["speakers"].items()
        pairs = [ours["speakers"][name] - value for name, value in theirs]
        difference = {"mean": float(np.mean(pairs)), "interval": t_interval(pairs)}
    return {
        "protocol": _protocol(test_utterances is not None, len(np.unique(speaker))),
        "unit": "mean over speakers of balanced accuracy; 95 % t interval over speakers",
        "chance": 1 / _N,
        "labels": list(EMOTIONS),
        "ours": {**ours, "chance": 1 / _N, "parts": scores},
        **reference,
        "difference": difference,
        "settings": {
            **asdict(settings),
            "caveat": _CAVEAT,
            "copies": list(COPIES),
            "committee": {"copies": list(COPY_SETS), "heads": list(heads(_N))},
            "chosen_inside": chosen,
            "n_features": corpus.functionals.shape[-1],
        },
        "n_clips": {"all": len(everything), "tested": len(tested)},
        "quick": settings.quick,
    }


def _folds(utterances: Sequence[Utterance], test_utterances: Sequence[Utterance] | None) -> list[Fold]:
    """Return the folds, checked: whole speakers on one side, every emotion in every training part."""
    speaker = np.array([one.speaker for one in utterances])
    label = np.array([one.label for one in utterances])
    names = np.unique(speaker)
    if test_utterances is None:
        folds = speaker_folds(speaker)
    else:
        both = sorted(set(names.tolist()) & {one.speaker for one in test_utterances})
        if both:
            what = f"in both folders: {', '.join(both)}; test speakers must differ from training speakers"
            remedy = "omit --test: each speaker is then tested in turn"
            raise InputError(what, where="--test", remedy=remedy, code=ErrorCode.SUBJECT)
        stop = len(utterances) + len(test_utterances)
        folds = [(np.arange(len(utterances)), np.arange(len(utterances), stop))]
    if len(names) < 3:
        raise _too_little(f"expected at least 3 speakers, found {len(names)}", n_speakers=len(names))
    for train, _ in folds:
        if missing := sorted(set(range(_N)) - set(label[train].tolist())):
            emotion, n = EMOTIONS[missing[0]], len(np.unique(speaker[train]))
            what = f"expected every emotion among the {n} training speakers, found no {emotion}"
            raise _too_little(what, missing=emotion)
    return folds


def _too_little(what: str, **facts: str | int) -> InputError:
    return InputError(what, where="EMO-DB", remedy="add recordings", code=ErrorCode.DATA, **facts)


def _answers(
    corpus: SpeechCorpus, folds: list[Fold], settings: SpeechTest, progress: Progress
) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Return each variant's labels for the tested clips in the folds' order, and what was chosen inside."""
    scores: dict[str, list[NDArray[Any]]] = {}
    chosen: list[dict[str, Any]] = []
    relative = by_own_speaker(corpus.functionals, corpus.speaker)
    n_passes = len(folds) * len(settings.seeds) * (settings.network.pretrain_epochs + settings.network.epochs)
    passes = count(1)

    def tick() -> None:
        progress("networks", next(passes) / n_passes, np.nan)

    for train, test in folds:
        label, rows = corpus.label[train], corpus.functionals
        members = member_probabilities(rows[train], label, rows[test, 0], _N)
        committee = np.mean(list(members.values()), axis=0)
        network = _networks(corpus, train, test, settings, tick)
        share = settings.network_share
        found = {
            "ours": (1 - share) * committee + share * network,
            "committee": committee,
            "network": network,
        }
        if not settings.quick:
            best, inner = choose_inside(rows[train], label, corpus.speaker[train], _N)
            found["committee_member_chosen_inside"] = members[best]
            chosen.append({"copies": best[0], "head": best[1], "inner_mean": inner})
        own = member_probabilities(relative[train], label, relative[test, 0], _N)
        found["committee_transductive"] = np.mean(list(own.values()), axis=0)
        for name, values in found.items():
            scores.setdefault(name, []).append(values)
    return {name: np.concatenate(values).argmax(axis=1) for name, values in scores.items()}, chosen


def _networks(
    corpus: SpeechCorpus,
    train: NDArray[Any],
    test: NDArray[Any],
    settings: SpeechTest,
    tick: Callable[[], None],
) -> NDArray[Any]:
    """Return the mean probabilities (n_test, n_labels) of one network a seed."""
    clips, label = [corpus.rows[index] for index in train], corpus.label[train]
    answers = []
    for seed in settings.seeds:
        network, scale = train_voice_network(clips, label, _N, settings.network, seed, tick)
        answers.append(predict(network, scale, [corpus.rows[index][0] for index in test]))
    return np.mean(answers, axis=0)


def _reference(
    everything: Sequence[Utterance], corpus: SpeechCorpus, folds: list[Fold], tested: NDArray[Any]
) -> dict[str, Any]:
    """Return the reference's scores, plain and relative to each speaker; None without opensmile."""
    rows = egemaps(everything)
    found: dict[str, Any] = {"reference": None, "reference_transductive": None}
    if rows is None:
        return found
    relative = by_own_speaker(rows[:, None], corpus.speaker)[:, 0]
    for name, values in (("reference", rows), ("reference_transductive", relative)):
        answers = [reference_answer(values, corpus.label, train, test) for train, test in folds]
        found[name] = {
            "name": "openSMILE eGeMAPSv02 functionals, RBF SVM, C=1, balanced",
            **speaker_scores(corpus.label[tested], np.concatenate(answers), corpus.speaker[tested], _N),
        }
    return found


def _protocol(other_folder: bool, n_speakers: int) -> str:
    split = (
        f"trained on the first folder, tested on the {n_speakers} speakers of the second"
        if other_folder
        else f"leave one of {n_speakers} speakers out"
    )
    return (
        f"{split}; scaling, pre-training and training see the training speakers only; settings are fixed, "
        "averaged over a grid where others would choose; rows named transductive scale each speaker's "
        "features by that speaker's own unlabelled clips, the test speaker's too"
    )
