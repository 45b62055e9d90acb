"""Predictions become lines: values hold, gaps stay gaps, answers follow the rule of abstention."""

from dataclasses import replace

import numpy as np

from app.view.explanation import UNCERTAIN, WARMING_UP, course, mean_over_s
from models.prediction import Prediction
from models.trust import ModelFacts, SignalFacts, judge

LABELS = ("sad", "happy")


def at(t_end, sad, warm_up=False):
    probs = {"sad": sad, "happy": 1 - sad}
    made = Prediction(0, t_end, "sad", probs, {}, {}, (), {}, {}, 0.0, warm_up, "training")
    return replace(made, verdict=judge(made, ModelFacts(), SignalFacts()))


def test_a_prediction_holds_until_the_next_but_no_longer_than_a_second():
    made = course([at(0.0, 0.9), at(4.0, 0.2), at(4.5, 0.3)], LABELS, 5.0)
    np.testing.assert_array_equal(made.times, [0.0, 1.0, 4.0, 4.5, 5.0])
    np.testing.assert_array_equal(made.probs[:, 0], np.float32([0.9, np.nan, 0.2, 0.3, np.nan]))
    assert made.answers == ((0.0, 1.0, 0), (4.0, 4.5, 1), (4.5, 5.0, UNCERTAIN))


def test_what_holds_at_the_end_is_the_newest():
    made = course([at(0.0, 0.9), at(0.5, 0.8)], LABELS, 1.2)
    np.testing.assert_allclose(made.newest, [0.8, 0.2], atol=1e-6)
    assert np.isnan(course([at(0.0, 0.9)], LABELS, 1.2).newest).all()


def test_predictions_after_the_end_are_left_out():
    made = course([at(0.0, 0.9), at(1.0, 0.2)], LABELS, 0.5)
    np.testing.assert_array_equal(made.times, [0.0, 0.5])


def test_answers_follow_the_rule_of_abstention():
    made = course([at(0.0, 0.74), at(1.0, 0.76), at(2.0, 0.24), at(3.0, 0.99, warm_up=True)], LABELS, 4.0)
    assert [answer for _, _, answer in made.answers] == [UNCERTAIN, 0, 1, WARMING_UP]


def test_neighbours_of_one_answer_are_one_stretch():
    made = course([at(0.0, 0.9), at(0.5, 0.8), at(1.0, 0.1)], LABELS, 1.5)
    assert made.answers == ((0.0, 1.0, 0), (1.0, 1.5, 1))


def test_a_prediction_of_other_labels_counts_as_uncertain_and_has_no_line():
    made = course([at(0.0, 0.9)], ("sad", "angry"), 1.0)
    assert np.isnan(made.probs[0, 1])
    assert [answer for _, _, answer in made.answers] == [UNCERTAIN]


def test_no_predictions_make_an_empty_course():
    for made in (course([], LABELS, 1.0), course([at(0.0, 0.9)], LABELS, float("nan"))):
        assert made.answers == ()
        assert len(made.times) == 0
        assert np.isnan(made.newest).all()


def test_a_long_course_has_means_that_no_gap_takes_part_in():
    made = course([at(0.0, 0.2), at(0.5, 0.4), at(5.0, 0.9)], LABELS, 6.0, mean_s=2.0)
    np.testing.assert_allclose(made.lines[:, 0], [0.2, 0.3, np.nan, 0.9, np.nan], rtol=1e-6)
    assert made.mean_s == mean_over_s(120.0) == 2.0
    assert mean_over_s(60.0) == 0.0


def test_means_are_of_the_last_seconds_and_leave_the_values_alone():
    given = [at(k / 4, float(k % 2)) for k in range(40)]
    made = course(given, LABELS, 9.75, mean_s=2.0)
    np.testing.assert_allclose(made.means[8:-1], 0.5)
    assert set(made.probs[:-1, 0]) == {0.0, 1.0}


def test_short_courses_need_no_means():
    assert [mean_over_s(span) for span in (30.0, 60.0, 120.0, 300.0, 600.0)] == [0, 0, 2, 5, 10]
