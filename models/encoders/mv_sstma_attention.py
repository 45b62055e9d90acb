"""Attention over channels for training: forward and backward without an attention map in memory.

Heads of MV-SSTMA are four wide, so a (C, C) map is fifteen times its queries, keys and values together, and
what costs is moving maps: the library's kernels and autograd's chain of single operations write each of them
to memory several times. Here a few maps at a time are made, used and forgotten while they lie in the
processor's cache, and made again in the backward pass (as FlashAttention does; Dao et al. 2022, algorithm 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_LOG2_E = 1.0 / math.log(2.0)
_CHUNK_ELEMENTS = 1_000_000  # of maps worked on at a time, 4 MB: smaller parts cost more calls
_SAFE_SCORE = 100.0  # 2**100 times any number of channels is still a float32
_TINY = 1e-30  # the sum of a row whose keys are all hidden is 0


class _Scratch(NamedTuple):
    """Memory for one chunk of n maps, and the rows that turn sums and biases into parts of a product."""

    query: Tensor  # (n, width + 1, C), scaled to the base 2; the last row is 1
    key: Tensor  # (n, width + 1, C), the last row is the bias of the key
    value: Tensor  # (n, width + 1, C), the last row is 1
    maps: Tensor  # (n, C, C), exponentials not yet divided by their sum

    @classmethod
    def like(cls, packed: Tensor, n_maps: int) -> _Scratch:
        """Return memory for ``n_maps`` maps of the sizes of ``packed`` (N, 3 width, C)."""
        width, n_channels = packed.shape[1] // 3, packed.shape[2]
        query, key, value = (packed.new_ones(n_maps, width + 1, n_channels) for _ in range(3))
        return cls(query, key, value, packed.new_empty(n_maps, n_channels, n_channels))

    def first(self, n: int) -> _Scratch:
        """Return the memory of the first ``n`` maps."""
        return _Scratch(*(tensor[:n] for tensor in self))

    def fill(self, packed: Tensor, key_bias: Tensor) -> None:
        """Compute the exponentials of a chunk: of queries, keys and values (n, 3 width, C)."""
        width = packed.shape[1] // 3
        torch.mul(packed[:, :width], width**-0.5 * _LOG2_E, out=self.query[:, :width])
        self.key[:, :width].copy_(packed[:, width : 2 * width])
        self.key[:, width].copy_(key_bias[:, 0])
        self.value[:, :width].copy_(packed[:, 2 * width :])
        scores = torch.bmm(self.query.transpose(1, 2), self.key, out=self.maps)
        longest = [rows[:, :width].square().sum(dim=1).max() for rows in (self.query, self.key)]
        # By Cauchy-Schwarz no score is larger; seldom is one so large that its row's maximum must go first.
        if not float(longest[0] * longest[1]) <= _SAFE_SCORE**2:
            scores.sub_(scores.amax(dim=-1, keepdim=True))
        torch.exp2(scores, out=self.maps)


def _chunks(n_maps: int, n_channels: int) -> Iterator[slice]:
    size = max(1, _CHUNK_ELEMENTS // n_channels**2)
    for start in range(0, n_maps, size):
        yield slice(start, min(start + size, n_maps))


class _ChannelAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, key_bias: Tensor, query_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        n_maps, n_rows, n_channels = packed.shape
        width = n_rows // 3
        sums = packed.new_empty(n_maps, width + 1, n_channels)
        received = packed.new_zeros(n_maps if query_weight is not None else 0, 1, n_channels)
        chunks = list(_chunks(n_maps, n_channels))
        scratch = _Scratch.like(packed, chunks[0].stop) if chunks else None
        for at in chunks:
            assert scratch is not None
            part = scratch.first(at.stop - at.start)
            part.fill(packed[at], key_bias[at])
            torch.bmm(part.value, part.maps.transpose(1, 2), out=sums[at])  # the last row adds up the map's
            if query_weight is not None:
                weight = query_weight[at] / sums[at, width:].clamp_min(_TINY)
                torch.bmm(weight, part.maps, out=received[at])
        share = sums[:, width:].clamp_(min=_TINY).reciprocal_()  # (N, 1, C)
        context = sums[:, :width] * share
        ctx.save_for_backward(packed, key_bias, context, share)
        ctx.mark_non_differentiable(received)
        return context, received

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        packed, key_bias, context, share = ctx.saved_tensors
        width, n_channels = context.shape[1:]
        # dS = P * (dP - sum(dP * P)), and the sum is that of context times its gradient.
        grad = packed.new_empty(len(packed), width + 1, n_channels)
        torch.mul(grads[0], share, out=grad[:, :width])
        torch.sum(grad[:, :width] * context, dim=1, out=grad[:, width]).neg_()
        out = torch.empty_like(packed)
        chunks = list(_chunks(len(packed), n_channels))
        scratch = _Scratch.like(packed, chunks[0].stop)
        grad_maps = torch.empty_like(scratch.maps)
        for at in chunks:
            n = at.stop - at.start
            part, inner = scratch.first(n), grad_maps[:n]
            part.fill(packed[at], key_bias[at])
            torch.bmm(grad[at].transpose(1, 2), part.value, out=inner).mul_(part.maps)
            # Each product into memory of its own: into a slice of ``out`` it takes twice the time.
            out[at, :width] = torch.bmm(part.key[:, :width], inner.transpose(1, 2))
            out[at, width : 2 * width] = torch.bmm(part.query[:, :width], inner)
            out[at, 2 * width :] = torch.bmm(grad[at, :width], part.maps)
        out[:, :width].mul_(width**-0.5)
        out[:, width : 2 * width].mul_(1.0 / _LOG2_E)
        return out, None, None


def channel_attention(
    packed: Tensor, key_bias: Tensor, query_weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return softmax attention over channels, with gradients.

    Parameters
    ----------
    packed : Tensor (N, 3 width, C)
        Queries, keys and values of N maps.
    key_bias : Tensor (N, 1, C)
        0 for a visible channel, a large negative number for a hidden one; without gradient. A map whose
        keys are all hidden gives 0.
    query_weight : Tensor (N, 1, C), optional
        Weights of the queries in ``received``.

    Returns
    -------
    context : Tensor (N, width, C)
    received : Tensor (N, 1, C)
        Weighted attention each key receives, without gradient; N = 0 without ``query_weight``.
    """
    return _ChannelAttention.apply(packed, key_bias, query_weight)


def padded_attention(packed: Tensor, key_bias: Tensor) -> Tensor:
    """Return the context (N, width, C) by the library's fused attention, heads padded for its fast kernels.

    Those want a head width that is a multiple of 8 and no mask. The bias of the keys becomes one of the
    padding's columns. Arguments are those of `channel_attention`.
    """
    width = packed.shape[1] // 3
    extra = -(width + 1) % 8 + 1
    query, key, value = packed.transpose(1, 2).split(width, dim=-1)  # (N, C, width)
    bias = key_bias.transpose(1, 2).to(packed.dtype)
    query = torch.cat([query * width**-0.5, torch.ones_like(bias)], dim=-1)
    key = torch.cat([key, bias], dim=-1)
    query, key = F.pad(query, (0, extra - 1)), F.pad(key, (0, extra - 1))
    context = F.scaled_dot_product_attention(
        query[:, None], key[:, None], F.pad(value, (0, extra))[:, None], scale=1.0
    )
    return context[:, 0, :, :width].transpose(1, 2)
