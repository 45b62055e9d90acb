"""Everything that rebuilds a model: labels, channels, window geometry, features and network sizes.

Frozen dataclasses that go to JSON and back; `ModelConfig` is what a checkpoint's ``config.json`` holds.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES, MODALITY_OF_KIND, Kind
from acquisition.windowing import WindowConfig
from models.features.config import FeatureConfig

#: Version of the layout of ``config.json``.
FORMAT_VERSION = 1

_LARGEST = 1e15  # number in a config
#: Least and largest of the sizes of a network; of others 1 and 8,192. More take hours, or all memory.
_SIZES = {
    "dropout": (0.0, 0.99), "frame_s": (1e-3, 1.0), "n_layers": (1, 200), "n_rounds": (1, 200),
    "image_size": (1, 4096), "n_mels": (1, 4096),
}  # fmt: skip

#: What fields of the configs below may be.
EEG_ENCODERS = ("mv_sstma", "eegformer")
FACE_ENCODERS = ("vit", "face-expression", "face-expression-fer", "open")
VOICE_ENCODERS = ("ast", "statistics", "open", "open-wave")
CONTEXTS = ("window", "streaming")
CHANNEL_PROJECTIONS = ("pools", "weights")
FUSION_VARIANTS = ("attention", "concat", "shared_attention", "sum")


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
    channel_projection: str = "pools"  # learned means over channels | weights: linear over channels and D
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
    classifier: str = ""  # the config of `transformers`, JSON, where the encoder is open


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
    classifier: str = ""


@dataclass(frozen=True)
class FusionConfig:
    """How modality tokens become a prediction; heads and rounds concern ``shared_attention`` alone."""

    variant: str = "shared_attention"  # concat | attention | shared_attention | sum: models.fusion
    d_model: int = 64
    n_heads: int = 4
    n_rounds: int = 2  # times the shared attention is applied
    dropout: float = 0.1
    token_norm: str = "steps"  # of each step of a modality's tokens, before pooling


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of all parts of the fusion network."""

    preset: str = "small"
    eeg_encoder: str = "mv_sstma"  # mv_sstma, sized by eeg | eegformer, sized by eegformer
    eeg: MvSstmaConfig = field(default_factory=MvSstmaConfig)
    eegformer: EegformerConfig = field(default_factory=EegformerConfig)
    eye: MvSstmaConfig = field(default_factory=lambda: MvSstmaConfig(in_features=1))
    n_eye_features: int = 33
    #: vit | a net of models.encoders.expression, as large as face says | open: encoders.open_classifier
    face_encoder: str = "vit"
    face: VitConfig = field(default_factory=VitConfig)
    #: ast | statistics: models.encoders.voice, as wide as voice says | open, open-wave: as for faces
    voice_encoder: str = "ast"
    voice: AstConfig = field(default_factory=AstConfig)
    voice_activity: bool = False  # voice is absent while nobody speaks: models.encoders.voice
    fusion: FusionConfig = field(default_factory=FusionConfig)

    def fusion_of(self, modality: str) -> FusionConfig:
        """Return the settings of a modality's token: no norm where an encoder keeps its published answer."""
        trained_here = {"face": self.face_encoder == "vit", "voice": self.voice_encoder == "ast"}
        keeps_answer = not trained_here.get(modality, True)
        return replace(self.fusion, token_norm="none") if keeps_answer else self.fusion

    @property
    def voice_form(self) -> str:
        """What the voice encoder reads of a clip: log_mel | contours | wave, in frames of 10 ms."""
        return {"statistics": "contours", "open-wave": "wave"}.get(self.voice_encoder, "log_mel")

    @property
    def takes_raw_eeg(self) -> bool:
        """True where the EEG's features are samples, not band entropies."""
        return self.eeg_encoder == "eegformer"

    @property
    def streams(self) -> bool:
        """True where the EEG encoder takes one step at a time and keeps its state."""
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


TEMPERATURES = 0.01, 100.0  # which make sense
MAX_RISK = 0.2  # chosen: one answer in five may be wrong
NEVER = 1.01  # a probability that no answer reaches
LEAST_ANSWER = 0.5  # a top emotion less likely than all others together is no answer, whatever was fitted


def _check_ranges(
    config: object,
    of: str,
    *limits: tuple[tuple[str, ...], float, float],
    lengths: Mapping[str, tuple[int, ...]] = types.MappingProxyType({}),
) -> None:
    """Raise `InputError` unless fields are in their ranges; those that are tuples have one of ``lengths``."""
    for names, low, high in limits:
        for name in names:
            value = getattr(config, name)
            values, n = (value if isinstance(value, tuple) else (value,)), lengths.get(name)
            if (n and len(values) not in n) or not all(low <= one <= high for one in values):
                numbers = f"{' or '.join(map(str, n))} numbers from" if n else "a number from"
                what = f"expected {numbers} {low:g} to {high:g}, got {value}"
                raise _does_not_fit(f"{of}.{name}", what)


