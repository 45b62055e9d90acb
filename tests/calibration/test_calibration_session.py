"""A session from its first step to its last: order, time, answers, checks."""

from __future__ import annotations

import pytest
from walk import Walk, states

from calibration.session import GRACE_S
from calibration.types import Check, Report


def test_a_session_goes_from_preflight_to_its_end():
    walk = Walk()
    kinds = []
    while not walk.session.is_over:
        kinds.append(walk.step.kind)
        walk.go_on()
    trial = ["hint", "stimulus", "report", "rest"]
    assert kinds == ["preflight", "baseline_open", "baseline_closed", "practice", "report", *trial * 4]
    assert walk.texts[:7] == [
        "session_start/S01",
        "baseline_open_start",
        "baseline_open_end",
        "baseline_closed_start",
        "baseline_closed_end",
        "practice_start",
        "practice_end",
    ]
    assert walk.texts[7:13] == [
        "hint/1/sad",
        "trial_start/sad/1",
        "trial_end/sad/1",
        "report/1/sad/6/4",
        "rest_start/1",
        "hint/2/happy",
    ]
    assert walk.texts[-1] == "session_end"
    assert states(walk.session.record) == [(n, "done") for n in (1, 2, 3, 4)]
    assert walk.changes[-1] == walk.session.record


def test_a_trial_lasts_from_its_first_picture_to_the_next_step_s():
    walk = Walk().until("stimulus", 1)
    begin = walk.now
    walk.wait(walk.plan.stimulus_s)
    walk.now += 0.016
    walk.show()
    walk.until("rest")
    trial = walk.session.record.trials[0]
    assert (trial.begin, trial.end) == (begin, pytest.approx(begin + walk.plan.stimulus_s + 0.016))
    assert (trial.end, "trial_end/sad/1") in walk.markers


def test_nothing_runs_while_a_step_was_never_shown():
    walk = Walk().until("rest", 1)
    walk.wait(walk.plan.rest_s)
    assert walk.step.kind == "hint"
    walk.wait(3600.0)
    assert (walk.step.kind, walk.view.began, walk.view.ends) == ("hint", None, None)
    walk.show()
    assert walk.view.ends == walk.now + walk.plan.hint_s


def test_a_stimulus_ends_in_time_though_the_next_step_is_not_shown():
    walk = Walk().until("stimulus", 1)
    begin = walk.now
    walk.wait(walk.plan.stimulus_s)
    walk.wait(GRACE_S / 2)
    assert walk.texts[-1] == "trial_start/sad/1"
    walk.wait(GRACE_S)
    assert walk.markers[-1] == (begin + walk.plan.stimulus_s, "trial_end/sad/1")
    walk.now += 500.0
    walk.show()
    walk.until("rest")
    assert walk.session.record.trials[0].end == begin + walk.plan.stimulus_s


def test_the_end_comes_without_anybody_to_see_it():
    walk = Walk().until("rest", 4)
    walk.wait(walk.plan.rest_s)
    assert not walk.session.is_over
    walk.wait(2 * GRACE_S)
    assert walk.session.is_over
    assert walk.texts[-1] == "session_end"


def test_an_answer_too_late_leaves_the_trial_without_one():
    walk = Walk().until("report", 1)
    late = walk.view.step_id
    walk.wait(walk.plan.report_s)
    assert not walk.session.answer(late, Report("sad", 5, 5), walk.now)
    assert "too late" in walk.view.message
    trial = walk.session.record.trials[0]
    assert (trial.state, trial.report) == ("done", None)
    assert not any(text.startswith("report") for text in walk.texts)


def test_a_second_key_press_is_no_late_answer():
    walk = Walk().until("report", 1)
    once = walk.view.step_id
    assert walk.session.answer(once, Report("sad", 2, 3), walk.now)
    assert not walk.session.answer(once, Report("sad", 9, 9), walk.now)
    assert walk.view.message == ""
    assert walk.session.record.trials[0].report == Report("sad", 2, 3)


@pytest.mark.parametrize("report", [Report("", 5, 5), Report("sad", 0, 5), Report("sad", 5, 10)])
def test_an_answer_off_the_scale_is_asked_for_again(report):
    walk = Walk().until("report", 1)
    assert not walk.session.answer(walk.view.step_id, report, walk.now)
    assert walk.step.kind == "report"
    assert "1 to 9" in walk.view.message


def test_red_checks_stop_unless_overridden_and_that_is_noted():
    walk = Walk()
    checks = (Check("EEG", "red", "no stream"), Check("face", "red", "none"), Check("disk", "green", "9 GB"))
    walk.session.show(checks=checks)
    assert not walk.session.proceed(walk.view.step_id, walk.now, ["face"])
    assert walk.step.kind == "preflight"
    assert "EEG" in walk.view.message
    assert walk.session.proceed(walk.view.step_id, walk.now, ["EEG", "face", "disk"])
    assert walk.session.record.overridden == ("EEG", "face")
