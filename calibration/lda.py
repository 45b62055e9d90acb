"""Shrinkage LDA on what a base model sees in each modality: the linear head of a profile.

Each modality's token is looked at along a few directions: those of its own head in the base model (of a base
that is no classifier, its principal components). There LDA is fitted, with the covariance shrunk as Ledoit
and Wolf (2004) have it. Where the base model knows the classes, LDA's scores are added to its own, with
little weight: ten trials say less than the many people it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from models.baselines.lda import ledoit_wolf
from models.config import ModelConfig
from models.network import FusionNetwork

#: Of the personal LDA's scores, beside the base model's own.
LDA_WEIGHT = 0.1
_N_COMPONENTS = 8  # a modality, of a base that is no classifier
_LEAST_SD = 1e-6
_NEVER = -1e4


def knows(config: ModelConfig, classes: Sequence[str]) -> bool:
    """Tell whether a base model tells these classes apart as it is."""
    return config.is_classifier and set(classes) <= set(config.labels)


def trial_weights(trial: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights (n,) that sum to 1, the same for every trial."""
    _, at, counts = np.unique(trial, return_inverse=True, return_counts=True)
    return 1.0 / (counts[at] * len(counts))


@dataclass(frozen=True, eq=False)
class Directions:
    """Where LDA looks in a modality's tokens, and what the base model makes of it.

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

    Parameters
    ----------
    tokens : Tensor, (n, 4, d_model)
    present : Tensor of bool, (n, 4)
    trial : ndarray, (n,)
    directions : Directions
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
        self._scale[self._scale < _LEAST_SD] = np.inf  # says nothing: no weight
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

        ``label`` is in the order of ascending trial numbers. A class that it lacks goes by the base model
        alone, or else is never the answer.
        """
        member = np.eye(n_labels)[label]  # (trials, n_labels)
        n_trials = member.sum(axis=0)
        means = member.T @ self._means / np.maximum(n_trials, 1)[:, None]
        deviations = self._rows - means[label][self._at]
        weights = np.sqrt(len(deviations) / np.bincount(self._at)[self._at] / len(self._numbers))
        deviations = deviations * weights[:, None]
        share, variance = ledoit_wolf(deviations, deviations.shape[1])
        covariance = (1 - share) * deviations.T @ deviations / len(deviations)
        covariance[np.diag_indices_from(covariance)] += share * variance
        maps = np.linalg.solve(covariance, means.T).T  # (n_labels, 4 k)
        bias = -0.5 * (maps * means).sum(axis=1)
        if self.directions.prior is None:
            bias[n_trials == 0] = _NEVER
        scores = maps.reshape(n_labels, len(MODALITIES), -1) / self._scale
        if self.directions.prior is not None:
            scores = LDA_WEIGHT * scores + self.directions.prior[:, None]
            bias = LDA_WEIGHT * bias
        return np.einsum("lmk,mkd->lmd", scores, self.directions.weight), bias