@dataclass(frozen=True)
class AnswerConfig:
    """When a model answers and how large its sets are, fitted on other subjects."""

    set_90: float  # largest score 1 - p of a member of the 90 % set; 1 puts every emotion in
    set_80: float
    #: From which probability of the top emotion on at most ``risk`` of the answers were wrong; `NEVER` where
    #: none is. An answer needs it, or `LEAST_ANSWER` where that is higher: `answer_from`.
    abstain_below: float
    error: float  # share of wrong answers from ``abstain_below`` on, at most ``risk``; 0 without answers
    answered: float  # share of the windows that it answers, each trial counting the same
    ece: float  # expected calibration error of the windows
    n_subjects: int
    n_trials: int
    risk: float = MAX_RISK
    temperature: float = 1.0

    @property
    def answer_from(self) -> float:
        """The lowest probability of an answer: `LEAST_ANSWER` or `abstain_below`, whichever is higher."""
        return max(self.abstain_below, LEAST_ANSWER)

    @property
    def act_from(self) -> float:
        """The lowest probability that something may act upon: one at which ``risk`` is not exceeded."""
        return max(self.answer_from, 1 - self.risk)

    def __post_init__(self) -> None:
        _check_ranges(
            self,
            "answers",
            (("set_90", "set_80", "error", "answered", "ece", "risk"), 0.0, 1.0),
            (("abstain_below",), 0.0, NEVER),
            (("temperature",), *TEMPERATURES),
            (("n_subjects", "n_trials"), 0, math.inf),
        )


#: What may give evidence. Of equally good ones the first is kept, of too few subjects to tell the last.
EVIDENCE_KINDS = ("lda", "svm", "riemann", "discriminant")


@dataclass(frozen=True)
class EvidenceConfig:
    """How a discriminant beside the network, and a level that runs, make the answer.

    ``logits = network_weight · network + Σ weight · n · a · e`` over the n present modalities, with the
    shared attention a, in which each modality's reliability counts, and the discriminant's evidence e.
    """

    network_weight: float = 1.0
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)  # of the evidence of EEG, eyes, face, voice
    #: Of network, EEG, eyes, face, voice where a profile's labels tell; empty: as for strangers.
    profile_weights: tuple[float, ...] = ()
    n_steps: tuple[int, ...] = (3, 1, 2, 1)  # newest seconds of EEG, eyes, face, voice that evidence is about
    average_s: float = 1.0  # answers are means over so long
    persistence: float = 0.0  # nats that speak for the last answer
    level_temperature: float = 2.0  # of the evidence, where it says which emotion the level is without
    trial_s: float = 24.0  # a trial's worth of data for the level
    max_trials: float = 8.0  # bound of the level's weight
    kind: str = "discriminant"  # what gives the evidence, of `EVIDENCE_KINDS`

    def __post_init__(self) -> None:
        if self.kind not in EVIDENCE_KINDS:
            raise _does_not_fit("evidence.kind", f"expected {', '.join(EVIDENCE_KINDS)}, got {self.kind}")
        n = len(MODALITIES)
        lengths = {"weights": (n,), "profile_weights": (0, n + 1), "n_steps": (n,)}
        _check_ranges(
            self,
            "evidence",
            (("network_weight", "weights", "profile_weights", "persistence"), 0.0, 1e6),
            (("n_steps",), 1, 3600),
            (("average_s",), 0.01, 60.0),
            (("level_temperature",), 0.01, 1e6),
            (("trial_s",), 1.0, 3600.0),
            (("max_trials",), 0.1, 1e6),
            lengths=lengths,
        )

    @property
    def unused(self) -> tuple[str, ...]:
        """Which of network and discriminant have no weight in the answer."""
        parts = {"network": (self.network_weight,), self.kind: self.weights}
        return tuple(name for name, weights in parts.items() if not any(weights))


