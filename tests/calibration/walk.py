"""A session driven by hand: its time is what the test says."""

from __future__ import annotations

import random

from acquisition.errors import InputError
from calibration.plan import load_plan
from calibration.session import Session
from calibration.types import Consent, Report, SessionRecord

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
