"""Trains the network in the two stages of paper 2: each encoder alone by its own head, then the fusion.

For the second stage the modality tokens of every row are computed once, whole and in worse variants (fewer
channels, fewer steps, noise in place of the signal): from these the fusion learns which modality to trust.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.network import FusionNetwork
from models.training.loop import Progress, StageOptions, train_stage
from models.training.simulated_data import Augment, Rows, as_crop, random_channels, thinned
from models.window_batch import NetworkInput, batch_of, present_in

_LABEL_SMOOTHING = 0.05
_MIN_SINCE_ONSET_S = 2.0  # earlier rows say more of the emotion before
_BATCH = 64
_P_DROP = 0.25  # a modality is dropped from a training window
_P_KEEP_FRAME = 0.7  # of a training window's face frames
_P_NOISE = 0.15  # its token comes from noise


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

    Rows of the first seconds of a trial, and rows without a face or voice, are excluded.
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


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """Face and voice of every row, encoded once."""

    face: Tensor  # (n, D)
    voice: Tensor  # (n, M, D)
    voice_mask: Tensor  # (n, M) bool
    voice_times: Tensor  # (M,) seconds from the clip's start


@torch.no_grad()
def encode_rows(network: FusionNetwork, rows: Rows, progress: Progress) -> EncodedRows:
    """Run ViT and AST over every row."""
    network.eval()
    faces, voices, masks = [], [], []
    times = torch.empty(0)
    for start in range(0, len(rows), _BATCH):
        at = np.arange(start, min(start + _BATCH, len(rows)))
        faces.append(network.encode_face(as_crop(rows.crops(at))))
        frames, mask = rows.log_mel(at)
        tokens, token_mask, times = network.encode_voice(frames, mask)
        voices.append(tokens)
        masks.append(token_mask)
        progress("encoding", min(1.0, (start + _BATCH) / len(rows)), float("nan"))
    return EncodedRows(torch.cat(faces), torch.cat(voices), torch.cat(masks), times)


def window_input(
    network: FusionNetwork,
    rows: Rows,
    encoded: EncodedRows,
    at: NDArray[np.intp],
    augment: Augment | None,
    rng: np.random.Generator,
    channels: list[int] | None = None,
) -> NetworkInput:
    """Return whole windows that end at the rows ``at``, with everything that is present in them."""
    batch = eeg_input(network, rows, at, augment, rng, channels)
    eye = eye_input(network, rows, at, augment, rng)
    for name in ("eye", "eye_step_mask", "eye_feature_mask"):
        setattr(batch, name, getattr(eye, name))
    _put_encoded(batch, network, rows, encoded, at, rng if augment else None)
    clip_s = torch.from_numpy(rows.n_frames[at] * 0.01).float()[:, None]
    batch.voice_times = (clip_s - encoded.voice_times).clamp_min(0.0)
    batch.present = present_in(batch, network.config)
    return batch


def replaced_by_noise(batch: NetworkInput, modality: str, rng: np.random.Generator) -> NetworkInput:
    """Return the batch with one modality's features or tokens replaced by noise of a like size."""

    def noise(like: Tensor) -> Tensor:
        return torch.from_numpy(rng.normal(0, 1, tuple(like.shape)).astype(np.float32))

    changed = batch.map(lambda tensor: tensor)
    if modality == "eeg":
        changed.eeg = 2.0 * noise(batch.eeg)
    elif modality == "eye":
        changed.eye = torch.from_numpy(rng.uniform(10, 100, tuple(batch.eye.shape)).astype(np.float32))
    else:
        tokens = getattr(batch, f"{modality}_tokens")
        scale = tokens.std(dim=(0, 1), keepdim=True) * 1.5
        mean = tokens.mean(dim=(0, 1), keepdim=True)
        setattr(changed, f"{modality}_tokens", mean + scale * noise(tokens))
    return changed


