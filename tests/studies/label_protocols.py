"""What labels are worth: a subject's own alone, or beside those of other subjects; models on the same trials.

Tested are the last trials of each session, as published. Of its first trials ten or all train, and in the
protocol ``transfer`` all trials of all other subjects as well; nobody else's test decides anything. Levels
are each session's own, from the trials that train.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.baselines import FlatWindows, LdaClassifier, TunedSvm
from models.datasets.splits import by_session, first_trials, published_split
from models.datasets.trials import TRIAL_MODALITIES, Excluded, Trial, WindowSet, cut_windows, steps_that_fit
from models.encoders.mv_sstma import random_channel_mask
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import LabelledTrial, own_level
from models.process import run_jobs
from models.training.evaluate_trials import joined
from models.training.loop import Report
from models.training.scores import Predictions, interval_over, trial_ids
from models.training.sources import Source
from models.training.tables import Entry
from tests.studies.transfer import (
    ALONE,
    GIVEN,
    Answers,
    Split,
    answers_of,
    blended,
    chosen_weight,
    inner_folds,
    joined_answers,
)

_OTHERS_WINDOWS = 4  # of a trial of someone else, for the references: more change little and take long


def of_each_session(predictions: Predictions) -> list[Predictions]:
    """Return the predictions of each subject and session, in their order."""
    keys = list(zip(predictions.subject.tolist(), predictions.session.tolist(), strict=True))
    places = [[key == one for key in keys] for one in dict.fromkeys(keys)]
    return [Predictions(**{name: array[at] for name, array in vars(predictions).items()}) for at in places]


def labelled_trial(trial: Trial) -> LabelledTrial:
    """Return EEG and eye features of a data set's trial, of all its channels."""
    rows = {m: getattr(trial, m) for m in TRIAL_MODALITIES if getattr(trial, m) is not None}
    steps = {m: np.asarray(array, np.float64).reshape(len(array), -1) for m, array in rows.items()}
    baseline = None if trial.baseline is None else labelled_trial(trial.baseline)
    return LabelledTrial(trial.subject, trial.session, trial.label, steps, baseline=baseline)


class SvmClassifier:
    """`TunedSvm` on all modalities' flattened features side by side."""

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._svm = TunedSvm(n_labels, seed)

    def fit(self, train: WindowSet) -> Self:
        self._flat = FlatWindows(train)
        self._svm.fit(self._flat.rows(train), train.label, trial_ids(train))
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        return self._svm.predict_proba(self._flat.rows(test))


@dataclass(frozen=True)
class LabelTest:
    """What is tested, and with which labels."""

    source: Source  # of a data set with a published split
    protocol: str = "own"  # or transfer
    n_labels: int | None = None  # trials of a session's beginning that train; None: all of the split
    n_steps: int = 10
    n_jobs: int = 1
    subjects: tuple[str, ...] | None = None  # who is judged; None: all
    network: bool = True  # else nothing trains one, and it has no share in what is kept

    def split(self, session: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
        """Return a session's labelled trials and those to test on."""
        train, test = published_split(session, shortened=self.source.is_generated)
        return (train if self.n_labels is None else first_trials(train, self.n_labels, at_most=True)), test


@dataclass(frozen=True, eq=False)
class LabelResult:
    """Scores by model and what was given of a window, one entry for each subject and session."""

    test: LabelTest
    entries: Mapping[tuple[str, str], list[Entry]]
    excluded: tuple[Excluded, ...]
    shares: Mapping[str, Sequence[float]] = field(default_factory=dict)  # of the network in what is kept

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``mean`` is per window, over subjects, ``interval`` its 95 % t interval."""
        return {
            "generated": self.test.source.is_generated,
            "features": self.test.source.features,
            "rows": [self._row(*key, entries) for key, entries in self.entries.items()],
            "left_out": [{"subject": one.subject, "why": one.why} for one in self.excluded],
        }

    def _row(self, model: str, given: str, entries: Sequence[Entry]) -> dict[str, Any]:
        subjects: dict[str, list[Entry]] = {}
        for entry in entries:
            subjects.setdefault(entry.subject, []).append(entry)
        n_trials = sum(entry.trial.n for entry in entries)
        per_window, per_trial = (
            [float(np.mean([getattr(e, unit).accuracy for e in own])) for own in subjects.values()]
            for unit in ("window", "trial")
        )
        counts = np.sum([entry.trial.confusion.sum(axis=1) for entry in entries], axis=0)
        return {
            "model": model,
            "protocol": self.test.protocol,
            "labels": self.test.n_labels or "all",
            "modalities": given,
            "mean": float(np.mean(per_window)),
            "interval": interval_over(per_window, n_trials),
            "trial_mean": float(np.mean(per_trial)),
            "trial_interval": interval_over(per_trial, n_trials),
            "chance": float(counts.max() / counts.sum()),
            "n_trials": n_trials,
            "ece": float(np.mean([entry.window.ece for entry in entries])),
            **({"network_shares": list(self.shares.get(given, ()))} if model == "kept" else {}),
            "subjects": [
                {"subject": name, "mean": window, "trial_mean": trial}
                for name, window, trial in zip(subjects, per_window, per_trial, strict=True)
            ],
        }


@dataclass(frozen=True, eq=False)
class Job:
    """One judged subject with everybody's trials: it may run in another process."""

    test: LabelTest
    subject: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, eq=False)
