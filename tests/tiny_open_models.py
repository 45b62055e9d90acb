"""Folders of open ViT and AST models as anybody publishes them, tiny and random."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def save_vit(folder: Path, preprocessor: Mapping[str, Any] | None = None, **changes: Any) -> Any:
    """Write a classifier on a ViT and return the ViT; ``changes`` are of its config."""
    torch.manual_seed(1)
    config = transformers.ViTConfig(**{**TINY, "image_size": 24, "patch_size": 8, **changes})
    model = transformers.ViTForImageClassification(config).eval()
    torch.nn.init.normal_(model.vit.embeddings.position_embeddings)
    model.save_pretrained(folder)
    _save_preprocessor(folder, preprocessor)
    return model.vit


def save_ast(folder: Path, preprocessor: Mapping[str, Any] | None = None, **changes: Any) -> Any:
    """Write a classifier on an AST for 5 s and return the AST; ``changes`` are of its config."""
    torch.manual_seed(2)
    config = transformers.ASTConfig(**{**TINY, "num_mel_bins": 64, "max_length": 498, **changes})
    model = transformers.ASTForAudioClassification(config).eval()
    model.save_pretrained(folder)
    _save_preprocessor(folder, preprocessor)
    return model.audio_spectrogram_transformer


def _save_preprocessor(folder: Path, settings: Mapping[str, Any] | None) -> None:
    if settings is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
