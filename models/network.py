"""The fusion network: four encoders, learned pooling over time, shared attention, one prediction."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.config import EvidenceConfig, FusionConfig, ModelConfig, MvSstmaConfig
from models.encoders.eegformer import EegformerEncoder
from models.encoders.expression import EXPRESSION_NETS
from models.encoders.layers import ChannelPool, ChannelWeights, TimePool
from models.encoders.mv_sstma import MvSstmaEncoder
from models.encoders.open_classifier import OpenFace, OpenVoice, OpenWave
from models.encoders.transformer import AstEncoder, VitEncoder
from models.encoders.voice import VoiceActivity, VoiceStatistics
from models.fusion import FUSIONS, weighed
from models.window_batch import NetworkInput, NetworkOutput

#: Of EEG or eyes, by modality: tokens of the steps (B, T, width) and attention received by channel (B, C).
KnownTokens = Mapping[str, tuple[Tensor, Tensor]]
NOTHING_KNOWN: KnownTokens = MappingProxyType({})

#: `models.config.FACE_ENCODERS` and `VOICE_ENCODERS`.
_FACE_ENCODERS: dict[str, Any] = {"vit": VitEncoder, **EXPRESSION_NETS, "open": OpenFace}
_VOICE_ENCODERS: dict[str, Any] = {
    "ast": AstEncoder,
    "statistics": VoiceStatistics,
    "open": OpenVoice,
    "open-wave": OpenWave,
}


class ModalityToken(nn.Module):
    """Turn a modality's tokens over time into one token, and say which times counted.

    A layer norm of each step makes a faint step as long as a clear one before they are pooled. Without it
    (``token_norm="none"``) an encoder that was trained elsewhere answers as it did there, by a linear layer.
    """

    def __init__(self, in_dim: int, fusion: FusionConfig) -> None:
        super().__init__()
        norms = [nn.LayerNorm(fusion.d_model)] if fusion.token_norm == "steps" else []
        self.project = nn.Sequential(nn.Linear(in_dim, fusion.d_model), *norms, nn.Dropout(fusion.dropout))
        self.pool = TimePool(fusion.d_model)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, d_model) and the time weights (B, N) of tokens (B, N, in_dim), mask (B, N)."""
        return self.pool(self.project(tokens.masked_fill(~mask[..., None], 0.0)), mask)


