"""Runs the network: on a GPU as a CUDA graph, on the CPU where there is none or it is lost, streaming or not.

A streaming EEG encoder makes a window cost one step (`EegStream`). The hop grid interleaves windows: with a
hop of 0.25 s and steps 1 s apart there are four phases, and a step of one never meets a step of another.
Every phase has a state of its own. What comes out is a function of the window's steps and left context alone,
to the last bit: a token reaches no further back, every step is computed by itself, and where the steps do not
continue those of the phase's last window (a stream reconnected, a step that was late, more windows skipped
than a window holds), its steps are taken from the first again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TypeVar

import torch
from torch import Tensor

from models.encoders.mv_sstma import MvSstmaEncoder
from models.network import NOTHING_KNOWN, FusionNetwork, KnownTokens
from models.steps import EegStep
from models.window_batch import NetworkInput


@dataclass(eq=False)
class _Phase:
    """State of a phase after its last window."""

    index: int  # of the last window
    steps: Sequence[EegStep | None]  # its steps, None for a gap
    state: list[Tensor]
    tokens: list[Tensor] = field(default_factory=list)  # (1, 1, width) of each step
    received: list[Tensor] = field(default_factory=list)  # (1, C), weighted with the step's channels


class EegStream:
    """Tokens of a network's streaming EEG encoder, on the CPU."""

    def __init__(self, network: FusionNetwork) -> None:
        assert isinstance(network.eeg, MvSstmaEncoder)
        windows, sizes = network.config.windows, network.config.network.eeg
        self._network, self._start = network, network.eeg.start
        self._shift = round(windows.eeg_shift_s / windows.hop_s)  # windows from one step to the next
        self._n_steps = windows.eeg_n_steps
        self._width = sizes.dim * sizes.n_pools  # of a step's token
        self._phases: dict[int, _Phase] = {}

    def reset(self) -> None:
        """Forget everything: other channels, another normalisation, another place in the recording."""
        self._phases = {}

    def take(
        self, index: int, steps: Sequence[EegStep | None], inputs: NetworkInput
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (1, T, width) and attention received (1, C) of the window ``index``.

        ``steps`` are left context and window, oldest first; ``inputs`` are the same as a batch of one. T is
        without the left context.
        """
        phase = self._phases.get(index % self._shift)
        n_new = None if phase is None else _n_new(phase, index, steps, self._shift)
        if phase is None or n_new is None:
            phase = self._phases[index % self._shift] = _Phase(index, steps, self._start(inputs.eeg.shape[1]))
            n_new = len(steps)
        for at in range(len(steps) - n_new, len(steps)):
            self._take_one(phase, at, inputs)
        n_steps, phase.index, phase.steps = self._n_steps, index, steps
        phase.tokens, phase.received = phase.tokens[-n_steps:], phase.received[-n_steps:]
        n_looks = (inputs.eeg_step_mask[0, -n_steps:, None] & inputs.eeg_channel_mask[0, -n_steps:]).sum()
        return torch.cat(phase.tokens, dim=1), torch.stack(phase.received).sum(dim=0) / n_looks.clamp(min=1)

    def _take_one(self, phase: _Phase, at: int, inputs: NetworkInput) -> None:
        features, mask = inputs.eeg[:, :, at], inputs.eeg_channel_mask[:, at]
        if inputs.eeg_step_mask[0, at]:
            token, received = self._network.step_eeg(features, inputs.eeg_positions, mask, phase.state)
        else:  # a gap: nothing later looks across it
            phase.state = self._start(mask.shape[1])
            token, received = inputs.eeg.new_zeros(1, 1, self._width), inputs.eeg.new_zeros(mask.shape)
        phase.tokens.append(token)
        phase.received.append(received * mask.sum())


def _n_new(phase: _Phase, index: int, steps: Sequence[EegStep | None], shift: int) -> int | None:
    """Return how many of the steps are new to a phase; None if they do not continue its last window's."""
    n_new, rest = divmod(index - phase.index, shift)
    if rest or not 0 <= n_new < len(steps):
        return None
    kept, known = phase.steps[n_new:], steps[: len(steps) - n_new]
    return n_new if all(one is other for one, other in zip(kept, known, strict=True)) else None


T = TypeVar("T")


class Forward:
    """The network, where it runs, and what happens when that place fails.

    A copy of the weights stays on the CPU, where the network comes from: a dead CUDA context gives nothing
    back. ``on_failure`` is told in one sentence when the device failed and the CPU took over.
    """

    def __init__(
        self, network: FusionNetwork, device: torch.device, on_failure: Callable[[str], None]
    ) -> None:
        self.device, self._on_failure = device, on_failure
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
        self._on_failure(f"{lost} failed ({failure}); predictions continue on the CPU")
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

    def encode_steps(self, modality: str, inputs: NetworkInput) -> tuple[Tensor, Tensor]:
        """Return what `FusionNetwork.encode_steps` does, on the CPU."""
        return self._cpu_network.encode_steps(modality, inputs)

    def n_voice_tokens(self, n_frames: int) -> int:
        """Return how many tokens `encode_voice` makes of ``n_frames`` frames."""
        silence = torch.zeros(1, n_frames, self._cpu_network.config.features.n_mels)
        mask = torch.ones(1, n_frames, dtype=torch.bool)
        return len(self.encode_voice((silence, mask))[0])

    @property
    def takes_steps(self) -> bool:
        """True where encoders need not see a whole window anew: not on a GPU, which has a graph."""
        return self.device.type == "cpu"

    def __call__(self, inputs: NetworkInput, known: KnownTokens = NOTHING_KNOWN) -> dict[str, Tensor]:
        """Return ``logits`` and the modality, channel and time attention, on the CPU.

        ``known`` is what `EegStream` and `encode_steps` made of the window: of no use to a GPU's graph.
        """

        def run(net: FusionNetwork, device: torch.device) -> dict[str, Tensor]:
            if device.type != "cuda":
                return {name: value.cpu() for name, value in vars(net(inputs, known)).items()}
            if self._graph is None or not self._graph.fits(inputs):
                self._graph = _GraphedForward(net, inputs, device)
            return self._graph(inputs)

        return self.run(run)


class _GraphedForward:
    """A captured forward pass for one set of shapes; presence and padding are masks inside it."""

    def __init__(self, net: FusionNetwork, inputs: NetworkInput, device: torch.device) -> None:
        self._static = inputs.map(lambda tensor: tensor.to(device).clone())
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # warm-up off the capture: lazy initialisation may not be captured
            for _ in range(3):
                net(self._static)
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = vars(net(self._static))

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


def _copy_to(network: FusionNetwork, device: torch.device) -> FusionNetwork:
    copy = FusionNetwork(network.config)
    copy.load_state_dict(network.state_dict())
    return copy.to(device).prepare_inference()
