"""One stage of a training in stages: AdamW with a one-cycle rate over shuffled batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from acquisition.types import MODALITIES
from models.network import FusionNetwork
from models.training.loop import train_steps
from models.window_batch import NetworkInput

#: Rows of one subject that come together, where a stage is told the subjects.
_RUN = 16


@dataclass(frozen=True)
class StageOptions:
    """Optimiser settings of one stage."""

    epochs: float
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05


def train_stage(
    parameters: list[nn.Parameter],
    loss: Callable[[NDArray[np.intp]], Tensor],
    usable: NDArray[np.intp],
    options: StageOptions,
    rng: np.random.Generator,
    progress: Callable[[float, float], None] = lambda share, loss: None,
    subject: NDArray[np.intp] | None = None,
) -> None:
    """Run AdamW with a one-cycle rate (Smith and Topin 2018) over shuffled batches: see `_shuffled`."""
    batches = list(_shuffled(usable, options, rng, subject))
    optimiser = torch.optim.AdamW(parameters, options.learning_rate, weight_decay=options.weight_decay)
    schedule = OneCycleLR(optimiser, options.learning_rate, total_steps=len(batches) + 1, pct_start=0.15)
    running = float("nan")
    steps = train_steps(optimiser, batches, loss, clipped=parameters, schedule=schedule)
    for done, value in enumerate(steps, start=1):
        running = value.item() if np.isnan(running) else 0.95 * running + 0.05 * value.item()
        progress(done / len(batches), running)


def _shuffled(
    usable: NDArray[np.intp],
    options: StageOptions,
    rng: np.random.Generator,
    subject: NDArray[np.intp] | None = None,
) -> Iterator[NDArray[np.intp]]:
    """Yield shuffled batches for ``options.epochs`` passes; the last pass may be a part.

    With subjects, rows come in shuffled runs of `_RUN` of one subject.
    """
    n_left = round(options.epochs * len(usable))
    while n_left > 0:
        order = rng.permutation(usable)
        if subject is not None:
            of_subject = [order[subject[order] == who] for who in np.unique(subject)]
            runs = [r[at : at + _RUN] for r in of_subject for at in range(0, len(r) - _RUN + 1, _RUN)]
            order = np.concatenate([runs[at] for at in rng.permutation(len(runs))])
        order = order[:n_left]
        n_left -= len(order)
        for start in range(0, len(order), options.batch_size):
            batch = order[start : start + options.batch_size]
            if len(batch) > 1:  # BatchNorm needs two
                yield batch


def unimodal_logits(network: FusionNetwork, modality: str, inputs: NetworkInput) -> Tensor:
    """Return (B, n_labels) of one modality by its own head; the other encoders do not run."""
    tokens = network.modality_tokens(inputs, (modality,))
    return network.heads[modality](tokens[:, MODALITIES.index(modality)])


def unimodal_parameters(network: FusionNetwork, modality: str) -> list[nn.Parameter]:
    """Return what trains when a modality is trained alone, and is frozen for the fusion."""
    modules = [getattr(network, modality), network.tokens[modality], network.heads[modality]]
    if hasattr(network, f"{modality}_pool"):
        modules.append(getattr(network, f"{modality}_pool"))
    return [parameter for module in modules for parameter in module.parameters()]
