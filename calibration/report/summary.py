"""Everything a report says, as plain values: made once, then only rendered."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.text import json_text
from acquisition.types import StreamLedger
from calibration.consent import INTENDED_USE
from calibration.protocol import n_planned
from calibration.quality import TrialQuality, remarks, usable_modalities
from calibration.types import SessionRecord, TrialRecord
from calibration.verdict import Verdict, judge, trial_interval
from models.config import AnswerConfig
from models.conformal import RiskCoverage, attainable, coverage, quantile, risk_coverage, trial_weights
from models.training.scores import CalibrationCurve, balanced_accuracy, calibration_curve

_N_BINS = 5  # of the calibration curve: two trials' worth of windows each, of ten


@dataclass(frozen=True)
class Score:
    """How many held-out trials were correct."""

    n_trials: int
    n_correct: int
    balanced_accuracy: float
    interval: tuple[float, float]  # Wilson, 95 %
    right: tuple[bool, ...] = ()  # by trial, in the order given

    @classmethod
    def of(cls, true: Sequence[int], predicted: Sequence[int]) -> Score:
        """Score one prediction a trial, both as indices of classes."""
        truth = np.asarray(true, dtype=int)
        right = tuple((truth == np.asarray(predicted, dtype=int)).tolist())
        share = balanced_accuracy(true, predicted)
        interval = trial_interval(share, np.bincount(truth).tolist())
        return cls(len(truth), sum(right), share, interval, right)

    def against(self, other: Score) -> tuple[int, int, float]:
        """Return trials that this alone, and the other alone, has right, and p of a one-sided sign test."""
        pairs = list(zip(self.right, other.right, strict=True))
        n_won, n_lost = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
        n = n_won + n_lost
        return n_won, n_lost, sum(math.comb(n, k) for k in range(n_won, n + 1)) / 2**n


@dataclass(frozen=True, eq=False)
class HeldOutTrial:
    """A trial as predicted by a model fitted without it."""

    number: int
    label: int  # index of the class it counts as: the intended or the reported one
    probs: NDArray[np.float64]  # (n_classes,), of the whole trial
    times: NDArray[np.float64]  # (n_windows,) seconds from the stimulus's onset to each window's end
    course: NDArray[np.float64]  # (n_windows, n_classes)

    @property
    def predicted(self) -> int:
        return int(np.argmax(self.probs))

    @property
    def score(self) -> float:
        """``1 - p`` of the true class, by the mean of the windows' probabilities: `models.conformal`."""
        return float(np.clip(1 - self.course[:, self.label].mean(), 0.0, 1.0))


@dataclass(frozen=True)
class SourceScore:
    """What labelled trials of one source tell of the held-out trials."""

    name: str  # others | own | both
    words: str  # what it is, in a sentence
    score: Score  # leave-one-trial-out


@dataclass(frozen=True, eq=False)
class FitFigures:
    """The results of a fit.

    The held-out predictions are of the whole procedure: level, discriminant and temperature were found again
    without the trial. The verdict rests on them and on the shuffled results.
    """

    classes: tuple[str, ...]  # the model's, in the order of ``probs``
    labels: str  # intended | reported
    trials: tuple[HeldOutTrial, ...]  # those used, in the order shown
    shuffled: tuple[float, ...] = ()  # balanced accuracies on shuffled labels
    sources: tuple[SourceScore, ...] = ()
    curve: tuple[Score, ...] = ()  # with the labels of the first 0, 1, 2, ... of the other trials
    alone: Mapping[str, Score] = field(default_factory=dict)  # by modality
    removed: Mapping[str, Score] = field(default_factory=dict)
    base_model: Score | None = None  # the uncalibrated model on the same trials
    excluded: Mapping[int, str] = field(default_factory=dict)  # reason in words, by trial number
    answers: AnswerConfig | None = None  # when the profile answers, from other subjects' calibrations
    fit_seconds: float = math.nan

    def _windows(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]] | None:
        given = [trial for trial in self.trials if len(trial.course)]
        if not given:
            return None
        lengths = [len(trial.course) for trial in given]
        label, number = ([getattr(t, name) for t in given] for name in ("label", "number"))
        probs = np.concatenate([trial.course for trial in given])
        return probs, np.repeat(label, lengths), np.repeat(number, lengths)

    @property
    def risk(self) -> RiskCoverage | None:
        """Risk against coverage of the held-out windows; None without any."""
        windows = self._windows()
        return None if windows is None else risk_coverage(*windows)

    @property
    def calibration(self) -> CalibrationCurve | None:
        """How often held-out windows are right where they say so; ten trials hold few bins."""
        windows = self._windows()
        if windows is None:
            return None
        probs, label, trial = windows
        return calibration_curve(probs, label, trial_weights(trial), n_bins=_N_BINS)

    @property
    def sets(self) -> tuple[SetScore, ...]:
        given = [trial for trial in self.trials if len(trial.course)]
        others = (None, None) if self.answers is None else (self.answers.set_90, self.answers.set_80)
        levels = zip((0.9, 0.8), others, strict=True)
        return tuple(SetScore.of(given, level, threshold) for level, threshold in levels if given)


