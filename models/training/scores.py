"""Scores of predicted probabilities, per window and per trial, and their means over subjects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.datasets.trials import WindowSet

#: Probabilities are clipped to this from below: one certain mistake must not make the NLL infinite.
LEAST_PROBABILITY = 1e-6
N_BINS = 10  # of the calibration error


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of windows with what they are compared to."""

    probs: NDArray[np.float64]  # (n, n_labels), rows sum to 1
    label: NDArray[np.int64]  # (n,)
    subject: NDArray[Any]  # (n,) str
    session: NDArray[np.int64]  # (n,)
    trial: NDArray[np.int64]  # (n,)

    @classmethod
    def of(cls, probs: NDArray[np.floating], windows: WindowSet) -> Predictions:
        """Put probabilities (n, n_labels) beside the windows they are of."""
        values = np.asarray(probs, dtype=np.float64)
        return cls(values, windows.label, windows.subject, windows.session, windows.trial)

    def scores(self) -> Scores:
        return score(self.probs, self.label)

    def trial_scores(self) -> Scores:
        return per_trial(self).scores()


@dataclass(frozen=True, eq=False)
class Scores:
    """How good predictions are; shares, not per cent."""

    n: int  # windows or trials
    accuracy: float
    balanced_accuracy: float  # mean recall of the classes that the data hold
    macro_f1: float  # mean over the same classes
    nll: float  # nats
    ece: float
    confusion: NDArray[np.int64]  # (n_labels, n_labels): rows are true, columns predicted

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy, of scores per trial: see `wilson_interval`."""
        return wilson_interval(self.accuracy, self.n)

    @property
    def chance(self) -> float:
        """Accuracy of always answering the most frequent class of the data."""
        support = self.confusion.sum(axis=1)
        return float(support.max() / support.sum())

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "confusion": self.confusion.tolist()}


def score(probs: NDArray[np.floating], label: NDArray[np.integer]) -> Scores:
    """Return the scores of (n, n_labels) against labels (n,), n > 0; macro means over labels that occur."""
    clipped = np.clip(np.asarray(probs, dtype=np.float64), LEAST_PROBABILITY, 1.0)
    predicted = np.asarray(probs).argmax(axis=1)
    n_labels = clipped.shape[1]
    confusion = np.zeros((n_labels, n_labels), dtype=np.int64)
    np.add.at(confusion, (label, predicted), 1)
    support, hits, claimed = confusion.sum(axis=1), confusion.diagonal(), confusion.sum(axis=0)
    held = support > 0
    recall = hits[held] / support[held]
    f1 = 2 * hits[held] / (support[held] + claimed[held])
    return Scores(
        n=len(label),
        accuracy=float((predicted == label).mean()),
        balanced_accuracy=float(recall.mean()),
        macro_f1=float(f1.mean()),
        nll=float(-np.log(clipped[np.arange(len(label)), label]).mean()),
        ece=calibration_curve(probs, label).error,
        confusion=confusion,
    )


def balanced_accuracy(true: Sequence[int] | NDArray[Any], predicted: Sequence[int] | NDArray[Any]) -> float:
    """Return the mean recall of the classes in ``true``; NaN where it is empty."""
    truth, said = np.asarray(true), np.asarray(predicted)
    if len(truth) == 0:
        return math.nan
    return float(np.mean([(said[truth == label] == label).mean() for label in np.unique(truth)]))


def best_temperature(nll: Callable[[Any], Any], candidates: Iterable[Any]) -> tuple[float, float]:
    """Return the least negative log-likelihood over candidate temperatures, and that temperature."""
    temperatures = list(candidates)
    found = [float(nll(temperature)) for temperature in temperatures]
    best = int(np.argmin(found))
    return found[best], float(temperatures[best])


def preferred_share(nll: Mapping[float, NDArray[np.floating]]) -> float:
    """Return the share of least mean loss (n_units,), 0 if that gains no more than one standard error."""
    best = min(nll, key=lambda share: float(nll[share].mean()))
    gain = nll[0.0] - nll[best]
    if len(gain) < 2 or gain.mean() <= gain.std(ddof=1) / np.sqrt(len(gain)):
        return 0.0
    return best


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """Confidence and accuracy in bins of equal weight."""

    confidence: NDArray[np.float64]  # (n_bins,) mean probability of the top label
    accuracy: NDArray[np.float64]  # (n_bins,)
    interval: NDArray[np.float64]  # (n_bins, 2) Wilson, 95 %, with the bin's weight as n
    weight: NDArray[np.float64]  # (n_bins,) sums to 1

    @property
    def error(self) -> float:
        """The mean distance of confidence and accuracy over the bins (Guo et al. 2017, eq. 5)."""
        return float((self.weight * np.abs(self.accuracy - self.confidence)).sum())


def calibration_curve(
    probs: NDArray[np.floating],
    label: NDArray[np.integer],
    weight: NDArray[np.floating] | None = None,
    n_bins: int = N_BINS,
) -> CalibrationCurve:
    """Return how often rows (n, n_labels) are right where they say so, in bins of equal weight."""
    weights = np.ones(len(label)) if weight is None else np.asarray(weight, dtype=np.float64)
    confidence = np.asarray(probs, dtype=np.float64).max(axis=1)
    right = np.asarray(probs).argmax(axis=1) == label
    at = np.unique(confidence, return_inverse=True)[1].ravel()
    mass = np.bincount(at, weights)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()  # of each confidence, by weight
    bins = np.minimum((middle * n_bins).astype(int), n_bins - 1)[at]
    n_in = np.bincount(bins, weights, n_bins)
    held = n_in > 0
    accuracy = np.bincount(bins, weights * right, n_bins)[held] / n_in[held]
    return CalibrationCurve(
        np.bincount(bins, weights * confidence, n_bins)[held] / n_in[held],
        accuracy,
        np.array([wilson_interval(share, n) for share, n in zip(accuracy, n_in[held], strict=True)]),
        n_in[held] / n_in.sum(),
    )


def trial_ids(windows: WindowSet | Predictions) -> NDArray[np.int64]:
    """Return a number (n,) for each window that is the same within a trial and differs between trials."""
    return numbered(windows.subject, windows.session, windows.trial)


def numbered(*columns: NDArray[Any] | None) -> NDArray[np.int64]:
    """Return numbers (n,) that are the same where all columns (n,) are."""
    parts = [np.unique(column, return_inverse=True)[1].ravel() for column in columns if column is not None]
    return np.unique(np.column_stack(parts), axis=0, return_inverse=True)[1].astype(np.int64).ravel()


def per_trial(predictions: Predictions) -> Predictions:
    """Return one row a trial: the softmax of the mean of its windows' log-probabilities."""
    of_trial = trial_ids(predictions)
    first = np.unique(of_trial, return_index=True)[1]
    logs = np.log(np.clip(predictions.probs, LEAST_PROBABILITY, 1.0))
    sums = np.zeros((len(first), logs.shape[1]))
    np.add.at(sums, of_trial, logs)
    means = sums / np.bincount(of_trial)[:, None]
    shares = np.exp(means - means.max(axis=1, keepdims=True))
    kept = (column[first] for name, column in vars(predictions).items() if name != "probs")
    return Predictions(shares / shares.sum(axis=1, keepdims=True), *kept)


