"""Moments and durations as on a clock."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from app.engine.messages import Timeline
from app.view.store import ViewStore
from app.view.text import clock_text, moment_text


@pytest.mark.parametrize(
    ("seconds", "digits", "text"),
    [(0, 0, "0:00"), (65.94, 1, "1:05.9"), (3661, 0, "1:01:01"), (math.nan, 1, "-"), (-2, 0, "0:00")],
)
def test_seconds_as_on_a_clock(seconds, digits, text):
    assert clock_text(seconds, digits) == text


def test_moments_of_a_replay_count_from_its_beginning():
    store = ViewStore()
    store.timeline = Timeline(Path("a.xdf"), 1000.0, 9000.0, (), ())
    assert moment_text(store)(1000.0 + 3723.9) == "1:02:03"
    assert moment_text(store)(math.nan) == "-"


def test_moments_of_a_live_session_are_the_time_of_day():
    assert re.fullmatch(r"\d\d:\d\d:\d\d", moment_text(ViewStore())(1000.0))
    assert moment_text(ViewStore())(math.nan) == "-"
