"""Layers that encoders share: pooling by learned weights, and batch normalisation of what is really there."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

#: Score of what is hidden: far below any real score, finite where all are hidden.
HIDDEN = -1e9


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Return softmax over the True entries of ``mask``; exactly 0 elsewhere, all 0 where none is."""
    return torch.softmax(scores.masked_fill(~mask, HIDDEN), dim=dim) * mask


def by_step(channel_mask: Tensor) -> Tensor:
    """Return a channel mask (B, C) or (B, T, C) as (B, 1, C) or (B, T, C)."""
    return channel_mask if channel_mask.dim() == 3 else channel_mask[:, None]


class ChannelPool(nn.Module):
    """Pool the channels of each time step by learned scores, which see the channels' positions."""

    def __init__(self, dim: int, n_pools: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, n_pools))

    def forward(self, tokens: Tensor, channel_mask: Tensor, positions: Tensor) -> Tensor:
        """Return (B, T, n_pools * D) from (B, T, C, D) and a mask (B, C) or (B, T, C); needs no positions."""
        weights = masked_softmax(self.score(tokens), by_step(channel_mask)[..., None], dim=2)
        return torch.matmul(weights.transpose(2, 3), tokens).flatten(2)  # (B, T, pools, D) flattened


class ChannelWeights(nn.Module):
    """Read the channels of each time step by weights of their own: a linear layer over all of them.

    It keeps where on the scalp something was, which a mean over channels does not. An absent channel counts
    as its mean in training; what it would have added is made up for by those that are there, as in dropout.
    ``n_positions`` is how many channels the model knows.
    """

    center: Tensor  # (n_positions, D) mean token of each channel in training
    known: Tensor  # (n_positions,) bool: training had the channel; any other is taken for absent

    def __init__(self, dim: int, n_positions: int, width: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(n_positions, dim))
        self.register_buffer("known", torch.ones(n_positions, dtype=torch.bool))
        limit = (n_positions * dim) ** -0.5  # of a linear layer, as PyTorch begins it
        self.weight = nn.Parameter(torch.empty(n_positions, dim, width).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Tensor, channel_mask: Tensor, positions: Tensor) -> Tensor:
        """Return (B, T, width) from (B, T, C, D), a mask (B, C) or (B, T, C) and the positions (C,)."""
        inputs = self.inputs(tokens, channel_mask, positions)
        return inputs @ self.weight[positions].flatten(0, 1) + self.bias

    def inputs(self, tokens: Tensor, channel_mask: Tensor, positions: Tensor) -> Tensor:
        """Return (B, T, C * D), which the weights multiply: 0 for absent channels, the others scaled up."""
        there = by_step(channel_mask) & self.known[positions]
        n_present = there.sum(dim=-1, keepdim=True).clamp(min=1)  # (B, T or 1, 1)
        seen = (tokens - self.center[positions]).masked_fill(~there[..., None], 0.0).flatten(2)
        return seen * (self.known.sum() / n_present)


class TimePool(nn.Module):
    """Pool tokens over time; the weights are the modality's time attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled (B, D) and the weights (B, N) of tokens (B, N, D) and mask (B, N)."""
        weights = masked_softmax(self.score(tokens)[..., 0], mask)
        return torch.bmm(weights[:, None], tokens)[:, 0], weights


class MaskedBatchNorm(nn.Module):
    """`torch.nn.BatchNorm1d` whose statistics leave out masked positions.

    Channel dropout, absent electrodes and padding would otherwise pull mean and variance towards zero
    by an amount that differs between training and use. ``total`` sums a tensor over the processes of a
    data-parallel training, with gradient, so that statistics are those of the whole batch:
    `models.training.pretrain_loop.World.total`.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
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
