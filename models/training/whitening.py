"""Begins the training of a readout where a shrinkage discriminant analysis ends.

A readout has more weights than a few trials can teach it step by step: gradients follow what varies most, and
that is not the emotion. So it trains in coordinates in which training windows scatter alike within their
classes, from the classes' means: those are the directions of a shrinkage LDA (Friedman 1989, "Regularized
discriminant analysis"; shrinkage by Ledoit and Wolf 2004), mixed at random over its outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage, shrunk_covariance
from torch import Tensor, nn
from torch.nn.utils import parametrize

from models.encoders.pooling import ChannelWeights

_LEAST_SHRINKAGE = 0.1  # windows of a trial resemble each other: Ledoit and Wolf count too many samples
_LEAST_SD = 0.02  # of the largest: what varies less is rounding, or a channel that was never there
_NOISE = 0.1  # share of the random weights that stays beside the means


class _Whitened(nn.Module):
    """The weights of a readout, as a matrix times what is trained."""

    matrix: Tensor  # (C * D, C * D)
    positions: Tensor  # (C,)

    def __init__(self, matrix: Tensor, positions: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.register_buffer("positions", positions)

    def forward(self, trained: Tensor) -> Tensor:
        part = trained[self.positions]
        return trained.index_copy(0, self.positions, (self.matrix @ part.flatten(0, 1)).view_as(part))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Take the weights there are for what is trained: they are random still."""
        return weight


@contextmanager
def whitened(readout: ChannelWeights, inputs: Tensor, label: Tensor, positions: Tensor) -> Iterator[None]:
    """Train ``readout`` so within the ``with``; afterwards it has plain weights.

    Parameters
    ----------
    readout : ChannelWeights
        A new one: what it has learned would be lost.
    inputs : Tensor (n, C * D)
        What the readout multiplies, mean over a window's steps, of the training windows.
    label : Tensor of long (n,)
    positions : Tensor of long (C,)
    """
    matrix = torch.from_numpy(within_class_whitener(inputs.double().numpy(), label.numpy())).float()
    parametrize.register_parametrization(readout, "weight", _Whitened(matrix, positions))
    try:
        _begin_at_means(readout, inputs @ matrix, label, positions)
        yield
    finally:
        parametrize.remove_parametrizations(readout, "weight")


@torch.no_grad()
def _begin_at_means(readout: nn.Module, white: Tensor, label: Tensor, positions: Tensor) -> None:
    """Set what trains to random mixtures of the classes' means of whitened samples (n, C * D)."""
    trained = readout.get_parameter("parametrizations.weight.original")
    means = torch.stack([white[label == each].mean(dim=0) for each in label.unique()]) - white.mean(dim=0)
    means = means / means.norm(dim=1).mean().clamp(min=1e-6)
    mixed = means.T @ torch.randn(len(means), trained.shape[-1])
    trained.mul_(_NOISE)
    trained.index_add_(0, positions, mixed.view(len(positions), -1, trained.shape[-1]))


def within_class_whitener(x: NDArray[np.float64], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (d, d), which turns samples (n, d) into ones of unit covariance within their classes.

    Where classes have a sample each the total covariance serves, and identity where there is none.
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
    shrinkage = max(ledoit_wolf_shrinkage(scaled, assume_centered=True), _LEAST_SHRINKAGE)
    covariance = shrunk_covariance(scaled.T @ scaled / len(x), shrinkage)
    # By torch, which keeps to the threads it was given; numpy's would crowd other processes' out.
    values, vectors = torch.linalg.eigh(torch.from_numpy(covariance))
    white = (vectors * values.clamp(min=1e-6).rsqrt()) @ vectors.T
    return white.numpy() / sd[:, None]
