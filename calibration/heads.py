"""What replaces the base model's fusion in a profile, fitted to the modality tokens of a dozen trials.

Two heads, compared by `calibration.crossvalidation`:

- ``linear``: shrinkage LDA on each modality's own logits in the base model (if that is not a classifier: on
  principal components of its tokens), as one linear map of the tokens.
- ``fusion``: the base model's fusion, fine-tuned with the classification and the DCCA loss.

Ten trials say little, and a trial's windows are nearly one observation. So both start from what the base
model learned across subjects, if it knows the classes: LDA adds to it, the fusion is pulled back to it
(L2-SP, Li, Grandvalet and Davoine 2018). Every class counts the same, and so does every trial of a class.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acquisition.types import MODALITIES
from models.baselines import shrunk_covariance
from models.config import FusionConfig, ModelConfig
from models.dcca import DCCA_WEIGHT, PAIRS_PER_DIMENSION, total_correlation
from models.fusion import FUSIONS
from models.network import FusionNetwork
from models.training.loop import train_steps

#: Steps of the fusion's training, over all windows at once.
FUSION_STEPS = 10
LEARNING_RATE = 2e-3
NEW_LAYER_RATE = 2e-2
#: Weight of the squared distance from the base model's weights.
L2_SP = 3.0


@dataclass(frozen=True, eq=False)
class Labelled:
    """Windows with their labels, from which a head learns."""

    tokens: Tensor  # (n, 4, d_model) float32
    present: Tensor  # (n, 4) bool
    trial: NDArray[np.int64]  # (n,) number of the trial
    label: NDArray[np.int64]  # (n,) 0 to n_labels - 1

    def of(self, keep: NDArray[np.bool_]) -> Labelled:
        """Return the windows at ``keep`` (n,)."""
        at = torch.from_numpy(np.flatnonzero(keep))
        return Labelled(self.tokens[at], self.present[at], self.trial[keep], self.label[keep])

    def only(self, modalities: Sequence[str]) -> Labelled:
        """Return the same windows with the other modalities absent."""
        allowed = torch.tensor([m in modalities for m in MODALITIES])
        return Labelled(self.tokens, self.present & allowed, self.trial, self.label)

    def weights(self) -> NDArray[np.float64]:
        """Return weights (n,) that sum to 1, equal over classes and over the trials of a class."""
        weights = trial_weights(self.trial)
        by_class = np.bincount(self.label, weights)
        weights = weights / by_class[self.label]
        return weights / weights.sum()


def linear_head(
    problem: LdaProblem, label: NDArray[np.int64], n_labels: int, config: FusionConfig
) -> nn.Module:
    """Return LDA's solution as a `models.fusion.LinearFusion`, to which a missing modality adds nothing."""
    weight, bias = problem.solve(label, n_labels)
    head = FUSIONS["linear"](config, n_labels)
    values = {"mean": problem.mean, "sd": problem.sd, "weight": weight * problem.sd, "bias": bias}
    head.load_state_dict({name: torch.from_numpy(value).float() for name, value in values.items()})
    return head.eval()


def initial_fusion(base: FusionNetwork, classes: Sequence[str]) -> nn.Module:
    """Return a copy of the base model's fusion with the classes' rows of its last layer.

    If the base model does not know all classes, the last layer is new and starts at 0.
    """
    config, labels = base.config, base.config.labels
    head = FUSIONS[config.network.fusion.variant](config.network.fusion, len(classes))
    state = {name: value.clone() for name, value in base.fusion.state_dict().items()}
    weight, bias = (name for name, _ in list(base.fusion.named_parameters())[-2:])  # the last layer
    for name in (weight, bias):
        if knows(config, classes):
            state[name] = state[name][[labels.index(label) for label in classes]]
        else:
            state[name] = state[name].new_zeros(len(classes), *state[name].shape[1:])
    head.load_state_dict(state)
    return head.eval()


