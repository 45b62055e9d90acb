"""The other half of the MV-SSTMA masked autoencoder: hide channels, rebuild their features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import MvSstmaConfig
from models.encoders.mv_sstma import run_blocks, sine_cosine_positions
from models.encoders.mv_sstma_block import MvSstmaBlock


def random_channel_mask(
    channel_mask: Tensor,
    ratio: float = 0.3,
    generator: torch.Generator | None = None,
    *,
    noise: Tensor | None = None,
) -> Tensor:
    """Hide a random share of each window's channels.

    Parameters
    ----------
    channel_mask : Tensor of bool (B, C)
        The channels that are there.
    ratio : float
        Share of them to hide; the paper's is 0.3. At least one channel stays visible.
    generator : torch.Generator, optional
    noise : Tensor (B, C), optional
        Uniform in 0 to 1, in place of the generator's: the channels with the largest are hidden.

    Returns
    -------
    Tensor of bool (B, C)
        True for channels that stay visible, a subset of ``channel_mask``.
    """
    if noise is None:
        noise = torch.rand(channel_mask.shape, generator=generator, device=channel_mask.device)
    order = noise.masked_fill(~channel_mask, 2.0).argsort(dim=1).argsort(dim=1)  # present channels first
    present = channel_mask.sum(dim=1, keepdim=True)
    n_visible = (present - (present * ratio).round().long()).clamp(min=1)
    return (order < n_visible) & channel_mask


class MvSstmaDecoder(nn.Module):
    """As many hybrid blocks as the encoder has, then a linear layer back to the features.

    A hidden channel enters as the mask token plus its position.
    """

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
        """Return the features of every channel, hidden ones included.

        Parameters
        ----------
        tokens : Tensor (B, T, C, D)
            The encoder's, computed with ``visible`` as its channel mask.
        visible : Tensor of bool (B, C)
        positions : Tensor of long (C,)
        step_mask : Tensor of bool (B, T)
        channel_mask : Tensor of bool (B, C)
            The channels that are there, hidden or not.

        Returns
        -------
        Tensor (B, C, T, F)
            The loss is taken over ``channel_mask & ~visible``.
        """
        x = torch.where(visible[:, None, :, None], tokens, self.mask_token) + self.positions[positions]
        x, _ = run_blocks(self.blocks, self.config, x, step_mask, channel_mask)
        return self.predict(self.norm(x)).transpose(1, 2)
