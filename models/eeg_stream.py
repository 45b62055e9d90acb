"""Goes on from EEG step to EEG step, so that a window costs one step of a streaming encoder.

The hop grid interleaves windows: with a hop of 0.25 s and steps 1 s apart there are four phases, and a step
of one never meets a step of another. Every phase has a state of its own. What comes out is a function of the
window's steps and run-in alone, to the last bit: a token reaches no further back, every step is computed by
itself, and where the steps do not continue those of the phase's last window (a stream reconnected, a step
that was late, more windows skipped than a window holds), its steps are taken from the first again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.encoders.mv_sstma import MvSstmaEncoder
from models.inputs import NetworkInput
from models.network import FusionNetwork
from models.step_features import EegStep

#: Takes features (1, C, F), positions (C,), channel mask (1, C) and a state, which it replaces in place;
#: returns a token (1, 1, width) and the attention its channels receive (1, C): `FusionNetwork.step_eeg`.
TakeStep = Callable[[Tensor, Tensor, Tensor, list[Tensor]], tuple[Tensor, Tensor]]


@dataclass(eq=False)
class _Phase:
    """What is kept of the windows of a phase."""

    index: int  # of the last window
    steps: Sequence[EegStep | None]  # its steps, None for a gap
    state: list[Tensor]
    tokens: list[Tensor] = field(default_factory=list)  # (1, 1, width) of each step
    received: list[Tensor] = field(default_factory=list)  # (1, C), weighted with the step's channels


class EegStream:
    """Tokens of a streaming EEG encoder.

    Parameters
    ----------
    start : callable
        Returns the encoder's state before a first step, for so many channels.
    shift : int
        Windows from one step to the next.
    width : int
        Of a step's token.
    """

    def __init__(self, start: Callable[[int], list[Tensor]], shift: int, width: int) -> None:
        self._start = start
        self._shift = shift
        self._width = width
        self._phases: dict[int, _Phase] = {}

    def reset(self) -> None:
        """Forget everything: other channels, another normalisation, another place in the recording."""
        self._phases = {}

    def take(
        self,
        index: int,
        steps: Sequence[EegStep | None],
        inputs: NetworkInput,
        n_steps: int,
        take_step: TakeStep,
    ) -> tuple[Tensor, Tensor]:
        """Return tokens (1, T, width) and attention received (1, C) of a window, for `FusionNetwork`.

        Parameters
        ----------
        index : int
            The window's.
        steps : sequence of EegStep or None
            Run-in and window, oldest first.
        inputs : NetworkInput
            The same steps as a batch of one.
        n_steps : int
            T, without the run-in.
        """
        phase = self._phases.get(index % self._shift)
        n_new = None if phase is None else _n_new(phase, index, steps, self._shift)
        if phase is None or n_new is None:
            phase = self._phases[index % self._shift] = _Phase(index, steps, self._start(inputs.eeg.shape[1]))
            n_new = len(steps)
        for at in range(len(steps) - n_new, len(steps)):
            self._take_one(phase, at, inputs, take_step)
        phase.index, phase.steps = index, steps
        phase.tokens, phase.received = phase.tokens[-n_steps:], phase.received[-n_steps:]
        n_looks = (inputs.eeg_step_mask[0, -n_steps:, None] & inputs.eeg_channel_mask[0, -n_steps:]).sum()
        return torch.cat(phase.tokens, dim=1), torch.stack(phase.received).sum(dim=0) / n_looks.clamp(min=1)

    def _take_one(self, phase: _Phase, at: int, inputs: NetworkInput, take_step: TakeStep) -> None:
        mask = inputs.eeg_channel_mask[:, at]
        if inputs.eeg_step_mask[0, at]:
            token, received = take_step(inputs.eeg[:, :, at], inputs.eeg_positions, mask, phase.state)
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


def stream_of(network: FusionNetwork) -> EegStream:
    """Return the stream of a network whose EEG encoder goes on from step to step."""
    assert isinstance(network.eeg, MvSstmaEncoder)
    windows, sizes = network.config.windows, network.config.network.eeg
    return EegStream(network.eeg.start, round(windows.eeg_shift_s / windows.hop_s), sizes.dim * sizes.n_pools)
