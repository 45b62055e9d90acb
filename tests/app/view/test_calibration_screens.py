"""Which screen stands for which state of a calibration, and its words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.engine.messages import Phase
from app.telemetry import Failure
from app.view.calibration_screens import (
    by_gravity,
    checks_in_words,
    done_so_far,
    progress_in_words,
    screen_of,
)
from app.view.conditions import calibration_conditions
from app.view.store import ViewStore
from calibration.types import STEP_KINDS, Check, Progress, Result, SessionView, Step, TrialRecord
from calibration.verdict import judge

RUNNING = Phase("running")
VIEW = SessionView(Step("stimulus", 40.0, 3, "happy"), 9, 10.0, 50.0)


@pytest.mark.parametrize("kind", STEP_KINDS)
def test_every_kind_of_step_has_a_screen(kind):
    assert screen_of(replace(VIEW, step=Step(kind)), RUNNING, has_agreed=True)


def test_nothing_but_the_notice_is_shown_before_the_consent():
    assert screen_of(None, Phase("loading"), has_agreed=False) == "notice"
    assert screen_of(None, Phase("loading"), has_agreed=True) == "waiting"


def test_a_pause_hides_the_step_and_a_failure_everything_but_the_result():
    assert screen_of(replace(VIEW, is_paused=True), RUNNING, has_agreed=True) == "pause"
    failed = Phase("failed", "the disk is full")
    assert screen_of(VIEW, failed, has_agreed=True) == "failed"
    assert screen_of(None, failed, has_agreed=False) == "failed"
    result = Result(judge([0, 1], [0, 1], 2), None, Path("r.html"), ())
    assert screen_of(replace(VIEW, result=result), Phase("ended"), has_agreed=True) == "finish"


def test_red_lights_come_first_and_are_counted():
    checks = [
        Check("a", "green", ""),
        Check("b", "yellow", ""),
        Check("c", "red", ""),
        Check("d", "green", ""),
    ]
    assert [check.name for check in by_gravity(checks)] == ["c", "b", "a", "d"]
    assert checks_in_words(checks) == "1 stop, 1 to check, 2 good"


def test_progress_comes_with_interval_and_chance():
    words = progress_in_words(Progress(4, 3, (0.301, 0.954), 0.2, "sad", 0))
    assert "3 of 4 trials" in words
    assert "75 % (95 % CI 30 % to 95 %; chance 20 %)" in words


def test_a_repeated_trial_is_done_once():
    trials = tuple(
        TrialRecord(number, "sad", 0.0, 1.0, state=state)
        for number, state in ((1, "done"), (2, "repeated"), (2, "done"), (3, "skipped"))
    )
    assert done_so_far(replace(VIEW, trials=trials)) == 2


def test_the_store_keeps_the_newest_view_and_a_failure_is_told_without_buttons_of_the_dashboard():
    store = ViewStore()
    store.take(VIEW)
    assert store.calibration is VIEW
    store.take(RUNNING)
    store.take(Failure("recording", "the disk is full", 12.0))
    (condition,) = calibration_conditions(store)
    assert "the disk is full" in condition.text
    assert condition.actions == ()
