"""MV-SSTMA: multi-view spectral-spatial-temporal masked autoencoder for EEG and eye features.

Six hybrid blocks, each three causal temporal convolutions (long, medium, short) -> batch normalisation ->
multi-head self-attention over the channels of one time step -> sum -> normalisation -> feed-forward
(paper MMV-SSTMA, section 2.1, eq. 1-4). The paper leaves things open; here

- one attention layer serves the three branches ("the output from the convolutional layer is fed into *the*
  multi-head self-attention layer", and eq. 1-3 write one Attention); ``shared_attention=False`` gives three.
  Batch normalisation belongs to a convolution, so every branch has its own;
- the sum and the feed-forward network are residual, and a layer norm ends the stack: without them six
  blocks train badly. The "normalisation layer" is a layer norm;
- six heads do not divide D = 16: a head has its own width, and the heads are projected back to D. That
  projection has no bias, because the values' bias already gives one;
- a masked step or channel is zeroed before every convolution and hidden as a key, so padding is invisible.

Attention runs as plain batched products: heads are four wide, where the library's fused kernel spends
most of its time on overhead. ``fold`` prepares inference: batch norm moves into the query-key-value
projection, and the (C, C) maps of all blocks share two buffers, because fresh ones of 2.7 MB each cost more
in page faults than the arithmetic.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import MvSstmaConfig
from models.encoders.masked_norm import MaskedBatchNorm

#: Added to the score of a hidden channel: far below any real score, finite where all are hidden.
_HIDDEN = -1e9


def sine_cosine_positions(n_positions: int, dim: int) -> Tensor:
    """Return the (n_positions, dim) sine-cosine table of Vaswani et al. (2017)."""
    position = torch.arange(n_positions, dtype=torch.float64)[:, None]
    frequency = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = position * frequency  # (n, dim / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim].float()


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
        out = self._out_weight() if self.folded is None else self.folded.out
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
        scores, attention = maps
        torch.baddbmm(key_bias, query, key, alpha=scale, out=scores)
        return torch.softmax(scores, dim=-1, out=attention)

    def _queries_keys_values(self, windows: Tensor, mask: Tensor) -> Tensor:
        """Return (N, 3 width, C) from windows (B T, length D, C)."""
        n_rows, _, n_channels = windows.shape
        conv = self._conv_weight() if self.folded is None else self.folded.conv
        y = torch.bmm(conv.expand(n_rows, -1, -1), windows)  # (B T, branches D, C)
        if self.folded is not None:
            y = y.view(n_rows * self.n_branches, -1, n_channels)
            packed = torch.bmm(self.folded.qkv.repeat(n_rows, 1, 1), y)
            packed = packed.view(n_rows, self.n_branches, -1, n_channels).add_(self.folded.bias)
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
            weight = conv.weight[..., 0].transpose(1, 2)  # (D out, k, D in)
            rows.append(F.pad(weight, (0, 0, longest - k, 0)).flatten(1))
        return torch.cat(rows)

    def _out_weight(self) -> Tensor:
        weights = [self.out[branch % len(self.out)].weight.t() for branch in range(self.n_branches)]
        return torch.cat(weights)

    @torch.no_grad()
    def fold(self) -> None:
        """Lay the weights out for inference; what changes a weight or moves it must call `unfold`."""
        weights, biases = [], []
        for branch, norm in enumerate(self.norms):
            qkv = self.qkv[branch % len(self.qkv)]
            scale, shift = norm.scale_and_shift()
            weights.append(qkv.weight * scale)
            biases.append(qkv.weight @ shift + qkv.bias)
        self.folded = _Folded(
            self._conv_weight(), torch.stack(weights), torch.stack(biases)[..., None], self._out_weight()
        )

    def unfold(self) -> None:
        """Forget the folded weights."""
        self.folded = None


def run_blocks(
    blocks: nn.ModuleList,
    x: Tensor,
    step_mask: Tensor,
    channel_mask: Tensor,
    maps: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Run hybrid blocks over tokens and return tokens and the last block's attention received.

    Parameters
    ----------
    blocks : ModuleList of MvSstmaBlock
    x : Tensor (B, T, C, D)
    step_mask : Tensor of bool (B, T)
    channel_mask : Tensor of bool (B, C)
    maps : two Tensors (B * T * branches * heads, C, C), optional
        See `MvSstmaBlock.forward`.

    Returns
    -------
    tokens : Tensor (B, T, C, D)
    received : Tensor (B, C)
        Attention each channel receives in the last block, mean over heads, branches and the valid steps
        and queries; sums to 1, or is 0 where nothing is valid.
    """
    n_batch, n_steps, n_channels, _ = x.shape
    config = blocks[0].config
    n_maps = n_steps * len(config.kernels) * config.n_heads
    mask = (step_mask[:, :, None] & channel_mask[:, None, :]).to(x.dtype)[..., None]  # (B, T, C, 1)
    key_bias = torch.zeros_like(channel_mask, dtype=x.dtype).masked_fill(~channel_mask, _HIDDEN)
    key_bias = key_bias[:, None, None].expand(-1, n_maps, -1, -1).reshape(-1, 1, n_channels)
    attention = x
    for block in blocks:
        x, attention = block(x, mask, key_bias, maps)
    return x, _attention_received(attention, mask, channel_mask)


