"""Self-reports of a running session: accuracy and coverage, withdrawal, and updates in shadow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.types import MODALITIES
from calibration.check import MIN_REPORTS, Outcome, Reminder, SelfCheck, Shown
from calibration.markers import ASKED, UNDO
from models.config import EvidenceConfig
from models.level import Evidence, RunningLevel, SignalRange
from models.mixed_discriminant import LabelledTrial, MixedDiscriminant
from models.prediction import Prediction

LABELS = ("happy", "sad", "neutral")
N_FEATURES = 6
CONFIG = EvidenceConfig(trial_s=12.0, max_trials=8.0, n_steps=(10, 10, 10, 10))


def prediction(probs, shadow=None, **changes) -> Prediction:
    there = dict.fromkeys(MODALITIES, True)
    share = dict.fromkeys(MODALITIES, 0.25)
    made = Prediction(
        4, 1.0, LABELS[0], probs, share, {}, (), there, dict.fromkeys(there, 1.0), 0.0, False, "profile"
    )
    return replace(made, shadow=shadow or {}, **changes)


def told(label: str, p: float = 0.8) -> dict[str, float]:
    """Return probabilities with ``p`` for a label."""
    return {name: p if name == label else (1 - p) / (len(LABELS) - 1) for name in LABELS}


class Session:
    """Answers questions of a self-check at times that go on by themselves."""

    def __init__(self, evidence=None, threshold=0.7):
        self.check, self.time = SelfCheck(LABELS, evidence, threshold), 0.0

    def mark(self, what: str) -> Outcome:
        self.time += 1.0
        return self.check.take(what, self.time)

    def report(self, label: str, probs, shadow=None, steps=None, **changes) -> Outcome:
        self.mark(ASKED)
        assert self.check.is_asking
        self.check.keep(Shown(prediction(probs, shadow, **changes), steps or {}, True))
        return self.mark(label)


def test_reports_count_once_each_with_their_wilson_interval():
    session = Session()
    assert session.check.reports is None
    for at in range(5):
        assert session.report("happy", told("happy" if at < 4 else "sad")) is Outcome.COUNTED
    reports = session.check.reports
    assert (reports.n, reports.n_right, reports.n_inside) == (5, 4, 4)
    assert reports.interval == pytest.approx((0.3755, 0.9638), abs=1e-3)  # Wilson, 4 of 5
    assert not reports.is_withdrawn  # too few for that


def test_an_answer_without_a_question_or_to_no_warm_window_does_not_count():
    session = Session()
    assert session.mark("happy") is Outcome.NOTHING
    assert session.report("happy", told("happy"), warm_up=True) is Outcome.NOTHING
    assert session.report("angry", told("happy")) is Outcome.NOTHING  # not one of the model's
    session.report("happy", told("happy"))
    assert session.mark("happy") is Outcome.NOTHING  # answered already
    assert session.check.take("happy", 0.5) is Outcome.PAST
    assert session.check.reports.n == 1


def test_guesses_withdraw_the_model_and_better_reports_bring_it_back():
    session, rng = Session(), np.random.default_rng(0)
    for at in range(MIN_REPORTS):
        assert at == 0 or not session.check.reports.is_withdrawn
        session.report(LABELS[at % 3], told(LABELS[rng.integers(3)]))
    reports = session.check.reports
    assert reports.is_withdrawn
    assert reports.balanced_accuracy < reports.needed
    for at in range(12):
        session.report(LABELS[at % 3], told(LABELS[at % 3]))
    assert not session.check.reports.is_withdrawn


def test_one_emotion_all_the_time_does_not_pass_for_knowledge():
    session = Session()
    for at in range(12):
        session.report(LABELS[0] if at < 9 else LABELS[at % 2 + 1], told(LABELS[0]))
    assert session.check.reports.n_right == 9
    assert session.check.reports.is_withdrawn  # balanced accuracy is that of chance


def test_sets_that_hold_the_emotion_too_rarely_are_named():
    session = Session(threshold=0.5)
    for at in range(20):
        label = LABELS[at % 3]
        wrong = LABELS[(at + 1) % 3]
        session.report(label, told(label if at < 14 else wrong))
    reports = session.check.reports
    assert (reports.n_inside, reports.is_uncovered, reports.is_withdrawn) == (14, True, False)


@pytest.mark.parametrize(("shadow_p", "expected"), [(0.9, Outcome.PROMOTED), (0.4, Outcome.COUNTED)])
def test_copy_is_promoted_only_when_better_by_its_interval(evidence, shadow_p, expected):
    session, rng = Session(evidence), np.random.default_rng(1)
    outcomes = []
    for at in range(7):
        label = LABELS[at % 3]
        jitter = 0.02 * rng.random()
        steps = {"eye": rng.standard_normal((10, N_FEATURES))}
        outcomes.append(session.report(label, told(label, 0.5), told(label, shadow_p + jitter), steps))
    # The first report has no update before it; the sixth after it decides.
    assert outcomes == [Outcome.COUNTED] * 6 + [expected]


def test_wavering_gains_promote_nothing(evidence):
    session, rng = Session(evidence), np.random.default_rng(2)
    for at in range(30):
        label = LABELS[at % 3]
        p = (0.35, 0.65)[at % 2]
        steps = {"eye": rng.standard_normal((10, N_FEATURES))}
        assert session.report(label, told(label, 0.5), told(label, p), steps) is Outcome.COUNTED
    assert session.check.evidence is evidence
    assert session.check.gain.n == 24


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Of twenty people who share nothing but where emotions lie in the first features."""
    rng, effects = np.random.default_rng(0), 1.0 * np.eye(len(LABELS), N_FEATURES)
    trials = []
    for person in range(20):
        place = 4.0 * rng.standard_normal(N_FEATURES)
        own = 1.5 * rng.standard_normal((len(LABELS), N_FEATURES))
        for number in range(9):
            label = number % len(LABELS)
            steps = place + effects[label] + own[label] + trial_noise(rng)
            trials.append(LabelledTrial(str(person), 0, label, {"eye": steps}))
    ranges = SignalRange.fit({"eye": [trial.steps["eye"] for trial in trials]})
    return Evidence(MixedDiscriminant.fit(trials, len(LABELS)), ranges, CONFIG)


