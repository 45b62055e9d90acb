"""Scores of a classifier on labelled trials that did not train it, with all or part of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITY_NAMES
from models.baselines import LdaClassifier
from models.checkpoint import load_checkpoint
from models.config import ModelConfig
from models.datasets.splits import by_session, coverage, folds_by_people, published_split
from models.datasets.trials import PUBLISHED, TRIAL_MODALITIES, Excluded, Trial, cut_windows
from models.normalise import Normaliser
from models.process import keep_freed_memory
from models.training.finetune import Finetuned, Progress, finetune, training_windows
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders, seen_without_labels
from models.training.finetune_tokens import TrialClassifier
from models.training.loop import Report
from models.training.provenance import SeenSession, TrainingRecord, read_record
from models.training.scores import Predictions, Scores
from models.training.session_levels import about_level, rows_of
from models.training.sources import Source
from models.training.tables import Entry, Row, Table
from models.trust import needed_probability

#: Shares of the EEG channels hidden, as in Table 4 of the MMV-SSTMA paper.
MASKS = (0.3, 0.5, 0.7)
#: How well a model knows the subjects it is tested on, best known first; rows of their own, because they are
#: different experiments. The first: the model does not say.
_ACQUAINTANCE = ("", "sessions that trained it", "same subjects, other sessions", "unknown subjects")
_MOST_WINDOWS = 20  # of a trial, where no network is tested
_PROTOCOL = (
    "nothing is fitted; features are normalised with the model's own statistics; SD over subjects (n - 1), "
    "a subject's score is the mean over sessions; masked channels are drawn once per session"
)


@dataclass(frozen=True)
class Condition:
    """One way to give a classifier its input."""

    words: str  # which modalities
    modalities: tuple[str, ...] | None = None  # any other is masked; None: all are given
    mask: float = 0.0  # share of the EEG channels hidden, others in each window


def held_modalities(reads: Sequence[str], trials: Sequence[Trial]) -> list[str]:
    """Return which of EEG and eyes a classifier reads and any of the trials holds."""
    held = {m for m in TRIAL_MODALITIES for trial in trials if getattr(trial, m) is not None}
    return [m for m in TRIAL_MODALITIES if m in reads and m in held]


def conditions(held: Sequence[str]) -> list[Condition]:
    """Return all input first, then each modality alone where there are two, then hidden EEG channels."""
    whole = Condition(" and ".join(MODALITY_NAMES[m] for m in held))
    rows = [whole]
    if len(held) > 1:
        for modality in held:
            removed = " and ".join(MODALITY_NAMES[m] for m in held if m != modality)
            rows.append(Condition(f"{MODALITY_NAMES[modality]} alone, {removed} removed", (modality,)))
    if "eeg" in held:
        rows += [Condition(whole.words, mask=share) for share in MASKS]
    return rows


@dataclass(frozen=True)
class TrialTest:
    """Which model is tested on what."""

    model: Path
    source: Source  # its ``features`` must be the model's
    subjects: tuple[str, ...] | None = None  # of a data set; None: all
    session: int | None = None  # None: all
    seed: int = 1  # of the hidden channels


def check_model(config: ModelConfig, test: TrialTest, record: TrainingRecord | None) -> None:
    """Refuse a model that cannot be tested on these data."""
    source, reads, what, remedy = test.source, config.feature_origin, "", ""
    if not config.is_classifier:
        what = "is only pre-trained and has no classifier"
        remedy = "make one of it with affectscope finetune"
    elif config.network.takes_raw_eeg or not set(TRIAL_MODALITIES) & set(config.modalities):
        what = "reads raw EEG, faces or voices, but these data contain EEG and eye features"
        remedy = "choose a model of finetune"
    elif reads != source.features:
        what = f"reads {reads} features, but these data have {source.features} ones"
        remedy = "use a model fine-tuned with the same --features"
    if what:
        where = f"--model {test.model}"
        raise InputError(f"the model {what}", where=where, remedy=remedy, code=ErrorCode.MODEL)
    if trained := [file for file in source.files if record is not None and record.holds(file, labels=True)]:
        what = "the model was trained on this recording with its labels: no trials are left to test on"
        remedy = "its model card has cross-validated figures; test on another recording"
        raise InputError(what, where=str(trained[0]), remedy=remedy, code=ErrorCode.DATA)


def tested_sessions(test: TrialTest, config: ModelConfig, excluded: list[Excluded]) -> list[list[Trial]]:
    """Return the trials to test on, by session, in the model's classes; ``excluded`` takes the others."""
    source = test.source
    trials = source.trials(test.subjects, config, excluded)
    groups = by_session([t for t in _relabelled(trials, config) if test.session in (None, t.session)])
    if not groups and trials:
        found = ", ".join(map(str, sorted({trial.session for trial in trials})))
        what = f"expected session {found}, found {test.session}"
        raise InputError(what, where="--session", code=ErrorCode.SUBJECT)
    sessions = []
    for group in groups.values():
        sessions.append(list[Trial]())
        try:
            tested = published_split(group, shortened=source.is_generated)[1] if source.is_dataset else group
        except InputError as error:
            excluded.append(Excluded(group[0].subject, str(error)))
            continue
        for trial in tested:
            if why := _unusable(trial, config):
                where = f"session {trial.session}, trial {trial.trial}"
                excluded.append(Excluded(trial.subject, f"{where}: {why}"))
            else:
                sessions[-1].append(trial)
    if not any(sessions):
        why = excluded[0].why if excluded else "no test trial"
        what = f"no trial can be used for testing; first: {why}"
        raise InputError(what, where=str(source.path), code=ErrorCode.DATA)
    return [trials for trials in sessions if trials]


