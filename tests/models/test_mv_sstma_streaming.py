"""MV-SSTMA that streams: one step at a time is the whole sequence, and nothing reaches across a gap."""

from __future__ import annotations

import pytest
import torch

from models.config import MvSstmaConfig
from models.encoders.mv_sstma import MvSstmaEncoder, steps_since_gap

N_CHANNELS, N_STEPS = 9, 24


@pytest.fixture(scope="module")
def encoder() -> MvSstmaEncoder:
    torch.manual_seed(0)
    encoder = MvSstmaEncoder(MvSstmaConfig(n_layers=3, context="streaming"), N_CHANNELS).eval()
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.3, 3.0)
    return encoder


def sequence(n_steps=N_STEPS):
    """Return features (1, C, T, F), valid steps and a channel that comes and goes."""
    torch.manual_seed(1)
    step_mask = torch.ones(1, n_steps, dtype=torch.bool)
    channel_mask = torch.ones(1, n_steps, N_CHANNELS, dtype=torch.bool)
    channel_mask[0, 4:7, 2] = False
    return torch.randn(1, N_CHANNELS, n_steps, 5), step_mask, channel_mask


def stepped(encoder, features, step_mask, channel_mask):
    """Return tokens (T, C, D) and attention received (T, C), made one step at a time."""
    positions, state = torch.arange(N_CHANNELS), encoder.start(N_CHANNELS)
    tokens, received = [], []
    for at in range(features.shape[2]):
        if not step_mask[0, at]:
            state = encoder.start(N_CHANNELS)
            tokens.append(torch.zeros(N_CHANNELS, encoder.config.dim))
            received.append(torch.zeros(N_CHANNELS))
            continue
        token, looked = encoder.step(features[:, :, at], positions, channel_mask[:, at], state)
        tokens.append(token[0, 0])
        received.append(looked[0])
    return torch.stack(tokens), torch.stack(received)


@pytest.mark.parametrize("folded", [False, True])
@torch.no_grad()
def test_stepping_equals_the_whole_sequence(encoder, folded):
    features, step_mask, channel_mask = sequence()
    step_mask[0, [3, 15, 16]] = False
    whole, _ = encoder(features, torch.arange(N_CHANNELS), step_mask, channel_mask)
    if folded:
        encoder.fold()
    tokens, _ = stepped(encoder, features, step_mask, channel_mask)
    encoder.unfold()
    assert (tokens - whole[0])[step_mask[0]].abs().max() < 1e-5


@torch.no_grad()
def test_attention_received_adds_up_over_the_newest_steps(encoder):
    features, step_mask, channel_mask = sequence()
    _, received = encoder(features, torch.arange(N_CHANNELS), step_mask, channel_mask, n_looked_at=20)
    _, by_step = stepped(encoder, features, step_mask, channel_mask)
    weight = channel_mask[0].sum(dim=1, keepdim=True)[-20:]
    assert torch.allclose(received[0], (by_step[-20:] * weight).sum(dim=0) / weight.sum(), atol=1e-5)
    assert float(received.sum()) == pytest.approx(1.0, abs=1e-5)


@torch.no_grad()
def test_nothing_reaches_across_a_gap(encoder):
    features, step_mask, channel_mask = sequence()
    step_mask[0, 12] = False
    whole, _ = encoder(features, torch.arange(N_CHANNELS), step_mask, channel_mask)
    after, _ = encoder(features[:, :, 13:], torch.arange(N_CHANNELS), step_mask[:, 13:], channel_mask[:, 13:])
    assert (whole[:, 13:] - after).abs().max() < 1e-5


@torch.no_grad()
def test_a_step_depends_on_the_left_context_and_on_nothing_before(encoder):
    n_context_steps = encoder.config.n_context_steps
    assert n_context_steps == 18
    features, step_mask, channel_mask = sequence()
    channel_mask[:] = True
    positions = torch.arange(N_CHANNELS)

    def newest(values):
        return encoder(values, positions, step_mask, channel_mask)[0][0, -1]

    before = newest(features)
    changed = features.clone()
    changed[:, :, : N_STEPS - 1 - n_context_steps] += 3.0
    assert torch.equal(newest(changed), before)
    changed[:, :, N_STEPS - 1 - n_context_steps] += 3.0
    assert not torch.equal(newest(changed), before)


def test_the_window_form_has_no_left_context():
    assert MvSstmaConfig().n_context_steps == 0


def test_steps_since_gap_on_a_known_mask():
    mask = torch.tensor([[True, True, False, True, True]])
    assert steps_since_gap(mask, 3).int().tolist() == [
        [[0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 0, 1], [0, 1, 1]],
    ]
