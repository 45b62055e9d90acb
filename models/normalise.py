"""Brings features to the scale the network was trained on.

EEG entropy is z-scored per channel and band. Eye features are scaled into 10 to 100 by limits fitted on
training data, as the paper does (it keeps eye features away from zero for mixed precision).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from acquisition.errors import ErrorCode, InputError

EYE_LOW = 10.0
EYE_HIGH = 100.0
MIN_SD_NATS = 0.05  # a flat channel's SD is 0; nothing real varies less
MIN_SPAN = 1e-6
MIN_BASELINE_STEPS = 10


@dataclass(frozen=True, eq=False)
class EegScale:
    """Mean and SD of the entropy, (n_ch, n_bands) each, float32, nats.

    Of raw EEG mean and SD are (n_ch, 1), in uV: `fit_eeg` of samples (n, n_ch, 1). ``likeness`` (n_bands,
    n_ch, n_ch) is the correlation of channels in training, by which an unusable one is filled from the
    others; without it such a channel is absent.
    """

    mean: torch.Tensor
    sd: torch.Tensor
    likeness: torch.Tensor | None = None

    def apply(self, entropy: torch.Tensor) -> torch.Tensor:
        """Return (..., n_ch, n_bands) as z-scores; NaN becomes 0, the training mean."""
        return torch.nan_to_num((entropy - self.mean) / self.sd, nan=0.0)

    def centred_on(self, mean: Tensor) -> EegScale:
        """Return the scale about other means (..., n_ch, n_bands); where they are NaN its own stay."""
        return replace(self, mean=torch.where(torch.isnan(mean), self.mean, mean))

    def select(self, channels: Tensor) -> EegScale:
        """Return the scale of some of the channels, by their indices (C,)."""
        likeness = None if self.likeness is None else self.likeness[:, channels][:, :, channels]
        return EegScale(self.mean[..., channels, :], self.sd[channels], likeness)


@dataclass(frozen=True, eq=False)
class EyeScale:
    """Limits and mean of the eye features, (n_features,) each, float32, in the features' units."""

    low: torch.Tensor
    high: torch.Tensor
    mean: torch.Tensor

    def apply(self, features: torch.Tensor) -> torch.Tensor:
        """Return (..., n_features) in 10 to 100, clipped; NaN becomes where the training mean lies."""
        known = torch.where(torch.isnan(features), self.mean, features)
        share = (known - self.low) / (self.high - self.low)
        return EYE_LOW + (EYE_HIGH - EYE_LOW) * share.clamp(0.0, 1.0)

    def centred_on(self, mean: Tensor) -> EyeScale:
        """Return the scale moved to other means (..., n_features); where they are NaN it stays."""
        moved = torch.nan_to_num(mean - self.mean, nan=0.0)
        return EyeScale(self.low + moved, self.high + moved, self.mean + moved)


