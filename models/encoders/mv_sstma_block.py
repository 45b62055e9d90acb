"""Batch normalisation that counts only what is really there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import MvSstmaConfig
from models.encoders.mv_sstma_attention import channel_attention, padded_attention


class MaskedBatchNorm(nn.Module):
    """`torch.nn.BatchNorm1d` whose statistics leave out masked positions.

    Channel dropout, absent electrodes and padding would otherwise pull mean and variance towards zero
    by an amount that differs between training and use.

    Attributes
    ----------
    total : callable, optional
        Sums a tensor over the processes of a data-parallel training, with gradient, so that statistics are
        those of the whole batch: `models.training.pretrain_loop.World.total`.
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


_LOG2_E = 1.4426950408889634
_LARGEST_SCORE = 100.0  # 2**100 times any number of channels is still a float32, and 2**-100 is nothing


def causal_windows(
    x: Tensor, length: int, past: Tensor | None = None, unbroken: Tensor | None = None
) -> Tensor:
    """Return for every step the ``length`` steps up to it.

    Parameters
    ----------
    x : Tensor (B, T, C, D)
    length : int
        The longest kernel.
    past : Tensor (B, length - 1, D, C), optional
        What came before the first step, replaced in place by what comes before the step after the last;
        zeros without it.
    unbroken : Tensor (B, T, length), optional
        0 where a step of a window lies before a gap, else 1; float.

    Returns
    -------
    Tensor (B * T, length * D, C)
        Oldest step first. For B = 1 it is an overlapping view: nothing is copied.
    """
    turned = x.transpose(2, 3)  # (B, T, D, C)
    before = (0, 0, 0, 0, length - 1, 0)
    padded = F.pad(turned, before) if past is None else torch.cat([past, turned], dim=1)
    if past is not None:
        past.copy_(padded[:, x.shape[1] :])
    windows = padded.unfold(1, length, 1).permute(0, 1, 4, 2, 3)  # (B, T, length, D, C)
    if unbroken is not None:
        windows = windows * unbroken[..., None, None]
    n_batch, n_steps, _, dim, n_channels = windows.shape
    return windows.reshape(n_batch * n_steps, length * dim, n_channels)


class _Folded(NamedTuple):
    """A block's weights as inference uses them."""

    conv: Tensor  # (branches * D, longest * D), short kernels zero-padded in the past
    qkv: Tensor  # (branches, heads * 3 * width, D), batch norm included
    bias: Tensor  # (branches, heads * 3 * width, 1)
    out: Tensor  # (branches * heads * width, D)


