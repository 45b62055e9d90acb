"""The one training loop, its learning-rate schedules, and the state from which a stopped run resumes."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from acquisition.errors import ErrorCode, InputError

#: Told stage, share done (0..1) and the running loss.
Progress = Callable[[str, float, float], None]
#: Told stage, share done, running loss, and speed in words.
Report = Callable[[str, float, float, str], None]
CLIP_NORM = 1.0
_STATE_KEY = "state"

B = TypeVar("B")


def train_steps(
    optimiser: torch.optim.Optimizer,
    batches: Iterable[B],
    loss: Callable[[B], Tensor],
    *,
    clipped: Iterable[nn.Parameter] = (),
    schedule: LRScheduler | None = None,
) -> Iterator[Tensor]:
    """Take one optimiser step per batch and yield its loss, detached.

    The caller's ``for`` reports progress, keeps states, and stops early by leaving the loop. ``batches`` are
    whatever ``loss`` takes, asked for only when the step before is done. Gradients of the parameters
    ``clipped`` are clipped together to a norm of `CLIP_NORM`.
    """
    clipped = list(clipped)
    for batch in batches:
        optimiser.zero_grad()
        value = loss(batch)
        value.backward()
        if clipped:
            nn.utils.clip_grad_norm_(clipped, CLIP_NORM)
        optimiser.step()
        if schedule is not None:
            schedule.step()
        yield value.detach()


def warm_up_cosine(n_steps: int, warm_up: float) -> Callable[[int], float]:
    """Return the share of the peak rate by step: linear up over ``warm_up`` of them, then half a cosine."""
    n_warm = max(1, round(warm_up * n_steps))

    def share(step: int) -> float:
        if step < n_warm:
            return (step + 1) / n_warm
        return 0.5 * (1 + math.cos(math.pi * (step - n_warm) / max(1, n_steps - n_warm)))

    return share


@dataclass
class TrainState:
    """Progress of a run."""

    step: int = 0  # optimiser steps done
    seconds: float = 0.0
    losses: tuple[float, ...] = ()  # mean of each finished epoch
    epoch_sum: float = 0.0  # of the running epoch's losses
    epoch_steps: int = 0

    def add(self, losses: list[float], *, ends_epoch: bool) -> float:
        """Add losses to the running epoch's, end it if it is due, and return their mean."""
        self.epoch_sum += sum(losses)
        self.epoch_steps += len(losses)
        if ends_epoch:
            self.losses = (*self.losses, self.epoch_sum / self.epoch_steps)
            self.epoch_sum, self.epoch_steps = 0.0, 0
        return sum(losses) / len(losses)


def save_state(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    state: TrainState,
    settings: dict[str, Any],
) -> None:
    """Write weights, moments and progress as one safetensors file; a crash leaves the one before."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}.{name}"] = torch.as_tensor(value)
    header = {_STATE_KEY: json.dumps({"settings": settings, "standing": vars(state)})}
    unfinished = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, unfinished, metadata=header)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        what = f"the run state cannot be written: {error}"
        raise InputError(what, where=str(path), code=ErrorCode.FILE) from error


def load_state(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, settings: dict[str, Any]
) -> TrainState:
    """Put weights and moments back and return how far the run was."""
    remedy = "omit --resume to start again"
    try:
        with safe_open(path, framework="pt") as file:
            kept = json.loads(file.metadata()[_STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        now, then = json.loads(json.dumps(settings)), kept["settings"]
        other = sorted(name for name in {*now, *then} if then.get(name) != now.get(name))
        state = TrainState(**{**kept["standing"], "losses": tuple(kept["standing"]["losses"])})
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        what = "the run state is damaged"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.FILE) from error
    if other:
        what, where = f"the stopped run had different settings: {', '.join(other)}", "--resume"
        raise InputError(what, where=where, remedy=f"use its settings, or {remedy}", other=", ".join(other))
    module.load_state_dict(
        {n.removeprefix("module."): t for n, t in tensors.items() if n.startswith("module.")}
    )
    for name, parameter in module.named_parameters():
        moments = {key: tensors[f"optimiser.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        optimiser.state[parameter] = {
            key: tensor if key == "step" else tensor.to(parameter.device) for key, tensor in moments.items()
        }
    return state
