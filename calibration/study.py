"""Does a calibration help? Simulated people, each calibrated in one session and tested in a later one.

What is fitted and how is `calibration.fit`'s business; here the base model and the profile answer to the
same windows of the same later session, an hour after the first. All of it is simulated data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acquisition.errors import InputError
from acquisition.simulator.subject import EMOTIONS, effect_size
from assets import DEMO_MODEL
from calibration.crossvalidation import window_log_probs
from calibration.fit import fit
from calibration.plan import Plan, load_plan
from calibration.profile import apply_profile
from calibration.simulated import LATER_S, SimulatedSession, simulate_sessions
from calibration.tokens import TrialWindows
from calibration.verdict import NOT_DISTINGUISHABLE
from models.checkpoint import Checkpoint, load_checkpoint
from models.decoder import Decoder
from models.process import keep_freed_memory, process_pool
from models.training.scores import Predictions, per_trial, score, t_interval

#: Simulated people of studies; training, evaluation and development never come near.
FIRST_STUDY_SEED = 700_000
_SEEDS_A_STUDY = 1000


@dataclass(frozen=True)
class StudyOptions:
    """Whom to calibrate, and on top of which model.

    Raises
    ------
    InputError
        If there is nobody to calibrate, or the difficulty is none.
    """

    n_subjects: int = 10
    difficulty: str | float = "default"
    seed: int = 1
    n_jobs: int = 2
    model: Path = DEMO_MODEL
    plan: Plan = field(default_factory=load_plan)

    def __post_init__(self) -> None:
        effect_size(self.difficulty)
        if not 1 <= self.n_subjects <= _SEEDS_A_STUDY:
            raise InputError(
                f"expected 1 to {_SEEDS_A_STUDY} subjects, found {self.n_subjects}",
                where="--study",
                remedy="name fewer",
            )
        strange = [name for name in self.plan.classes if name not in EMOTIONS]
        if strange:
            raise InputError(
                f"simulated people know {', '.join(EMOTIONS)}, found {', '.join(strange)}",
                where="study",
                remedy="leave it out with --classes",
            )

    def seeds(self) -> range:
        """Return the seeds of the people."""
        first = FIRST_STUDY_SEED + self.seed * _SEEDS_A_STUDY
        return range(first, first + self.n_subjects)


@dataclass(frozen=True)
class Accuracy:
    """Shares of the later session's trials and windows that were named right, balanced over classes."""

    trial: float
    window: float


@dataclass(frozen=True)
class SubjectResult:
    """One simulated person's calibration and what it was worth in the later session."""

    seed: int
    base: Accuracy
    profile: Accuracy
    verdict: str
    balanced_accuracy: float  # of the first session, each trial predicted without itself
    p_permutation: float | None
    head: str
    trials_used: int
    fit_seconds: float
    seconds: float

    @property
    def gain_points(self) -> float:
        """Profile less base, per cent points of balanced accuracy per trial."""
        return 100 * (self.profile.trial - self.base.trial)

    @property
    def gain_points_window(self) -> float:
        """The same per window."""
        return 100 * (self.profile.window - self.base.window)


