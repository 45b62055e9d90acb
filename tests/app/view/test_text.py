"""Foreign text and times of day on one line."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from acquisition.errors import InputError
from app.engine.messages import Phase, Timeline
from app.view.conditions import conditions
from app.view.store import ViewStore
from app.view.text import clock_text, message_line, moment_text, one_line


def test_names_lose_what_would_break_or_turn_a_row() -> None:
    assert one_line("<b>Cap</b>\n\u202etwo\u2028") == "<b>Cap</b> two"
    assert one_line("x" * 500, 20) == "x" * 19 + "…"


def test_a_long_message_keeps_its_beginning_and_its_remedy() -> None:
    kept = message_line("what is wrong " + "x " * 5000 + "(do this)", 60)
    assert len(kept) <= 60
    assert kept.startswith("what is wrong")
    assert kept.endswith("(do this)")
    assert message_line("short\nand good") == "short and good"


def test_the_remedy_of_a_failed_engine_is_on_the_screen() -> None:
    store = ViewStore()
    error = InputError("the stream has " + "#1 " * 400, where="EEG stream", remedy="pass --montage")
    store.take(Phase("failed", str(error)))
    (condition,) = conditions(store)
    assert "EEG stream" in condition.text
    assert condition.text.endswith("(pass --montage)")


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
