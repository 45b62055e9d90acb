"""Correlation loss between modality tokens: deep canonical correlation analysis (Andrew et al. 2013).

The MMV-SSTMA paper trains with "the classification loss and the correlation loss of DCCA ... together";
`DCCA_WEIGHT` is the weight of the second. The total loss is CE + 0.1 · (-corr).

With n pairs of k-dimensional rows X, Y, centred, the covariances are S11 = XᵀX / (n - 1) + r₁ I, S22 alike
and S12 = XᵀY / (n - 1). The canonical correlations are the singular values of L1⁻¹ S12 L2⁻ᵀ with
Cholesky factors L.

What keeps it safe, none of it in the paper:

- Float64 throughout, whatever the tokens are.
- Whitening by Cholesky and ``svdvals``, whose gradient U Vᵀ knows no differences of eigenvalues: repeated
  ones give no NaN, as the usual two eigendecompositions do.
- Random rows look perfectly correlated when n is not much larger than k (of two independent normal ones the
  squared correlations have mean k / n). So the tokens are projected to few dimensions, and a batch with fewer
  than `PAIRS_PER_DIMENSION` pairs a dimension is skipped.
- The ridge r₁ is ``r`` times the mean variance, so no scale of the tokens can hide from it.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from acquisition.types import MODALITIES

#: Of the negative correlation, beside the cross-entropy.
DCCA_WEIGHT = 0.1
#: Pairs that a batch must have for each dimension compared.
PAIRS_PER_DIMENSION = 4
_MIN_VARIANCE = 1e-3  # below it the ridge no longer shrinks: rows that hardly differ have no correlation


def total_correlation(one: Tensor, two: Tensor, r: float = 1e-3) -> Tensor:
    """Return the sum of the canonical correlations of two batches, float64, between 0 and min(k1, k2).

    Row i of one (n, k1) belongs to row i of the other (n, k2); n > 1. The ridge ``r`` is a share of the mean
    variance; at least 1e-3 keeps the gradient tame.
    """
    one, two = one.double(), two.double()
    one, two = one - one.mean(dim=0), two - two.mean(dim=0)
    cross = one.T @ two / (len(one) - 1)  # (k1, k2)
    whitened = torch.linalg.solve_triangular(_factor(one, r), cross, upper=False)  # L1⁻¹ S12
    whitened = torch.linalg.solve_triangular(_factor(two, r), whitened.T, upper=False)  # its transpose
    return torch.linalg.svdvals(whitened).sum()


def _factor(centred: Tensor, r: float) -> Tensor:
    """Return the Cholesky factor (k, k) of the covariance with its ridge."""
    covariance = centred.T @ centred / (len(centred) - 1)
    ridge = r * covariance.diagonal().mean().clamp_min(_MIN_VARIANCE)
    return torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance)).to(covariance))


class DccaLoss(nn.Module):
    """The negative total correlation of every pair of modalities, on learned projections of their tokens.

    The projections of ``n_dims`` dimensions [inferred] are the last layer of DCCA's networks: train them with
    the rest, and leave them behind afterwards (they are no part of the model). ``r``: `total_correlation`.
    """

    def __init__(
        self, d_model: int, modalities: Sequence[str] = ("eeg", "eye"), n_dims: int = 8, r: float = 1e-3
    ) -> None:
        super().__init__()
        if len(modalities) < 2:
            raise ValueError(f"expected at least two modalities to correlate, got {list(modalities)}")
        self.modalities, self.r = tuple(modalities), r
        self.projections = nn.ModuleDict({m: nn.Linear(d_model, n_dims, bias=False) for m in modalities})
        self.min_pairs = PAIRS_PER_DIMENSION * n_dims  # a batch with fewer is skipped
        for weight in self.parameters():
            nn.init.orthogonal_(weight)

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return -corr, the mean over pairs of modalities, in the tokens' type; 0 if all are skipped.

        Tokens (B, 4, d_model) are those of `FusionNetwork.modality_tokens`; only windows in which both
        modalities of a pair are ``present``, bool (B, 4), count.
        """
        correlations = [
            correlation
            for one, two in combinations(self.modalities, 2)
            if (correlation := self._pair(tokens, present, one, two)) is not None
        ]
        if not correlations:
            return tokens.new_zeros(())
        return -torch.stack(correlations).mean().to(tokens.dtype)

    def _pair(self, tokens: Tensor, present: Tensor, one: str, two: str) -> Tensor | None:
        first, second = MODALITIES.index(one), MODALITIES.index(two)
        both = present[:, first] & present[:, second]
        if int(both.sum()) < self.min_pairs:
            return None
        with torch.autocast(tokens.device.type, enabled=False):  # bf16 would undo the float64
            return total_correlation(
                self.projections[one](tokens[both, first].float()),
                self.projections[two](tokens[both, second].float()),
                self.r,
            )
