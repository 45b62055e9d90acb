"""A projection that begins its training where a discriminant ends."""

import numpy as np
import pytest
import torch

from models.encoders.layers import ChannelWeights
from models.training.finetune_tokens import whitened, within_class_whitener


def samples(n=400, seed=0):
    """Two classes that differ in column 0, beside columns that vary ten times more."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    x = rng.standard_normal((n, 4)) * (1.0, 10.0, 10.0, 0.0)
    x[:, 2] += x[:, 1]
    x[:, 0] += 3.0 * label
    return x, label


def test_samples_scatter_alike_within_classes():
    x, label = samples()
    white = x @ within_class_whitener(x, label)
    for each in (0, 1):
        covariance = np.cov(white[label == each][:, :3].T)
        assert np.diag(covariance) == pytest.approx([1, 1, 1], abs=0.25)
        assert abs(covariance[1, 2]) < 0.25  # they were correlated by 0.7


def test_column_that_never_varies_stays_finite():
    assert np.isfinite(within_class_whitener(*samples())).all()


def test_projection_begins_with_what_tells_the_classes_apart():
    x, label = samples()
    torch.manual_seed(0)
    projection = ChannelWeights(dim=2, n_positions=2, width=6)
    inputs = torch.from_numpy(x).float()
    labels = torch.from_numpy(label)
    white = torch.from_numpy(within_class_whitener(x, label)).float()
    with whitened(projection, white, torch.arange(2), (inputs, labels)):
        read = (inputs @ projection.weight.flatten(0, 1)).detach().numpy()
    gap = np.abs(read[label == 0].mean(axis=0) - read[label == 1].mean(axis=0)) / read[label == 0].std(axis=0)
    assert np.median(gap) > 2.0  # of 3, which column 0 alone has


def test_weights_are_plain_afterwards_and_those_of_the_end():
    x, label = samples()
    projection = ChannelWeights(dim=2, n_positions=3, width=6)
    before = projection.weight.detach().clone()
    inputs, labels = torch.from_numpy(x).float(), torch.from_numpy(label)
    white, places = torch.from_numpy(within_class_whitener(x, label)).float(), torch.tensor([0, 2])
    with whitened(projection, white, places, (inputs, labels)):
        inside = projection.weight.detach().clone()
    assert torch.equal(projection.weight, inside)
    with whitened(projection, white, places, None):  # going on from what has trained
        assert torch.allclose(projection.weight, inside, atol=1e-5)
    assert set(projection.state_dict()) == {"weight", "bias", "center", "known"}
    assert not torch.equal(projection.weight[[0, 2]], before[[0, 2]])


def test_absent_channels_count_as_their_mean_whatever_they_hold():
    torch.manual_seed(0)
    projection = ChannelWeights(dim=2, n_positions=3, width=4)
    projection.center.copy_(torch.randn(3, 2))
    tokens, mask = torch.randn(1, 1, 3, 2), torch.tensor([[True, False, True]])
    read = projection(tokens, mask, torch.arange(3))
    tokens[0, 0, 1] = torch.nan
    assert torch.equal(projection(tokens, mask, torch.arange(3)), read)
    deviation = (tokens - projection.center)[0, 0, [0, 2]].flatten()
    expected = 1.5 * deviation @ projection.weight[[0, 2]].flatten(0, 1) + projection.bias
    torch.testing.assert_close(read[0, 0], expected)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_window_a_class_leaves_weights_of_a_usual_size(n):
    x = np.random.default_rng(0).standard_normal((n, 4))
    assert np.abs(within_class_whitener(x, np.arange(n))).max() < 20


def test_channels_that_training_never_had_are_taken_for_absent():
    torch.manual_seed(0)
    projection = ChannelWeights(dim=2, n_positions=3, width=4)
    projection.known[1] = False
    tokens = torch.randn(1, 1, 3, 2)
    every, known = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[True, False, True]])
    assert torch.equal(projection(tokens, every, torch.arange(3)), projection(tokens, known, torch.arange(3)))
    scaled = projection(tokens, every, torch.arange(3)) - projection.bias
    torch.testing.assert_close(
        scaled[0, 0], tokens[0, 0, [0, 2]].flatten() @ projection.weight[[0, 2]].flatten(0, 1)
    )
