"""Trials as network input: windows, normalised as the live path does it, with masks for what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from models.config import ModelConfig
from models.datasets.trials import Trial, WindowSet, cut_windows
from models.encoders.mv_sstma import random_channel_mask
from models.normalise import EegScale, Normaliser, fit_eeg, fit_eye
from models.window_batch import NetworkInput


def fit_normaliser(trials: Sequence[Trial], config: ModelConfig, known: Normaliser | None) -> Normaliser:
    """Return scales fitted on these trials, which must be training trials only.

    A channel of the model that the trials lack, or in which they hold nothing, keeps the scale in ``known``;
    without that it gets the mean of the others' scales.

    Parameters
    ----------
    trials : sequence of Trial
    config : ModelConfig
        Its modalities are fitted.
    known : Normaliser or None
        The pre-trained model's.

    Raises
    ------
    InputError
        If in all of the trials no EEG channel works, or no eye feature.
    """
    eeg, eye = None if known is None else known.eeg, None if known is None else known.eye
    if "eeg" in config.modalities:
        eeg = _eeg_scale(trials, config, eeg)
    if "eye" in config.modalities:
        rows = np.concatenate([t.eye for t in trials if t.eye is not None])
        if not np.isfinite(rows).any():
            raise _nothing_works("eye feature", trials[0], "eeg")
        eye = fit_eye(torch.from_numpy(rows))
    return Normaliser(eeg, eye)


def _eeg_scale(trials: Sequence[Trial], config: ModelConfig, known: EegScale | None) -> EegScale:
    rows = np.concatenate([t.eeg for t in trials if t.eeg is not None])  # (W, C, F)
    here = [i for i, name in enumerate(trials[0].ch_names) if name in config.ch_names]
    alive = [i for i in here if np.isfinite(rows[:, i]).any(axis=0).all()]
    if not alive:
        raise _nothing_works("EEG channel", trials[0], "eye")
    fitted = fit_eeg(torch.from_numpy(rows[:, alive].astype(np.float32)))
    n_channels, n_bands = len(config.ch_names), rows.shape[2]
    if known is not None and known.mean.shape == (n_channels, n_bands):
        mean, sd = known.mean.clone(), known.sd.clone()
    else:
        mean, sd = (x.mean(dim=0).repeat(n_channels, 1) for x in (fitted.mean, fitted.sd))
    at = [config.ch_names.index(trials[0].ch_names[i]) for i in alive]
    mean[at], sd[at] = fitted.mean, fitted.sd
    return EegScale(mean, sd)


def _nothing_works(what: str, trial: Trial, other: str) -> InputError:
    return InputError(
        f"no {what} of the training trials works: all are flat, out of range or no numbers",
        where=f"{trial.source or trial.dataset}, subject {trial.subject}",
        remedy=f"take another recording, or --modalities {other} if it holds that",
    )


class TrialTensors:
    """All windows of some trials as tensors, from which batches are taken by index.

    Parameters
    ----------
    windows : WindowSet
    ch_names : sequence of str
        Of the windows' EEG; channels that the model does not know are left out.
    config : ModelConfig
    normaliser : Normaliser
    mask : float
        Share of the EEG channels hidden in each window, others in each.
    seed : int
        Of the hidden channels.
    same_channels : bool
        Hide the same channels in all windows, as electrodes that are lost, in place of others in each.

    Attributes
    ----------
    label : Tensor of long (n,)
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
    ) -> None:
        self.config, n = config, len(windows)
        self.label = torch.from_numpy(windows.label)
        n_steps, n_eye = config.windows.eye_n_steps, config.network.n_eye_features
        picks = [i for i, name in enumerate(ch_names) if name in config.ch_names] or [0]
        self.positions = torch.tensor([config.ch_names.index(ch_names[i]) for i in picks])
        self._eeg = torch.zeros(n, len(picks), config.n_eeg_steps, config.network.n_eeg_features)
        self._eeg_steps = torch.zeros(n, config.n_eeg_steps, dtype=torch.bool)
        self._eeg_channels = torch.zeros(n, len(picks), dtype=torch.bool)
        self._eye = torch.zeros(n, n_eye, n_steps)
        self._eye_steps = torch.zeros(n, n_steps, dtype=torch.bool)
        self._eye_features = torch.zeros(n, n_eye, dtype=torch.bool)
        if "eeg" in config.modalities and windows.eeg is not None and normaliser.eeg is not None:
            self._put_eeg(windows.eeg[:, picks], normaliser.eeg.select(self.positions.tolist()))
            self._hide_channels(mask, seed, same_channels)
        if "eye" in config.modalities and windows.eye is not None and normaliser.eye is not None:
            self._put_eye(torch.from_numpy(windows.eye[..., -n_steps:]), normaliser)

    def __len__(self) -> int:
        return len(self.label)

    def _put_eeg(self, values: NDArray[Any], scale: EegScale) -> None:
        eeg = torch.from_numpy(values)  # (n, C, T, F)
        usable = torch.isfinite(eeg).all(dim=-1)  # (n, C, T)
        self._eeg_steps = usable.any(dim=1)
        if self.config.network.streams:  # nothing of one step depends on another; mask by step, (n, T, C)
            self._eeg_channels = usable.transpose(1, 2)
            scaled = scale.apply(eeg.transpose(1, 2)).masked_fill(~self._eeg_channels[..., None], 0.0)
            self._eeg = scaled.transpose(1, 2).contiguous()
            return
        self._eeg_channels = _majority_usable(usable, self._eeg_steps)
        filled = scale.apply(_filled(eeg, usable[..., None]).transpose(1, 2)).transpose(1, 2)
        there = self._eeg_steps[:, None] & self._eeg_channels[..., None]  # (n, C, T)
        self._eeg = torch.where(there[..., None], filled, 0.0).contiguous()

    def _put_eye(self, eye: Tensor, normaliser: Normaliser) -> None:
        assert normaliser.eye is not None
        finite = torch.isfinite(eye)  # (n, E, T)
        self._eye_steps, self._eye_features = finite.any(dim=1), finite.any(dim=2)
        scaled = normaliser.eye.apply(_filled(eye, finite).transpose(1, 2)).transpose(1, 2)
        there = self._eye_steps[:, None] & self._eye_features[..., None]
        self._eye = torch.where(there, scaled, 0.0).contiguous()

    def _hide_channels(self, share: float, seed: int, same: bool) -> None:
        if share <= 0:
            return
        generator = torch.Generator().manual_seed(seed)
        streams = self.config.network.streams
        there = self._eeg_channels.any(dim=1) if streams else self._eeg_channels
        noise = torch.rand(1, there.shape[1], generator=generator).expand(there.shape) if same else None
        visible = random_channel_mask(there, share, generator, noise=noise)  # (n, C)
        self._eeg_channels = self._eeg_channels & (visible[:, None] if streams else visible)
        self._eeg = self._eeg * visible[..., None, None]

    def batch(self, at: NDArray[np.intp] | slice) -> NetworkInput:
        """Return the windows at these indices; faces and voice are absent."""
        n, network = len(self.label[at]), self.config.network
        steps = self._eeg_steps[at]
        # Run-in that no window of the batch has is not computed.
        first = min(self.config.windows.eeg_run_in, int(steps.any(dim=0).byte().argmax()))
        channels = self._eeg_channels[at]
        absent = torch.zeros(n, 1, dtype=torch.bool)
        present = torch.zeros(n, len(MODALITIES), dtype=torch.bool)
        present[:, MODALITIES.index("eeg")] = self._eeg_channels[at].flatten(1).any(dim=1)
        present[:, MODALITIES.index("eye")] = self._eye_features[at].any(dim=1)
        return NetworkInput(
            eeg=self._eeg[at][:, :, first:],
            eeg_positions=self.positions,
            eeg_step_mask=steps[:, first:],
            eeg_channel_mask=channels[:, first:] if network.streams else channels,
            eye=self._eye[at],
            eye_step_mask=self._eye_steps[at],
            eye_feature_mask=self._eye_features[at],
            face_tokens=torch.zeros(n, 1, network.face.width),
            face_mask=absent,
            face_times=torch.zeros(n, 1),
            voice_tokens=torch.zeros(n, 1, network.voice.width),
            voice_mask=absent,
            voice_times=torch.zeros(n, 1),
            present=present,
        )


