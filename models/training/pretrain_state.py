"""Where a pre-training run stands, on disk: one safetensors file, replaced in one piece, no pickle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from acquisition.errors import InputError

_KEY = "state"


@dataclass
class Standing:
    """How far a run is."""

    step: int = 0  # optimiser steps done
    seconds: float = 0.0
    losses: tuple[float, ...] = ()  # mean of each finished epoch
    epoch_sum: float = 0.0  # of the running epoch's losses
    epoch_steps: int = 0


def save_standing(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    standing: Standing,
    settings: dict[str, Any],
) -> None:
    """Write weights, optimiser moments and the rest; a crash leaves the file before it."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{key}.{name}"] = torch.as_tensor(value)
    header = {_KEY: json.dumps({"settings": settings, "standing": vars(standing)})}
    unfinished = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, unfinished, metadata=header)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"the run's state cannot be written: {error}", where=str(path)) from error


def load_standing(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, settings: dict[str, Any]
) -> Standing:
    """Put weights and moments back and return where the run stood.

    Raises
    ------
    InputError
        The file is damaged, or the run had other settings or another corpus.
    """
    remedy = "leave --resume out to begin again"
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        other = sorted(
            name
            for name in {*settings, *state["settings"]}
            if state["settings"].get(name) != json.loads(json.dumps(settings.get(name)))
        )
        standing = Standing(**{**state["standing"], "losses": tuple(state["standing"]["losses"])})
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "expected the state of a run, found damage", where=str(path), remedy=remedy
        ) from error
    if other:
        raise InputError(
            f"the run that stopped had another {', '.join(other)}",
            where="--resume",
            remedy=f"give what it had, or {remedy}",
        )
    module.load_state_dict(
        {n.removeprefix("module."): t for n, t in tensors.items() if n.startswith("module.")}
    )
    for name, parameter in module.named_parameters():
        optimiser.state[parameter] = {
            key: _moment(tensors, key, name, parameter) for key in ("step", "exp_avg", "exp_avg_sq")
        }
    return standing


def _moment(tensors: dict[str, Tensor], key: str, name: str, parameter: nn.Parameter) -> Tensor:
    tensor = tensors[f"optimiser.{key}.{name}"]
    return tensor if key == "step" else tensor.to(parameter.device)
