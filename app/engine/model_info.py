"""What the window says of the model in use."""

from __future__ import annotations

import torch

from app.engine.messages import ModelInfo
from app.model_loading import choose_device
from app.session_options import SessionOptions
from models.checkpoint import Checkpoint


def model_info(checkpoint: Checkpoint, options: SessionOptions) -> ModelInfo:
    """Describe a loaded model on the device that ``options`` choose."""
    config = checkpoint.config
    profile = options.profile_summary()
    device = choose_device(options.device)
    return ModelInfo(
        name=options.model.name,
        path=options.model,
        labels=config.labels,
        ch_names=config.ch_names,
        trained_on=config.trained_on,
        is_simulated="simulated" in config.trained_on,
        preset=config.network.preset,
        n_parameters=sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        bands=tuple(config.features.bands),
        windows=config.windows,
        profile="" if profile is None else profile.name,
        warning="" if profile is None else profile.warning,
    )
