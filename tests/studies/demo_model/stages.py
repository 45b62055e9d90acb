"""Trains the network in the two stages of paper 2: each encoder alone by its own head, then the fusion.

For the second stage the modality tokens of every row are computed once, whole and in worse variants (fewer
channels, fewer steps, noise in place of the signal): from these the fusion learns which modality to trust.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.fusion import weighed
from models.mixed_discriminant import LabelledTrial, LevelPrior
from models.network import FusionNetwork
from models.training.loop import Progress
from models.window_batch import NetworkInput, Part, batch_of, face_part, voice_part
from tests.studies.demo_model.data import Augment, Levels, Rows, as_crop, random_channels, thinned
from tests.studies.stage import StageOptions, train_stage, unimodal_logits, unimodal_parameters

_LABEL_SMOOTHING = 0.05
_MIN_SINCE_ONSET_S = 2.0  # earlier rows still reflect the previous emotion
_BATCH = 64
_P_DROP = 0.25  # a modality is dropped from a training window
_P_KEEP_FRAME = 0.7  # of a training window's face frames
_P_NOISE = 0.15  # its token comes from noise
_UNEVEN = 1.0  # weight of the attention's differences between clean modalities
_EVIDENCE_SCALE = 0.5  # to begin with: neighbouring seconds are not quite as independent as they seem


class RowInputs:
    """Windows of simulated subjects' rows as network input; an `Augment` disturbs them."""

    def __init__(
        self,
        network: FusionNetwork,
        rows: Rows,
        rng: np.random.Generator,
        encoded: EncodedRows | None = None,
        drawn: DrawnLevels | None = None,
    ) -> None:
        self.network, self.rows, self._rng, self._encoded = network, rows, rng, encoded
        self._config = network.config
        self._drawn = drawn

    def alone(self, modality: str, at: NDArray[np.intp], augment: Augment | None = None) -> NetworkInput:
        """Return one modality: windows of EEG or eyes, single frames, or clips, encoded with gradients."""
        parts = {"eeg": self._eeg, "eye": self._eye, "face": self._frame, "voice": self._clip}
        return batch_of(len(at), self._config, parts[modality](at, augment))

    def _frame(self, at: NDArray[np.intp], augment: Augment | None) -> Part:
        crops = as_crop(self.rows.crops(at))
        if augment:
            crops = _shifted_and_lit(crops, self._rng)
        tokens, found = self.network.encode_face(crops)[:, None], torch.ones(len(at), 1, dtype=torch.bool)
        if augment:
            tokens = self._about_own(tokens, found, at)
        return face_part(tokens, found, torch.zeros(len(at), 1))

    def _clip(self, at: NDArray[np.intp], augment: Augment | None) -> Part:
        frames, mask = self.rows.log_mel(at)
        if augment:
            frames = _spec_augmented(frames, self._rng)
        tokens, found, times = self.network.encode_voice(frames, mask)
        if augment:
            tokens = self._about_own(tokens, found, at)
        return voice_part(tokens, found, times, torch.from_numpy(self.rows.voice_clip_s[at]))

    def _about_own(self, tokens: Tensor, found: Tensor, at: NDArray[np.intp]) -> Tensor:
        """Return tokens (n, M, D) as deviations from the mean of their subject's in the batch."""
        subject = torch.from_numpy(np.unique(self.rows.subject[at], return_inverse=True)[1].ravel())
        weight = nn.functional.one_hot(subject).to(tokens).T  # (subjects, n)
        count = found.to(tokens)[..., None]
        of_row = (tokens * count).sum(dim=1) / count.sum(dim=1).clamp_min(1)
        return tokens - ((weight @ of_row) / weight.sum(dim=1, keepdim=True))[subject][:, None]

    def window(
        self, at: NDArray[np.intp], augment: Augment | None = None, channels: list[int] | None = None
    ) -> NetworkInput:
        """Return whole windows; of EEG ``channels`` by index, else all, or a random subset to augment."""
        eeg, eye = self._eeg(at, augment, channels), self._eye(at, augment)
        face = self._face(at, drop_frames=augment is not None)
        return batch_of(len(at), self._config, eeg, eye, face, self._voice(at))

    def tokens_only(self, at: NDArray[np.intp]) -> NetworkInput:
        """Return windows of encoded faces, some frames dropped at random, and voice."""
        return batch_of(len(at), self._config, self._face(at, drop_frames=True), self._voice(at))

    def _eeg(self, at: NDArray[np.intp], augment: Augment | None, channels: list[int] | None = None) -> Part:
        config, rng, n_channels = self._config, self._rng, len(self._config.ch_names)
        if channels is None:
            channels = random_channels(n_channels, augment, rng) if augment else list(range(n_channels))
        part = self.rows.eeg(at, channels, config, self._levels(at, "eeg", augment))
        if augment:
            before = self.rows.before_onset(at, config.n_eeg_steps)
            part["eeg_step_mask"] = thinned(part["eeg_step_mask"], before, augment, rng)
            noise = rng.normal(0, augment.eeg_noise, tuple(part["eeg"].shape)).astype(np.float32)
            part["eeg"] = part["eeg"] + torch.from_numpy(noise)
        return part

    def _levels(self, at: NDArray[np.intp], modality: str, augment: Augment | None) -> Levels | None:
        """Return drawn levels to augment, None for those that the rows know."""
        if augment is None or self._drawn is None:
            return None
        return {modality: self._drawn(modality, self.rows.subject[at], augment, self._rng)}

    def _eye(self, at: NDArray[np.intp], augment: Augment | None) -> Part:
        part = self.rows.eye(at, self._config, self._levels(at, "eye", augment))
        if augment:
            before = self.rows.before_onset(at, self._config.windows.eye_n_steps)
            part["eye_step_mask"] = thinned(part["eye_step_mask"], before, augment, self._rng)
            kept = self._rng.random(tuple(part["eye_feature_mask"].shape)) >= augment.p_drop_eye_feature
            part["eye_feature_mask"] = part["eye_feature_mask"] & torch.from_numpy(kept)
        return part

    def _face(self, at: NDArray[np.intp], *, drop_frames: bool) -> Part:
        """Return the encoded frames of windows, one a second."""
        assert self._encoded is not None
        n_frames = round(self._config.windows.face_s)
        steps, exists = self.rows.steps_back(at, n_frames)
        kept = exists & self.rows.has_crop[steps]
        if drop_frames:
            kept &= self._rng.random(exists.shape) < _P_KEEP_FRAME
        ages = torch.arange(n_frames - 1, -1, -1.0).expand(len(at), -1)
        level = self.rows.centred(at).face
        return face_part(self._encoded.face[steps], torch.from_numpy(kept), ages, level)

    def _voice(self, at: NDArray[np.intp]) -> Part:
        """Return the encoded clips of windows."""
        encoded = self._encoded
        assert encoded is not None
        tokens, mask = encoded.voice[at], encoded.voice_mask[at]
        age, level = torch.from_numpy(self.rows.voice_clip_s[at]), self.rows.centred(at).voice
        return voice_part(tokens, mask, encoded.voice_times, age, level)


