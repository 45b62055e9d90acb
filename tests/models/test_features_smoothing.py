"""The causal filter of entropy: a known filter, gaps, grids of their own, and the same live as offline."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acquisition.types import Step
from models.features.config import FeatureConfig
from models.features.smoothing import EntropySmoother, smoothed
from models.steps import StepFeatures, usable_channels

Q = 0.1
STEADY = (-Q + np.sqrt(Q * Q + 4 * Q)) / 2  # the gain of a local-level filter after a while


def test_a_constant_stays_and_a_jump_is_followed_by_the_steady_gain():
    rows = np.zeros((200, 1, 1), np.float32)
    rows[100:] = 1.0
    found = smoothed(rows, Q)[:, 0, 0]
    assert (found[:100] == 0).all()
    np.testing.assert_allclose(1 - found[100:110], (1 - STEADY) ** np.arange(1, 11), rtol=1e-5)


def test_noise_shrinks_as_the_filter_says_and_nothing_looks_ahead():
    rows = np.random.default_rng(0).normal(size=(4000, 2, 3)).astype(np.float32)
    found = smoothed(rows, Q)
    expected = np.sqrt(STEADY / (2 - STEADY))  # of white noise through an exponential average
    assert found[50:].std() == pytest.approx(expected, rel=0.05)
    assert np.array_equal(smoothed(rows[:60], Q), found[:60])
    assert smoothed(rows, None) is rows


def test_a_gap_only_predicts_and_the_next_step_counts_for_more():
    rows = np.zeros((40, 2, 1), np.float32)
    rows[20:30, 0] = np.nan
    rows[30] = 1.0
    found = smoothed(rows, Q)
    assert np.isnan(found[20:30, 0]).all()
    assert np.isfinite(found[20:30, 1]).all()
    variance = STEADY + 11 * Q
    assert found[30, 0, 0] == pytest.approx(variance / (1 + variance), rel=1e-3)
    assert found[30, 1, 0] == pytest.approx(STEADY, rel=1e-3)


def test_each_grid_has_its_own_filter_and_going_back_starts_anew():
    smoother, zero, one = EntropySmoother(Q), torch.zeros(1, 1), torch.ones(1, 1)
    smoother(10.0, zero)
    assert smoother(10.25, one).item() == 1.0
    assert smoother(11.0, one).item() < 1.0
    assert smoother(11.25, one).item() == 1.0
    assert smoother(5.0, one).item() == 1.0
    missing = smoother(6.0, torch.full((1, 1), torch.nan))
    assert missing.isnan().all()
    assert smoother(7.0, torch.zeros(2, 1)).tolist() == [[0.0], [0.0]]  # other channels


def test_steps_of_a_stream_are_smoothed_as_those_of_a_trial_until_it_is_reset():
    config, sfreq = FeatureConfig(smoothing=Q), 200.0
    x = np.random.default_rng(1).normal(size=(6, 3, 200)) * 10
    x[3, 1] = 0.0  # flat
    plain, smooth = (
        StepFeatures(FeatureConfig(), torch.device("cpu")),
        StepFeatures(config, torch.device("cpu")),
    )
    steps = [Step(4 * at, float(at), True, 1.0, sfreq, data) for at, data in enumerate(x)]
    rows = np.stack([plain.eeg(step).usable_de.numpy() for step in steps])
    found = np.stack([smooth.eeg(step).usable_de.numpy() for step in steps])
    np.testing.assert_array_equal(found, smoothed(rows, Q))
    assert np.isnan(found[3, 1]).all()
    smooth.reset()
    again = np.stack([smooth.eeg(step).usable_de.numpy() for step in steps])
    np.testing.assert_array_equal(again, found)


def test_the_setting_is_in_the_digest_and_off_is_as_before():
    before = "as models were hashed before"
    assert FeatureConfig(smoothing=Q).digest() != FeatureConfig().digest(), before
    settings = FeatureConfig().to_dict()
    del settings["smoothing"]
    assert FeatureConfig.from_dict(settings) == FeatureConfig()


def test_a_channel_that_counts_packets_is_not_usable():
    counter, noise = 2.0 * (np.arange(250) % 127), np.random.default_rng(0).standard_normal(250)
    assert usable_channels(np.stack([counter, noise])).tolist() == [False, True]