class FusionNetwork(nn.Module):
    """Emotion logits and attention from any subset of EEG, eye tracking, face and voice."""

    _trained_with: Tensor  # (4,) bool
    _weights: Tensor  # (4,) of the evidence: on the device, since a CUDA graph cannot fetch it

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        sizes = config.network
        fusion, n_labels, n_channels = sizes.fusion, len(config.labels), len(config.ch_names)
        self.eeg: MvSstmaEncoder | EegformerEncoder
        if sizes.takes_raw_eeg:
            self.eeg = EegformerEncoder(sizes.eegformer, n_channels)
        else:
            self.eeg = MvSstmaEncoder(sizes.eeg, n_channels)
        self.eye = MvSstmaEncoder(sizes.eye, sizes.n_eye_features)
        self.face = _FACE_ENCODERS[sizes.face_encoder](sizes.face)
        self.voice = _VOICE_ENCODERS[sizes.voice_encoder](sizes.voice)
        self.voice_activity = VoiceActivity() if sizes.voice_activity else None
        if not sizes.takes_raw_eeg:
            self.eeg_pool = _channel_projection(sizes.eeg, n_channels)
        self.eye_pool = _channel_projection(sizes.eye, sizes.n_eye_features)
        eeg_width = sizes.eegformer.width if sizes.takes_raw_eeg else _pooled(sizes.eeg)
        widths = (eeg_width, _pooled(sizes.eye), sizes.face.width, sizes.voice.width)
        self.tokens = nn.ModuleDict(
            {
                modality: ModalityToken(width, sizes.fusion_of(modality))
                for modality, width in zip(MODALITIES, widths, strict=True)
            }
        )
        self.heads = nn.ModuleDict({m: nn.Linear(fusion.d_model, n_labels) for m in MODALITIES})
        self.fusion = FUSIONS[fusion.variant](fusion, n_labels)
        trained = torch.tensor([modality in config.modalities for modality in MODALITIES])
        self.register_buffer("_trained_with", trained, persistent=False)
        self.register_buffer("_weights", torch.ones(len(MODALITIES)), persistent=False)
        if config.evidence is not None:
            self.weigh_by(config.evidence)

    def weigh_by(self, evidence: EvidenceConfig) -> None:
        """Let a discriminant's evidence count as this says from now on."""
        self.config = replace(self.config, evidence=evidence)
        self._weights = self._weights.new_tensor(evidence.weights)

    def forward(self, inputs: NetworkInput, known: KnownTokens = NOTHING_KNOWN) -> NetworkOutput:
        """Return logits and attention of a batch of windows; see `NetworkInput`, `NetworkOutput`.

        What is ``known`` of EEG and eyes, by `step_eeg` or `encode_steps`, is not encoded again.
        What `presence` finds absent has no influence. A modality the model was not trained with is not
        even encoded: its token is 0.
        """
        results = [self._token_or_zero(modality, inputs, known) for modality in MODALITIES]
        tokens = torch.stack([token for token, _, _ in results], dim=1)  # (B, 4, d_model)
        present = self.presence(inputs)
        logits, attention = self.fuse(tokens, present, inputs.evidence, inputs.reliability)
        time = self._time_attention(attention, [weights for _, weights, _ in results], inputs)
        received = results[0][2]
        assert received is not None
        return NetworkOutput(logits, attention, received * present[:, :1], time)

    def fuse(
        self, tokens: Tensor, present: Tensor, evidence: Tensor, reliability: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, n_labels) and modality attention (B, 4) of what the encoders made.

        Tokens are (B, 4, d_model), presence and reliability (B, 4), a discriminant's evidence
        (B, 4, n_labels): the attention weighs it too, see `models.config.EvidenceConfig`.
        """
        logits, attention = self.fusion(tokens, present, reliability)
        if (config := self.config.evidence) is not None:
            of_modalities = weighed(evidence, self._weights, attention, present, reliability)
            logits = config.network_weight * logits + of_modalities
        return logits, attention

    def modality_tokens(self, inputs: NetworkInput, only: Collection[str] = MODALITIES) -> Tensor:
        """Return the tokens (B, 4, d_model) that the fusion reads; 0 for modalities not in ``only``."""
        return torch.stack([self._token_or_zero(m, inputs, only=only)[0] for m in MODALITIES], dim=1)

    def presence(self, inputs: NetworkInput) -> Tensor:
        """Return which modalities the fusion reads, bool (B, 4): present, with a step, and trained with."""
        filled = torch.stack([self.time_mask(modality, inputs).any(dim=1) for modality in MODALITIES], dim=1)
        return inputs.present & filled & self._trained_with

    def encode_face(self, frames: Tensor) -> Tensor:
        """Return one token (N, D) a face crop (N, 3, size, size), scaled to -1..1."""
        return self.face(frames)

    def encode_voice(self, log_mel: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (B, M, D), their mask (B, M) and times (M,) in s from the clip's start.

        Frames (B, n_frames, n_mels) are 1 to 10 s of log-mel at 100 a second, or contours where the encoder
        takes those; their mask is (B, n_frames).
        """
        return self.voice(log_mel, frame_mask)

    def speech_s(self, wave: Tensor) -> float:
        """Return how many of a clip's (n_times,) newest seconds hold speech: of a model that asks."""
        assert self.voice_activity is not None
        return self.voice_activity.speech_s(wave)

    def step_eeg(
        self, features: Tensor, positions: Tensor, channel_mask: Tensor, state: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return a step's token (1, 1, width) and attention received (1, C): see `MvSstmaEncoder.step`."""
        assert isinstance(self.eeg, MvSstmaEncoder)
        tokens, received = self.eeg.step(features, positions, channel_mask, state)
        return self.eeg_pool(tokens, channel_mask, positions), received

    def prepare_inference(self) -> FusionNetwork:
        """Switch to eval mode with the fast paths; `train`, `to` and `load_state_dict` undo it."""
        self.eval()
        for encoder in (self.eeg, self.eye):
            if isinstance(encoder, MvSstmaEncoder):
                encoder.fold()
        return self

    def _token_or_zero(
        self,
        modality: str,
        inputs: NetworkInput,
        known: KnownTokens = NOTHING_KNOWN,
        only: Collection[str] = MODALITIES,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return what `_modality_token` does, zeros of the same shapes for a modality not trained with."""
        if modality in self.config.modalities and modality in only:
            return self._modality_token(modality, inputs, known)
        n_batch, n_channels = inputs.eeg.shape[:2]
        received = inputs.eeg.new_zeros(n_batch, n_channels) if modality == "eeg" else None
        token = inputs.eeg.new_zeros(n_batch, self.config.network.fusion.d_model)
        return token, inputs.eeg.new_zeros(self._ages(modality, inputs).shape), received

    def _modality_token(
        self, modality: str, inputs: NetworkInput, known: KnownTokens = NOTHING_KNOWN
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return token (B, d_model), time weights (B, N) and, for EEG and eye, attention by channel."""
        received = None
        if isinstance(self.eeg, EegformerEncoder) and modality == "eeg":
            tokens, received, weights = self.eeg(
                inputs.eeg, inputs.eeg_positions, inputs.eeg_step_mask, inputs.eeg_channel_mask
            )
            # One token a window: which times counted is what the temporal transformer attended to.
            return self.tokens[modality](tokens, self.time_mask(modality, inputs))[0], weights, received
        if modality in known:
            tokens, received = known[modality]
        elif modality in ("eeg", "eye"):
            tokens, received = self.encode_steps(modality, inputs)
        else:
            tokens = inputs.face_tokens if modality == "face" else inputs.voice_tokens
        token, weights = self.tokens[modality](tokens, self.time_mask(modality, inputs))
        return token, weights, received

    def encode_channels(self, modality: str, inputs: NetworkInput) -> tuple[Tensor, Tensor]:
        """Return tokens (B, T, C, D) of EEG or eyes without left context, and attention received (B, C)."""
        if modality == "eye":
            places, features, _ = self.channels_of(modality, inputs)
            return self.eye(inputs.eye[..., None], places, inputs.eye_step_mask, features)
        assert isinstance(self.eeg, MvSstmaEncoder)
        n_steps = self._n_steps(inputs)
        masks = inputs.eeg_step_mask, inputs.eeg_channel_mask
        tokens, received = self.eeg(inputs.eeg, inputs.eeg_positions, *masks, n_steps)
        return tokens[:, -n_steps:], received

    def encode_steps(self, modality: str, inputs: NetworkInput) -> tuple[Tensor, Tensor]:
        """Return of EEG or eyes one token a step, (B, T, width), and attention received (B, C)."""
        encoded, received = self.encode_channels(modality, inputs)
        return self.read_channels(modality, encoded, inputs), received

    def read_channels(self, modality: str, encoded: Tensor, inputs: NetworkInput) -> Tensor:
        """Return one token a step, (B, T, width), of what `encode_channels` gives."""
        places, columns, _ = self.channels_of(modality, inputs)
        return (self.eeg_pool if modality == "eeg" else self.eye_pool)(encoded, columns, places)

    def channels_of(self, modality: str, inputs: NetworkInput) -> tuple[Tensor, Tensor, Tensor]:
        """Return of EEG or eyes the positions (C,), the mask (B, C) or (B, T, C), and which steps are valid.

        The last, bool (B, T), counts a step only if one of its channels is there; left context is not in it.
        """
        if modality == "eye":
            places = torch.arange(inputs.eye.shape[1], device=inputs.eye.device)
            return places, inputs.eye_feature_mask, self.time_mask(modality, inputs)
        columns = inputs.eeg_channel_mask
        if columns.dim() == 3:
            columns = columns[:, -self._n_steps(inputs) :]
        return inputs.eeg_positions, columns, self.time_mask(modality, inputs)

    def _n_steps(self, inputs: NetworkInput) -> int:
        """Return T of the EEG: left context, of which there may be less than the config's, does not count."""
        windows = self.config.windows
        return windows.eeg_n_steps if windows.n_context_steps else inputs.eeg_step_mask.shape[1]

    def time_mask(self, modality: str, inputs: NetworkInput) -> Tensor:
        """Return which of a modality's time tokens count, bool (B, N)."""
        if modality == "eeg":
            channels = inputs.eeg_channel_mask.any(dim=-1)
            channels = channels if channels.dim() == 2 else channels[:, None]
            return (inputs.eeg_step_mask & channels)[:, -self._n_steps(inputs) :]
        if modality == "eye":
            return inputs.eye_step_mask & inputs.eye_feature_mask.any(dim=1, keepdim=True)
        return inputs.face_mask if modality == "face" else inputs.voice_mask

    def _time_attention(self, attention: Tensor, weights: list[Tensor], inputs: NetworkInput) -> Tensor:
        """Return (B, T): each modality's time weights in 1 s bins, times the modality's own weight.

        What is older than the EEG's first step counts to that step.
        """
        n_bins = self._n_steps(inputs)
        if isinstance(self.eeg, EegformerEncoder):
            n_bins = round(self.config.windows.context_of("eeg"))
        ages = [self._ages(modality, inputs) for modality in MODALITIES]
        total = attention.new_zeros(len(attention), n_bins)
        bins = torch.arange(n_bins, device=attention.device)
        for index, (weight, age) in enumerate(zip(weights, ages, strict=True)):
            slot = n_bins - 1 - age.nan_to_num(0.0).clamp(0, n_bins - 1).floor().long()  # (B, N)
            inside = (slot[..., None] == bins).to(weight.dtype)  # (B, N, T)
            total = total + torch.bmm(weight[:, None], inside)[:, 0] * attention[:, index, None]
        return total

    def _ages(self, modality: str, inputs: NetworkInput) -> Tensor:
        """Return how many seconds before t_end a modality's time weights lie, (B, N)."""
        if modality == "face":
            return inputs.face_times
        if modality == "voice":
            return inputs.voice_times
        if modality == "eeg" and isinstance(self.eeg, EegformerEncoder):
            n_segments = self.eeg.config.n_segments
            share = (torch.arange(n_segments, device=inputs.eeg.device) + 0.5) / n_segments
            ages = self.config.windows.eeg_step_s * (1.0 - share)  # of the segments' middles
            return ages.expand(len(inputs.eeg), -1)
        if modality == "eeg":
            return _step_ages(inputs.eeg_step_mask[:, -self._n_steps(inputs) :])
        return _step_ages(inputs.eye_step_mask)


def _channel_projection(config: MvSstmaConfig, n_positions: int) -> ChannelPool | ChannelWeights:
    if config.channel_projection == "weights":
        return ChannelWeights(config.dim, n_positions, _pooled(config))
    return ChannelPool(config.dim, config.n_pools)


def _pooled(config: MvSstmaConfig) -> int:
    return config.dim * config.n_pools


def _step_ages(step_mask: Tensor) -> Tensor:
    """Return the age (B, T) in whole seconds of 1 s steps that end at t_end."""
    n_steps = step_mask.shape[1]
    ages = torch.arange(n_steps - 1, -1, -1, device=step_mask.device, dtype=torch.float32)
    return ages.expand(len(step_mask), -1)