def trial_noise(rng) -> np.ndarray:
    return 0.5 * rng.standard_normal(N_FEATURES) + 0.5 * rng.standard_normal((10, N_FEATURES))


def run(evidence: Evidence, n: int, *, undo_at: int = -1, seed: int = 5) -> tuple[Session, list]:
    """Let a person whose emotions look like nobody else's report ``n`` times; return what was told."""
    session, rng = Session(evidence), np.random.default_rng(seed)
    own, kept = 2.0 * rng.standard_normal((len(LABELS), N_FEATURES)), []
    own -= own.mean(axis=0)
    level = RunningLevel(evidence.discriminant, CONFIG, {"eye": np.zeros(N_FEATURES)})
    for at in range(n):
        if at == undo_at:
            kept.append(session.mark(UNDO))
        label = int(rng.integers(len(LABELS)))
        steps = {"eye": own[label] + trial_noise(rng)}
        both = []
        for one in (session.check.evidence, session.check.shadow):
            scores, _ = one.of_window(steps, level)
            both.append(dict(zip(LABELS, torch.softmax(scores.sum(0), 0).tolist(), strict=True)))
        kept.append((session.report(LABELS[label], *both, steps=steps), LABELS[label], *both))
    return session, kept


@pytest.fixture(scope="module")
def learnt(evidence):
    return run(evidence, 20)


def test_a_person_unlike_all_others_is_learnt_in_shadow_and_then_used(evidence, learnt):
    session, kept = learnt
    outcomes = [outcome for outcome, *_ in kept]
    first = outcomes.index(Outcome.PROMOTED)
    assert first + 1 in (7, 13)  # six or twelve reports that both told
    assert session.check.evidence is not evidence
    right = np.array([[max(probs, key=probs.get) == label for probs in both] for _, label, *both in kept])
    assert right[first + 1 :, 0].mean() > right[: first + 1, 0].mean()
    reports = session.check.reports  # of the copy, each before it knew, and of what is used since
    assert reports.n_right == right[: first + 1, 1].sum() + right[first + 1 :, 0].sum()


def test_promotion_can_be_undone_and_stays_undone(evidence, learnt):
    first = [outcome for outcome, *_ in learnt[1]].index(Outcome.PROMOTED)
    session, kept = run(evidence, 20, undo_at=first + 1)
    assert kept[first + 1] is Outcome.UNDONE
    assert session.check.evidence is evidence
    assert all(one[0] is Outcome.COUNTED for one in kept[first + 2 :])
    assert session.mark(UNDO) is Outcome.NOT_PROMOTED


def test_same_marks_and_data_give_the_same_bytes(evidence, learnt):
    (one, first), (other, second) = learnt, run(evidence, 20)
    assert first == second
    states = [session.check.shadow.discriminant.state() for session in (one, other)]
    assert states[0][1] == states[1][1]
    assert all(torch.equal(tensor, states[1][0][name]) for name, tensor in states[0][0].items())


def test_reminder_asks_every_so_often_or_never():
    reminder = Reminder(300.0, 1000.0)
    assert [reminder.is_due(t) for t in (1000.0, 1299.0, 1300.0)] == [False, False, True]
    reminder.asked(1310.0)
    assert [reminder.is_due(t) for t in (1609.0, 1610.0)] == [False, True]
    assert not Reminder(None, 0.0).is_due(1e9)