def train_token_heads(
    network: FusionNetwork,
    rows: Rows,
    encoded: EncodedRows,
    usable: NDArray[np.intp],
    options: StageOptions,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train the time pooling of face and voice on several frames and clips, encoders frozen."""
    network.train()
    parameters = [
        p
        for m in ("face", "voice")
        for module in (network.tokens[m], network.heads[m])
        for p in module.parameters()
    ]

    def loss(at: NDArray[np.intp]) -> Tensor:
        batch = _tokens_only(network, rows, encoded, at, rng)
        logits = [network.unimodal_logits(m, batch) for m in ("face", "voice")]
        present = [batch.face_mask.any(1), batch.voice_mask.any(1)]
        losses = [
            nn.functional.cross_entropy(x[p], rows.label[at][p]) for x, p in zip(logits, present, strict=True)
        ]
        return torch.stack(losses).sum()

    train_stage(parameters, loss, usable, options, rng, lambda s, v: progress("pooling", s, v))


def _tokens_only(
    network: FusionNetwork, rows: Rows, encoded: EncodedRows, at: NDArray[np.intp], rng: np.random.Generator
) -> NetworkInput:
    batch = batch_of(len(at), network.config)
    _put_encoded(batch, network, rows, encoded, at, rng)
    return batch


def _put_encoded(
    batch: NetworkInput,
    network: FusionNetwork,
    rows: Rows,
    encoded: EncodedRows,
    at: NDArray[np.intp],
    drop: np.random.Generator | None,
) -> None:
    """Fill in the face's and the voice's tokens; ``drop`` leaves out a random part of the frames."""
    n_frames = round(network.config.windows.face_s)
    steps, exists = rows.steps_back(at, n_frames)
    kept = exists & rows.has_crop[steps]
    if drop is not None:
        kept &= drop.random(exists.shape) < _P_KEEP_FRAME
    batch.face_tokens, batch.face_mask = encoded.face[steps], torch.from_numpy(kept)
    batch.face_times = torch.arange(n_frames - 1, -1, -1.0).expand(len(at), -1)
    batch.voice_tokens, batch.voice_mask = encoded.voice[at], encoded.voice_mask[at]


@torch.no_grad()
def modality_tokens(
    network: FusionNetwork,
    rows: Rows,
    encoded: EncodedRows,
    at: NDArray[np.intp],
    variants: int,
    rng: np.random.Generator,
    progress: Progress,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens (variants, n, 4, d_model), presence (variants, n, 4) and noise tokens (n, 4, d_model).

    The first variant is whole; the others are thinned out.
    """
    network.prepare_inference()
    tokens, present, noisy = [], [], []
    n_batches = -(-len(at) // _BATCH)
    for variant in range(variants + 1):
        for number, start in enumerate(range(0, len(at), _BATCH)):
            part = at[start : start + _BATCH]
            augment = Augment() if 0 < variant < variants else None
            batch = window_input(network, rows, encoded, part, augment, rng)
            if variant == variants:
                for modality in MODALITIES:
                    batch = replaced_by_noise(batch, modality, rng)
                noisy.append(network.modality_tokens(batch))
            else:
                tokens.append(network.modality_tokens(batch))
                present.append(batch.present)
            progress(
                "tokens", (variant * n_batches + number + 1) / ((variants + 1) * n_batches), float("nan")
            )
    shape = (variants, len(at), len(MODALITIES))
    return torch.cat(tokens).reshape(*shape, -1), torch.cat(present).reshape(shape), torch.cat(noisy)


def train_fusion(
    network: FusionNetwork,
    tokens: Tensor,
    present: Tensor,
    noisy: Tensor,
    labels: Tensor,
    options: StageOptions,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train the shared attention and its head on cached tokens with modality dropout and noise."""
    network.train()
    n_variants, n = tokens.shape[:2]

    def loss(at: NDArray[np.intp]) -> Tensor:
        variant = torch.from_numpy(rng.integers(0, n_variants, len(at)))
        chosen, there = tokens[variant, at], present[variant, at]
        noise = torch.from_numpy(rng.random(tuple(there.shape)) < _P_NOISE)
        chosen = torch.where(noise[..., None], noisy[at], chosen)
        kept = there & torch.from_numpy(rng.random(tuple(there.shape)) >= _P_DROP)
        kept = torch.where(kept.any(1, keepdim=True), kept, there)
        logits, _ = network.fusion(chosen, kept)
        return nn.functional.cross_entropy(logits, labels[at], label_smoothing=0.05)

    train_stage(
        list(network.fusion.parameters()),
        loss,
        np.arange(n),
        options,
        rng,
        lambda s, v: progress("fusion", s, v),
    )