class Parts:
    """Trials of one judged subject: what trains and what is tested."""

    others: list[Trial]  # empty in the protocol "own"
    own: list[Trial]
    test: list[Trial]
    n_steps: int
    levels: Mapping[tuple[str, int], Mapping[str, NDArray[np.float64]]]  # from what trains

    @classmethod
    def of(cls, job: Job) -> Parts:
        """Part a job's trials, and take the level of each session from what trains."""
        own: list[Trial] = []
        test: list[Trial] = []
        for (subject, _), session in by_session(job.trials).items():
            if subject == job.subject:
                train, judged = job.test.split(session)
                own, test = own + train, test + judged
        others = [t for t in job.trials if t.subject != job.subject and job.test.protocol == "transfer"]
        return cls.made(others, own, test, job.test.n_steps)

    @classmethod
    def made(
        cls, others: Sequence[Trial], own: Sequence[Trial], test: Sequence[Trial], most_steps: int
    ) -> Parts:
        """Take windows of ``most_steps`` or what all trials can fill, and levels from what trains."""
        n_steps = steps_that_fit([*own, *test, *others], most_steps)
        sessions = by_session([*own, *others]).items()
        levels = {key: own_level([labelled_trial(t) for t in session]) for key, session in sessions}
        return cls(list(others), list(own), list(test), n_steps, levels)

    def of_session(self, key: tuple[str, int]) -> tuple[list[Trial], list[Trial]]:
        """Return what trains and what is tested of one session of the judged subject."""
        return by_session(self.own)[key], by_session(self.test)[key]

    def windows(self, trials: Sequence[Trial], most: int | None = None) -> WindowSet:
        """Cut windows of the trials."""
        return cut_windows(trials, self.n_steps, max_per_trial=most)

    def centred_means(self, trials: Sequence[Trial], most: int | None = None) -> WindowSet:
        """Cut windows and take the means over their steps, as deviations from their sessions' levels."""
        windows = self.windows(trials, most)
        keys = list(zip(windows.subject.tolist(), windows.session.tolist(), strict=True))
        arrays = {}
        for modality in TRIAL_MODALITIES:
            steps = getattr(windows, modality)
            if steps is None:
                continue
            known = np.isfinite(steps)
            n_known = known.sum(axis=2, keepdims=True)
            mean = np.where(known, steps, 0).sum(axis=2, keepdims=True) / np.maximum(n_known, 1)
            mean = np.where(2 * n_known > steps.shape[2], mean, np.nan)
            level = np.stack([self.levels[key][modality] for key in keys])
            arrays[modality] = (mean - level.reshape(mean.shape)).astype(np.float32)
        return replace(windows, **arrays)


def discriminants(parts: Parts) -> dict[tuple[str, int], MixedDiscriminant]:
    """Return the discriminant with two levels for each tested session, which its own trials update."""
    n_labels, base, models = len(parts.own[0].label_names), None, {}
    if parts.others:
        base = MixedDiscriminant.fit([labelled_trial(trial) for trial in parts.others], n_labels)
    for key in by_session(parts.test):
        labelled = [labelled_trial(trial) for trial in parts.of_session(key)[0]]
        models[key] = adapted(base, labelled, parts.levels[key], n_labels)
    return models


