"""Scores against known answers."""

import numpy as np
import pytest

from models.training.scores import (
    LEAST_PROBABILITY,
    Predictions,
    calibration_curve,
    per_trial,
    score,
    summarise,
    wilson_interval,
)


def one_hot(labels, n_labels=3):
    return np.eye(n_labels)[labels]


def test_scores_of_a_small_confusion():
    label = np.array([0, 0, 0, 1])
    scores = score(one_hot([0, 0, 1, 1]), label)
    assert scores.accuracy == 0.75
    assert scores.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert scores.macro_f1 == pytest.approx((2 * 2 / (3 + 2) + 2 * 1 / (1 + 2)) / 2)
    assert scores.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_certain_mistake_costs_a_finite_nll():
    assert score(one_hot([1]), np.array([0])).nll == pytest.approx(-np.log(LEAST_PROBABILITY))
    assert score(np.full((5, 4), 0.25), np.zeros(5, dtype=int)).nll == pytest.approx(np.log(4))


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    probs = np.array([[0.85, 0.15]] * 10)
    label = np.array([0] * 6 + [1] * 4)
    assert calibration_curve(probs, label).error == pytest.approx(0.25)
    assert calibration_curve(one_hot([0, 1], 2), np.array([0, 1])).error == 0


def test_trial_is_the_mean_of_log_probabilities_not_a_vote():
    probs = np.array([[0.51, 0.49], [0.51, 0.49], [0.01, 0.99], [0.9, 0.1]])
    windows = Predictions(
        probs,
        np.array([1, 1, 1, 0]),
        np.array(["1"] * 4),
        np.ones(4, dtype=int),
        np.array([7, 7, 7, 8]),
    )
    trials = per_trial(windows)
    assert trials.trial.tolist() == [7, 8]
    assert trials.probs.argmax(1).tolist() == [1, 0]
    odds = np.exp(np.log(probs[:3]).mean(0))
    assert trials.probs[0] == pytest.approx(odds / odds.sum())


def test_trials_of_two_people_with_one_number_stay_apart():
    windows = Predictions(
        np.full((3, 2), 0.5),
        np.array([0, 1, 1]),
        np.array(["1", "10", "10"]),
        np.ones(3, dtype=int),
        np.ones(3, dtype=int),
    )
    assert len(per_trial(windows).label) == 2


def test_person_is_the_mean_of_their_sessions_and_sessions_are_pooled_beside():
    found = summarise({("1", 1): 0.2, ("1", 2): 0.4, ("2", 1): 0.9})
    assert (found.n_subjects, found.n_sessions) == (2, 3)
    assert found.mean == pytest.approx(0.6)
    assert found.sd == pytest.approx(np.std([0.3, 0.9], ddof=1))
    assert found.pooled_mean == pytest.approx(0.5)
    assert summarise({("1", 1): 0.2}).sd is None


def test_interval_of_all_right_does_not_reach_nought():
    low, high = wilson_interval(1.0, 8)
    assert low == pytest.approx(0.676, abs=1e-3)
    assert high == pytest.approx(1.0)