class DrawnLevels:
    """Levels of training subjects as a session may know them: from one to all of a subject's trials."""

    def __init__(self, trials: Sequence[Sequence[LabelledTrial]], prior: Mapping[str, LevelPrior]) -> None:
        self._prior = prior
        self._means = {m: [np.stack([t.mean(m)[0] for t in own]) for own in trials] for m in prior}

    def __call__(
        self, modality: str, subject: NDArray[np.intp], augment: Augment, rng: np.random.Generator
    ) -> Tensor:
        """Return a level (n, F) for each of n windows' subjects."""
        prior = self._prior[modality]
        found = np.empty((len(subject), len(prior.mean)))
        for at, number in enumerate(subject):
            means = self._means[modality][number]
            n = int(rng.integers(augment.min_level_trials, min(augment.max_level_trials, len(means)) + 1))
            mean = np.nanmean(means[rng.choice(len(means), n, replace=False)], axis=0)
            level = (n * mean + prior.kappa * prior.mean) / (n + prior.kappa)
            found[at] = np.where(np.isfinite(level), level, prior.mean)
        return torch.from_numpy(found)


def train_encoder(
    network: FusionNetwork,
    modality: str,
    rows: Rows,
    options: StageOptions,
    rng: np.random.Generator,
    progress: Progress,
    drawn: DrawnLevels | None = None,
) -> None:
    """Train one modality's encoder, pooling and head in place with cross-entropy.

    Rows of the first seconds of a trial, and rows without a face or voice, are excluded. The head sees
    deviations from the subject's own level: of EEG and eye features from one that is ``drawn``, of tokens
    from the mean over the subject's rows in the batch.
    """
    usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
    if modality == "face":
        usable = usable[rows.has_crop[usable]]
    if modality == "voice":
        usable = usable[rows.n_frames[usable] > 0]
    inputs = RowInputs(network, rows, rng, None, drawn)
    network.train()

    def loss(at: NDArray[np.intp]) -> Tensor:
        logits = unimodal_logits(network, modality, inputs.alone(modality, at, Augment()))
        return nn.functional.cross_entropy(logits, rows.label[at], label_smoothing=_LABEL_SMOOTHING)

    parameters, told = unimodal_parameters(network, modality), partial(progress, modality)
    subject = rows.subject if modality in ("face", "voice") else None
    train_stage(parameters, loss, usable, options, rng, told, subject)


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


