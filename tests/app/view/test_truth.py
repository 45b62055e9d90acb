"""The simulated participant's true emotion beside the answers, and how often they name it."""

import math

import pytest
from test_trust import prediction, store

from acquisition.types import Change, Kind, StreamEvent, StreamSpec
from app.engine.messages import Mark
from app.view.truth import score, true_emotion

MARKERS = (
    (10.0, "trial_start/sad"),
    (20.0, "trial_end/sad"),
    (20.0, "trial_start/happy"),
    (30.0, "trial_end/happy"),
    (30.0, "rest_start"),
    (35.0, "trial_start/fear"),
)


def probabilities(best, p):
    rest = (1 - p) / 4
    return {label: p if label == best else rest for label in ("disgust", "fear", "sad", "neutral", "happy")}


def session(is_simulated=True):
    made = store()
    spec = StreamSpec("m", "Task", Kind.MARKERS, ("m",), ("",), 0.0, is_simulated=is_simulated)
    made.take(StreamEvent("m", Change.OPENED, 0.0, "", spec))
    for time, text in MARKERS:
        made.take(Mark(time, text, "Task"))
        made.take(Mark(time + 1, "trial_start/disgust", "somebody's notes"))
    said = (
        (12.0, "sad", 0.9, True),  # warming up: no window
        (15.0, "sad", 0.9, False),  # an answer, right
        (19.0, "happy", 0.5, False),  # no answer, wrong; in the mean the trial is sad
        (20.0, "happy", 0.8, False),
        (25.0, "happy", 0.8, False),
        (32.0, "happy", 0.8, False),  # at rest
        (36.0, "happy", 0.8, False),  # an answer, wrong, in a trial that runs
    )
    for t_end, label, p, warm_up in said:
        made.take(prediction(t_end, probabilities(label, p), warm_up=warm_up))
    return made


def test_truth_is_what_the_simulator_announced_last():
    assert [true_emotion(session(), t) for t in (9.0, 10.0, 20.0, 31.0, 99.0)] == [
        *("", "sad", "happy", "rest", "fear")
    ]


def test_answers_windows_and_whole_trials_are_counted_once_warm():
    made = session()
    ended = "right: 75 % of 4 answers, 60 % of 5 windows, 2 of 2 trials (chance 20 %)"
    assert score(made, 40.0) == ended
    earlier = "right: 100 % of 2 answers, 67 % of 3 windows, 1 of 1 trial (chance 20 %)"
    assert score(made, 24.0) == earlier


@pytest.mark.parametrize("made", [session(is_simulated=False), store()])
def test_nobody_elses_markers_are_the_truth(made):
    assert true_emotion(made, 99.0) == ""
    assert score(made, math.inf) == ""
