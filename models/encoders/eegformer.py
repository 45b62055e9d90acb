"""EEGformer: raw EEG through convolutions per channel and three transformers to one token.

Wan et al. (2023), "EEGformer: A transformer-based brain activity classification method using EEG signal",
Front. Neurosci. 17:1148855: three depth-wise one-dimensional convolutions of kernel 10 in each channel, of
which the third makes 120 maps; then, one after the other, a regional transformer (tokens are channels), a
synchronous transformer (tokens are maps) and a temporal transformer (tokens are M averaged segments of time);
then a convolutional decoder that combines maps, channels and times in this order. Inferred here:

- ``n_maps``, the widths, layers and heads are options: at full width it is far too large for a few hundred
  windows. A head has its own width and is projected back, because widths need not divide;
- the third convolution is rectified, and its maps are averaged to ``n_slots`` times: a map then says how
  strong its rhythm was when, and not with which phase. Tokens enter the transformers as they are;
- layer normalisation comes before attention and feed-forward, which are residual; there is no class token,
  because a decoder follows. Places of channels, maps and segments are learned;
- a window may hold any of the channels that training knew: what belongs to a channel is picked by its index,
  masked channels are hidden as keys, and sums over channels are means over the visible ones;
- channels x maps numbers a segment (7440 at full width) are projected to ``temporal_dim`` for the temporal
  transformer and added back to every channel and map, so that the decoder finds what it combines;
- the decoder ends in the window's token instead of scores, normalised over the batch: without that, what all
  windows share drowns what differs (see `models.encoders.transformer`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import EegformerConfig
from models.encoders.layers import HIDDEN, MaskedBatchNorm


class EegformerEncoder(nn.Module):
    """Encoder of a few seconds of raw EEG from any subset of the ``n_positions`` channels of training."""

    def __init__(self, config: EegformerConfig, n_positions: int) -> None:
        super().__init__()
        self.config = config
        self.convolutions = ChannelConvolutions(config, n_positions)
        self.channel_places = nn.Parameter(0.02 * torch.randn(n_positions, config.n_slots))
        self.map_places = nn.Parameter(0.02 * torch.randn(config.n_maps, config.n_slots))
        self.regional = Transformer(config.n_slots, config)
        self.synchronous = Transformer(config.n_slots, config)
        self.temporal = TemporalTransformer(config, n_positions)
        self.decoder = CnnDecoder(config, n_positions)
        self.norm = MaskedBatchNorm(config.width)

    def forward(
        self, eeg: Tensor, positions: Tensor, step_mask: Tensor, channel_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the window's token and the attention that channels and segments of time receive.

        Normalised EEG (B, C, 1, n_times) may be anything, NaN included, where step_mask (B, 1) or
        channel_mask (B, C) is False; positions (C,) are indices into the channels of training.

        Returns
        -------
        token : Tensor (B, 1, width)
        by_channel : Tensor (B, C)
            Attention each channel receives in the regional transformer's last layer, mean over heads, maps
            and visible queries; sums to 1, or is 0 where nothing is valid.
        by_segment : Tensor (B, n_segments)
            The same of the temporal transformer's segments, oldest first. A slot's numbers mix with those of
            other times in the transformers before, so it says where in the window only roughly.
        """
        visible = step_mask & channel_mask  # (B, C)
        x = eeg[:, :, 0].masked_fill(~visible[..., None], 0.0)  # (B, C, L)
        x = self.convolutions(x, positions)  # (B, C, maps, slots)
        n_batch, n_channels, n_maps, _ = x.shape

        x = x.transpose(1, 2).flatten(0, 1) + self.channel_places[positions]  # (B maps, C, slots)
        keys = visible.repeat_interleave(n_maps, dim=0)  # (B maps, C)
        x, attention = self.regional(x, keys)  # attention (B maps, C queries, C keys)
        by_channel = _received(attention.unflatten(0, (n_batch, n_maps)).mean(dim=1), visible)

        x = x.unflatten(0, (n_batch, n_maps)).transpose(1, 2)  # (B, C, maps, slots)
        x, _ = self.synchronous(x.flatten(0, 1) + self.map_places)  # (B C, maps, slots)
        x = x.unflatten(0, (n_batch, n_channels))  # (B, C, maps, slots)

        x, attention = self.temporal(x, positions, visible)  # (B, C, maps, M), (B, M, M)
        token = self.decoder(x, positions, visible)  # (B, width)
        there = visible.any(dim=1)
        token = self.norm(token[..., None], there[:, None, None].to(token.dtype))  # (B, width, 1)
        return token.transpose(1, 2), by_channel, attention.mean(dim=1) * there[:, None]