def cut_for(config: ModelConfig, trials: Sequence[Trial], *, max_per_trial: int | None = None) -> WindowSet:
    """Cut a model's windows; a streaming encoder's begin with its run-in, NaN before the trial.

    The windows end at the same steps either way, and the eye features' newest steps are those of the EEG's.
    """
    n_steps, n_run_in = config.windows.eeg_n_steps, config.windows.eeg_run_in
    if n_run_in:
        trials = [
            replace(trial, eeg=_padded(trial.eeg, n_run_in), eye=_padded(trial.eye, n_run_in))
            for trial in trials
        ]
    windows = cut_windows(trials, n_steps + n_run_in, max_per_trial=max_per_trial)
    return replace(windows, end_step=windows.end_step - n_run_in)


def _padded(rows: NDArray[Any] | None, n: int) -> NDArray[Any] | None:
    if rows is None:
        return None
    return np.concatenate([np.full((n, *rows.shape[1:]), np.nan, dtype=rows.dtype), rows])


def _majority_usable(usable: Tensor, steps: Tensor) -> Tensor:
    """Return the channels (n, C) of (n, C, T) that `models.window_batch.majority_usable` takes."""
    ages = torch.arange(steps.shape[1])
    newest = torch.where(steps, ages, -1).amax(dim=1).clamp_min(0)  # (n,)
    in_newest = usable.gather(2, newest[:, None, None].expand(-1, usable.shape[1], 1))[..., 0]
    share = (usable & steps[:, None]).sum(dim=2) / steps.sum(dim=1).clamp_min(1)[:, None]
    return in_newest & (share >= 0.5) & steps.any(dim=1, keepdim=True)


def _filled(values: Tensor, usable: Tensor) -> Tensor:
    """Return values (n, C, T, ...) with unusable steps replaced by the mean of the usable ones, or 0."""
    known = torch.where(usable, values, 0.0)
    mean = known.sum(dim=2, keepdim=True) / usable.sum(dim=2, keepdim=True).clamp_min(1)
    return torch.where(usable, known, mean)
