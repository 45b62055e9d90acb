"""One hybrid block of MV-SSTMA and its attention; the paper leaves much open, see `models.encoders.mv_sstma`.

Heads are four wide, so a (C, C) map is fifteen times its queries, keys and values together, and what costs is
moving maps.

- In training, and of many windows, the library's kernels and autograd's chain of single operations write
  each map to memory several times. Here a few maps at a time are made, used and forgotten while they lie in
  the processor's cache, and made again in the backward pass (as FlashAttention does; Dao et al. 2022,
  algorithm 4).
- For inference of one window or a few ``fold`` moves batch norm into the query-key-value projection, and the
  maps of all blocks share a buffer, because fresh ones of 2.7 MB each cost more in page faults than the
  arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import MvSstmaConfig
from models.encoders.layers import MaskedBatchNorm

_LOG2_E = 1.0 / math.log(2.0)
_CHUNK_ELEMENTS = 1_000_000  # of maps worked on at a time, 4 MB: smaller parts cost more calls
_SAFE_SCORE = 100.0  # 2**100 times any number of channels is still a float32, and 2**-100 is nothing
_TINY = 1e-30  # the sum of a row whose keys are all hidden is 0


def _augmented(packed: Tensor, key_bias: Tensor) -> Tensor:
    """Return queries, keys and values (N, 3, width + 1, C), each with a row that adds to a product.

    The queries are scaled to the base 2; their last row is 1 and the keys' is the bias, so that a product of
    both has it in it; the values' is 1, so that their product with a map has the map's sums in it.
    """
    n_maps, n_rows, n_channels = packed.shape
    width = n_rows // 3
    rows = packed.new_empty(n_maps, 3, width + 1, n_channels)
    torch.mul(packed[:, :width], width**-0.5 * _LOG2_E, out=rows[:, 0, :width])
    rows[:, 1:, :width] = packed[:, width:].view(n_maps, 2, width, n_channels)
    rows[:, ::2, width] = 1.0
    rows[:, 1, width] = key_bias[:, 0]
    return rows


def _exponentials(query: Tensor, key: Tensor, maps: Tensor, *, is_safe: bool) -> Tensor:
    """Return the maps (n, C, C) of augmented queries and keys (n, width + 1, C), before division by sums."""
    scores = torch.bmm(query.transpose(1, 2), key, out=maps)
    return (scores if is_safe else scores.sub_(scores.amax(dim=-1, keepdim=True))).exp2_()


def _chunks(n_maps: int, n_channels: int) -> Iterator[slice]:
    size = max(1, _CHUNK_ELEMENTS // n_channels**2)
    for start in range(0, n_maps, size):
        yield slice(start, min(start + size, n_maps))


class _ChannelAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, key_bias: Tensor, query_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        rows = _augmented(packed, key_bias)
        n_maps, _, height, n_channels = rows.shape
        width, (query, key, value) = height - 1, rows.unbind(1)
        sums = packed.new_empty(n_maps, height, n_channels)
        received = packed.new_zeros(n_maps if query_weight is not None else 0, 1, n_channels)
        # Seldom is a score so large that its row's maximum must go first.
        is_safe = _largest_product(query[:, :width].transpose(1, 2), key[:, :width]) <= _SAFE_SCORE
        chunks = list(_chunks(n_maps, n_channels))
        scratch = packed.new_empty(chunks[0].stop if chunks else 0, n_channels, n_channels)
        for at in chunks:
            maps = _exponentials(query[at], key[at], scratch[: at.stop - at.start], is_safe=is_safe)
            torch.bmm(value[at], maps.transpose(1, 2), out=sums[at])  # the last row adds up the map's
            if query_weight is not None:
                weight = query_weight[at] / sums[at, width:].clamp_min(_TINY)
                torch.bmm(weight, maps, out=received[at])
        share = sums[:, width:].clamp(min=_TINY).reciprocal_()  # (N, 1, C)
        context = sums[:, :width] * share
        ctx.save_for_backward(rows, context, share)
        ctx.is_safe = is_safe
        ctx.mark_non_differentiable(received)
        return context, received

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        rows, context, share = ctx.saved_tensors
        width, n_channels = context.shape[1:]
        query, key, value = rows.unbind(1)
        # dS = P * (dP - sum(dP * P)), and the sum is that of context times its gradient.
        grad = rows.new_empty(len(rows), width + 1, n_channels)
        torch.mul(grads[0], share, out=grad[:, :width])
        torch.sum(grad[:, :width] * context, dim=1, out=grad[:, width]).neg_()
        # Of queries, keys and values apart: a product into a slice of one tensor takes twice the time.
        parts = [torch.empty_like(context) for _ in range(3)]
        chunks = list(_chunks(len(rows), n_channels))
        scratch = rows.new_empty(2, chunks[0].stop if chunks else 0, n_channels, n_channels)
        for at in chunks:
            n = at.stop - at.start
            maps = _exponentials(query[at], key[at], scratch[0, :n], is_safe=ctx.is_safe)
            torch.bmm(grad[at, :width], maps, out=parts[2][at])
            inner = torch.bmm(grad[at].transpose(1, 2), value[at], out=scratch[1, :n]).mul_(maps)
            torch.bmm(key[at, :width], inner.transpose(1, 2), out=parts[0][at])
            torch.bmm(query[at, :width], inner, out=parts[1][at])
        parts[0].mul_(width**-0.5)
        parts[1].mul_(1.0 / _LOG2_E)
        return torch.cat(parts, dim=1), None, None


def channel_attention(
    packed: Tensor, key_bias: Tensor, query_weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return softmax attention over channels (N, width, C), and what each key receives (N, 1, C).

    ``packed`` (N, 3 width, C) holds queries, keys and values of N maps; ``key_bias`` (N, 1, C) is 0 for a
    visible channel and a large negative number for a hidden one. A map whose keys are all hidden gives 0.
    Only ``packed`` has a gradient. Queries count by ``query_weight`` (N, 1, C) in what keys receive, which is
    empty without it.
    """
    return _ChannelAttention.apply(packed, key_bias, query_weight)


