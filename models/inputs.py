"""What goes into the fusion network and what comes out, as tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(eq=False)
class NetworkInput:
    """A batch of windows. Masks are True where something is valid; what is masked may hold anything.

    Faces and voice come as encoded tokens, because a frame or clip is encoded once and shared by the
    windows that hold it: see `FusionNetwork.encode_face` and `encode_voice`.
    """

    eeg: Tensor  # (B, C, T, bands) normalised DE, oldest step first; for EEGformer (B, C, 1, samples)
    eeg_positions: Tensor  # (C,) long, index of each channel in ModelConfig.ch_names
    eeg_step_mask: Tensor  # (B, T) bool; a streaming encoder's T has `WindowConfig.eeg_run_in` steps in front
    eeg_channel_mask: Tensor  # (B, C) bool; for a streaming encoder also (B, T, C), by step
    eye: Tensor  # (B, E, T_eye) normalised eye features, oldest step first
    eye_step_mask: Tensor  # (B, T_eye) bool
    eye_feature_mask: Tensor  # (B, E) bool
    face_tokens: Tensor  # (B, n_frames, face width)
    face_mask: Tensor  # (B, n_frames) bool
    face_times: Tensor  # (B, n_frames) seconds before t_end, >= 0
    voice_tokens: Tensor  # (B, n_tokens, voice width)
    voice_mask: Tensor  # (B, n_tokens) bool
    voice_times: Tensor  # (B, n_tokens) seconds before t_end, >= 0
    present: Tensor  # (B, 4) bool, in the order of acquisition.types.MODALITIES

    def map(self, function: Callable[[Tensor], Tensor]) -> NetworkInput:
        """Return a copy with a function applied to every tensor."""
        return NetworkInput(**{f.name: function(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str) -> NetworkInput:
        """Return the batch on a device."""
        return self.map(lambda tensor: tensor.to(device))


@dataclass(eq=False)
class NetworkOutput:
    """Scores of a batch of windows and where they came from."""

    logits: Tensor  # (B, n_labels)
    modality_attention: Tensor  # (B, 4), 0 for an absent modality, sums to 1 (0 where nothing is present)
    channel_attention: Tensor  # (B, C) received in the last block over channels, sums to 1 (0 without EEG)
    time_attention: Tensor  # (B, T) of the T one-second steps before t_end, oldest first; as above
    modality_logits: Tensor  # (B, 4, n_labels) each modality by its own linear head