def _relabelled(trials: Sequence[Trial], config: ModelConfig) -> list[Trial]:
    """Return the trials with labels that count in the model's list of classes."""
    if not trials:
        return []
    names = trials[0].label_names
    if unknown := [name for name in names if name not in config.labels]:
        what = f"expected classes of the model ({', '.join(config.labels)}), found {', '.join(unknown)}"
        remedy = "use a model of these classes; for recordings, name them so in --events"
        raise InputError(what, where=f"{trials[0].dataset}", remedy=remedy, code=ErrorCode.DATA)
    at = [config.labels.index(name) for name in names]
    return [replace(trial, label=at[trial.label], label_names=config.labels) for trial in trials]


def _unusable(trial: Trial, config: ModelConfig) -> str:
    """Return why no window of a trial holds what the model reads; empty where one does."""
    n_steps, n_eye = config.windows.eeg_n_steps, config.network.n_eye_features
    if trial.n_steps < n_steps:
        return f"expected at least {n_steps} steps of {trial.step_s:g} s, found {trial.n_steps}"
    if "eye" in config.modalities and trial.eye is not None and trial.eye.shape[1] != n_eye:
        return f"expected {n_eye} eye features, found {trial.eye.shape[1]}"
    rows = rows_of(trial, config)
    eeg = rows.get("eeg", np.empty((0, 1))).reshape(-1, len(config.features.bands) or 1)
    if np.isfinite(eeg).all(axis=1).any() or np.isfinite(rows.get("eye", np.empty(0))).any():
        return ""
    return f"expected {' or '.join(config.modalities)} as the model knows them, found neither"


def evaluate_trials(test: TrialTest, report: Report) -> Table:
    """Return the model's scores with all input, each modality alone, and hidden EEG channels.

    Every session is scored by itself and counts once in its subject's mean. Subjects and sessions that
    trained the model have rows of their own.

    Raises `InputError` if the model cannot be tested on these data, was trained on them with their labels,
    or nothing is left to test.
    """
    keep_freed_memory()
    checkpoint, record = load_checkpoint(test.model), read_record(test.model)
    config = checkpoint.config
    check_model(config, test, record)
    seen = seen_without_labels(config, test.source.kind, test.source.files, record)
    excluded: list[Excluded] = []
    sessions = tested_sessions(test, config, excluded)
    normaliser = Normaliser.from_dict(checkpoint.normaliser_tensors)
    network = checkpoint.network.prepare_inference()
    model = TrialClassifier(config, network, normaliser, evidence=checkpoint.evidence)
    n_classes = record.n_classes if record is not None and record.complete else None
    entries: dict[tuple[str, Condition], list[Entry]] = {}
    for number, trials in enumerate(sessions, start=1):
        known = _acquaintance(trials[0], test, record)
        whole = model.hear(trials)
        for condition in conditions(held_modalities(config.modalities, trials)):
            heard = whole
            if condition.mask:
                heard = whole.hiding(condition.mask, seed=test.seed + number, same_channels=True)
            found = heard.predict(condition.modalities)
            entries.setdefault((known, condition), []).append(Entry.of(found, n_classes))
        report("testing", number / len(sessions), float("nan"), f"{number} of {len(sessions)} sessions")
    tested = [trial for trials in sessions for trial in trials]
    name = f"{test.model.name} (transductive)" if seen else test.model.name
    rows = [
        Row(
            f"{name}: {condition.words}" + (f"; {known}" if known else ""),
            False, "all", condition.mask, tuple(entries[known, condition]),
        )
        for known, condition in sorted(entries, key=lambda key: _ACQUAINTANCE.index(key[0]))
    ]  # fmt: skip
    what = "the test trials of the published split" if test.source.is_dataset else "all trials"
    return Table(
        title=f"{test.model.name} on {test.source.kind}",
        protocol="; ".join(part for part in (f"on {what}", _PROTOCOL, seen) if part),
        rows=tuple(rows),
        label_names=config.labels,
        excluded=tuple(dict.fromkeys(excluded)),
        quick=record is not None and record.quick,
        generated=test.source.is_generated,
        notes=tuple(_notes(config, tested, record)),
    )


