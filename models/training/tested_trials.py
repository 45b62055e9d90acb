"""Which trials a kept classifier may be judged on: a set's test trials, or those of a recording new to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from acquisition.errors import InputError
from models.config import ModelConfig
from models.datasets.kinds import PUBLISHED
from models.datasets.splits import published_split
from models.datasets.types import LeftOut, Trial
from models.training.protocols import LabelledSource
from models.training.training_record import TrainingRecord


@dataclass(frozen=True)
class TrialTest:
    """Which model is judged on what."""

    model: Path
    source: LabelledSource  # its ``features`` must be the model's
    subjects: tuple[str, ...] | None = None  # of a data set; None: all
    session: int | None = None  # None: all
    seed: int = 1  # of the hidden channels


def check_model(config: ModelConfig, test: TrialTest, record: TrainingRecord | None) -> None:
    """Refuse a model that cannot be judged on this.

    Raises
    ------
    InputError
        If it names no class, reads other things or other features, or was trained on the recording.
    """
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
    is_set = test.source.kind in PUBLISHED
    if record is not None and not is_set and record.holds(test.source.path, labels=True):
        raise InputError(
            "the model was trained on this recording with its labels: nothing in it is left to test on",
            where=str(test.source.path),
            remedy="its model card has cross-validated figures; test on another recording",
        )


def tested_sessions(test: TrialTest, config: ModelConfig, left_out: list[LeftOut]) -> list[list[Trial]]:
    """Return the trials to test on, by person and session, labelled by the model's own list of classes.

    Parameters
    ----------
    test : TrialTest
    config : ModelConfig
        The model's.
    left_out : list of LeftOut
        Takes what cannot be used.

    Raises
    ------
    InputError
        If the data cannot be read, its classes are not the model's, or nothing is left to test on.
    """
    source, is_set = test.source, test.source.kind in PUBLISHED
    trials = source.trials(test.subjects if is_set else None, config, left_out)
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in _relabelled(trials, config):
        if test.session in (None, trial.session):
            groups.setdefault((trial.subject, trial.session), []).append(trial)
    if not groups and trials:
        found = ", ".join(map(str, sorted({trial.session for trial in trials})))
        raise InputError(f"expected session {found}, found {test.session}", where="--session")
    sessions = [_usable(_test_part(group, test, left_out), config, left_out) for group in groups.values()]
    if not any(sessions):
        why = left_out[0].why if left_out else "no test trial"
        raise InputError(f"nothing in it can be tested on; first: {why}", where=str(source.path))
    return [trials for trials in sessions if trials]


def _test_part(session: list[Trial], test: TrialTest, left_out: list[LeftOut]) -> list[Trial]:
    """Return a session's test trials; of a recording all are."""
    if test.source.kind not in PUBLISHED:
        return session
    try:
        return published_split(session, shortened=test.source.is_generated)[1]
    except InputError as error:
        left_out.append(LeftOut(session[0].subject, str(error)))
        return []


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
    has_eeg = "eeg" in config.modalities and _holds_eeg(trial, config.ch_names)
    has_eye = "eye" in config.modalities and trial.eye is not None and bool(np.isfinite(trial.eye).any())
    if not has_eeg and not has_eye:
        return f"expected {' or '.join(config.modalities)} as the model knows them, found neither"
    return ""


def _holds_eeg(trial: Trial, ch_names: Sequence[str]) -> bool:
    """Tell whether any channel that the model knows has a step that is not flat, at its rails or NaN."""
    if trial.eeg is None:
        return False
    known = [at for at, name in enumerate(trial.ch_names) if name in ch_names]
    return bool(np.isfinite(trial.eeg[:, known]).all(axis=-1).any())
