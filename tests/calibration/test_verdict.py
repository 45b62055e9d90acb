"""Known answers: thresholds of chance, p-values, and which verdict follows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calibration.verdict import (
    VerdictCode,
    binomial_threshold,
    judge,
    p_of_guessing,
    permutation_p,
    permutation_threshold,
    trial_interval,
)
from models.training.scores import balanced_accuracy

FIVE = [label for label in range(5) for _ in range(2)]
NULL = np.linspace(0.0, 0.45, 199)  # of a fit on shuffled labels


def hits(n: int) -> list[int]:
    """Predictions for FIVE of which n are right."""
    return [label if at < n else (label + 1) % 5 for at, label in enumerate(FIVE)]


@pytest.mark.parametrize(
    ("n_by_class", "n_correct"),
    [((5, 5), 9), ((2,) * 5, 5), ((10,) * 5, 16), ((3, 3, 3), 6), ((2, 2), None), ((5,), None)],
)
def test_threshold_of_classes_of_one_size_is_the_binomial_one(n_by_class, n_correct):
    found = binomial_threshold(n_by_class)
    assert found.n_correct == n_correct
    expected = None if n_correct is None else pytest.approx(n_correct / sum(n_by_class))
    assert found.balanced_accuracy == expected


def test_naming_the_largest_class_never_beats_the_threshold():
    n_by_class = (8, 1, 1)
    found = binomial_threshold(n_by_class)
    true = [0] * 8 + [1, 2]
    assert balanced_accuracy(true, [0] * 10) == pytest.approx(1 / 3)
    assert found.n_correct is None or found.n_correct > 8
    assert found.balanced_accuracy is None or found.balanced_accuracy > 1 / 3


def test_distribution_of_unequal_classes_agrees_with_drawing_from_it():
    rng = np.random.default_rng(0)
    sizes = (1, 2, 3, 4)
    drawn = np.mean([rng.binomial(n, 0.25, 200_000) / n for n in sizes], axis=0)
    for share in (0.25, 0.5, 0.6, 0.75):
        assert p_of_guessing(share, sizes) == pytest.approx((drawn >= share - 1e-9).mean(), abs=0.004)


def test_large_unequal_classes_are_counted_on_a_coarser_grid():
    sizes = (101, 103, 107)
    assert binomial_threshold(sizes).balanced_accuracy == pytest.approx(0.377, abs=0.005)


def test_more_classes_known_than_held_lower_chance():
    assert p_of_guessing(0.6, (5, 5), n_classes=5) < p_of_guessing(0.6, (5, 5))


def test_permutation_p_counts_the_observed_labelling():
    assert permutation_p(1.0, [0.2] * 99) == pytest.approx(0.01)
    assert permutation_p(0.2, [0.2] * 99) == 1.0
    assert permutation_p(0.2, []) is None
    assert permutation_threshold([0.2] * 99) == 1.0
    assert permutation_threshold([0.2] * 10) is None
    null = [0.1] * 190 + [0.4] * 9
    assert permutation_threshold(null) == 1.0 or permutation_p(permutation_threshold(null), null) < 0.05


def test_interval_is_wilson_s_of_the_trials_and_wider_for_unequal_classes():
    assert trial_interval(0.8, (5, 5)) == pytest.approx((0.49, 0.94), abs=0.005)
    low, high = trial_interval(0.8, (8, 1, 1))
    assert low < 0.45
    assert high > 0.94
    assert trial_interval(0.0, (2, 2))[0] == 0.0


@pytest.mark.parametrize(
    ("n_right", "code"),
    [
        (4, VerdictCode.NOT_DISTINGUISHABLE),
        (5, VerdictCode.WEAK),
        (7, VerdictCode.WEAK),
        (8, VerdictCode.USABLE),
        (10, VerdictCode.USABLE),
    ],
)
def test_verdict_of_ten_trials_of_five_classes(n_right, code):
    found = judge(FIVE, hits(n_right), 5, NULL)
    assert found.code == code
    assert found.is_trusted == (code != VerdictCode.NOT_DISTINGUISHABLE)
    assert ("Do not trust this model" in found.words) == (not found.is_trusted)
    assert f"{n_right} of 10 trials" in found.words


def test_a_fit_that_does_as_well_on_shuffled_labels_is_not_trusted():
    found = judge(FIVE, hits(10), 5, [1.0] * 20 + [0.2] * 179)
    assert found.code == VerdictCode.NOT_DISTINGUISHABLE
    assert "shuffled" in found.words
    assert judge(FIVE, hits(10), 5).code == VerdictCode.NOT_DISTINGUISHABLE


def test_left_out_trials_are_said_and_no_trial_at_all_is_no_error():
    assert "3 more were excluded" in judge(FIVE, hits(8), 5, NULL, n_excluded=3).words
    nothing = judge([], [], 5, n_excluded=10)
    assert nothing.code == VerdictCode.NOT_DISTINGUISHABLE
    assert "No trial could be used. 10 more were excluded." in nothing.words


def test_verdict_loads_no_torch():
    code = "import sys, calibration.verdict; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