def _attention_received(attention: Tensor, mask: Tensor, channel_mask: Tensor) -> Tensor:
    n_batch, n_steps, n_channels, _ = mask.shape
    weight = mask[:, :, None, :, 0]  # (B, T, 1, C queries)
    maps = attention.view(n_batch, n_steps, -1, n_channels, n_channels)
    rows = weight.expand(-1, -1, maps.shape[2], -1).reshape(n_batch, 1, -1)  # (B, 1, T maps C)
    received = torch.bmm(rows, maps.reshape(n_batch, -1, n_channels))[:, 0]  # (B, C)
    total = mask.sum(dim=(1, 2)) * maps.shape[2]  # (B, 1)
    return received / total.clamp(min=1) * channel_mask


class MvSstmaEncoder(nn.Module):
    """Encoder of a window of channels x steps x features, the same for EEG and eye features.

    Parameters
    ----------
    config : MvSstmaConfig
    n_positions : int
        How many channels training knew; a channel's position is its index among them.
    """

    positions: Tensor

    def __init__(self, config: MvSstmaConfig, n_positions: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.in_features, config.dim)
        self.register_buffer("positions", sine_cosine_positions(n_positions, config.dim), persistent=False)
        self.blocks = nn.ModuleList(MvSstmaBlock(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.is_folded = False
        self._maps: tuple[Tensor, Tensor] | None = None

    def forward(
        self, features: Tensor, positions: Tensor, step_mask: Tensor, channel_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return one token per step and channel, and the attention each channel receives.

        Parameters
        ----------
        features : Tensor (B, C, T, F)
            Normalised; what lies under a mask may be anything, NaN included.
        positions : Tensor of long (C,)
        step_mask : Tensor of bool (B, T)
            True = valid.
        channel_mask : Tensor of bool (B, C)

        Returns
        -------
        tokens : Tensor (B, T, C, D)
        received : Tensor (B, C)
            See `run_blocks`.
        """
        valid = step_mask[:, :, None, None] & channel_mask[:, None, :, None]
        x = features.transpose(1, 2).masked_fill(~valid, 0.0)  # (B, T, C, F)
        x = self.embed(x) + self.positions[positions]
        x, received = run_blocks(self.blocks, x, step_mask, channel_mask, self._maps_for(x))
        return self.norm(x), received

    def fold(self) -> None:
        """Prepare inference without gradients; training, loading weights and moving them undo it."""
        for block in self.blocks:
            block.fold()
        self.is_folded = True

    def unfold(self) -> None:
        """Go back to the weights as they are trained."""
        for block in self.blocks:
            block.unfold()
        self.is_folded, self._maps = False, None

    def _maps_for(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the two buffers for attention maps, kept from call to call while the shape stays."""
        if not self.is_folded or torch.is_grad_enabled():
            return None
        n_batch, n_steps, n_channels, _ = x.shape
        n_maps = n_batch * n_steps * len(self.config.kernels) * self.config.n_heads
        shape = (n_maps, n_channels, n_channels)
        if self._maps is None or self._maps[0].shape != shape:
            self._maps = (x.new_empty(shape), x.new_empty(shape))
        return self._maps

    def train(self, mode: bool = True) -> MvSstmaEncoder:
        """Set training mode, which ends `fold`."""
        if mode:
            self.unfold()
        super().train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> MvSstmaEncoder:
        self.unfold()  # a move to another device or type
        super()._apply(fn, recurse)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.unfold()
        super()._load_from_state_dict(*args, **kwargs)
