"""The fusion variants by name: modality tokens and their presence in, logits and shares out."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from models.config import FusionConfig
from models.fusions.attention import AttentionFusion
from models.fusions.concat import ConcatFusion
from models.fusions.shared_attention import SharedAttentionFusion

#: By `FusionConfig.variant`: (config, n_labels) -> module that maps tokens (B, 4, d_model) and presence
#: (B, 4) to logits (B, n_labels) and each modality's share (B, 4). A share is 0 where the modality is absent
#: and sums to 1 over the others; what it means is in each variant's docstring. The last layer is a Linear
#: registered last, so that a temperature can be folded into it.
FUSIONS: dict[str, Callable[[FusionConfig, int], nn.Module]] = {
    "concat": ConcatFusion,
    "attention": AttentionFusion,
    "shared_attention": SharedAttentionFusion,
}
