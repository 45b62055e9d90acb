"""Prediction sets on 500 sessions of simulated people: the simulator's, whose parameters are the features.

Their parameters with noise stand in for what encoders would find; discriminant, running level and sets are
those of a session.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acquisition.simulator.behaviour import Schedule
from acquisition.simulator.subject import EMOTIONS, SimulatedSubject
from acquisition.types import MODALITIES
from acquisition.windowing import WindowConfig
from models.config import EvidenceConfig
from models.conformal import coverage, too_rarely_covered
from models.level import Evidence, SignalRange, run_session
from models.mixed_discriminant import LabelledTrial, MixedDiscriminant
from tests.studies.demo_model.answers import fit_answers, trial_means, trial_scores

N_TRIALS, TRIAL_S = 10, 2
FIRST_UNSEEN = 5_000
_NOISE_SD = 1.5
SHOWN = 0.6  # effect size: at 1 the parameters tell nearly everything
_N_FOLDS = 10
_MIXING = np.random.default_rng(0).standard_normal((6, 60))  # on twelve channels of five bands
CONFIG = EvidenceConfig(trial_s=TRIAL_S, n_steps=(2, 1, 2, 1))


def session(seed: int, difficulty: str | float = SHOWN) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return features (n, F) by modality of a person's session, a step a second, and labels (n,)."""
    person, rng = SimulatedSubject(seed, difficulty), np.random.default_rng(seed)
    schedule = Schedule.balanced(seed, N_TRIALS, TRIAL_S)
    found: dict[str, list[np.ndarray]] = {m: [] for m in MODALITIES}
    label = []
    for second in range(N_TRIALS * TRIAL_S):
        segment = schedule.segment_at(second)
        label.append(EMOTIONS.index(str(segment.emotion)))
        for m in MODALITIES:
            shown = person.effect(m, segment.emotion) + person.trial_effect(m, segment.index)
            row = shown + person.without_emotion(m, float(second))
            row = row @ _MIXING if m == "eeg" else row
            found[m].append(row + _NOISE_SD * rng.standard_normal(len(row)))
    return {m: np.stack(rows) for m, rows in found.items()}, np.array(label)


def evidence_of(sessions) -> Evidence:
    trials = []
    for number, (features, label) in enumerate(sessions):
        for at in range(0, len(label), TRIAL_S):
            steps = {m: x[at : at + TRIAL_S] for m, x in features.items()}
            trials.append(LabelledTrial(str(number), 0, int(label[at]), steps))
    discriminant = MixedDiscriminant.fit(trials, len(EMOTIONS))
    steps = {m: [trial.steps[m] for trial in trials] for m in MODALITIES}
    return Evidence(discriminant, SignalRange.fit(steps), CONFIG)


def probs_of(sessions, evidence: Evidence):
    """Return what a session says at the end of each trial: probabilities, label, trial, subject."""
    logits, label, trial, subject = [], [], [], []
    at = np.arange(TRIAL_S - 1, N_TRIALS * TRIAL_S, TRIAL_S)
    for number, (features, of_session) in enumerate(sessions):
        course = run_session(features, evidence, WindowConfig())
        logits.append(course.evidence[at].sum(dim=1))
        label.append(of_session[at])
        trial.append(np.arange(N_TRIALS))
        subject.append(np.full(N_TRIALS, number))
    probs = torch.softmax(torch.cat(logits).double(), dim=1).numpy()
    return probs, np.concatenate(label), np.concatenate(trial), np.concatenate(subject)


@pytest.fixture(scope="module")
def trained():
    """Evidence of 30 people, and sets fitted to each tenth of them by the others, and to themselves."""
    people = [session(seed) for seed in range(30)]
    held_out = []
    for fold in range(_N_FOLDS):
        told = evidence_of([one for at, one in enumerate(people) if at % _N_FOLDS != fold])
        probs, label, trial, subject = probs_of(people[fold::_N_FOLDS], told)
        held_out.append((probs, label, trial, subject * _N_FOLDS + fold))
    columns = [np.concatenate(parts) for parts in zip(*held_out, strict=True)]
    everybody = evidence_of(people)
    return everybody, fit_answers(*columns), fit_answers(*probs_of(people, everybody))


@pytest.mark.slow
def test_sets_cover_500_unseen_sessions_at_their_level_and_in_sample_scores_would_not(trained):
    evidence, held_out, in_sample = trained
    unseen = probs_of([session(FIRST_UNSEEN + n) for n in range(500)], evidence)
    means, label, subject = trial_means(*unseen)
    for level, threshold, of_training in (
        (0.9, held_out.set_90, in_sample.set_90),
        (0.8, held_out.set_80, in_sample.set_80),
    ):
        covered, _ = coverage(means, label, threshold)
        assert covered.shape == (5000,)
        assert covered.mean() == pytest.approx(level, abs=0.04)  # folds know fewer people: a little too wide
        by_person = [covered[subject == one].mean() for one in np.unique(subject)]
        assert 0.5 <= np.quantile(by_person, 0.1) < level
        assert coverage(means, label, of_training)[0].mean() < level - 0.03


@pytest.mark.slow
def test_ten_own_trials_tell_of_people_who_show_nothing_that_the_sets_do_not_hold(trained):
    evidence, held_out, _ = trained

    def share_told(difficulty: str | float) -> float:
        sessions = [session(FIRST_UNSEEN + 1000 + n, difficulty) for n in range(40)]
        means, label, subject = trial_means(*probs_of(sessions, evidence))
        scores = trial_scores(means, label)
        told = [too_rarely_covered(scores[subject == who], held_out.set_90, 0.9) for who in range(40)]
        return float(np.mean(told))

    assert share_told("none") > 0.5
    assert share_told(SHOWN) < 0.2
