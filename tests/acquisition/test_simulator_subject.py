"""The simulated person's parameters, schedule and behaviour."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from acquisition.errors import InputError
from acquisition.simulator.behaviour import Behaviour, FollowedTimeline, Schedule
from acquisition.simulator.subject import EMOTIONS, POPULATION_EFFECTS, SimulatedSubject


def test_same_seed_is_the_same_person_and_another_seed_is_not():
    first, again, other = (SimulatedSubject(seed) for seed in (5, 5, 6))
    for modality in POPULATION_EFFECTS:
        np.testing.assert_array_equal(first.effect(modality, "fear"), again.effect(modality, "fear"))
        assert not np.allclose(first.effect(modality, "fear"), other.effect(modality, "fear"))


def test_without_emotion_all_emotions_have_the_same_parameters():
    for difficulty in ("none", 0, "0"):
        subject = SimulatedSubject(3, difficulty)
        for modality, emotion in itertools.product(POPULATION_EFFECTS, EMOTIONS):
            np.testing.assert_array_equal(subject.effect(modality, emotion), subject.effect(modality, None))


def test_difficulty_scales_the_effect():
    easy, hard = SimulatedSubject(3, 2.0), SimulatedSubject(3, 0.5)
    np.testing.assert_allclose(easy.effect("eeg", "happy"), 4.0 * hard.effect("eeg", "happy"))


def test_subjects_scatter_around_the_population():
    effects = np.array([SimulatedSubject(seed).effect("voice", "sad") for seed in range(300)])
    shared = [row[EMOTIONS.index("sad")] for row in POPULATION_EFFECTS["voice"].values()]
    assert np.corrcoef(effects.mean(axis=0), shared)[0, 1] > 0.98


@pytest.mark.parametrize("difficulty", ["simple", -1.0, float("nan"), float("inf")])
def test_unknown_difficulty_is_refused(difficulty):
    with pytest.raises(InputError) as error:
        SimulatedSubject(1, difficulty)
    assert error.value.where == "difficulty"


def test_each_modality_confuses_another_pair():
    closest = set()
    for modality, table in POPULATION_EFFECTS.items():
        effects = dict(zip(EMOTIONS, np.array(list(table.values())).T, strict=True))
        pairs = list(itertools.combinations(EMOTIONS, 2))
        distances = {pair: np.linalg.norm(effects[pair[0]] - effects[pair[1]]) for pair in pairs}
        closest.add((modality, min(distances, key=distances.get)))
    assert len({pair for _, pair in closest}) >= 3


@pytest.mark.parametrize("n_trials", [1, 2, 5, 6, 11, 20, 37])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_balanced_schedule_never_repeats_an_emotion_and_is_balanced(seed, n_trials):
    schedule = Schedule.balanced(seed, n_trials, trial_s=4.0)
    trials = [
        segment.emotion for segment in schedule.segments_between(0.0, schedule.cycle_s) if segment.emotion
    ]
    assert len(trials) == n_trials
    assert all(a != b for a, b in itertools.pairwise(trials))
    counts = [trials.count(emotion) for emotion in EMOTIONS]
    assert max(counts) - min(counts) <= 1


def test_schedule_begins_again_as_new_trials():
    schedule = Schedule.parse("happy:20,rest:5,sad:10")
    assert [schedule.segment_at(t).emotion for t in (0, 19.99, 20, 25, 34.9, 35)] == (
        ["happy", "happy", None, "sad", "sad", "happy"]
    )
    again = schedule.segment_at(36.0)
    assert (again.index, again.onset_s) == (3, 35.0)
    assert schedule.segment_before(again).emotion == "sad"
    assert [s.onset_s for s in schedule.segments_between(20.0, 55.0)] == [20.0, 25.0, 35.0]


def test_one_emotion_alone_is_held():
    schedule = Schedule.parse("fear:3")
    assert schedule.segment_at(1e5) == schedule.segment_at(0.0)
    assert len(schedule.segments_between(0.0, 1e5)) == 1


@pytest.mark.parametrize(
    "spec",
    ["joy:20", "happy", "happy:x", "happy:-1", "happy:5,happy:5", "sad:5,rest:1,sad:5", "", "happy:nan"],
)
def test_bad_schedule_is_refused(spec):
    with pytest.raises(InputError) as error:
        Schedule.parse(spec)
    assert error.value.where == "schedule"


def test_followed_timeline_rests_until_told():
    timeline = FollowedTimeline()
    timeline.begin("happy", 4.0)
    timeline.begin(None, 9.0)
    assert [timeline.segment_at(t).emotion for t in (0, 3.9, 4.0, 8.9, 9.0, 99.0)] == (
        [None, None, "happy", "happy", None, None]
    )
    assert timeline.segment_before(timeline.segment_at(9.0)).emotion == "happy"


def test_body_follows_a_new_emotion_with_its_time_constant():
    subject = SimulatedSubject(2)
    behaviour = Behaviour(subject, Schedule.parse("sad:30,fear:30"))
    pupil_sad = behaviour.latent("eye", 29.999)["pupil"]
    pupil_onset = behaviour.latent("eye", 30.0)["pupil"]
    pupil_settled = behaviour.latent("eye", 36.0)["pupil"]
    assert pupil_onset == pytest.approx(pupil_sad, abs=0.01)
    assert pupil_settled > pupil_sad


def test_blinks_do_not_depend_on_how_they_are_asked_for():
    behaviour = Behaviour(SimulatedSubject(2), Schedule.parse("random:10"))
    whole = behaviour.blinks(0.0, 60.0)
    assert 3 <= len(whole) <= 40
    pieces = {blink for t in range(60) for blink in behaviour.blinks(t, t + 1)}
    assert pieces == set(whole)
