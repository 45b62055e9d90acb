"""A model is a folder: ``config.json``, ``model.safetensors`` and ``README.md``, its card. Never a pickle."""

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.overrides import TorchFunctionMode

from acquisition.errors import MOST_TEXT_BYTES, ErrorCode, InputError, file_errors, read_limited
from acquisition.text import json_text, parse_json
from models.config import ModelConfig
from models.level import Evidence, SignalRange
from models.mixed_discriminant import MixedDiscriminant
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.trust import ModelFacts
from models.weights import check_weights

CONFIG_FILE, WEIGHTS_FILE, CARD_FILE = "config.json", "model.safetensors", "README.md"
#: Beside them where training wrote it: `models.training.provenance`.
RECORD_FILE = "training.json"
_NETWORK, _NORMALISER, _DISCRIMINANT, _STEPS = "network.", "normaliser.", "discriminant.", "steps."
#: Entry of ``config.json``, of a profile too: the weights it was written with. Older ones lack it.
WEIGHTS_SHA256 = "weights_sha256"
_REMEDY = "copy the model folder again, or train a new one with `affectscope train`"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model."""

    config: ModelConfig
    network: FusionNetwork  # on the CPU, in eval mode
    normaliser_tensors: dict[str, Tensor]
    sha256: str  # hex, of config and weights: names this very model in recordings and reports
    profile_sha256: str = ""  # of the subject's profile applied to it, if any
    normalisation: str = "training"  # what the normaliser was fitted to: `Normaliser.origin`
    #: EEG channels that a stream must have of the model's, all and no other; empty: any
    needed_channels: tuple[str, ...] = ()
    level: Mapping[str, NDArray[np.floating]] | None = None  # of the profile, (F,) by modality: does not run
    evidence: Evidence | None = None  # of a model with `ModelConfig.evidence`
    own_scores: tuple[float, ...] = ()  # `ModelFacts.own_scores` of the profile
    is_guessing: bool = False  # the profile was no better than chance in its calibration

    @property
    def facts(self) -> ModelFacts:
        """What verdicts on its predictions rest on."""
        return ModelFacts(
            answers=self.config.answers,
            own_scores=self.own_scores,
            has_profile=bool(self.profile_sha256),
            is_guessing=self.is_guessing,
            is_simulated=self.config.is_simulated,
            n_electrodes=len(self.config.ch_names),
            modalities=self.config.modalities,
        )

    def check_channels(self, ch_names: Collection[str], where: str) -> None:
        """Refuse other EEG channels than are needed, naming missing and additional ones."""
        needed = self.needed_channels
        if not needed or set(ch_names) == set(needed):
            return
        missing = [name for name in needed if name not in ch_names]
        further = [name for name in ch_names if name not in needed]
        differs = [f"without {', '.join(missing)}"] if missing else []
        differs += [f"with {', '.join(further)} in addition"] if further else []
        raise InputError(
            f"expected the {len(needed)} EEG channels of the profile, found {len(ch_names)}: "
            f"{' and '.join(differs)}",
            where=where,
            remedy="use the cap and --montage of the calibration, calibrate again, or omit --profile",
            code=ErrorCode.CHANNELS,
            n_missing=len(missing),
            n_further=len(further),
        )


def save_checkpoint(
    folder: Path | str,
    config: ModelConfig,
    network: FusionNetwork,
    normaliser_tensors: Mapping[str, Tensor],
    card_text: str,
    evidence: Evidence | None = None,
) -> str:
    """Write a model folder, its card in Markdown, in place of an older one; return its SHA-256."""
    folder = Path(folder)
    tensors = {_NETWORK + name: tensor for name, tensor in network.state_dict().items()}
    tensors |= {_NORMALISER + name: tensor for name, tensor in normaliser_tensors.items()}
    settings = config.to_dict()
    if evidence is not None:
        state, of_state = evidence.discriminant.state()
        settings["discriminant"] = of_state | {"signal_bounds": evidence.range.stated_bounds()}
        tensors |= {_DISCRIMINANT + name: tensor for name, tensor in state.items()}
        tensors |= {_STEPS + name: torch.from_numpy(array) for name, array in evidence.range.steps.items()}
    weights = save_tensors({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    settings[WEIGHTS_SHA256] = hashlib.sha256(weights).hexdigest()
    text = json_text(settings, indent=2, ensure_ascii=False) + "\n"
    with file_errors("the model cannot be written", folder, "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD_FILE).unlink(missing_ok=True)  # it is of the older model
        (folder / CONFIG_FILE).write_bytes(text.encode())
        (folder / WEIGHTS_FILE).write_bytes(weights)
        (folder / CARD_FILE).write_bytes(card_text.encode())
    return _sha256(text.encode(), weights)


def load_config(folder: Path | str) -> ModelConfig:
    """Read a model's configuration alone; raises `InputError` if the file is missing or damaged."""
    path = Path(folder) / CONFIG_FILE
    return _parse(_read(path), str(path))[0]


