"""Prediction sets and the rule of abstention, from probabilities of subjects that the model has not seen.

A *score* is ``1 - p(true)``: small where the model knew. Split conformal prediction (Vovk et al. 2005;
Papadopoulos et al. 2002; these scores: Sadinle et al. 2019) takes a quantile of held-out scores as
threshold: a set holds every emotion whose score is at most that, and so the true one in the nominal share
of new cases that are exchangeable with the held-out ones. The unit is the *trial*, whose windows overlap,
with the mean of its windows' probabilities. No torch here: the window's process imports it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.config import LEAST_ANSWER, NEVER
from models.training.scores import numbered

LEVELS = (0.9, 0.8)


def quantile(scores: Sequence[float] | NDArray[np.floating], level: float) -> float:
    """Return the score that a new one stays at or below with probability ``level`` at least.

    It is the ``ceil((n + 1) level)``-th smallest of n; where n is too small 1, which admits every emotion.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    k = math.ceil((len(ordered) + 1) * level - 1e-9)
    return float(ordered[max(k, 1) - 1]) if k <= len(ordered) else 1.0


def attainable(n_trials: int, level: float) -> float | None:
    """Return the least level of ``k / (n_trials + 1)`` that is not below ``level``; None where none is."""
    k = math.ceil((n_trials + 1) * level - 1e-9)
    return k / (n_trials + 1) if k <= n_trials else None


def prediction_set(probs: Mapping[str, float], threshold: float, least: float = 0.0) -> tuple[str, ...]:
    """Return the emotions whose score is at most ``threshold``, the most probable first; never none.

    Further ones are taken until all have the probability ``least`` together.
    """
    ordered, kept = sorted(probs, key=lambda label: -probs[label]), list[str]()
    for label in ordered:
        is_enough = kept and sum(probs[one] for one in kept) >= least - 1e-9
        if is_enough and 1 - probs[label] > threshold + 1e-9:
            break
        kept.append(label)
    return tuple(kept)


def shown_sets(
    probs: Mapping[str, float], thresholds: Sequence[float | None], is_whole: bool = True
) -> tuple[tuple[str, ...], ...]:
    """Return the sets of `LEVELS` that are shown, empty where there is no threshold.

    Thresholds are fitted to all of a model's modalities. Where one is missing or unreliable (not
    ``is_whole``) probabilities are lower, so that a set must have its level's probability too; where nothing
    reaches even the widest threshold, no emotion can be excluded. Where no emotion has `LEAST_ANSWER`, a
    threshold alone would name fewest where least is known: the 90 % set must have its probability there too.
    The 80 % set must not: top emotions that are right more often leave it no room elsewhere.
    """
    is_unsure = max(probs.values()) < LEAST_ANSWER
    known = [threshold for threshold in thresholds if threshold is not None]
    if known and 1 - max(probs.values()) > max(known) + 1e-9:
        thresholds = [None if threshold is None else 1.0 for threshold in thresholds]
    return tuple(
        () if threshold is None else prediction_set(probs, threshold, level if must_reach else 0.0)
        for threshold, level, must_reach in zip(
            thresholds, LEVELS, (not is_whole or is_unsure, not is_whole), strict=True
        )
    )


def too_rarely_covered(own_scores: Sequence[float], threshold: float, level: float) -> bool:
    """Tell whether own scores exceed others' threshold more often than by chance: binomial, p < .05."""
    n, misses = len(own_scores), sum(score > threshold for score in own_scores)
    rate = 1 - level
    tail = sum(math.comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(misses, n + 1))
    return misses > 0 and tail < 0.05


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """What would be answered, and how often wrongly, by needed probability (El-Yaniv and Wiener 2010)."""

    needed: NDArray[np.float64]  # (m,) probabilities, descending
    answered: NDArray[np.float64]  # (m,) share
    error: NDArray[np.float64]  # (m,) share of the answers that are wrong
    n_trials: NDArray[np.int64]  # (m,) trials with an answer

    def at(self, needed: float) -> tuple[float, float, int]:
        """Return share answered, share of those wrong, and the trials behind it; (0, NaN, 0) without any."""
        below = int(np.searchsorted(-self.needed, -needed + 1e-12, side="right"))
        if below == 0:
            return 0.0, math.nan, 0
        return float(self.answered[below - 1]), float(self.error[below - 1]), int(self.n_trials[below - 1])

    def lowest(self, risk: float, min_trials: int) -> float:
        """Return the lowest probability from which on at most ``risk`` of answers are wrong, or `NEVER`."""
        good = np.flatnonzero((self.error <= risk + 1e-9) & (self.n_trials >= min_trials))
        return float(self.needed[good[-1]]) if len(good) else NEVER


def risk_coverage(
    probs: NDArray[np.floating], label: NDArray[Any], trial: NDArray[Any], subject: NDArray[Any] | None = None
) -> RiskCoverage:
    """Return risk against coverage of windows (n, L) with labels (n,), of trials and subjects (n,)."""
    of_trial, weight = numbered(trial, subject), trial_weights(trial, subject)
    top, wrong = probs.max(axis=1), probs.argmax(axis=1) != label
    order = np.argsort(-top, kind="stable")
    is_last = np.append(np.diff(top[order]) != 0, True)  # equal probabilities are answered together
    answered = np.cumsum(weight[order])
    is_new = np.zeros(len(order), dtype=np.int64)
    is_new[np.unique(of_trial[order], return_index=True)[1]] = 1
    return RiskCoverage(
        top[order][is_last].astype(np.float64),
        (answered / answered[-1])[is_last],
        (np.cumsum((weight * wrong)[order]) / answered)[is_last],
        np.cumsum(is_new)[is_last],
    )


def trial_weights(trial: NDArray[Any], subject: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Return weights (n,) of windows by which every trial counts 1."""
    of_trial = numbered(trial, subject)
    return 1 / np.bincount(of_trial)[of_trial]


def coverage(
    means: NDArray[np.floating], label: NDArray[Any], threshold: float
) -> tuple[NDArray[np.bool_], float]:
    """Return which sets of trials hold the true emotion (k,), and how many emotions a set has on average.

    Trials have mean probabilities (k, L) and labels (k,); sets are those with one threshold.
    """
    inside = (1 - means <= threshold + 1e-9) | (means == means.max(axis=1, keepdims=True))
    return inside[np.arange(len(label)), label], float(inside.sum(axis=1).mean())
