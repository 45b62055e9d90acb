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

``context="streaming"`` is beyond the paper: a step's left context is what came before it, not the zeros at
a window's start, so one step at a time gives what the whole sequence gives (`MvSstmaEncoder.step`), and a
step's token is computed once. A token sees ``config.n_context_steps`` steps before its own and no further,
none across a gap. Windows to train on therefore begin ``n_context_steps`` steps before the first that counts,
or at the first step of the trial, or after a gap; what lies before is masked. Then every token is the
streamed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import MvSstmaConfig
from models.encoders.layers import HIDDEN, by_step
from models.encoders.mv_sstma_block import MvSstmaBlock

#: Attention maps of more elements than this (11 windows of 62 channels, 32 MB) are not kept between calls.
_KEPT_ELEMENTS = 8_000_000
_VECTOR = 16  # float32 numbers that a processor takes at once
_MOST_FILL = 1.1  # times the elements of a map


def sine_cosine_positions(n_positions: int, dim: int) -> Tensor:
    """Return the (n_positions, dim) sine-cosine table of Vaswani et al. (2017)."""
    # In NumPy: on the meta device, where checkpoints are outlined, torch.arange imports torch's compiler.
    frequency = 10000.0 ** (-np.arange(0, dim, 2) / dim)
    angle = np.arange(n_positions)[:, None] * frequency  # (n, dim / 2)
    table = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(n_positions, -1)
    return torch.from_numpy(table[:, :dim].astype(np.float32))


