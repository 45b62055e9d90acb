"""Trains each encoder alone, by its own head: the first stage of paper 2's framework."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network import FusionNetwork
from models.training.loop import Progress, StageOptions, train_stage
from models.training.simulated_data import Augment, Rows, as_crop, random_channels, thinned
from models.window_batch import NetworkInput, batch_of

_LABEL_SMOOTHING = 0.05
_MIN_SINCE_ONSET_S = 2.0  # earlier rows say more of the emotion before


def eeg_input(
    network: FusionNetwork,
    rows: Rows,
    at: NDArray[np.intp],
    augment: Augment | None,
    rng: np.random.Generator,
    channels: list[int] | None = None,
) -> NetworkInput:
    """Return EEG windows that end at the rows ``at``; thinned out if ``augment`` is given.

    ``channels`` are indices into the model's channels; without them all, or a random subset to augment.
    """
    config, n_channels = network.config, len(network.config.ch_names)
    if channels is None:
        channels = random_channels(n_channels, augment, rng) if augment else list(range(n_channels))
    batch = batch_of(len(at), config, rows.eeg(at, channels, config))
    if augment:
        before = rows.before_onset(at, config.n_eeg_steps)
        batch.eeg_step_mask = thinned(batch.eeg_step_mask, before, augment, rng)
        noise = rng.normal(0, augment.eeg_noise, tuple(batch.eeg.shape)).astype(np.float32)
        batch.eeg = batch.eeg + torch.from_numpy(noise)
    return batch


def eye_input(
    network: FusionNetwork,
    rows: Rows,
    at: NDArray[np.intp],
    augment: Augment | None,
    rng: np.random.Generator,
) -> NetworkInput:
    """Return eye-feature windows that end at the rows ``at``."""
    config = network.config
    batch = batch_of(len(at), config, rows.eye(at, config))
    if augment:
        before = rows.before_onset(at, config.windows.eye_n_steps)
        batch.eye_step_mask = thinned(batch.eye_step_mask, before, augment, rng)
        kept = rng.random(tuple(batch.eye_feature_mask.shape)) >= augment.p_drop_eye_feature
        batch.eye_feature_mask &= torch.from_numpy(kept)
    return batch


def face_input(
    network: FusionNetwork,
    rows: Rows,
    at: NDArray[np.intp],
    augment: Augment | None,
    rng: np.random.Generator,
) -> NetworkInput:
    """Return single frames, encoded with gradients."""
    crops = as_crop(rows.crops(at))
    batch = batch_of(len(at), network.config)
    batch.face_tokens = network.encode_face(_shifted_and_lit(crops, rng) if augment else crops)[:, None]
    batch.face_mask[:] = True
    return batch


def voice_input(
    network: FusionNetwork,
    rows: Rows,
    at: NDArray[np.intp],
    augment: Augment | None,
    rng: np.random.Generator,
) -> NetworkInput:
    """Return clips, encoded with gradients; masked in bands and times if ``augment`` is given."""
    frames, mask = rows.log_mel(at)
    if augment:
        frames = _spec_augmented(frames, rng)
    batch = batch_of(len(at), network.config)
    batch.voice_tokens, batch.voice_mask, times = network.encode_voice(frames, mask)
    batch.voice_times = (network.config.windows.voice_s - times).expand(len(at), -1)
    return batch


INPUTS = {"eeg": eeg_input, "eye": eye_input, "face": face_input, "voice": voice_input}


def train_encoder(
    network: FusionNetwork,
    modality: str,
    rows: Rows,
    options: StageOptions,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train one modality's encoder, pooling and head in place with cross-entropy.

    Rows of the first seconds of a trial, and rows without a face or voice, are left out.
    """
    usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
    if modality == "face":
        usable = usable[rows.has_crop[usable]]
    if modality == "voice":
        usable = usable[rows.n_frames[usable] > 0]
    loss_of = nn.CrossEntropyLoss(label_smoothing=_LABEL_SMOOTHING)
    network.train()

    def loss(at: NDArray[np.intp]) -> Tensor:
        batch = INPUTS[modality](network, rows, at, Augment(), rng)
        return loss_of(network.unimodal_logits(modality, batch), rows.label[at])

    train_stage(
        network.unimodal_parameters(modality),
        loss,
        usable,
        options,
        rng,
        lambda s, v: progress(modality, s, v),
    )


def _shifted_and_lit(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Return crops (n, 3, h, w) shifted by up to an 18th, mirrored half the time, with other light."""
    n, furthest = len(crops), crops.shape[-1] // 18
    dx, dy = (int(v) for v in rng.integers(-furthest, furthest + 1, 2))
    crops = torch.roll(crops, (dy, dx), dims=(2, 3))
    flip = torch.from_numpy(rng.random(n) < 0.5)[:, None, None, None]
    crops = torch.where(flip, crops.flip(3), crops)
    gain = torch.from_numpy(rng.uniform(0.75, 1.25, (n, 1, 1, 1)).astype(np.float32))
    lift = torch.from_numpy(rng.uniform(-0.2, 0.2, (n, 1, 1, 1)).astype(np.float32))
    return (crops * gain + lift).clamp(-1, 1)


def _spec_augmented(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Return log-mel (n, F, n_mels) with a band and a stretch masked (SpecAugment), and another level."""
    frames = frames.clone()
    n, n_frames, n_mels = frames.shape
    low, start = int(rng.integers(0, n_mels - 16)), int(rng.integers(0, n_frames - 60))
    frames[:, :, low : low + int(rng.integers(1, 17))] = 0.0
    frames[:, start : start + int(rng.integers(1, 61))] = 0.0
    return frames + torch.from_numpy(rng.normal(0, 0.1, (n, 1, 1)).astype(np.float32))
