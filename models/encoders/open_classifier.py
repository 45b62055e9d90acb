"""Published classifiers of faces and voices as encoders: what the last layer reads is the token.

They come from a folder or, where the user named one, from the hub. `transformers` builds the whole network
from its own config; the last layer is not part of the encoder, as in `models.encoders.expression`. Our pixels
and log-mel frames become those that the classifier expects by its preprocessor's settings, a linear map.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acquisition.errors import ErrorCode, InputError, real_path
from acquisition.text import parse_json
from models.config import AstConfig, VitConfig
from models.datasets.files import first_line
from models.features.log_mel import AUDIOSET_MEAN, AUDIOSET_SD, HOP
from models.weights import Installed, Source, check_weights

CONFIG_FILE, PREPROCESSOR_FILE = "config.json", "preprocessor_config.json"
WEIGHTS = "model*.safetensors"
#: Gain and offset by input channel, from our features to those that open weights expect.
Scaling = tuple[list[float], list[float]]
_HUB_NAME = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@(\w[\w.-]*))?", re.ASCII)
_REMEDY = "give a folder with config.json and model.safetensors, or a hub name and a network"
#: Kinds of `transformers` that can be read, by modality; those after the first of a voice take its samples.
KINDS = {
    "face": ("vit", "beit", "swin"),
    "voice": ("audio-spectrogram-transformer", "wav2vec2", "hubert", "wavlm"),
}
_MOST = {"num_hidden_layers": 1000, "depths": 1000, "num_labels": 100_000}  # more take hours to build
_NOT_OURS = ("auto_map", "_name_or_path", "dtype", "torch_dtype")  # settings: weights are read as float32
_SILENCE = -AUDIOSET_MEAN / (2 * AUDIOSET_SD)  # what the extractor of AST pads with, in our scale


def refused(what: str, source: str, file: str = "", *, setting: str = "", remedy: str = "") -> InputError:
    """Return the error for an open model, a file or a setting of it that cannot be used."""
    return InputError(
        f"{setting}: {what}" if setting else what,
        where=f"{source}: {file}" if file else source,
        remedy=remedy,
        code=ErrorCode.MODEL,
        file=file,
        setting=setting,
    )


def import_transformers(source: str) -> Any:
    """Return the library `transformers`, an extra that takes seconds to import.

    Raises `InputError` where it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        what = "expected transformers, which builds published classifiers, found none installed"
        remedy = "pip install 'transformers>=5'"
        raise InputError(what, where=source, remedy=remedy, code=ErrorCode.INSTALLATION) from error
    return transformers


def folder_of(source: str, only_words: bool = False) -> Path:
    """Return the folder of a model, downloaded first if it is a hub name that was not yet.

    ``only_words`` fetches its card and settings, not its weights. A hub name is OWNER/NAME or
    OWNER/NAME@COMMIT; one whose first part is a folder here is a mistyped path.
    Raises `InputError`: there is no such folder, or the hub does not give it.
    """
    if not source:
        raise refused("no folder or hub name given", "open weights", remedy="set source in the config")
    folder = Path(source).expanduser()
    if folder.exists():
        return folder
    hub = _HUB_NAME.fullmatch(source)
    if not hub or folder.parent.exists():
        raise refused("expected a folder, found none", source, remedy=_REMEDY)
    return _of_hub(source, hub[1], hub[2], only_words)


def is_hub_name(source: str) -> bool:
    """Tell whether a name has the form of one of the hub."""
    return _HUB_NAME.fullmatch(source) is not None


def pinned(source: str) -> str:
    """Return a hub name with the commit that it stands for now, so that figures can be repeated.

    A folder stays as it is; else OWNER/NAME@COMMIT. Errors are those of `folder_of`.
    """
    folder, hub = folder_of(source), _HUB_NAME.fullmatch(source)
    if not hub or folder == Path(source).expanduser():
        return source
    return f"{hub[1]}@{folder.name}"  # the hub's client names a snapshot's folder by its commit


def _of_hub(source: str, name: str, revision: str | None, only_words: bool) -> Path:
    import_transformers(source)
    from huggingface_hub import snapshot_download  # which comes with it

    wanted = CONFIG_FILE if only_words else WEIGHTS
    files = [CONFIG_FILE, PREPROCESSOR_FILE, "README.md"]
    files += [] if only_words else [WEIGHTS, "model.safetensors.index.json"]
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=files, local_files_only=True))
        if any(folder.glob(wanted)):  # else the cache holds only what another program asked for
            return folder
    except OSError:
        pass  # not here yet
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    except Exception as error:  # its transport has errors of its own, another package's in each version
        what = f"there is no such folder, and the hub does not give it: {first_line(error)}"
        raise refused(what, source, remedy=_REMEDY) from error


