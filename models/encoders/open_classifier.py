"""Published classifiers of faces and voices as encoders: what the last layer reads is the token.

`transformers` builds the whole network from its own config; the last layer is not part of the encoder, as in
`models.encoders.expression`. Our pixels and log-mel frames become those that the classifier expects by its
own preprocessor's settings, as in `models.encoders.open_weights`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import AstConfig, VitConfig
from models.encoders.open_weights import (
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    WEIGHTS,
    copy_weights,
    folder_of,
    import_transformers,
    log_mel_scaling,
    pinned,
    pixel_scaling,
    read_settings,
    refused,
    square,
)
from models.features.log_mel import AUDIOSET_MEAN, AUDIOSET_SD, HOP
from models.weights import Installed, Source

#: Kinds of `transformers` that can be read, by modality; those after the first of a voice take its samples.
KINDS = {
    "face": ("vit", "beit", "swin"),
    "voice": ("audio-spectrogram-transformer", "wav2vec2", "hubert", "wavlm"),
}
_MOST = {"num_hidden_layers": 1000, "depths": 1000, "num_labels": 100_000}  # more take hours to build
_SILENCE = -AUDIOSET_MEAN / (2 * AUDIOSET_SD)  # what the extractor of AST pads with, in our scale


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
    own = {name: value for name, value in settings.items() if name not in ("auto_map", "_name_or_path")}
    words: dict[str, Any] = {"source": source, "classifier": json.dumps(own, sort_keys=True)}
    files = sorted(file for file in folder.glob(WEIGHTS) if file.is_file())
    n_bytes = sum(file.stat().st_size for file in files)
    config = (VitConfig if modality == "face" else AstConfig)(**words)
    with torch.device("meta"):  # sizes of which no memory is asked for
        n_weights = sum(p.numel() for p in _classifier(config, source).parameters())
    if n_weights > n_bytes:
        what = f"expected the weights of config.json, {n_weights:,} numbers, found {n_bytes:,} bytes"
        raise refused(what, source, remedy="give a folder with config.json and its model.safetensors")
    model = _classifier(config, source)
    copy_weights(source, type(model), model)
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
        package=folder.resolve().name if folder == Path(source).expanduser() else source,
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
