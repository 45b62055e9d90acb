"""Batch normalisation that counts only what is really there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class MaskedBatchNorm(nn.Module):
    """`torch.nn.BatchNorm1d` whose statistics leave out masked positions.

    Channel dropout, absent electrodes and padding would otherwise pull mean and variance towards zero
    by an amount that differs between training and use.

    Attributes
    ----------
    total : callable, optional
        Sums a tensor over the processes of a data-parallel training, with gradient, so that statistics are
        those of the whole batch: `models.training.distributed.World.total`.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.total: Callable[[Tensor], Tensor] | None = None
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Normalise (N, D, C) over N and C; ``valid`` (N, 1, C) is 1 where a position counts."""
        if self.training:
            scale, shift = self.batch_scale_and_shift(x, valid)
        else:
            scale, shift = self.scale_and_shift()
        return x * scale[:, None] + shift[:, None]

    def batch_scale_and_shift(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (D,) factors of the affine map that this layer is for a batch, and keep its statistics.

        A linear layer that comes next may take them into its weights. Arguments are those of `forward`.
        """
        return self._affine(*self._batch_statistics(x, valid))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """Return the (D,) factors of the affine map that this layer is at inference."""
        return self._affine(self.running_mean, self.running_var)

    def _affine(self, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.weight * torch.rsqrt(var + self.eps)
        return scale, self.bias - mean * scale

    def _batch_statistics(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        sums = torch.cat([(x * valid).sum(dim=(0, 2)), valid.sum().reshape(1)])
        if self.total is not None:
            sums = self.total(sums)
        count = sums[-1].clamp(min=1.0)
        mean = sums[:-1] / count
        squares = ((x - mean[:, None]).square() * valid).sum(dim=(0, 2))
        var = (squares if self.total is None else self.total(squares)) / count
        with torch.no_grad():
            unbiased = var * (count / (count - 1.0).clamp(min=1.0))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        return mean, var
