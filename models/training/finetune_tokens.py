"""What a classifier's training reads of its windows: modality tokens, from encoders that train or do not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.encoders.masked_norm import MaskedBatchNorm
from models.encoders.pooling import ChannelWeights
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
            read = network.read_channels(modality, encoded[at], inputs)
            mask = network.time_mask(modality, inputs)
            tokens[MODALITIES.index(modality)] = network.tokens[modality](read, mask)[0]
        return torch.stack(tokens, dim=1), network.presence(inputs)

    def encoded(self) -> dict[str, Tensor]:
        return self._encoded


@torch.no_grad()
def encode(network: FusionNetwork, tensors: TrialTensors) -> dict[str, Tensor]:
    """Return the encoders' tokens (n, T, C, D) of all windows by modality, without run-in."""
    network.eval()
    parts: dict[str, list[Tensor]] = {modality: [] for modality in network.config.modalities}
    for inputs in _batches(tensors):
        for modality, part in parts.items():
            part.append(network.encode_channels(modality, inputs)[0])
    return {modality: torch.cat(part) for modality, part in parts.items()}


@torch.no_grad()
def fit_norms(network: FusionNetwork, tensors: TrialTensors) -> None:
    """Fit the statistics of new encoders' batch normalisations, so that `encode` gives what will train."""
    network.train()
    norms = [module for module in network.modules() if isinstance(module, MaskedBatchNorm)]
    usual = [norm.momentum for norm in norms]
    for number, inputs in enumerate(_batches(tensors), start=1):
        for norm in norms:
            norm.momentum = 1 / number  # the mean over all batches
        for modality in network.config.modalities:
            network.encode_channels(modality, inputs)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def fit_center(
    network: FusionNetwork, modality: str, encoded: Tensor, tensors: TrialTensors
) -> tuple[Tensor, Tensor, Tensor]:
    """Centre a new readout on training windows, and return what it then multiplies.

    Returns
    -------
    inputs : Tensor (n, C * D)
        As a mean over each window's steps, of the windows that have the modality.
    label : Tensor of long (n,)
    places : Tensor of long (C,)
    """
    readout, inputs = readout_of(network, modality), tensors.batch(slice(None))
    places, columns, steps = network.channels_of(modality, inputs)
    mean, there = _mean_tokens(encoded, columns, steps)
    readout.known.zero_()
    readout.known[places] = there
    readout.center[places] = mean
    seen = readout.inputs(encoded, columns, places) * steps[..., None]
    n_steps = steps.sum(dim=1, keepdim=True)
    has = n_steps[:, 0] > 0
    return (seen.sum(dim=1) / n_steps.clamp(min=1))[has], tensors.label[has], places


@torch.no_grad()
def move_center(network: FusionNetwork, modality: str, encoded: Tensor, tensors: TrialTensors) -> None:
    """Centre a readout on what its encoder gives after training; with all channels it reads as before."""
    readout = readout_of(network, modality)
    places, columns, steps = network.channels_of(modality, tensors.batch(slice(None)))
    mean, there = _mean_tokens(encoded, columns, steps)
    by = torch.where((there & readout.known[places])[:, None], mean - readout.center[places], 0.0)
    readout.center[places] += by
    readout.bias.add_(by.flatten() @ readout.weight[places].flatten(0, 1))


def has_weights(network: FusionNetwork, modality: str) -> bool:
    """Tell whether a modality's readout is `ChannelWeights`."""
    return isinstance(_readout_of(network, modality), ChannelWeights)


def _readout_of(network: FusionNetwork, modality: str) -> nn.Module:
    return network.eeg_pool if modality == "eeg" else network.eye_pool


def readout_of(network: FusionNetwork, modality: str) -> ChannelWeights:
    """Return a modality's readout, of which `has_weights` is true."""
    readout = _readout_of(network, modality)
    assert isinstance(readout, ChannelWeights)
    return readout


def _mean_tokens(encoded: Tensor, columns: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean token (C, D) over all windows and steps, and which channels were ever there (C,)."""
    there = columns if columns.dim() == 3 else columns[:, None]
    valid = (there & steps[..., None])[..., None]  # (n, T, C, 1)
    n = valid.sum(dim=(0, 1))
    return encoded.masked_fill(~valid, 0.0).sum(dim=(0, 1)) / n.clamp(min=1), n[:, 0] > 0


def _batches(tensors: TrialTensors) -> Iterator[NetworkInput]:
    for start in range(0, len(tensors), ENCODE_BATCH):
        yield tensors.batch(slice(start, start + ENCODE_BATCH))


def trained_modules(network: FusionNetwork, modalities: Sequence[str], *, encoders: bool) -> list[nn.Module]:
    """Return what fine-tuning trains, with or without the encoders."""
    modules: list[nn.Module] = [network.fusion]
    for modality in modalities:
        modules += [network.tokens[modality], network.heads[modality], _readout_of(network, modality)]
        if encoders:
            modules.append(getattr(network, modality))
    return modules
