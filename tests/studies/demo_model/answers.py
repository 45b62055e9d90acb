"""Fits prediction sets and the rule of abstention of a model to subjects that did not train it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.config import LEAST_ANSWER, MAX_RISK, AnswerConfig
from models.conformal import quantile, risk_coverage, trial_weights
from models.training.scores import calibration_curve, numbered

MIN_TRIALS = 30  # behind a rule of abstention: its error then has an interval of about +-14 points


def fit_answers(
    probs: NDArray[np.floating],
    label: NDArray[Any],
    trial: NDArray[Any],
    subject: NDArray[Any],
    *,
    temperature: float = 1.0,
) -> AnswerConfig:
    """Fit sets and the rule of abstention to windows of subjects that the model was not trained on.

    ``probs`` (n, L) are as shown, each from a model without the window's subject: in-sample ones make sets
    too small. ``label``, ``trial`` (its own number within the subject, over sessions too) and ``subject`` are
    (n,). Sets are fitted by trial; the rule and the calibration error by window, each trial counting the
    same, because answers are given window by window. Coverage holds on average over subjects, not for each.
    """
    means, truth, _ = trial_means(probs, label, trial, subject)
    scores = trial_scores(means, truth)
    curve = risk_coverage(probs, label, trial, subject)
    needed = max(curve.lowest(MAX_RISK, MIN_TRIALS), LEAST_ANSWER)
    answered, error, _ = curve.at(needed)
    return AnswerConfig(
        set_90=quantile(scores, 0.9),
        set_80=quantile(scores, 0.8),
        abstain_below=needed,
        error=error if answered else 0.0,
        answered=answered,
        ece=calibration_curve(probs, label, trial_weights(trial, subject)).error,
        n_subjects=len(np.unique(subject)),
        n_trials=len(truth),
        temperature=temperature,
    )


def trial_scores(means: NDArray[np.floating], label: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``1 - p(true)`` of trials with mean probabilities (k, L) and labels (k,)."""
    return 1 - np.asarray(means, dtype=np.float64)[np.arange(len(label)), label]


def trial_means(
    probs: NDArray[np.floating], label: NDArray[Any], trial: NDArray[Any], subject: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[Any]]:
    """Return each trial's mean probabilities (k, L), label (k,) and subject (k,)."""
    of_trial = numbered(trial, subject)
    first = np.unique(of_trial, return_index=True)[1]
    sums = np.zeros((len(first), probs.shape[1]))
    np.add.at(sums, of_trial, np.asarray(probs, dtype=np.float64))
    means = sums / np.bincount(of_trial)[:, None]
    return means, np.asarray(label, dtype=np.int64)[first], np.asarray(subject)[first]
