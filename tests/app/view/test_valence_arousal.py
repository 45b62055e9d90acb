"""Places of emotions, and the point between them."""

import pytest

from app.view.valence_arousal import place_of, point, unplaced


def test_every_label_of_the_known_data_sets_has_a_place():
    seed = ("disgust", "fear", "sad", "neutral", "happy")
    eav = ("Neutral", "Sadness", "Anger", "Happiness", "Calmness")
    emo_db = ("anger", "boredom", "disgust", "anxiety", "happiness", "sadness", "neutral")
    assert unplaced((*seed, *eav, *emo_db, "surprise", "angry", "calm")) == ()
    assert place_of("Sadness") == place_of("sad") == (-0.63, -0.27)


def test_certainty_points_at_the_emotions_place():
    found = point({"happy": 1.0, "sad": 0.0})
    assert found == (0.81, 0.51)


def test_the_point_is_the_mean_weighted_by_probability():
    found = point({"happy": 0.5, "sad": 0.25, "neutral": 0.25})
    assert found == pytest.approx((0.5 * 0.81 - 0.25 * 0.63, 0.5 * 0.51 - 0.25 * 0.27))


def test_emotions_without_a_place_are_left_out():
    assert unplaced(("happy", "contempt")) == ("contempt",)
    found = point({"happy": 0.6, "contempt": 0.4})
    assert found == pytest.approx((0.81, 0.51))


def test_there_is_no_point_when_most_of_the_probability_has_no_place():
    assert point({"happy": 0.4, "contempt": 0.6}) is None
    assert point({"happy": float("nan"), "sad": 0.5}) is None
