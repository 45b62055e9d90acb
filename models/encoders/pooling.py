"""Learned pooling: a weighted mean whose weights the network chooses and shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Return softmax over the True entries of ``mask``; exactly 0 elsewhere, all 0 where none is."""
    weights = torch.softmax(scores.masked_fill(~mask, -1e9), dim=dim)
    return weights * mask


class ChannelPool(nn.Module):
    """Pool the channels of each time step, several times with different learned scores.

    A channel's tokens carry its position, so a pooling can look at a region.
    """

    def __init__(self, dim: int, n_pools: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, n_pools))

    def forward(self, tokens: Tensor, channel_mask: Tensor) -> Tensor:
        """Return (B, T, n_pools * D) from (B, T, C, D) and a mask (B, C) or (B, T, C)."""
        there = channel_mask if channel_mask.dim() == 3 else channel_mask[:, None]
        weights = masked_softmax(self.score(tokens), there[..., None], dim=2)
        return torch.matmul(weights.transpose(2, 3), tokens).flatten(2)  # (B, T, pools, D) flattened


class TimePool(nn.Module):
    """Pool tokens over time; the weights are the modality's time attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled (B, D) and the weights (B, N) of tokens (B, N, D) and mask (B, N)."""
        weights = masked_softmax(self.score(tokens)[..., 0], mask)
        return torch.bmm(weights[:, None], tokens)[:, 0], weights