def fit_fusion(start: nn.Module, data: Labelled, *, is_new: bool = False) -> nn.Module:
    """Return a copy of a fusion trained on the windows, all at once, for a fixed number of steps.

    A last layer that ``is_new`` learns faster, and nothing pulls it back. The loss is cross-entropy +
    0.1 DCCA + `L2_SP` times the squared distance from ``start``. The encoders and their tokens are frozen, so
    DCCA aligns what the fusion makes of EEG alone and of the eyes alone, in the windows that hold both; with
    too few of them it is omitted.
    """
    head = copy.deepcopy(start).eval()  # no dropout: a few full batches, the same every time
    label = torch.from_numpy(data.label)
    weights = torch.from_numpy(data.weights()).float()
    known = list(head.parameters())
    n, n_labels = len(label), len(known[-1])
    new: list[nn.Parameter] = []
    if is_new:
        known, new = known[:-2], known[-2:]  # weight and bias
    begun = [parameter.detach().clone() for parameter in known]
    groups: list[dict[str, Any]] = [{"params": known}, {"params": new, "lr": NEW_LAYER_RATE}]
    optimiser = torch.optim.Adam(groups, LEARNING_RATE)
    aligned = _aligned(data, n_labels)
    rows = [(data.tokens, data.present), *aligned]
    tokens, present = (torch.cat(parts) for parts in zip(*rows, strict=True))

    def penalised_loss(step: int) -> Tensor:
        logits, _ = head(tokens, present)  # of all windows, and again of those that are aligned
        loss = (nn.functional.cross_entropy(logits[:n], label, reduction="none") * weights).sum()
        if aligned:
            loss = loss - DCCA_WEIGHT * _agreement(*logits[n:].chunk(2))
        pairs = zip(known, begun, strict=True)
        return loss + L2_SP * torch.stack([(now - then).square().sum() for now, then in pairs]).sum()

    for _ in train_steps(optimiser, range(FUSION_STEPS), penalised_loss):
        pass
    return head


def _aligned(data: Labelled, n_labels: int) -> list[tuple[Tensor, Tensor]]:
    """Return tokens and presence with EEG alone, then with the eyes alone; nothing for too few windows."""
    columns = [MODALITIES.index(m) for m in ("eeg", "eye")]
    both = data.present[:, columns].all(dim=1)
    if int(both.sum()) < PAIRS_PER_DIMENSION * (n_labels - 1):
        return []
    tokens = data.tokens[both]
    alone = torch.eye(len(MODALITIES), dtype=torch.bool)[columns]
    return [(tokens, present.expand(len(tokens), -1)) for present in alone]


def _agreement(one: Tensor, two: Tensor) -> Tensor:
    """Return the mean canonical correlation of logits (n, n_labels); their sum carries no information."""
    correlation = total_correlation(one[:, 1:] - one[:, :1], two[:, 1:] - two[:, :1])
    return correlation.to(one.dtype) / (one.shape[1] - 1)


#: Of the personal LDA's scores, beside the base model's own.
LDA_WEIGHT = 0.1
_N_COMPONENTS = 8  # a modality, of a base that is no classifier
_LEAST_SD = 1e-6
_NEVER = -1e4


def knows(config: ModelConfig, classes: Sequence[str]) -> bool:
    """Tell whether a base model can already predict these classes."""
    return config.is_classifier and set(classes) <= set(config.labels)


