"""Scales: fitted without NaN, kept by safetensors, moved by a baseline and marked so."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from acquisition.errors import ErrorCode, InputError
from models.normalise import Baseline, Normaliser, fit_eeg, fit_eye


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def entropy(n_steps: int = 500) -> torch.Tensor:
    return 2.0 + 0.5 * torch.randn(n_steps, 4, 5, generator=generator())


def eye(n_steps: int = 500) -> torch.Tensor:
    return 3.0 + torch.randn(n_steps, 33, generator=generator())


def test_eeg_becomes_z_scores_and_nan_the_mean():
    x = entropy()
    x[3, 1] = torch.nan
    scale = fit_eeg(x)
    z = scale.apply(x)
    assert z.mean(0).abs().max() < 1e-4
    assert (z.std(0) - 1).abs().max() < 0.01
    assert torch.equal(z[3, 1], torch.zeros(5))
    assert torch.equal(scale.select(torch.tensor([2, 0])).apply(x[:, [2, 0]]), z[:, [2, 0]])


def test_a_channel_never_seen_is_refused_and_a_flat_one_is_not_blown_up():
    x = entropy()
    x[:, 2] = 1.0
    assert fit_eeg(x).apply(x)[:, 2].abs().max() < 1e-3
    x[:, 2] = torch.nan
    with pytest.raises(InputError) as caught:
        fit_eeg(x)

    assert caught.value.code == ErrorCode.DATA


def test_eye_features_lie_in_10_to_100_and_outliers_are_clipped():
    x = eye()
    scale = fit_eye(x)
    scaled = scale.apply(x)
    assert scaled.amin(0).tolist() == pytest.approx([10.0] * 33, abs=1e-3)
    assert scaled.amax(0).tolist() == pytest.approx([100.0] * 33, abs=1e-3)
    assert scale.apply(x + 1000).unique().tolist() == [100.0]
    assert scale.apply(x - 1000).unique().tolist() == [10.0]


def test_missing_eye_features_take_the_training_mean():
    x = eye()
    x[::2, 4] = torch.nan
    x[:, 7] = torch.nan
    x[:, 8] = 3.0
    scale = fit_eye(x)
    scaled = scale.apply(x)
    assert torch.isfinite(scaled).all()
    assert scaled[0, 4] == pytest.approx(scaled[1::2, 4].mean().item(), abs=1e-3)
    assert scaled[:, 7:9].unique().tolist() == [55.0]


def test_tensors_survive_a_file_and_apply_alike():
    before = Normaliser(fit_eeg(entropy()), fit_eye(eye()))
    after = Normaliser.from_dict(load(save(before.to_dict())))
    assert torch.equal(after.eeg.apply(entropy()), before.eeg.apply(entropy()))
    assert torch.equal(after.eye.apply(eye()), before.eye.apply(eye()))
    assert Normaliser.from_dict({}).eye is None


def rested(normaliser, **rows):
    baseline = Baseline(60.0)
    for modality, steps in rows.items():
        for at, step in enumerate(steps):
            baseline.add(float(at), modality, step)
    return baseline.refit(normaliser)


def test_baseline_moves_the_persons_rest_to_the_training_mean():
    trained = Normaliser(fit_eeg(entropy()), fit_eye(eye()))
    own = rested(trained, eeg=entropy(60) + 1.5, eye=eye(60) + 2.0)
    assert (trained.origin, own.origin) == ("training", "baseline of 60 s")
    assert own.eeg.apply(entropy(60) + 1.5).mean(0).abs().max() < 1e-4
    assert torch.equal(own.eeg.sd, trained.eeg.sd)
    middle = trained.eye.apply(trained.eye.mean)
    assert torch.allclose(own.eye.apply((eye(60) + 2.0).mean(0)), middle, atol=1e-2)


def test_baseline_keeps_what_it_did_not_measure():
    trained = Normaliser(fit_eeg(entropy()), fit_eye(eye()))
    rest = entropy(60)
    rest[:, 1] = torch.nan
    own = rested(trained, eeg=rest)
    assert torch.equal(own.eeg.mean[1], trained.eeg.mean[1])
    assert torch.equal(own.eye.low, trained.eye.low)


def test_a_short_baseline_is_refused():
    with pytest.raises(InputError) as caught:
        rested(Normaliser(fit_eeg(entropy())), eeg=entropy(5))
    assert caught.value.code == ErrorCode.DATA
