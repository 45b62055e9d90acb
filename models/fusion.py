"""The fusion variants by name: modality tokens and their presence in, logits and shares out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from models.config import FusionConfig
from models.fusions.attention import AttentionFusion
from models.fusions.concat import ConcatFusion
from models.fusions.linear import LinearFusion
from models.fusions.shared_attention import SharedAttentionFusion

#: By `FusionConfig.variant`: (config, n_labels) -> module that maps tokens (B, 4, d_model) and presence
#: (B, 4) to logits (B, n_labels) and each modality's share (B, 4). A share is 0 where the modality is absent
#: and sums to 1 over the others; what it means is in each variant's docstring. The last two parameters are
#: weight and bias of a linear layer behind everything else, so that a temperature can be folded into them.
FUSIONS: dict[str, Callable[[FusionConfig, int], nn.Module]] = {
    "concat": ConcatFusion,
    "attention": AttentionFusion,
    "shared_attention": SharedAttentionFusion,
    "linear": LinearFusion,
}


@torch.no_grad()
def divide_logits(fusion: nn.Module, temperature: float) -> None:
    """Divide a fusion's logits by a temperature, in its last layer."""
    for parameter in list(fusion.parameters())[-2:]:  # weight and bias
        parameter.div_(temperature)