@dataclass(frozen=True)
class ModelConfig:
    """The contract between training and use, stored in every checkpoint."""

    labels: tuple[str, ...]
    ch_names: tuple[str, ...]  # EEG channels of training; a channel's position is its index here
    windows: WindowConfig
    features: FeatureConfig
    network: NetworkConfig
    trained_on: str = ""  # in words, for people; nothing reads them
    is_simulated: bool = False  # trained on simulated or generated data: not valid for real people
    notes: str = ""
    modalities: tuple[str, ...] = MODALITIES  # trained with; any other is never present for this model
    is_classifier: bool = True  # False: pre-trained encoders, whose labels, heads and fusion mean nothing
    feature_origin: str = "raw"  # raw: by the functions that serve live | published: a data set's own
    step_s: float = 1.0  # seconds from one step of EEG and eye features to the next; published SEED: 4
    own_level: bool = False  # EEG and eye features are centred on each subject's and session's own level
    transductive: bool = False  # test trials of a published split entered pre-training, without labels
    evidence: EvidenceConfig | None = None  # None: the network alone answers, about the training's level
    answers: AnswerConfig | None = None  # for subjects without a profile; None: older models
    profile_answers: AnswerConfig | None = None  # for subjects with one, from other subjects' calibrations

    def __post_init__(self) -> None:
        for name, values in (("labels", self.labels), ("ch_names", self.ch_names)):
            if not values or len(set(values)) != len(values):
                raise _does_not_fit(name, f"expected distinct names, got {list(values)}")
        if not self.modalities or [m for m in MODALITIES if m in self.modalities] != list(self.modalities):
            known = ", ".join(MODALITIES)
            raise _does_not_fit(
                "modalities", f"expected some of {known} in this order, got {list(self.modalities)}"
            )
        features, windows, network = self.features, self.windows, self.network
        of_time = "the 1 s bins of the time attention"
        for setting, like, one, other in (
            ("n_eye_features", "eye_features of features", network.n_eye_features, features.eye_features),
            ("in_features", "bands of features", network.eeg.in_features, len(features.bands)),
            ("n_mels", "that of features", network.voice.n_mels, features.n_mels),
            ("image_size", "face_size of features", network.face.image_size, features.face_size),
            ("eye_step_s", "that of features", windows.eye_step_s, features.eye_step_s),
            ("pupil_s", "eye_context_s of features", windows.pupil_s, features.eye_context_s),
            ("eeg_shift_s", of_time, windows.eeg_shift_s, 1.0),
            ("eye_shift_s", of_time, windows.eye_shift_s, 1.0),
            ("max_gap_s", "max_gaze_gap_s of features", windows.max_gap_s, features.max_gaze_gap_s),
        ):
            if one != other:
                raise _does_not_fit(setting, f"expected {other} like {like}, got {one}")
        for part in ("eeg", "eegformer", "eye", "face", "voice", "fusion"):
            sizes = {n: v for n, v in vars(getattr(network, part)).items() if not isinstance(v, (str, bool))}
            limits = [((name,), *_SIZES.get(name, (1, 1 << 13))) for name in sizes]
            _check_ranges(getattr(network, part), f"network.{part}", *limits)
        self._check_encoders()

    def _check_encoders(self) -> None:
        """Refuse forms of encoders and fusion that there are not, and windows the EEG encoder cannot take."""
        features, windows, network = self.features, self.windows, self.network
        n_context_steps = network.eeg.n_context_steps if network.streams else 0
        expected: list[tuple[str, tuple[object, ...], object]] = [
            ("eeg_encoder", EEG_ENCODERS, network.eeg_encoder),
            ("face_encoder", FACE_ENCODERS, network.face_encoder),
            ("voice_encoder", VOICE_ENCODERS, network.voice_encoder),
            ("eeg.context", CONTEXTS, network.eeg.context),
            ("eye.context", CONTEXTS[:1], network.eye.context),  # its 4 s steps overlap
            ("eeg.channel_projection", CHANNEL_PROJECTIONS, network.eeg.channel_projection),
            ("eye.channel_projection", CHANNEL_PROJECTIONS, network.eye.channel_projection),
            ("fusion.variant", FUSION_VARIANTS, network.fusion.variant),
            ("fusion.token_norm", ("steps",), network.fusion.token_norm),
            ("n_context_steps", (n_context_steps,), windows.n_context_steps),
        ]
        if network.takes_raw_eeg:
            expected += [
                ("eeg_step_s", (features.raw_s,), windows.eeg_step_s),
                ("eeg_n_steps", (1,), windows.eeg_n_steps),
                ("n_times", (round(features.raw_s * features.raw_sfreq),), network.eegformer.n_times),
            ]
        for setting, allowed, found in expected:
            if found not in allowed:
                words = " or ".join(map(str, allowed))
                form = f"with {network.eeg_encoder}, {network.eeg.context}"
                raise _does_not_fit(setting, f"expected {words} {form}, got {found}")

    @property
    def unread_kinds(self) -> frozenset[Kind]:
        """Kinds of streams that it does without."""
        return frozenset(kind for kind, m in MODALITY_OF_KIND.items() if m not in self.modalities)

    @property
    def n_eeg_steps(self) -> int:
        """EEG steps that the network reads: those of the window, and a streaming encoder's left context."""
        return self.windows.eeg_n_steps + self.windows.n_context_steps

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict that `from_dict` turns back into an equal config."""
        settings = json.loads(json.dumps(asdict(self)))
        return {"format_version": FORMAT_VERSION, **settings, "features_sha256": self.features.digest()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "model config") -> ModelConfig:
        """Build a config from `to_dict`'s form, of older checkpoints too; else raises `InputError`."""
        data = {"windows": {}, "features": {}, **data}
        version, digest = data.pop("format_version", None), data.pop("features_sha256", None)
        if version != FORMAT_VERSION:
            what = f"expected format_version {FORMAT_VERSION}, found {version!r}"
            remedy = "open it with the version of the program that wrote it, or train it again"
            raise _refused(what, where, "format_version", remedy)
        features = FeatureConfig.from_dict(data["features"], f"{where}: features")
        if digest != features.digest():
            what = f"expected features with sha256 {digest}, found {features.digest()}"
            remedy = "the feature settings are not those the weights were trained with: train again"
            raise _refused(what, where, "features", remedy)
        return built(cls, data | {"features": features}, where)


