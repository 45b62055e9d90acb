"""What replaces the base model's fusion in a profile, fitted to the modality tokens of a dozen trials.

Two heads, compared by `calibration.crossvalidation`:

- ``linear``: shrinkage LDA on each modality's own logits in the base model (of a base that is no classifier:
  on principal components of its tokens), as one linear map of the tokens.
- ``fusion``: the base model's fusion, trained on with the classification and the DCCA loss.

Ten trials say little and a trial's windows are nearly one observation. So both start from what the base model
knows of people, where it knows the classes: LDA adds to it, the fusion is pulled back to it (L2-SP, Li,
Grandvalet and Davoine 2018). Every class counts the same, every trial of a class counts the same.
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
from calibration.lda import LdaProblem, knows, trial_weights
from models.config import FusionConfig
from models.dcca import DCCA_WEIGHT, PAIRS_PER_DIMENSION, total_correlation
from models.fusion import FUSIONS
from models.network import FusionNetwork

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
        """Return weights (n,) that sum to 1: classes alike, and the trials of a class alike."""
        weights = trial_weights(self.trial)
        by_class = np.bincount(self.label, weights)
        weights = weights / by_class[self.label]
        return weights / weights.sum()


def linear_head(
    problem: LdaProblem, label: NDArray[np.int64], n_labels: int, config: FusionConfig
) -> nn.Module:
    """Return LDA's answer as a `models.fusions.linear.LinearFusion`: an absent modality adds nothing."""
    weight, bias = problem.solve(label, n_labels)
    head = FUSIONS["linear"](config, n_labels)
    values = {"mean": problem.mean, "sd": problem.sd, "weight": weight * problem.sd, "bias": bias}
    head.load_state_dict({name: torch.from_numpy(value).float() for name, value in values.items()})
    return head.eval()


def initial_fusion(base: FusionNetwork, classes: Sequence[str]) -> nn.Module:
    """Return a copy of the base model's fusion with the rows of its last layer that are the classes'.

    Of classes that the base model does not know all, the last layer is new and begins at 0.
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

    Where the last layer ``is_new`` it learns faster, and nothing pulls it back.

    The loss is cross-entropy + 0.1 DCCA + `L2_SP` times the squared distance from ``start``. The encoders and
    their tokens are frozen, so what DCCA aligns is what the fusion makes of EEG alone and of the eyes alone,
    in the windows that hold both; with too few of them it is left out.
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
    for _ in range(FUSION_STEPS):
        logits, _ = head(tokens, present)  # of all windows, and again of those that are aligned
        loss = (nn.functional.cross_entropy(logits[:n], label, reduction="none") * weights).sum()
        if aligned:
            loss = loss - DCCA_WEIGHT * _agreement(*logits[n:].chunk(2))
        pairs = zip(known, begun, strict=True)
        loss = loss + L2_SP * torch.stack([(now - then).square().sum() for now, then in pairs]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head


def _aligned(data: Labelled, n_labels: int) -> list[tuple[Tensor, Tensor]]:
    """Return tokens and presence with EEG alone, then with the eyes alone; nothing of too few windows."""
    columns = [MODALITIES.index(m) for m in ("eeg", "eye")]
    both = data.present[:, columns].all(dim=1)
    if int(both.sum()) < PAIRS_PER_DIMENSION * (n_labels - 1):
        return []
    tokens = data.tokens[both]
    alone = torch.eye(len(MODALITIES), dtype=torch.bool)[columns]
    return [(tokens, present.expand(len(tokens), -1)) for present in alone]


def _agreement(one: Tensor, two: Tensor) -> Tensor:
    """Return the mean canonical correlation of logits (n, n_labels), which say nothing by their sum."""
    correlation = total_correlation(one[:, 1:] - one[:, :1], two[:, 1:] - two[:, :1])
    return correlation.to(one.dtype) / (one.shape[1] - 1)
