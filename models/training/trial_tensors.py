"""Trials as network input: windows, normalised as the live path does it, with masks for what is missing."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import ErrorCode, InputError
from models import window_batch
from models.config import ModelConfig
from models.datasets.trials import Trial, WindowSet, cut_windows
from models.encoders.layers import by_step
from models.encoders.mv_sstma import random_channel_mask
from models.normalise import EegScale, Normaliser, fit_eeg, fit_eye, fit_likeness


def fit_normaliser(
    trials: Sequence[Trial],
    config: ModelConfig,
    known: Normaliser | None,
    *,
    eye_tails: float = 0.0,
    fill: bool = False,
) -> Normaliser:
    """Return scales fitted on these trials, which must be training trials only.

    A channel of the model that the trials lack, or in which they hold nothing, keeps the scale in ``known``;
    without that it gets the mean of the others' scales. ``eye_tails`` is that of `fit_eye`;
    with ``fill`` an absent EEG channel is filled from the others.

    Raises `InputError` if in all of the trials no EEG channel works, or no eye feature.
    """
    eeg, eye = (None, None) if known is None else (known.eeg, known.eye)
    if "eeg" in config.modalities:
        eeg = _eeg_scale(trials, config, eeg, fill)
    if "eye" in config.modalities:
        rows = np.concatenate([t.eye for t in trials if t.eye is not None])
        if not np.isfinite(rows).any():
            raise _nothing_works("eye", trials[0])
        eye = fit_eye(torch.from_numpy(rows), eye_tails)
    return Normaliser(eeg, eye)


def _eeg_scale(trials: Sequence[Trial], config: ModelConfig, known: EegScale | None, fill: bool) -> EegScale:
    rows = np.concatenate([t.eeg for t in trials if t.eeg is not None])  # (W, C, F)
    here = [i for i, name in enumerate(trials[0].ch_names) if name in config.ch_names]
    alive = [i for i in here if np.isfinite(rows[:, i]).any(axis=0).all()]
    if not alive:
        raise _nothing_works("eeg", trials[0])
    fitted = fit_eeg(torch.from_numpy(rows[:, alive].astype(np.float32)))
    n_channels, n_bands = len(config.ch_names), rows.shape[2]
    if known is not None and known.mean.shape == (n_channels, n_bands):
        mean, sd = known.mean.clone(), known.sd.clone()
    else:
        mean, sd = (x.mean(dim=0).repeat(n_channels, 1) for x in (fitted.mean, fitted.sd))
    at = [config.ch_names.index(trials[0].ch_names[i]) for i in alive]
    mean[at], sd[at] = fitted.mean, fitted.sd
    likeness = None
    if fill:
        likeness = torch.eye(n_channels).repeat(n_bands, 1, 1)
        places = torch.tensor(at)
        likeness[:, places[:, None], places] = fit_likeness(torch.from_numpy(rows[:, alive]))
    return EegScale(mean, sd, likeness)


def _nothing_works(modality: str, trial: Trial) -> InputError:
    what, other = ("EEG channel", "eye") if modality == "eeg" else ("eye feature", "eeg")
    return InputError(
        f"no usable {what} in the training trials: all are flat, out of range or not finite",
        where=f"{trial.source or trial.dataset}, subject {trial.subject}",
        remedy=f"use another recording, or --modalities {other} if it has that",
        code=ErrorCode.DATA,
        modality=modality,
    )


class TrialTensors:
    """All windows of some trials as tensors, from which batches are taken by index.

    Channels of ``ch_names`` that the model does not know are excluded. ``mask`` is the share of the EEG
    channels hidden in each window: others in each, or with ``same_channels`` the same in all, as electrodes
    that are lost. With ``means``, (n, F) by modality, each window is centred on its own.
    """

    def __init__(
        self,
        windows: WindowSet,
        ch_names: Sequence[str],
        config: ModelConfig,
        normaliser: Normaliser,
        *,
        mask: float = 0.0,
        seed: int = 0,
        same_channels: bool = False,
        means: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config = config
        self.label = torch.from_numpy(windows.label)  # (n,) long
        if means is not None:
            normaliser = normaliser.about(means)
        picks = [i for i, name in enumerate(ch_names) if name in config.ch_names] or [0]
        self.positions = torch.tensor([config.ch_names.index(ch_names[i]) for i in picks])
        self.hidden = torch.zeros(len(windows), len(config.ch_names), dtype=torch.bool)  # by ``mask``
        parts: list[window_batch.Part] = []
        if "eeg" in config.modalities and windows.eeg is not None and normaliser.eeg is not None:
            values = torch.from_numpy(windows.eeg[:, picks]).transpose(1, 2)  # (n, T, C, F)
            usable = torch.isfinite(values).all(dim=-1)
            part = window_batch.eeg_part(values, usable, self.positions, config, normaliser)
            there = part["eeg_channel_mask"]
            part = _with_hidden_channels(part, mask, seed, same_channels)
            lost = by_step(there & ~part["eeg_channel_mask"]).any(dim=1)
            self.hidden[:, self.positions] = lost & ~by_step(part["eeg_channel_mask"]).any(dim=1)
            likeness = normaliser.eeg.select(self.positions).likeness
            parts.append(self._held(window_batch.filled_from_other_channels(part, likeness)))
        if "eye" in config.modalities and windows.eye is not None and normaliser.eye is not None:
            values = torch.from_numpy(windows.eye[..., -config.windows.eye_n_steps :]).transpose(1, 2)
            parts.append(window_batch.eye_part(values, torch.isfinite(values), normaliser))
        self._parts = {name: values for part in parts for name, values in part.items()}
        self._parts.setdefault("eeg_positions", self.positions)

    def _held(self, part: window_batch.Part) -> window_batch.Part:
        """Return EEG without channels that no window has, which would be encoded for nothing."""
        columns = part["eeg_channel_mask"]
        held = columns.flatten(0, -2).any(dim=0)
        if held.all() or not held.any():
            return part
        self.positions = self.positions[held]
        changed = {"eeg": part["eeg"][:, held], "eeg_channel_mask": columns[..., held]}
        return part | changed | {"eeg_positions": self.positions}

    def __len__(self) -> int:
        return len(self.label)

    def batch(self, at: NDArray[np.intp] | slice) -> window_batch.NetworkInput:
        """Return the windows at these indices; faces and voice are absent."""
        parts = window_batch.windows_at(self._parts, at)
        if self.config.network.streams and "eeg" in parts:  # left context that no window has is not computed
            steps = parts["eeg_step_mask"]
            first = min(self.config.windows.n_context_steps, int(steps.any(dim=0).byte().argmax()))
            parts |= {
                "eeg": parts["eeg"][:, :, first:],
                "eeg_step_mask": steps[:, first:],
                "eeg_channel_mask": parts["eeg_channel_mask"][:, first:],
            }
        return window_batch.batch_of(len(self.label[at]), self.config, parts)


def _with_hidden_channels(part: window_batch.Part, share: float, seed: int, same: bool) -> window_batch.Part:
    """Return EEG of which a share of each window's channels is hidden."""
    if share <= 0:
        return part
    columns = part["eeg_channel_mask"]
    there = by_step(columns).any(dim=1)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, there.shape[1], generator=generator).expand(there.shape) if same else None
    visible = random_channel_mask(there, share, generator, noise=noise)
    kept = visible if columns.dim() == 2 else visible[:, None]
    return part | {"eeg": part["eeg"] * visible[..., None, None], "eeg_channel_mask": columns & kept}


def cut_for(config: ModelConfig, trials: Sequence[Trial], *, max_per_trial: int | None = None) -> WindowSet:
    """Cut a model's windows with the left context of its EEG encoder."""
    steps = config.windows
    return cut_windows(
        trials, steps.eeg_n_steps, n_context_steps=steps.n_context_steps, max_per_trial=max_per_trial
    )
