"""EAV's clips of 5 s as arrays: EEG samples, face crops of 25 frames, log-mel frames of the voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import InputError
from models.datasets.eav import EavClip
from models.features.config import FeatureConfig
from models.features.face import Box, FaceFinder, crop_face
from models.features.log_mel import log_mel, resample
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.training.simulated_data import as_crop
from models.window_batch import NetworkInput, batch_of, eeg_part, windows_at

_N_FRAMES = 498  # log-mel frames of 5 s
_FRAMES_AT_ONCE = 100  # of video


@dataclass(frozen=True, eq=False)
class ClipArrays:
    """Clips of one person, in order."""

    raw: NDArray[np.float32]  # (n, 30, 500) uV
    crops: NDArray[np.uint8]  # (n, frames, 3, size, size) RGB
    has_crops: NDArray[np.bool_]  # (n,)
    mel: NDArray[np.float32]  # (n, 498, n_mels)
    n_mel: NDArray[np.int64]  # (n,) frames that are there; 0 without a voice
    label: NDArray[np.int64]  # (n,)
    trial: NDArray[np.int64]  # (n,)

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, modality: str) -> NDArray[np.intp]:
        """Return the clips that hold a modality."""
        there = {"face": self.has_crops, "voice": self.n_mel > 0}
        return np.flatnonzero(there.get(modality, np.ones(len(self), dtype=bool)))


def read_clips(clips: Sequence[EavClip], config: FeatureConfig, n_frames: int) -> ClipArrays:
    """Read video and audio of clips; a clip whose file breaks off is kept without it.

    Where no face is found the box of the frame before serves, then the whole frame.

    Parameters
    ----------
    clips : sequence of EavClip
    config : FeatureConfig
    n_frames : int
        Of the 25 of a clip, evenly spaced.
    """
    n, size, finder = len(clips), config.face_size, FaceFinder(config)
    crops = np.zeros((n, n_frames, 3, size, size), dtype=np.uint8)
    mel = np.zeros((n, _N_FRAMES, config.n_mels), dtype=np.float32)
    has_crops, n_mel = np.zeros(n, dtype=bool), np.zeros(n, dtype=np.int64)
    for at, clip in enumerate(clips):
        try:
            frames = clip.frames()
            chosen = frames[np.linspace(0, len(frames) - 1, n_frames).round().astype(int)]
            crops[at], has_crops[at] = _crops(chosen, finder, config), True
        except InputError:
            pass  # the loader noted a broken file; without a video there is nothing to add
        try:
            found = log_mel(resample(*clip.sound(), config), config)[:_N_FRAMES].numpy()
            mel[at, : len(found)], n_mel[at] = found, len(found)
        except InputError:
            pass
    return ClipArrays(
        np.stack([clip.raw for clip in clips]),
        crops,
        has_crops,
        mel,
        n_mel,
        np.array([clip.label for clip in clips], dtype=np.int64),
        np.array([clip.trial for clip in clips], dtype=np.int64),
    )


def _crops(frames: NDArray[np.uint8], finder: FaceFinder, config: FeatureConfig) -> NDArray[np.uint8]:
    """Return (frames, 3, size, size) of BGR frames (frames, h, w, 3)."""
    height, width = frames.shape[1:3]
    box: Box = (0, 0, width, height)
    crops = []
    for frame in frames:
        box = finder.find(frame) or box
        crops.append(((crop_face(frame, box, config) * 0.5 + 0.5) * 255).round().to(torch.uint8).numpy())
    return np.stack(crops)


class ClipBatches:
    """Clips as network input on the network's device, one modality at a time for its own training.

    Parameters
    ----------
    clips : ClipArrays
    normaliser : Normaliser
        Of the EEG's samples, fitted on training clips.
    """

    def __init__(self, clips: ClipArrays, network: FusionNetwork, normaliser: Normaliser) -> None:
        assert normaliser.eeg is not None
        self.clips, self._network = clips, network
        self._device = next(network.parameters()).device
        self.label = torch.from_numpy(clips.label).to(self._device)
        samples = torch.from_numpy(clips.raw)[:, None]  # (n, 1, 30, 500)
        positions = torch.arange(clips.raw.shape[1])
        self._eeg = eeg_part(
            samples, torch.isfinite(samples).all(dim=-1), positions, network.config, normaliser
        )

    def eeg(self, at: NDArray[np.intp]) -> NetworkInput:
        """Return the clips' EEG."""
        return batch_of(len(at), self._network.config, windows_at(self._eeg, at)).to(self._device)

    def frames(self, at: NDArray[np.intp]) -> Tensor:
        """Return crops (n, 3, size, size) of frames, counted through all clips."""
        n_frames = self.clips.crops.shape[1]
        return as_crop(self.clips.crops[at // n_frames, at % n_frames]).to(self._device)

    def face(self, frames: Tensor) -> NetworkInput:
        """Return single frames (n, 3, size, size) as windows, encoded with gradients."""
        batch = batch_of(len(frames), self._network.config)
        batch.face_tokens = self._network.encode_face(frames)[:, None]
        batch.face_mask[:] = True
        batch.present[:, 2] = True
        return batch.to(self._device)

    def voice(self, at: NDArray[np.intp]) -> NetworkInput:
        """Return the clips' voices, encoded with gradients."""
        frames = torch.from_numpy(self.clips.mel[at])
        mask = torch.arange(frames.shape[1]) < torch.from_numpy(self.clips.n_mel[at])[:, None]
        batch = batch_of(len(at), self._network.config)
        batch.voice_tokens, batch.voice_mask, times = self._network.encode_voice(
            frames.to(self._device), mask.to(self._device)
        )
        batch.voice_times = (5.0 - times).expand(len(at), -1)
        batch.present[:, 3] = True
        return batch.to(self._device)

    def whole(self, at: NDArray[np.intp]) -> NetworkInput:
        """Return the clips with everything that is present in them."""
        batch, voice = self.eeg(at), self.voice(at)
        n_frames = self.clips.crops.shape[1]
        batch.voice_tokens, batch.voice_mask = voice.voice_tokens, voice.voice_mask
        batch.voice_times = voice.voice_times
        batch.face_tokens = self._face_tokens((at[:, None] * n_frames + np.arange(n_frames)).ravel())
        batch.face_tokens = batch.face_tokens.unflatten(0, (len(at), n_frames))
        has_face = torch.from_numpy(self.clips.has_crops[at])
        batch.face_mask = has_face[:, None].expand(-1, n_frames)
        batch.face_times = torch.linspace(5.0, 0.0, n_frames).expand(len(at), -1)
        batch.present[:, 2], batch.present[:, 3] = has_face, batch.voice_mask.any(dim=1)
        return batch.to(self._device)

    def _face_tokens(self, at: NDArray[np.intp]) -> Tensor:
        """Return tokens (n, D) of frames, some at a time: all of 32 clips are too many for a ViT-B."""
        parts = [at[start : start + _FRAMES_AT_ONCE] for start in range(0, len(at), _FRAMES_AT_ONCE)]
        return torch.cat([self._network.encode_face(self.frames(part)) for part in parts])
