"""A simulated person's answers."""

from __future__ import annotations

from calibration.protocol import simulated_report

CLASSES = ("disgust", "fear", "sad", "neutral", "happy")


def test_the_same_seed_gives_the_same_answers():
    assert [simulated_report(1, n, "sad", CLASSES) for n in range(9)] == [
        simulated_report(1, n, "sad", CLASSES) for n in range(9)
    ]


def test_most_trials_felt_as_intended_and_values_stay_on_the_scale():
    answers = [simulated_report(2, n, "fear", CLASSES) for n in range(300)]
    assert 0.8 < sum(answer.label == "fear" for answer in answers) / 300 < 0.97
    assert all(1 <= answer.valence <= 9 and 1 <= answer.arousal <= 9 for answer in answers)
    assert {answer.label for answer in answers} <= set(CLASSES)
