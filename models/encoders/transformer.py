"""Transformers for face and voice (Dosovitskiy et al. 2021; Gong et al. 2021): one body, two front ends.

Tensors have the names that `transformers` gives those of its ViT and AST, so published weights fit.

**Face** (`VitEncoder`): one token a frame. Trained from nothing on a few thousand frames, a plain ViT stays
at chance: all faces' tokens share a constant part that is far larger than what differs between them. Two
options change that.

- ``token_norm="batch"`` takes that part off by a batch normalisation without scale and shift of the pooled
  token, as He et al. (2022, "Masked autoencoders are scalable vision learners") do for linear probing.
- ``stem="conv"`` makes tokens by four 3 x 3 convolutions of stride 2 in place of the projection of 16 x 16
  patches (Xiao et al. 2021, "Early convolutions help transformers see better"). A crop's mean and contrast
  are taken off before, because light moves all tokens by more than any expression does.

**Voice** (`AstEncoder`): clips of any length, with padding that cannot be seen: the position table is cut to
the clip's length, and padded patches are hidden as attention keys.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acquisition.errors import ErrorCode, InputError
from models.config import AstConfig, VitConfig
from models.encoders.layers import HIDDEN

_STEM_CHANNELS = (16, 32, 64)  # of all convolutions but the last, which has the width
_STEM_STRIDE = 2 ** (len(_STEM_CHANNELS) + 1)
_NORM_EPS = 1e-12
_INITIAL_SD = 0.02


class _Attention(nn.Module):
    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        if width % n_heads:
            what = f"expected a width that {n_heads} heads divide, got {width}"
            raise InputError(what, where="face or voice encoder", code=ErrorCode.MODEL, setting="width")
        self.n_heads = n_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, key_bias: Tensor | None) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # (B, heads, N, D / heads)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        heads = F.scaled_dot_product_attention(q, k, v, key_bias)
        return self.o_proj(heads.transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    """Attention and feed-forward, each normalised before and added to what came in."""

    def __init__(self, config: VitConfig | AstConfig) -> None:
        super().__init__()
        self.attention = _Attention(config.width, config.n_heads)
        self.layernorm_before = nn.LayerNorm(config.width, _NORM_EPS)
        self.layernorm_after = nn.LayerNorm(config.width, _NORM_EPS)
        up, down = nn.Linear(config.width, config.ffn_dim), nn.Linear(config.ffn_dim, config.width)
        self.mlp = nn.Sequential(OrderedDict(fc1=up, gelu=nn.GELU(), fc2=down))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_bias: Tensor | None) -> Tensor:
        x = x + self.dropout(self.attention(self.layernorm_before(x), key_bias))
        return x + self.dropout(self.mlp(self.layernorm_after(x)))


class _Embeddings(nn.Module):
    """Summary tokens, and one token a patch; the position table is the caller's to cut."""

    def __init__(
        self, projection: nn.Module, n_patches: int, summaries: tuple[str, ...], config: VitConfig | AstConfig
    ) -> None:
        super().__init__()
        self.position_embeddings = nn.Parameter(torch.zeros(1, len(summaries) + n_patches, config.width))
        for name in summaries:
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 1, config.width)))
        self._summaries = summaries
        self.patch_embeddings = nn.Sequential(OrderedDict(projection=projection))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, picture: Tensor, positions: Tensor) -> Tensor:
        patches = self.patch_embeddings(picture).flatten(2).transpose(1, 2)  # (B, patches, D)
        summary = torch.cat([self.get_parameter(name) for name in self._summaries], dim=1)
        tokens = torch.cat([summary.expand(len(patches), -1, -1), patches], dim=1)
        return self.dropout(tokens + positions)


class Transformer(nn.Module):
    """Pictures (B, channels, H, W) -> tokens (B, n, D), summaries first; random until loaded."""

    def __init__(self, config: VitConfig | AstConfig, embeddings: _Embeddings) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.n_layers))
        self.layernorm = nn.LayerNorm(config.width, _NORM_EPS)
        for module in (*self.layers.modules(), *embeddings.patch_embeddings):
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.normal_(module.weight, std=_INITIAL_SD)
                nn.init.constant_(module.get_parameter("bias"), 0.0)

    def forward(self, picture: Tensor, positions: Tensor, key_bias: Tensor | None = None) -> Tensor:
        """Return the tokens; ``positions`` (1, n, D) are theirs, ``key_bias`` (B, 1, 1, n) adds to scores."""
        x = self.embeddings(picture, positions)
        for layer in self.layers:
            x = layer(x, key_bias)
        return self.layernorm(x)


