"""A kept classifier judged on labelled trials that did not train it: a set's test trials, or a recording."""

from __future__ import annotations

from collections.abc import Sequence

from models.checkpoint import load_checkpoint
from models.config import ModelConfig
from models.datasets.kinds import PUBLISHED
from models.datasets.splits import coverage
from models.datasets.types import LeftOut, Trial
from models.features.normalise import Normaliser
from models.training.allocator import keep_freed_memory
from models.training.conditions import Condition, conditions, held_modalities
from models.training.finetune_base import seen_without_labels
from models.training.pretrain_loop import Report
from models.training.scores import per_trial, score
from models.training.tables import Entry, Row, Table
from models.training.tested_trials import TrialTest, check_model, tested_sessions
from models.training.training_record import SeenSession, TrainingRecord, read_record
from models.training.trial_classifier import TrialClassifier

#: How well a model knows whom it is tested on; rows of their own, because they are different experiments.
_TRAINED, _SAME_PERSON, _STRANGERS = (
    "sessions that trained it",
    "same people, other sessions",
    "unknown people",
)
_PROTOCOL = (
    "nothing is fitted, the model's own statistics normalise; SD over people (n - 1), a person is the mean "
    "of their sessions; masked channels are drawn once a session, for all its windows"
)


def evaluate_trials(test: TrialTest, report: Report) -> Table:
    """Return the model's scores with all input, each modality alone, and hidden EEG channels.

    Every session is scored by itself and counts once in its person's mean. People and sessions that trained
    the model stand in other rows than those it does not know.

    Parameters
    ----------
    test : TrialTest
    report : callable
        Told the progress.

    Raises
    ------
    InputError
        If the model cannot be judged on this, was trained on it with its labels, or nothing is left to test.
    """
    keep_freed_memory()
    checkpoint, record = load_checkpoint(test.model), read_record(test.model)
    config = checkpoint.config
    check_model(config, test, record)
    seen = seen_without_labels(config, test.source.kind, test.source.path, record)
    left_out: list[LeftOut] = []
    sessions = tested_sessions(test, config, left_out)
    normaliser = Normaliser.from_dict(checkpoint.normaliser_tensors)
    model = TrialClassifier(config, checkpoint.network.prepare_inference(), normaliser)
    n_classes = record.n_classes if record is not None and record.complete else None
    entries: dict[tuple[str, Condition], list[Entry]] = {}
    for number, trials in enumerate(sessions, start=1):
        known = _acquaintance(trials[0], test, record)
        for condition in conditions(held_modalities(config.modalities, trials)):
            entry = _entry(model, trials, condition, n_classes, test.seed + number)
            entries.setdefault((known, condition), []).append(entry)
        report("testing", number / len(sessions), float("nan"), f"{number} of {len(sessions)} sessions")
    tested = [trial for trials in sessions for trial in trials]
    name = f"{test.model.name} (transductive)" if seen else test.model.name
    what = "the test trials of the published split" if test.source.kind in PUBLISHED else "all trials"
    return Table(
        title=f"{test.model.name} on {test.source.kind}",
        protocol="; ".join(part for part in (f"on {what}", _PROTOCOL, seen) if part),
        rows=_rows(name, entries),
        label_names=config.labels,
        left_out=tuple(dict.fromkeys(left_out)),
        quick=record is not None and record.quick,
        generated=test.source.is_generated,
        notes=tuple(_notes(config, tested, record)),
    )


def _acquaintance(trial: Trial, test: TrialTest, record: TrainingRecord | None) -> str:
    """Return how well the model knows the person; empty for recordings, and where it does not say."""
    if record is None or not record.complete or test.source.kind not in PUBLISHED:
        return ""
    session = SeenSession.of(trial, generated=test.source.is_generated)
    if session in record.sessions:
        return _TRAINED
    people = {(known.dataset, known.subject) for known in record.sessions}
    return _SAME_PERSON if (session.dataset, session.subject) in people else _STRANGERS


def _entry(
    model: TrialClassifier, trials: Sequence[Trial], condition: Condition, n_classes: int | None, seed: int
) -> Entry:
    found = model.predict(trials, condition.modalities, mask=condition.mask, seed=seed, same_channels=True)
    of_trials, first = per_trial(found), trials[0]
    return Entry(
        first.subject,
        first.session,
        score(found.probs, found.label),
        score(of_trials.probs, of_trials.label),
        n_classes,
    )


def _rows(name: str, entries: dict[tuple[str, Condition], list[Entry]]) -> tuple[Row, ...]:
    """Return the rows, sessions that the model knows best first."""
    order = ("", _TRAINED, _SAME_PERSON, _STRANGERS)
    rows = []
    for (known, condition), found in sorted(entries.items(), key=lambda item: order.index(item[0][0])):
        words = f"{name}: {condition.words}" + (f"; {known}" if known else "")
        rows.append(Row(words, False, "all", condition.mask, tuple(found)))
    return tuple(rows)


def _notes(config: ModelConfig, tested: Sequence[Trial], record: TrainingRecord | None) -> list[str]:
    """Return sentences on the model, the classes, what the data lack and what is not known."""
    notes = [f"The model: {config.trained_on}.", f"Tested on {coverage(tested).words()}."]
    held = held_modalities(config.modalities, tested)
    if missing := [modality for modality in config.modalities if modality not in held]:
        notes.append(f"The data hold no {' and no '.join(missing)}: absent, as if the device were unplugged.")
    found = set(config.ch_names) & {name for trial in tested for name in trial.ch_names}
    if "eeg" in held and len(found) < len(config.ch_names):
        notes.append(
            f"The data have {len(found)} of the {len(config.ch_names)} EEG channels that the model knows."
        )
    of_labels = [] if record is None else [entry for entry in record.recordings if entry.labels]
    if of_labels and tested[0].dataset not in PUBLISHED:
        notes.append(
            "Recordings that trained it are known by their samples on disk: of one that was cut or converted "
            "since, it is not seen that it did."
        )
    if record is None or not record.complete:
        notes.append(
            "The model does not say all that trained it: if these very trials did, no figure here counts."
        )
    elif 0 < record.n_classes < len(config.labels):
        never = [name for name in config.labels if not record.trials_per_class.get(name)]
        notes.append(f"It was never shown {' and '.join(never)}, and never predicts what it never saw.")
    return notes
