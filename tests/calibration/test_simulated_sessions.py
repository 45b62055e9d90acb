"""Simulated sessions: what lies where, and that a second one is the same person's at another time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from calibration.plan import Plan, load_plan
from models.checkpoint import load_checkpoint
from models.decoder import Decoder
from tests.studies.calibration import LATER_S, SimulatedSession, simulate_sessions


@pytest.fixture(scope="module")
def plan() -> Plan:
    plan = load_plan(classes=("happy", "sad"), n_trials=4)
    short = {"hint_s": 1.0, "report_s": 1.0, "rest_s": 2.0, "baseline_s": 3.0, "practice_s": 1.0}
    return replace(plan, stimulus_s=5.0, **short)


@pytest.fixture(scope="module")
def sessions(random_model, plan) -> list[SimulatedSession]:
    shares: list[float] = []
    decoder = Decoder(load_checkpoint(random_model))
    found = simulate_sessions(7, plan, decoder, on_share=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    return found


def test_rows_lie_in_baselines_and_stimuli_alone(sessions):
    first, later = sessions
    assert first.record.baseline == ((0.0, 3.0), (3.0, 6.0))
    assert later.record.baseline == ()
    for session in sessions:
        stretches = [*session.record.baseline, *((t.begin, t.end) for t in session.record.trials)]
        expected = [s for begin, end in stretches for s in range(int(begin) + 1, int(end) + 1)]
        np.testing.assert_array_equal(session.rows.t_end, expected)
        assert session.rows.eeg_there.all()
        assert session.rows.face_there[:, -1].all()


def test_trials_follow_the_order_and_the_plan(sessions, plan):
    for session in sessions:
        trials = session.record.trials
        assert tuple(trial.emotion for trial in trials) == session.record.order
        assert sorted(session.record.order) == ["happy", "happy", "sad", "sad"]
        assert session.record.order[-1] == "happy"
        for one, other in pairwise(trials):
            assert other.begin - one.end == plan.report_s + plan.rest_after(one.emotion) + plan.hint_s


def test_the_later_session_is_the_same_person_an_hour_on(sessions):
    first, later = sessions
    gap = later.record.trials[0].begin - first.record.trials[-1].end
    assert LATER_S < gap < LATER_S + 60
    entropy = [np.nanmean(session.rows.eeg, axis=0) for session in sessions]
    assert np.corrcoef(entropy[0].ravel(), entropy[1].ravel())[0, 1] > 0.9
    assert np.isin(first.rows.eeg, later.rows.eeg).mean() < 0.1


def test_a_simulated_person_can_be_met_again(sessions, random_model, plan):
    decoder = Decoder(load_checkpoint(random_model))
    again = simulate_sessions(7, plan, decoder, n_sessions=1)[0]
    np.testing.assert_array_equal(again.rows.eeg, sessions[0].rows.eeg)
    np.testing.assert_array_equal(again.rows.face, sessions[0].rows.face)