def is_torn(settings: Mapping[str, Any], weights: bytes) -> bool:
    """Tell whether a config was written with other weights: writing or copying its folder was cut off."""
    return settings.get(WEIGHTS_SHA256) not in (None, hashlib.sha256(weights).hexdigest())


_KEEP_THE_SHAPE = {
    "normal_",
    "uniform_",
    "trunc_normal_",
    "kaiming_uniform_",
    "xavier_uniform_",
    "mul",
    "__rmul__",
}


class _Uninitialised(TorchFunctionMode):
    """Leaves out the numbers of new weights, for which torch would import its compiler on "meta"."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        of_all = [*args, *(kwargs or {}).values()]
        if func.__name__ in _KEEP_THE_SHAPE and not all(isinstance(one, Tensor) for one in of_all):
            return next(one for one in of_all if isinstance(one, Tensor))
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def load_checkpoint(folder: Path | str) -> Checkpoint:
    """Read a model folder; raises `InputError` where a file is damaged or does not fit another."""
    folder = Path(folder)
    text = _read(folder / CONFIG_FILE)
    config, settings = _parse(text, str(folder / CONFIG_FILE))
    try:
        with torch.device("meta"), _Uninitialised():  # all shapes, and no memory but for a few tables
            outline = FusionNetwork(config).state_dict()
    except (MemoryError, RuntimeError) as error:
        raise _damaged("a network of these sizes cannot be built", folder / CONFIG_FILE) from error
    n_bytes = sum(tensor.nbytes for tensor in outline.values())
    weights = _read(folder / WEIGHTS_FILE, 2 * n_bytes + _MOST_BESIDE_BYTES)
    try:
        tensors = load_tensors(weights)
    except (SafetensorError, ValueError, KeyError) as error:
        what = f"is damaged or not a safetensors file: {error}"
        raise _damaged(what, folder / WEIGHTS_FILE) from error
    of_network = strip(tensors, _NETWORK)
    check_weights(outline, of_network, str(folder / WEIGHTS_FILE), _REMEDY)
    network = FusionNetwork(config)
    network.load_state_dict(of_network)
    evidence = None
    if config.evidence is not None:
        try:
            discriminant, signals = read_discriminant(tensors, settings["discriminant"])
        except InputError as error:
            raise _damaged(f"discriminant: {error.what}", folder) from error
        if wrong := misfit(discriminant, config, len(config.labels)):
            raise _damaged(": ".join(wrong), folder)
        evidence = Evidence(discriminant, signals, config.evidence)
    scales = strip(tensors, _NORMALISER)
    try:
        Normaliser.from_dict(scales).check(feature_shapes(config))
    except (KeyError, ValueError) as error:
        raise _damaged(f"normaliser: {error}", folder / WEIGHTS_FILE) from error
    if is_torn(settings, weights):
        raise _damaged(f"{WEIGHTS_FILE} is not what {CONFIG_FILE} was written with", folder)
    return Checkpoint(config, network.eval(), scales, _sha256(text, weights), evidence=evidence)


def feature_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of features in which a subject has a level, by modality."""
    network = config.network
    return {
        "eeg": (len(config.ch_names), 1 if network.takes_raw_eeg else network.n_eeg_features),
        "eye": (network.n_eye_features,),
        "face": (network.face.width,),
        "voice": (network.voice.width,),
    }


