"""A person's first seconds in place of the training statistics."""

from __future__ import annotations

import pytest
import torch

from acquisition.errors import InputError
from models.normalise import Baseline, EegScale, EyeScale, Normaliser

TRAINED = Normaliser(
    EegScale(torch.zeros(2, 5), torch.ones(2, 5)),
    EyeScale(torch.zeros(3), torch.ones(3), torch.full((3,), 0.5)),
)


def baseline(n_eeg: int, n_eye: int) -> Baseline:
    collected = Baseline(10.0)
    for at in range(n_eeg):
        collected.add(float(at), "eeg", torch.full((2, 5), 2.0))
    for at in range(n_eye):
        collected.add(float(at), "eye", torch.full((3,), 0.7))
    return collected


def test_modality_with_too_few_steps_keeps_the_training_statistics():
    own = baseline(n_eeg=12, n_eye=4).refit(TRAINED)
    assert own.origin == "baseline of 10 s"
    assert own.eeg is not None
    assert own.eye is not None
    assert own.eeg.mean.eq(2.0).all()
    assert own.eye.mean.eq(0.5).all()


def test_baseline_without_enough_steps_of_anything_is_refused():
    with pytest.raises(InputError, match="expected at least 10 valid steps of EEG or gaze, got 4"):
        baseline(n_eeg=3, n_eye=4).refit(TRAINED)


def test_baseline_is_over_after_its_seconds_of_data():
    collected = baseline(n_eeg=1, n_eye=0)
    assert not collected.is_over(9.9)
    assert collected.is_over(10.0)
    assert not Baseline(10.0).is_over(1e9)  # nothing has come yet