def trial_weights(trial: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights (n,) that sum to 1, the same for every trial."""
    _, at, counts = np.unique(trial, return_inverse=True, return_counts=True)
    return 1.0 / (counts[at] * len(counts))


@dataclass(frozen=True, eq=False)
class Directions:
    """The directions in a modality's tokens that LDA uses, and the base model's scores along them.

    Attributes
    ----------
    weight : ndarray, (4, k, d_model)
        k directions of each modality.
    prior : ndarray, (n_labels, k) or None
        The base model's scores of the classes as a map of a modality's directions; None where it does not
        know the classes.
    """

    weight: NDArray[np.float64]
    prior: NDArray[np.float64] | None

    @classmethod
    def of(
        cls, network: FusionNetwork, classes: Sequence[str], tokens: Tensor, present: Tensor
    ) -> Directions:
        """Return the base model's heads, or the tokens' principal components if it is no classifier."""
        labels = network.config.labels
        if network.config.is_classifier:
            state = network.heads.state_dict()
            heads = [state[f"{m}.weight"].double().numpy() for m in MODALITIES]
            prior = None
            if knows(network.config, classes):
                prior = np.eye(len(labels))[[labels.index(name) for name in classes]]
            return cls(np.stack(heads), prior)
        return cls(np.stack([_components(tokens[p, m]) for m, p in enumerate(present.T)]), None)


def _components(tokens: Tensor) -> NDArray[np.float64]:
    """Return the first principal components (k, d_model) of tokens (n, d_model), with a fixed sign."""
    found = np.zeros((_N_COMPONENTS, tokens.shape[1]))
    if len(tokens) > 1:
        rows = tokens.double().numpy()
        axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:_N_COMPONENTS]
        largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
        found[: len(axes)] = axes * np.sign(largest)[:, None]
    return found


class LdaProblem:
    """Windows as LDA sees them. What does not depend on the labels is computed once: they may be shuffled.

    Tokens are (n, 4, d_model), presence (n, 4), numbers of trials (n,).
    """

    def __init__(
        self, tokens: Tensor, present: Tensor, trial: NDArray[np.int64], directions: Directions
    ) -> None:
        self.directions = directions
        there = present.numpy()[..., None]
        weights = trial_weights(trial)[:, None, None] * there
        share = np.maximum(weights.sum(axis=0), _LEAST_SD)  # (4, 1)
        values = tokens.double().numpy()
        self.mean = (weights * values).sum(axis=0) / share  # (4, d)
        self.sd = np.sqrt((weights * (values - self.mean) ** 2).sum(axis=0) / share)
        self.sd[self.sd < _LEAST_SD] = 1.0
        z = np.einsum("nmd,mkd->nmk", np.where(there, values - self.mean, 0.0), directions.weight)
        self._scale = np.sqrt(np.einsum("n,nmk->mk", trial_weights(trial), z**2))
        self._scale[self._scale < _LEAST_SD] = np.inf  # constant: no weight
        self._rows = (z / self._scale).reshape(len(z), -1)  # (n, 4 k)
        self._numbers = np.unique(trial)
        self._at = np.searchsorted(self._numbers, trial)
        counts = np.bincount(self._at)[:, None]
        self._means = (
            np.stack([np.bincount(self._at, column) for column in self._rows.T], axis=1) / counts
        )  # (trials, 4 k)

    def solve(
        self, label: NDArray[np.int64], n_labels: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weights (n_labels, 4, d_model) of centred tokens and biases, for a label by trial.

        ``label`` is in the order of ascending trial numbers. A class without a trial is scored by the base
        model alone; if the base model does not know it, it is never predicted.
        """
        member = np.eye(n_labels)[label]  # (trials, n_labels)
        n_trials = member.sum(axis=0)
        means = member.T @ self._means / np.maximum(n_trials, 1)[:, None]
        deviations = self._rows - means[label][self._at]
        weights = np.sqrt(len(deviations) / np.bincount(self._at)[self._at] / len(self._numbers))
        deviations = deviations * weights[:, None]
        covariance = shrunk_covariance(deviations, deviations.shape[1])
        maps = np.linalg.solve(covariance, means.T).T  # (n_labels, 4 k)
        bias = -0.5 * (maps * means).sum(axis=1)
        if self.directions.prior is None:
            bias[n_trials == 0] = _NEVER
        scores = maps.reshape(n_labels, len(MODALITIES), -1) / self._scale
        if self.directions.prior is not None:
            scores = LDA_WEIGHT * scores + self.directions.prior[:, None]
            bias = LDA_WEIGHT * bias
        return np.einsum("lmk,mkd->lmd", scores, self.directions.weight), bias