@dataclass(frozen=True)
class SetScore:
    """Prediction sets of the held-out trials at one level."""

    level: float
    others: float | None  # largest score in a set, from other subjects; None: not known
    own: float  # the same from these trials; 1 where they are too few
    attainable: float | None  # the level that ``own`` has
    n_inside: int  # trials whose set holds the true emotion, by ``others``, else by ``own``
    n_trials: int
    mean_size: float

    @classmethod
    def of(cls, trials: Sequence[HeldOutTrial], level: float, others: float | None) -> SetScore:
        own = quantile([trial.score for trial in trials], level)
        means = np.array([trial.course.mean(axis=0) for trial in trials])
        label = np.array([trial.label for trial in trials])
        covered, mean_size = coverage(means, label, own if others is None else others)
        n = len(trials)
        return cls(level, others, own, attainable(n, level), int(covered.sum()), n, mean_size)


@dataclass(frozen=True)
class Excluded:
    """A trial that was shown or planned and is not in the model."""

    number: int
    emotion: str  # intended
    reason: str


@dataclass(frozen=True, eq=False)
class Summary:
    """The content of a report."""

    record: SessionRecord
    made_at: str  # ISO 8601; empty where it does not matter
    verdict: Verdict
    fit: FitFigures
    trials: tuple[TrialRecord, ...]  # the one that counts of each number, in order
    excluded: tuple[Excluded, ...]
    n_planned: int
    n_repeated: int
    quality: tuple[TrialQuality, ...]  # of the trials shown, in order
    modalities: tuple[str, ...]  # that the session used
    notes: tuple[str, ...] = ()  # sentences about anything else
    ledgers: tuple[StreamLedger, ...] = ()  # what became of the samples, of each run's streams

    @property
    def score(self) -> Score:
        return Score.of([t.label for t in self.fit.trials], [t.predicted for t in self.fit.trials])

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts (n_classes, n_classes): rows are true, columns predicted."""
        counts = np.zeros((len(self.fit.classes),) * 2, dtype=np.int64)
        for trial in self.fit.trials:
            counts[trial.label, trial.predicted] += 1
        return counts

    @property
    def reported(self) -> tuple[TrialRecord, ...]:
        """Trials whose emotion the participant named."""
        return tuple(trial for trial in self.trials if trial.state == "done" and trial.report is not None)

    @property
    def n_agreed(self) -> int:
        """Of those, how many were named as intended."""
        return sum(t.report is not None and t.report.label == t.emotion for t in self.reported)

    @property
    def n_staged(self) -> int:
        """Trials shown to their end, repeats not counted."""
        return sum(trial.state == "done" for trial in self.trials)


def summarise(
    record: SessionRecord,
    fit: FitFigures,
    quality: Sequence[TrialQuality],
    *,
    modalities: Sequence[str] | None = None,
    made_at: str = "",
    notes: Sequence[str] = (),
    ledgers: Sequence[StreamLedger] = (),
) -> Summary:
    """Collect the content of a report.

    The fit's trials are those used, and its ``excluded`` says why others were not; ``quality`` is of the
    trials shown, in any order. ``modalities`` are those that the session used, by default those with consent;
    ``notes`` are sentences that belong nowhere else.
    """
    counting: dict[int, TrialRecord] = {}
    for trial in record.trials:
        if trial.state != "repeated":
            counting[trial.number] = trial
    trials = tuple(counting[number] for number in sorted(counting))
    excluded = _excluded(record, trials, fit)
    verdict = judge(
        [trial.label for trial in fit.trials],
        [trial.predicted for trial in fit.trials],
        len(fit.classes),
        fit.shuffled,
        n_excluded=len(excluded),
    )
    return Summary(
        record=record,
        made_at=made_at,
        verdict=verdict,
        fit=fit,
        trials=trials,
        excluded=excluded,
        n_planned=n_planned(record),
        n_repeated=sum(trial.state == "repeated" for trial in record.trials),
        quality=tuple(sorted(quality, key=lambda one: one.trial)),
        modalities=tuple(record.consent.modalities if modalities is None else modalities),
        notes=tuple(notes),
        ledgers=tuple(ledgers),
    )


def _excluded(record: SessionRecord, trials: Sequence[TrialRecord], fit: FitFigures) -> tuple[Excluded, ...]:
    """Return every planned trial that the model was not fitted to, with the reason."""
    planned, ended = dict(enumerate(record.order, 1)), "not shown: the session ended first"
    found = {number: (planned.get(number, ""), ended) for number in range(1, n_planned(record) + 1)}
    for trial in trials:
        why = fit.excluded.get(trial.number, "no reason recorded")
        why = "skipped by the participant" if trial.state == "skipped" else why
        found[trial.number] = trial.emotion, why
    used = {trial.number for trial in fit.trials}
    return tuple(Excluded(number, *said) for number, said in found.items() if number not in used)


#: Counts up when a name is changed or removed; new names do not count.
VERSION = 2


def to_json(summary: Summary) -> dict[str, Any]:
    """Return plain values; unknown ones are None, shares are 0 to 1, times are in seconds."""
    verdict, fit = summary.verdict, summary.fit
    plain = json_text(
        {
            "version": VERSION,
            "simulated": summary.record.is_simulated,
            "intended_use": INTENDED_USE,
            "subject": summary.record.subject,
            "session": summary.record.session,
            "made_at": summary.made_at,
            "verdict": verdict.code,
            "trusted": verdict.is_trusted,
            "words": verdict.words,
            "balanced_accuracy": verdict.balanced_accuracy,
            "wilson": verdict.interval,
            "chance": verdict.chance,
            "chance_threshold": verdict.threshold.balanced_accuracy,
            "chance_threshold_n_correct": verdict.threshold.n_correct,
            "p_binomial": verdict.p_binomial,
            "p_permutation": verdict.p_permutation,
            "permutation_threshold": verdict.permutation_threshold,
            "n_permutations": len(fit.shuffled),
            "trials_planned": summary.n_planned,
            "trials_staged": summary.n_staged,
            "trials_repeated": summary.n_repeated,
            "trials_used": verdict.n_trials,
            "trials_correct": verdict.n_correct,
            "trials_rejected": len(summary.excluded),
            "left_out": [vars(one) for one in summary.excluded],
            "classes": fit.classes,
            "labels": fit.labels,
            "confusion": summary.confusion.tolist(),
            "sources": [{"name": one.name, "words": one.words, **_score(one.score)} for one in fit.sources],
            "learning_curve": [{"n_labelled": n, **_score(score)} for n, score in enumerate(fit.curve)],
            "calibration_curve": (curve := fit.calibration)
            and {"error": curve.error, **{name: array.tolist() for name, array in vars(curve).items()}},
            "alone": {name: _score(score) for name, score in fit.alone.items()},
            "removed": {name: _score(score) for name, score in fit.removed.items()},
            "base_model": _score(fit.base_model) if fit.base_model is not None else None,
            "base_model_accuracy": fit.base_model.balanced_accuracy if fit.base_model is not None else None,
            "against_base_model": None
            if fit.base_model is None
            else dict(zip(("n_won", "n_lost", "p"), summary.score.against(fit.base_model), strict=True)),
            "answers": _answers(fit),
            "held_out": [_held_out(trial, fit.classes) for trial in fit.trials],
            "trials": [_trial(trial) for trial in summary.trials],
            "agreement": {"n_answered": len(summary.reported), "n_agreed": summary.n_agreed},
            "quality": [_quality(one, summary.modalities) for one in summary.quality],
            "modalities": summary.modalities,
            "timing": [vars(one) for one in summary.record.timing],
            "consent": vars(summary.record.consent),
            "overridden": summary.record.overridden,
            "fit_seconds": fit.fit_seconds,
            "settings": dict(summary.record.settings),
            "recordings": [path.as_posix() for path in summary.record.recordings],
            "notes": summary.notes,
            "ledger": [asdict(one) for one in summary.ledgers],
        },
        default=str,
    )
    return dict(json.loads(plain))


def _score(score: Score) -> dict[str, Any]:
    names = ("n_trials", "n_correct", "balanced_accuracy", "right")
    return {name: getattr(score, name) for name in names} | {"wilson": score.interval}


def _answers(fit: FitFigures) -> dict[str, Any]:
    curve = fit.risk
    names = ("needed", "answered", "error", "n_trials")
    return {
        "others": None if fit.answers is None else vars(fit.answers),
        "sets": [vars(one) for one in fit.sets],
        "risk_coverage": None if curve is None else {name: getattr(curve, name).tolist() for name in names},
    }


def _held_out(trial: HeldOutTrial, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "label": classes[trial.label],
        "predicted": classes[trial.predicted],
        "probs": dict(zip(classes, trial.probs.tolist(), strict=True)),
        "times": trial.times.tolist(),
        "course": trial.course.tolist(),
    }


def _trial(trial: TrialRecord) -> dict[str, Any]:
    names = ("emotion", "state", "run", "begin", "end")
    said = {"reported": "label", "valence": "valence", "arousal": "arousal"}
    return {
        "trial": trial.number,
        **{name: getattr(trial, name) for name in names},
        **{key: getattr(trial.report, name, None) for key, name in said.items()},
    }


def _quality(one: TrialQuality, modalities: tuple[str, ...]) -> dict[str, Any]:
    named = zip(one.ch_names, one.bad_share, one.reasons, strict=True)
    figures = ("n_seconds", "gaze_valid", "face_found", "voice_rms_db", "voice_peak_db", "voice_clipped")
    return {
        "trial": one.trial,
        "coverage": dict(one.coverage),
        "usable": usable_modalities(one, modalities),
        "remarks": remarks(one, modalities),
        "electrodes": {name: {"bad_share": share, "reason": reason} for name, share, reason in named},
        **{name: getattr(one, name) for name in figures},
    }
