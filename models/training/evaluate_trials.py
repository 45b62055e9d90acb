"""A kept classifier judged on labelled trials that did not train it: a set's test trials, or a recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acquisition.errors import InputError
from models.checkpoint import Checkpoint, load_checkpoint
from models.config import ModelConfig
from models.datasets.splits import coverage, published_split
from models.datasets.types import LeftOut, Trial
from models.features.normalise import Normaliser
from models.training.corpus_sources import Source
from models.training.finetune_base import seen_without_labels
from models.training.protocols import PUBLISHED, LabelledSource
from models.training.scores import Predictions, per_trial, score
from models.training.tables import Entry, Row, Table
from models.training.training_record import TrainingRecord, read_record
from models.training.trial_classifier import TrialClassifier

#: Shares of the EEG channels hidden in rows of their own, as in Table 4 of the MMV-SSTMA paper.
MASKS = (0.3, 0.5, 0.7)
#: Told the share of sessions that are done and what came out of the last one.
Say = Callable[[float, str], None]


@dataclass(frozen=True)
class _Condition:
    """What of the input the model is given in one row."""

    words: str
    modalities: tuple[str, ...] | None = None  # None: all it reads
    mask: float = 0.0


@dataclass(frozen=True)
class TrialTest:
    """Which model is judged on what."""

    model: Path
    source: LabelledSource
    subjects: tuple[str, ...] | None = None  # of a data set; None: all
    session: int | None = None  # None: all
    seed: int = 1  # of the hidden channels


def evaluate_trials(test: TrialTest, say: Say = lambda share, words: None) -> Table:
    """Return the model's scores with all input, each modality alone, and hidden EEG channels.

    Each session stands for itself; a person counts by the mean of their sessions. Nothing is fitted: the
    statistics that normalise are those of the model.

    Parameters
    ----------
    test : TrialTest
        Its source's ``features`` must be the model's.
    say : callable

    Raises
    ------
    InputError
        If the model cannot be judged on this, was trained on it with its labels, or nothing is left to test.
    """
    checkpoint, record = load_checkpoint(test.model), read_record(test.model)
    config = checkpoint.config
    _check_model(config, test)
    if test.source.kind not in PUBLISHED and record is not None:
        _check_unseen(record, test.source.path)
    seen = seen_without_labels(config, test.source.kind, test.source.path, record)
    left_out: list[LeftOut] = []
    sessions = _sessions(test, config, left_out)
    model = TrialClassifier(
        config, checkpoint.network.prepare_inference(), Normaliser.from_dict(checkpoint.normaliser_tensors)
    )
    n_classes = None if record is None else record.n_classes
    entries: dict[_Condition, list[Entry]] = {one: [] for one in _conditions(config)}
    tested: list[Trial] = []
    for number, trials in enumerate(sessions, start=1):
        trials, words = _usable(trials, config, left_out), "nothing usable"
        if trials:
            tested += trials
            for condition, found in entries.items():
                found.append(_entry(model, trials, condition, n_classes, test.seed))
            words = _one_session(next(iter(entries.values()))[-1])
        say(number / len(sessions), words)
    if not tested:
        why = left_out[0].why if left_out else "no test trial"
        raise InputError(f"nothing in it can be tested on; first: {why}", where=str(test.source.path))
    return _table(test, checkpoint, entries, tested, left_out, seen, record)


def _check_model(config: ModelConfig, test: TrialTest) -> None:
    if not config.is_classifier:
        raise InputError(
            "the model is pre-trained only and names no class",
            where=f"--model {test.model}",
            remedy="make a classifier of it with affectscope finetune",
        )
    if config.network.takes_raw_eeg or not {"eeg", "eye"} & set(config.modalities):
        raise InputError(
            "the model reads raw EEG, faces or voices, and what is tested are features of EEG and eyes",
            where=f"--model {test.model}",
            remedy="for the networks of `reproduce eav`, see their model cards",
        )
    if config.feature_origin != test.source.features:
        raise InputError(
            f"the model reads {config.feature_origin} features, this gives {test.source.features} ones",
            where=f"--model {test.model}",
            remedy="use a model fine-tuned with the same --features",
        )


def _check_unseen(record: TrainingRecord, path: Path) -> None:
    if record.holds(path, labels=True):
        raise InputError(
            "the model was trained on this recording with its labels: nothing in it is left to test on",
            where=str(path),
            remedy="its model card has cross-validated figures; test on another recording",
        )


def _sessions(test: TrialTest, config: ModelConfig, left_out: list[LeftOut]) -> list[list[Trial]]:
    """Return the trials to test on, by person and session, labelled by the model's own list of classes."""
    source, generated = test.source, Source(test.source.kind, test.source.path).is_generated
    is_set = source.kind in PUBLISHED
    trials = source.trials(test.subjects if is_set else None, config, left_out)
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in _relabelled(trials, config):
        if test.session in (None, trial.session):
            groups.setdefault((trial.subject, trial.session), []).append(trial)
    if not groups and trials:
        found = ", ".join(map(str, sorted({trial.session for trial in trials})))
        raise InputError(f"expected session {found}, found {test.session}", where="--session")
    if not is_set:
        return list(groups.values())
    sessions = []
    for (subject, _), group in groups.items():
        try:
            sessions.append(published_split(group, shortened=generated)[1])
        except InputError as error:
            left_out.append(LeftOut(subject, str(error)))
    return sessions


