"""Settings on people and sessions: independent jobs, here in processes or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.make.person import Oracle
from models.datasets.splits import coverage, published_split
from models.datasets.trials import Excluded, Trial, WindowSet, cut_windows, steps_that_fit
from models.papers.baselines import BASELINES
from models.papers.settings import Setting
from models.training.evaluate_trials import only
from models.training.finetune import finetune, training_windows
from models.training.finetune_config import FinetuneOptions, PretrainedEncoders
from models.training.scores import Predictions, Scores, per_trial, score
from models.training.sources import missing_classes

#: What one person's data make a fit raise; faults of the program are mostly others. The last is a GPU's.
FIT_ERRORS = (
    ValueError,
    ArithmeticError,
    np.linalg.LinAlgError,
    torch.linalg.LinAlgError,
    torch.OutOfMemoryError,
)


@dataclass(frozen=True, eq=False)
class Job:
    """One setting on one person's session, with all it needs: it may run on another machine."""

    setting: Setting
    trials: tuple[Trial, ...]  # of one subject and session, training and test
    options: FinetuneOptions
    pretrained: PretrainedEncoders | None
    oracle: Oracle | None
    shortened: bool = False  # of a generated folder, whose sessions may be shorter than the published ones


@dataclass(frozen=True, eq=False)
class Outcome:
    """Scores of one row on one session."""

    model: str
    setting: Setting
    mask: float
    is_main: bool  # the setting's own row, not one with less in the test
    subject: str
    session: int
    window: Scores
    trial: Scores
    classes_seen: int  # classes among the labels that trained
    labels: str  # those that trained, in words
    notes: tuple[str, ...] = ()


def jobs_of(
    settings: Sequence[Setting],
    trials: Sequence[Trial],
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None,
    oracle: Oracle | None,
    *,
    shortened: bool = False,
) -> list[Job]:
    """Return a job for each setting on each subject and session; the oracle's only where there is one.

    ``shortened`` takes sessions with fewer trials than were published: see `published_split`.
    """
    sessions: dict[tuple[str, int], list[Trial]] = {}
    for trial in trials:
        sessions.setdefault((trial.subject, trial.session), []).append(trial)
    return [
        Job(
            setting,
            group,
            options,
            pretrained if setting.pretrained else None,
            oracle if setting.kind == "oracle" else None,
            shortened,
        )
        for group in map(tuple, sessions.values())
        for setting in settings
        if setting.kind != "oracle" or oracle is not None
    ]


def run_job(job: Job) -> list[Outcome] | Excluded:
    """Train on the training trials of the published split, score on its test trials.

    What cannot be read, or data that the fit fails on, leaves the session out and the others go on.
    """
    torch.set_num_threads(1)
    setting, first = job.setting, job.trials[0]
    try:
        training, test = published_split(job.trials, shortened=job.shortened)
    except InputError as error:  # no setting's fault: the same words from all of them
        return Excluded(first.subject, str(error))
    try:
        n_steps = steps_that_fit(job.trials, job.options.n_steps)
        chosen = setting.labels.choose(training, n_steps)
        if setting.kind == "network":
            answers = _network_answers(job, chosen, test)
        else:
            probs, windows = _reference_answer(job, chosen, test)
            answers = [(setting.model, setting.mask, Predictions.of(probs, windows))]
    except (InputError, *FIT_ERRORS) as error:
        return Excluded(first.subject, f"session {first.session}, {setting.name}: {in_words(error)}")
    return [
        _outcome(job, model, mask, number == 0, predictions, chosen)
        for number, (model, mask, predictions) in enumerate(answers)
    ]


def in_words(error: Exception) -> str:
    """Return one line on what ended one person's fit."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, torch.OutOfMemoryError):  # its own words are a paragraph on the allocator
        return "the GPU has too little free memory: end what else runs on it, or train with --device cpu"
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


def _network_answers(
    job: Job, chosen: Sequence[Trial], test: Sequence[Trial]
) -> list[tuple[str, float, Predictions]]:
    """Return (row's model, mask, predictions), the setting's own row first."""
    setting = job.setting
    options = replace(
        job.options,
        modalities=setting.modalities,
        fusion=setting.fusion,
        mask=setting.mask,
        max_windows=setting.labels.max_windows,
        n_steps=steps_that_fit(job.trials, job.options.n_steps),
        freeze=job.options.freeze and setting.pretrained,
    )
    model = finetune(chosen, options, job.pretrained)
    answers = [(setting.model, setting.mask, model.predict(test, mask=setting.mask))]
    for share in setting.test_masks:
        masked = model.predict(test, mask=share)
        answers.append((f"{setting.model}, masked in the test only", share, masked))
    alone = setting.modalities if setting.alone else ()
    return answers + [
        (f"{setting.model}, {modality.upper()} alone", setting.mask, model.predict(test, [modality]))
        for modality in alone
    ]


def _reference_answer(
    job: Job, chosen: Sequence[Trial], test: Sequence[Trial]
) -> tuple[NDArray[np.float64], WindowSet]:
    """Return probabilities (n, n_labels) and the windows they are of."""
    options = replace(
        job.options,
        modalities=job.setting.modalities,
        max_windows=job.setting.labels.max_windows,
        n_steps=steps_that_fit(job.trials, job.options.n_steps),
    )
    train_windows = training_windows(chosen, options)
    windows = only(cut_windows(test, options.n_steps), options)
    if job.oracle is not None:
        first = job.trials[0]
        scores = job.oracle.scores(first.subject, first.session, windows.eeg, windows.eye)
        return _softmax(scores), windows
    classifier = BASELINES[job.setting.kind](len(chosen[0].label_names), options.seed)
    return classifier.fit(only(train_windows, options)).predict_proba(windows), windows


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _outcome(
    job: Job, model: str, mask: float, is_main: bool, predictions: Predictions, chosen: Sequence[Trial]
) -> Outcome:
    first, trials, labels = job.trials[0], per_trial(predictions), job.setting.labels
    notes = labels.too_few(chosen), missing_classes(chosen, labels)
    return Outcome(
        model,
        job.setting,
        mask,
        is_main,
        first.subject,
        first.session,
        score(predictions.probs, predictions.label),
        score(trials.probs, trials.label),
        sum(count > 0 for count in coverage(chosen).counts),
        labels.words_of(chosen),
        tuple(note for note in notes if note),
    )