def adapted(
    base: MixedDiscriminant | None,
    own: Sequence[LabelledTrial],
    level: Mapping[str, NDArray[np.float64]],
    n_labels: int,
) -> MixedDiscriminant:
    """Return the discriminant for one session, by other subjects' ``base`` or by the ``own`` trials alone."""
    if base is None:
        return MixedDiscriminant.fit(own, n_labels, person=own[0].person)
    centred = [trial.minus(level) for trial in own]
    return base.in_session(own[0].session).aligned(centred).update(centred)


def discriminant_answers(
    parts: Parts, models: Mapping[tuple[str, int], MixedDiscriminant] | None = None, mask: float = 0.0
) -> Answers:
    """Return what `discriminants` say, with a share of each test window's EEG channels hidden."""
    found: list[tuple[dict[str, NDArray[Any]], WindowSet]] = []
    for key, model in (models or discriminants(parts)).items():
        windows = hidden(parts.centred_means(parts.of_session(key)[1]), mask)
        n_steps = torch.full((len(windows),), parts.n_steps)
        evidence = {}
        for modality in TRIAL_MODALITIES:
            if (array := getattr(windows, modality)) is not None:
                mean = torch.from_numpy(array.reshape(len(windows), -1))
                known = mean.isfinite()
                evidence[modality] = model.evidence(modality, mean.nan_to_num(), n_steps, known)
        probs = {
            given: torch.softmax(sum((evidence[m] for m in names), torch.zeros(1)), dim=-1).numpy()
            for given, names in GIVEN.items()
            if set(names) <= set(evidence)
        }
        found.append((probs, windows))
    return _joined(found)


def reference_answers(kind: type[LdaClassifier] | type[SvmClassifier], parts: Parts) -> Answers:
    """Return what LDA or the SVM says, fitted as serves it best on generated sets that judge nothing."""
    others = parts.centred_means(parts.others, _OTHERS_WINDOWS) if parts.others else None
    found: list[tuple[dict[str, NDArray[Any]], WindowSet]] = []
    for key in by_session(parts.test):
        cut = parts.windows if others is None else parts.centred_means
        train, test = map(cut, parts.of_session(key))
        if others is not None:
            train = _stacked(others, train)
        probs = {}
        for given, names in GIVEN.items():
            if all(getattr(test, modality) is not None for modality in names):
                n_labels = len(parts.own[0].label_names)
                counts = kind is LdaClassifier and others is not None
                fitted = LdaClassifier(n_labels, count_trials=True) if counts else kind(n_labels)
                fitted.fit(train.only(names))
                probs[given] = fitted.predict_proba(test.only(names))
        found.append((probs, test))
    return _joined(found)


def kept_answers(
    parts: Parts, split: Split, discriminant: Answers
) -> tuple[Answers, Answers, dict[str, float]]:
    """Return what is kept of discriminant and network, what the network says, and the network's shares.

    The shares are chosen on other subjects alone; without them the discriminant is kept.
    """
    shares: dict[str, float] = {}
    if parts.others:
        network = answers_of(parts.others, parts.own, parts.test, parts.n_steps)
        ours, theirs = list[Answers](), list[Answers]()
        for train, own, judged in inner_folds(parts.others, split):
            ours.append(discriminant_answers(Parts.made(train, own, judged, parts.n_steps)))
            theirs.append(answers_of(train, own, judged, parts.n_steps))
        reference = joined_answers(ours)
        shares = {name: chosen_weight(reference[name], said) for name, said in joined_answers(theirs).items()}
    else:
        sessions = map(parts.of_session, by_session(parts.test))
        network = joined_answers([answers_of(own, [], test, parts.n_steps, ALONE) for own, test in sessions])
    kept = {name: blended(ours, network[name], shares.get(name, 0.0)) for name, ours in discriminant.items()}
    return kept, network, shares


