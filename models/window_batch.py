"""What goes into the fusion network and what comes out, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from acquisition.types import MODALITIES, Window
from models.config import ModelConfig
from models.normalise import Normaliser
from models.steps import EegStep


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


@dataclass(frozen=True, eq=False)
class EncodedFace:
    """What is kept of a face step."""

    token: Tensor | None  # (D,); None where the frame holds no face
    box: tuple[float, float, float, float] | None  # as in `models.steps.FaceStep`
    time: float  # LSL seconds of the frame


#: What is kept of a step, by (modality, step index): `EegStep`, eye features (E,), `EncodedFace`,
#: voice tokens (tokens (M, D), mask (M,), times (M,), clip length in s).
KeptSteps = Mapping[tuple[str, int], object]


def assemble(
    window: Window,
    kept: KeptSteps,
    config: ModelConfig,
    normaliser: Normaliser,
    positions: Tensor,
    n_voice_tokens: int,
    masked: Collection[str] = (),
) -> tuple[NetworkInput, dict[str, bool]]:
    """Return the batch of one for a window, and which modalities are present in it.

    A modality the model was not trained with never is.

    Parameters
    ----------
    window : Window
    kept : mapping
        Features or tokens of the window's valid steps.
    positions : Tensor, (C,), long
        Indices of the connected EEG channels in ``config.ch_names``.
    n_voice_tokens : int
        Tokens of the longest clip.
    masked : collection of str
        Modalities that count as absent though they are there.
    """
    steps = {
        modality: [
            kept.get((modality, step.index)) if step.valid else None for step in window.steps[modality]
        ]
        if modality in window.steps
        else []
        for modality in MODALITIES
    }
    if config.network.streams:
        eeg, eeg_mask, eeg_channels = _eeg_by_step(eeg_steps(window, kept), config, normaliser, positions)
    else:
        eeg, eeg_mask, eeg_channels = _eeg(steps["eeg"], config, normaliser, positions)
    eye, eye_steps, eye_features = _eye(steps["eye"], config, normaliser)
    face, face_mask, face_ages = _face(steps["face"], window, config)
    voice, voice_mask, voice_ages = _voice(steps["voice"], window, config, n_voice_tokens)
    present = dict(window.present)
    present["eeg"] &= bool(eeg_channels[-1].any() if config.network.streams else eeg_channels.any())
    present["eye"] &= bool(eye_features.any())
    present["face"] &= int(face_mask.sum()) >= config.windows.face_min_frames
    present = {
        modality: there and modality in config.modalities and modality not in masked
        for modality, there in present.items()
    }
    inputs = NetworkInput(
        eeg=eeg[None],
        eeg_positions=positions,
        eeg_step_mask=eeg_mask[None],
        eeg_channel_mask=eeg_channels[None],
        eye=eye[None],
        eye_step_mask=eye_steps[None],
        eye_feature_mask=eye_features[None],
        face_tokens=face[None],
        face_mask=face_mask[None],
        face_times=face_ages[None],
        voice_tokens=voice[None],
        voice_mask=voice_mask[None],
        voice_times=voice_ages[None],
        present=torch.tensor([[present[modality] for modality in MODALITIES]]),
    )
    return inputs, present


def _eeg(
    steps: list[object], config: ModelConfig, normaliser: Normaliser, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return normalised DE or samples (C, T, F), the step mask (T,) and the channel mask (C,)."""
    n_steps, n_channels = config.windows.eeg_n_steps, len(positions)
    values = torch.zeros(n_steps, n_channels, config.network.n_eeg_features)
    step_mask = torch.zeros(n_steps, dtype=torch.bool)
    usable = torch.zeros(n_steps, n_channels, dtype=torch.bool)
    for at, step in enumerate(steps):
        if isinstance(step, EegStep):
            values[at] = step.de if step.raw is None else step.raw
            usable[at], step_mask[at] = step.usable, True
    channels = majority_usable(usable, step_mask)
    if normaliser.eeg is not None:
        values = normaliser.eeg.select(positions.tolist()).apply(fill_from_other_steps(values, usable))
    values = torch.where((step_mask[:, None] & channels)[..., None], values, 0.0)
    return values.permute(1, 0, 2).contiguous(), step_mask, channels


