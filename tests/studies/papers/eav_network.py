"""The network of EAV's table, of a preset's size, and its input from 5 s clips."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import InputError
from models.config import ModelConfig, preset
from models.datasets import eav
from models.features.config import FeatureConfig
from models.features.face import Box, FaceFinder, crop_face
from models.features.log_mel import log_mel, resample
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.window_batch import NetworkInput, Part, batch_of, eeg_part, face_part, voice_part, windows_at
from tests.studies.demo_model.data import as_bytes, as_crop
from tests.studies.papers.eav_clips import EavClip

PROTOCOL = "speaking trials; of each class the first 70 % of the trials train, the last 30 % test"
_CLIP_S = 5.0
_N_FRAMES = 498  # log-mel frames of a clip
_FRAMES_AT_ONCE = 100  # of video


def network_config(size: str) -> ModelConfig:
    """Return the network of a preset's sizes for EAV's labels and channels."""
    config = preset(size, labels=eav.LABELS, ch_names=eav.CH_NAMES, eeg_encoder="eegformer")
    sizes = config.network
    features = replace(config.features, face_size=sizes.face.image_size, n_mels=sizes.voice.n_mels)
    return replace(config, features=features)


@dataclass(frozen=True, eq=False)
class ClipArrays:
    """Clips of one subject, in order."""

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

    def examples(self, modality: str) -> NDArray[np.intp]:
        """Return the clips that hold a modality; of the face their frames, counted through all clips."""
        rows = self.rows(modality)
        if modality != "face":
            return rows
        n_frames = self.crops.shape[1]
        return (rows[:, None] * n_frames + np.arange(n_frames)).ravel()


def read_clips(clips: Sequence[EavClip], config: FeatureConfig, n_frames: int) -> ClipArrays:
    """Read ``n_frames`` even frames and the audio of clips; one whose file breaks off is kept without it."""
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
    raw = np.stack([clip.raw for clip in clips])
    label, trial = (np.array([getattr(c, n) for c in clips], dtype=np.int64) for n in ("label", "trial"))
    return ClipArrays(raw, crops, has_crops, mel, n_mel, label, trial)


def _crops(frames: NDArray[np.uint8], finder: FaceFinder, config: FeatureConfig) -> NDArray[np.uint8]:
    """Return (frames, 3, size, size) of BGR frames (frames, h, w, 3)."""
    height, width = frames.shape[1:3]
    box: Box = (0, 0, width, height)
    crops = []
    for frame in frames:
        box = finder.find(frame) or box
        crops.append(as_bytes(crop_face(frame, box, config)))
    return np.stack(crops)


class ClipBatches:
    """Clips as input on the network's device; the normaliser is of training clips' EEG samples."""

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

    def alone(self, modality: str, at: NDArray[np.intp]) -> NetworkInput:
        """Return one modality of its `ClipArrays.examples`: of the face, frames counted through all clips."""
        if modality == "eeg":
            return self._batch(len(at), windows_at(self._eeg, at))
        if modality == "voice":
            return self._batch(len(at), self._voice(at))
        tokens = self._network.encode_face(self._frames(at))[:, None]
        found = torch.ones(len(at), 1, dtype=torch.bool, device=self._device)
        return self._batch(len(at), face_part(tokens, found, torch.zeros(len(at), 1)))

    def _frames(self, at: NDArray[np.intp]) -> Tensor:
        n_frames = self.clips.crops.shape[1]
        return as_crop(self.clips.crops[at // n_frames, at % n_frames]).to(self._device)

    def whole(self, at: NDArray[np.intp]) -> NetworkInput:
        """Return the clips with everything that is present in them."""
        return self._batch(len(at), windows_at(self._eeg, at), self._faces(at), self._voice(at))

    def _batch(self, n: int, *parts: Part) -> NetworkInput:
        return batch_of(n, self._network.config, *parts, device=self._device)

    def _faces(self, at: NDArray[np.intp]) -> Part:
        """Return all frames of clips, from the clip's beginning to its end."""
        n_frames = self.clips.crops.shape[1]
        every = (at[:, None] * n_frames + np.arange(n_frames)).ravel()
        parts = np.array_split(every, -(-len(every) // _FRAMES_AT_ONCE))  # all are too many for a ViT-B
        tokens = torch.cat([self._network.encode_face(self._frames(part)) for part in parts])
        found = torch.from_numpy(self.clips.has_crops[at]).to(self._device)
        ages = torch.linspace(_CLIP_S, 0.0, n_frames).expand(len(at), -1)
        return face_part(tokens.unflatten(0, (len(at), n_frames)), found[:, None].expand(-1, n_frames), ages)

    def _voice(self, at: NDArray[np.intp]) -> Part:
        frames = torch.from_numpy(self.clips.mel[at])
        mask = torch.arange(frames.shape[1]) < torch.from_numpy(self.clips.n_mel[at])[:, None]
        tokens = self._network.encode_voice(frames.to(self._device), mask.to(self._device))
        return voice_part(*tokens, torch.full((len(at),), _CLIP_S, device=self._device))
