"""Fusion by one linear map of each modality's standardised token, added up: the few-label head of a profile.

With a dozen trials there is not enough to learn an attention from. Tokens are standardised by mean and SD of
the person's own trials, so that an absent modality, which contributes nothing, lies at its mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.config import FusionConfig
from models.fusions.concat import shares_of


class LinearFusion(nn.Module):
    """Logits that are a sum over the present modalities.

    The share of a modality is that of `models.fusions.concat.ConcatFusion`: how far it moves the logits.
    """

    mean: Tensor  # (4, d_model)
    sd: Tensor  # (4, d_model)

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        n = len(MODALITIES)
        self.register_buffer("mean", torch.zeros(n, config.d_model))
        self.register_buffer("sd", torch.ones(n, config.d_model))
        self.weight = nn.Parameter(torch.zeros(n_labels, n, config.d_model))
        self.bias = nn.Parameter(torch.zeros(n_labels))

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B, n_labels) and each modality's share of influence (B, 4).

        Parameters
        ----------
        tokens : Tensor (B, 4, d_model)
            Finite also where a modality is absent.
        present : Tensor of bool (B, 4)
        """
        x = ((tokens - self.mean) / self.sd).masked_fill(~present[..., None], 0.0)
        moves = torch.einsum("bmd,lmd->bml", x, self.weight)  # (B, 4, n_labels)
        return moves.sum(dim=1) + self.bias, shares_of(moves, present)
