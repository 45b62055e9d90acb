"""Runs the network on its device: CUDA graph where there is a GPU, the CPU when the GPU is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TypeVar

import torch
from torch import Tensor

from models.inputs import NetworkInput
from models.network import FusionNetwork

T = TypeVar("T")


class Forward:
    """The network, where it runs, and what happens when that place fails.

    A copy of the weights stays on the CPU: a dead CUDA context gives nothing back.

    Parameters
    ----------
    network : FusionNetwork
        On the CPU.
    device : torch.device
    on_failure : callable
        Told in one sentence when the device failed and the CPU took over.
    """

    def __init__(
        self, network: FusionNetwork, device: torch.device, on_failure: Callable[[str], None]
    ) -> None:
        self.device = device
        self._on_failure = on_failure
        self._cpu_network = network.prepare_inference()
        self._network = network if device.type == "cpu" else _copy_to(network, device)
        self._graph: _GraphedForward | None = None

    def run(self, call: Callable[[FusionNetwork, torch.device], T]) -> T:
        """Return ``call(network, device)``; if the device fails, call again on the CPU and stay there."""
        try:
            return call(self._network, self.device)
        except RuntimeError as error:  # out of memory and a lost device are among them
            if self.device.type == "cpu":
                raise
            failure = str(error).splitlines()[0]
        # Outside the except block: the traceback there keeps the tensors of the failed call alive.
        lost, self.device = self.device, torch.device("cpu")
        self._network, self._graph = self._cpu_network, None
        self._on_failure(f"{lost} failed ({failure}); predictions go on on the CPU")
        return call(self._network, self.device)

    def encode_face(self, crop: Tensor) -> Tensor:
        """Return the token (D,) of a face crop (3, size, size), on the CPU."""
        return self.run(lambda net, device: net.encode_face(crop[None].to(device))[0].cpu())

    def encode_voice(self, padded: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (M, D), mask (M,) and times (M,) of log-mel frames (1, F, n_mels) and mask (1, F)."""
        frames, mask = padded

        def run(net: FusionNetwork, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
            tokens, token_mask, times = net.encode_voice(frames.to(device), mask.to(device))
            return tokens[0].cpu(), token_mask[0].cpu(), times.cpu()

        return self.run(run)

    def n_voice_tokens(self, n_frames: int) -> int:
        """Return how many tokens `encode_voice` makes of ``n_frames`` frames."""
        silence = torch.zeros(1, n_frames, self._cpu_network.config.features.n_mels)
        mask = torch.ones(1, n_frames, dtype=torch.bool)
        return len(self.encode_voice((silence, mask))[0])

    @property
    def takes_steps(self) -> bool:
        """True where a streaming EEG encoder is to be given one step at a time.

        On a GPU the whole sequence is one graph, which takes no longer than the launches of a step.
        """
        return self.device.type == "cpu" and self._cpu_network.config.network.streams

    def step_eeg(
        self, features: Tensor, positions: Tensor, channel_mask: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Do what `FusionNetwork.step_eeg` does, on the CPU."""
        return self._cpu_network.step_eeg(features, positions, channel_mask, state)

    def __call__(
        self, inputs: NetworkInput, streamed: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return ``probs`` and the modality, channel and time attention, on the CPU.

        ``streamed`` is what `step_eeg` made of the window's EEG; without it the EEG is encoded as a whole.
        """

        def run(net: FusionNetwork, device: torch.device) -> dict[str, Tensor]:
            if device.type == "cuda":
                return self._graphed(net, inputs, device)
            return _answer(net, inputs, streamed)

        return self.run(run)

    def _graphed(self, net: FusionNetwork, inputs: NetworkInput, device: torch.device) -> dict[str, Tensor]:
        if self._graph is None or not self._graph.fits(inputs):
            self._graph = _GraphedForward(net, inputs, device)
        return self._graph(inputs)


class _GraphedForward:
    """A captured forward pass for one set of shapes; presence and padding are masks inside it."""

    def __init__(self, net: FusionNetwork, inputs: NetworkInput, device: torch.device) -> None:
        self._static = inputs.map(lambda tensor: tensor.to(device).clone())
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # warm-up off the capture: lazy initialisation may not be captured
            for _ in range(3):
                _answer_on_device(net, self._static)
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = _answer_on_device(net, self._static)

    def fits(self, inputs: NetworkInput) -> bool:
        """Tell whether ``inputs`` have the captured shapes."""
        return all(
            getattr(inputs, f.name).shape == getattr(self._static, f.name).shape for f in fields(NetworkInput)
        )

    def __call__(self, inputs: NetworkInput) -> dict[str, Tensor]:
        for f in fields(NetworkInput):
            getattr(self._static, f.name).copy_(getattr(inputs, f.name), non_blocking=True)
        self._graph.replay()
        return {name: value.cpu() for name, value in self._output.items()}


def _answer(
    net: FusionNetwork, inputs: NetworkInput, streamed: tuple[Tensor, Tensor] | None
) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in _answer_on_device(net, inputs, streamed).items()}


def _answer_on_device(
    net: FusionNetwork, inputs: NetworkInput, streamed: tuple[Tensor, Tensor] | None = None
) -> dict[str, Tensor]:
    output = net(inputs, streamed)
    return {
        "probs": torch.softmax(output.logits, dim=-1),
        "modality_attention": output.modality_attention,
        "channel_attention": output.channel_attention,
        "time_attention": output.time_attention,
    }


def _copy_to(network: FusionNetwork, device: torch.device) -> FusionNetwork:
    copy = FusionNetwork(network.config)
    copy.load_state_dict(network.state_dict())
    return copy.to(device).prepare_inference()
