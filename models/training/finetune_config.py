"""From trials, options and a pre-trained model to the config of the classifier to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from torch import Tensor

from acquisition.errors import ErrorCode, InputError
from acquisition.montage import SEED_CH_NAMES
from models.checkpoint import Checkpoint
from models.config import ModelConfig, preset
from models.datasets.trials import PUBLISHED, TRIAL_MODALITIES, Trial, label_names_of
from models.features.config import FeatureConfig
from models.training.provenance import TrainingRecord

#: Of fewer trials DCCA would correlate what windows of one trial share, not what emotions do.
MIN_DCCA_TRIALS = 12


@dataclass(frozen=True, eq=False)
class PretrainedEncoders:
    """What fine-tuning takes from a model: small enough to be sent to other processes."""

    config: ModelConfig
    weights: Mapping[str, Tensor]
    normaliser: Mapping[str, Tensor]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Take the encoders; raises `InputError` for a classifier, which may know what is tested."""
        if checkpoint.config.is_classifier:
            what = "the model is a classifier: it may have been trained on the test trials, with their labels"
            remedy = "start from a model of pretrain"
            raise InputError(what, where="--model", remedy=remedy, code=ErrorCode.MODEL)
        weights = checkpoint.network.state_dict()
        taken = {name: tensor for name, tensor in weights.items() if name.startswith(("eeg.", "eye."))}
        return cls(checkpoint.config, taken, checkpoint.normaliser_tensors)


@dataclass(frozen=True)
class FinetuneOptions:
    """How a classifier is trained; defaults are the paper's where it gives them."""

    modalities: tuple[str, ...] = TRIAL_MODALITIES  # those that the trials hold are used
    fusion: str = "attention"  # attention | concat | shared_attention
    freeze: bool = False  # keep the pre-trained encoders as they are
    dcca: bool | None = None  # CE + 0.1 DCCA, where there are two modalities; None: and `MIN_DCCA_TRIALS`
    detach_heads: bool = True  # heads of single modalities read tokens without changing them
    network: bool = True  # train one; else what gives the evidence answers alone
    kind: str | None = None  # of evidence, `EVIDENCE_KINDS`; None: what subjects left out prefer
    evidence: bool = False  # fit a discriminant beside the network, each session about its own level
    own_level: bool = False  # the network alone, each session about its own level
    least_shrinkage: float = 0.1  # of a new projection's discriminant, which counts windows that overlap
    eye_tails: float = 0.0  # share of the eye features' values beyond either limit of their scale
    epochs: int = 30  # at most, where training stops early
    few_epochs: int = 15  # where it does not
    stop_early: bool = True  # by training trials held out, where there are enough
    patience: int = 6  # epochs without a better NLL on the held-out trials
    batch_size: int = 32
    learning_rate: float = 1e-3  # the paper's
    weight_decay: float = 0.01
    n_steps: int = 10  # T, the paper's
    n_layers: int | None = None  # of encoders that begin at random; None: as the small network's
    n_heads: int | None = None  # of the same
    max_windows_per_trial: int | None = 20
    max_windows: int | None = None  # the first so many windows of training only
    normalise: str = "subject"  # `session_levels.about_level`: from what a session's level is taken
    mask: float = 0.0  # share of EEG channels hidden in training
    fill: bool = False  # absent EEG channels are filled from the others, by their correlations in training
    p_drop_modality: float = 0.1  # not in the paper: so that the model keeps working when a stream is lost
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.modalities or not set(self.modalities) <= set(TRIAL_MODALITIES):
            what = f"expected eeg, eye or both, found {', '.join(self.modalities) or 'none'}"
            raise InputError(what, where="--modalities", remedy="for a voice: model build")

    def quick(self) -> FinetuneOptions:
        """Return the options with few windows and epochs, to try things out."""
        return replace(self, epochs=4, few_epochs=4, patience=2, max_windows_per_trial=3)

    def shortened(self, *, quick: bool, epochs: int | None) -> FinetuneOptions:
        """Return the options, made quick if wanted; ``epochs`` are the most, and win over it."""
        options = self.quick() if quick else self
        if epochs is None:
            return options
        return replace(options, epochs=epochs, few_epochs=min(epochs, self.few_epochs))


def used_modalities(trials: Sequence[Trial], options: FinetuneOptions) -> tuple[str, ...]:
    """Return the modalities that are both wanted and in all the trials."""
    held = {m: all(getattr(trial, m) is not None for trial in trials) for m in TRIAL_MODALITIES}
    used = tuple(m for m in TRIAL_MODALITIES if m in options.modalities and held[m])
    if not used:
        raise InputError(
            f"expected {' or '.join(options.modalities)}, found trials of "
            f"{' and '.join(m for m, there in held.items() if there) or 'nothing'}",
            where=trials[0].source,
            remedy="choose other --modalities, or --features published where the set has them",
            code=ErrorCode.DATA,
        )
    return used


