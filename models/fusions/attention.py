"""Fusion by one attention weight a modality: equations 6 to 8 of the MMV-SSTMA paper.

F = Concat(X1, X2), α = softmax(wᵀ tanh F), X = F αᵀ, then a linear layer. The paper leaves open what the
softmax runs over: with one long vector its weights would mix features, with the tokens as the columns of F
(as in the attention over words that it cites, Zhou 2016) there is one weight a modality. The second is taken
here [inferred]; the columns need one width, which the modality tokens have.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.config import FusionConfig
from models.encoders.pooling import masked_softmax


class AttentionFusion(nn.Module):
    """A weighted sum of the present modality tokens, then a linear layer.

    The modality attention is α itself. With one modality present it is 1 and says nothing.
    """

    def __init__(self, config: FusionConfig, n_labels: int) -> None:
        super().__init__()
        self.score = nn.Linear(config.d_model, 1, bias=False)  # w
        self.head = nn.Linear(config.d_model, n_labels)

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B, n_labels) and α (B, 4), all 0 where nothing is present.

        Parameters
        ----------
        tokens : Tensor (B, 4, d_model)
            Finite also where a modality is absent.
        present : Tensor of bool (B, 4)
        """
        assert tokens.shape[1] == len(MODALITIES)
        alpha = masked_softmax(self.score(torch.tanh(tokens))[..., 0], present)  # (B, 4)
        fused = torch.bmm(alpha[:, None], tokens)[:, 0]  # (B, d)
        return self.head(fused), alpha