def run_blocks(
    blocks: nn.ModuleList,
    config: MvSstmaConfig,
    x: Tensor,
    step_mask: Tensor,
    channel_mask: Tensor,
    *,
    maps: Tensor | None = None,
    past: Sequence[Tensor] | None = None,
    n_looked_at: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Run hybrid blocks over tokens (B, T, C, D), with masks (B, T) and (B, C) or (B, T, C).

    Parameters
    ----------
    maps : Tensor (B * T * branches * heads, C, C), optional
        See `MvSstmaBlock.forward`.
    past : sequence of Tensor (B, longest kernel - 1, D, C), optional
        What each block saw before the first step; replaced in place by what it saw before the next.
    n_looked_at : int, optional
        The newest steps, whose queries count in ``received``; all without it.

    Returns
    -------
    tokens : Tensor (B, T, C, D)
    received : Tensor (B, C)
        Attention each channel receives in the last block, mean over heads, branches and the valid steps
        and queries; sums to 1, or is 0 where nothing is valid. It has no gradient.
    """
    n_given = x.shape[2]
    if maps is None and past is None and x.device.type == "cpu":
        extra = _extra_channels(n_given)
        x, channel_mask = F.pad(x, (0, 0, 0, extra)), F.pad(channel_mask, (0, extra))
    n_steps, n_channels = x.shape[1:3]
    n_maps = len(config.kernels) * config.n_heads  # of a step
    there = by_step(channel_mask).expand(-1, n_steps, -1)
    mask = (step_mask[:, :, None] & there).to(x.dtype)[..., None]  # (B, T, C, 1)
    key_bias = torch.zeros_like(there, dtype=x.dtype).masked_fill(~there, HIDDEN)
    key_bias = key_bias[:, :, None].expand(-1, -1, n_maps, -1).reshape(-1, 1, n_channels)
    unbroken = None
    if config.context == "streaming" and past is None:
        unbroken = steps_since_gap(step_mask, max(config.kernels)).to(x.dtype)
    weight = mask[..., 0]  # (B, T, C)
    if n_looked_at is not None and n_looked_at < n_steps:
        weight = weight * (torch.arange(n_steps, device=x.device) >= n_steps - n_looked_at)[:, None]
    received = None
    for at, block in enumerate(blocks):
        looks = weight if at == len(blocks) - 1 else None
        before = None if past is None else past[at]
        x, received = block(x, mask, key_bias, maps=maps, query_weight=looks, past=before, unbroken=unbroken)
    assert received is not None
    total = weight.sum(dim=(1, 2)) * n_maps  # (B,)
    received = received / total.clamp(min=1)[:, None] * there.any(dim=1)
    return x[:, :, :n_given], received[:, :n_given]


def _extra_channels(n_channels: int) -> int:
    """Return how many hidden channels make rows of whole vectors of the processor, where that adds little."""
    extra = -n_channels % _VECTOR
    return extra if (n_channels + extra) ** 2 <= _MOST_FILL * n_channels**2 else 0


def steps_since_gap(step_mask: Tensor, length: int) -> Tensor:
    """Return which of the ``length`` steps up to each step no gap parts from it, bool (B, T, length).

    Oldest first; a step whose ``step_mask`` (B, T) is False is a gap, and all False.
    """
    index = torch.arange(step_mask.shape[1], device=step_mask.device)
    gap = torch.where(step_mask, -1, index).cummax(dim=1).values  # (B, T) the newest gap so far
    n_unbroken = (index - gap)[..., None]  # steps of the run, this one included
    return torch.arange(length - 1, -1, -1, device=step_mask.device) < n_unbroken


class MvSstmaEncoder(nn.Module):
    """Encoder of channels x steps x features; ``n_positions`` channels were known in training."""

    positions: Tensor

    def __init__(self, config: MvSstmaConfig, n_positions: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Linear(config.in_features, config.dim)
        self.register_buffer("positions", sine_cosine_positions(n_positions, config.dim), persistent=False)
        self.blocks = nn.ModuleList(MvSstmaBlock(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.is_folded = False
        self._maps: Tensor | None = None

    def forward(
        self,
        features: Tensor,
        positions: Tensor,
        step_mask: Tensor,
        channel_mask: Tensor,
        n_looked_at: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, C, D) and the attention (B, C) each channel receives; see `run_blocks`.

        Normalised features (B, C, T, F) of the channels at positions (C,) may be anything, NaN included,
        where step_mask (B, T) or channel_mask (B, C) or (B, T, C) is False.
        """
        return self._run(features, positions, step_mask, channel_mask, n_looked_at=n_looked_at)

    def _run(
        self, features: Tensor, positions: Tensor, step_mask: Tensor, channel_mask: Tensor, **given: Any
    ) -> tuple[Tensor, Tensor]:
        valid = step_mask[:, :, None] & by_step(channel_mask)
        x = features.transpose(1, 2).masked_fill(~valid[..., None], 0.0)  # (B, T, C, F)
        x = self.embed(x) + self.positions[positions]
        maps = self._maps_for(x)
        x, received = run_blocks(self.blocks, self.config, x, step_mask, channel_mask, maps=maps, **given)
        return self.norm(x), received

    def start(self, n_channels: int) -> list[Tensor]:
        """Return the state before the first step, and after a gap: for each block (1, longest - 1, D, C)."""
        shape = (1, max(self.config.kernels) - 1, self.config.dim, n_channels)
        return [self.norm.weight.new_zeros(shape) for _ in self.blocks]

    @torch.no_grad()
    def step(
        self, features: Tensor, positions: Tensor, channel_mask: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return what `forward` does for the one step (1, C, F) that follows those in the state.

        Steps taken one by one from `start` give the tokens that `forward` gives for the whole sequence, if
        ``config.context`` is ``streaming``. The state is replaced in place; a gap means a new one.
        """
        step_mask = channel_mask.new_ones(1, 1)
        return self._run(features[:, :, None], positions, step_mask, channel_mask, past=state)

    def fold(self) -> None:
        """Prepare inference; training, loading weights and moving them undo it."""
        for block in self.blocks:
            assert isinstance(block, MvSstmaBlock)
            block.fold()
        self.is_folded = True

    def unfold(self) -> None:
        """Go back to the weights as they are trained."""
        for block in self.blocks:
            assert isinstance(block, MvSstmaBlock)
            block.unfold()
        self.is_folded, self._maps = False, None

    def _maps_for(self, x: Tensor) -> Tensor | None:
        """Return a buffer for attention maps, kept while the shape stays; on the CPU alone."""
        if not self.is_folded or torch.is_grad_enabled() or x.device.type != "cpu":
            return None
        n_batch, n_steps, n_channels, _ = x.shape
        n_maps = n_batch * n_steps * len(self.config.kernels) * self.config.n_heads
        shape = (n_maps, n_channels, n_channels)
        if n_maps * n_channels**2 > _KEPT_ELEMENTS:
            return None
        if self._maps is None or self._maps.shape != shape:
            with torch.inference_mode(False):  # usable later under no_grad as well
                self._maps = torch.empty(shape, dtype=x.dtype)
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


def random_channel_mask(
    channel_mask: Tensor,
    ratio: float = 0.3,
    generator: torch.Generator | None = None,
    *,
    noise: Tensor | None = None,
) -> Tensor:
    """Return which of the channels (B, C) that are there stay visible when a random share is hidden.

    The paper's ``ratio`` is 0.3; at least one channel stays visible. ``noise`` (B, C), uniform in 0 to 1, may
    stand in for the generator's: the channels with the largest are hidden.
    """
    if noise is None:
        noise = torch.rand(channel_mask.shape, generator=generator, device=channel_mask.device)
    order = noise.masked_fill(~channel_mask, 2.0).argsort(dim=1).argsort(dim=1)  # present channels first
    present = channel_mask.sum(dim=1, keepdim=True)
    n_visible = (present - (present * ratio).round().long()).clamp(min=1)
    return (order < n_visible) & channel_mask


class MvSstmaDecoder(nn.Module):
    """As many blocks as the encoder's, then a linear layer; a hidden channel is mask token plus position."""

    positions: Tensor

    def __init__(self, config: MvSstmaConfig, n_positions: int) -> None:
        super().__init__()
        self.config = config
        self.mask_token = nn.Parameter(0.02 * torch.randn(config.dim))
        self.register_buffer("positions", sine_cosine_positions(n_positions, config.dim), persistent=False)
        self.blocks = nn.ModuleList(MvSstmaBlock(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.dim)
        self.predict = nn.Linear(config.dim, config.in_features)

    def forward(
        self, tokens: Tensor, visible: Tensor, positions: Tensor, step_mask: Tensor, channel_mask: Tensor
    ) -> Tensor:
        """Return the features (B, C, T, F) of every channel in channel_mask (B, C), hidden ones included.

        The tokens (B, T, C, D) are the encoder's, computed with ``visible`` (B, C) as its channel mask.
        """
        x = torch.where(visible[:, None, :, None], tokens, self.mask_token) + self.positions[positions]
        x, _ = run_blocks(self.blocks, self.config, x, step_mask, channel_mask)
        return self.predict(self.norm(x)).transpose(1, 2)