@dataclass(frozen=True)
class Summary:
    """A figure over subjects: each counts by the mean of the sessions."""

    n_subjects: int
    mean: float
    sd: float | None  # over subjects, n - 1 below the line; None for one subject
    n_sessions: int
    pooled_mean: float  # every session counts alike
    pooled_sd: float | None


def summarise(by_session: Mapping[tuple[str, int], float]) -> Summary:
    """Return mean and SD of a figure given by (subject, session)."""
    subjects: dict[str, list[float]] = {}
    for (subject, _), value in by_session.items():
        subjects.setdefault(subject, []).append(value)
    means = [float(np.mean(values)) for values in subjects.values()]
    pooled = list(by_session.values())
    mean, pooled_mean = float(np.mean(means)), float(np.mean(pooled))
    return Summary(len(means), mean, sd_of(means), len(pooled), pooled_mean, sd_of(pooled))


def sd_of(values: Sequence[float]) -> float | None:
    """Return the SD with n - 1 below the line; None for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share of ``n`` independent trials (Wilson 1927)."""
    z = 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Exactly 0 and 1 where none or all are right; rounding would leave the share outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Return the t interval of a mean, as of paired differences (Student 1908); None for fewer than two."""
    from scipy.stats import t as student

    n, mean, sd = len(values), float(np.mean(values)), sd_of(values)
    if sd is None:
        return None
    half = float(student.ppf(0.5 + level / 2, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half


def interval_over(by_subject: Sequence[float], n_trials: int) -> list[float]:
    """Return the t interval over subjects, cut to 0-1; of one subject Wilson's over the trials.

    Where all subjects are alike, t has no width: it is Wilson's over the subjects.
    """
    if len(by_subject) > 1 and len(set(by_subject)) == 1:
        return list(wilson_interval(by_subject[0], len(by_subject)))
    low, high = t_interval(by_subject) or wilson_interval(float(np.mean(by_subject)), n_trials)
    return [max(0.0, low), min(1.0, high)]
