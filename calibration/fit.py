"""Fits a personal model to the rows of a session, and measures its accuracy.

The encoders are frozen. What is fitted: the subject level (`calibration.tokens`), a head on the modality
tokens (`calibration.heads`) and one temperature. The same rows give the same tensors: one thread, fixed
seeds, batches of one size.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from acquisition.types import MODALITIES
from calibration.crossvalidation import (
    N_SHUFFLES,
    Fold,
    HeadFitter,
    HeldOut,
    OnProgress,
    better,
    held_out_folds,
    labelled,
    log_probs,
    logits_of,
    shuffled_results,
    trial_probs,
)
from calibration.heads import Labelled, knows
from calibration.profile import CalibrationProfile, features_sha256
from calibration.profile_summary import HEADS, ProfileSummary
from calibration.protocol import ChosenTrials, choose_trials, data_error, n_planned, trial_label
from calibration.report.summary import FitFigures, HeadScore, HeldOutTrial, Score
from calibration.rows import RowTable
from calibration.tokens import SessionTokens
from calibration.types import Progress, SessionRecord
from calibration.verdict import Verdict, judge
from models.checkpoint import Checkpoint
from models.normalise import Normaliser
from models.training.scores import wilson_interval

_WORDS = {
    "fusion": "the base model's fusion, fine-tuned with the classification and the DCCA loss",
    "linear": "shrinkage LDA on each modality's scores, as one linear map of the modality tokens",
}
_CHOICE = (
    "The head with more correct leave-one-trial-out predictions is kept; ties go to the higher likelihood. "
    "The verdict may be lower than this table, because it also repeats the choice of head and temperature "
    "without the held-out trial. Shuffled results: the linear head refitted to shuffled trial labels."
)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A personal model and its accuracy."""

    profile: CalibrationProfile
    figures: FitFigures
    verdict: Verdict
    notes: tuple[str, ...]  # a sentence each, for the report

    @property
    def head(self) -> str:
        """Which of `calibration.profile_summary.HEADS` was kept."""
        return self.profile.summary.head


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
        source = SessionTokens(rows, record, chosen.trials, base, modalities)
        _check_windows(source, chosen)
        fitter = HeadFitter(base.network, chosen.classes)
        folds = held_out_folds(
            source, chosen.label, fitter, lambda stage, share: progress(stage, 0.05 + 0.75 * share)
        )
        shuffled = shuffled_results(
            folds,
            chosen.label,
            fitter,
            n=options.n_shuffles,
            seed=options.seed,
            progress=lambda share: progress("shuffling labels", 0.8 + 0.1 * share),
        )
        progress("fitting to all trials", 0.95)
        by_head = {head: _held_out(folds, head) for head in HEADS}
        head = better(by_head, chosen.label)
        scores = tuple(HeadScore(h, _WORDS[h], _score(chosen, by_head[h]), h == head) for h in HEADS)
        figures = replace(_figures(chosen, source, folds, base, options), shuffled=shuffled, heads=scores)
        module = fitter.fit(head, labelled(source, chosen.label))
        temperature = by_head[head].temperature(chosen.label)
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
        head=head,
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
    state = {name: tensor.detach() for name, tensor in module.state_dict().items()}
    config, normaliser = fitter.config(head), source.normaliser()
    profile = CalibrationProfile(summary, config, state, normaliser, temperature)
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


def _check_windows(source: SessionTokens, chosen: ChosenTrials) -> None:
    empty = [trial.number for trial in chosen.trials if not (source.trial == trial.number).any()]
    if empty:
        raise data_error(
            f"expected windows in every trial, found none in trial {', '.join(map(str, empty))}",
            "check that the recording covers them; a trial must last 5 s or more",
            trial=empty[0],
        )


# --- figures ---


def _held_out(folds: Sequence[Fold], head: str = "", present: torch.Tensor | None = None) -> HeldOut:
    return HeldOut({fold.trial: fold.logits(head, present) for fold in folds})


def _score(chosen: ChosenTrials, held_out: HeldOut) -> Score:
    said = held_out.predicted()
    return Score.of(list(chosen.label.values()), [said[number] for number in chosen.label])


def _figures(
    chosen: ChosenTrials, source: SessionTokens, folds: Sequence[Fold], base: Checkpoint, options: FitOptions
) -> FitFigures:
    """Return the figures except those of the shuffled labels and of the heads."""
    one = torch.eye(len(MODALITIES), dtype=torch.bool)
    at = {m: i for i, m in enumerate(MODALITIES) if bool(folds[0].data.present[:, i].any())}
    several = at if len(at) > 1 else {}
    return FitFigures(
        classes=chosen.classes,
        labels=options.labels,
        trials=tuple(_held_out_trial(fold, chosen, source) for fold in folds),
        choice=_CHOICE,
        alone={m: _score(chosen, _held_out(folds, present=one[i])) for m, i in at.items()},
        removed={m: _score(chosen, _held_out(folds, present=~one[i])) for m, i in several.items()},
        base_model=_base_score(chosen, source, base),
        excluded=chosen.excluded,
        answers=base.config.profile_answers if chosen.classes == base.config.labels else None,
    )


def _held_out_trial(fold: Fold, chosen: ChosenTrials, source: SessionTokens) -> HeldOutTrial:
    logits = fold.logits()
    return HeldOutTrial(
        number=fold.trial,
        label=chosen.label[fold.trial],
        probs=trial_probs(logits, fold.temperature),
        times=source.since_onset_s[source.trial == fold.trial],
        course=np.exp(log_probs(logits, fold.temperature)),
    )


def _base_score(chosen: ChosenTrials, source: SessionTokens, base: Checkpoint) -> Score | None:
    """Return the score of the uncalibrated base model among the classes; None if it does not know them."""
    labels = base.config.labels
    if not knows(base.config, chosen.classes):
        return None
    found = source.encoded(Normaliser.from_dict(base.normaliser_tensors))
    data = Labelled(found.tokens, found.present, found.trial, np.zeros(len(found.trial), dtype=np.int64))
    logits = logits_of(base.network.fusion, data)[:, [labels.index(name) for name in chosen.classes]]
    return _score(chosen, HeldOut({number: logits[found.trial == number] for number in chosen.label}))


# --- accuracy so far, quick enough to compute between two trials ---

FROM_TRIAL = 4
_WINDOWS_A_TRIAL = 5


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
        source = SessionTokens(
            rows,
            record,
            trials,
            base,
            used_modalities(record, base, modalities),
            windows_a_trial=_WINDOWS_A_TRIAL,
        )
        label = {
            trial.number: classes.index(trial_label(trial, labels))
            for trial in trials
            if (source.trial == trial.number).any()
        }
        probs = _progress_held_out(source, label, HeadFitter(base.network, classes))
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


def _progress_held_out(
    source: SessionTokens, label: Mapping[int, int], fitter: HeadFitter
) -> dict[int, np.ndarray]:
    """Return the probabilities of each trial that can be predicted, by number."""
    data = labelled(source, label)
    found = {}
    for number, own_label in label.items():
        own = data.trial == number
        rest = data.of(~own)
        if fitter.knows_classes or own_label in rest.label:
            found[number] = trial_probs(logits_of(fitter.fit("linear", rest), data.of(own)))
    return found


def _weakest(right: Mapping[int, bool], label: Mapping[int, int]) -> int | None:
    """Return the class with the smallest share of correct trials; None if all are correct."""
    shares = {
        one: np.mean([is_right for number, is_right in right.items() if label[number] == one])
        for one in sorted({label[number] for number in right})
    }
    worst = min(shares, key=lambda one: shares[one])
    return None if shares[worst] == 1 else worst
