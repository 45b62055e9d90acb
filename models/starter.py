"""A starter model: encoders that were trained apart, joined into one model with the labels they share.

That is the second paper's way (each encoder alone, then frozen) without its last step: nothing is trained
here. Each modality answers as it was published or trained, `models.fusion.SumFusion` adds the logits, and a
modality that nobody gave weights for is absent. A face comes from `models.weights`; face and voice from any
classifier that `models.encoders.open_classifier` reads; voice and EEG from models that this program trained,
by their discriminant where they have one, else by the modality's own head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acquisition.errors import ErrorCode, InputError, real_path
from acquisition.montage import SEED_CH_NAMES
from acquisition.types import MODALITIES
from models.checkpoint import CONFIG_FILE, Checkpoint, load_checkpoint, save_checkpoint
from models.config import AstConfig, ModelConfig, MvSstmaConfig, VitConfig, preset
from models.encoders.expression import EXPRESSION_NETS
from models.encoders.open_classifier import Published, is_hub_name, read_classifier, read_settings
from models.features.log_mel import n_log_mel_frames
from models.level import Evidence, SignalRange
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import Part
from models.network import FusionNetwork
from models.prediction import SHOWN
from models.training.cards import LICENCE, NOT_FOR, card_of
from models.weights import SOURCES, Installed, is_installed, load_installed, load_weights

VOICE_ACTIVITY = "voice-activity"
_FACE_S, _FACE_GRID_S = 2.0, 0.25  # chosen: a mean over eight frames steadies the label
_WORDS = dict(happiness="happy", sadness="sad", anger="angry", fearful="fear", calmness="calm")
_WORDS |= dict(disgusted="disgust", surprised="surprise", neu="neutral", hap="happy", ang="angry")
_TINY: dict[str, Any] = dict(width=8, n_layers=1, n_heads=1, ffn_dim=8)  # what is absent has a place too

_AGAIN = "install the weights again"

Models = Mapping[str, Checkpoint]  # by modality


def build(
    weights: Path, out: Path, face: str | None = None, voice: Sequence[Path] = (), eeg: Path | None = None
) -> list[str]:
    """Write a starter model to ``out`` and return what to know of it.

    ``face`` names weights installed below ``weights``; ``eeg`` and ``voice`` are folders of our models, or
    ``voice`` is folders of acted speech, which a voice is fitted to. Face and voice may also be a classifier:
    a folder in the hub's layout or, ``face:OWNER/NAME@COMMIT``, of the hub, where there is a network.

    Raises `InputError`: nothing is given, weights are not installed, a model lacks the modality or an answer
    of its own, models do not fit each other, or fewer than two labels are shared.
    """
    published = {"face": _face(face, weights)} if face else {}
    models = {} if eeg is None else {"eeg": _model(eeg, "eeg")}
    if len(voice) == 1 and _is_open("voice", voice[0]):
        published["voice"] = read_classifier("voice", str(voice[0]).removeprefix("voice:"))
    elif voice:
        is_model = len(voice) == 1 and not _holds_speech(voice[0])
        models["voice"] = _model(voice[0], "voice") if is_model else _of_speech(voice, models.get("eeg"))
    if not published and not models:
        raise _refused("expected a face, a voice or an EEG, got none", "add --face face-expression")
    activity = None
    if "voice" in {**models, **published} and is_installed(VOICE_ACTIVITY, weights):
        activity = load_installed(VOICE_ACTIVITY, weights)
    labels = _shared(
        [part.labels for part in published.values()] + [m.config.labels for m in models.values()]
    )
    evidence = _evidence(models, labels)
    config = _config(labels, models, published, asks_speech=activity is not None)
    config = replace(config, evidence=None if evidence is None else evidence.config)
    network = _network(config, models)
    for modality, part in published.items():
        _put_published(network, modality, part, labels)
    if activity is not None and network.voice_activity is not None:
        load_weights(network.voice_activity, activity.tensors, VOICE_ACTIVITY, _AGAIN)
    scales = {
        name: tensor
        for modality, model in models.items()
        for name, tensor in model.normaliser_tensors.items()
        if name.startswith(f"{modality}_")
    }
    parts = [part.weights for part in published.values()] + ([activity] if activity else [])
    notes = _notes(config, parts)
    card = card_of(
        "starter",
        config=config,
        parts=parts,
        models=models,
        notes=notes,
        shown=SHOWN,
        limits=NOT_FOR,
        licence=LICENCE,
    )
    save_checkpoint(out, config, network, scales, card, evidence)
    return notes


def _refused(what: str, remedy: str = "", where: str = "model build") -> InputError:
    return InputError(what, where=where, remedy=remedy, code=ErrorCode.MODEL)


def _face(name: str, weights: Path) -> Published:
    if name not in SOURCES and _is_open("face", name):
        return read_classifier("face", name.removeprefix("face:"))
    if name not in EXPRESSION_NETS:
        names = ", ".join(EXPRESSION_NETS)
        raise _refused(f"expected {names}, a folder or a name of the hub, got {name}", where="--face")
    net = EXPRESSION_NETS[name]
    sizes = VitConfig(width=net.width, image_size=net.image_size)
    return Published(name, sizes, net.labels, load_installed(name, weights), net.margin)


def _is_open(modality: str, source: str | Path) -> bool:
    """Tell whether a source is a folder in the hub's layout, or may be a name there."""
    path, name = Path(source), str(source)
    if path.is_dir():
        return (path / CONFIG_FILE).exists() and "model_type" in read_settings(name)
    return name.startswith(f"{modality}:") or (not path.exists() and is_hub_name(name))