def padded_attention(packed: Tensor, key_bias: Tensor) -> Tensor:
    """Return the context (N, width, C) by the library's fused attention; see `channel_attention`."""
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


def causal_windows(
    x: Tensor, length: int, past: Tensor | None = None, unbroken: Tensor | None = None
) -> Tensor:
    """Return for every step of (B, T, C, D) the ``length`` steps up to it, (B * T, length * D, C).

    ``past`` (B, length - 1, D, C), zeros without it, is what came before the first step; it is replaced in
    place by what comes before the step after the last. ``unbroken`` (B, T, length), float, is 0 where a step
    of a window lies before a gap, else 1. For B = 1 the result is an overlapping view: nothing is copied.
    """
    turned = x.transpose(2, 3)  # (B, T, D, C)
    before = (0, 0, 0, 0, length - 1, 0)
    padded = F.pad(turned, before) if past is None else torch.cat([past, turned], dim=1)
    if past is not None:
        past.copy_(padded[:, x.shape[1] :])
    windows = padded.unfold(1, length, 1).permute(0, 1, 4, 2, 3)  # (B, T, length, D, C)
    if unbroken is not None:
        windows = windows * unbroken[..., None, None]
    n_batch, n_steps, _, dim, n_channels = windows.shape
    return windows.reshape(n_batch * n_steps, length * dim, n_channels)


_N_ROWS = 10  # steps of one window, the batch of live


class _Folded(NamedTuple):
    """A block's weights as inference uses them."""

    conv: Tensor  # (branches * D, longest * D), short kernels zero-padded in the past
    qkv: Tensor  # (branches, heads * 3 * width, D), batch norm included
    bias: Tensor  # (branches, heads * 3 * width, 1)
    out: Tensor  # (branches * heads * width, D)
    of_rows: Tensor  # the second, once for each of `_N_ROWS`


