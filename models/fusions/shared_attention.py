"""Fusion by shared attention: modality tokens look at each other, a query reads the result.

Paper 2 (EEG, video and audio on EAV): "the shared multi-head attention decoder effectively handles the
interplay ... by using query, key, and value representations for each modality", then an MLP. Here each
modality has its own query, key and value projections, one attention serves all, and a learned fusion
query reads the result. The attention is applied ``n_rounds`` times with the same weights, so that the
fusion query reads tokens that have already looked at each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.config import FusionConfig
from models.encoders.pooling import masked_softmax


class SharedAttentionFusion(nn.Module):
    """Shared multi-head attention over modality tokens with a presence mask and a fusion query."""

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        dim, n_tokens = config.d_model, len(MODALITIES)
        self.config = config
        self.modality = nn.Parameter(0.02 * torch.randn(n_tokens, dim))
        self.query = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.norm = nn.LayerNorm(dim)
        # The fusion token has a query projection of its own too: entry 0; modalities follow.
        self.project_query = nn.Parameter(dim**-0.5 * torch.randn(1 + n_tokens, dim, dim))
        self.project_key = nn.Parameter(dim**-0.5 * torch.randn(n_tokens, dim, dim))
        self.project_value = nn.Parameter(dim**-0.5 * torch.randn(n_tokens, dim, dim))
        self.out = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, 2 * dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * dim, n_labels),
        )

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B, n_labels) and the modality attention (B, 4).

        Parameters
        ----------
        tokens : Tensor (B, 4, d_model)
            Finite also where a modality is absent.
        present : Tensor of bool (B, 4)
        """
        x = torch.cat([self.query.expand(len(tokens), -1, -1), tokens + self.modality], dim=1)  # (B, 5, d)
        weights = tokens.new_zeros(())
        for _ in range(self.config.n_rounds):
            update, weights = self._attend(self.norm(x), present)
            x = x + self.dropout(update)
        return self.head(x[:, 0]), weights[:, :, 0].mean(dim=1)

    def _attend(self, x: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the update (B, 5, d) and the attention (B, heads, 5, 4) of all tokens on modalities."""
        query = self._split_heads(_project_each(x, self.project_query))
        key = self._split_heads(_project_each(x[:, 1:], self.project_key))
        value = self._split_heads(_project_each(x[:, 1:], self.project_value))  # (B, heads, 4, width)
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        weights = masked_softmax(scores, present[:, None, None])
        return self.out((weights @ value).transpose(1, 2).flatten(2)), weights

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.config.n_heads, -1)).transpose(1, 2)


def _project_each(x: Tensor, weight: Tensor) -> Tensor:
    """Apply a matrix of its own (N, d, d) to each of N tokens (B, N, d)."""
    return torch.bmm(x.transpose(0, 1), weight).transpose(0, 1)