@dataclass(frozen=True)
class Study:
    """All results, in the order of the seeds."""

    options: StudyOptions
    subjects: tuple[SubjectResult, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; gains are per trial where the name does not say window."""
        gains = [subject.gain_points for subject in self.subjects]
        by_window = [subject.gain_points_window for subject in self.subjects]
        n_chance = sum(subject.verdict == NOT_DISTINGUISHABLE for subject in self.subjects)
        return {
            "subjects": [
                asdict(s) | {"gain_points": s.gain_points, "gain_points_window": s.gain_points_window}
                for s in self.subjects
            ],
            "mean_gain_points": float(np.mean(gains)),
            "gain_interval": t_interval(gains),
            "mean_gain_points_window": float(np.mean(by_window)),
            "gain_interval_window": t_interval(by_window),
            "mean_base_accuracy": asdict(self.mean("base")),
            "mean_profile_accuracy": asdict(self.mean("profile")),
            "n_weak_or_usable": len(self.subjects) - n_chance,
            "n_not_distinguishable": n_chance,
            "difficulty": self.options.difficulty,
            "n_subjects": len(self.subjects),
            "n_trials": self.options.plan.n_trials,
            "hours_between": LATER_S / 3600,
            "seed": self.options.seed,
            "is_simulated": True,
            "seconds": self.seconds,
        }

    def mean(self, model: str) -> Accuracy:
        """Return the mean accuracy of ``base`` or ``profile`` over the people."""
        found = [getattr(subject, model) for subject in self.subjects]
        return Accuracy(*(float(np.mean([getattr(a, n) for a in found])) for n in ("trial", "window")))


def run_study(options: StudyOptions, on_done: Callable[[SubjectResult], None] = lambda result: None) -> Study:
    """Simulate, calibrate and test everybody.

    A person's figures depend on the seed alone, not on the number of processes.

    Parameters
    ----------
    options : StudyOptions
        With one job all runs in this process, with more each person in a spawned one.
    on_done : callable
        Told each person's result as it is there, in any order.
    """
    began = time.monotonic()
    found: dict[int, SubjectResult] = {}
    for result in _results(options):
        found[result.seed] = result
        on_done(result)
    return Study(options, tuple(found[seed] for seed in options.seeds()), time.monotonic() - began)


def _results(options: StudyOptions) -> Iterator[SubjectResult]:
    if options.n_jobs == 1:
        yield from (study_subject(seed, options) for seed in options.seeds())
        return
    pool = process_pool(options.n_jobs)
    try:
        futures = [pool.submit(study_subject, seed, options) for seed in options.seeds()]
        yield from (future.result() for future in as_completed(futures))
    finally:  # also where somebody stops it: those that have not begun are not wanted any more
        pool.shutdown(cancel_futures=True)


def study_subject(seed: int, options: StudyOptions) -> SubjectResult:
    """Calibrate one simulated person and test the profile on the later session."""
    import cv2

    began = time.monotonic()
    keep_freed_memory()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # of the processes side by side; also: one thread, one set of last bits
    base = load_checkpoint(options.model)
    first, later = simulate_sessions(seed, options.plan, Decoder(base), difficulty=options.difficulty)
    fit_began = time.monotonic()
    fitted = fit(first.rows, first.record, base)
    fit_s = time.monotonic() - fit_began
    personal = apply_profile(fitted.profile, base)
    return SubjectResult(
        seed=seed,
        base=accuracy_on(base, later),
        profile=accuracy_on(personal, later),
        verdict=fitted.verdict.verdict,
        balanced_accuracy=fitted.verdict.balanced_accuracy,
        p_permutation=fitted.verdict.p_permutation,
        head=fitted.head,
        trials_used=fitted.verdict.n_trials,
        fit_seconds=fit_s,
        seconds=time.monotonic() - began,
    )


def accuracy_on(model: Checkpoint, session: SimulatedSession) -> Accuracy:
    """Return how well a model names the trials of a session and their windows.

    A trial is named by the mean of its windows' log-probabilities; a window holds what is wholly inside
    its trial. The model chooses among the session's classes, whatever others it knows.
    """
    classes = list(session.record.classes)
    windows = TrialWindows(session.rows, session.record.trials, model.config)
    probs = np.exp(window_log_probs(model, windows))[:, [model.config.labels.index(name) for name in classes]]
    true_of = {trial.number: classes.index(trial.emotion) for trial in session.record.trials}
    n = len(windows)
    by_window = Predictions(
        probs=probs,
        label=np.array([true_of[number] for number in windows.trial.tolist()]),
        subject=np.full(n, session.record.subject),
        session=np.full(n, session.record.session),
        trial=windows.trial,
    )
    by_trial = per_trial(by_window)
    return Accuracy(
        trial=score(by_trial.probs, by_trial.label).balanced_accuracy,
        window=score(by_window.probs, by_window.label).balanced_accuracy,
    )
