"""Initialises a channel projection by a shrinkage discriminant analysis.

A channel projection has more weights than a few trials can teach it step by step: gradients follow what
varies most, and that is not the emotion. So it trains in coordinates in which training windows scatter
alike within their classes, from the classes' means: those are the directions of a shrinkage LDA (Friedman
1989, "Regularized discriminant analysis"; shrinkage by Ledoit and Wolf 2004), mixed at random over its
outputs.

`Tokens` is what a classifier's training reads of its windows, with encoders that train or stay frozen;
`TrialClassifier` is what comes out: network, normalisation, and its predictions on trials.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from acquisition.types import MODALITIES
from models.baselines import ledoit_wolf, shrunk_covariance
from models.config import ModelConfig
from models.datasets.trials import Trial, WindowSet
from models.encoders.layers import ChannelWeights, MaskedBatchNorm, by_step
from models.level import Course, Evidence
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.training.evidence import Fused, follow
from models.training.scores import Predictions
from models.training.session_levels import SessionLevels, means_of
from models.training.trial_tensors import TrialTensors, cut_for
from models.window_batch import NetworkInput

_LEAST_SD = 0.02  # of the largest: what varies less is rounding, or a channel that was never there
_NOISE = 0.1  # share of the random weights that stays beside the means
#: Windows that are encoded at a time where nothing is learned from them.
ENCODE_BATCH = 64


class _Whitened(nn.Module):
    """The weights of a channel projection, as a matrix times what is trained: at first those weights."""

    matrix: Tensor  # (C * D, C * D)
    positions: Tensor  # (C,)

    def __init__(self, matrix: Tensor, positions: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.register_buffer("positions", positions)

    def forward(self, trained: Tensor) -> Tensor:
        part = trained[self.positions]
        return trained.index_copy(0, self.positions, (self.matrix @ part.flatten(0, 1)).view_as(part))


@contextmanager
def whitened(
    projection: ChannelWeights, matrix: Tensor, positions: Tensor, begin: tuple[Tensor, Tensor] | None
) -> Iterator[None]:
    """Train a projection in coordinates ``matrix``, from class means of samples and labels or its weights."""
    parametrize.register_parametrization(projection, "weight", _Whitened(matrix, positions))
    try:
        if begin is not None:
            _begin_at_means(projection, begin[0] @ matrix, begin[1], positions)
        else:
            trained = projection.get_parameter("parametrizations.weight.original").data
            trained[positions] = torch.linalg.solve(matrix, trained[positions].flatten(0, 1)).view(
                len(positions), -1, trained.shape[-1]
            )
        yield
    finally:
        parametrize.remove_parametrizations(projection, "weight")


@torch.no_grad()
def _begin_at_means(projection: nn.Module, white: Tensor, label: Tensor, positions: Tensor) -> None:
    """Set what trains to random mixtures of the classes' means of whitened samples (n, C * D)."""
    trained = projection.get_parameter("parametrizations.weight.original")
    means = torch.stack([white[label == each].mean(dim=0) for each in label.unique()]) - white.mean(dim=0)
    means = means / means.norm(dim=1).mean().clamp(min=1e-6)
    mixed = means.T @ torch.randn(len(means), trained.shape[-1])
    trained.mul_(_NOISE)
    trained.index_add_(0, positions, mixed.view(len(positions), -1, trained.shape[-1]))


def within_class_whitener(
    x: NDArray[np.float64], label: NDArray[np.int64], least_shrinkage: float = 0.1
) -> NDArray[np.float64]:
    """Return (d, d), which turns samples (n, d) into ones of unit covariance within their classes.

    The covariance is shrunk by Ledoit and Wolf's share, which overlapping windows make too small, and by no
    less than ``least_shrinkage``. Where classes have a sample each the total covariance serves, and identity
    where there is none.
    """
    total = x - x.mean(axis=0)
    scatter = x.copy()
    for each in np.unique(label):
        scatter[label == each] -= x[label == each].mean(axis=0)
    if scatter.std(axis=0).max() <= _LEAST_SD * total.std(axis=0).max():
        scatter = total  # a window a class: nothing is known of how they scatter
    sd = scatter.std(axis=0)
    if sd.max() == 0:
        return np.eye(x.shape[1])
    sd = np.maximum(sd, _LEAST_SD * sd.max())
    scaled = scatter / sd
    share = max(ledoit_wolf(scaled, x.shape[1])[0], least_shrinkage)
    covariance = shrunk_covariance(scaled, x.shape[1], share=share)
    # By torch, which keeps to the threads it was given; numpy's would crowd other processes' out.
    values, vectors = torch.linalg.eigh(torch.from_numpy(covariance))
    white = (vectors * values.clamp(min=1e-6).rsqrt()) @ vectors.T
    return white.numpy() / sd[:, None]


