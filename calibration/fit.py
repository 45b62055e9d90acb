"""Fits a personal model to the rows of a session, and measures its accuracy.

The encoders are frozen. What is fitted: the subject level (`calibration.tokens`), the discriminant
(`calibration.heads`) and one temperature. The same rows give the same tensors: one thread, fixed seeds,
batches of one size.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from acquisition.types import MODALITIES
from calibration.crossvalidation import (
    N_SHUFFLES,
    LeaveOneOut,
    OnProgress,
    encode,
    log_probs,
    shuffled_results,
    temperature_of,
    top,
    trial_probs,
    window_log_probs,
)
from calibration.heads import Beginning, knows, lends
from calibration.profile import CalibrationProfile, features_sha256
from calibration.profile_summary import ProfileSummary
from calibration.protocol import ChosenTrials, choose_trials, data_error, n_planned, trial_label
from calibration.report.summary import FitFigures, HeldOutTrial, Score, SourceScore
from calibration.rows import RowTable
from calibration.tokens import Session
from calibration.types import Progress, SessionRecord
from calibration.verdict import Verdict, judge
from models.checkpoint import Checkpoint
from models.training.scores import wilson_interval

_OTHERS = "other people's labelled trials alone: the base model, given this subject's average signals"
_OWN = "this session's labelled trials alone; how much signals vary is known from other people"
_BOTH = "the profile: other people's trials and this session's"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A personal model and its accuracy."""

    profile: CalibrationProfile
    figures: FitFigures
    verdict: Verdict
    notes: tuple[str, ...]  # a sentence each, for the report


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit; those without influence on it go into the profile's summary."""

    labels: str = "intended"
    modalities: tuple[str, ...] | None = None  # None: those with consent
    seed: int = 0
    n_shuffles: int = N_SHUFFLES
    base_name: str = ""
    line_hz: float | None = None
    date: str = ""
    screen_cm: str | None = None
    distance_cm: float | None = None


def fit(
    rows: RowTable,
    record: SessionRecord,
    base: Checkpoint,
    *,
    excluded: Mapping[int, str] | None = None,
    options: FitOptions | None = None,
    progress: OnProgress = lambda stage, share: None,
) -> Fitted:
    """Fit a personal model to a session and judge it.

    ``rows`` are of the base model and of all runs; its network is used by the calling thread alone.
    ``excluded`` says which trials' signals cannot be used, and why. ``progress`` is called with the stage and
    the share done, 0 to 1 over all stages. Raises InputError if a class has no trial left, fewer than two
    classes have two, or a trial contains no window.
    """
    options = options or FitOptions()
    began = time.monotonic()
    chosen = choose_trials(record, excluded, options.labels)
    modalities = used_modalities(record, base, options.modalities)
    with one_thread():
        progress("encoding", 0.0)
        session = Session(rows, record, chosen.trials, base, modalities)
        _check_windows(session, chosen)
        beginning = Beginning(session, chosen.classes)
        held_out = LeaveOneOut(beginning, chosen.label, encode(beginning, chosen.label))
        progress("leaving out each trial", 0.5)
        figures = _figures(chosen, held_out, session, options)
        progress("shuffling labels", 0.8)
        shuffled = shuffled_results(held_out, n=options.n_shuffles, seed=options.seed)
        figures = replace(figures, shuffled=shuffled)
        progress("fitting to all trials", 0.95)
        temperature = _temperature(held_out)
        level = session.level()
        discriminant = beginning.discriminant().update(session.labelled(chosen.label, level))
    progress("done", 1.0)
    verdict = judge(
        [trial.label for trial in figures.trials],
        [trial.predicted for trial in figures.trials],
        len(chosen.classes),
        shuffled,
        n_planned(record) - len(figures.trials),
    )
    summary = ProfileSummary(
        subject=record.subject,
        classes=chosen.classes,
        modalities=modalities,
        ch_names=tuple(base.config.ch_names[at] for at in rows.positions) if "eeg" in modalities else (),
        head="discriminant",
        verdict=verdict.code,
        base_name=options.base_name,
        base_sha256=base.sha256,
        features_sha256=features_sha256(base.config, options.line_hz),
        words=verdict.words,
        figures={
            "balanced_accuracy": verdict.balanced_accuracy,
            "chance": verdict.chance,
            "p_permutation": verdict.p_permutation,
            "trials": verdict.n_trials,
            "temperature": temperature,
        },
        date=options.date,
        session=record.session,
        labels=options.labels,
        is_simulated=record.is_simulated,
        screen_cm=options.screen_cm,
        distance_cm=options.distance_cm,
        own_scores=tuple(trial.score for trial in figures.trials),
    )
    profile = CalibrationProfile(summary, discriminant, beginning.range, level, temperature)
    figures = replace(figures, fit_seconds=time.monotonic() - began)
    return Fitted(profile, figures, verdict, chosen.notes)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use a single thread: how many there are changes the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def used_modalities(
    record: SessionRecord, base: Checkpoint, wanted: Collection[str] | None
) -> tuple[str, ...]:
    """Return the modalities that have consent, are wanted and are known to the base model."""
    allowed = set(record.consent.modalities) & set(base.config.modalities)
    if wanted is not None:
        allowed &= set(wanted)
    if not allowed:
        raise data_error(
            f"no consent to any modality of the model ({', '.join(base.config.modalities)})",
            "consent to one of them, or choose another model with --model",
        )
    return tuple(m for m in MODALITIES if m in allowed)