def _acquaintance(trial: Trial, test: TrialTest, record: TrainingRecord | None) -> str:
    """Return how well the model knows the subject; empty for recordings, and where the model does not say."""
    not_said, trained, same_subject, unknown = _ACQUAINTANCE
    if record is None or not record.complete or not test.source.is_dataset:
        return not_said
    session = SeenSession.of(trial, generated=test.source.is_generated)
    if session in record.sessions:
        return trained
    subjects = {(known.dataset, known.subject) for known in record.sessions}
    return same_subject if (session.dataset, session.subject) in subjects else unknown


def _notes(config: ModelConfig, tested: Sequence[Trial], record: TrainingRecord | None) -> list[str]:
    """Return sentences on the model, the classes, what the data lack and what is not known."""
    notes = [f"The model: {config.trained_on}.", f"Tested on {coverage(tested).words()}."]
    held = held_modalities(config.modalities, tested)
    if missing := [modality for modality in config.modalities if modality not in held]:
        notes.append(f"The data have no {' and no '.join(missing)}: missing in all windows.")
    found = set(config.ch_names) & {name for trial in tested for name in trial.ch_names}
    if "eeg" in held and len(found) < len(config.ch_names):
        notes.append(f"The data have {len(found)} of the {len(config.ch_names)} EEG channels of the model.")
    of_labels = [] if record is None else [entry for entry in record.recordings if entry.labels]
    if of_labels and tested[0].dataset not in PUBLISHED:
        notes.append(
            "Training recordings are recognised by their samples; one that was trimmed or converted since is "
            "not recognised."
        )
    if record is None or not record.complete:
        notes.append(
            "The training record is incomplete: if the model was trained on these trials, these results are "
            "invalid."
        )
    elif 0 < record.n_classes < len(config.labels):
        never = [name for name in config.labels if not record.trials_per_class.get(name)]
        notes.append(f"It was never trained on {' and '.join(never)} and cannot predict them.")
    return notes


@dataclass(frozen=True, eq=False)
class ScoreReport:
    """Scores of one model, together and by modality."""

    protocol: str
    window: Scores
    trial: Scores
    extra: dict[str, Scores]  # per trial: modalities alone and removed, masked channels, other classifiers
    needed: float  # probability from which on a window is an answer
    n_answers: int  # windows that reach it
    n_right: int  # of these

    @classmethod
    def of(
        cls, protocol: str, found: Predictions, extra: dict[str, Scores], config: ModelConfig
    ) -> ScoreReport:
        """Return the report on predictions of a model that has this config."""
        needed = needed_probability(len(config.labels), config.answers)
        is_answer = found.probs.max(axis=1) >= needed
        n_right = int((found.probs.argmax(axis=1) == found.label)[is_answer].sum())
        scores, of_trials = found.scores(), found.trial_scores()
        return cls(protocol, scores, of_trials, extra, needed, int(is_answer.sum()), n_right)

    def to_dict(self) -> dict[str, Any]:
        return {
            "protocol": self.protocol,
            "window": self.window.to_dict(),
            "trial": self.trial.to_dict(),
            "interval": list(self.trial.interval),
            "chance": self.trial.chance,
            "needed": self.needed,
            "n_answers": self.n_answers,
            "n_right": self.n_right,
            "extra": {name: scores.to_dict() for name, scores in self.extra.items()},
        }

    def lines(self) -> list[str]:
        """Return the report in words, a line each."""
        trial, window = self.trial, self.window
        low, high = trial.interval
        lines = [
            self.protocol,
            f"per trial:  {trial.accuracy:.1%} of {trial.n} (95 % CI {low:.0%} to "
            f"{high:.0%}; always the most frequent class {trial.chance:.1%}), balanced "
            f"{trial.balanced_accuracy:.1%}, macro-F1 {trial.macro_f1:.2f}, NLL {trial.nll:.2f}, "
            f"ECE {trial.ece:.2f}",
            f"per window: {window.accuracy:.1%} of {window.n}, balanced {window.balanced_accuracy:.1%}, "
            f"macro-F1 {window.macro_f1:.2f}, NLL {window.nll:.2f}, ECE {window.ece:.2f}",
            f"answers:    {self.n_answers} of {window.n} windows reach the {self.needed:.2f} that an "
            f"answer needs, {self.n_right} of them are right"
            + ("" if self.n_answers else ": live would say uncertain all the time"),
        ]
        if low <= trial.chance:
            lines.insert(2, "            not distinguishable from always naming the most frequent class")
        return lines + [f"{name}: {s.accuracy:.1%} per trial" for name, s in self.extra.items()]