@dataclass(frozen=True, eq=False)
class TokenLevel:
    """What an encoder's tokens are on average, (..., D), float32."""

    mean: torch.Tensor

    def apply(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens (..., D) as deviations from it."""
        return tokens - self.mean

    def centred_on(self, mean: Tensor) -> TokenLevel:
        """Return a subject's own mean (..., D); where it is NaN this stays."""
        return TokenLevel(torch.where(torch.isnan(mean), self.mean, mean))


_SCALES: dict[str, Any] = {"eeg": EegScale, "eye": EyeScale, "face": TokenLevel, "voice": TokenLevel}


@dataclass(frozen=True, eq=False)
class Normaliser:
    """Scales of the modalities that have one, and where they come from."""

    eeg: EegScale | None = None  # None where the model does without that modality
    eye: EyeScale | None = None
    face: TokenLevel | None = None
    voice: TokenLevel | None = None
    origin: str = "training"  # or what replaced it, a baseline or profile: for displays and logs

    def to_dict(self) -> dict[str, torch.Tensor]:
        """Return the tensors by name, for safetensors; ``origin`` is not among them."""
        scales = {m: vars(scale) for m in _SCALES if (scale := getattr(self, m)) is not None}
        tensors = {f"{m}_{name}": x for m, scale in scales.items() for name, x in scale.items()}
        return {name: x.contiguous() for name, x in tensors.items() if x is not None}

    @classmethod
    def from_dict(cls, tensors: Mapping[str, torch.Tensor], origin: str = "training") -> Normaliser:
        """Build a normaliser from `to_dict`'s answer, else `KeyError`; other names are ignored."""
        scales = {}
        for modality, kind in _SCALES.items():
            parts = {part.name: f"{modality}_{part.name}" for part in fields(kind)}
            if "eeg_likeness" not in tensors:
                parts.pop("likeness", None)
            if any(name in tensors for name in parts.values()):
                scales[modality] = kind(**{part: tensors[name] for part, name in parts.items()})
        return cls(**scales, origin=origin)

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise `ValueError` unless all is finite and fits features of such shapes, by modality."""
        for name, tensor in self.to_dict().items():
            shape = shapes[name.partition("_")[0]]
            if name == "eeg_likeness":
                shape = (shape[1], shape[0], shape[0])
            if tensor.shape != shape or tensor.dtype != torch.float32 or not tensor.isfinite().all():
                raise ValueError(f"{name}: expected {shape} finite numbers, found {tuple(tensor.shape)}")
        if self.eeg is not None and not (self.eeg.sd > 0).all():
            raise ValueError("eeg_sd: expected more than 0")
        if self.eye is not None and not (self.eye.high > self.eye.low).all():
            raise ValueError("eye_high: expected more than eye_low")

    def centred_on(self, means: Mapping[str, Tensor], origin: str) -> Normaliser:
        """Return the scales about a subject's own means by modality; where they are NaN these stay."""
        moved = {
            name: scale.centred_on(means[name])
            for name in _SCALES
            if name in means and (scale := getattr(self, name)) is not None
        }
        return replace(self, **moved, origin=origin)

    def about(self, levels: Mapping[str, Tensor]) -> Normaliser:
        """Return the scales about the level (n, F) of each of n windows, by modality."""
        means = {modality: level[:, None].float() for modality, level in levels.items()}
        if "eeg" in means and self.eeg is not None:
            shape = self.eeg.mean.shape[-2:]  # features of covariances, if any, are behind
            means["eeg"] = means["eeg"][..., : shape.numel()].unflatten(-1, shape)
        return self.centred_on(means, "level")


def fit_eeg(entropy: torch.Tensor) -> EegScale:
    """Return mean and SD over (..., n_ch, n_bands), without NaN; each channel needs a value in each band."""
    rows = entropy.reshape(-1, *entropy.shape[-2:]).double()
    mean, sd = _mean_and_sd(rows)
    if torch.isnan(mean).any():
        what = "a channel has no valid step to fit its mean on"
        raise InputError(what, where="normalisation", code=ErrorCode.DATA)
    return EegScale(mean.float(), sd.clamp_min(MIN_SD_NATS).float())


_UNLIKE = 0.05  # of a channel's variance that no other channel tells: sensor noise


def fit_likeness(entropy: torch.Tensor) -> torch.Tensor:
    """Return the correlations (n_bands, n_ch, n_ch) of channels over (n, n_ch, n_bands), without NaN."""
    scale = fit_eeg(entropy)
    z = scale.apply(entropy).double()
    covariance = torch.einsum("ncb,ndb->bcd", z, z) / len(z)
    sd = covariance.diagonal(dim1=1, dim2=2).sqrt().clamp_min(MIN_SPAN)
    unlike = _UNLIKE * torch.eye(z.shape[1], dtype=z.dtype)
    return ((1 - _UNLIKE) * covariance / (sd[:, None] * sd[..., None]) + unlike).float()


def fit_eye(features: torch.Tensor, tails: float = 0.0) -> EyeScale:
    """Return limits and mean over (..., n_features), without NaN.

    The limits leave out a share ``tails`` of the values at either end: one glitch must not squeeze the rest.

    A feature that was never measured (a tracker without pupil) gets the limits 0 and 1 and the mean 0.5:
    it then stays in the middle of the scale for ever.
    """
    rows = features.reshape(-1, features.shape[-1]).double()
    mean, _ = _mean_and_sd(rows)
    if tails:
        low, high = (torch.nanquantile(rows, share, dim=0) for share in (tails, 1.0 - tails))
    else:
        low = torch.nan_to_num(rows, nan=torch.inf).amin(0)
        high = torch.nan_to_num(rows, nan=-torch.inf).amax(0)
    return eye_scale(low, high, mean)


def eye_scale(low: torch.Tensor, high: torch.Tensor, mean: torch.Tensor) -> EyeScale:
    """Return the scale of features with these extremes and means, (n_features,) float64.

    Where the mean is NaN a feature was never measured; see `fit_eye`.
    """
    never = torch.isnan(mean)
    low, high = low.masked_fill(never, 0.0), high.masked_fill(never, 1.0)
    # A feature that never changed lies in the middle of a span of its own size.
    span = torch.where(high - low > MIN_SPAN, high - low, torch.maximum(low.abs(), torch.ones_like(low)))
    middle = (low + high) / 2
    mean = mean.masked_fill(never, 0.5)
    return EyeScale((middle - span / 2).float(), (middle + span / 2).float(), mean.float())


def _mean_and_sd(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and SD over the first axis, without NaN; NaN where nothing is left."""
    known = ~torch.isnan(rows)
    n = known.sum(0)
    mean = torch.where(known, rows, 0.0).sum(0) / n
    sd = (torch.where(known, (rows - mean).square(), 0.0).sum(0) / n).sqrt()
    return mean, sd


# --- the subject's own first seconds in place of the training statistics: ``--baseline S`` ---


class Baseline:
    """Collects features for ``duration_s`` from the first step, or a ``rest``'s time, and refits by them."""

    def __init__(self, duration_s: float, rest: float | None = None) -> None:
        self.duration_s, self.is_rest = duration_s, rest is not None
        self._start = float("nan") if rest is None else rest
        self._rows: dict[str, list[Tensor]] = {"eeg": [], "eye": []}

    def add(self, t_end: float, modality: str, features: Tensor) -> None:
        """Take a step's DE (n_all_channels, n_bands) of ``eeg``, NaN where unusable, or ``eye`` features."""
        if self.is_rest and t_end < self._start:
            return
        if not self._start <= t_end:
            self._start = t_end
        self._rows[modality].append(features)

    def is_over(self, now: float) -> bool:
        """Tell whether the baseline is complete at data time ``now``."""
        return now - self._start >= self.duration_s

    @property
    def n_steps(self) -> int:
        """Valid steps so far, of EEG or eyes."""
        return max(map(len, self._rows.values()))

    def refit(self, normaliser: Normaliser) -> Normaliser:
        """Return the model's normaliser about a subject's own quiet baseline.

        Its means of the EEG replace the training means. The training SDs stay: a minute of rest varies less
        than a session of emotions, and dividing by its SD would inflate all that follows. Of the eye features
        limits and mean are moved by the subject's difference from the training mean, and their distance
        stays; channels and features that the baseline lacks keep theirs. Raises `InputError` if it has too
        few steps.
        """
        if self.n_steps < MIN_BASELINE_STEPS:
            what = f"expected at least {MIN_BASELINE_STEPS} valid steps of EEG or gaze, got {self.n_steps}"
            remedy = "choose a longer one, and check the EEG and eye streams"
            facts = {"n_steps": self.n_steps}
            raise InputError(what, where="--baseline", remedy=remedy, code=ErrorCode.DATA, **facts)
        enough = {m: rows for m, rows in self._rows.items() if len(rows) >= MIN_BASELINE_STEPS}
        means = {m: _mean_and_sd(torch.stack(rows).double())[0].float() for m, rows in enough.items()}
        return normaliser.centred_on(means, f"baseline of {self.duration_s:g} s")
