"""Prediction sets, the rule of abstention and the calibration curve, on cases whose answer is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from models.conformal import (
    NEVER,
    attainable,
    coverage,
    prediction_set,
    quantile,
    risk_coverage,
    too_rarely_covered,
    trial_weights,
)
from models.training.scores import calibration_curve
from tests.studies.demo_model.answers import fit_answers, trial_means

N_LABELS, N_TRIALS, N_WINDOWS = 5, 10, 4


def sessions(n, seed, shown=None):
    """Probabilities of windows, label, trial and subject; how much a person shows differs, and is known.

    A trial's evidence is Gaussian around its emotion's corner, with windows that share most of it.
    """
    rng = np.random.default_rng(seed)
    strength = rng.gamma(3.0, 0.6, n) if shown is None else np.full(n, shown)
    label = rng.integers(N_LABELS, size=(n, N_TRIALS))
    evidence = strength[:, None, None, None] * np.eye(N_LABELS)[label][:, :, None]
    noise = rng.normal(size=(n, N_TRIALS, 1, N_LABELS))
    noise = noise + 0.5 * rng.normal(size=(n, N_TRIALS, N_WINDOWS, N_LABELS))
    logits = strength[:, None, None, None] * (evidence + noise) / 1.25
    probs = np.exp(logits - logits.max(-1, keepdims=True))
    probs /= probs.sum(-1, keepdims=True)
    shape = (n, N_TRIALS, N_WINDOWS)
    subject = np.broadcast_to(np.arange(n)[:, None, None], shape).ravel()
    trial = np.broadcast_to(np.arange(N_TRIALS)[None, :, None], shape).ravel()
    return probs.reshape(-1, N_LABELS), np.broadcast_to(label[..., None], shape).ravel(), trial, subject


def test_a_quantile_counts_the_new_score_too():
    scores = np.arange(1, 11) / 20
    assert quantile(scores, 0.9) == 0.5  # the tenth of ten: 10 / 11
    assert quantile(scores, 0.8) == 0.45
    assert quantile(scores, 0.95) == 1.0  # out of reach of ten
    assert quantile([], 0.9) == 1.0


def test_ten_trials_reach_elevenths_only():
    assert attainable(10, 9 / 11) == pytest.approx(9 / 11)
    assert attainable(10, 0.9) == pytest.approx(10 / 11)
    assert attainable(10, 0.95) is None


def test_a_set_is_in_order_and_never_empty():
    probs = {"sad": 0.2, "happy": 0.5, "fear": 0.3}
    assert prediction_set(probs, 0.7) == ("happy", "fear")
    assert prediction_set(probs, 0.1) == ("happy",)
    assert prediction_set(probs, 1.0) == ("happy", "fear", "sad")
    assert prediction_set(probs, 0.1, least=0.8) == ("happy", "fear")


@pytest.mark.parametrize(("misses", "differs"), [(0, False), (3, False), (4, True)])
def test_own_trials_differ_only_when_chance_does_not_explain_it(misses, differs):
    scores = [0.9] * misses + [0.1] * (10 - misses)
    assert too_rarely_covered(scores, 0.5, 0.9) is differs


def test_trials_of_different_subjects_are_not_one():
    probs = np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9]])
    means, label, subject = trial_means(
        probs, np.array([0, 0, 1]), np.array([1, 1, 1]), np.array(["a", "a", "b"])
    )
    assert means.tolist() == [[pytest.approx(0.6), pytest.approx(0.4)], [0.1, 0.9]]
    assert (label.tolist(), subject.tolist()) == ([0, 1], ["a", "b"])


def test_risk_falls_with_coverage_as_counted_by_hand():
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.7, 0.3], [0.6, 0.4]])
    curve = risk_coverage(probs, np.array([0, 0, 1, 0, 1]), np.arange(5))
    assert curve.needed.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.answered.tolist() == pytest.approx([0.2, 0.4, 0.8, 1.0])
    assert curve.error.tolist() == pytest.approx([0, 0, 0.25, 0.4])
    assert curve.n_trials.tolist() == [1, 2, 4, 5]
    assert curve.at(0.75) == (pytest.approx(0.4), 0.0, 2)
    assert curve.at(0.95)[0] == 0.0
    assert math.isnan(curve.at(0.95)[1])
    assert (curve.lowest(0.25, 1), curve.lowest(0.2, 1), curve.lowest(0.2, 3)) == (0.7, 0.8, NEVER)


def test_a_long_trial_weighs_no_more_than_a_short_one():
    probs = np.array([[0.9, 0.1]] * 10)
    label, trial = np.array([1] * 9 + [0]), np.array([0] * 9 + [1])
    assert risk_coverage(probs, label, trial).error.tolist() == [pytest.approx(0.5)]
    assert calibration_curve(probs, label, trial_weights(trial)).error == pytest.approx(0.4)


def test_the_calibration_error_of_known_probabilities():
    right = np.array([0] * 80 + [1] * 20)
    even = calibration_curve(np.tile([0.8, 0.2], (100, 1)), right)
    assert even.error == pytest.approx(0.0)
    low, high = even.interval[0]
    assert (round(low, 3), round(high, 3)) == (0.711, 0.867)  # Wilson, 80 of 100 trials
    assert calibration_curve(np.tile([0.99, 0.01], (100, 1)), right).error == pytest.approx(0.19)
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 1, 20_000)
    probs = np.column_stack([spread, 1 - spread])
    curve = calibration_curve(probs, (rng.uniform(size=20_000) > spread).astype(int))
    assert len(curve.weight) == 10
    assert curve.weight == pytest.approx(np.full(10, 0.1), abs=1e-3)
    assert curve.error < 0.01


@pytest.fixture(scope="module")
def fitted():
    return fit_answers(*sessions(200, seed=1))


@pytest.mark.parametrize("level", [0.9, 0.8])
def test_sets_cover_unseen_person_sessions_at_their_level(fitted, level):
    means, label, subject = trial_means(*sessions(600, seed=2))
    covered, _ = coverage(means, label, {0.9: fitted.set_90, 0.8: fitted.set_80}[level])
    assert covered.shape == (6000,)
    assert covered.mean() == pytest.approx(level, abs=0.03)
    by_person = [covered[subject == one].mean() for one in np.unique(subject)]
    assert np.quantile(by_person, 0.1) < level  # on average over people, not for each


def test_sets_of_people_who_show_nothing_are_nearly_full(fitted):
    means, label, _ = trial_means(*sessions(100, seed=3, shown=0.05))
    assert coverage(means, label, fitted.set_90)[1] > 0.9 * N_LABELS


def test_scores_of_the_fitting_data_itself_would_not_pass():
    """A classifier that has seen the trials is surer of them than of new ones: its sets are too small."""
    rng = np.random.default_rng(4)
    n, n_features = 300, 60
    label = np.tile(np.arange(3), n // 3)
    centres = 0.25 * rng.normal(size=(3, n_features))

    def least_squares_probs(x, weights):
        logits = 8 * np.column_stack([x, np.ones(len(x))]) @ weights
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    seen, new = (centres[label] + rng.normal(size=(n, n_features)) for _ in range(2))
    weights = np.linalg.lstsq(np.column_stack([seen, np.ones(n)]), np.eye(3)[label], rcond=None)[0]
    whose = np.arange(n)
    in_sample = fit_answers(least_squares_probs(seen, weights), label, whose, whose)
    held_out = fit_answers(least_squares_probs(new[::2], weights), label[::2], whose[::2], whose[::2])
    tested = least_squares_probs(new[1::2], weights)
    assert coverage(tested, label[1::2], in_sample.set_90)[0].mean() < 0.87
    covered, _ = coverage(tested, label[1::2], held_out.set_90)
    assert covered.mean() == pytest.approx(0.9, abs=0.05)


def test_the_rule_of_abstention_keeps_its_risk_on_unseen_people(fitted):
    assert fitted.error <= fitted.risk == 0.2
    answered, error, n_trials = risk_coverage(*sessions(600, seed=5)).at(fitted.abstain_below)
    assert error == pytest.approx(0.2, abs=0.03)
    assert answered == pytest.approx(fitted.answered, abs=0.05)
    assert n_trials > 1000


def test_no_rule_rests_on_few_trials():
    assert fit_answers(*sessions(2, seed=6)).abstain_below == NEVER  # 20 trials, 30 needed


def test_a_block_that_cannot_be_is_refused_with_its_setting(fitted):
    with pytest.raises(InputError) as refused:
        replace(fitted, set_90=1.2)
    assert (refused.value.code, refused.value.facts["setting"]) == (ErrorCode.MODEL, "answers.set_90")