def _refused(what: str, where: str, setting: str, remedy: str = "") -> InputError:
    return InputError(what, where=where, remedy=remedy, code=ErrorCode.MODEL, setting=setting)


def _does_not_fit(setting: str, what: str) -> InputError:
    return _refused(what, f"model config: {setting}", setting)


def preset(
    name: str,
    *,
    labels: Sequence[str],
    ch_names: Sequence[str],
    windows: WindowConfig | None = None,
    features: FeatureConfig | None = None,
    eeg_encoder: str = "mv_sstma",
    eeg_context: str = "window",
    **further: Any,
) -> ModelConfig:
    """Return the config of a preset network, with ``further`` fields of `ModelConfig`.

    ``small`` runs on two CPU cores; ``paper`` has ViT-B and AST-B. Without ``windows`` and ``features`` they
    are the program's defaults; faces are cut to the size that the network takes, and a network on raw EEG has
    one EEG step of ``raw_s`` seconds. The windows get the left context that goes with ``eeg_context``.
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
        **further,
    )


# --- dataclasses from what JSON gives, with names and types checked ---

T = TypeVar("T")


def built(cls: type[T], data: Any, where: str) -> T:
    """Build a dataclass from what JSON gives, recursing into dataclass fields.

    Raises `InputError`, whose fact ``setting`` names the key that is missing, unknown or of another type.
    """
    if not isinstance(data, Mapping):
        raise _wrong_type("an object", data, where)
    assert is_dataclass(cls)
    hints, known = typing.get_type_hints(cls), [f.name for f in fields(cls)]
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    unknown, missing = sorted(set(data) - set(known)), sorted(set(required) - set(data))
    if unknown or missing:
        what = f"expected the keys {sorted(known)}, found unknown {unknown} and missing {missing}"
        remedy = "the file was changed by hand or written by another version of the program"
        raise _refused(what, where, (*unknown, *missing)[0], remedy)
    values = {name: _cast_as(hints[name], value, f"{where}: {name}") for name, value in data.items()}
    return typing.cast(T, cls(**values))


def _cast_as(kind: Any, value: Any, where: str) -> Any:
    """Return ``value`` as ``kind``, which is a dataclass, a plain type or ``tuple[x, ...]``."""
    if isinstance(kind, types.UnionType):  # x | None
        return None if value is None else _cast_as(typing.get_args(kind)[0], value, where)
    if is_dataclass(kind):
        return value if is_dataclass(value) else built(typing.cast(type, kind), value, where)
    if typing.get_origin(kind) is Mapping:
        if not isinstance(value, Mapping):
            raise _wrong_type("an object", value, where)
        return {name: _cast_as(typing.get_args(kind)[1], entry, where) for name, entry in value.items()}
    if isinstance(kind, types.GenericAlias):
        if not isinstance(value, (list, tuple)):
            raise _wrong_type("a list", value, where)
        item = typing.get_args(kind)[0]
        return tuple(_cast_as(item, entry, where) for entry in value)
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise _wrong_type(kind.__name__, value, where)
    if kind in (int, float) and not -_LARGEST < value < _LARGEST:
        raise _refused(f"expected a finite number, found {value}", where, where.rsplit(": ", 1)[-1])
    return float(value) if kind is float else value


def _wrong_type(expected: str, value: Any, where: str) -> InputError:
    what = f"expected {expected}, found {type(value).__name__} {value!r}"
    return _refused(what, where, where.rsplit(": ", 1)[-1])