def read_discriminant(
    tensors: Mapping[str, Tensor], settings: object
) -> tuple[MixedDiscriminant, SignalRange]:
    """Return discriminant and range of signals among tensors; `InputError` where they are no model's."""
    settings = settings if isinstance(settings, Mapping) else {}
    discriminant = MixedDiscriminant.from_state(strip(tensors, _DISCRIMINANT), settings)
    # Of a profile without some of the model's modalities the range may hold those too.
    known = {m: tensor for m, tensor in strip(tensors, _STEPS).items() if m in discriminant.modalities}
    steps = {name: tensor.float().numpy() for name, tensor in known.items()}
    sizes = {modality: discriminant.part(modality).used.size for modality in discriminant.modalities}
    return discriminant, SignalRange.of_stored(steps, settings.get("signal_bounds"), sizes)


def misfit(
    discriminant: MixedDiscriminant,
    config: ModelConfig,
    n_labels: int,
    levels: Mapping[str, NDArray[np.floating]] = MappingProxyType({}),
) -> tuple[str, str] | None:
    """Return which part does not fit a model's features, labels or profile ``levels``, and how; or None."""
    if discriminant.n_labels != n_labels:
        return "discriminant", f"expected {n_labels} labels, found {discriminant.n_labels}"
    shapes = {modality: (math.prod(shape),) for modality, shape in feature_shapes(config).items()}
    if (tangent := discriminant.tangent) is not None:
        if len(tangent.mean) != len(config.ch_names) or config.features.covariance_hz is None:
            return "discriminant.eeg.tangent", f"expected covariances of {len(config.ch_names)} channels"
        shapes["eeg"] = (shapes["eeg"][0] + len(tangent.axes),)
    found = [(f"discriminant.{m}", m, discriminant.part(m).used.shape) for m in discriminant.modalities]
    for part, modality, shape in [*found, *((f"level.{m}", m, a.shape) for m, a in levels.items())]:
        if shape != shapes.get(modality):
            return part, f"expected {shapes.get(modality)} features, found {shape}"
    return None


_MOST_BESIDE_BYTES = 256_000_000  # of weights: normaliser, discriminant, range of signals


def _read(path: Path, most_bytes: int = MOST_TEXT_BYTES) -> bytes:
    try:
        return read_limited(path, most_bytes, inside=path.parent)
    except OSError as error:
        remedy = f"a model is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}; give its path with --model"
        what = f"cannot read the model file ({error.strerror})"
        raise _damaged(what, path, remedy) from error


def _damaged(what: str, where: Path | str, remedy: str = _REMEDY) -> InputError:
    return InputError(what, where=str(where), remedy=remedy, code=ErrorCode.MODEL)


def _parse(text: bytes, where: str) -> tuple[ModelConfig, dict[str, Any]]:
    """Return the config, and what is beside it: settings of the discriminant, and the hash of the weights."""
    try:
        data = parse_json(text)
    except ValueError as error:  # bad JSON or bad UTF-8
        raise _damaged(f"is not valid JSON: {error}", where) from error
    if not isinstance(data, dict):
        raise _damaged(f"expected a JSON object, found {type(data).__name__}", where)
    beside = {name: data.pop(name, None) for name in ("discriminant", WEIGHTS_SHA256)}
    return ModelConfig.from_dict(data, where=where), beside


def strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name begins with a prefix, by the rest of it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _sha256(text: bytes, weights: bytes) -> str:
    return hashlib.sha256(text + weights).hexdigest()
