"""The report's figures under stable names, for other programs."""

from __future__ import annotations

import math
from typing import Any

from calibration.consent import INTENDED_USE
from calibration.quality import TrialQuality, remarks, usable_modalities
from calibration.report.summary import HeldOutTrial, Score, Summary
from calibration.types import TrialRecord

#: Counts up when a name changes or goes; new names may come without.
VERSION = 1


def to_json(summary: Summary) -> dict[str, Any]:
    """Return plain values; what is not known is None, shares are 0 to 1, times seconds."""
    verdict, fit = summary.verdict, summary.fit
    return _plain(
        {
            "version": VERSION,
            "simulated": summary.is_simulated,
            "intended_use": INTENDED_USE,
            "subject": summary.subject,
            "session": summary.session,
            "made_at": summary.made_at,
            "verdict": verdict.verdict,
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
            "trials_rejected": len(summary.left_out),
            "left_out": [vars(one) for one in summary.left_out],
            "classes": fit.classes,
            "labels": fit.labels,
            "confusion": summary.confusion.tolist(),
            "heads": [
                {"name": h.name, "words": h.words, "kept": h.is_kept, **_score(h.score)} for h in fit.heads
            ],
            "head_choice": fit.choice,
            "alone": {name: _score(score) for name, score in fit.alone.items()},
            "removed": {name: _score(score) for name, score in fit.removed.items()},
            "base_model": _score(fit.base_model) if fit.base_model is not None else None,
            "base_model_accuracy": fit.base_model.balanced_accuracy if fit.base_model is not None else None,
            "held_out": [_held_out(trial, fit.classes) for trial in fit.trials],
            "trials": [_trial(trial) for trial in summary.trials],
            "agreement": {"n_answered": len(summary.reported), "n_agreed": summary.n_agreed},
            "quality": [_quality(one, summary.modalities) for one in summary.quality],
            "modalities": summary.modalities,
            "timing": [vars(one) for one in summary.timing],
            "consent": vars(summary.consent),
            "overridden": summary.overridden,
            "model": dict(fit.model),
            "fit_seconds": fit.fit_seconds,
            "settings": dict(summary.settings),
            "recordings": summary.recordings,
            "notes": summary.notes,
        }
    )


def _score(score: Score) -> dict[str, Any]:
    return {
        "n_trials": score.n_trials,
        "n_correct": score.n_correct,
        "balanced_accuracy": score.balanced_accuracy,
        "wilson": score.interval,
        "right": score.right,
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
    report = trial.report
    return {
        "trial": trial.number,
        "emotion": trial.emotion,
        "state": trial.state,
        "run": trial.run,
        "begin": trial.begin,
        "end": trial.end,
        "reported": report.label if report is not None else None,
        "valence": report.valence if report is not None else None,
        "arousal": report.arousal if report is not None else None,
    }


def _quality(one: TrialQuality, modalities: tuple[str, ...]) -> dict[str, Any]:
    named = zip(one.ch_names, one.bad_share, one.reasons, strict=True)
    return {
        "trial": one.trial,
        "n_seconds": one.n_seconds,
        "coverage": dict(one.coverage),
        "usable": usable_modalities(one, modalities),
        "remarks": remarks(one, modalities),
        "electrodes": {name: {"bad_share": share, "reason": reason} for name, share, reason in named},
        "gaze_valid": one.gaze_valid,
        "face_found": one.face_found,
        "voice_rms_db": one.voice_rms_db,
        "voice_peak_db": one.voice_peak_db,
        "voice_clipped": one.voice_clipped,
    }


def _plain(value: Any) -> Any:
    """Return lists, dicts, texts and numbers; JSON knows neither NaN nor infinity."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
