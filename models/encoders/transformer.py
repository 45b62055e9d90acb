"""Transformers for face and voice: one body of the library, two front ends.

**Face** (`VitEncoder`): one token a frame. Trained from nothing on a few thousand frames, a plain ViT stays
at chance: all faces' tokens share a constant part that is far larger than what differs between them. Two
options change that.

- ``token_norm="batch"`` takes that part off by a batch normalisation without scale and shift of the pooled
  token, as He et al. (2022, "Masked autoencoders are scalable vision learners") do for linear probing.
- ``stem="conv"`` makes tokens by four 3 x 3 convolutions of stride 2 in place of the projection of 16 x 16
  patches (Xiao et al. 2021, "Early convolutions help transformers see better"). A crop's mean and contrast
  are taken off before, because light moves all tokens by more than any expression does.

**Voice** (`AstEncoder`): clips of any length, with padding that cannot be seen. `transformers.ASTModel` takes
clips of one length and has no mask in the time domain. Its embeddings and layers are composed here: the
position table is cut to the clip's length, and padded patches are hidden as attention keys.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acquisition.errors import ErrorCode, InputError
from models.config import AstConfig, VitConfig
from models.encoders.layers import HIDDEN

_STEM_CHANNELS = (16, 32, 64)  # of all convolutions but the last, which has the width
_STEM_STRIDE = 2 ** (len(_STEM_CHANNELS) + 1)


class TransformerEncoder(nn.Module):
    """A transformer of `transformers`, random until loaded; ``sizes`` are further settings of its config."""

    config: VitConfig | AstConfig
    kind: ClassVar[str]  # of the library's classes: ViT, AST
    options: ClassVar[dict[str, Any]] = {}  # of the library's model

    def __init__(self, config: VitConfig | AstConfig, **sizes: int) -> None:
        super().__init__()
        self.config = config
        import transformers  # seconds to import: only where a network is built

        settings = getattr(transformers, f"{self.kind}Config")(
            hidden_size=config.width,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            intermediate_size=config.ffn_dim,
            patch_size=config.patch_size,
            hidden_dropout_prob=config.dropout,
            **sizes,
        )
        self.model = getattr(transformers, f"{self.kind}Model")(settings, **self.options)


class ConvStem(nn.Sequential):
    """Convolutions from pixels (N, 3, H, W) to a map of tokens (N, width, H / 16, W / 16)."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = [nn.GroupNorm(1, 3, affine=False)]  # a crop's light and contrast go
        n_in = 3
        for n_out in _STEM_CHANNELS:
            layers += [nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
            n_in = n_out
        super().__init__(*layers, nn.Conv2d(n_in, width, 3, 2, 1))

    @property
    def weight(self) -> Tensor:
        """Weights of the last convolution: `transformers` reads their type before it calls."""
        return self[-1].get_parameter("weight")


class VitEncoder(TransformerEncoder):
    """One token a frame; raises `InputError` where a size or option cannot be."""

    config: VitConfig
    kind = "ViT"
    options: ClassVar[dict[str, Any]] = {"add_pooling_layer": False}

    def __init__(self, config: VitConfig) -> None:
        _check(config)
        super().__init__(config, image_size=config.image_size)
        if config.stem == "conv":
            self.model.embeddings.patch_embeddings.add_module("projection", ConvStem(config.width))
        self.norm = nn.BatchNorm1d(config.width, affine=False) if config.token_norm == "batch" else None

    def forward(self, frames: Tensor) -> Tensor:
        """Return one token (N, D) for each frame (N, 3, H, W), normalised to -1..1."""
        tokens = self.model(pixel_values=frames).last_hidden_state  # (N, 1 + patches, D)
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


class AstEncoder(TransformerEncoder):
    """One token a time column of patches."""

    config: AstConfig
    kind = "AST"

    def __init__(self, config: AstConfig) -> None:
        super().__init__(
            config,
            time_stride=config.time_stride,
            frequency_stride=config.frequency_stride,
            num_mel_bins=config.n_mels,
            max_length=config.max_frames,
        )

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
        hidden, n_rows = self._embed(log_mel)
        n_batch, n_columns = mask.shape
        keys = F.pad(mask.repeat(1, n_rows), (2, 0), value=True)  # the two summary tokens are always there
        key_bias = torch.zeros_like(keys, dtype=hidden.dtype).masked_fill(~keys, HIDDEN)[:, None, None]
        for layer in self.model.layers:
            hidden = layer(hidden, key_bias)
        patches = self.model.layernorm(hidden)[:, 2:]
        tokens = patches.view(n_batch, n_rows, n_columns, -1).mean(dim=1)
        columns = torch.arange(n_columns, device=tokens.device)
        times = (columns * config.time_stride + config.patch_size / 2) * config.frame_s
        return tokens, mask, times

    def _embed(self, log_mel: Tensor) -> tuple[Tensor, int]:
        """Return (B, 2 + rows * columns, D), frequency-major, and the number of frequency rows."""
        embeddings = self.model.embeddings
        patches = embeddings.patch_embeddings(log_mel)  # (B, rows * columns, D)
        n_rows, longest = embeddings.get_shape(self.model.config)
        n_columns = patches.shape[1] // n_rows
        table = embeddings.position_embeddings  # (1, 2 + rows * longest, D)
        grid = table[:, 2:].unflatten(1, (n_rows, longest))[:, :, :n_columns].flatten(1, 2)
        summary = torch.cat([embeddings.cls_token, embeddings.distillation_token], dim=1) + table[:, :2]
        hidden = torch.cat([summary.expand(len(patches), -1, -1), patches + grid], dim=1)
        return embeddings.dropout(hidden), n_rows
