"""The only builder of the network's input: raw step features in, normalised and masked tensors out.

Live, replay, calibration, fine-tuning, pre-training and simulated training hold their steps in forms of
their own and bring them here as batches of n windows; live has n = 1. On the CPU a window has the same bits
in every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES, Step, Window
from acquisition.windowing import rows_back
from models.config import ModelConfig
from models.normalise import Normaliser
from models.steps import CachedFace, CachedStep, CachedSteps, CachedVoice, EegStep


@dataclass(eq=False)
class NetworkInput:
    """A batch of windows. Masks are True where something is valid; what is masked may hold anything."""

    eeg: Tensor  # (B, C, T, bands) normalised DE, oldest step first; for EEGformer (B, C, 1, samples)
    eeg_positions: Tensor  # (C,) long, index of each channel in ModelConfig.ch_names
    eeg_step_mask: (
        Tensor  # (B, T) bool; a streaming encoder's T has `WindowConfig.n_context_steps` steps in front
    )
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
    evidence: Tensor  # (B, 4, n_labels) log-likelihoods of a discriminant, see `models.config.EvidenceConfig`
    reliability: Tensor  # (B, 4) 0..1, of each modality's signal

    def map(self, function: Callable[[Tensor], Tensor]) -> NetworkInput:
        """Return a copy with a function applied to every tensor."""
        return NetworkInput(**{f.name: function(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str) -> NetworkInput:
        """Return the batch on a device."""
        return self.map(lambda tensor: tensor.to(device))


def join(batches: Sequence[NetworkInput]) -> NetworkInput:
    """Return batches of the same shapes and electrodes as one."""
    parts = {f.name: [getattr(one, f.name) for one in batches] for f in fields(NetworkInput)}
    (positions, *_) = parts.pop("eeg_positions")
    return NetworkInput(eeg_positions=positions, **{name: torch.cat(rows) for name, rows in parts.items()})


@dataclass(eq=False)
class NetworkOutput:
    """Scores of a batch of windows and where they came from."""

    logits: Tensor  # (B, n_labels)
    modality_attention: Tensor  # (B, 4), 0 for an absent modality, sums to 1 (0 where nothing is present)
    channel_attention: Tensor  # (B, C) received in the last block over channels, sums to 1 (0 without EEG)
    time_attention: Tensor  # (B, T) of the T one-second steps before t_end, oldest first; as above


Part = dict[str, Tensor]


# --- EEG and eye features: which channels count, filling, normalisation, masks ---


class Scale(Protocol):
    """What brings raw features to the scale of training: `EegScale` or `EyeScale`."""

    def apply(self, features: Tensor, /) -> Tensor:
        """Return the features normalised, without NaN."""


#: Which channels count, by (usable (B, T, C), step mask (B, T)): (B, C) for the window, or (B, T, C) by step.
ChannelRule = Callable[[Tensor, Tensor], Tensor]


def usable_by_step(usable: Tensor, step_mask: Tensor) -> Tensor:
    """Return the channels usable in each step (B, T, C), for a streaming encoder: no step knows a later."""
    return usable & step_mask[..., None]


def usable_in_most_steps(usable: Tensor, step_mask: Tensor) -> Tensor:
    """Return the channels (B, C) usable in the newest valid step and in at least half of the valid steps."""
    usable = usable & step_mask[..., None]
    ages = torch.arange(1, step_mask.shape[1] + 1, device=usable.device)
    newest = (step_mask * ages).argmax(dim=1)  # (B,)
    in_newest = usable[torch.arange(len(usable), device=usable.device), newest]
    return in_newest & (2 * usable.sum(dim=1) >= step_mask.sum(dim=1, keepdim=True))


def usable_in_any_step(usable: Tensor, step_mask: Tensor) -> Tensor:
    """Return the channels (B, C) usable in some step: for eye features, many of which are rarely measured."""
    return usable_by_step(usable, step_mask).any(dim=1)


def normalised_steps(
    values: Tensor, usable: Tensor, scale: Scale | None, rule: ChannelRule, step_mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return normalised features (B, C, T, ...), the step mask (B, T) and the channel mask of ``rule``.

    Raw ``values`` (B, T, C, F) or (B, T, C) may hold anything where they are not ``usable``, bool (B, T, C).
    In the window form that is filled with the mean of the channel's usable steps. In the streaming form
    (`usable_by_step`) a step depends on itself alone: what is unusable is masked. Without a ``step_mask``,
    and in the streaming form, a step in which nothing is usable is a gap.
    """
    if step_mask is None or rule is usable_by_step:
        step_mask = usable.any(dim=2)
    channels = rule(usable, step_mask)
    if channels.dim() == 2:
        values = filled_from_other_steps(values, usable)
    if scale is not None:
        values = scale.apply(values)
    there = channels if channels.dim() == 3 else step_mask[..., None] & channels[:, None]  # (B, T, C)
    there = there if values.dim() == 3 else there[..., None]
    return torch.where(there, values, 0.0).transpose(1, 2).contiguous(), step_mask, channels


