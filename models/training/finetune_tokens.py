"""What a classifier's training reads of its windows: modality tokens, from encoders that train or do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.encoders.pooling import ChannelPool, ChannelWeights
from models.inputs import NetworkInput
from models.network import FusionNetwork
from models.training.trial_tensors import TrialTensors

#: Windows that are encoded at a time where nothing is learned from them.
ENCODE_BATCH = 64


class Tokens:
    """Modality tokens (B, 4, d_model) and presence (B, 4) of windows by index."""

    def __init__(self, network: FusionNetwork, tensors: TrialTensors) -> None:
        self._network, self.tensors = network, tensors

    def __call__(self, at: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        inputs = self.tensors.batch(at)
        return self._network.modality_tokens(inputs), self._network.presence(inputs)

    def encoded(self) -> dict[str, Tensor]:
        """Return the encoders' tokens (n, T, C, D) of all windows, by modality."""
        return encode(self._network, self.tensors)


class FrozenTokens(Tokens):
    """The same with the encoders' part computed once; what comes after them trains."""

    def __init__(self, network: FusionNetwork, tensors: TrialTensors) -> None:
        super().__init__(network, tensors)
        self._encoded = encode(network, tensors)

    def __call__(self, at: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        network, inputs = self._network, self.tensors.batch(at)
        d_model = network.config.network.fusion.d_model
        tokens = [torch.zeros(len(at), d_model) for _ in MODALITIES]
        for modality, encoded in self._encoded.items():
            steps, columns = masks_of(modality, inputs, encoded.shape[1])
            pooled = readout_of(network, modality)(encoded[at], columns, _places(modality, inputs))
            there = columns.any(dim=-1)
            counts = steps & (there if there.dim() == 2 else there[:, None])
            tokens[MODALITIES.index(modality)] = network.tokens[modality](pooled, counts)[0]
        return torch.stack(tokens, dim=1), network.presence(inputs)

    def encoded(self) -> dict[str, Tensor]:
        return self._encoded


@torch.no_grad()
def encode(network: FusionNetwork, tensors: TrialTensors) -> dict[str, Tensor]:
    """Return the encoders' tokens (n, T, C, D) of all windows by modality, without run-in."""
    network.eval()
    parts: dict[str, list[Tensor]] = {modality: [] for modality in network.config.modalities}
    for start in range(0, len(tensors), ENCODE_BATCH):
        inputs = tensors.batch(slice(start, start + ENCODE_BATCH))
        if "eeg" in parts:
            parts["eeg"].append(_encode_eeg(network, inputs))
        if "eye" in parts:
            masks = inputs.eye_step_mask, inputs.eye_feature_mask
            parts["eye"].append(network.eye(inputs.eye[..., None], _places("eye", inputs), *masks)[0])
    return {modality: torch.cat(part) for modality, part in parts.items()}


def _encode_eeg(network: FusionNetwork, inputs: NetworkInput) -> Tensor:
    """Return tokens (B, T, C, D) without run-in; run-in that no window has is not even computed."""
    steps, channels = inputs.eeg_step_mask, inputs.eeg_channel_mask
    n_run_in = network.config.windows.eeg_run_in
    first = min(n_run_in, int(steps.any(dim=0).byte().argmax()))
    if channels.dim() == 3:
        channels = channels[:, first:]
    tokens = network.eeg(inputs.eeg[:, :, first:], inputs.eeg_positions, steps[:, first:], channels)[0]
    return tokens[:, n_run_in - first :]


def masks_of(modality: str, inputs: NetworkInput, n_steps: int) -> tuple[Tensor, Tensor]:
    """Return the masks of steps (B, T) and of channels (B, C) or (B, T, C), without run-in."""
    is_eeg = modality == "eeg"
    steps = inputs.eeg_step_mask if is_eeg else inputs.eye_step_mask
    columns = inputs.eeg_channel_mask if is_eeg else inputs.eye_feature_mask
    if columns.dim() == 3:
        columns = columns[:, -n_steps:]
    return steps[:, -n_steps:], columns


def readout_of(network: FusionNetwork, modality: str) -> ChannelPool | ChannelWeights:
    """Return what turns a step's tokens into one."""
    return network.eeg_pool if modality == "eeg" else network.eye_pool


@torch.no_grad()
def centered_inputs(
    readout: ChannelWeights, modality: str, encoded: Tensor, tensors: TrialTensors
) -> tuple[Tensor, Tensor]:
    """Centre a readout on training windows, and return what it then multiplies.

    Returns
    -------
    inputs : Tensor (n, C * D)
        As a mean over each window's steps.
    places : Tensor of long (C,)
    """
    inputs = tensors.batch(slice(None))
    steps, columns = masks_of(modality, inputs, encoded.shape[1])
    there = columns if columns.dim() == 3 else columns[:, None]
    valid = (there & steps[..., None])[..., None]  # (n, T, C, 1)
    places = _places(modality, inputs)
    mean = encoded.masked_fill(~valid, 0.0).sum(dim=(0, 1)) / valid.sum(dim=(0, 1)).clamp(min=1)
    readout.center[places] = mean
    seen = readout.inputs(encoded, columns, places) * steps[..., None]
    return seen.sum(dim=1) / steps.sum(dim=1, keepdim=True).clamp(min=1), places


def trained_modules(network: FusionNetwork, modalities: Sequence[str], *, encoders: bool) -> list[nn.Module]:
    """Return what fine-tuning trains, with or without the encoders."""
    modules: list[nn.Module] = [network.fusion]
    for modality in modalities:
        modules += [network.tokens[modality], network.heads[modality], readout_of(network, modality)]
        if encoders:
            modules.append(getattr(network, modality))
    return modules


def _places(modality: str, inputs: NetworkInput) -> Tensor:
    return inputs.eeg_positions if modality == "eeg" else torch.arange(inputs.eye.shape[1])