class ChannelConvolutions(nn.Module):
    """Three convolutions over time inside each channel, each channel with filters of its own."""

    def __init__(self, config: EegformerConfig, n_positions: int) -> None:
        super().__init__()
        self.n_slots = config.n_slots
        scale = config.kernel**-0.5  # keeps the variance of white noise
        self.weights = nn.ParameterList(
            scale * torch.randn(n_positions, n_maps, config.kernel) for n_maps in (1, 1, config.n_maps)
        )
        self.bias = nn.Parameter(torch.zeros(n_positions, config.n_maps))

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return (B, C, maps, slots) from (B, C, L)."""
        n_channels = len(positions)
        for weight in self.weights:
            picked = weight[positions].flatten(0, 1)[:, None]  # (C maps, 1, kernel)
            x = F.conv1d(x, picked, groups=n_channels)  # (B, C maps, L - kernel + 1)
        x = F.relu(x + self.bias[positions].flatten()[:, None])
        return F.adaptive_avg_pool1d(x, self.n_slots).unflatten(1, (n_channels, -1))


class TemporalTransformer(nn.Module):
    """Attention among M averaged segments of time, added back to channels and maps."""

    def __init__(self, config: EegformerConfig, n_positions: int) -> None:
        super().__init__()
        shape = (n_positions, config.n_maps, config.temporal_dim)
        self.n_segments = config.n_segments
        self.project_in = nn.Parameter(config.n_maps**-0.5 * torch.randn(shape))
        self.project_out = nn.Parameter(config.temporal_dim**-0.5 * torch.randn(shape))
        self.places = nn.Parameter(0.02 * torch.randn(config.n_segments, config.temporal_dim))
        self.transformer = Transformer(config.temporal_dim, config)

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, C, maps, M) and attention (B, M, M) of (B, C, maps, slots), visible (B, C)."""
        x = F.adaptive_avg_pool1d(x.flatten(1, 2), self.n_segments).unflatten(1, x.shape[1:3])
        h = torch.einsum("bcfm,cfd->bmd", _shared(x, visible), self.project_in[positions])
        h, attention = self.transformer(h + self.places)  # (B, M, d)
        return x + torch.einsum("bmd,cfd->bcfm", h, self.project_out[positions]), attention


class CnnDecoder(nn.Module):
    """Combines maps, then channels, then times; a linear layer ends it."""

    def __init__(self, config: EegformerConfig, n_positions: int) -> None:
        super().__init__()
        n, kernel = config.n_filters, min(3, config.n_segments)
        self.maps = nn.Linear(config.n_maps, n)
        self.channels = nn.Parameter(n**-0.5 * torch.randn(n_positions, n, n))
        self.norm = nn.LayerNorm(n)
        self.times = nn.Conv1d(n, n, kernel)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(n * (config.n_segments - kernel + 1), config.width)

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """Return (B, width) from (B, C, maps, M) and visible (B, C)."""
        x = F.gelu(self.maps(x.transpose(2, 3)))  # (B, C, M, filters)
        x = torch.einsum("bcmf,cfg->bmg", _shared(x, visible), self.channels[positions])
        x = F.gelu(self.norm(x)).transpose(1, 2)  # (B, filters, M)
        x = F.gelu(self.times(x))  # (B, filters, M - kernel + 1)
        return self.out(self.dropout(x.flatten(1)))


class Transformer(nn.Module):
    """Layers of self-attention over tokens (N, tokens, width)."""

    def __init__(self, width: int, config: EegformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(width, config) for _ in range(config.n_layers))

    def forward(self, x: Tensor, keys: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the tokens and the last layer's attention (N, queries, keys), mean over its heads.

        ``keys`` (N, tokens) is True where a token may be attended to.
        """
        attention = x
        for layer in self.layers:
            x, attention = layer(x, keys)
        return x, attention


class TransformerLayer(nn.Module):
    """Multi-head self-attention and a feed-forward network, both residual and normalised before."""

    def __init__(self, width: int, config: EegformerConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        inner, hidden = config.n_heads * config.head_dim, config.ffn_ratio * width
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * inner)
        self.out = nn.Linear(inner, width)
        self.dropout = nn.Dropout(config.dropout)
        self.ffn = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, width),
        )

    def forward(self, x: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return tokens (N, tokens, width) and attention (N, queries, keys)."""
        packed = self.qkv(self.norm(x)).unflatten(-1, (3, self.n_heads, -1))
        query, key, value = packed.permute(2, 0, 3, 1, 4)  # (N, heads, tokens, head width) each
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        if keys is not None:
            scores = scores.masked_fill(~keys[:, None, None], HIDDEN)
        weights = torch.softmax(scores, dim=-1)
        x = x + self.dropout(self.out((weights @ value).transpose(1, 2).flatten(2)))
        return x + self.dropout(self.ffn(x)), weights.mean(dim=1)


def _shared(x: Tensor, visible: Tensor) -> Tensor:
    """Return (B, C, ...) divided so that a sum over channels is the mean over the visible ones."""
    share = visible.to(x.dtype) / visible.sum(dim=1, keepdim=True).clamp(min=1)
    return x * share[:, :, None, None]


def _received(attention: Tensor, visible: Tensor) -> Tensor:
    """Return (B, C) of maps (B, C queries, C keys): the mean over visible queries."""
    weight = visible.to(attention.dtype) / visible.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.bmm(weight[:, None], attention)[:, 0] * visible
