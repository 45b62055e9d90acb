"""A session that is paused, repeated, skipped in or broken off."""

from __future__ import annotations

import pytest
from walk import THREE, Walk, states

from acquisition.errors import InputError


@pytest.mark.parametrize("kind", ["baseline_open", "baseline_closed", "practice", "hint", "stimulus"])
def test_a_pause_begins_these_anew(kind):
    walk = Walk().until(kind)
    paused = walk.view.step_id
    walk.wait(3.0)
    walk.session.pause(walk.now)
    assert walk.view.is_paused
    walk.wait(1000.0)
    walk.show()
    assert walk.step.kind == kind
    walk.session.resume(walk.now)
    assert walk.view.step_id > paused
    assert walk.view.began is None
    assert walk.step.kind == ("hint" if kind == "stimulus" else kind)
    walk.to_the_end()
    assert [n for n, state in states(walk.session.record) if state == "done"] == [1, 2, 3, 4]
    (open_begin, open_end), (closed_begin, closed_end) = walk.session.record.baseline
    assert open_end - open_begin == closed_end - closed_begin == walk.plan.baseline_s


def test_a_paused_stimulus_is_a_repeat():
    walk = Walk().until("stimulus", 2)
    walk.wait(10.0)
    walk.session.pause(walk.now)
    walk.wait(60.0)
    walk.session.resume(walk.now)
    walk.until("rest", 2)
    assert walk.texts[-8:] == [
        "pause",
        "resume",
        "hint/2/happy",
        "trial_repeated/2",
        "trial_start/happy/2",
        "trial_end/happy/2",
        "report/2/happy/6/4",
        "rest_start/2",
    ]
    assert walk.texts[-10:-8] == ["trial_end/happy/2", "trial_repeated/2"]
    assert states(walk.session.record) == [(1, "done"), (2, "repeated"), (2, "done")]


@pytest.mark.parametrize("kind", ["report", "rest"])
def test_a_pause_only_stops_the_time_of_answers_and_rests(kind):
    walk = Walk().until(kind, 1)
    step_id, duration_s = walk.view.step_id, walk.step.duration_s
    walk.wait(4.0)
    walk.session.pause(walk.now)
    walk.wait(300.0)
    assert walk.view.ends == walk.now + duration_s - 4.0
    walk.session.resume(walk.now)
    assert walk.view.step_id == step_id
    walk.wait(duration_s - 4.5)
    assert walk.step.kind == kind
    walk.wait(1.0)
    assert walk.step.kind != kind


def test_a_pause_before_a_step_was_seen_waits_for_it_afterwards():
    walk = Walk().until("stimulus", 1)
    walk.wait(walk.plan.stimulus_s)
    due = walk.now
    walk.now += 0.1
    walk.session.pause(walk.now)
    walk.wait(50.0)
    walk.session.resume(walk.now)
    assert (walk.step.kind, walk.view.began) == ("report", None)
    walk.until("rest")
    assert walk.session.record.trials[0].end == due


def test_pausing_twice_or_before_the_start_does_nothing():
    walk = Walk()
    walk.session.pause(walk.now)
    assert not walk.view.is_paused
    walk.until("rest", 1)
    walk.session.pause(walk.now)
    walk.session.pause(walk.now + 1)
    walk.session.resume(walk.now + 2)
    walk.session.resume(walk.now + 3)
    assert walk.texts.count("pause") == walk.texts.count("resume") == 1


# --- repeat, skip, abort ---


def test_a_repeat_is_done_after_the_running_trial_and_the_earlier_one_counts_no_more():
    walk = Walk(THREE, 6).until("stimulus", 3)
    order = walk.session.record.order
    again = 1 if order[0] != order[2] else 2
    walk.session.repeat(again, walk.now)
    assert f"Trial {again}" in walk.view.message
    assert walk.step.kind == "stimulus"
    walk.until("rest", 3)
    walk.wait(walk.step.duration_s)
    assert walk.step.trial == again
    walk.to_the_end()
    done = [trial.number for trial in walk.session.record.trials if trial.state == "done"]
    assert sorted(done) == [1, 2, 3, 4, 5, 6]
    assert states(walk.session.record)[again - 1] == (again, "repeated")
    assert walk.texts[-1] == "session_end"


