"""A session driven by hand: its time is what the test says."""

from __future__ import annotations

import itertools
import random

import pytest

from acquisition.errors import InputError
from calibration.markers import record_from_markers
from calibration.plan import load_plan
from calibration.session import GRACE_S, Session
from calibration.types import Check, Consent, Report, SessionRecord

TWO = ("sad", "happy")
THREE = ("fear", "neutral", "happy")
FIVE = ("disgust", "fear", "sad", "neutral", "happy")


class Walk:
    """A session with its markers and a clock that is moved by hand."""

    def __init__(self, classes=TWO, n_trials=4, record=None, run=1, seed=1):
        self.plan = load_plan(classes=classes, n_trials=n_trials)
        self.markers: list[tuple[float, str]] = []
        self.changes: list[SessionRecord] = []
        self.disk_is_full = False
        self.now = 100.0
        self.session = Session(
            self.plan,
            record or SessionRecord("S01", 1, (), seed, Consent(("EEG",))),
            on_marker=lambda text, time: self.markers.append((time, text)),
            on_change=self.keep,
            run=run,
        )

    def keep(self, record):
        if self.disk_is_full:
            raise InputError("no space left")
        self.changes.append(record)

    @property
    def view(self):
        return self.session.view(self.now)

    @property
    def step(self):
        return self.view.step

    @property
    def texts(self):
        return [text for _, text in self.markers]

    def show(self):
        self.session.shown(self.view.step_id, self.now)

    def wait(self, seconds):
        self.now += seconds
        self.session.step(self.now)

    def go_on(self):
        """Bring the current step to its end as an obedient person does, and show the next one."""
        self.show()
        if self.step.kind == "preflight":
            assert self.session.proceed(self.view.step_id, self.now)
        elif self.step.kind == "report":
            self.wait(1.0)
            assert self.session.answer(self.view.step_id, Report(self.step.emotion or "sad", 6, 4), self.now)
        else:
            self.wait(self.step.duration_s)
        self.show()

    def until(self, kind, trial=None):
        while self.step.kind != kind or (trial is not None and self.step.trial != trial):
            assert not self.session.is_over
            self.go_on()
        return self

    def to_the_end(self):
        while not self.session.is_over:
            self.go_on()
        return self

    @property
    def stimuli(self):
        return [text for text in self.texts if text.startswith("trial_start")]


def states(record):
    return [(trial.number, trial.state) for trial in record.trials]


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
    walk.session.set_checks(
        [Check("EEG", "red", "no stream"), Check("face", "red", "none"), Check("disk", "green", "9 GB")]
    )
    assert not walk.session.proceed(walk.view.step_id, walk.now, ["face"])
    assert walk.step.kind == "preflight"
    assert "EEG" in walk.view.message
    assert walk.session.proceed(walk.view.step_id, walk.now, ["EEG", "face", "disk"])
    assert walk.session.record.overridden == ("EEG", "face")


# --- pause ---


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
    assert "begins anew" in walk.view.message
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


# --- resuming ---


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
    with pytest.raises(InputError, match="4 trials of happy, sad; the protocol has 6"):
        Walk(TWO, 6, killed.changes[-1])


# --- whatever happens ---


def wander(seed, classes, n_trials):
    """Drive a session by chance: late answers, pauses, repeats, skips, hidden screens."""
    rng = random.Random(seed)
    walk = Walk(classes, n_trials, seed=seed)
    may_skip = seed % 2 == 0
    n_acts = 0
    for _ in range(20_000):
        if walk.session.is_over:
            break
        if rng.random() < 0.9:
            walk.show()
        session, view = walk.session, walk.view
        if view.step.kind == "preflight":
            session.proceed(view.step_id, walk.now)
        if view.step.kind == "report" and rng.random() < 0.2:
            session.answer(view.step_id - rng.choice([0, 0, 0, 1]), Report("sad", 5, 5), walk.now)
        if n_acts < 25 and rng.random() < 0.05:
            n_acts += 1
            act = rng.choice(["pause", "repeat", "skip"] if may_skip else ["pause", "repeat"])
            if act == "repeat":
                session.repeat(rng.randint(0, n_trials + 1), walk.now)
            else:
                getattr(session, act)(walk.now)
        if walk.view.is_paused and rng.random() < 0.3:
            session.resume(walk.now)
        walk.wait(rng.choice([0.5, 2.0, 5.0]))
    assert walk.session.is_over
    return walk, may_skip


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
