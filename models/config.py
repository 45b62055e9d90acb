"""Everything that rebuilds a model: labels, channels, window geometry, features and network sizes.

Frozen dataclasses that go to JSON and back; `ModelConfig` is what a checkpoint's ``config.json`` holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from acquisition.errors import InputError
from acquisition.types import MODALITIES
from acquisition.windowing import WindowConfig
from models.features.config import FeatureConfig
from models.typed_json import build, cast_as, check_keys

#: Version of the layout of ``config.json``.
FORMAT_VERSION = 1

#: Keys of older checkpoints' ``config.json``, and what they are called now.
_RENAMED_KEYS = {"eeg_run_in": "n_context_steps", "readout": "channel_projection"}

#: What `NetworkConfig.eeg_encoder`, `MvSstmaConfig.context` and `MvSstmaConfig.channel_projection` may be.
EEG_ENCODERS = ("mv_sstma", "eegformer")
CONTEXTS = ("window", "streaming")
CHANNEL_PROJECTIONS = ("pools", "weights")


@dataclass(frozen=True)
class MvSstmaConfig:
    """Sizes of an MV-SSTMA encoder. The paper gives layers, width and heads; the rest is inferred."""

    in_features: int = 5  # bands of an EEG channel; an eye feature is a channel with one
    n_layers: int = 6
    dim: int = 16
    n_heads: int = 6
    head_dim: int = 4  # 6 heads do not divide 16: heads have their own width
    kernels: tuple[int, ...] = (7, 5, 3)  # steps: long, medium, short
    ffn_ratio: int = 4
    shared_attention: bool = True  # one attention layer for the three branches
    dropout: float = 0.1
    channel_projection: str = (
        "pools"  # learned means over channels | weights: a linear layer over channels and D
    )
    n_pools: int = 8  # times D is the width of what is read
    context: str = "window"  # window, the paper's | streaming: what a window's first step has before it

    @property
    def n_context_steps(self) -> int:
        """Steps before a window's first that its tokens depend on: the convolutions' reach."""
        return self.n_layers * (max(self.kernels) - 1) if self.context == "streaming" else 0


@dataclass(frozen=True)
class EegformerConfig:
    """Sizes of an EEGformer (Wan et al. 2023); `models.encoders.eegformer` says what is inferred."""

    n_times: int = 500  # 5 s at 100 Hz
    kernel: int = 10  # samples, of each of the three convolutions
    n_maps: int = 16  # the third convolution's maps a channel; 120 in the paper
    n_slots: int = 60  # averages over time between convolutions and transformers
    n_segments: int = 5  # tokens of the temporal transformer
    n_layers: int = 2  # of each of the three transformers
    n_heads: int = 4
    head_dim: int = 8
    ffn_ratio: int = 2
    temporal_dim: int = 64
    n_filters: int = 16  # of the decoder's convolutions
    width: int = 128  # of the token that stands for the window
    dropout: float = 0.1


@dataclass(frozen=True)
class VitConfig:
    """Sizes of the face encoder, in the terms of `transformers.ViTConfig`."""

    width: int = 128
    n_layers: int = 4
    n_heads: int = 4
    ffn_dim: int = 512
    patch_size: int = 16
    image_size: int = 224
    pooling: str = "mean"  # mean over patches | cls
    stem: str = "patch"  # patch | conv: what makes tokens of pixels, see VitEncoder
    token_norm: str = "none"  # none | batch: a frame's token over the frames of a batch
    dropout: float = 0.0
    source: str = ""  # folder or hub name of open weights, read only when asked to


@dataclass(frozen=True)
class AstConfig:
    """Sizes of the voice encoder, in the terms of `transformers.ASTConfig`."""

    width: int = 128
    n_layers: int = 4
    n_heads: int = 4
    ffn_dim: int = 512
    patch_size: int = 16
    time_stride: int = 16
    frequency_stride: int = 16
    n_mels: int = 128
    max_frames: int = 1024  # 10.24 s at one frame each 10 ms
    frame_s: float = 0.01
    dropout: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class FusionConfig:
    """How modality tokens become a prediction; heads and rounds concern ``shared_attention`` alone."""

    variant: str = "shared_attention"  # concat | attention | shared_attention | linear: models.fusion
    d_model: int = 64
    n_heads: int = 4
    n_rounds: int = 2  # times the shared attention is applied
    dropout: float = 0.1


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of all parts of the fusion network."""

    preset: str = "small"
    eeg_encoder: str = "mv_sstma"  # mv_sstma, sized by eeg | eegformer, sized by eegformer
    eeg: MvSstmaConfig = field(default_factory=MvSstmaConfig)
    eegformer: EegformerConfig = field(default_factory=EegformerConfig)
    eye: MvSstmaConfig = field(default_factory=lambda: MvSstmaConfig(in_features=1))
    n_eye_features: int = 33
    face: VitConfig = field(default_factory=VitConfig)
    voice: AstConfig = field(default_factory=AstConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)

    @property
    def takes_raw_eeg(self) -> bool:
        """True where the EEG's features are samples, not band entropies."""
        return self.eeg_encoder == "eegformer"

    @property
    def streams(self) -> bool:
        """True where the EEG encoder goes on from step to step."""
        return not self.takes_raw_eeg and self.eeg.context == "streaming"

    @property
    def n_eeg_features(self) -> int:
        """Numbers a channel has in a step: bands, or samples."""
        return self.eegformer.n_times if self.takes_raw_eeg else self.eeg.in_features


