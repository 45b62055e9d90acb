"""Whether a personal model may be trusted: its accuracy against chance, and one of three verdicts.

Every trial counts once and is predicted by a model fitted without it. Balanced accuracy is the mean recall of
the classes that the trials hold, so a model that always predicts the most frequent class gains nothing.
Chance is tested twice: how often a uniform guesser does as well (the binomial threshold), and how often fits
on shuffled labels do (the permutation test). No torch here: the window's process imports it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from acquisition.text import percent
from models.training.scores import balanced_accuracy, wilson_interval


class VerdictCode(StrEnum):
    """The three verdicts, as profiles and reports store them."""

    NOT_DISTINGUISHABLE = "not distinguishable from chance"
    WEAK = "weak"
    USABLE = "usable for demonstration"


#: Said wherever a profile of the first verdict is used.
DO_NOT_TRUST = "do not trust this model"
ALPHA = 0.05

_FINEST = 20_000  # steps that a share is counted in where the classes' sizes have no small common multiple


@dataclass(frozen=True)
class ChanceThreshold:
    """Threshold above which guessing is unlikely (p < .05); None if too few trials to reach it."""

    n_correct: int | None  # of all trials
    balanced_accuracy: float | None


@dataclass(frozen=True)
class Verdict:
    """What leave-one-trial-out found, and what to make of it."""

    code: VerdictCode
    n_trials: int
    n_correct: int
    n_excluded: int
    balanced_accuracy: float
    interval: tuple[float, float]  # Wilson, 95 %
    chance: float  # 1 / number of classes
    threshold: ChanceThreshold  # binomial
    p_binomial: float
    p_permutation: float | None  # None: not computed
    permutation_threshold: float | None  # balanced accuracy; None: not computed, or out of reach

    @property
    def is_trusted(self) -> bool:
        """False where the program must say "do not trust this model"."""
        return self.code != VerdictCode.NOT_DISTINGUISHABLE

    @property
    def words(self) -> str:
        """The verdict in a few sentences, with its figures and the advice that follows."""
        return self.findings if self.is_trusted else f"{self.findings} {DO_NOT_TRUST.capitalize()}."

    @property
    def findings(self) -> str:
        n = self.n_excluded
        excluded = f" {n} more {'was' if n == 1 else 'were'} excluded." if n else ""
        if self.n_trials == 0:
            return f"No trial could be used.{excluded}"
        low, high = self.interval
        return (
            f"Held-out accuracy (leave-one-trial-out): {self.n_correct} of {self.n_trials} trials; balanced "
            f"accuracy {percent(self.balanced_accuracy)}, 95 % CI {percent(low)} to {percent(high)}, chance "
            f"{percent(self.chance)}.{excluded} {self._meaning()}"
        )

    def _meaning(self) -> str:
        least = self.threshold.balanced_accuracy
        if self.code == VerdictCode.USABLE:
            return (
                "That is well above chance for this subject on this day: enough for a demonstration, not for "
                "any decision about a person."
            )
        if self.code == VerdictCode.WEAK:
            return "That is above chance, but often wrong: treat a single prediction as a hint at most."
        if least is None:
            return f"With {self.n_trials} trials even a perfect result could be due to chance."
        if self.balanced_accuracy < least - 1e-9:
            return f"Guessing could explain it: {percent(least)} or more would be above chance (p < .05)."
        if self.p_permutation is None:
            return "It was not tested against shuffled labels."
        return (
            "Guessing could explain it: fits on shuffled labels do as well too often "
            f"(p = {self.p_permutation:.2f})."
        )


def binomial_threshold(n_by_class: Sequence[int], n_classes: int | None = None) -> ChanceThreshold:
    """Return the least result that a guesser reaches in fewer than 1 of 20 sessions.

    A class without a trial does not count. ``n_classes`` are those the model chooses among, where it knows
    more than the trials hold.

    ``n_correct`` follows the binomial distribution at chance ``1 / n_classes``, or at the share of the
    largest class where that is more; ``balanced_accuracy`` the exact distribution of the balanced accuracy
    of a uniform guesser. With classes of one size it is ``n_correct / n``.
    """
    held = [n for n in n_by_class if n > 0]
    if not held:
        return ChanceThreshold(None, None)
    total, chance = sum(held), 1 / (n_classes or len(held))
    rate = chance if len(set(held)) == 1 else max(chance, max(held) / total)
    tail = np.cumsum(_binomial(total, rate)[::-1])[::-1]  # P(X >= n), n = 0..total
    reached = np.flatnonzero(tail < ALPHA)
    shares, above = _tail_of_guessing(held, chance)
    beyond = np.flatnonzero(above < ALPHA)
    return ChanceThreshold(
        int(reached[0]) if len(reached) else None, float(shares[beyond[0]]) if len(beyond) else None
    )


def p_of_guessing(share: float, n_by_class: Sequence[int], n_classes: int | None = None) -> float:
    """Return how likely a uniform guesser reaches at least this balanced accuracy."""
    held = [n for n in n_by_class if n > 0]
    if not held or math.isnan(share):
        return 1.0
    shares, above = _tail_of_guessing(held, 1 / (n_classes or len(held)))
    reached = np.flatnonzero(shares >= share - 1e-9)
    return float(above[reached[0]]) if len(reached) else 0.0


def permutation_p(observed: float, shuffled: Sequence[float] | NDArray[np.floating]) -> float | None:
    """Return the share of shuffled labellings that do as well, counting the observed one.

    Phipson and Smyth (2010), "Permutation p-values should never be zero". None without any shuffle.
    """
    null = np.asarray(shuffled, dtype=np.float64)
    return float((1 + (null >= observed - 1e-9).sum()) / (1 + len(null))) if len(null) else None


def permutation_threshold(shuffled: Sequence[float] | NDArray[np.floating]) -> float | None:
    """Return the least balanced accuracy found whose `permutation_p` is below .05; None where none is.

    It is searched among the shuffled results and 1, so it may lie a step above the least possible one.
    """
    null = np.asarray(shuffled, dtype=np.float64)
    for share in [*np.unique(null), 1.0]:
        p = permutation_p(float(share), null)
        if p is not None and p < ALPHA:
            return float(share)
    return None


def trial_interval(share: float, n_by_class: Sequence[int]) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a balanced accuracy.

    Classes of unequal size count as the number of equally spread trials that gives the mean recall the same
    variance, rounded down: ``k² / Σ 1/n``, all trials if the sizes are equal. (0, 1) without a trial.
    """
    held = [n for n in n_by_class if n > 0]
    if not held or math.isnan(share):
        return 0.0, 1.0
    n = max(1, math.floor(len(held) ** 2 / sum(1 / n for n in held) + 1e-9))
    low, high = wilson_interval(share, n)
    return max(0.0, low), min(1.0, high)