class ConvStem(nn.Sequential):
    """Convolutions from pixels (N, 3, H, W) to a map of tokens (N, width, H / 16, W / 16)."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = [nn.GroupNorm(1, 3, affine=False)]  # a crop's light and contrast go
        n_in = 3
        for n_out in _STEM_CHANNELS:
            layers += [nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
            n_in = n_out
        super().__init__(*layers, nn.Conv2d(n_in, width, 3, 2, 1))


class VitEncoder(nn.Module):
    """One token a frame; raises `InputError` where a size or option cannot be."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        _check(config)
        self.config = config
        patch, width = config.patch_size, config.width
        stem = ConvStem(width) if config.stem == "conv" else nn.Conv2d(3, width, patch, patch)
        embeddings = _Embeddings(stem, (config.image_size // patch) ** 2, ("cls_token",), config)
        for tokens in embeddings.parameters(recurse=False):
            nn.init.trunc_normal_(tokens, std=_INITIAL_SD)
        self.model = Transformer(config, embeddings)
        self.norm = nn.BatchNorm1d(width, affine=False) if config.token_norm == "batch" else None

    def forward(self, frames: Tensor) -> Tensor:
        """Return one token (N, D) for each frame (N, 3, H, W), normalised to -1..1."""
        tokens = self.model(frames, self.model.embeddings.position_embeddings)  # (N, 1 + patches, D)
        token = tokens[:, 0] if self.config.pooling == "cls" else tokens[:, 1:].mean(dim=1)
        return token if self.norm is None else self.norm(token)


def _check(config: VitConfig) -> None:
    for name, allowed, found in (
        ("stem", ("patch", "conv"), config.stem),
        ("token_norm", ("none", "batch"), config.token_norm),
        ("patch_size", (_STEM_STRIDE,) if config.stem == "conv" else (config.patch_size,), config.patch_size),
    ):
        if found not in allowed:
            what = f"{name}: expected {' or '.join(map(str, allowed))}, got {found}"
            raise InputError(what, where="face encoder", code=ErrorCode.MODEL, setting=name)


class AstEncoder(nn.Module):
    """One token a time column of patches."""

    def __init__(self, config: AstConfig) -> None:
        super().__init__()
        self.config = config
        patch, strides = config.patch_size, (config.frequency_stride, config.time_stride)
        self._n_rows, self._longest = (
            (size - patch) // stride + 1
            for size, stride in zip((config.n_mels, config.max_frames), strides, strict=True)
        )
        projection = nn.Conv2d(1, config.width, patch, strides)
        summaries = ("cls_token", "distillation_token")
        embeddings = _Embeddings(projection, self._n_rows * self._longest, summaries, config)
        self.model = Transformer(config, embeddings)

    def forward(self, log_mel: Tensor, frame_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode clips (B, n_frames, n_mels), normalised as `ASTFeatureExtractor` does.

        What the mask (B, n_frames) hides may hold anything. Raises `InputError`: the clip is longer than the
        position table.

        Returns
        -------
        tokens : Tensor (B, M, D)
            One a time column of patches, the mean over its frequencies.
        mask : Tensor of bool (B, M)
            A column is valid if all its frames are.
        times : Tensor (M,)
            Middle of each column, seconds from the clip's start.
        """
        config = self.config
        if log_mel.shape[1] > config.max_frames:
            raise InputError(
                f"expected at most {config.max_frames * config.frame_s:.2f} s of voice,"
                f" got {log_mel.shape[1] * config.frame_s:.2f} s",
                where="voice encoder",
                remedy="shorten voice_s or train with a larger max_frames",
                code=ErrorCode.MODEL,
            )
        too_short = max(0, config.patch_size - log_mel.shape[1])
        log_mel, frame_mask = F.pad(log_mel, (0, 0, 0, too_short)), F.pad(frame_mask, (0, too_short))
        log_mel = log_mel.masked_fill(~frame_mask[..., None], 0.0)
        mask = frame_mask.unfold(1, config.patch_size, config.time_stride).all(dim=-1)  # (B, M)
        n_columns = mask.shape[1]
        keys = F.pad(mask.repeat(1, self._n_rows), (2, 0), value=True)  # the summary tokens are always there
        key_bias = torch.zeros_like(keys, dtype=log_mel.dtype).masked_fill(~keys, HIDDEN)[:, None, None]
        picture = log_mel.transpose(1, 2)[:, None]  # (B, 1, n_mels, n_frames)
        patches = self.model(picture, self._positions(n_columns), key_bias)[:, 2:]
        tokens = patches.unflatten(1, (self._n_rows, n_columns)).mean(dim=1)
        columns = torch.arange(n_columns, device=tokens.device)
        times = (columns * config.time_stride + config.patch_size / 2) * config.frame_s
        return tokens, mask, times

    def _positions(self, n_columns: int) -> Tensor:
        """Return those of so many columns (1, 2 + rows * columns, D), frequency-major as the patches are."""
        table = self.model.embeddings.position_embeddings  # (1, 2 + rows * longest, D)
        grid = table[:, 2:].unflatten(1, (self._n_rows, self._longest))[:, :, :n_columns]
        return torch.cat([table[:, :2], grid.flatten(1, 2)], dim=1)