_PRESETS = {
    "small": NetworkConfig(face=VitConfig(image_size=112, stem="conv", token_norm="batch")),
    "paper": NetworkConfig(
        preset="paper",
        eegformer=EegformerConfig(n_maps=120),
        face=VitConfig(width=768, n_layers=12, n_heads=12, ffn_dim=3072, pooling="cls"),
        voice=AstConfig(
            width=768, n_layers=12, n_heads=12, ffn_dim=3072, time_stride=10, frequency_stride=10
        ),
    ),
}


@dataclass(frozen=True)
class ModelConfig:
    """The contract between training and use, stored in every checkpoint."""

    labels: tuple[str, ...]
    ch_names: tuple[str, ...]  # EEG channels of training; a channel's position is its index here
    windows: WindowConfig
    features: FeatureConfig
    network: NetworkConfig
    trained_on: str = ""  # in words, for people; nothing reads them
    is_simulated: bool = False  # trained on simulated or generated data: it says nothing of a real person
    notes: str = ""
    modalities: tuple[str, ...] = MODALITIES  # trained with; any other is never present for this model
    is_classifier: bool = True  # False: pre-trained encoders, whose labels, heads and fusion mean nothing
    feature_origin: str = "raw"  # raw: by the functions that serve live | published: a data set's own
    step_s: float = 1.0  # seconds from one step of EEG and eye features to the next; published SEED: 4
    transductive: bool = False  # test trials of a published split entered pre-training, without labels

    def __post_init__(self) -> None:
        for name, values in (("labels", self.labels), ("ch_names", self.ch_names)):
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name}: expected distinct names, got {list(values)}", where="model config")
        if not self.modalities or [m for m in MODALITIES if m in self.modalities] != list(self.modalities):
            raise InputError(
                f"modalities: expected some of {', '.join(MODALITIES)} in this order, "
                f"got {list(self.modalities)}",
                where="model config",
            )
        features, windows, network = self.features, self.windows, self.network
        for what, one, other in (
            ("eye features of network and features", network.n_eye_features, features.eye_features),
            ("EEG bands of network and features", network.eeg.in_features, len(features.bands)),
            ("mel bands of network and features", network.voice.n_mels, features.n_mels),
            ("face size of network and features", network.face.image_size, features.face_size),
            ("eye_step_s of windows and features", windows.eye_step_s, features.eye_step_s),
            ("pupil_s of windows, eye_context_s of features", windows.pupil_s, features.eye_context_s),
            ("eeg_shift_s, and the 1 s bins of the time attention", windows.eeg_shift_s, 1.0),
            ("eye_shift_s, and the 1 s bins of the time attention", windows.eye_shift_s, 1.0),
            ("max_gap_s of windows, max_gaze_gap_s of features", windows.max_gap_s, features.max_gaze_gap_s),
        ):
            if one != other:
                raise InputError(f"{what}: expected the same, got {one} and {other}", where="model config")
        self._check_eeg_encoder()

    def _check_eeg_encoder(self) -> None:
        """Refuse windows that the EEG encoder cannot take."""
        features, windows, network = self.features, self.windows, self.network
        if network.eeg_encoder not in EEG_ENCODERS:
            raise InputError(
                f"eeg_encoder: expected one of {list(EEG_ENCODERS)}, got {network.eeg_encoder!r}",
                where="model config",
            )
        self._check_encoder_forms()
        if not network.takes_raw_eeg:
            return
        n_times = round(features.raw_s * features.raw_sfreq)
        for what, expected, found in (
            ("eeg_step_s, for raw EEG the features' raw_s", features.raw_s, windows.eeg_step_s),
            ("eeg_n_steps, for raw EEG", 1, windows.eeg_n_steps),
            ("n_times of eegformer, raw_s times raw_sfreq", n_times, network.eegformer.n_times),
        ):
            if expected != found:
                raise InputError(f"{what}: expected {expected}, got {found}", where="model config")

    def _check_encoder_forms(self) -> None:
        """Refuse forms of encoders that there are not, and windows without the left context they need."""
        network = self.network
        for what, expected, found in (
            ("context of eeg", CONTEXTS, network.eeg.context),
            ("context of eye, whose 4 s steps overlap", CONTEXTS[:1], network.eye.context),
            ("channel_projection of eeg", CHANNEL_PROJECTIONS, network.eeg.channel_projection),
            ("channel_projection of eye", CHANNEL_PROJECTIONS, network.eye.channel_projection),
            (
                "n_context_steps",
                (network.eeg.n_context_steps if network.streams else 0,),
                self.windows.n_context_steps,
            ),
        ):
            if found not in expected:
                allowed = " or ".join(map(str, expected))
                raise InputError(f"{what}: expected {allowed}, got {found}", where="model config")

    @property
    def n_eeg_steps(self) -> int:
        """EEG steps that the network reads: those of the window, and a streaming encoder's left context."""
        return self.windows.eeg_n_steps + self.windows.n_context_steps

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict that `from_dict` turns back into an equal config."""
        return {
            "format_version": FORMAT_VERSION,
            "labels": list(self.labels),
            "ch_names": list(self.ch_names),
            "windows": asdict(self.windows),
            "features": self.features.to_dict(),
            "features_sha256": self.features.digest(),
            "network": asdict(self.network),
            "trained_on": self.trained_on,
            "is_simulated": self.is_simulated,
            "notes": self.notes,
            "modalities": list(self.modalities),
            "is_classifier": self.is_classifier,
            "feature_origin": self.feature_origin,
            "step_s": self.step_s,
            "transductive": self.transductive,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "model config") -> ModelConfig:
        """Build a config from `to_dict`'s form, checking names and types.

        Raises
        ------
        InputError
            A key is missing or unknown, a value has the wrong type, or the format is another version's.
        """
        data = dict(data)
        version = data.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise InputError(
                f"expected format_version {FORMAT_VERSION}, found {version!r}",
                where=where,
                remedy="open it with the version of the program that wrote it, or train it again",
            )
        digest = data.pop("features_sha256", None)
        check_keys(data, [f.name for f in fields(cls)], where, required=("labels", "ch_names", "network"))
        features = FeatureConfig.from_dict(data.get("features", {}))
        if digest != features.digest():
            raise InputError(
                f"expected features with sha256 {digest}, found {features.digest()}",
                where=where,
                remedy="the feature settings are not those the weights were trained with: train again",
            )
        trained_on = cast_as(str, data.get("trained_on", ""), f"{where}: trained_on")
        return cls(
            labels=cast_as(tuple[str, ...], data["labels"], f"{where}: labels"),
            ch_names=cast_as(tuple[str, ...], data["ch_names"], f"{where}: ch_names"),
            windows=build(WindowConfig, with_new_keys(data.get("windows", {})), f"{where}: windows"),
            features=_features(data.get("features", {}), f"{where}: features"),
            network=build(NetworkConfig, with_new_keys(data["network"]), f"{where}: network"),
            trained_on=trained_on,
            # Checkpoints of before there was the key say it in words.
            is_simulated=cast_as(
                bool, data.get("is_simulated", "simulated" in trained_on), f"{where}: is_simulated"
            ),
            notes=cast_as(str, data.get("notes", ""), f"{where}: notes"),
            modalities=cast_as(tuple[str, ...], data.get("modalities", MODALITIES), f"{where}: modalities"),
            is_classifier=cast_as(bool, data.get("is_classifier", True), f"{where}: is_classifier"),
            feature_origin=cast_as(str, data.get("feature_origin", "raw"), f"{where}: feature_origin"),
            step_s=float(cast_as(float, data.get("step_s", 1.0), f"{where}: step_s")),
            transductive=cast_as(bool, data.get("transductive", False), f"{where}: transductive"),
        )


def with_new_keys(data: Any) -> Any:
    """Return settings as JSON gives them under the names of today."""
    if not isinstance(data, Mapping):
        return data
    return {_RENAMED_KEYS.get(key, key): with_new_keys(value) for key, value in data.items()}


def preset(
    name: str,
    *,
    labels: Sequence[str],
    ch_names: Sequence[str],
    windows: WindowConfig | None = None,
    features: FeatureConfig | None = None,
    trained_on: str = "",
    is_simulated: bool = False,
    modalities: Sequence[str] = MODALITIES,
    eeg_encoder: str = "mv_sstma",
    eeg_context: str = "window",
) -> ModelConfig:
    """Return the config of a preset network.

    Parameters
    ----------
    name : {"small", "paper"}
        ``small`` runs on two CPU cores; ``paper`` has ViT-B and AST-B.
    labels, ch_names : sequence of str
    windows, features : optional
        The defaults of the program where left out; faces are cut to the size that the network takes, and
        a network on raw EEG has one EEG step of ``raw_s`` seconds.
    trained_on : str
    is_simulated : bool
    modalities : sequence of str
        The model is trained with, in the order of MODALITIES.
    eeg_encoder : {"mv_sstma", "eegformer"}
    eeg_context : {"window", "streaming"}
        The windows get the left context that goes with it.

    Raises
    ------
    InputError
        There is no such preset.
    """
    if name not in _PRESETS:
        raise InputError(f"expected a preset of {sorted(_PRESETS)}, got {name!r}", where="--preset")
    sizes = _PRESETS[name]
    network = replace(sizes, eeg_encoder=eeg_encoder, eeg=replace(sizes.eeg, context=eeg_context))
    features = features or FeatureConfig(face_size=network.face.image_size)
    if windows is None:
        raw_windows = WindowConfig(eeg_step_s=features.raw_s, eeg_n_steps=1)
        windows = raw_windows if network.takes_raw_eeg else WindowConfig()
    windows = replace(windows, n_context_steps=network.eeg.n_context_steps if network.streams else 0)
    return ModelConfig(
        labels=tuple(labels),
        ch_names=tuple(ch_names),
        windows=windows,
        features=features,
        network=replace(network, n_eye_features=features.eye_features),
        trained_on=trained_on,
        is_simulated=is_simulated,
        modalities=tuple(modalities),
    )


def _features(data: Any, where: str) -> FeatureConfig:
    if not isinstance(data, Mapping):
        raise InputError(f"expected an object, found {type(data).__name__}", where=where)
    try:
        return FeatureConfig.from_dict(data)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected a setting of another type: {error}", where=where) from error
