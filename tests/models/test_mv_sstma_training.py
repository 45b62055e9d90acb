"""The training path of MV-SSTMA: its own attention and gradients against plain PyTorch."""

from __future__ import annotations

import pytest
import torch

from models.config import MvSstmaConfig
from models.encoders import mv_sstma_block
from models.encoders.mv_sstma import MvSstmaEncoder
from models.encoders.mv_sstma_block import channel_attention, padded_attention
from tests.benchmarks.reference_mv_sstma import ReferenceMvSstma, gradients_by_encoder_name

N_MAPS, N_CHANNELS, WIDTH = 50, 14, 4


def softmax_attention(packed, key_bias):
    query, key, value = packed.split(WIDTH, dim=1)
    attention = torch.softmax(query.transpose(1, 2) @ key * WIDTH**-0.5 + key_bias, dim=-1)
    return value @ attention.transpose(1, 2), attention


@pytest.fixture
def maps(monkeypatch):
    """Queries, keys and values of 50 maps that are worked on seven at a time, keys hidden in some."""
    monkeypatch.setattr(mv_sstma_block, "_CHUNK_ELEMENTS", 7 * N_CHANNELS**2)
    generator = torch.Generator().manual_seed(0)
    packed = torch.randn(N_MAPS, 3 * WIDTH, N_CHANNELS, generator=generator, dtype=torch.float64)
    key_bias = torch.zeros(N_MAPS, 1, N_CHANNELS, dtype=torch.float64)
    key_bias[:20, :, [3, 8]] = -1e9
    return packed, key_bias


@pytest.mark.parametrize("attend", [lambda *maps: channel_attention(*maps)[0], padded_attention])
@pytest.mark.parametrize("size", [1.0, 30.0])  # scores of thousands, where exponentials alone overflow
def test_attention_and_its_gradient_equal_softmax(maps, attend, size):
    packed, key_bias = maps
    results = []
    for function in (attend, lambda *maps: softmax_attention(*maps)[0]):
        inputs = (packed * size).requires_grad_()
        context = function(inputs, key_bias)
        context.backward(torch.linspace(-1, 1, context.numel(), dtype=torch.float64).view_as(context))
        results.append((context.detach(), inputs.grad))
    (context, grad), (expected, expected_grad) = results
    assert torch.allclose(context, expected, atol=1e-10)
    assert torch.allclose(grad, expected_grad, atol=1e-9)


def test_the_blocks_train_alike_with_the_attention_of_a_gpu(monkeypatch):
    torch.manual_seed(0)
    encoder = MvSstmaEncoder(MvSstmaConfig(n_layers=2, dropout=0.0), 10).train()
    steps, channels = torch.ones(3, 4, dtype=torch.bool), torch.ones(3, 10, dtype=torch.bool)
    inputs = (torch.randn(3, 10, 4, 5), torch.arange(10), steps, channels)
    expected, _ = encoder(*inputs)

    def as_a_gpu_does(packed, bias, rows=None):
        received = None if rows is None else channel_attention(packed, bias, rows)[1]
        return padded_attention(packed, bias), received

    monkeypatch.setattr(mv_sstma_block, "channel_attention", as_a_gpu_does)
    tokens, _ = encoder(*inputs)
    assert torch.allclose(tokens, expected, atol=1e-5)
    tokens.sum().backward()


def test_attention_received_is_that_of_the_weighted_queries(maps):
    packed, key_bias = maps
    weight = torch.rand(N_MAPS, 1, N_CHANNELS, dtype=torch.float64)
    _, received = channel_attention(packed, key_bias, weight)
    assert torch.allclose(received, weight @ softmax_attention(packed, key_bias)[1], atol=1e-12)


def test_a_map_without_a_visible_key_gives_nothing_and_takes_no_gradient(maps):
    packed, key_bias = maps
    key_bias[5] = -1e9
    inputs = packed.clone().requires_grad_()
    context, _ = channel_attention(inputs, key_bias)
    context.sum().backward()
    assert context[5].eq(0).all()
    assert inputs.grad[5].eq(0).all()
    assert inputs.grad.isfinite().all()


@pytest.mark.parametrize("shared", [True, False])
def test_a_training_step_has_the_gradients_of_the_plain_module(shared):
    torch.manual_seed(0)
    encoder = MvSstmaEncoder(MvSstmaConfig(dropout=0.0, shared_attention=shared), N_CHANNELS)
    reference = ReferenceMvSstma.from_encoder(encoder).train()
    encoder.train()
    windows = (
        torch.randn(8, N_CHANNELS, 10, 5),
        torch.arange(N_CHANNELS),
        torch.ones(8, 10, dtype=torch.bool),
        torch.ones(8, N_CHANNELS, dtype=torch.bool),
    )
    target = torch.randn(8, 10, N_CHANNELS, 16)
    tokens, plain = encoder(*windows)[0], reference(*windows)
    (tokens * target).sum(dim=(1, 2, 3)).mean().backward()
    (plain * target).sum(dim=(1, 2, 3)).mean().backward()
    assert (tokens - plain).abs().max() < 1e-4
    expected = gradients_by_encoder_name(reference, encoder)
    for name, parameter in encoder.named_parameters():
        largest = expected[name].abs().max()
        assert (parameter.grad - expected[name]).abs().max() < 1e-4 * max(1.0, float(largest)), name


def test_running_statistics_are_kept_though_the_norm_is_part_of_the_projection():
    torch.manual_seed(0)
    encoder = MvSstmaEncoder(MvSstmaConfig(n_layers=1, dropout=0.0), N_CHANNELS)
    reference = ReferenceMvSstma.from_encoder(encoder).train()
    windows = (
        torch.randn(8, N_CHANNELS, 10, 5),
        torch.arange(N_CHANNELS),
        torch.ones(8, 10, dtype=torch.bool),
        torch.ones(8, N_CHANNELS, dtype=torch.bool),
    )
    encoder.train()(*windows)
    reference(*windows)
    for own, library in zip(encoder.blocks[0].norms, reference.blocks[0].norms, strict=True):
        assert torch.allclose(own.running_mean, library.running_mean, atol=1e-5)
        assert torch.allclose(own.running_var, library.running_var, atol=1e-5)