def classifier_config(
    trials: Sequence[Trial],
    options: FinetuneOptions,
    pretrained: PretrainedEncoders | None,
    trained_on: str,
    *,
    is_simulated: bool = False,
) -> ModelConfig:
    """Return the config of a classifier for trials of one data set.

    Channels, sizes and feature settings are the pre-trained model's; without one, the trials' channels and
    the small network.

    Raises `InputError` if the trials are of different kinds, or not of the kind that the model was pre-
    trained on.
    """
    labels, first = label_names_of(trials), trials[0]
    modalities = used_modalities(trials, options)
    n_eye = first.eye.shape[1] if first.eye is not None and "eye" in modalities else None
    if pretrained is None:
        features = FeatureConfig(eye_features=n_eye or 33, face_size=112)
        base = preset("small", labels=labels, ch_names=first.ch_names or SEED_CH_NAMES, features=features)
    else:
        base = pretrained.config
        _check_pretrained(base, first, modalities)
        if n_eye is not None:  # no weight of an encoder depends on it
            features = replace(base.features, eye_features=n_eye)
            base = replace(base, features=features, network=replace(base.network, n_eye_features=n_eye))
    network = replace(base.network, fusion=replace(base.network.fusion, variant=options.fusion))
    new = {m: getattr(network, m) for m in TRIAL_MODALITIES}
    if pretrained is None:
        wanted = {"n_layers": options.n_layers, "n_heads": options.n_heads}
        changes = {name: value for name, value in wanted.items() if value is not None}
        new = {m: replace(size, **changes) for m, size in new.items()}
    sizes = {m: replace(size, channel_projection="weights") for m, size in new.items()}
    windows, n_steps = base.windows, options.n_steps
    return replace(
        base,
        labels=labels,
        windows=replace(
            windows,
            eeg_step_s=first.step_s if first.origin == "published" else windows.eeg_step_s,
            eeg_n_steps=n_steps,
            eye_n_steps=n_steps,
            n_context_steps=base.network.eeg.n_context_steps if base.network.streams else 0,
            min_valid_steps=min(windows.min_valid_steps, n_steps),
        ),
        network=replace(network, **sizes),
        trained_on=trained_on,
        is_simulated=is_simulated or base.is_simulated,
        notes="",
        modalities=modalities,
        is_classifier=True,
        feature_origin=first.origin,
        step_s=first.step_s,
        own_level=options.own_level or options.evidence,
        evidence=None,
        answers=None,
        profile_answers=None,
    )


def _check_pretrained(config: ModelConfig, trial: Trial, modalities: Sequence[str]) -> None:
    if config.network.takes_raw_eeg:
        what = "expected a model on band entropies, found one on raw EEG"
        remedy = "choose a model of pretrain, or --from-scratch"
        raise InputError(what, where="--model", remedy=remedy, code=ErrorCode.MODEL)
    known = [name for name in trial.ch_names if name in config.ch_names]
    if "eeg" in modalities and not known:
        raise InputError(
            f"none of the channels {', '.join(trial.ch_names[:6])} ... is one of the model's "
            f"{', '.join(config.ch_names[:6])} ...",
            where=trial.source,
            remedy="name them with --montage, or train with --from-scratch",
            code=ErrorCode.CHANNELS,
        )
    if config.feature_origin != trial.origin or abs(config.step_s - trial.step_s) > 1e-9:
        raise InputError(
            f"the model was pre-trained on {config.feature_origin} features every {config.step_s:g} s, "
            f"but these are {trial.origin} features every {trial.step_s:g} s",
            where="--features",
            remedy=f"choose --features {config.feature_origin}, pre-train on these features, or "
            "train with --from-scratch",
            code=ErrorCode.MODEL,
        )


def seen_without_labels(
    config: ModelConfig, kind: str, files: Sequence[Path], record: TrainingRecord | None
) -> str:
    """Return in words what pre-training saw of a `Source`'s trials; empty where it is known of none."""
    if config.transductive and (kind in PUBLISHED or record is None or not record.complete):
        return "transductive: test trials were used in pre-training, without labels"
    seen = [] if record is None else [file.name for file in files if record.holds(file, labels=False)]
    if seen:
        more = f" and {len(seen) - 1} more" if len(seen) > 1 else ""
        return f"transductive: {seen[0]}{more} was used in full in pre-training, without labels"
    return ""
