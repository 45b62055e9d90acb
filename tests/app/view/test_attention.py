"""Attention of predictions as arrays, with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from app.view.explanation import (
    DEVIATION_STEPS,
    SHARE_STEPS,
    channel_deviation,
    end_of_scale,
    missing_spans,
    modality_course,
    time_bins,
)
from models.prediction import Prediction


def prediction(t, face=True, channels=None, steps=(0.2, 0.3, 0.5)):
    present = {"eeg": True, "eye": True, "face": face, "voice": True}
    weights = {"eeg": 0.4, "eye": 0.3, "face": 0.2 if face else 0.0, "voice": 0.1}
    return Prediction(
        index=int(t * 4),
        t_end=t,
        label="happy",
        probs={"happy": 1.0},
        modality_attention=weights,
        channel_attention=channels or {},
        time_attention=steps,
        present=present,
        coverage={},
        waited_s=0.0,
        warm_up=False,
        normalisation="training",
    )


def test_an_absent_modality_has_no_line():
    times, shares = modality_course([prediction(1.0), prediction(1.25, face=False)])
    assert times.tolist() == [1.0, 1.25]
    np.testing.assert_array_equal(shares, [[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, np.nan, 0.1]])


def test_no_line_bridges_a_gap():
    times, shares = modality_course([prediction(1.0), prediction(5.0)])
    assert times.tolist() == [1.0, 3.0, 5.0]
    assert np.isnan(shares[1]).all()


def test_no_predictions_are_an_empty_course():
    times, shares = modality_course([])
    assert times.shape == (0,)
    assert shares.shape == (0, 4)


def test_absence_lasts_from_the_prediction_before_to_the_last_without():
    course = [prediction(t, face=t not in (1.5, 1.75)) for t in (1.0, 1.25, 1.5, 1.75, 2.0)]
    assert missing_spans(course, "face") == [(1.25, 1.75)]
    assert missing_spans(course, "eeg") == []


def test_channels_are_compared_with_an_equal_share():
    names, deviation, share = channel_deviation(prediction(1, channels={"C3": 0.5, "C4": 0.25, "CZ": 0.25}))
    assert names == ("C3", "C4", "CZ")
    assert share == pytest.approx(1 / 3)
    np.testing.assert_allclose(deviation, [50, -25, -25])


def test_a_channel_left_out_of_the_window_has_no_value():
    _, deviation, share = channel_deviation(prediction(1, channels={"C3": 0.75, "C4": 0.25, "CZ": 0.0}))
    assert share == 0.5
    np.testing.assert_allclose(deviation, [50, -50, np.nan])


def test_without_eeg_there_is_no_equal_share():
    names, deviation, share = channel_deviation(prediction(1))
    assert names == ()
    assert deviation.shape == (0,)
    assert np.isnan(share)


def test_time_steps_are_seconds_before_the_prediction():
    assert time_bins(prediction(9), 1.0) == [(-3, -2, 0.2), (-2, -1, 0.3), (-1, 0, 0.5)]


@pytest.mark.parametrize(("largest", "step"), [(3, 10), (10, 10), (11, 20), (6100, 10000), (1e9, 10000)])
def test_a_scale_of_deviations_has_few_steps(largest, step):
    assert end_of_scale(largest, DEVIATION_STEPS) == step


@pytest.mark.parametrize(("largest", "end"), [(0.1, 0.2), (0.2, 0.2), (0.4, 0.5), (0.9, 1.0)])
def test_an_axis_of_shares_has_few_ends(largest, end):
    assert end_of_scale(largest, SHARE_STEPS) == end
