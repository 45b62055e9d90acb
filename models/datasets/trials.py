"""What every data set becomes: labelled trials, and the windows cut from them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from acquisition.windowing import rows_back

#: Data sets by their name on the command line and in `Trial.dataset`; each has a published split into
#: training and test trials.
PUBLISHED = ("seed-iv", "seed-v", "eav")
#: The label of trials that are no class: they say where their session's level is.
BASELINE = "baseline"
#: What trials hold.
TRIAL_MODALITIES = ("eeg", "eye")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class OfTrial:
    """What a split needs to know."""

    dataset: str  # seed-iv | seed-v | eav | xdf | raw
    subject: str
    session: int  # from 1
    trial: int  # from 1, within the session, as published
    label: int  # index into label_names
    label_names: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int, int]:
        return self.subject, self.session, self.trial


@dataclass(frozen=True, eq=False)
class Trial(OfTrial):
    """One stimulus of one subject in one session, as feature steps: the unit of every split."""

    step_s: float  # seconds from one step to the next
    eeg: NDArray[Any] | None  # (W, C, n_bands) float32, differential entropy in nats, NaN where unusable
    eye: NDArray[Any] | None  # (W, E) float32, in the data set's own units
    ch_names: tuple[str, ...]  # of eeg's C
    origin: str  # "raw": the live feature functions; "published": the data set's own feature files
    source: str  # file name, for messages
    covariance: NDArray[np.float32] | None = None  # (W, C, C) µV² of its steps, of raw EEG
    tangent: NDArray[np.float32] | None = None  # (W, q) the same in a model's `Tangent`
    baseline: Trial | None = None  # what its level is taken from; None: from its session's trials

    @property
    def n_steps(self) -> int:
        rows = self.eeg if self.eeg is not None else self.eye
        return 0 if rows is None else len(rows)


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of T steps, each wholly inside one trial."""

    eeg: NDArray[Any] | None  # (n, C, T, n_bands) float32 nats
    eye: NDArray[Any] | None  # (n, E, T) float32
    label: NDArray[Any]  # (n,) int64
    subject: NDArray[Any]  # (n,) str
    session: NDArray[Any]  # (n,) int64
    trial: NDArray[Any]  # (n,) int64
    end_step: NDArray[Any]  # (n,) int64: index within the trial of the window's last step

    def __len__(self) -> int:
        return len(self.label)

    def only(self, modalities: Collection[str]) -> WindowSet:
        """Return the windows with these modalities alone."""
        absent: dict[str, Any] = {m: None for m in TRIAL_MODALITIES if m not in modalities}
        return replace(self, **absent)


@dataclass(frozen=True)
class Excluded:
    """What could not be read, and why; the rest was read without it."""

    subject: str
    why: str  # one sentence: file, expected, found, remedy


def exclude(excluded: list[Excluded] | None, subject: str, error: InputError) -> None:
    """Note an unreadable part of a data set, or raise where no notes are kept."""
    if excluded is None:
        raise error
    excluded.append(Excluded(subject, str(error)))


def note(excluded: list[Excluded] | None, subject: str, why: str) -> None:
    """Say that a part of a subject is not used, though the rest is."""
    if excluded is None:
        _log.warning("%s", why)
    else:
        excluded.append(Excluded(subject, why))