def replaced_by_noise(batch: NetworkInput, modality: str, rng: np.random.Generator) -> NetworkInput:
    """Return the batch with one modality's features or tokens replaced by noise of similar scale."""

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
    inputs: RowInputs,
    usable: NDArray[np.intp],
    options: StageOptions,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train the time pooling of face and voice on several frames and clips, encoders frozen."""
    network, label = inputs.network, inputs.rows.label
    network.train()
    modules = [part[m] for m in ("face", "voice") for part in (network.tokens, network.heads)]
    parameters = [parameter for module in modules for parameter in module.parameters()]

    def loss(at: NDArray[np.intp]) -> Tensor:
        batch = inputs.tokens_only(at)
        total = torch.zeros(())
        for modality in ("face", "voice"):
            there = network.time_mask(modality, batch).any(1)
            logits = unimodal_logits(network, modality, batch)[there]
            total = total + nn.functional.cross_entropy(logits, label[at][there])
        return total

    train_stage(parameters, loss, usable, options, rng, partial(progress, "pooling"))


@dataclass(frozen=True, eq=False)
class WindowTokens:
    """Modality tokens of n windows, whole first, then thinned out; ``pool`` is of windows of noise."""

    tokens: Tensor  # (variants, n, 4, d_model)
    present: Tensor  # (variants, n, 4) bool
    noisy: Tensor  # (n, 4, d_model), of noise in place of each modality
    evidence: Tensor = field(default_factory=lambda: torch.empty(0))
    reliability: Tensor = field(default_factory=lambda: torch.empty(0))
    pool: tuple[Tensor, Tensor] = field(default_factory=lambda: (torch.empty(0), torch.empty(0)))


@torch.no_grad()
def modality_tokens(
    inputs: RowInputs, at: NDArray[np.intp], variants: int, rng: np.random.Generator, progress: Progress
) -> WindowTokens:
    """Encode the windows that end at some rows, once for all that the fusion learns from them."""
    network = inputs.network.prepare_inference()
    tokens, present, noisy = [], [], []
    n_batches = -(-len(at) // _BATCH)
    for variant in range(variants + 1):
        for number, start in enumerate(range(0, len(at), _BATCH)):
            augment = Augment() if 0 < variant < variants else None
            batch = inputs.window(at[start : start + _BATCH], augment)
            if variant == variants:
                for modality in MODALITIES:
                    batch = replaced_by_noise(batch, modality, rng)
                noisy.append(network.modality_tokens(batch))
            else:
                tokens.append(network.modality_tokens(batch))
                present.append(batch.present)
            share = (variant * n_batches + number + 1) / ((variants + 1) * n_batches)
            progress("tokens", share, float("nan"))
    shape = (variants, len(at), len(MODALITIES))
    whole = torch.cat(tokens).reshape(*shape, -1), torch.cat(present).reshape(shape)
    return WindowTokens(*whole, torch.cat(noisy))


def train_fusion(
    network: FusionNetwork,
    windows: WindowTokens,
    usable: NDArray[np.intp],
    labels: Tensor,
    options: StageOptions,
    rng: np.random.Generator,
    progress: Callable[[float, float], None],
) -> None:
    """Train the shared attention and its head on windows' tokens with modality dropout and noise.

    The attention weighs the discriminant's evidence too, so it learns from the sum of both parts; weight on
    modalities that are noise costs extra, and so does attention that differs between clean ones: evidence
    adds up as it is.
    """
    network.train()
    n_variants = len(windows.tokens)
    log_scale = nn.Parameter(torch.full((len(MODALITIES),), math.log(_EVIDENCE_SCALE)))

    def loss(at: NDArray[np.intp]) -> Tensor:
        variant = torch.from_numpy(rng.integers(0, n_variants, len(at)))
        chosen, there = windows.tokens[variant, at], windows.present[variant, at]
        evidence, reliability = windows.evidence[at], windows.reliability[at]
        noise = torch.from_numpy(rng.random(tuple(there.shape)) < _P_NOISE)
        from_pool = torch.from_numpy(rng.integers(0, len(windows.pool[0]), len(at)))
        chosen = torch.where(noise[..., None], windows.noisy[at], chosen)
        evidence = torch.where(noise[..., None], windows.pool[0][from_pool], evidence)
        reliability = torch.where(noise, windows.pool[1][from_pool], reliability)
        kept = there & torch.from_numpy(rng.random(tuple(there.shape)) >= _P_DROP)
        kept = torch.where(kept.any(1, keepdim=True), kept, there)
        logits, attention = network.fusion(chosen, kept, reliability)
        total = logits + weighed(evidence, log_scale.exp(), attention, kept, reliability)
        on_noise = (attention * noise).sum(dim=1).mean()
        clean = kept & ~noise
        share = attention * clean.sum(dim=1, keepdim=True)
        uneven = ((share - 1) ** 2 * clean).sum() / clean.sum().clamp_min(1)
        return (
            nn.functional.cross_entropy(total, labels[at], label_smoothing=_LABEL_SMOOTHING)
            + nn.functional.cross_entropy(logits, labels[at], label_smoothing=_LABEL_SMOOTHING)
            + on_noise
            + _UNEVEN * uneven
        )

    parameters = [*network.fusion.parameters(), log_scale]
    train_stage(parameters, loss, usable, options, rng, progress)