def eeg_steps(window: Window, kept: KeptSteps) -> list[EegStep | None]:
    """Return what is kept of the EEG steps of run-in and window, oldest first; [] without an EEG stream."""
    features = [
        kept.get(("eeg", step.index)) if step.valid else None
        for step in (*window.run_in, *window.steps.get("eeg", ()))
    ]
    return [step if isinstance(step, EegStep) else None for step in features]


def _eeg_by_step(
    steps: list[EegStep | None], config: ModelConfig, normaliser: Normaliser, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return normalised DE (C, T, F), step mask (T,) and channel mask (T, C) for a streaming encoder.

    A step goes by itself alone: what is unusable in it is masked in it, and one with nothing usable is a gap.
    """
    n_steps, n_channels = config.n_eeg_steps, len(positions)
    values = torch.zeros(n_steps, n_channels, config.network.n_eeg_features)
    usable = torch.zeros(n_steps, n_channels, dtype=torch.bool)
    for at, step in enumerate(steps):
        if step is not None:
            values[at], usable[at] = step.de, step.usable
    if normaliser.eeg is not None:
        values = normaliser.eeg.select(positions.tolist()).apply(values)
    values = torch.where(usable[..., None], values, 0.0)
    return values.permute(1, 0, 2).contiguous(), usable.any(dim=1), usable


def _eye(steps: list[object], config: ModelConfig, normaliser: Normaliser) -> tuple[Tensor, Tensor, Tensor]:
    """Return scaled eye features (E, T), the step mask (T,) and the feature mask (E,)."""
    n_steps = config.windows.eye_n_steps
    eye = torch.full((n_steps, config.network.n_eye_features), torch.nan)
    step_mask = torch.zeros(n_steps, dtype=torch.bool)
    for at, step in enumerate(steps):
        if isinstance(step, Tensor):
            eye[at], step_mask[at] = step, True
    finite = torch.isfinite(eye)
    features = finite.any(dim=0)
    eye = fill_from_other_steps(eye, finite)
    if normaliser.eye is not None:
        eye = normaliser.eye.apply(eye)
    eye = torch.where(step_mask[:, None] & features, eye, 0.0)
    return eye.T.contiguous(), step_mask, features


def _face(steps: list[object], window: Window, config: ModelConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens (N, D), their mask (N,) and their age in seconds (N,)."""
    n_frames = round(config.windows.face_s / config.windows.face_grid_s)
    tokens = torch.zeros(n_frames, config.network.face.width)
    mask = torch.zeros(n_frames, dtype=torch.bool)
    ages = torch.zeros(n_frames)
    for at, step in enumerate(steps):
        ages[at] = window.t_end - window.steps["face"][at].t_end
        if isinstance(step, EncodedFace) and step.token is not None:
            tokens[at], mask[at] = step.token, True
    return tokens, mask, ages


def _voice(
    steps: list[object], window: Window, config: ModelConfig, n_tokens: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return tokens (M, D), their mask (M,) and their age in seconds (M,)."""
    if not steps or not isinstance(steps[0], tuple):
        empty = torch.zeros(n_tokens, config.network.voice.width)
        return empty, torch.zeros(n_tokens, dtype=torch.bool), torch.zeros(n_tokens)
    tokens, mask, times, clip_s = steps[0]
    clip_start = window.steps["voice"][0].t_end - clip_s
    return tokens, mask, (window.t_end - clip_start - times).clamp_min(0.0)


def majority_usable(usable: Tensor, step_mask: Tensor) -> Tensor:
    """Return the channels (C,) usable in the newest valid step and in at least half of the valid steps.

    Parameters
    ----------
    usable : Tensor, (T, C), bool
    step_mask : Tensor, (T,), bool
    """
    if not step_mask.any():
        return torch.zeros(usable.shape[1], dtype=torch.bool)
    newest = int(torch.nonzero(step_mask)[-1])
    return usable[newest] & (usable[step_mask].float().mean(dim=0) >= 0.5)


def fill_from_other_steps(values: Tensor, usable: Tensor) -> Tensor:
    """Replace what is unusable in a step by the mean of the steps where it is usable.

    Parameters
    ----------
    values : Tensor, (T, C) or (T, C, F)
    usable : Tensor, (T, C), bool

    Returns
    -------
    Tensor
        Shape of ``values``; 0 where no step is usable.
    """
    mask = usable if values.dim() == 2 else usable[..., None].expand_as(values)
    known = torch.where(mask, values, 0.0)
    mean = known.sum(dim=0) / mask.sum(dim=0).clamp_min(1)
    return torch.where(mask, known, mean.expand_as(values))