def label_names_of(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Return the class names that all trials share."""
    if not trials:
        remedy = "see which were excluded, and why"
        raise InputError("no trials to work on", where="data set", remedy=remedy, code=ErrorCode.DATA)
    names = {trial.label_names for trial in trials}
    if len(names) > 1:
        what = f"expected one list of classes, found {' and '.join('/'.join(n) for n in sorted(names))}"
        where = ", ".join(sorted({trial.dataset for trial in trials}))
        raise InputError(what, where=where, remedy="train on one data set at a time", code=ErrorCode.DATA)
    return trials[0].label_names


def steps_that_fit(trials: Sequence[Trial], most: int = 10) -> int:
    """Return the window length all trials can fill: ``most``, or the shortest trial's steps if fewer."""
    if not trials:
        raise InputError("no trials to cut windows from", where="windows", code=ErrorCode.DATA)
    shortest = min(trials, key=lambda trial: trial.n_steps)
    if shortest.n_steps == 0:
        raise _unfit("the trial holds no whole step", shortest, "exclude it")
    return min(most, shortest.n_steps)


def cut_windows(
    trials: Sequence[Trial],
    n_steps: int = 10,
    *,
    n_context_steps: int = 0,
    max_per_trial: int | None = None,
) -> WindowSet:
    """Cut windows of ``n_steps`` steps from each trial, one every step, in the order of the trials.

    ``n_context_steps`` steps of left context precede them, NaN before the trial; of ``max_per_trial`` windows
    of a trial, the first and the last and evenly between. EEG or eyes are None where the trials have none.

    Raises `InputError` if there are no trials, they differ in shape, or one is shorter than a window.
    """
    if not trials:
        raise InputError("no trials to cut windows from", where="windows", code=ErrorCode.DATA)
    _check_alike(trials)
    ends = [_end_steps(trial, n_steps, max_per_trial) for trial in trials]
    counts, n_all = [len(of_trial) for of_trial in ends], n_context_steps + n_steps
    eeg = eye = None
    if trials[0].eeg is not None:
        # (n, T, C, n_bands) -> (n, C, T, n_bands)
        eeg = _stacked([trial.eeg for trial in trials], ends, n_all).transpose(0, 2, 1, 3)
    if trials[0].eye is not None:
        eye = _stacked([trial.eye for trial in trials], ends, n_all).transpose(0, 2, 1)  # (n, E, T)

    def per_window(values: list[Any]) -> NDArray[Any]:
        return np.repeat(np.array(values), counts)

    return WindowSet(
        eeg=None if eeg is None else np.ascontiguousarray(eeg),
        eye=None if eye is None else np.ascontiguousarray(eye),
        label=per_window([trial.label for trial in trials]).astype(np.int64),
        subject=per_window([trial.subject for trial in trials]),
        session=per_window([trial.session for trial in trials]).astype(np.int64),
        trial=per_window([trial.trial for trial in trials]).astype(np.int64),
        end_step=np.concatenate(ends),
    )


def _end_steps(trial: Trial, n_steps: int, most: int | None) -> NDArray[np.int64]:
    """Return the last step of each window of a trial, (n,)."""
    if trial.n_steps < n_steps:
        what = f"expected at least {n_steps} steps of {trial.step_s:g} s, found {trial.n_steps}"
        raise _unfit(what, trial, f"use windows of at most {trial.n_steps} steps, or exclude the trial")
    ends = np.arange(n_steps - 1, trial.n_steps)
    if most is not None and len(ends) > most:
        ends = ends[np.linspace(0, len(ends) - 1, most).round().astype(int)]
    return ends.astype(np.int64)


def _stacked(
    rows: Sequence[NDArray[Any] | None], ends: Sequence[NDArray[np.int64]], n_steps: int
) -> NDArray[Any]:
    """Return windows (n, T, ...) float32 of the trials' rows (W, ...), NaN before a trial."""
    windows = []
    for of_trial, last in zip(rows, ends, strict=True):
        at, exists = rows_back(last, n_steps, np.zeros_like(last))
        windows.append(np.asarray(of_trial, dtype=np.float32)[at])
        windows[-1][~exists] = np.nan
    return np.concatenate(windows)


def _check_alike(trials: Sequence[Trial]) -> None:
    first = trials[0]
    for trial in trials[1:]:
        if _form(trial) != _form(first):
            what = f"expected {_words(first)} as in {first.source}, found {_words(trial)}"
            raise _unfit(what, trial, "cut windows from trials of one data set and one kind of features")


def _form(trial: Trial) -> tuple[Any, ...]:
    eeg = None if trial.eeg is None else trial.eeg.shape[1:]
    return eeg, None if trial.eye is None else trial.eye.shape[1:], trial.ch_names, trial.step_s, trial.origin


def _words(trial: Trial) -> str:
    eeg = "no EEG" if trial.eeg is None else f"EEG {trial.eeg.shape[1]} channels x {trial.eeg.shape[2]} bands"
    eye = "no eye features" if trial.eye is None else f"{trial.eye.shape[1]} eye features"
    return f"{eeg}, {eye}, {trial.origin} features every {trial.step_s:g} s"


def _unfit(what: str, trial: Trial, remedy: str) -> InputError:
    where = f"{trial.source}, trial {trial.trial}"
    return InputError(what, where=where, remedy=remedy, code=ErrorCode.DATA, trial=trial.trial)
