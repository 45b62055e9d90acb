"""What simulated people cannot judge is refused before any of them is simulated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.subject import EMOTIONS
from models.checkpoint import load_checkpoint
from models.training.evaluate_simulated import check_simulated, evaluate_simulated
from models.training.simulated import SimulatedSubjects


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
