"""What a killed session goes on from, and what its markers tell."""

from __future__ import annotations

import itertools

import pytest
from refused import refused
from walk import FIVE, THREE, TWO, Walk, wander

from acquisition.errors import ErrorCode
from calibration.markers import record_from_markers


@pytest.mark.parametrize("kind", ["hint", "stimulus", "report"])
def test_a_session_killed_in_trial_6_goes_on_there(kind):
    killed = Walk(FIVE, 10).until(kind, 6)
    record = killed.changes[-1]
    walk = Walk(killed.plan.classes, 10, record, run=2).until("hint")
    assert walk.step.trial == 6
    assert [text for text in walk.texts if "baseline" in text or "practice" in text] == []
    walk.to_the_end()
    trials = walk.session.record.trials
    assert trials[:5] == record.trials == killed.session.record.trials
    assert [(trial.number, trial.run) for trial in trials[5:]] == [(n, 2) for n in (6, 7, 8, 9, 10)]
    assert walk.session.record.order == killed.session.record.order


def test_a_session_killed_in_the_baseline_begins_with_it():
    killed = Walk().until("baseline_closed")
    walk = Walk(record=killed.changes[-1], run=2).to_the_end()
    assert len(walk.session.record.baseline) == 2
    assert walk.session.record.baseline_run == 2
    assert "practice_start" in walk.texts


def test_a_protocol_with_other_trials_is_refused_for_a_resumption():
    killed = Walk().until("rest", 1)
    error = refused(lambda: Walk(TWO, 6, killed.changes[-1]))
    assert (error.code, error.facts) == (ErrorCode.SUBJECT, {"n_trials": 4})


# --- whatever happens ---


@pytest.mark.parametrize("classes", [TWO, THREE, FIVE])
def test_whatever_happens_the_session_keeps_its_rules(classes):
    for seed in range(40):
        walk, may_skip = wander(seed, classes, 2 * len(classes) + seed % 3)
        record = walk.session.record
        assert {trial.number for trial in record.trials} == set(range(1, walk.plan.n_trials + 1))
        for number in range(1, walk.plan.n_trials + 1):
            done = [trial for trial in record.trials if trial.number == number and trial.state == "done"]
            assert len(done) == 1 or (may_skip and not done)
        times = [time for time, _ in walk.markers]
        assert times == sorted(times)
        starts = [text.split("/")[1:] for text in walk.stimuli]
        if not may_skip:
            assert all(a == b or a[0] != b[0] for a, b in itertools.pairwise(starts))
            assert starts[-1][0] == "happy"


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_the_markers_alone_tell_what_the_record_tells(classes):
    for seed in range(1, 60, 2):  # without skipped steps that nobody had seen
        walk, _ = wander(seed, classes, 2 * len(classes))
        read = record_from_markers(walk.markers)
        assert read.trials == walk.session.record.trials
        assert read.baseline == walk.session.record.baseline
        assert (read.subject, read.order) == ("S01", walk.session.record.order)


def test_the_markers_of_an_aborted_run_and_of_the_next_tell_one_session():
    first = Walk().until("stimulus", 3)
    first.session.abort(first.now)
    second = Walk(record=first.session.record, run=2).to_the_end()
    read = record_from_markers(second.markers, record_from_markers(first.markers), run=2)
    assert read.trials == second.session.record.trials
    assert read.baseline == second.session.record.baseline
    assert read.order == second.session.record.order
