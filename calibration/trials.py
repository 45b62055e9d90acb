"""Which trials a fit uses, what they count as, and why others are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from acquisition.errors import InputError
from calibration.plan import LEAST_PER_CLASS
from calibration.types import SessionRecord, TrialRecord

LABELS = ("intended", "reported")


@dataclass(frozen=True)
class ChosenTrials:
    """The trials of a fit, in the order they were shown."""

    classes: tuple[str, ...]  # with enough trials, in the session's order
    trials: tuple[TrialRecord, ...]
    label: Mapping[int, int]  # index into ``classes`` by trial number
    left_out: Mapping[int, str]  # why, by number, of trials that were shown to their end
    notes: tuple[str, ...] = ()  # sentences about what was left out


def choose_trials(
    record: SessionRecord, left_out: Mapping[int, str] | None = None, labels: str = "intended"
) -> ChosenTrials:
    """Choose a session's trials for a fit.

    Parameters
    ----------
    left_out : mapping of int to str, optional
        Why a trial's signals cannot be used, by its number.
    labels : {"intended", "reported"}
        A trial without an answer, or with one that is no class of the session, has no reported label.

    Raises
    ------
    InputError
        If a class of the session has no trial left, or fewer than two classes have two.
    """
    if labels not in LABELS:
        raise InputError(
            f"expected one of {', '.join(LABELS)}, found {labels!r}",
            where="--labels",
            remedy="name one of them",
        )
    reasons = dict(left_out or {})
    done = [trial for trial in record.trials if trial.state == "done"]
    named = {trial.number: trial_label(trial, labels) for trial in done}
    for number, name in named.items():
        if name not in record.classes:
            reasons.setdefault(number, f"reported as {name}, no class here" if name else "without an answer")
    usable = [trial for trial in done if trial.number not in reasons]
    counts = Counter(named[trial.number] for trial in usable)
    _refuse_empty(record, counts)
    classes = tuple(name for name in record.classes if counts[name] >= LEAST_PER_CLASS)
    dropped = [name for name in record.classes if name not in classes]
    if len(classes) < 2:
        raise InputError(
            f"expected {LEAST_PER_CLASS} trials of at least two classes, found {_counted(record, counts)}",
            where="calibration",
            remedy="repeat trials, or run another session",
        )
    for trial in usable:
        if named[trial.number] in dropped:
            reasons[trial.number] = f"the only trial of {named[trial.number]}"
    kept = tuple(trial for trial in usable if trial.number not in reasons)
    shown = {trial.number for trial in done}
    return ChosenTrials(
        classes=classes,
        trials=kept,
        label={trial.number: classes.index(named[trial.number]) for trial in kept},
        left_out={number: reason for number, reason in sorted(reasons.items()) if number in shown},
        notes=tuple(
            f"{name} has a single trial and was left out: the model does not know it." for name in dropped
        ),
    )


def trial_label(trial: TrialRecord, labels: str) -> str:
    """Return what a trial counts as; empty without an answer."""
    if labels == "intended":
        return trial.emotion
    return trial.report.label if trial.report is not None else ""


def _refuse_empty(record: SessionRecord, counts: Counter[str]) -> None:
    empty = [name for name in record.classes if not counts[name]]
    if empty:
        raise InputError(
            f"expected at least one usable trial of every class, found none of {', '.join(empty)}",
            where="calibration",
            remedy="repeat one of its trials, or run another session without it (--new --classes)",
        )


def _counted(record: SessionRecord, counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} of {name}" for name in record.classes)


def n_planned(record: SessionRecord) -> int:
    """Return how many trials a session was to have; shown, skipped and never reached ones alike."""
    return max(len(record.order), len({trial.number for trial in record.trials}))
