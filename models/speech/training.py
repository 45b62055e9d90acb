"""Trains the voice network: masked patches first, without labels, then the emotions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.speech.network import N_MELS, N_ROWS, RowScale, VoiceNetwork, VoiceNetworkConfig, stack

Tick = Callable[[], None]


def train_voice_network(
    clips: Sequence[Sequence[Tensor]],
    label: NDArray[Any],
    n_labels: int,
    config: VoiceNetworkConfig,
    seed: int,
    tick: Tick = lambda: None,
) -> tuple[VoiceNetwork, RowScale]:
    """Train on labelled clips, each given as its copies.

    Parameters
    ----------
    clips : sequence of sequence of Tensor (n_frames, N_ROWS)
        The first copy is the original; scaling is fitted to originals. Each pass draws one copy of each.
    label : ndarray (n_clips,)
    n_labels : int
    config : VoiceNetworkConfig
    seed : int
        Of weights, order, copies, crops and masks.
    tick : callable
        Called after each pass over the clips.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # initial weights and dropout
        network = VoiceNetwork(config, n_labels)
        scale = RowScale.fit([own[0] for own in clips])
        network.train()
        if config.pretrain_epochs:
            _pretrain(network, scale, clips, config, rng, tick)
        _finetune(network, scale, clips, label, n_labels, config, rng, tick)
    return network, scale


def _pretrain(
    network: VoiceNetwork,
    scale: RowScale,
    clips: Sequence[Sequence[Tensor]],
    config: VoiceNetworkConfig,
    rng: torch.Generator,
    tick: Tick,
) -> None:
    """Rebuild hidden patches from the rest of the clip; a hidden patch is set to the mean.

    Each time column's token rebuilds the column; the error counts at hidden patches, each patch scaled to
    its own mean and SD (as in the masked autoencoder of He 2022).
    """
    size, width = config.encoder.patch_size, config.encoder.width
    n_bands = N_ROWS // size
    rebuild = nn.Linear(width, N_ROWS * size)
    optimiser, schedule = _optimiser(
        [*network.encoder.parameters(), *rebuild.parameters()], config, len(clips), config.pretrain_epochs
    )
    for _ in range(config.pretrain_epochs):
        for chosen in _batches(len(clips), config, rng):
            rows, mask = _draw(clips, chosen, scale, config, rng)
            n_columns = rows.shape[1] // size
            rows, mask = rows[:, : n_columns * size], mask[:, : n_columns * size]
            hidden = torch.rand(len(rows), n_columns, n_bands, generator=rng) < config.hidden_share
            shown = rows.masked_fill(
                hidden.repeat_interleave(size, dim=1).repeat_interleave(size, dim=2), 0.0
            )
            tokens, valid, _ = network.encoder(shown, mask)  # (B, columns, D)
            patches = rows.view(len(rows), n_columns, size, n_bands, size).transpose(2, 3).flatten(3)
            deviation = patches - patches.mean(dim=-1, keepdim=True)
            target = deviation / (patches.std(dim=-1, keepdim=True) + 0.1)
            error = (rebuild(tokens).view_as(target) - target).square().mean(dim=-1)  # (B, columns, bands)
            counted = hidden & valid[..., None]
            _step((error * counted).sum() / counted.sum().clamp_min(1), network, optimiser, schedule)
        tick()


def _finetune(
    network: VoiceNetwork,
    scale: RowScale,
    clips: Sequence[Sequence[Tensor]],
    label: NDArray[Any],
    n_labels: int,
    config: VoiceNetworkConfig,
    rng: torch.Generator,
    tick: Tick,
) -> None:
    """Learn the labels; every class weighs the same."""
    targets = torch.from_numpy(np.asarray(label, dtype=np.int64))
    rarity = 1 / torch.bincount(targets, minlength=n_labels).clamp_min(1).float()
    optimiser, schedule = _optimiser(list(network.parameters()), config, len(clips), config.epochs)
    for _ in range(config.epochs):
        for chosen in _batches(len(clips), config, rng):
            rows, mask = _draw(clips, chosen, scale, config, rng)
            loss = F.cross_entropy(
                network(_spec_augment(rows, config, rng), mask),
                targets[chosen],
                weight=rarity / rarity.mean(),
                label_smoothing=config.label_smoothing,
            )
            _step(loss, network, optimiser, schedule)
        tick()


def _optimiser(
    parameters: list[nn.Parameter], config: VoiceNetworkConfig, n_clips: int, epochs: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    n_steps = -(-n_clips // config.batch_size) * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=n_steps, pct_start=0.15
    )
    return optimiser, schedule


def _step(
    loss: Tensor,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
    schedule.step()


def _batches(n_clips: int, config: VoiceNetworkConfig, rng: torch.Generator) -> Iterator[Tensor]:
    """Yield the clips' indices in random order, in batches of nearly one size."""
    order = torch.randperm(n_clips, generator=rng)
    return iter(order.tensor_split(-(-n_clips // config.batch_size)))


def _draw(
    clips: Sequence[Sequence[Tensor]],
    chosen: Tensor,
    scale: RowScale,
    config: VoiceNetworkConfig,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return a random crop of a random copy of each chosen clip."""
    drawn = []
    for index in chosen.tolist():
        own = clips[index]
        clip = own[_below(len(own), rng)]
        start = _below(max(1, len(clip) - config.crop_frames + 1), rng)
        drawn.append(scale(clip[start : start + config.crop_frames]))
    return stack(drawn)


def _spec_augment(rows: Tensor, config: VoiceNetworkConfig, rng: torch.Generator) -> Tensor:
    """Hide stripes of mel bins and of time, and change each clip's level."""
    rows = rows.clone()
    for clip in rows:
        for _ in range(config.n_stripes):
            width, length = _below(config.widest_mels, rng), _below(config.widest_frames, rng)
            mel = _below(N_MELS - width, rng)
            frame = _below(max(1, len(clip) - length), rng)
            clip[:, mel : mel + width] = 0.0
            clip[frame : frame + length] = 0.0
        clip[:, :N_MELS] += config.gain_sd * torch.randn(1, generator=rng)
    return rows


def _below(stop: int, rng: torch.Generator) -> int:
    return int(torch.randint(0, stop, (1,), generator=rng))
