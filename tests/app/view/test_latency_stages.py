"""The waterfall: stages follow one another, and the display's time is what is left until painting."""

import math

import pytest

from app.view.health import DisplayLatency, axis_end_ms, stages, verdict
from models.prediction import Latency, Prediction

LIVE = Latency(3.0, 10.0, 2.0, 20.0, 30.0, 65.0, age=70.0)


def prediction(index=7, latency=LIVE, t_end=100.0):
    return Prediction(index, t_end, "happy", {}, {}, {}, (), {}, {}, 0.0, False, "training", latency)


def test_display_runs_from_the_engine_s_output_to_the_painting():
    display = DisplayLatency()
    display.shown(prediction(), now=100.1)
    assert display.of(prediction()) == pytest.approx(30.0)  # 100 ms after t_end, 70 of them the engine's
    assert display.percentiles_ms(50)[1] == pytest.approx(95.0)


def test_only_the_first_painting_counts():
    display = DisplayLatency()
    for now in (100.1, 105.0):
        display.shown(prediction(), now)
    display.shown(prediction(index=3), 200.0)  # an older one, looked at again
    assert display.percentiles_ms(99)[0] == pytest.approx(30.0)
    display.forget()
    assert math.isnan(display.percentiles_ms(99)[0])


def test_live_stages_begin_where_the_one_before_ended():
    display = DisplayLatency()
    display.shown(prediction(), now=100.1)
    found = stages(prediction(), {"wait": 9.0, "total": 60.0}, {"total": 150.0}, display, live=True)
    assert [(s.name, s.start_ms, round(s.took_ms, 6)) for s in found] == [
        ("arrival", 0.0, 3.0),
        ("wait", 3.0, 10.0),
        ("hand-over", 13.0, 2.0),
        ("features", 15.0, 20.0),
        ("network", 35.0, 30.0),
        ("decided", 0.0, 65.0),
        ("display", 65.0, 30.0),
        ("on screen", 0.0, 95.0),
    ]
    assert found[1].figures == ("10.0", "9.0", "-")
    severity, words = verdict(found)
    assert severity == "good"
    assert "150 ms" in words


def test_a_missed_target_is_said_and_the_axis_grows():
    slow = prediction(latency=Latency(3.0, 10.0, 0.0, 20.0, 400.0, 433.0, 440.0))
    found = stages(slow, {}, {"total": 433.0}, DisplayLatency(), live=True)
    assert verdict(found)[0] == "bad"
    assert axis_end_ms(found) == 500.0


def test_a_replay_has_what_is_computed_only():
    replayed = prediction(latency=Latency(hand_over=1.0, features=20.0, network=30.0, total=51.0))
    display = DisplayLatency()
    display.shown(replayed, 1e6)
    found = stages(replayed, {}, {}, display, live=False)
    assert [s.name for s in found] == ["hand-over", "features", "network", "total"]
    assert verdict(found)[0] == "muted"
    assert axis_end_ms(found) == 250.0


def test_unknown_stages_take_no_room():
    found = stages(prediction(latency=Latency(features=5.0)), {}, {}, DisplayLatency(), live=True)
    assert [s.start_ms for s in found][:5] == [0.0, 0.0, 0.0, 0.0, 5.0]
    assert math.isnan(found[0].took_ms)
    assert axis_end_ms(found) == 250.0
    assert verdict(found)[0] == "muted"