def _relabelled(trials: Sequence[Trial], config: ModelConfig) -> list[Trial]:
    """Return the trials with labels that count in the model's list of classes."""
    if not trials:
        return []
    names = trials[0].label_names
    if unknown := [name for name in names if name not in config.labels]:
        raise InputError(
            f"expected classes of the model ({', '.join(config.labels)}), found {', '.join(unknown)}",
            where=f"{trials[0].dataset}",
            remedy="use a model of these classes; for recordings, name them so in --events",
        )
    at = [config.labels.index(name) for name in names]
    return [replace(trial, label=at[trial.label], label_names=config.labels) for trial in trials]


def _usable(trials: Sequence[Trial], config: ModelConfig, left_out: list[LeftOut]) -> list[Trial]:
    """Return the trials that hold a window of what the model reads; the others are noted."""
    usable = []
    for trial in trials:
        if why := _unusable(trial, config):
            left_out.append(LeftOut(trial.subject, f"session {trial.session}, trial {trial.trial}: {why}"))
        else:
            usable.append(trial)
    return usable


def _unusable(trial: Trial, config: ModelConfig) -> str:
    n_steps, n_eye = config.windows.eeg_n_steps, config.network.n_eye_features
    if trial.n_steps < n_steps:
        return f"expected at least {n_steps} steps of {trial.step_s:g} s, found {trial.n_steps}"
    if "eye" in config.modalities and trial.eye is not None and trial.eye.shape[1] != n_eye:
        return f"expected {n_eye} eye features, found {trial.eye.shape[1]}"
    has_eeg = trial.eeg is not None and not set(config.ch_names).isdisjoint(trial.ch_names)
    if not ("eeg" in config.modalities and has_eeg) and not (
        "eye" in config.modalities and trial.eye is not None
    ):
        return f"expected {' or '.join(config.modalities)} as the model knows them, found neither"
    return ""


def _conditions(config: ModelConfig) -> list[_Condition]:
    """Return the rows: all input first."""
    reads = [m for m in ("eeg", "eye") if m in config.modalities]
    names = {"eeg": "EEG", "eye": "eyes"}
    rows = [_Condition(" and ".join(names[m] for m in reads))]
    if len(reads) > 1:
        others = {"eeg": "eyes", "eye": "EEG"}
        rows += [_Condition(f"{names[m]} alone, {others[m]} removed", (m,)) for m in reads]
    if "eeg" in reads:
        rows += [_Condition(rows[0].words, mask=share) for share in MASKS]
    return rows


def _entry(
    model: TrialClassifier, trials: Sequence[Trial], condition: _Condition, n_classes: int | None, seed: int
) -> Entry:
    found: Predictions = model.predict(trials, condition.modalities, mask=condition.mask, seed=seed)
    of_trials, first = per_trial(found), trials[0]
    return Entry(
        first.subject,
        first.session,
        score(found.probs, found.label),
        score(of_trials.probs, of_trials.label),
        n_classes,
    )


def _one_session(entry: Entry) -> str:
    trial = entry.trial
    return f"subject {entry.subject}, session {entry.session}: {trial.accuracy:.1%} of {trial.n} trials"


def _table(
    test: TrialTest,
    checkpoint: Checkpoint,
    entries: dict[_Condition, list[Entry]],
    tested: Sequence[Trial],
    left_out: Sequence[LeftOut],
    seen: str,
    record: TrainingRecord | None,
) -> Table:
    config, source = checkpoint.config, test.source
    classes, counts = coverage(tested), coverage(tested).counts
    chance = max(counts) / sum(counts)
    what = "the test trials of the published split" if source.kind in PUBLISHED else "all trials"
    notes = [
        f"The model: {config.trained_on}.",
        f"Tested on {classes.words()}. Always the most frequent class: {chance:.1%} of the trials.",
    ]
    unread = [m for m in config.modalities if all(getattr(t, m, None) is None for t in tested)]
    if unread:
        notes.append(f"The data hold no {' and no '.join(unread)}: absent, as if the device were unplugged.")
    if record is None:
        notes.append(
            "The model does not say what trained it: if these very trials did, no figure here counts."
        )
    elif 0 < record.n_classes < len(config.labels):
        never = [name for name in config.labels if not record.trials_per_class.get(name)]
        notes.append(f"It was never shown {' and '.join(never)} and hardly ever answers so.")
    model = f"{test.model.name} (transductive)" if seen else test.model.name
    return Table(
        title=f"{test.model.name} on {source.kind}",
        protocol="; ".join(part for part in (_protocol(what), seen) if part),
        rows=tuple(
            Row(f"{model}: {condition.words}", False, "all", condition.mask, tuple(found))
            for condition, found in entries.items()
        ),
        left_out=tuple(dict.fromkeys(left_out)),
        generated=Source(source.kind, source.path).is_generated,
        notes=tuple(notes),
        label_names=config.labels,
    )


def _protocol(what: str) -> str:
    return (
        f"on {what}, every window of them; nothing is fitted, the model's own statistics normalise; SD over "
        "people (n - 1), a person is the mean of their sessions"
    )
