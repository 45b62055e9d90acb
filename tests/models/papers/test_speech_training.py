"""The voice network learns, repeats itself and cannot see padding; speaker scaling and scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.config import AstConfig
from models.papers.speech.committee import by_own_speaker, speaker_scores
from models.papers.speech.network import (
    N_ROWS,
    RowScale,
    VoiceNetwork,
    VoiceNetworkConfig,
    predict,
    stack,
    train_voice_network,
)
from models.training.scores import balanced_accuracy

TINY = replace(
    VoiceNetworkConfig(),
    encoder=AstConfig(width=16, n_layers=1, n_heads=2, ffn_dim=16, n_mels=N_ROWS),
    pretrain_epochs=1,
    epochs=20,
    crop_frames=48,
    head_dropout=0.0,
)


def clips_of(label: np.ndarray, seed: int = 0) -> list[list[torch.Tensor]]:
    """Noise, higher by three in class 1."""
    rng = torch.Generator().manual_seed(seed)
    made = []
    for value in label:
        clip = torch.randn(60, N_ROWS, generator=rng) + 3.0 * float(value)
        made.append([clip, clip + 0.01])
    return made


def test_network_learns_and_the_same_seed_gives_the_same_weights() -> None:
    label = np.arange(24) % 2
    trained = [train_voice_network(clips_of(label), label, 2, TINY, seed=3) for _ in range(2)]
    first, second = (network.state_dict() for network, _ in trained)
    assert all(torch.equal(first[name], second[name]) for name in first)
    network, scale = trained[0]
    answer = predict(network, scale, [own[0] for own in clips_of(label, seed=9)])
    assert np.allclose(answer.sum(axis=1), 1)
    assert balanced_accuracy(label, answer.argmax(axis=1)) > 0.9


def test_training_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    label = np.arange(4) % 2
    train_voice_network(clips_of(label), label, 2, replace(TINY, epochs=1), seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_padding_of_a_batch_is_not_seen() -> None:
    torch.manual_seed(0)
    network = VoiceNetwork(TINY, 2).eval()
    short, long = torch.randn(40, N_ROWS), torch.randn(90, N_ROWS)
    alone = network(*stack([short]))
    assert torch.allclose(network(*stack([short, long]))[:1], alone, atol=1e-5)


def test_scale_is_of_the_clips_given() -> None:
    clip = torch.randn(200, N_ROWS) * 3 + 5
    scaled = RowScale.fit([clip])(clip)
    assert float(scaled[:, 128:].mean(dim=0).abs().max()) < 1e-4
    assert float(scaled[:, :128].std()) == pytest.approx(1, abs=1e-3)


def test_scaling_by_own_speaker_uses_originals_of_that_speaker_only() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((10, 2, 3))
    speaker = np.repeat(["a", "b"], 5)
    moved = values.copy()
    moved[:5] = moved[:5] * 4 + 100
    scaled, scaled_moved = by_own_speaker(values, speaker), by_own_speaker(moved, speaker)
    assert np.allclose(scaled, scaled_moved, atol=1e-4)
    assert np.allclose(scaled[:5, 0].mean(axis=0), 0)


def test_scores_take_the_speaker_as_unit() -> None:
    label = np.array([0, 0, 0, 1, 0, 1])
    answer = np.array([0, 0, 0, 0, 0, 1])
    speaker = np.array(["a", "a", "a", "a", "b", "b"])
    found = speaker_scores(label, answer, speaker, 2)
    assert found["speakers"] == {"a": 0.5, "b": 1.0}
    assert found["mean"] == 0.75
    assert found["pooled"] == pytest.approx((1 + 0.5) / 2)
    assert found["confusion"] == [[4, 0], [1, 1]]
    assert found["interval"] == [0.0, 1.0]  # cut
