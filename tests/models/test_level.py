"""The running level, evidence with reliability, and the filter of the answers."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.types import MODALITIES
from models.config import EvidenceConfig
from models.level import AnswerFilter, Evidence, RunningLevel, SignalRange
from models.mixed_discriminant import LabelledTrial, MixedDiscriminant
from models.mixed_part import mean_of

N_FEATURES, N_LABELS, N_STEPS = 6, 3, 12
EFFECTS = 3.0 * np.eye(N_LABELS, N_FEATURES)
EFFECTS -= EFFECTS.mean(axis=0)
CONFIG = EvidenceConfig(trial_s=12.0, max_trials=8.0, n_steps=(3, 1, 2, 1))


def steps_of(label: int, place: np.ndarray, rng: np.random.Generator, n: int = N_STEPS) -> np.ndarray:
    """Return a trial's steps of a person at a place: one offset a trial, noise a step."""
    offset = 0.5 * rng.standard_normal(N_FEATURES)
    return place + EFFECTS[label] + offset + 0.5 * rng.standard_normal((n, N_FEATURES))


@pytest.fixture(scope="module")
def trials() -> list[LabelledTrial]:
    rng = np.random.default_rng(0)
    found = []
    for person in range(20):
        place = 4.0 * rng.standard_normal(N_FEATURES)
        for number in range(9):
            label = number % N_LABELS
            found.append(LabelledTrial(str(person), 0, label, {"eye": steps_of(label, place, rng)}))
    return found


@pytest.fixture(scope="module")
def evidence(trials) -> Evidence:
    discriminant = MixedDiscriminant.fit(trials, N_LABELS)
    bare = Evidence(discriminant, SignalRange.fit({"eye": [t.steps["eye"] for t in trials]}), CONFIG)
    measures = []
    for trial in trials:
        place = trial.mean("eye")[0] - EFFECTS[trial.label]
        level = RunningLevel(discriminant, CONFIG, {"eye": place})
        measures.append(bare.of_window({"eye": trial.steps["eye"][:10]}, level)[1])
    return Evidence(discriminant, bare.range.within(torch.stack(measures)), CONFIG)


def run(evidence: Evidence, sessions: list[np.ndarray]) -> tuple[RunningLevel, list[int]]:
    """Return the level after these steps and the label told at each of them."""
    level, said = RunningLevel(evidence.discriminant, CONFIG), []
    steps = np.concatenate(sessions)
    for at in range(len(steps)):
        recent = {"eye": steps[max(at - 2, 0) : at + 1]}
        scores, _ = evidence.of_window(recent, level)
        said.append(int(scores.sum(dim=0).argmax()))
        level.take(recent, scores.sum(dim=0).numpy())
    return level, said


def test_level_begins_at_the_training_mean_and_reaches_the_subjects_own(evidence):
    rng, place = np.random.default_rng(1), np.full(N_FEATURES, 6.0)
    begun = RunningLevel(evidence.discriminant, CONFIG)
    assert begun.worth == 0
    assert begun.mean("eye") == pytest.approx(evidence.discriminant.part("eye").level.mean)
    level, said = run(evidence, [steps_of(k % 3, place, rng) for k in range(12)])
    assert level.worth == pytest.approx(CONFIG.max_trials)  # its weight is bounded
    assert level.mean("eye") == pytest.approx(place, abs=0.7)
    true = np.repeat(np.arange(12) % 3, N_STEPS)
    assert np.mean(np.array(said)[60:] == true[60:]) > 0.9


def test_level_does_not_take_a_lasting_emotion_for_its_own(evidence):
    rng, place = np.random.default_rng(2), np.full(N_FEATURES, 2.0)
    begin = [steps_of(k % 3, place, rng) for k in range(6)]
    lasting = steps_of(1, place, rng, n=600)
    _, said = run(evidence, [*begin, lasting])
    told = np.array(said)[6 * N_STEPS :] == 1
    assert told[-120:].mean() >= told[:120].mean() - 0.05
    assert told[-120:].mean() > 0.9


def test_fixed_level_stays_where_it_is_known(evidence):
    fixed = np.full(N_FEATURES, 2.0)
    fixed[0] = np.nan
    level = RunningLevel(evidence.discriminant, CONFIG, {"eye": fixed})
    expected = np.where(np.isnan(fixed), evidence.discriminant.part("eye").level.mean, fixed)
    assert level.mean("eye") == pytest.approx(expected)


def test_noise_is_unreliable_and_what_is_absent_says_nothing(evidence):
    rng, place = np.random.default_rng(3), np.zeros(N_FEATURES)
    level = RunningLevel(evidence.discriminant, CONFIG, {"eye": place})
    at = MODALITIES.index("eye")

    def reliability(steps):
        return float(evidence.range.reliability(evidence.of_window({"eye": steps}, level)[1])[at])

    assert np.mean([reliability(steps_of(0, place, rng, 10)) for _ in range(50)]) > 0.9
    assert np.mean([reliability(rng.normal(0, 4, (10, N_FEATURES))) for _ in range(50)]) < 0.05
    assert reliability(np.tile(steps_of(0, place, rng, 1), (10, 1))) == 0  # stands still
    scores, measures = evidence.of_window({}, level)
    assert not scores.any()
    assert (evidence.range.reliability(measures) == 1).all()


def test_step_of_which_nothing_is_known_changes_neither_level_nor_evidence(evidence):
    level = RunningLevel(evidence.discriminant, CONFIG)
    before = level.mean("eye").copy()
    nothing = {"eye": np.full((3, N_FEATURES), np.nan)}
    scores, _ = evidence.of_window(nothing, level)
    level.take(nothing, scores.sum(dim=0).numpy())
    assert not scores.any()
    assert np.array_equal(level.mean("eye"), before)