def hidden(windows: WindowSet, share: float, seed: int = 1) -> WindowSet:
    """Return the windows without a share of the EEG channels, others in each; as the network's are drawn."""
    if share <= 0 or windows.eeg is None:
        return windows
    there = torch.from_numpy(np.isfinite(windows.eeg).all(axis=-1).any(axis=2))  # (n, C)
    visible = random_channel_mask(there, share, torch.Generator().manual_seed(seed)).numpy()
    return replace(windows, eeg=np.where(visible[..., None, None], windows.eeg, np.nan))


def _stacked(one: WindowSet, other: WindowSet) -> WindowSet:
    def both(name: str) -> Any:
        arrays = getattr(one, name), getattr(other, name)
        return None if arrays[0] is None or arrays[1] is None else np.concatenate(arrays)

    return WindowSet(*map(both, vars(one)))


def _joined(found: Sequence[tuple[dict[str, NDArray[Any]], WindowSet]]) -> Answers:
    """Return the predictions of all sessions, by what was given in each of them."""
    answers: Answers = {}
    for given in GIVEN:
        parts = [Predictions.of(probs[given], windows) for probs, windows in found if given in probs]
        if parts:
            answers[given] = joined(parts)
    return answers


class Judged(NamedTuple):
    """One judged subject."""

    entries: dict[tuple[str, str], list[Entry]]  # by model and what was given, one a session
    shares: dict[str, float]  # the network's in what is kept, by what was given


def judge(job: Job) -> Judged | Excluded:
    """Return the scores of every model on one subject's sessions."""
    torch.set_num_threads(1)
    try:
        parts = Parts.of(job)
        answers = {
            "discriminant": discriminant_answers(parts),
            "lda": reference_answers(LdaClassifier, parts),
            "svm": reference_answers(SvmClassifier, parts),
        }
        kept, shares = answers["discriminant"], dict[str, float]()
        if job.test.network:
            kept, answers["network"], shares = kept_answers(parts, job.test.split, kept)
        answers["kept"] = kept
    except InputError as error:
        return Excluded(job.subject, str(error))
    entries = {
        (model, given): [Entry.of(one, None) for one in of_each_session(predictions)]
        for model, of_model in answers.items()
        for given, predictions in of_model.items()
    }
    return Judged(entries, shares)


def evaluate_labels(test: LabelTest, report: Report) -> LabelResult:
    """Judge every subject; raises `InputError` if there is nobody to judge, or nobody to learn from."""
    excluded: list[Excluded] = []
    trials = tuple(test.source.trials(excluded=excluded))
    everybody = list(dict.fromkeys(trial.subject for trial in trials))
    subjects = [name for name in everybody if test.subjects is None or name in test.subjects]
    where = str(test.source.path)
    asked = [one for one in excluded if test.subjects is None or one.subject in test.subjects]
    if not subjects and asked:
        raise InputError(f"nobody could be judged; first: {asked[0].why}", where=where, code=ErrorCode.DATA)
    if not subjects:
        what = f"expected a subject of {', '.join(everybody)}, found none"
        raise InputError(what, where=where, remedy="name others with --subject", code=ErrorCode.SUBJECT)
    if test.protocol == "transfer" and len(everybody) < 2:
        what = "expected other subjects to learn from, found one subject"
        raise InputError(what, where=where, remedy="use --protocol own", code=ErrorCode.DATA)
    jobs = [
        Job(test, name, tuple(t for t in trials if test.protocol == "transfer" or t.subject == name))
        for name in subjects
    ]
    entries: dict[tuple[str, str], list[Entry]] = {}
    shares: dict[str, list[float]] = {}
    for number, result in enumerate(run_jobs(judge, jobs, test.n_jobs), start=1):
        if isinstance(result, Excluded):
            excluded.append(result)
        else:
            for key, found in result.entries.items():
                entries.setdefault(key, []).extend(found)
            for given, share in result.shares.items():
                shares.setdefault(given, []).append(share)
        report("subjects", number / len(jobs), math.nan, f"{number} of {len(jobs)}")
    if not entries:
        what = f"nobody could be judged; first: {excluded[0].why}"
        raise InputError(what, where=where, code=ErrorCode.DATA)
    return LabelResult(test, entries, tuple(excluded), shares)