def read_settings(source: str, name: str = CONFIG_FILE) -> dict[str, Any]:
    """Return a JSON file of the model; an empty dict for a preprocessor's that is not there.

    Raises `InputError`: there is no such model, ``config.json`` is missing, or the file is not a JSON object.
    """
    path = folder_of(source) / name
    if name == PREPROCESSOR_FILE and not path.exists():
        return {}
    if path.exists() and not path.is_file():
        raise refused("expected a file", source, name)
    try:
        found = parse_json(path.read_bytes())
    except OSError as error:
        what = f"cannot read {name} of the model ({error.strerror})"
        raise refused(what, source, remedy=_REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise refused(f"is not valid JSON: {error}", source, name) from error
    if not isinstance(found, dict):
        raise refused(f"expected a JSON object, found {type(found).__name__}", source, name)
    return found


def square(value: int | Sequence[int], name: str, source: str) -> int:
    """Return one side of what must be square and not empty, as a patch, in pixels or mel frames."""
    sides = [value] if isinstance(value, int) else list(value)
    if len(set(sides)) != 1 or sides[0] < 1:
        raise refused(f"expected a square, found {value}", source, CONFIG_FILE, setting=name)
    return sides[0]


def numbers(settings: Mapping[str, Any], name: str, default: float, n: int, source: str) -> list[float]:
    """Return n numbers of a preprocessor's settings, of which there may be one for all; finite ones only."""
    value = settings.get(name, default)
    values = list(value) if isinstance(value, list) else [value] * n
    if len(values) != n or not all(isinstance(v, (int, float)) and abs(v) < 1e6 for v in values):
        raise refused(f"expected {n} numbers, found {value}", source, PREPROCESSOR_FILE, setting=name)
    return [float(v) for v in values]


def pixel_scaling(source: str) -> Scaling:
    """Return gain and offset by colour from our pixels, -1 to 1, to those of the model's own."""
    settings = read_settings(source, PREPROCESSOR_FILE)
    mean, sd = (numbers(settings, name, 0.5, 3, source) for name in ("image_mean", "image_std"))
    (rescale,) = numbers(settings, "rescale_factor", 1 / 255, 1, source)
    if not settings.get("do_normalize", True):
        mean, sd = [0.0] * 3, [1.0] * 3
    if min(sd) <= 0:
        raise refused(f"expected more than 0, found {sd}", source, PREPROCESSOR_FILE, setting="image_std")
    half = 255 / 2 * (rescale if settings.get("do_rescale", True) else 1.0)  # their value of our 0
    return [half / s for s in sd], [(half - m) / s for m, s in zip(mean, sd, strict=True)]


def log_mel_scaling(source: str) -> Scaling:
    """Return gain and offset from our log-mel frames to those of the model's own extractor.

    Ours are ``y = (x - AUDIOSET_MEAN) / (2 AUDIOSET_SD)``; with the extractor's own mean and SD, or with
    AudioSet's where it names none, its are ``(x - mean) / (2 SD)`` (Gong et al. 2021), which is
    ``y AUDIOSET_SD / SD + (AUDIOSET_MEAN - mean) / (2 SD)``; x itself where it does not normalise.
    """
    settings = read_settings(source, PREPROCESSOR_FILE)
    (mean,) = numbers(settings, "mean", AUDIOSET_MEAN, 1, source)
    (sd,) = numbers(settings, "std", AUDIOSET_SD, 1, source)
    if sd <= 0:
        raise refused(f"expected more than 0, found {sd}", source, PREPROCESSOR_FILE, setting="std")
    if not settings.get("do_normalize", True):
        return [2 * AUDIOSET_SD], [AUDIOSET_MEAN]
    return [AUDIOSET_SD / sd], [(AUDIOSET_MEAN - mean) / (2 * sd)]


def _pretrained(source: str, model_class: Any) -> nn.Module:
    """Return a model of `transformers` with its weights, which are downloaded where there are none here."""
    try:
        with _silence():
            model, report = model_class.from_pretrained(
                folder_of(source),
                local_files_only=True,
                use_safetensors=True,  # a pickle could run anything
                dtype=torch.float32,
                ignore_mismatched_sizes=True,  # told below, in our words
                output_loading_info=True,
            )
    except Exception as error:  # damaged weights raise errors of `safetensors`, which are plain exceptions
        raise refused(f"the model cannot be loaded: {first_line(error)}", source, remedy=_REMEDY) from error
    _check_complete(report, source)
    return model


def _check_complete(report: Mapping[str, Any], source: str) -> None:
    """Refuse weights of other sizes than their own config says: `transformers` would make random ones."""
    remedy = "take config.json and model.safetensors of one and the same model"
    for name, found, expected in sorted(report["mismatched_keys"])[:1]:
        what = f"{name}: expected {tuple(expected)} by config.json, found {tuple(found)}"
        raise refused(what, source, remedy=remedy)
    further = [name for name in report["unexpected_keys"] if "layers." in name]
    for what, names in (("missing", report["missing_keys"]), ("more than config.json has", further)):
        if names:
            some = f"{len(names)} tensors {what}, e.g. {min(names)}"
            raise refused(f"expected the weights of config.json, found {some}", source, remedy=remedy)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep `transformers` from reporting classifiers that are not taken over, and from drawing bars."""
    from transformers.utils import logging

    verbosity, drew = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if drew:
            logging.enable_progress_bar()


def _classifier(config: VitConfig | AstConfig, where: str) -> nn.Module:
    """Return the network of a config, random; raises `InputError` if it is none that is known here."""
    transformers = import_transformers(where)
    modality = "face" if isinstance(config, VitConfig) else "voice"
    auto = f"AutoModelFor{'Image' if modality == 'face' else 'Audio'}Classification"
    try:
        settings = json.loads(config.classifier)
        kind = settings.pop("model_type")
        if kind not in KINDS[modality]:
            raise ValueError(f"model_type: expected {' or '.join(KINDS[modality])}, found {kind}")
        for name, most in _MOST.items():
            value = settings.get(name) or 0
            if (sum(value) if isinstance(value, list) else value) > most:
                raise ValueError(f"{name}: expected at most {most}, found {value}")
        return getattr(transformers, auto).from_config(transformers.AutoConfig.for_model(kind, **settings))
    except Exception as error:  # `transformers` has errors of its own for what does not fit
        what = f"not a {modality} classifier that can be used: {str(error).splitlines()[-1].strip()}"
        raise refused(what, where, CONFIG_FILE) from error


class OpenClassifier(nn.Module):
    """A classifier without its last layer, random until weights are loaded."""

    gain: Tensor
    offset: Tensor

    def __init__(self, config: VitConfig | AstConfig) -> None:
        super().__init__()
        self.config = config
        self.model = _classifier(config, config.source or "open classifier")
        parent, name = _last_layer(self.model)
        setattr(parent, name, nn.Identity())
        n = 3 if isinstance(config, VitConfig) else 1
        self.register_buffer("gain", torch.ones(n, 1, 1))
        self.register_buffer("offset", torch.zeros(n, 1, 1))


class OpenFace(OpenClassifier):
    """One token a frame."""

    def forward(self, frames: Tensor) -> Tensor:
        """Return one token (N, D) for each frame (N, 3, H, W), RGB, normalised to -1..1."""
        return self.model(pixel_values=frames * self.gain + self.offset).logits


class OpenVoice(OpenClassifier):
    """One token a clip, of log-mel frames."""

    config: AstConfig

    def forward(self, frames: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens (B, 1, D), mask (B, 1) and the clips' middle (1,) in s from their start.

        Frames are (B, n_frames, F), 100 a second; those that the mask (B, n_frames) hides come last.
        """
        tokens = torch.stack(
            [self._token(clip[known]) for clip, known in zip(frames, frame_mask, strict=True)]
        )
        middle = frames.new_tensor([frame_mask.shape[1] * self.config.frame_s / 2])
        return tokens[:, None], frame_mask.any(dim=1, keepdim=True), middle

    def _token(self, clip: Tensor) -> Tensor:
        """Return the token (D,) of log-mel frames (n, n_mels), padded as the classifier's extractor does."""
        padded = F.pad(clip, (0, 0, 0, self.config.max_frames - len(clip)), value=_SILENCE)
        return self.model(input_values=padded[None] * self.gain[0] + self.offset[0]).logits[0]


class OpenWave(OpenVoice):
    """One token a clip, of its samples; ``gain`` is 0 where they are not to be normalised."""

    def _token(self, clip: Tensor) -> Tensor:
        """Return the token (D,) of samples (n, HOP)."""
        if clip.shape[1] != HOP or not len(clip):  # the shape alone is asked for
            return clip.new_zeros(self.config.width)
        wave = clip.flatten()
        normalised = (wave - wave.mean()) / (wave.var(correction=0) + 1e-7).sqrt()
        wave = torch.where(self.gain.flatten() > 0, normalised, wave)
        return self.model(input_values=wave[None]).logits[0]


def _last_layer(model: nn.Module) -> tuple[nn.Module, str]:
    """Return the module that holds the last layer, and the layer's name in it."""
    head: Any = model.classifier
    return (head, "dense") if hasattr(head, "dense") else (model, "classifier")


@dataclass(frozen=True, eq=False)
class Published:
    """An encoder of other people's that keeps its own answer."""

    encoder: str  # of `models.config.FACE_ENCODERS` or `VOICE_ENCODERS`
    sizes: VitConfig | AstConfig
    labels: tuple[str, ...]  # of its last layer, ``fc`` of the tensors
    weights: Installed
    margin: float = 0.2  # round a face


def read_classifier(modality: str, source: str) -> Published:
    """Read a folder or a hub name, which downloads: this runs only where the user asked for it.

    Raises `InputError`: nothing loads from there, or it is not a classifier of a kind of `KINDS`.
    """
    source = pinned(source)
    folder, settings = folder_of(source), read_settings(source)
    own = {name: value for name, value in settings.items() if name not in _NOT_OURS}
    words: dict[str, Any] = {"source": source, "classifier": json.dumps(own, sort_keys=True)}
    files = sorted(file for file in folder.glob(WEIGHTS) if file.is_file())
    n_bytes = sum(file.stat().st_size for file in files)
    config = (VitConfig if modality == "face" else AstConfig)(**words)
    with torch.device("meta"):  # sizes of which no memory is asked for
        outline = _classifier(config, source)
    n_weights = sum(parameter.numel() for parameter in outline.parameters())
    if n_weights > n_bytes:
        what = f"expected the weights of config.json, {n_weights:,} numbers, found {n_bytes:,} bytes"
        raise refused(what, source, remedy="give a folder with config.json and its model.safetensors")
    model = _pretrained(source, type(outline))
    check_weights(outline.state_dict(), model.state_dict(), source, _REMEDY)
    parent, name = _last_layer(model)
    last = getattr(parent, name)
    if not isinstance(last, nn.Linear):
        raise refused("expected a last layer with labels, found none", source, CONFIG_FILE)
    words["width"] = last.in_features
    found: Any = model.config
    if modality == "face":
        sizes: VitConfig | AstConfig = VitConfig(
            **words, image_size=square(found.image_size, "image_size", source)
        )
        encoder, (gain, offset) = "open", pixel_scaling(source)
    elif found.model_type == KINDS["voice"][0]:
        sizes = AstConfig(**words, n_mels=found.num_mel_bins, max_frames=found.max_length)
        encoder, (gain, offset) = "open", log_mel_scaling(source)
    else:
        sizes = AstConfig(**words)
        normalises = read_settings(source, PREPROCESSOR_FILE).get("do_normalize", True)
        encoder, gain, offset = "open-wave", [float(bool(normalises))], [0.0]
    if (sfreq := read_settings(source, PREPROCESSOR_FILE).get("sampling_rate", 16000)) != 16000:
        raise refused(f"expected 16000, found {sfreq}", source, PREPROCESSOR_FILE, setting="sampling_rate")
    setattr(parent, name, nn.Identity())
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for scale, values in (("gain", gain), ("offset", offset)):
        tensors[scale] = torch.tensor(values).reshape(-1, 1, 1)
    tensors |= {"fc.weight": last.weight.detach(), "fc.bias": last.bias.detach()}
    digest, licence = hashlib.sha256(), licence_of(folder)
    for file in files:
        digest.update(file.read_bytes())
    origin = Source(
        name=f"{modality} classifier",
        tool="transformers",
        package=real_path(folder).name if folder == Path(source).expanduser() else source,
        licence=licence,
        training_data="see its page",
        limits=f"{licence}; its probabilities are as published: nothing was fitted or measured here",
    )
    labels = tuple(str(found.id2label[at]) for at in range(last.out_features))
    return Published(encoder, sizes, labels, Installed(origin, tensors, digest.hexdigest()))


def described(name: str) -> str:
    """Return licence and labels of ``face:SOURCE`` or ``voice:SOURCE`` before its weights are fetched.

    Raises `InputError` as `read_classifier` does.
    """
    modality, _, source = name.partition(":")
    folder = folder_of(source, only_words=True)
    settings = read_settings(str(folder))
    if (kind := settings.get("model_type")) not in KINDS[modality]:
        what = f"expected {' or '.join(KINDS[modality])}, found {kind or 'none'}"
        raise refused(what, source, CONFIG_FILE, setting="model_type")
    labels = settings.get("id2label")
    named = ", ".join(map(str, labels.values())) if isinstance(labels, dict) else "not stated"
    return f"{source}: {kind}, {licence_of(folder)}; labels: {named}; training data and figures: see its page"


def licence_of(folder: Path) -> str:
    """Return the licence that a model's own card states."""
    card = folder / "README.md"
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    stated = re.search(r"^license:\s*(\S+)", text, re.MULTILINE)
    return f"licence {stated[1]}" if stated else "licence not stated: see its page"
