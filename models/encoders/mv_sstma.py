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
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.config import MvSstmaConfig
from models.encoders.mv_sstma_block import MvSstmaBlock

#: Added to the score of a hidden channel: far below any real score, finite where all are hidden.
_HIDDEN = -1e9

#: Attention maps of more elements than this (11 windows of 62 channels, 32 MB) are not kept between calls.
_KEPT_ELEMENTS = 8_000_000


def sine_cosine_positions(n_positions: int, dim: int) -> Tensor:
    """Return the (n_positions, dim) sine-cosine table of Vaswani et al. (2017)."""
    position = torch.arange(n_positions, dtype=torch.float64)[:, None]
    frequency = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = position * frequency  # (n, dim / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim].float()


def run_blocks(
    blocks: nn.ModuleList,
    config: MvSstmaConfig,
    x: Tensor,
    step_mask: Tensor,
    channel_mask: Tensor,
    maps: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Run hybrid blocks over tokens and return tokens and the last block's attention received.

    Parameters
    ----------
    blocks : ModuleList of MvSstmaBlock
    config : MvSstmaConfig
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
    n_steps, n_channels = x.shape[1:3]
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
        x, received = run_blocks(self.blocks, self.config, x, step_mask, channel_mask, self._maps_for(x))
        return self.norm(x), received

    def fold(self) -> None:
        """Prepare inference; training, loading weights and moving them undo it.

        Calls that record gradients go on using the weights themselves.
        """
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

    def _maps_for(self, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the two buffers for attention maps, kept from call to call while the shape stays.

        Only on the CPU, whose allocator hands back large blocks to the system each time; a CUDA graph
        must not depend on a buffer that another shape would replace.
        """
        if not self.is_folded or torch.is_grad_enabled() or x.device.type != "cpu":
            return None
        n_batch, n_steps, n_channels, _ = x.shape
        n_maps = n_batch * n_steps * len(self.config.kernels) * self.config.n_heads
        shape = (n_maps, n_channels, n_channels)
        if n_maps * n_channels**2 > _KEPT_ELEMENTS:
            return None
        if self._maps is None or self._maps[0].shape != shape:
            with torch.inference_mode(False):  # usable later under no_grad as well
                self._maps = (torch.empty(shape, dtype=x.dtype), torch.empty(shape, dtype=x.dtype))
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