def _check_windows(session: Session, chosen: ChosenTrials) -> None:
    empty = [trial.number for trial in chosen.trials if not (session.windows.trial == trial.number).any()]
    if empty:
        what = f"expected windows in every trial, found none in trial {', '.join(map(str, empty))}"
        remedy = "check that the recording covers them; a trial must last 5 s or more"
        raise data_error(what, remedy, trial=empty[0])


def _temperature(held_out: LeaveOneOut, without: int | None = None) -> float:
    """Return the temperature by the trials, each told without itself; nothing of one ``without``."""
    trials = [number for number in held_out.label if number != without]
    shown = [held_out.shown(held_out.logits(number, without=without)) for number in trials]
    return temperature_of(shown, [held_out.label[number] for number in trials], held_out.temperature)


def _figures(
    chosen: ChosenTrials, held_out: LeaveOneOut, session: Session, options: FitOptions
) -> FitFigures:
    base, label = session.base.config, list(chosen.label.values())
    used = [m for m in session.modalities if bool(session.windows.present[:, MODALITIES.index(m)].any())]

    def score(modalities: Sequence[str]) -> Score:
        said = [top(held_out.logits(number, modalities=tuple(modalities))) for number in chosen.label]
        return Score.of(label, said)

    curve = tuple(
        Score.of(label, held_out.predicted(first=n_labelled)) for n_labelled in range(len(chosen.label))
    )
    own = SourceScore("own", _OWN, Score.of(label, held_out.predicted(alone=True)))
    uncalibrated: Score | None = None
    sources: tuple[SourceScore, ...] = (own,)
    if lends(base, chosen.classes):
        uncalibrated = curve[0]
        sources = (SourceScore("others", _OTHERS, curve[0]), own, SourceScore("both", _BOTH, curve[-1]))
    elif knows(base, chosen.classes):
        said = window_log_probs(session.base, session.windows)[
            :, [base.labels.index(n) for n in chosen.classes]
        ]
        of_trial = session.windows.trial
        uncalibrated = Score.of(label, [top(said[of_trial == number]) for number in chosen.label])
    return FitFigures(
        classes=chosen.classes,
        labels=options.labels,
        trials=tuple(_held_out_trial(number, held_out, session) for number in chosen.label),
        sources=sources,
        curve=curve,
        alone={m: score([m]) for m in used},
        removed={m: score([o for o in used if o != m]) for m in used} if len(used) > 1 else {},
        base_model=uncalibrated,
        excluded=chosen.excluded,
        answers=base.profile_answers if chosen.classes == base.labels else None,
    )


def _held_out_trial(number: int, held_out: LeaveOneOut, session: Session) -> HeldOutTrial:
    logits, temperature = held_out.logits(number), _temperature(held_out, without=number)
    return HeldOutTrial(
        number=number,
        label=held_out.label[number],
        probs=trial_probs(logits, temperature),
        times=session.since_onset_s[session.windows.trial == number],
        course=np.exp(log_probs(held_out.shown(logits), temperature)),
    )


# --- accuracy so far, quick enough to compute between two trials ---

FROM_TRIAL = 4


def progress_of(
    rows: RowTable,
    record: SessionRecord,
    base: Checkpoint,
    *,
    excluded: Mapping[int, str] | None = None,
    modalities: Collection[str] | None = None,
    labels: str = "intended",
) -> Progress | None:
    """Return the leave-one-trial-out accuracy of the linear head on the trials so far.

    Unlike the figures of the fit, one normalisation by all trials so far serves every fold (no label enters
    it), and a few windows stand for a trial.

    None before the fourth usable trial, and while no trial can be predicted: each is the only one of a class
    that the base model does not know. The base model's network is used by this thread alone.
    """
    excluded = excluded or {}
    classes = record.classes
    done = [trial for trial in record.trials if trial.state == "done" and trial.number not in excluded]
    trials = [trial for trial in done if trial_label(trial, labels) in classes]
    if len(trials) < FROM_TRIAL:
        return None
    with one_thread():
        session = Session(rows, record, trials, base, used_modalities(record, base, modalities))
        label = {
            trial.number: classes.index(trial_label(trial, labels))
            for trial in trials
            if (session.windows.trial == trial.number).any()
        }
        held_out = LeaveOneOut(Beginning(session, classes), label)
        told = [n for n in label if knows(base.config, classes) or list(label.values()).count(label[n]) > 1]
        probs = {number: trial_probs(held_out.logits(number)) for number in told}
    if not probs:
        return None
    right = {number: int(p.argmax()) == label[number] for number, p in probs.items()}
    weakest = _weakest(right, label)
    wrong = {n: probs[n][label[n]] for n, is_right in right.items() if not is_right and label[n] == weakest}
    poor = [trial.number for trial in record.trials if trial.state == "done" and trial.number in excluded]
    n_right = sum(right.values())
    return Progress(
        n_trials=len(right),
        n_correct=n_right,
        interval=wilson_interval(n_right / len(right), len(right)),
        chance=1 / len(classes),
        weakest="" if weakest is None else classes[weakest],
        worth_repeating=poor[0] if poor else min(wrong, key=lambda n: wrong[n], default=0),
    )


def _weakest(right: Mapping[int, bool], label: Mapping[int, int]) -> int | None:
    """Return the class with the smallest share of correct trials; None if all are correct."""
    shares = {
        one: np.mean([is_right for number, is_right in right.items() if label[number] == one])
        for one in sorted({label[number] for number in right})
    }
    worst = min(shares, key=lambda one: shares[one])
    return None if shares[worst] == 1 else worst
