"""Windows of T steps cut from trials: inside a trial only, never across two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.types import Trial, WindowSet


def steps_that_fit(trials: Sequence[Trial], most: int = 10) -> int:
    """Return the window length all trials can fill: ``most``, or the shortest trial's steps if fewer.

    Raises
    ------
    InputError
        If there are no trials, or one holds no step at all.
    """
    if not trials:
        raise InputError("no trials to cut windows from", where="windows")
    shortest = min(trials, key=lambda trial: trial.n_steps)
    if shortest.n_steps == 0:
        raise InputError("the trial holds no whole step", where=_place(shortest), remedy="leave it out")
    return min(most, shortest.n_steps)


def cut_windows(
    trials: Sequence[Trial], n_steps: int = 10, *, stride: int = 1, max_per_trial: int | None = None
) -> WindowSet:
    """Cut windows of ``n_steps`` steps from each trial, one every ``stride`` steps.

    Parameters
    ----------
    trials : sequence of Trial
        All with the same channels, bands and eye features, and step length.
    n_steps : int
        T.
    stride : int
        Steps from one window to the next.
    max_per_trial : int, optional
        Keep at most so many windows of a trial, evenly spaced from its first to its last.

    Returns
    -------
    WindowSet
        In the order of ``trials``; ``eeg`` or ``eye`` is None where the trials have none.

    Raises
    ------
    InputError
        If there are no trials, they differ in shape, or one is shorter than a window.
    """
    if not trials:
        raise InputError("no trials to cut windows from", where="windows")
    _check_alike(trials)
    ends = [_end_steps(trial, n_steps, stride, max_per_trial) for trial in trials]
    counts = [len(of_trial) for of_trial in ends]
    eeg = eye = None
    if trials[0].eeg is not None:
        # (n, T, C, n_bands) -> (n, C, T, n_bands)
        eeg = _stacked([trial.eeg for trial in trials], ends, n_steps).transpose(0, 2, 1, 3)
    if trials[0].eye is not None:
        eye = _stacked([trial.eye for trial in trials], ends, n_steps).transpose(0, 2, 1)  # (n, E, T)

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


def _end_steps(trial: Trial, n_steps: int, stride: int, most: int | None) -> NDArray[np.int64]:
    """Return the last step of each window of a trial, (n,)."""
    if trial.n_steps < n_steps:
        raise InputError(
            f"expected at least {n_steps} steps of {trial.step_s:g} s, found {trial.n_steps}",
            where=_place(trial),
            remedy=f"use windows of at most {trial.n_steps} steps, or leave the trial out",
        )
    ends = np.arange(n_steps - 1, trial.n_steps, stride)
    if most is not None and len(ends) > most:
        ends = ends[np.linspace(0, len(ends) - 1, most).round().astype(int)]
    return ends.astype(np.int64)


def _stacked(
    rows: Sequence[NDArray[Any] | None], ends: Sequence[NDArray[np.int64]], n_steps: int
) -> NDArray[Any]:
    """Return windows (n, T, ...) float32 of the trials' rows (W, ...)."""
    back = np.arange(n_steps - 1, -1, -1)
    windows = [np.asarray(r, dtype=np.float32)[e[:, None] - back] for r, e in zip(rows, ends, strict=True)]
    return np.concatenate(windows)


def _check_alike(trials: Sequence[Trial]) -> None:
    first = trials[0]
    for trial in trials[1:]:
        if _form(trial) != _form(first):
            raise InputError(
                f"expected {_words(first)} as in {first.source}, found {_words(trial)}",
                where=_place(trial),
                remedy="cut windows from trials of one data set and one kind of features",
            )


def _form(trial: Trial) -> tuple[Any, ...]:
    eeg = None if trial.eeg is None else trial.eeg.shape[1:]
    return eeg, None if trial.eye is None else trial.eye.shape[1:], trial.ch_names, trial.step_s, trial.origin


def _words(trial: Trial) -> str:
    eeg = "no EEG" if trial.eeg is None else f"EEG {trial.eeg.shape[1]} channels x {trial.eeg.shape[2]} bands"
    eye = "no eye features" if trial.eye is None else f"{trial.eye.shape[1]} eye features"
    return f"{eeg}, {eye}, {trial.origin} features every {trial.step_s:g} s"


def _place(trial: Trial) -> str:
    return f"{trial.source}, trial {trial.trial}"
