"""Vision transformer for the face: one token a frame."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from models.config import VitConfig
from models.encoders.open_weights import copy_weights


class VitEncoder(nn.Module):
    """`transformers.ViTModel` of a given size, random until weights are loaded."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        import transformers  # seconds to import: only where a network is built

        self.config = config
        self.model = transformers.ViTModel(
            transformers.ViTConfig(
                hidden_size=config.width,
                num_hidden_layers=config.n_layers,
                num_attention_heads=config.n_heads,
                intermediate_size=config.ffn_dim,
                patch_size=config.patch_size,
                image_size=config.image_size,
                hidden_dropout_prob=config.dropout,
            ),
            add_pooling_layer=False,
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return one token (N, D) for each frame (N, 3, H, W), normalised to -1..1."""
        tokens = self.model(pixel_values=frames).last_hidden_state  # (N, 1 + patches, D)
        return tokens[:, 0] if self.config.pooling == "cls" else tokens[:, 1:].mean(dim=1)

    def load_open_weights(self) -> None:
        """Load the weights that ``config.source`` names; see `copy_weights`."""
        import transformers

        def fetch(source: str) -> Any:
            return transformers.ViTModel.from_pretrained(source, add_pooling_layer=False)

        copy_weights(self.config.source, fetch, self.model)