def test_mean_needs_more_than_half_of_the_steps():
    steps = np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan], [np.nan, 7.0, 2.0], [2.0, 6.0, np.nan]])
    mean, n_steps = mean_of(steps)
    assert mean[:2] == pytest.approx([2.0, 6.0])
    assert np.isnan(mean[2])
    assert n_steps == 4


def test_answers_are_means_over_a_second_and_a_gap_begins_anew():
    keep = AnswerFilter(EvidenceConfig(average_s=1.0, persistence=0.5), hop_s=0.25)
    logits = [torch.tensor([float(k), 0.0]) for k in (4, 0, 2, 2, 0)]
    shown = [keep(index, one) for index, one in enumerate(logits)]
    assert shown[0].tolist() == [4.0, 0.0]  # nothing was said before
    assert shown[3].tolist() == [2.0 + 0.5, 0.0]
    assert shown[4].tolist() == [1.0 + 0.5, 0.0]
    assert keep(20, torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_state_continues_to_the_bit_and_refuses_another_shape(evidence):
    rng, place = np.random.default_rng(4), np.full(N_FEATURES, 2.0)
    level, _ = run(evidence, [steps_of(k % 3, place, rng) for k in range(3)])
    other = RunningLevel(evidence.discriminant, CONFIG)
    other.restore(json.loads(json.dumps(level.state())))
    assert np.array_equal(other.mean("eye"), level.mean("eye"))
    with pytest.raises(ValueError, match="eye"):
        other.restore({"eye": {"sum": [1.0], "worth": [1.0]}})


def test_last_answer_speaks_for_itself_at_any_hop():
    for hop_s in (0.25, 1.0):
        keep = AnswerFilter(EvidenceConfig(average_s=0.1, persistence=2.0), hop_s)
        assert keep(0, torch.tensor([1.0, 0.0])).tolist() == [1.0, 0.0]
        assert keep(1, torch.tensor([0.0, 1.0])).tolist() == [2.0, 1.0]


def test_a_feature_that_nothing_moves_has_the_training_mean_for_its_level(evidence):
    discriminant = copy.copy(evidence.discriminant)
    part = discriminant.part("eye")
    level = replace(part.level, kappa=np.zeros_like(part.level.kappa))
    discriminant._parts = {"eye": replace(part, level=level)}
    begun = RunningLevel(discriminant, CONFIG)
    assert np.array_equal(begun.mean("eye"), part.level.mean)
    begun.take({"eye": np.full((1, N_FEATURES), 3.0)}, np.zeros(N_LABELS))
    assert np.isfinite(begun.mean("eye")).all()


@pytest.mark.parametrize(
    ("name", "value"), [("worth", -1.0), ("sum", np.nan), ("sum", 1e300), ("worth", None)]
)
def test_a_state_that_cannot_have_been_is_refused(evidence, name, value):
    level = RunningLevel(evidence.discriminant, CONFIG)
    state = level.state()
    state["eye"][name][0][0] = value
    with pytest.raises(ValueError, match=name):
        level.restore(state)


def test_a_signal_unlike_all_training_subjects_stays_unreliable_though_the_level_follows_it(evidence):
    rng, at = np.random.default_rng(6), MODALITIES.index("eye")

    def reliabilities(offset, fixed=None):
        place = np.full(N_FEATURES, offset)
        level = RunningLevel(evidence.discriminant, CONFIG, None if fixed is None else {"eye": place})
        steps, found = np.concatenate([steps_of(k % 3, place, rng) for k in range(6)]), []
        for end in range(10, len(steps) + 1):
            scores, measures = evidence.of_window({"eye": steps[end - 10 : end]}, level)
            found.append(float(evidence.range.reliability(measures)[at]))
            level.take({"eye": steps[end - 10 : end]}, scores.sum(dim=0).numpy())
        return np.array(found)

    assert reliabilities(6.0).mean() > 0.75
    assert reliabilities(40.0).max() == 0  # ten SD from everybody, from the first second to the last
    assert reliabilities(40.0, fixed=True).mean() > 0.75  # a profile knows that the subject is like that


@pytest.mark.parametrize(("n_s", "is_taken"), [(4, False), (120, True)])
def test_an_artefact_leaves_no_trace_in_the_level_but_what_lasts_does(evidence, n_s, is_taken):
    rng, place = np.random.default_rng(7), np.zeros(N_FEATURES)
    clean = np.concatenate([steps_of(k % 3, place, rng) for k in range(12)])
    artefact = clean.copy()
    artefact[40 : 40 + n_s] += 30.0
    levels = []
    for steps in (clean, artefact):
        level = RunningLevel(evidence.discriminant, CONFIG)
        for end in range(10, len(steps) + 1):
            recent = {"eye": steps[end - 10 : end]}
            scores, measures = evidence.of_window(recent, level)
            reliability = evidence.range.reliability(measures)
            level.take(recent, scores.sum(dim=0).numpy(), reliability=reliability)
            if end == 70:  # what is known of the artefact by then continues in another process
                state, level = (
                    json.loads(json.dumps(level.state())),
                    RunningLevel(evidence.discriminant, CONFIG),
                )
                level.restore(state)
        levels.append(level.mean("eye"))
    assert (np.abs(levels[1] - levels[0]).max() > 3.0) == is_taken
    assert is_taken or np.abs(levels[1] - levels[0]).max() < 0.5