def report_on_test(model: Finetuned, test: Sequence[Trial], protocol: str) -> ScoreReport:
    """Return the scores on test trials, with each modality alone and with masked EEG channels."""
    heard = model.hear(test)
    extra = {f"{name} alone": said.trial_scores() for name, said in model.predict_parts(heard).items()}
    if extra:
        extra["with a running level, as live"] = replace(model, levels=None).predict(test).trial_scores()
    is_whole = model.evidence is not None and model.evidence.discriminant.tangent is not None
    for one in conditions(held_modalities(model.config.modalities, test))[1:]:
        if not one.mask:
            extra[one.words] = heard.predict(one.modalities).trial_scores()
        elif not is_whole:  # else features are of all channels
            found = heard.hiding(one.mask, same_channels=True).predict()
            words = f"{one.mask:.0%} of the EEG channels hidden, one draw for all windows"
            extra[words] = found.trial_scores()
    return ScoreReport.of(protocol, heard.predict(), extra, model.config)


_LDA = "shrinkage LDA of windows on the same folds, without levels"
_OWN_LEVEL = "about each session's own level (transductive: from all of its trials, without labels)"


def report_by_cross_validation(
    trials: Sequence[Trial],
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None,
    *,
    n_folds: int = 5,
    progress: Progress,
) -> ScoreReport:
    """Return the scores of models trained on the other folds' trials, beside the linear discriminant's."""
    folds = folds_by_people(trials, n_folds, options.seed)
    parts, beside = list[Predictions](), dict[str, list[Predictions]]()
    for number, (train, test) in enumerate(folds):

        def part(stage: str, share: float, loss: float, number: int = number) -> None:
            progress(f"fold {number + 1} of {len(folds)}", share if stage == "training" else 0.0, loss)

        test = about_level(test, options.normalise, train)
        model = finetune(train, options, pretrained, progress=part)
        most = None if options.network else _MOST_WINDOWS
        heard = model.hear(test, max_per_trial=most)
        parts.append(heard.predict())
        named = model.predict_parts(heard).items() if options.network else ()
        if model.levels is not None:
            knowing = replace(model, levels=model.levels.exact(test))
            beside.setdefault(_OWN_LEVEL, []).append(knowing.predict(test, max_per_trial=most))
        for name, said in (
            *((f"{name} alone", said) for name, said in named),
            (_LDA, _lda(train, test, options)),
        ):
            beside.setdefault(name, []).append(said)
    unit = "trial" if {t.subject for t in folds[0][0]} & {t.subject for t in folds[0][1]} else "subject"
    protocol = (
        f"cross-validation over {len(trials)} trials in {len(folds)} folds; no {unit} is in training and "
        "test; each session about the level that runs, as live"
    )
    extra = {name: joined(said).trial_scores() for name, said in beside.items()}
    return ScoreReport.of(protocol, joined(parts), extra, model.config)


def _lda(train: Sequence[Trial], test: Sequence[Trial], options: FinetuneOptions) -> Predictions:
    classifier = LdaClassifier(len(train[0].label_names), options.seed)
    classifier.fit(training_windows(train, options).only(options.modalities))
    windows = cut_windows(test, options.n_steps).only(options.modalities)
    return Predictions.of(classifier.predict_proba(windows), windows)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several parts of the data, one after the other."""
    return Predictions(*(np.concatenate([getattr(p, name) for p in parts]) for name in vars(parts[0])))
