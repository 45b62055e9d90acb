"""Predictions become columns: values hold, gaps stay gaps, answers follow the rule of abstention."""

import numpy as np

from app.view.course import NOTHING, UNCERTAIN, WARMING_UP, course, line_pixels, mean_over_s
from models.prediction import Prediction

LABELS = ("sad", "happy")


def at(t_end, sad, warm_up=False):
    probs = {"sad": sad, "happy": 1 - sad}
    return Prediction(0, t_end, "sad", probs, {}, {}, (), {}, {}, 0.0, warm_up, "training")


def test_a_prediction_holds_until_the_next_but_no_longer_than_a_second():
    made = course([at(0.0, 0.9), at(4.0, 0.2)], LABELS, 0.0, 6.0, 6)
    np.testing.assert_array_equal(made.probs[:, 0], np.float32([0.9, 0.9, np.nan, 0.2, 0.2, 0.2]))
    assert made.answers.tolist() == [0, 0, NOTHING, 1, 1, 1]


def test_gaps_are_columns_without_values():
    made = course([at(0.0, 0.9), at(7.0, 0.9)], LABELS, 0.0, 10.0, 10)
    assert np.isnan(made.probs[2:6]).all()
    assert (made.answers[2:6] == NOTHING).all()


def test_a_column_spans_all_values_that_fall_into_it():
    made = course([at(0.0, 0.5), at(0.25, 0.1), at(0.5, 0.8), at(0.75, 0.6)], LABELS, 0.0, 1.0, 1)
    assert (made.low[0, 0], made.high[0, 0], made.probs[0, 0]) == tuple(np.float32([0.1, 0.8, 0.6]))


def test_answers_follow_the_rule_of_abstention():
    made = course(
        [at(0.0, 0.74), at(1.0, 0.76), at(2.0, 0.24), at(3.0, 0.99, warm_up=True)], LABELS, 0.5, 4.5, 4
    )
    assert made.answers.tolist() == [0, 1, WARMING_UP, WARMING_UP]
    assert course([at(0.0, 0.74)], LABELS, 0.0, 1.0, 1).answers.tolist() == [UNCERTAIN]


def test_a_prediction_of_other_labels_counts_as_uncertain_and_has_no_line():
    made = course([at(0.0, 0.9)], ("sad", "angry"), 0.0, 1.0, 1)
    assert np.isnan(made.probs[0, 1])
    assert made.answers.tolist() == [UNCERTAIN]


def test_no_predictions_make_an_empty_course():
    assert (course([], LABELS, 0.0, 1.0, 3).answers == NOTHING).all()
    assert (course([at(0.0, 0.9)], LABELS, float("nan"), float("nan"), 3).answers == NOTHING).all()


def test_a_line_lies_at_its_probability_and_not_in_gaps():
    level = np.float32([1.0, 0.5, np.nan, 0.0])
    rows, columns = line_pixels(level, level, height=101, width=1)
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (50, 1), (100, 3)]


def test_a_steep_line_has_no_holes():
    rows, columns = line_pixels(np.float32([0.2]), np.float32([0.8]), height=101, width=1)
    assert rows.tolist() == list(range(20, 81))
    assert set(columns.tolist()) == {0}


def test_means_are_of_the_last_seconds_and_leave_the_values_alone():
    given = [at(k / 4, float(k % 2)) for k in range(40)]
    made = course(given, LABELS, 5.0, 9.0, 16, mean_s=2.0)
    np.testing.assert_allclose(made.mean, 0.5)
    assert set(made.probs[:, 0]) == {0.0, 1.0}


def test_short_courses_need_no_means():
    assert [mean_over_s(span) for span in (30.0, 60.0, 120.0, 300.0, 600.0)] == [0, 0, 2, 5, 10]