def filled_from_other_steps(values: Tensor, usable: Tensor) -> Tensor:
    """Replace what is unusable in a step by the mean of the steps where it is usable, 0 where none is."""
    mask = usable if values.dim() == 3 else usable[..., None]
    known = torch.where(mask, values, 0.0).contiguous()  # the order of a sum depends on the layout
    mean = known.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp_min(1)
    return torch.where(mask, known, mean)


_FILLED_AT_ONCE = 64  # windows
_LEAST_KNOWN = 0.25  # of the channels: from fewer none is filled


def filled_from_other_channels(part: Part, likeness: Tensor | None) -> Part:
    """Return EEG whose absent channels are what the present ones lead to expect, and count as present.

    That is the conditional mean of jointly Gaussian channels with the correlations ``likeness`` (F, C, C), by
    band: R_mp R_pp^-1 x_p. Where less than a quarter is present, in a streaming encoder's input, and without
    ``likeness``, absent channels stay absent.
    """
    there = part["eeg_channel_mask"]
    if likeness is None or there.dim() == 3 or bool(there.all()):
        return part
    fill = ~there & (there.float().mean(dim=1, keepdim=True) >= _LEAST_KNOWN)
    eeg, eye = part["eeg"].clone(), torch.eye(there.shape[1])
    for at in fill.any(dim=1).nonzero()[:, 0].split(_FILLED_AT_ONCE):
        known = there[at].to(eeg.dtype)[:, None]  # (b, 1, C)
        among = likeness * known[..., None] * known[..., None, :] + eye * (1 - known)[..., None]
        x = (eeg[at] * there[at][..., None, None]).permute(0, 3, 1, 2)  # (b, F, C, T)
        expected = likeness @ (known[..., None] * torch.linalg.solve(among, x))  # (b, F, C, T)
        eeg[at] = torch.where(fill[at][..., None, None], expected.permute(0, 2, 3, 1), eeg[at])
    eeg = eeg * part["eeg_step_mask"][:, None, :, None]
    return part | {"eeg": eeg, "eeg_channel_mask": there | fill}


# --- parts of a batch, by field of `NetworkInput` ---


def windows_at(part: Part, at: NDArray[np.intp] | slice) -> Part:
    """Return some windows of a part."""
    return {name: values if name == "eeg_positions" else values[at] for name, values in part.items()}


def eeg_part(
    values: Tensor,
    usable: Tensor,
    positions: Tensor,
    config: ModelConfig,
    normaliser: Normaliser,
    step_mask: Tensor | None = None,
) -> Part:
    """Return the EEG of windows, DE or samples, of channels at ``positions`` (C,): see `normalised_steps`."""
    scale = None if normaliser.eeg is None else normaliser.eeg.select(positions)
    rule = eeg_rule(streams=config.network.streams)
    eeg, step_mask, channels = normalised_steps(values, usable, scale, rule, step_mask)
    masks = {"eeg_step_mask": step_mask, "eeg_channel_mask": channels}
    part = {"eeg": eeg, "eeg_positions": positions, **masks}
    return filled_from_other_channels(part, None if scale is None else scale.likeness)


def eeg_rule(*, streams: bool) -> ChannelRule:
    """Return which EEG channels count for an encoder."""
    return usable_by_step if streams else usable_in_most_steps


def eye_part(values: Tensor, usable: Tensor, normaliser: Normaliser, step_mask: Tensor | None = None) -> Part:
    """Return the eye features (B, T, E) of windows; see `normalised_steps`."""
    eye, step_mask, features = normalised_steps(values, usable, normaliser.eye, usable_in_any_step, step_mask)
    return {"eye": eye, "eye_step_mask": step_mask, "eye_feature_mask": features}