class Tokens:
    """Modality tokens (B, 4, d_model) and presence (B, 4) of windows by index."""

    def __init__(self, network: FusionNetwork, tensors: TrialTensors) -> None:
        self._network, self.tensors = network, tensors

    def __call__(self, at: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        inputs = self.tensors.batch(at)
        return self._network.modality_tokens(inputs), self._network.presence(inputs)

    @torch.no_grad()
    def fused(self, wanted: Tensor | None = None) -> Fused:
        """Return what the fusion makes of all windows, by all or some modalities (4,)."""
        parts = []
        for start in range(0, len(self.tensors), ENCODE_BATCH):
            tokens, present = self(np.arange(start, min(start + ENCODE_BATCH, len(self.tensors))))
            present = present if wanted is None else present & wanted
            parts.append((*self._network.fusion(tokens, present), present))
        return Fused(*map(torch.cat, zip(*parts, strict=True)))

    @torch.no_grad()
    def encoded(self, known: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the encoders' tokens (n, T, C, D) of all windows by modality, without left context.

        Those of some modalities may be ``known``.
        """
        network, found = self._network.eval(), dict(known or {})
        parts: dict[str, list[Tensor]] = {m: [] for m in network.config.modalities if m not in found}
        for inputs in _batches(self.tensors):
            for modality, part in parts.items():
                part.append(network.encode_channels(modality, inputs)[0])
        return found | {modality: torch.cat(part) for modality, part in parts.items()}


class EvenTokens(Tokens):
    """Tokens of zeros: where the network's answer has no weight its attention is even, whatever they are."""

    def __call__(self, at: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        d_model = self._network.config.network.fusion.d_model
        return torch.zeros(len(at), len(MODALITIES), d_model), self._network.presence(self.tensors.batch(at))


class FrozenTokens(Tokens):
    """Tokens with the encoders' part computed once; what comes after them trains."""

    def __init__(
        self, network: FusionNetwork, tensors: TrialTensors, known: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__(network, tensors)
        self._encoded = super().encoded(known)

    def __call__(self, at: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        network, inputs = self._network, self.tensors.batch(at)
        d_model = network.config.network.fusion.d_model
        tokens = [torch.zeros(len(at), d_model) for _ in MODALITIES]
        for modality, encoded in self._encoded.items():
            read = network.read_channels(modality, encoded[at], inputs)
            mask = network.time_mask(modality, inputs)
            tokens[MODALITIES.index(modality)] = network.tokens[modality](read, mask)[0]
        return torch.stack(tokens, dim=1), network.presence(inputs)

    def encoded(self, known: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        return self._encoded


@torch.no_grad()
def fit_norms(network: FusionNetwork, tensors: TrialTensors, n_batches: int | None = None) -> None:
    """Fit new encoders' batch normalisations, so that `Tokens.encoded` gives what will train."""
    network.train()
    norms = [module for module in network.modules() if isinstance(module, MaskedBatchNorm)]
    usual = [norm.momentum for norm in norms]
    for number, inputs in enumerate(islice(_batches(tensors), n_batches), start=1):
        for norm in norms:
            norm.momentum = 1 / number  # the mean over all batches
        for modality in network.config.modalities:
            network.encode_channels(modality, inputs)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def fit_center(
    network: FusionNetwork, modality: str, encoded: Tensor, tensors: TrialTensors
) -> tuple[Tensor, Tensor, Tensor]:
    """Centre a new projection; return window means (n, C * D), labels (n,) and channels' places (C,)."""
    projection, inputs = projection_of(network, modality), tensors.batch(slice(None))
    places, columns, steps = network.channels_of(modality, inputs)
    mean, there = _mean_tokens(encoded, columns, steps)
    projection.known.zero_()
    projection.known[places] = there
    projection.center[places] = mean
    seen = projection.inputs(encoded, columns, places) * steps[..., None]
    n_steps = steps.sum(dim=1, keepdim=True)
    has = n_steps[:, 0] > 0
    return (seen.sum(dim=1) / n_steps.clamp(min=1))[has], tensors.label[has], places


@torch.no_grad()
def move_center(network: FusionNetwork, modality: str, encoded: Tensor, tensors: TrialTensors) -> None:
    """Centre a projection on its trained encoder's output; with all channels its output is unchanged."""
    projection = projection_of(network, modality)
    places, columns, steps = network.channels_of(modality, tensors.batch(slice(None)))
    mean, there = _mean_tokens(encoded, columns, steps)
    by = torch.where((there & projection.known[places])[:, None], mean - projection.center[places], 0.0)
    projection.center[places] += by
    projection.bias.add_(by.flatten() @ projection.weight[places].flatten(0, 1))


def projection_of(network: FusionNetwork, modality: str) -> ChannelWeights:
    """Return a modality's channel projection, which fine-tuning has made `ChannelWeights`."""
    projection = getattr(network, f"{modality}_pool")
    assert isinstance(projection, ChannelWeights)
    return projection


def _mean_tokens(encoded: Tensor, columns: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean token (C, D) over all windows and steps, and which channels were ever there (C,)."""
    valid = (by_step(columns) & steps[..., None])[..., None]  # (n, T, C, 1)
    n = valid.sum(dim=(0, 1))
    return encoded.masked_fill(~valid, 0.0).sum(dim=(0, 1)) / n.clamp(min=1), n[:, 0] > 0


def _batches(tensors: TrialTensors) -> Iterator[NetworkInput]:
    for start in range(0, len(tensors), ENCODE_BATCH):
        yield tensors.batch(slice(start, start + ENCODE_BATCH))


def trained_modules(network: FusionNetwork, modalities: Sequence[str], *, encoders: bool) -> list[nn.Module]:
    """Return what fine-tuning trains, with or without the encoders."""
    modules: list[nn.Module] = [network.fusion]
    for modality in modalities:
        modules += [network.tokens[modality], network.heads[modality], getattr(network, f"{modality}_pool")]
        modules += [getattr(network, modality)] if encoders else []
    return modules


@dataclass(frozen=True, eq=False)
class Heard:
    """Windows of some trials as a classifier reads them, encoded once for any of their modalities."""

    classifier: "TrialClassifier"
    windows: WindowSet
    ch_names: Sequence[str]
    means: Mapping[str, Tensor] | None  # (n, F) by modality: the windows' levels
    course: Course | None  # of a classifier with evidence
    tokens: Tokens
    evidence: Tensor | None  # (n, 4, n_labels)

    def predict(self, modalities: Sequence[str] | None = None) -> Predictions:
        """Return the probabilities of the windows by all modalities, or by some: others are masked."""
        wanted = torch.tensor([modalities is None or m in modalities for m in MODALITIES])
        fused, about = self.tokens.fused(wanted), self.classifier.config.evidence
        logits = fused.logits
        if self.evidence is not None and about is not None:
            logits = fused.with_evidence(self.evidence, about)
        return predictions_of(logits, self.windows)

    def hiding(self, share: float, *, seed: int = 1, same_channels: bool = False) -> Self:
        """Return the windows with a ``share`` of the EEG channels hidden in each.

        Others in each, so a trial's mean has seen nearly all, or the same (``same_channels``) in all.
        """
        of = self.classifier
        tensors = TrialTensors(
            self.windows, self.ch_names, of.config, of.normaliser,
            mask=share, seed=seed, same_channels=same_channels, means=self.means,
        )  # fmt: skip
        evidence = self.evidence
        if self.course is not None and of.evidence is not None:
            hidden = tensors.hidden.repeat_interleave(len(of.config.features.bands), dim=1).numpy()
            if (tangent := of.evidence.discriminant.tangent) is not None:  # its features are of all channels
                one = np.repeat(hidden.any(axis=1, keepdims=True), len(tangent.axes), axis=1)
                hidden = np.concatenate([hidden, one], axis=1)
            evidence = self.course.without(hidden, of.evidence)
        known = {m: t for m, t in self.tokens.encoded().items() if m == "eye"} if of.needs_tokens else None
        return replace(self, tokens=of.tokens_of(tensors, known), evidence=evidence)


def predictions_of(logits: Tensor, windows: WindowSet) -> Predictions:
    """Return the softmax of logits (n, n_labels) of windows."""
    return Predictions.of(torch.softmax(logits, dim=-1).double().numpy(), windows)


@dataclass(frozen=True, eq=False)
class TrialClassifier:
    """A network that reads EEG and eye features of trials, and the statistics they are scaled by."""

    config: ModelConfig
    network: FusionNetwork  # on the CPU, prepared for inference
    normaliser: Normaliser
    levels: SessionLevels | None = field(default=None, kw_only=True)  # where its config has `own_level`
    evidence: Evidence | None = field(default=None, kw_only=True)  # of a config with `evidence`

    @property
    def needs_tokens(self) -> bool:
        """Whether the network gives a part of the answer."""
        return self.config.evidence is None or self.config.evidence.network_weight != 0

    def tokens_of(self, tensors: TrialTensors, known: Mapping[str, Tensor] | None = None) -> Tokens:
        """Return what the fusion reads of windows, of which tokens of some modalities may be ``known``."""
        if not self.needs_tokens:
            return EvenTokens(self.network, tensors)
        return FrozenTokens(self.network, tensors, known)

    def predict(
        self, trials: Sequence[Trial], modalities: Sequence[str] | None = None, **how: int | None
    ) -> Predictions:
        """Return the probabilities of all windows of some trials: see `hear` and `Heard.predict`."""
        return self.hear(trials, **how).predict(modalities)

    def hear(self, trials: Sequence[Trial], *, max_per_trial: int | None = None) -> Heard:
        """Return the windows of some trials, encoded.

        With `own_level` a session's level is that of its training trials; where it has none it runs as it
        does live, or without evidence is that of the trials up to each one.
        """
        windows = cut_for(self.config, trials, max_per_trial=max_per_trial)
        means = course = None
        if self.evidence is not None:
            course = follow(trials, self.evidence, self.config, windows, self.levels)
            means = course.levels
        elif self.config.own_level:
            levels = self.levels or SessionLevels.unknown(self.config, self.normaliser)
            means = means_of(levels.levels(trials), windows)
        ch_names = trials[0].ch_names
        tensors = TrialTensors(windows, ch_names, self.config, self.normaliser, means=means)
        scores = None if course is None else course.evidence
        return Heard(self, windows, ch_names, means, course, self.tokens_of(tensors), scores)
