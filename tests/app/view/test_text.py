"""Numbers as a person reads them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from acquisition.errors import InputError
from app.engine.messages import Phase, Timeline
from app.view.conditions import conditions
from app.view.store import ViewStore
from app.view.text import (
    age,
    clock_text,
    counted,
    data_size,
    duration,
    message_line,
    moment_text,
    number,
    one_line,
    signed_time,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
        (-1, "0 s"),
        (math.inf, "-"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (812_000, "812 kB"),
        (4_200_000, "4.2 MB"),
        (999_600_000, "1,000 MB"),
        (1.35e9, "1.35 GB"),
        (1.35e12, "1.35 TB"),
        (2.5e15, "2,500 TB"),
        (math.nan, "-"),
    ],
)
def test_data_sizes(n_bytes, text):
    assert data_size(n_bytes) == text


def test_what_is_not_known_is_a_dash():
    assert [f(math.nan) for f in (number, duration, age, signed_time, data_size)] == ["-"] * 5


def test_ages_and_offsets():
    assert (age(4.04), age(12.4), age(100)) == ("4.0 s", "12 s", "1 min 40 s")
    assert (signed_time(-0.0005), signed_time(-1e-6)) == ("-0.5 ms", "+0.0 ms")
    assert signed_time(86_400.0) == "+86,400.0 s"


def test_counts_agree_with_their_noun():
    assert [counted(n, "window") for n in (0, 1, 2000)] == ["0 windows", "1 window", "2,000 windows"]


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
