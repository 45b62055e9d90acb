"""A personal model on top of a base model: written with its model card, read and applied."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from acquisition.errors import ErrorCode, InputError, file_errors
from calibration.heads import fusion_config, fusion_of, weights_of_parts
from calibration.profile_summary import (
    CARD_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    ProfileSummary,
    profile_error,
    read_config,
    read_file,
)
from models.checkpoint import WEIGHTS_SHA256, Checkpoint, is_torn, misfit, read_discriminant, strip
from models.config import TEMPERATURES, ModelConfig
from models.level import Evidence, SignalRange
from models.mixed_discriminant import MixedDiscriminant
from models.network import FusionNetwork
from models.training.cards import card_of

_DISCRIMINANT, _STEPS, _LEVEL, _TEMPERATURE = "discriminant.", "steps.", "level.", "temperature"


_MOST = 1e9  # of what is stored


@dataclass(frozen=True, eq=False)
class CalibrationProfile:
    """A subject's level, discriminant and temperature, and what they were fitted to."""

    summary: ProfileSummary
    discriminant: MixedDiscriminant  # of the classes, updated with the session's trials
    range: SignalRange
    level: Mapping[str, NDArray[np.floating]]  # (F,) by modality, NaN where unknown
    temperature: float = 1.0
    sha256: str = field(default="", compare=False)  # of config and weights; known once saved or loaded


