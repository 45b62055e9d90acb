"""Fusion by concatenation: equation 5 of the MMV-SSTMA paper.

X = Concat([X1, X2]), then a linear layer. The paper always has both modalities. Here an absent one is
replaced by a learned vector of its own [inferred], which starts at 0; with a linear layer behind it that is
as much as presence bits can say.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.config import FusionConfig

_TINY = 1e-12  # shares are equal where no modality moves the logits


class ConcatFusion(nn.Module):
    """All modality tokens side by side, then a linear layer.

    There is no attention. What stands in its place is a measure of influence: how far the logits move (their
    Euclidean length, without the shift common to all labels, which the softmax ignores) when the modality
    goes absent, as a share of the present modalities' sum. The layer is linear, so the moves add up exactly.
    """

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        self.absent = nn.Parameter(torch.zeros(len(MODALITIES), config.d_model))
        self.head = nn.Linear(len(MODALITIES) * config.d_model, n_labels)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B, n_labels) and each modality's share of influence (B, 4).

        Parameters
        ----------
        tokens : Tensor (B, 4, d_model)
            Finite also where a modality is absent.
        present : Tensor of bool (B, 4)
        """
        x = torch.where(present[..., None], tokens, self.absent)  # (B, 4, d)
        return self.head(x.flatten(1)), self._influence(x, present)

    @torch.no_grad()
    def _influence(self, x: Tensor, present: Tensor) -> Tensor:
        """Return shares (B, 4) that sum to 1 over the present modalities, 0 where there is none."""
        weight = self.head.weight.unflatten(1, (len(MODALITIES), -1))  # (n_labels, 4, d)
        moves = torch.einsum("bmd,lmd->bml", x - self.absent, weight)
        return shares_of(moves, present)


@torch.no_grad()
def shares_of(moves: Tensor, present: Tensor) -> Tensor:
    """Return each modality's share (B, 4) of the lengths by which modalities move the logits.

    Parameters
    ----------
    moves : Tensor (B, 4, n_labels)
        What the logits lose when a modality goes absent.
    present : Tensor of bool (B, 4)
    """
    moves = moves - moves.mean(dim=-1, keepdim=True)
    lengths = (torch.linalg.vector_norm(moves, dim=-1) + _TINY) * present
    return lengths / lengths.sum(dim=1, keepdim=True).clamp_min(_TINY)
