"""What simulated people cannot judge is refused before any of them is simulated."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.subject import EMOTIONS
from models.checkpoint import load_checkpoint
from tests.studies.demo_model.training import SimulatedSubjects
from tests.studies.simulated_subjects import _Evaluation, check_simulated, evaluate_simulated


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"is_classifier": False}, "pre-trained encoders"),
        ({"feature_origin": "published"}, "published features"),
        ({"modalities": ("eye",)}, "modalities eye"),
        ({"labels": ("left", "right", "idle", "up", "down")}, "labels left, right, idle, up, down"),
        ({"labels": EMOTIONS[::-1]}, "labels " + ", ".join(EMOTIONS[::-1])),
    ],
)
def test_a_model_that_simulated_subjects_cannot_test_is_refused(
    random_model: Path, changes: dict[str, object], found: str
) -> None:
    checkpoint = load_checkpoint(random_model)
    odd = replace(checkpoint, config=replace(checkpoint.config, **changes))

    def simulates_nobody(*_: object) -> None:
        raise AssertionError("it began")

    with pytest.raises(InputError) as error:
        evaluate_simulated(odd, SimulatedSubjects(n_subjects=1), simulates_nobody)
    assert error.value.code is ErrorCode.MODEL
    assert error.value.facts["found"] == found
    check_simulated(checkpoint.config)


def test_a_label_that_no_window_has_is_reached_never():
    evaluation = object.__new__(_Evaluation)
    evaluation._subjects = [None]
    since = np.tile(np.arange(3.0, 9.0), 3)
    trial = np.repeat([0, 1, 2], 6)
    evaluation._rows = SimpleNamespace(subject=np.zeros(18, int), trial=trial, since_onset_s=since)
    probs = np.tile([0.1, 0.8, 0.1], (18, 1))
    probs[6:] = [[0.49, 0.41, 0.1], [0.1, 0.41, 0.49]] * 6  # 0.41 on average, and never the most
    assert evaluation._delay(probs) == math.inf
    assert evaluation._delay(np.tile([0.1, 0.8, 0.1], (18, 1))) == 3.0
