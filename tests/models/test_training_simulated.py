"""Training and evaluation on simulated subjects, small enough to run as a test."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acquisition.types import MODALITIES
from models.checkpoint import load_checkpoint
from models.features.config import FeatureConfig
from models.training.scores import wilson_interval
from tests.studies.demo_model.data import Augment, SubjectPlan, simulate_subject, thinned
from tests.studies.demo_model.training import (
    FIRST_TRAINING_SEED,
    SimulatedSubjects,
    TrainingOptions,
    best_weights,
    train_simulated,
)
from tests.studies.simulated_subjects import CAPS, FIRST_EVALUATION_SEED, evaluate_simulated
from tests.studies.stage import StageOptions, train_stage

OPTIONS = TrainingOptions(n_subjects=11, n_encoder_subjects=5, n_trials=5, trial_s=10.0, epochs_scale=0.1)


def nothing(stage: str, share: float, loss: float) -> None:
    """Take progress and do nothing with it."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, train_simulated(folder, OPTIONS, nothing)


@pytest.mark.slow
def test_training_writes_a_model_that_says_what_it_was_trained_on(trained):
    folder, sha256 = trained
    checkpoint = load_checkpoint(folder)
    assert checkpoint.sha256 == sha256
    assert checkpoint.config.trained_on == "simulated data only"
    assert "Not for workplaces or" in (folder / "README.md").read_text()
    assert {"eeg_mean", "eye_low", "face_mean", "voice_mean"} <= set(checkpoint.normaliser_tensors)
    assert checkpoint.evidence is not None
    assert checkpoint.evidence.discriminant.modalities == MODALITIES
    assert set(checkpoint.evidence.range.bounds) == set(MODALITIES)
    assert checkpoint.config.answers is not None
    assert checkpoint.config.answers.n_subjects == 6  # only those that the encoders have not seen


@pytest.mark.slow
def test_evaluation_reports_every_condition_with_chance_and_intervals(trained):
    options = SimulatedSubjects(n_subjects=1, n_trials=5, trial_s=10.0, n_jobs=1)
    result = evaluate_simulated(load_checkpoint(trained[0]), options, nothing)
    assert result["chance"] == 0.2
    assert (result["n_subjects"], result["n_trials"]) == (1, 5)
    assert (result["by_subject"], result["interval_over_subjects"]) == ([result["all"]], None)
    for group, keys in (("only", MODALITIES), ("without", MODALITIES), ("channels", CAPS)):
        assert set(result[group]) == set(result[f"{group}_window"]) == set(keys)
        for key, accuracy in result[group].items():
            low, high = result["interval"][group][key]
            assert low <= accuracy <= high


@pytest.mark.slow
def test_a_brief_evaluation_has_the_answers_alone(trained):
    options = SimulatedSubjects(n_subjects=1, n_trials=5, trial_s=10.0, n_jobs=1)
    result = evaluate_simulated(load_checkpoint(trained[0]), options, nothing, brief=True)
    assert "only" not in result
    assert 0 <= result["ece"] <= 1


def test_a_part_that_says_nothing_of_the_label_gets_no_weight():
    rng = np.random.default_rng(5)
    label = torch.from_numpy(rng.integers(0, 3, 400))
    telling = torch.nn.functional.one_hot(label, 3).float() + 0.5 * torch.from_numpy(
        rng.standard_normal((400, 3)).astype(np.float32)
    )
    against = -telling
    telling_weight, weight_against = best_weights(torch.stack([telling, against]), label)
    assert telling_weight > 1.0
    assert weight_against == 0.0


def test_rows_of_one_subject_come_together_where_a_stage_is_told_the_subjects():
    subject = np.repeat([0, 1, 2], 100)
    seen: list[np.ndarray] = []
    weight = torch.nn.Parameter(torch.zeros(1))

    def loss(at: np.ndarray) -> torch.Tensor:
        seen.append(at)
        return weight.sum()

    options = StageOptions(epochs=1, batch_size=32, learning_rate=1e-3)
    train_stage([weight], loss, np.arange(300), options, np.random.default_rng(0), subject=subject)
    assert all(len(np.unique(subject[at])) <= 2 for at in seen)
    rows = np.concatenate(seen[:9])  # what no run holds comes from a second pass
    assert len(np.unique(rows)) == len(rows) == 3 * 96


def test_evaluation_subjects_are_never_training_subjects():
    seeds = [plan.seed for plan in TrainingOptions(n_subjects=10_000).plans(FIRST_TRAINING_SEED)]
    assert max(seeds) < FIRST_EVALUATION_SEED


def test_rows_hold_what_the_live_path_computes():
    subject = simulate_subject(SubjectPlan(seed=3, n_trials=2, trial_s=10.0), FeatureConfig())
    assert len(subject.t_end) == 20
    assert np.isfinite(subject.de).all()
    assert subject.has_crop.all()
    assert np.isnan(subject.eye[:3]).all()  # an eye step needs four seconds
    assert np.isfinite(subject.eye[6:]).any(axis=1).all()
    assert subject.n_frames[5] == 498
    np.testing.assert_array_equal(np.diff(subject.trial), np.arange(1, 20) == 10)


def test_thinning_keeps_the_newest_three_steps():
    step_mask = torch.ones(200, 10, dtype=torch.bool)
    before = torch.zeros(200, 10, dtype=torch.bool)
    before[:, :6] = True
    kept = thinned(step_mask, before, Augment(), np.random.default_rng(0))
    assert kept[:, -3:].all()
    assert 0.1 < kept[:, :6].float().mean() < 0.6


def test_wilson_interval_of_eight_in_ten():
    low, high = wilson_interval(0.8, 10)
    assert (low, high) == (pytest.approx(0.490, abs=0.001), pytest.approx(0.943, abs=0.001))


def test_wilson_interval_holds_the_share_where_none_or_all_are_right():
    for n in range(1, 60):
        assert wilson_interval(0.0, n)[0] == 0.0
        assert wilson_interval(1.0, n)[1] == 1.0