def judge(
    true: Sequence[int],
    predicted: Sequence[int],
    n_classes: int,
    shuffled: Sequence[float] | NDArray[np.floating] = (),
    n_excluded: int = 0,
) -> Verdict:
    """Judge held-out predictions, one a trial.

    ``true`` and ``predicted`` are indices of the ``n_classes`` that the model chooses among; ``shuffled`` are
    balanced accuracies of the same fit on shuffled labels, without which nothing is trusted. ``n_excluded``
    trials were staged and not used.
    """
    counts = np.bincount(np.asarray(true, dtype=int), minlength=n_classes).tolist()
    share = balanced_accuracy(true, predicted)
    interval = trial_interval(share, counts)
    chance = 1 / n_classes
    threshold = binomial_threshold(counts, n_classes)
    p_permutation = permutation_p(share, shuffled)
    beats_guessing = threshold.balanced_accuracy is not None and share >= threshold.balanced_accuracy - 1e-9
    if not beats_guessing or p_permutation is None or p_permutation >= ALPHA:
        code = VerdictCode.NOT_DISTINGUISHABLE
    else:
        code = VerdictCode.USABLE if interval[0] >= chance + (1 - chance) / 4 else VerdictCode.WEAK
    return Verdict(
        code=code,
        n_trials=len(true),
        n_correct=int((np.asarray(true) == np.asarray(predicted)).sum()),
        n_excluded=n_excluded,
        balanced_accuracy=share,
        interval=interval,
        chance=chance,
        threshold=threshold,
        p_binomial=p_of_guessing(share, counts, n_classes),
        p_permutation=p_permutation,
        permutation_threshold=permutation_threshold(shuffled),
    )


def _binomial(n: int, p: float) -> NDArray[np.float64]:
    return np.array([math.comb(n, hits) * p**hits * (1 - p) ** (n - hits) for hits in range(n + 1)])


def _tail_of_guessing(
    n_by_class: Sequence[int], chance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return balanced accuracies in ascending order and how likely a uniform guesser reaches each.

    The distributions of the classes' recalls are convolved on a grid that holds each of them; where that
    would be too fine, recalls are rounded to the nearest of `_FINEST` steps.
    """
    n_steps = min(math.lcm(*n_by_class), _FINEST)
    density = np.ones(1)
    for n in n_by_class:
        recall = np.zeros(n_steps + 1)
        np.add.at(recall, [round(hits * n_steps / n) for hits in range(n + 1)], _binomial(n, chance))
        spread = np.zeros(len(density) + n_steps)
        for at in np.flatnonzero(recall):
            spread[at : at + len(density)] += recall[at] * density
        density = spread
    held = np.flatnonzero(density)
    return held / (n_steps * len(n_by_class)), np.cumsum(density[held][::-1])[::-1]