def _attend_to_many(
    packed: Tensor, key_bias: Tensor, query_weight: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return context (N, width, C) with gradient and attention received (B, C) without."""
    if packed.is_cuda:
        context = padded_attention(packed, key_bias)
        if query_weight is None:
            return context, None
        with torch.no_grad():
            query, key, _ = packed.float().chunk(3, dim=1)
            scale = query.shape[1] ** -0.5
            scores = torch.baddbmm(key_bias, query.transpose(1, 2), key, alpha=scale)
            received = torch.bmm(_by_map(query_weight, len(packed)), torch.softmax(scores, dim=-1))
    elif query_weight is None:
        return channel_attention(packed, key_bias)[0], None
    else:
        context, received = channel_attention(packed, key_bias, _by_map(query_weight, len(packed)))
    return context, _of_windows(received, query_weight)


def _largest_product(query: Tensor, key: Tensor) -> float:
    """Return a bound of products of (N, C, width) queries, (N, width, C) keys: Cauchy-Schwarz, by sums."""
    of_query, of_key = query.square().sum(dim=2).amax(), key.square().sum(dim=1).amax()
    return float(of_query * of_key) ** 0.5


def _by_map(query_weight: Tensor, n_all: int) -> Tensor:
    """Return weights (B, T, C) of queries for each of the ``n_all`` maps, (N, 1, C)."""
    n_batch, n_steps, n_channels = query_weight.shape
    n_maps = n_all // (n_batch * n_steps)
    return query_weight[:, :, None].expand(-1, -1, n_maps, -1).reshape(-1, 1, n_channels)


def _of_windows(received: Tensor, query_weight: Tensor) -> Tensor:
    """Return what keys receive in a window's maps together, (B, C), of (N, 1, C)."""
    return received.view(len(query_weight), -1, received.shape[-1]).sum(dim=1)


class MvSstmaBlock(nn.Module):
    """One hybrid block: causal convolutions in time, attention over channels, feed-forward."""

    def __init__(self, config: MvSstmaConfig) -> None:
        super().__init__()
        dim, heads, width = config.dim, config.n_heads, config.head_dim
        self.config = config
        self.n_branches = len(config.kernels)
        # Conv2d holds the kernels (and their initialisation); they are applied as one product.
        self.convs = nn.ModuleList(nn.Conv2d(dim, dim, (k, 1), bias=False) for k in config.kernels)
        self.norms = nn.ModuleList(MaskedBatchNorm(dim) for _ in config.kernels)
        n_attention = 1 if config.shared_attention else self.n_branches
        # Rows are ordered (head, query | key | value, width), so that a head's three lie together.
        self.qkv = nn.ModuleList(nn.Linear(dim, heads * 3 * width) for _ in range(n_attention))
        self.out = nn.ModuleList(nn.Linear(heads * width, dim, bias=False) for _ in range(n_attention))
        self.norm = nn.LayerNorm(dim)
        hidden = config.ffn_ratio * dim
        self.ffn = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, dim)
        )
        self.folded: _Folded | None = None

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        key_bias: Tensor,
        *,
        maps: Tensor | None = None,
        query_weight: Tensor | None = None,
        past: Tensor | None = None,
        unbroken: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Transform the tokens of a window; N = B * T * branches * heads.

        Parameters
        ----------
        x : Tensor (B, T, C, D)
        mask : Tensor (B, T, C, 1)
            1 where step and channel are valid, else 0; float.
        key_bias : Tensor (N, 1, C)
            0 for a visible channel, a large negative number for a hidden one.
        maps : Tensor (N, C, C), optional
            Memory to work in, for a few windows where no gradient is wanted.
        query_weight : Tensor (B, T, C), optional
            Weights of the queries in ``received``.
        past, unbroken : Tensor, optional
            See `causal_windows`.

        Returns
        -------
        tokens : Tensor (B, T, C, D)
        received : Tensor (B, C) or None
            Attention each channel receives, summed over steps, branches, heads and weighted queries,
            without gradient; None without ``query_weight``.
        """
        n_batch, n_steps, n_channels, dim = x.shape
        n_rows = n_batch * n_steps
        windows = causal_windows(x * mask, max(self.config.kernels), past, unbroken)
        packed = self._queries_keys_values(windows, mask)
        context, received = self._attend(packed, key_bias, maps, query_weight)
        context = context.reshape(n_rows, -1, n_channels).transpose(1, 2)  # (B T, C, branches heads width)
        # One product projects the heads and adds up the branches (eq. 4) and the residual.
        folded = self._usable_fold()
        out = self._out_weight() if folded is None else folded.out
        x = torch.baddbmm(x.reshape(n_rows, n_channels, dim), context, out.expand(n_rows, -1, -1))
        x = x + self.ffn(self.norm(x))
        return x.view(n_batch, n_steps, n_channels, dim), received

    def _attend(
        self,
        packed: Tensor,
        key_bias: Tensor,
        maps: Tensor | None,
        query_weight: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return context (N, width, C) and attention received (B, C) of queries, keys and values."""
        if torch.is_grad_enabled() or (maps is None and not packed.is_cuda):
            return _attend_to_many(packed, key_bias, query_weight)
        query, key, value = packed.split(self.config.head_dim, dim=1)  # (N, width, C)
        query, scale = query.transpose(1, 2), self.config.head_dim**-0.5
        if maps is None or scale * _LOG2_E * _largest_product(query, key) > _SAFE_SCORE:
            attention = torch.softmax(torch.baddbmm(key_bias, query, key, alpha=scale), dim=-1)
            visible = share = key_bias.new_ones(())
        else:
            # A softmax to the base 2, because exp2 takes a quarter of exp's time. Bias, maximum and division
            # would each go through the maps once more: hidden keys weigh 0, and sums divide what comes out.
            scaled = torch.baddbmm(maps, query, key, beta=0, alpha=scale * _LOG2_E, out=maps)
            attention, visible = scaled.exp2_(), key_bias.exp2()  # (N, C, C), (N, 1, C)
            share = torch.bmm(visible, attention.transpose(1, 2)).clamp_(min=_TINY).reciprocal_()
        context = torch.bmm(value * visible, attention.transpose(1, 2)) * share
        if query_weight is None:
            return context, None
        received = torch.bmm(_by_map(query_weight, len(packed)) * share, attention) * visible
        return context, _of_windows(received, query_weight)

    def _queries_keys_values(self, windows: Tensor, mask: Tensor) -> Tensor:
        """Return (N, 3 width, C) from windows (B T, length D, C)."""
        n_rows, _, n_channels = windows.shape
        folded = self._usable_fold()
        conv = self._conv_weight() if folded is None else folded.conv
        y = torch.bmm(conv.expand(n_rows, -1, -1), windows)  # (B T, branches D, C)
        if folded is None:
            valid = mask.reshape(n_rows, 1, n_channels)
            weight, bias = self._projection(y.view(n_rows, self.n_branches, -1, n_channels), valid)
        else:
            weight, bias = folded.qkv, folded.bias
        y = y.view(n_rows * self.n_branches, -1, n_channels)
        if folded is not None and n_rows == len(folded.of_rows) // self.n_branches:
            weight = folded.of_rows
        elif n_rows > 1:
            weight = weight.repeat(n_rows, 1, 1)
        packed = torch.bmm(weight, y)
        packed = packed.view(n_rows, self.n_branches, -1, n_channels)
        # In place the gradient would be copied into views several times.
        packed = packed + bias if torch.is_grad_enabled() else packed.add_(bias)
        return packed.view(-1, 3 * self.config.head_dim, n_channels)

    def _projection(self, y: Tensor | None, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the projection to queries, keys and values with batch norm in it.

        Weights (branches, heads 3 width, D) and biases (branches, heads 3 width, 1), by the statistics of
        y (B T, branches, D, C) in training, else the running ones.
        """
        weights, biases = [], []
        for branch, norm in enumerate(self.norms):
            qkv = self.qkv[branch % len(self.qkv)]
            assert isinstance(norm, MaskedBatchNorm)
            assert isinstance(qkv, nn.Linear)
            if y is None or valid is None or not norm.training:
                scale, shift = norm.scale_and_shift()
            else:
                scale, shift = norm.batch_scale_and_shift(y[:, branch], valid)
            weights.append(qkv.weight * scale)
            biases.append(qkv.weight @ shift + qkv.bias)
        return torch.stack(weights), torch.stack(biases)[..., None]

    def _conv_weight(self) -> Tensor:
        longest = max(self.config.kernels)
        rows = []
        for conv, k in zip(self.convs, self.config.kernels, strict=True):
            assert isinstance(conv, nn.Conv2d)
            weight = conv.weight[..., 0].transpose(1, 2)  # (D out, k, D in)
            rows.append(F.pad(weight, (0, 0, longest - k, 0)).flatten(1))
        return torch.cat(rows)

    def _out_weight(self) -> Tensor:
        outs = [self.out[branch % len(self.out)] for branch in range(self.n_branches)]
        return torch.cat([out.get_parameter("weight").t() for out in outs])

    @torch.no_grad()
    def fold(self) -> None:
        """Lay the weights out for inference; what changes a weight or moves it must call `unfold`."""
        weight, bias = self._projection(None, None)
        rows = weight.repeat(_N_ROWS, 1, 1)
        self.folded = _Folded(self._conv_weight(), weight, bias, self._out_weight(), rows)

    def unfold(self) -> None:
        """Forget the folded weights."""
        self.folded = None

    def _usable_fold(self) -> _Folded | None:
        return None if torch.is_grad_enabled() else self.folded
