"""One hybrid block of MV-SSTMA; `models.encoders.mv_sstma` says what the paper leaves open.

Attention runs as plain batched products: heads are four wide, where the library's fused kernel spends
most of its time on overhead. ``fold`` prepares inference: batch norm moves into the query-key-value
projection, and the (C, C) maps of all blocks share two buffers, because fresh ones of 2.7 MB each cost more
in page faults than the arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import MvSstmaConfig
from models.encoders.masked_norm import MaskedBatchNorm

_LOG2_E = 1.4426950408889634
_LARGEST_SCORE = 100.0  # 2**100 times any number of channels is still a float32, and 2**-100 is nothing


def causal_windows(x: Tensor, length: int) -> Tensor:
    """Return for every step the ``length`` steps up to it, zeros before the first.

    Parameters
    ----------
    x : Tensor (B, T, C, D)
    length : int
        The longest kernel.

    Returns
    -------
    Tensor (B * T, length * D, C)
        Oldest step first. For B = 1 it is an overlapping view: nothing is copied.
    """
    padded = F.pad(x.transpose(2, 3), (0, 0, 0, 0, length - 1, 0))  # (B, T + length - 1, D, C)
    windows = padded.unfold(1, length, 1).permute(0, 1, 4, 2, 3)  # (B, T, length, D, C)
    n_batch, n_steps, _, dim, n_channels = windows.shape
    return windows.reshape(n_batch * n_steps, length * dim, n_channels)


class _Folded(NamedTuple):
    """A block's weights as inference uses them."""

    conv: Tensor  # (branches * D, longest * D), short kernels zero-padded in the past
    qkv: Tensor  # (branches, heads * 3 * width, D), batch norm included
    bias: Tensor  # (branches, heads * 3 * width, 1)
    out: Tensor  # (branches * heads * width, D)


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
        self, x: Tensor, mask: Tensor, key_bias: Tensor, maps: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Transform the tokens of a window; N = B * T * branches * heads.

        Parameters
        ----------
        x : Tensor (B, T, C, D)
        mask : Tensor (B, T, C, 1)
            1 where step and channel are valid, else 0; float.
        key_bias : Tensor (N, 1, C)
            0 for a visible channel, a large negative number for a hidden one.
        maps : two Tensors (N, C, C), optional
            Memory to work in, where no gradient is wanted.

        Returns
        -------
        tokens : Tensor (B, T, C, D)
        attention : Tensor (N, C, C)
            Rows are queries, columns keys; each row sums to 1. It lies in ``maps`` where those are given.
        """
        n_batch, n_steps, n_channels, dim = x.shape
        n_rows = n_batch * n_steps
        packed = self._queries_keys_values(causal_windows(x * mask, max(self.config.kernels)), mask)
        query, key, value = packed.split(self.config.head_dim, dim=1)  # (N, width, C)
        attention = self._attend(query.transpose(1, 2), key, key_bias, maps)
        context = torch.bmm(value, attention.transpose(1, 2))  # (N, width, C)
        context = context.view(n_rows, -1, n_channels).transpose(1, 2)  # (B T, C, branches heads width)
        # One product projects the heads and adds up the branches (eq. 4) and the residual.
        folded = self._usable_fold()
        out = self._out_weight() if folded is None else folded.out
        x = torch.baddbmm(x.reshape(n_rows, n_channels, dim), context, out.expand(n_rows, -1, -1))
        x = x + self.ffn(self.norm(x))
        return x.view(n_batch, n_steps, n_channels, dim), attention

    def _attend(
        self, query: Tensor, key: Tensor, key_bias: Tensor, maps: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Return the (N, C, C) attention of (N, C, width) queries on (N, width, C) keys."""
        scale = self.config.head_dim**-0.5
        if maps is None:
            return torch.softmax(torch.baddbmm(key_bias, query, key, alpha=scale), dim=-1)
        # A softmax to the base 2: exp2 takes a quarter of exp's time, and the limits stand in for the row's
        # maximum, which costs as much as all the rest. No score of a trained network comes near them.
        scores, attention = maps
        torch.baddbmm(key_bias, query, key, alpha=scale * _LOG2_E, out=scores)
        torch.exp2(scores.clamp_(-_LARGEST_SCORE, _LARGEST_SCORE), out=attention)
        return attention.div_(attention.sum(dim=-1, keepdim=True))

    def _queries_keys_values(self, windows: Tensor, mask: Tensor) -> Tensor:
        """Return (N, 3 width, C) from windows (B T, length D, C)."""
        n_rows, _, n_channels = windows.shape
        folded = self._usable_fold()
        conv = self._conv_weight() if folded is None else folded.conv
        y = torch.bmm(conv.expand(n_rows, -1, -1), windows)  # (B T, branches D, C)
        if folded is not None:
            y = y.view(n_rows * self.n_branches, -1, n_channels)
            packed = torch.bmm(folded.qkv.repeat(n_rows, 1, 1), y)
            packed = packed.view(n_rows, self.n_branches, -1, n_channels).add_(folded.bias)
        else:
            y = y.view(n_rows, self.n_branches, -1, n_channels)
            packed = self._normalise_and_project(y, mask.reshape(n_rows, 1, n_channels))
        return packed.view(-1, 3 * self.config.head_dim, n_channels)

    def _normalise_and_project(self, y: Tensor, valid: Tensor) -> Tensor:
        parts = []
        for branch, norm in enumerate(self.norms):
            qkv = self.qkv[branch % len(self.qkv)]
            normed = norm(y[:, branch], valid).transpose(1, 2)  # (B T, C, D)
            parts.append(qkv(normed).transpose(1, 2))
        return torch.stack(parts, dim=1)

    def _conv_weight(self) -> Tensor:
        longest = max(self.config.kernels)
        rows = []
        for conv, k in zip(self.convs, self.config.kernels, strict=True):
            assert isinstance(conv, nn.Conv2d)
            weight = conv.weight[..., 0].transpose(1, 2)  # (D out, k, D in)
            rows.append(F.pad(weight, (0, 0, longest - k, 0)).flatten(1))
        return torch.cat(rows)

    def _out_weight(self) -> Tensor:
        weights = [
            self.out[branch % len(self.out)].get_parameter("weight") for branch in range(self.n_branches)
        ]
        return torch.cat([weight.t() for weight in weights])

    @torch.no_grad()
    def fold(self) -> None:
        """Lay the weights out for inference; what changes a weight or moves it must call `unfold`."""
        weights, biases = [], []
        for branch, norm in enumerate(self.norms):
            qkv = self.qkv[branch % len(self.qkv)]
            assert isinstance(norm, MaskedBatchNorm)
            assert isinstance(qkv, nn.Linear)
            scale, shift = norm.scale_and_shift()
            weights.append(qkv.weight * scale)
            biases.append(qkv.weight @ shift + qkv.bias)
        self.folded = _Folded(
            self._conv_weight(), torch.stack(weights), torch.stack(biases)[..., None], self._out_weight()
        )

    def unfold(self) -> None:
        """Forget the folded weights."""
        self.folded = None

    def _usable_fold(self) -> _Folded | None:
        return None if torch.is_grad_enabled() else self.folded