def save_profile(folder: Path | str, profile: CalibrationProfile) -> str:
    """Write a profile's folder, for this user alone, and return its SHA-256; an older profile is replaced.

    Raises InputError if it cannot be written.
    """
    folder = Path(folder)
    state, settings = profile.discriminant.state()
    tensors = {_DISCRIMINANT + name: tensor for name, tensor in state.items()}
    for prefix, arrays in ((_STEPS, profile.range.steps), (_LEVEL, profile.level)):
        tensors |= {prefix + m: torch.from_numpy(array.astype(np.float32)) for m, array in arrays.items()}
    tensors[_TEMPERATURE] = torch.tensor([profile.temperature], dtype=torch.float64)
    weights = save_tensors({name: t.contiguous() for name, t in tensors.items()})
    settings["signal_bounds"] = profile.range.stated_bounds()
    digest = hashlib.sha256(weights).hexdigest()
    data = profile.summary.to_dict() | {"discriminant": settings, WEIGHTS_SHA256: digest}
    text = (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    card = card_of("profile", it=profile.summary).encode()
    files = ((WEIGHTS_FILE, weights), (CARD_FILE, card), (CONFIG_FILE, text))
    with file_errors("cannot write the profile", folder, "free some space", ErrorCode.PROFILE):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in files:  # the config last: a folder without one is no profile
            (folder / name).write_bytes(content)
    return _sha256(text, weights)


def load_profile(folder: Path | str) -> CalibrationProfile:
    """Read a profile's folder; InputError if a file is missing, damaged, or does not fit the others."""
    folder = Path(folder)
    (data, text), weights = read_config(folder), read_file(folder / WEIGHTS_FILE)
    where = str(folder / WEIGHTS_FILE)
    summary = ProfileSummary.from_dict(data, str(folder / CONFIG_FILE))
    try:
        tensors = load_tensors(weights)
    except (SafetensorError, ValueError, KeyError) as error:
        what = f"is damaged or not a safetensors file: {error}"
        raise profile_error(WEIGHTS_FILE, what, where) from error
    for name, tensor in tensors.items():
        may_be_nan = name.startswith((_LEVEL, _STEPS))  # unknown features
        if (tensor.double().abs() > _MOST).any() or (not may_be_nan and tensor.isnan().any()):
            raise profile_error(name, f"{name}: expected numbers up to {_MOST:g}", where)
    try:
        discriminant, signals = read_discriminant(tensors, data.get("discriminant"))
    except InputError as error:
        raise profile_error("discriminant", f"discriminant: {error.what}", where) from error
    temperature = _temperature(tensors.get(_TEMPERATURE), where)
    if is_torn(data, weights):
        raise profile_error(WEIGHTS_FILE, f"is not what {CONFIG_FILE} was written with", where)
    return CalibrationProfile(
        summary=summary,
        discriminant=discriminant,
        range=signals,
        level={m: t.float().numpy() for m, t in strip(tensors, _LEVEL).items()},
        temperature=temperature,
        sha256=_sha256(text, weights),
    )


def apply_profile(
    profile: CalibrationProfile,
    checkpoint: Checkpoint,
    where: str = "profile",
    *,
    line_hz: float | None = None,
) -> Checkpoint:
    """Return the base model with the profile's labels, discriminant and level, for an ordinary `Decoder`.

    Modalities that are not in the profile are masked, whatever streams there are.

    ``where`` is named in messages; ``line_hz`` is the mains frequency that the decoder excludes, which is a
    feature setting too.

    Raises InputError if the profile is of another base model, of other features or of other channels, with
    both values.
    """
    summary, base = profile.summary, checkpoint.config
    _check_base(summary, checkpoint, where, line_hz)
    if wrong := misfit(profile.discriminant, base, len(summary.classes), profile.level):
        part, what = wrong
        raise profile_error(part, f"{part}: {what}", where)
    evidence = weights_of_parts(base, summary.classes)
    evidence = replace(
        evidence,
        network_weight=evidence.network_weight / profile.temperature,
        weights=tuple(weight / profile.temperature for weight in evidence.weights),
        persistence=evidence.persistence / profile.temperature,
    )
    personal = f"profile of {summary.subject}" + (", a simulated subject" if summary.is_simulated else "")
    config = replace(
        base,
        labels=summary.classes,
        modalities=tuple(m for m in base.modalities if m in summary.modalities),
        network=replace(base.network, fusion=fusion_config(base, summary.classes)),
        trained_on="; ".join(filter(None, (base.trained_on, personal))),
        is_simulated=base.is_simulated or summary.is_simulated,
        is_classifier=True,
        evidence=evidence,
        answers=base.profile_answers if summary.classes == base.labels else None,
    )
    network = FusionNetwork(config)
    own, kept = network.state_dict(), checkpoint.network.state_dict()
    fusion = fusion_of(checkpoint.network, summary.classes).state_dict()
    for name in own:
        if name.startswith("fusion."):
            own[name] = fusion[name.removeprefix("fusion.")]
        elif name.startswith("heads.") and summary.classes != base.labels:
            own[name] = torch.zeros_like(own[name])  # single modalities' own heads are not fitted
        else:
            own[name] = kept[name]
    network.load_state_dict(own)
    return Checkpoint(
        config=config,
        network=network.eval(),
        normaliser_tensors=checkpoint.normaliser_tensors,
        sha256=checkpoint.sha256,
        normalisation="profile",
        profile_sha256=profile.sha256,
        needed_channels=summary.ch_names if "eeg" in summary.modalities else (),
        level=profile.level,
        evidence=Evidence(profile.discriminant, profile.range, evidence),
        own_scores=summary.own_scores,
        is_guessing=not summary.is_trusted,
    )


def features_sha256(config: ModelConfig, line_hz: float | None = None) -> str:
    """Return the digest of the features as a decoder computes them."""
    features = config.features if line_hz is None else replace(config.features, line_hz=line_hz)
    return features.digest()


def _check_base(summary: ProfileSummary, checkpoint: Checkpoint, where: str, line_hz: float | None) -> None:
    config = checkpoint.config
    summary.check_base(checkpoint.sha256, where)
    found = features_sha256(config, line_hz)
    if found != summary.features_sha256:
        what = f"this profile needs features with sha256 {summary.features_sha256[:16]}, found {found[:16]}"
        remedy = "use the --line of the calibration, or calibrate again"
        raise profile_error("features_sha256", what, where, remedy)
    unknown = [name for name in summary.ch_names if name not in config.ch_names]
    if unknown:
        what = (
            f"this profile needs EEG channels {', '.join(summary.ch_names)}; {', '.join(unknown)} missing "
            f"in the model, which has {', '.join(config.ch_names)}"
        )
        remedy = "calibrate again"
        raise profile_error("ch_names", what, where, remedy)


def _temperature(tensor: Tensor | None, where: str) -> float:
    value = float("nan") if tensor is None or tensor.numel() != 1 else float(tensor)
    low, high = TEMPERATURES
    if not low <= value <= high:
        what = f"temperature: expected {low:g} to {high:g}, found {value}"
        raise profile_error(_TEMPERATURE, what, where)
    return value


def _sha256(text: bytes, weights: bytes) -> str:
    return hashlib.sha256(text + weights).hexdigest()
