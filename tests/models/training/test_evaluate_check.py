"""What simulated people cannot judge is refused before any of them is simulated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from acquisition.errors import InputError
from acquisition.simulator.subject import EMOTIONS
from models.checkpoint import load_checkpoint
from models.training.simulated import EvaluationOptions, check_simulated, evaluate_simulated


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"is_classifier": False}, "expected a classifier, found pre-trained encoders"),
        ({"feature_origin": "published"}, "expected raw features, found published features"),
        ({"modalities": ("eye",)}, "expected modalities eeg, eye, face, voice, found modalities eye"),
        ({"labels": ("left", "right", "idle", "up", "down")}, "expected labels disgust.*found labels left"),
        ({"labels": EMOTIONS[::-1]}, ".*found labels happy, neutral"),
    ],
)
def test_a_model_that_simulated_people_cannot_judge_is_refused(
    random_model: Path, changes: dict[str, object], said: str
) -> None:
    checkpoint = load_checkpoint(random_model)
    odd = replace(checkpoint, config=replace(checkpoint.config, **changes))

    def simulates_nobody(*_: object) -> None:
        raise AssertionError("it began")

    with pytest.raises(InputError, match=f"--model: simulated people cannot judge this model: {said}"):
        evaluate_simulated(odd, EvaluationOptions(n_subjects=1), simulates_nobody)
    check_simulated(checkpoint.config)