def _model(path: Path, modality: str) -> Checkpoint:
    model, where = load_checkpoint(path), f"--{modality} {path}"
    config, remedy = model.config, "give the folder of `affectscope finetune` or `train`"
    if not config.is_classifier or modality not in config.modalities or config.feature_origin != "raw":
        found = ", ".join(config.modalities)
        raise _refused(f"expected a model that reads {modality} live, found one of {found}", remedy, where)
    has_head = len(config.modalities) > 1 or config.network.fusion_of(modality).token_norm == "none"
    if _discriminant_of(model, modality) is None and not has_head:
        what = "it answers by its fusion alone: neither a discriminant nor a head of its own was trained"
        raise _refused(what, "fine-tune it on 12 or more trials", where)
    return model


def _holds_speech(folder: Path) -> bool:
    return folder.is_dir() and not (folder / CONFIG_FILE).exists() and any(folder.rglob("*.wav"))


def _of_speech(folders: Sequence[Path], other: Checkpoint | None) -> Checkpoint:
    """Return a voice fitted to acted speech, of the sizes of the other model if there is one."""
    from models.datasets.voices import EMOTIONS, load_voices
    from models.training.voices import voice_model

    base = preset("small", labels=EMOTIONS, ch_names=SEED_CH_NAMES) if other is None else other.config
    model = voice_model(load_voices(folders), base)
    names = ", ".join(real_path(folder).name for folder in folders)
    return replace(model, config=replace(model.config, trained_on=f"{model.config.trained_on} ({names})"))


def _discriminant_of(model: Checkpoint, modality: str) -> MixedDiscriminant | None:
    config, found = model.config.evidence, model.evidence
    if config is None or found is None or modality not in found.discriminant.modalities:
        return None
    return found.discriminant if config.weights[MODALITIES.index(modality)] > 0 else None


# --- labels, sizes ---


def _in_our_words(labels: Sequence[str]) -> list[str]:
    return [_WORDS.get(label.lower(), label.lower()) for label in labels]