def _attend_in_training(
    packed: Tensor, key_bias: Tensor, query_weight: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Return context (N, width, C) with gradient and attention received (B, C) without."""
    if packed.is_cuda:
        context = padded_attention(packed, key_bias)
        if query_weight is None:
            return context, None
        with torch.no_grad():
            query, key, _ = packed.float().chunk(3, dim=1)
            scale = query.shape[1] ** -0.5
            scores = torch.baddbmm(key_bias, query.transpose(1, 2), key, alpha=scale)
            return context, _received(torch.softmax(scores, dim=-1), query_weight)
    if query_weight is None:
        return channel_attention(packed, key_bias)[0], None
    n_batch, n_steps, n_channels = query_weight.shape
    n_maps = len(packed) // (n_batch * n_steps)
    rows = query_weight[:, :, None].expand(-1, -1, n_maps, -1).reshape(-1, 1, n_channels)
    context, received = channel_attention(packed, key_bias, rows)
    return context, received.view(n_batch, -1, n_channels).sum(dim=1)


def _largest_product(query: Tensor, key: Tensor) -> float:
    """Return a bound of all products of (N, C, width) queries with (N, width, C) keys: Cauchy-Schwarz.

    By plain sums, because ``vector_norm`` over these strides takes longer than the attention itself.
    """
    of_query, of_key = query.square().sum(dim=2).amax(), key.square().sum(dim=1).amax()
    return float(of_query * of_key) ** 0.5


def _received(attention: Tensor, query_weight: Tensor) -> Tensor:
    """Return (B, C): what (N, C, C) attention gives each key, queries weighted with (B, T, C)."""
    n_batch, n_steps, n_channels = query_weight.shape
    n_maps = len(attention) // (n_batch * n_steps)
    rows = query_weight[:, :, None].expand(-1, -1, n_maps, -1).reshape(n_batch, 1, -1)  # (B, 1, T maps C)
    return torch.bmm(rows, attention.reshape(n_batch, -1, n_channels))[:, 0]


class MvSstmaBlock(nn.Module):
    """One hybrid block: causal convolutions in time, attention over channels, feed-forward."""

    def __init__(self, config: MvSstmaConfig) -> None:
        super().__init__()
        dim, heads, width = config.dim, config.n_heads, config.head_dim
        self.config = config
        self.n_branches = len(config.kernels)
        # Conv2d holds the kernels (and their initialisation); they are applied as one product.
        self.convs = nn.ModuleList(nn.Conv2d(dim, dim, (k, 1), bias=False) for k in config.kernels)
        self.norms = nn.ModuleList(MaskedBatchNorm(dim) for _ in config.kernels)
        n_attention = 1 if config.shared_attention else self.n_branches
        # Rows are ordered (head, query | key | value, width), so that a head's three lie together.
        self.qkv = nn.ModuleList(nn.Linear(dim, heads * 3 * width) for _ in range(n_attention))
        self.out = nn.ModuleList(nn.Linear(heads * width, dim, bias=False) for _ in range(n_attention))
        self.norm = nn.LayerNorm(dim)
        hidden = config.ffn_ratio * dim
        self.ffn = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, dim)
        )
        self.folded: _Folded | None = None

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        key_bias: Tensor,
        *,
        maps: tuple[Tensor, Tensor] | None = None,
        query_weight: Tensor | None = None,
        past: Tensor | None = None,
        unbroken: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Transform the tokens of a window; N = B * T * branches * heads.

        Parameters
        ----------
        x : Tensor (B, T, C, D)
        mask : Tensor (B, T, C, 1)
            1 where step and channel are valid, else 0; float.
        key_bias : Tensor (N, 1, C)
            0 for a visible channel, a large negative number for a hidden one.
        maps : two Tensors (N, C, C), optional
            Memory to work in, where no gradient is wanted.
        query_weight : Tensor (B, T, C), optional
            Weights of the queries in ``received``.
        past, unbroken : Tensor, optional
            See `causal_windows`.

        Returns
        -------
        tokens : Tensor (B, T, C, D)
        received : Tensor (B, C) or None
            Attention each channel receives, summed over steps, branches, heads and weighted queries,
            without gradient; None without ``query_weight``.
        """
        n_batch, n_steps, n_channels, dim = x.shape
        n_rows = n_batch * n_steps
        windows = causal_windows(x * mask, max(self.config.kernels), past, unbroken)
        packed = self._queries_keys_values(windows, mask)
        context, received = self._attend(packed, key_bias, maps, query_weight)
        context = context.reshape(n_rows, -1, n_channels).transpose(1, 2)  # (B T, C, branches heads width)
        # One product projects the heads and adds up the branches (eq. 4) and the residual.
        folded = self._usable_fold()
        out = self._out_weight() if folded is None else folded.out
        x = torch.baddbmm(x.reshape(n_rows, n_channels, dim), context, out.expand(n_rows, -1, -1))
        x = x + self.ffn(self.norm(x))
        return x.view(n_batch, n_steps, n_channels, dim), received

    def _attend(
        self,
        packed: Tensor,
        key_bias: Tensor,
        maps: tuple[Tensor, Tensor] | None,
        query_weight: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return context (N, width, C) and attention received (B, C) of queries, keys and values."""
        if torch.is_grad_enabled():
            return _attend_in_training(packed, key_bias, query_weight)
        query, key, value = packed.split(self.config.head_dim, dim=1)  # (N, width, C)
        attention = self._attention(query.transpose(1, 2), key, key_bias, maps)
        context = torch.bmm(value, attention.transpose(1, 2))
        return context, None if query_weight is None else _received(attention, query_weight)

    def _attention(
        self, query: Tensor, key: Tensor, key_bias: Tensor, maps: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Return the (N, C, C) attention of (N, C, width) queries on (N, width, C) keys."""
        scale = self.config.head_dim**-0.5
        if maps is None or scale * _LOG2_E * _largest_product(query, key) > _LARGEST_SCORE:
            return torch.softmax(torch.baddbmm(key_bias, query, key, alpha=scale), dim=-1)
        # A softmax to the base 2: exp2 takes a quarter of exp's time, and the limits stand in for the row's
        # maximum, which costs as much as all the rest. Only scores of hidden channels meet them here.
        scores, attention = maps
        torch.baddbmm(key_bias, query, key, alpha=scale * _LOG2_E, out=scores)
        torch.exp2(scores.clamp_(-_LARGEST_SCORE, _LARGEST_SCORE), out=attention)
        return attention.div_(attention.sum(dim=-1, keepdim=True))

    def _queries_keys_values(self, windows: Tensor, mask: Tensor) -> Tensor:
        """Return (N, 3 width, C) from windows (B T, length D, C)."""
        n_rows, _, n_channels = windows.shape
        folded = self._usable_fold()
        conv = self._conv_weight() if folded is None else folded.conv
        y = torch.bmm(conv.expand(n_rows, -1, -1), windows)  # (B T, branches D, C)
        if folded is None:
            valid = mask.reshape(n_rows, 1, n_channels)
            weight, bias = self._projection(y.view(n_rows, self.n_branches, -1, n_channels), valid)
        else:
            weight, bias = folded.qkv, folded.bias
        y = y.view(n_rows * self.n_branches, -1, n_channels)
        packed = torch.bmm(weight if n_rows == 1 else weight.repeat(n_rows, 1, 1), y)
        packed = packed.view(n_rows, self.n_branches, -1, n_channels).add_(bias)
        return packed.view(-1, 3 * self.config.head_dim, n_channels)

    def _projection(self, y: Tensor | None, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the projection to queries, keys and values with batch norm in it.

        Weights (branches, heads 3 width, D) and biases (branches, heads 3 width, 1), by the statistics of
        y (B T, branches, D, C) in training, else the running ones.
        """
        weights, biases = [], []
        for branch, norm in enumerate(self.norms):
            qkv = self.qkv[branch % len(self.qkv)]
            assert isinstance(norm, MaskedBatchNorm)
            assert isinstance(qkv, nn.Linear)
            if y is None or valid is None or not norm.training:
                scale, shift = norm.scale_and_shift()
            else:
                scale, shift = norm.batch_scale_and_shift(y[:, branch], valid)
            weights.append(qkv.weight * scale)
            biases.append(qkv.weight @ shift + qkv.bias)
        return torch.stack(weights), torch.stack(biases)[..., None]

    def _conv_weight(self) -> Tensor:
        longest = max(self.config.kernels)
        rows = []
        for conv, k in zip(self.convs, self.config.kernels, strict=True):
            assert isinstance(conv, nn.Conv2d)
            weight = conv.weight[..., 0].transpose(1, 2)  # (D out, k, D in)
            rows.append(F.pad(weight, (0, 0, longest - k, 0)).flatten(1))
        return torch.cat(rows)

    def _out_weight(self) -> Tensor:
        weights = [
            self.out[branch % len(self.out)].get_parameter("weight") for branch in range(self.n_branches)
        ]
        return torch.cat([weight.t() for weight in weights])

    @torch.no_grad()
    def fold(self) -> None:
        """Lay the weights out for inference; what changes a weight or moves it must call `unfold`."""
        weight, bias = self._projection(None, None)
        self.folded = _Folded(self._conv_weight(), weight, bias, self._out_weight())

    def unfold(self) -> None:
        """Forget the folded weights."""
        self.folded = None

    def _usable_fold(self) -> _Folded | None:
        return None if torch.is_grad_enabled() else self.folded