def test_a_repeated_trial_shows_another_stimulus_where_there_is_one():
    walk = Walk(THREE, 6).until("stimulus", 1)
    first = walk.step.stimulus
    walk.until("stimulus", 2)
    walk.session.repeat(1, walk.now)
    walk.until("stimulus", 1)
    assert walk.step.stimulus != first
    assert walk.step.stimulus in walk.plan.stimuli[walk.step.emotion]


def test_the_running_trial_repeated_begins_anew_at_once():
    walk = Walk().until("stimulus", 2)
    walk.wait(5.0)
    walk.session.repeat(2, walk.now)
    assert (walk.step.kind, walk.step.trial) == ("hint", 2)
    assert "Trial 2" in walk.view.message
    walk.to_the_end()
    assert states(walk.session.record)[1:3] == [(2, "repeated"), (2, "done")]


@pytest.mark.parametrize("trial", [0, 3, 5])
def test_what_was_not_done_yet_cannot_be_repeated(trial):
    walk = Walk().until("rest", 1)
    walk.session.repeat(trial, walk.now)
    assert "cannot be repeated" in walk.view.message
    walk.to_the_end()
    assert len(walk.stimuli) == 4


def test_skipping_a_repeat_leaves_the_earlier_trial_counting():
    walk = Walk(THREE, 6).until("rest", 2)
    walk.session.repeat(1, walk.now)
    walk.until("stimulus", 1)
    walk.session.skip(walk.now + 1)
    walk.to_the_end()
    assert [state for number, state in states(walk.session.record) if number == 1] == ["done", "skipped"]


@pytest.mark.parametrize("kind", ["hint", "stimulus", "report"])
def test_a_skipped_trial_is_given_up_and_not_asked_for_again(kind):
    walk = Walk(THREE, 6).until(kind, 2)
    walk.wait(2.0)
    walk.session.skip(walk.now)
    assert "trial_skipped/2" in walk.texts
    assert walk.step.kind == ("hint" if kind == "hint" else "rest")
    walk.to_the_end()
    assert (2, "skipped") in states(walk.session.record)
    assert [n for n, state in states(walk.session.record) if state == "done"] == [
        1,
        3,
        4,
        5,
        6,
    ] or kind == "hint"


@pytest.mark.parametrize("kind", ["baseline_open", "baseline_closed", "practice", "rest"])
def test_skipping_elsewhere_ends_the_step_before_its_time(kind):
    walk = Walk().until(kind)
    walk.wait(2.0)
    walk.session.skip(walk.now)
    assert walk.step.kind != kind
    assert not any(text.startswith("trial_skipped") for text in walk.texts)
    walk.to_the_end()
    assert len(walk.session.record.baseline) == 2


def test_skipping_in_a_pause_goes_on_with_the_next_trial():
    walk = Walk().until("stimulus", 1)
    walk.wait(2.0)
    walk.session.pause(walk.now)
    walk.session.skip(walk.now)
    assert not walk.view.is_paused
    assert walk.step.trial == 2
    assert states(walk.session.record) == [(1, "repeated"), (1, "skipped")]


@pytest.mark.parametrize("kind", ["baseline_open", "practice", "hint", "stimulus", "report", "rest"])
@pytest.mark.parametrize("is_paused", [False, True])
def test_aborting_at_any_point_keeps_what_was_done(kind, is_paused):
    walk = Walk().until(kind, 3 if kind in ("hint", "stimulus", "report", "rest") else None)
    done = states(walk.session.record)
    if is_paused:
        walk.session.pause(walk.now)
        done = states(walk.session.record)
    walk.session.abort(walk.now)
    assert walk.session.is_over
    assert walk.session.is_aborted
    assert walk.texts[-1] == "session_aborted"
    assert states(walk.session.record) == done
    assert walk.step.kind == "finish"
    n_markers = len(walk.markers)
    for act in (walk.session.pause, walk.session.resume, walk.session.skip, walk.session.abort):
        act(walk.now + 1)
    walk.wait(100.0)
    walk.show()
    walk.session.repeat(1, walk.now)
    assert len(walk.markers) == n_markers


def test_aborting_before_the_start_sends_nothing():
    walk = Walk()
    walk.session.abort(walk.now)
    assert walk.session.is_aborted
    assert walk.markers == []


def test_a_full_disk_does_not_keep_a_session_from_being_aborted():
    walk = Walk().until("baseline_open")
    walk.wait(walk.plan.baseline_s)
    walk.disk_is_full = True
    with pytest.raises(InputError, match="no space"):
        walk.session.abort(walk.now)
    assert walk.session.is_aborted
    assert walk.texts[-1] == "session_aborted"