def _shared(labels: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the labels that all parts tell apart, in the first part's order and our words."""
    first, *others = (_in_our_words(part) for part in labels)
    shared = tuple(label for label in first if all(label in other for other in others))
    if len(shared) < 2:
        each = "; ".join(", ".join(part) for part in labels)
        raise _refused(f"expected two or more labels that all parts share, found {len(shared)} in {each}")
    return shared


def _places(of_part: Sequence[str], labels: Sequence[str]) -> list[int]:
    own = _in_our_words(of_part)
    return [own.index(label) for label in labels]


def _config(
    labels: tuple[str, ...], models: Models, published: Mapping[str, Published], *, asks_speech: bool
) -> ModelConfig:
    configs = {modality: model.config for modality, model in models.items()}
    base = next(iter(configs.values()), preset("small", labels=labels, ch_names=SEED_CH_NAMES))
    for config in configs.values():
        for what, one, other in (
            ("windows", base.windows, config.windows),
            ("features", base.features, config.features),
            ("d_model", base.network.fusion.d_model, config.network.fusion.d_model),
            ("token_norm", base.network.fusion.token_norm, config.network.fusion.token_norm),
        ):
            if one != other:
                raise _refused(f"the models' {what} differ, {one} and {other}", "train both alike")
    windows, features, network = base.windows, base.features, base.network
    d_model = network.fusion.d_model if models else len(labels)
    network = replace(
        network,
        voice_encoder=configs["voice"].network.voice_encoder if "voice" in configs else "ast",
        voice=configs["voice"].network.voice if "voice" in configs else AstConfig(**_TINY),
        voice_activity=asks_speech,
        face=VitConfig(**_TINY, image_size=features.face_size),
        fusion=replace(network.fusion, variant="sum", d_model=d_model),
    )
    for part in published.values():
        if isinstance(part.sizes, VitConfig):
            network = replace(network, face_encoder=part.encoder, face=part.sizes)
            windows = replace(windows, face_s=_FACE_S, face_grid_s=_FACE_GRID_S)
            features = replace(features, face_size=part.sizes.image_size, face_margin=part.margin)
        else:
            network = replace(network, voice_encoder=part.encoder, voice=part.sizes)
            features = replace(features, n_mels=part.sizes.n_mels)
            n_frames = n_log_mel_frames(round(windows.voice_s * features.voice_sfreq))
            if part.sizes.max_frames < n_frames:
                what = f"expected at least {n_frames} frames, {windows.voice_s:g} s of voice, found"
                raise _refused(f"max_length: {what} {part.sizes.max_frames}", "choose one for longer clips")
    if "eeg" not in models:
        tiny = MvSstmaConfig(len(features.bands), n_layers=1, dim=4, n_heads=1, n_pools=1)
        network = replace(network, eeg_encoder="mv_sstma", eeg=tiny, eye=replace(tiny, in_features=1))
    trained_on = [f"{m}: open weights {p.weights.source.name}" for m, p in published.items()]
    trained_on += [f"{m}: {config.trained_on or 'unknown'}" for m, config in configs.items()]
    return replace(
        base,
        labels=labels,
        windows=windows,
        features=features,
        network=network,
        modalities=tuple(m for m in MODALITIES if m in models or m in published),
        trained_on="; ".join(trained_on),
        is_simulated=any(config.is_simulated for config in configs.values()),
        notes="",
        answers=None,
        profile_answers=None,
    )


# --- weights ---


def _evidence(models: Models, labels: Sequence[str]) -> Evidence | None:
    """Return the models' discriminants, restricted to their modality and the shared labels, as one."""
    parts: dict[str, Part] = {}
    steps, bounds = dict[str, Any](), dict[str, Any]()
    weights, n_steps, first = [0.0] * len(MODALITIES), [1] * len(MODALITIES), None
    for modality, model in models.items():
        discriminant, found, config = _discriminant_of(model, modality), model.evidence, model.config.evidence
        if discriminant is None or found is None or config is None:
            continue
        known = {modality: np.ones_like(discriminant.part(modality).used)}
        parts[modality] = discriminant.restricted(_places(model.config.labels, labels), known).part(modality)
        steps |= {m: values for m, values in found.range.steps.items() if m == modality}
        bounds |= {m: values for m, values in found.range.bounds.items() if m == modality}
        at, first = MODALITIES.index(modality), first or config
        weights[at], n_steps[at] = config.weights[at], config.n_steps[at]
    if first is None:
        return None
    config = replace(first, network_weight=1.0, weights=tuple(weights), n_steps=tuple(n_steps))
    config = replace(config, profile_weights=())
    return Evidence(MixedDiscriminant(parts, len(labels), 0), SignalRange(steps, bounds), config)


@torch.no_grad()
def _network(config: ModelConfig, models: Models) -> FusionNetwork:
    """Return the network with the models' encoders; what nobody gave weights for is zero."""
    network = FusionNetwork(config)
    for parameter in network.parameters():
        parameter.zero_()
    for modality, model in models.items():
        for name in (modality, f"tokens.{modality}", *([f"{modality}_pool"] if modality == "eeg" else [])):
            network.get_submodule(name).load_state_dict(model.network.get_submodule(name).state_dict())
        if _discriminant_of(model, modality) is None:  # else that is its answer
            at, head = _places(model.config.labels, config.labels), model.network.heads[modality].state_dict()
            _put_head(network, modality, head["weight"][at], head["bias"][at])
    return network


@torch.no_grad()
def _put_head(network: FusionNetwork, modality: str, weight: Tensor, bias: Tensor) -> None:
    """Make a linear layer (n_labels, d_model) of a modality's token its answer, alone and in the sum."""
    network.heads[modality].load_state_dict({"weight": weight, "bias": bias})
    at, fusion = MODALITIES.index(modality), dict(network.fusion.named_parameters())
    fusion["weight"][:, at], fusion["bias"][:, at] = weight, bias


@torch.no_grad()
def _put_published(network: FusionNetwork, modality: str, part: Published, labels: Sequence[str]) -> None:
    """Put an encoder in that keeps its answer: its last layer, over its temperature, makes the token."""
    encoder, source = dict(part.weights.tensors), part.weights.source
    weight, bias = encoder.pop("fc.weight"), encoder.pop("fc.bias")
    load_weights(network.get_submodule(modality), encoder, source.name, _AGAIN)
    at = _places(part.labels, labels)
    project = dict(network.tokens[modality].named_parameters())
    project["project.0.weight"][: len(at)] = weight[at] / source.temperature
    project["project.0.bias"][: len(at)] = bias[at] / source.temperature
    d_model = network.config.network.fusion.d_model
    _put_head(network, modality, torch.eye(len(at), d_model), torch.zeros(len(at)))


# --- words ---


def _notes(config: ModelConfig, parts: Sequence[Installed]) -> list[str]:
    notes = [f"labels: {', '.join(config.labels)}"]
    notes += [f"{part.source.name}: {part.source.limits}" for part in parts if part.source.limits]
    if "voice" in config.modalities and not config.network.voice_activity:
        notes.append(f"voice is not masked while nobody speaks: install {VOICE_ACTIVITY} and build again")
    if config.is_simulated:
        notes.append("a part was trained on simulated data: not valid for real people")
    absent = [modality for modality in MODALITIES if modality not in config.modalities]
    return [*notes, *([f"absent: {', '.join(absent)}"] if absent else [])]