def face_part(tokens: Tensor, mask: Tensor, ages: Tensor, level: Scale | None = None) -> Part:
    """Return the faces: tokens (B, N, D) about a ``level``, where one was found (B, N), age in s (B, N)."""
    tokens = tokens if level is None else level.apply(tokens)
    return {"face_tokens": torch.where(mask[..., None], tokens, 0.0), "face_mask": mask, "face_times": ages}


def voice_part(
    tokens: Tensor, mask: Tensor, times: Tensor, clip_age: Tensor, level: Scale | None = None
) -> Part:
    """Return the voice of windows: tokens (B, M, D), mask (B, M), times (M,) in s from the clip's start.

    ``clip_age`` (B,) is how many seconds before the window's end the clip starts; a ``level`` is the tokens'.
    """
    tokens = tokens if level is None else level.apply(tokens)
    ages = (clip_age.float()[:, None] - times).clamp_min(0.0)
    return {"voice_tokens": tokens, "voice_mask": mask, "voice_times": ages}


def batch_of(
    n: int, config: ModelConfig, *parts: Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> NetworkInput:
    """Return n windows of these parts on a device, the rest absent; present is what `present_in` says."""
    windows, network = config.windows, config.network
    eeg_steps, eye_steps, n_eye = config.n_eeg_steps, windows.eye_n_steps, network.n_eye_features
    absent = {
        "eeg": torch.zeros(n, 1, eeg_steps, network.n_eeg_features),
        "eeg_positions": torch.zeros(1, dtype=torch.long),
        "eeg_step_mask": torch.zeros(n, eeg_steps, dtype=torch.bool),
        "eeg_channel_mask": torch.zeros(n, 1, dtype=torch.bool),
        "eye": torch.zeros(n, n_eye, eye_steps),
        "eye_step_mask": torch.zeros(n, eye_steps, dtype=torch.bool),
        "eye_feature_mask": torch.zeros(n, n_eye, dtype=torch.bool),
        "face_tokens": torch.zeros(n, 1, network.face.width),
        "face_mask": torch.zeros(n, 1, dtype=torch.bool),
        "face_times": torch.zeros(n, 1),
        "voice_tokens": torch.zeros(n, 1, network.voice.width),
        "voice_mask": torch.zeros(n, 1, dtype=torch.bool),
        "voice_times": torch.zeros(n, 1),
        "present": torch.zeros(n, len(MODALITIES), dtype=torch.bool),
        "evidence": torch.zeros(n, len(MODALITIES), len(config.labels)),
        "reliability": torch.ones(n, len(MODALITIES)),
    }
    for part in parts:
        absent |= part
    inputs = NetworkInput(**absent).to(device)
    trained = torch.tensor([modality in config.modalities for modality in MODALITIES], device=device)
    inputs.present = present_in(inputs, config) & trained
    return inputs


def present_in(inputs: NetworkInput, config: ModelConfig) -> Tensor:
    """Return which modalities windows hold enough of by their masks, trained with or not, bool (B, 4)."""
    channels = inputs.eeg_channel_mask
    found = (
        (channels[:, -1] if channels.dim() == 3 else channels).any(dim=1),
        inputs.eye_feature_mask.any(dim=1),
        inputs.face_mask.sum(dim=1) >= config.windows.face_min_frames,
        inputs.voice_mask.any(dim=1),
    )
    return torch.stack(found, dim=1)


# --- calibration and simulated training: a table with so many rows a second ---


class WindowSteps(NamedTuple):
    """Raw features of the steps of n windows, as `normalised_steps` takes them."""

    values: Tensor  # (n, T, C, ...)
    usable: Tensor  # (n, T, C) bool
    step_mask: Tensor  # (n, T) bool


@dataclass(frozen=True, eq=False)
class StepRows:
    """Steps in m seconds of several trials or subjects end to end; no window reaches into another's."""

    first: NDArray[np.intp]  # (m,) first second of the trial or subject that a second belongs to
    values: Tensor  # (m * n_a_second, C, ...)
    usable: Tensor  # (m * n_a_second, C) bool
    valid: NDArray[np.bool_]  # (m * n_a_second,)
    n_a_second: int = 1

    def cut(self, ends: NDArray[np.intp], n_steps: int) -> WindowSteps:
        """Return the newest steps of the windows that end at some seconds (n,)."""
        last = (ends + 1) * self.n_a_second - 1
        rows, exists = rows_back(last, n_steps, self.first[ends] * self.n_a_second)
        step_mask = torch.from_numpy(exists & self.valid[rows])
        return WindowSteps(self.values[rows], self.usable[rows] & step_mask[..., None], step_mask)


# --- live and replay: a window of cached steps ---


def assemble(
    window: Window,
    cached: CachedSteps,
    config: ModelConfig,
    normaliser: Normaliser,
    positions: Tensor,
    n_voice_tokens: int,
    masked: Collection[str] = (),
) -> tuple[NetworkInput, dict[str, bool]]:
    """Return the batch of one for a window, and which modalities are present in it.

    ``cached`` has features or tokens of the window's valid steps. ``positions`` (C,) are the connected EEG
    channels' indices in ``config.ch_names``, ``n_voice_tokens`` is how many the longest clip has. Modalities
    ``masked`` count as absent though they are there.
    """
    inputs = batch_of(
        1,
        config,
        _eeg(window, cached, config, normaliser, positions),
        _eye(window, cached, config, normaliser),
        _face(window, cached, config, normaliser),
        _voice(window, cached, config, n_voice_tokens, normaliser),
    )
    allowed = [window.present[modality] and modality not in masked for modality in MODALITIES]
    inputs.present = inputs.present & torch.tensor(allowed)
    return inputs, dict(zip(MODALITIES, inputs.present[0].tolist(), strict=True))


def _cached(cached: CachedSteps, modality: str, steps: Iterable[Step]) -> list[CachedStep | None]:
    return [cached.get((modality, step.index)) if step.valid else None for step in steps]


def eeg_steps(window: Window, cached: CachedSteps) -> list[EegStep | None]:
    """Return the cached EEG steps of left context and window, oldest first; [] without an EEG stream."""
    found = _cached(cached, "eeg", (*window.context, *window.steps.get("eeg", ())))
    return [step if isinstance(step, EegStep) else None for step in found]


def _eeg(
    window: Window, cached: CachedSteps, config: ModelConfig, normaliser: Normaliser, positions: Tensor
) -> Part:
    n_steps, n_channels = config.n_eeg_steps, len(positions)
    values = torch.zeros(1, n_steps, n_channels, config.network.n_eeg_features)
    usable = torch.zeros(1, n_steps, n_channels, dtype=torch.bool)
    step_mask = torch.zeros(1, n_steps, dtype=torch.bool)
    for at, step in enumerate(eeg_steps(window, cached)):
        if step is not None:
            values[0, at] = step.values
            usable[0, at], step_mask[0, at] = step.usable, True
    return eeg_part(values, usable, positions, config, normaliser, step_mask)


def _eye(window: Window, cached: CachedSteps, config: ModelConfig, normaliser: Normaliser) -> Part:
    n_steps = config.windows.eye_n_steps
    values = torch.full((1, n_steps, config.network.n_eye_features), torch.nan)
    step_mask = torch.zeros(1, n_steps, dtype=torch.bool)
    for at, step in enumerate(_cached(cached, "eye", window.steps.get("eye", ()))):
        if isinstance(step, Tensor):
            values[0, at], step_mask[0, at] = step, True
    return eye_part(values, torch.isfinite(values), normaliser, step_mask)


def _face(window: Window, cached: CachedSteps, config: ModelConfig, normaliser: Normaliser) -> Part:
    n_frames = round(config.windows.face_s / config.windows.face_grid_s)
    tokens = torch.zeros(1, n_frames, config.network.face.width)
    mask, ages = torch.zeros(1, n_frames, dtype=torch.bool), torch.zeros(1, n_frames)
    for at, step in enumerate(_cached(cached, "face", window.steps.get("face", ()))):
        ages[0, at] = window.t_end - window.steps["face"][at].t_end
        if isinstance(step, CachedFace) and step.token is not None:
            tokens[0, at], mask[0, at] = step.token, True
    return face_part(tokens, mask, ages, normaliser.face)


def _voice(
    window: Window, cached: CachedSteps, config: ModelConfig, n_tokens: int, normaliser: Normaliser
) -> Part:
    (clip, *_) = (*_cached(cached, "voice", window.steps.get("voice", ())), None)
    if not isinstance(clip, CachedVoice):
        return {
            "voice_tokens": torch.zeros(1, n_tokens, config.network.voice.width),
            "voice_mask": torch.zeros(1, n_tokens, dtype=torch.bool),
            "voice_times": torch.zeros(1, n_tokens),
        }
    clip_age = window.t_end - (window.steps["voice"][0].t_end - clip.clip_s)
    tokens = clip.tokens[None], clip.mask[None] & clip.speaks, clip.times
    return voice_part(*tokens, torch.tensor([clip_age]), normaliser.voice)
