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
from models.encoders.open_weights import (
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    copy_weights,
    fold_into,
    numbers,
    pinned,
    read_config,
    read_settings,
    refused,
    square,
)
from models.features.config import FeatureConfig
from models.features.log_mel import AUDIOSET_MEAN, AUDIOSET_SD

_STEM_CHANNELS = (16, 32, 64)  # of all convolutions but the last, which has the width
_STEM_STRIDE = 2 ** (len(_STEM_CHANNELS) + 1)

#: Gain and offset by input channel, from our features to those that open weights expect.
Scaling = tuple[list[float], list[float]]


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

    @staticmethod
    def scaling(source: str) -> Scaling:
        """Return what our features are multiplied by and what is added for open weights."""
        raise NotImplementedError

    def load_open_weights(self) -> None:
        """Load the weights that ``config.source`` names, and fold in the scale of features they expect."""
        source = self.config.source
        copy_weights(source, type(self.model), self.model, **self.options)
        fold_into(self.model.embeddings.patch_embeddings.projection, *self.scaling(source))


def _open_sizes(source: str, kind: str) -> tuple[Any, dict[str, Any]]:
    """Return an open model's settings, and the sizes that face and voice encoders share."""
    import transformers

    source = pinned(source)
    found = read_config(source, getattr(transformers, f"{kind}Config"))
    return found, {
        "width": found.hidden_size,
        "n_layers": found.num_hidden_layers,
        "n_heads": found.num_attention_heads,
        "ffn_dim": found.intermediate_size,
        "patch_size": square(found.patch_size, "patch_size", source),
        "dropout": float(found.hidden_dropout_prob),
        "source": source,
    }


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

    @staticmethod
    def scaling(source: str) -> Scaling:
        """Return gain and offset by colour from our pixels, -1 to 1, to those of the model's own."""
        settings = read_settings(source, PREPROCESSOR_FILE)
        mean, sd = (numbers(settings, name, 0.5, 3, source) for name in ("image_mean", "image_std"))
        (rescale,) = numbers(settings, "rescale_factor", 1 / 255, 1, source)
        if not settings.get("do_normalize", True):
            mean, sd = [0.0] * 3, [1.0] * 3
        if min(sd) <= 0:
            raise refused(f"expected more than 0, found {sd}", source, PREPROCESSOR_FILE, setting="image_std")
        half = 255 / 2 * (rescale if settings.get("do_rescale", True) else 1.0)  # their value of our 0
        return [half / s for s in sd], [(half - m) / s for m, s in zip(mean, sd, strict=True)]


def open_vit(source: str) -> VitConfig:
    """Return the sizes of an open ViT, read by its class token; ``source`` is pinned. Else `InputError`."""
    found, sizes = _open_sizes(source, "ViT")
    source, patch_size = sizes["source"], sizes["patch_size"]
    if found.num_channels != 3:
        raise refused(f"expected 3, found {found.num_channels}", source, CONFIG_FILE, setting="num_channels")
    image_size = square(found.image_size, "image_size", source)
    if patch_size > image_size:
        raise refused(
            f"expected at most {image_size}, found {patch_size}", source, CONFIG_FILE, setting="patch_size"
        )
    VitEncoder.scaling(source)  # refuses what makes no sense now, not after a folder of subjects is read
    return VitConfig(**sizes, image_size=image_size, pooling="cls")


def _check(config: VitConfig) -> None:
    for name, allowed, found in (
        ("stem", ("patch", "conv"), config.stem),
        ("token_norm", ("none", "batch"), config.token_norm),
        ("patch_size", (_STEM_STRIDE,) if config.stem == "conv" else (config.patch_size,), config.patch_size),
    ):
        if found not in allowed:
            raise refused(
                f"expected {' or '.join(map(str, allowed))}, got {found}", "face encoder", setting=name
            )


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

    @staticmethod
    def scaling(source: str) -> Scaling:
        """Return gain and offset from our log-mel frames to those of the model's own extractor.

        Ours are ``y = (x - AUDIOSET_MEAN) / (2 AUDIOSET_SD)``; with the extractor's own mean and SD, or with
        AudioSet's where it names none, its are ``(x - mean) / (2 SD)`` (Gong et al. 2021), which is
        ``y AUDIOSET_SD / SD + (AUDIOSET_MEAN - mean) / (2 SD)``; x itself where it does not normalise.
        """
        settings = read_settings(source, PREPROCESSOR_FILE)
        (mean,) = numbers(settings, "mean", AUDIOSET_MEAN, 1, source)
        (sd,) = numbers(settings, "std", AUDIOSET_SD, 1, source)
        if sd <= 0:
            raise refused(f"expected more than 0, found {sd}", source, PREPROCESSOR_FILE, setting="std")
        if not settings.get("do_normalize", True):
            return [2 * AUDIOSET_SD], [AUDIOSET_MEAN]
        return [AUDIOSET_SD / sd], [(AUDIOSET_MEAN - mean) / (2 * sd)]


def open_ast(source: str) -> AstConfig:
    """Return the sizes of an open AST, as `open_vit` does; its sound and frames must be those made here."""
    found, sizes = _open_sizes(source, "AST")
    source = sizes["source"]
    config = AstConfig(
        **sizes,
        time_stride=found.time_stride,
        frequency_stride=found.frequency_stride,
        n_mels=found.num_mel_bins,
        max_frames=found.max_length,
    )
    for name, size, least in (
        ("num_mel_bins", config.n_mels, config.patch_size),
        ("max_length", config.max_frames, config.patch_size),
        ("time_stride", config.time_stride, 1),
        ("frequency_stride", config.frequency_stride, 1),
    ):
        if size < least:
            raise refused(f"expected at least {least}, found {size}", source, CONFIG_FILE, setting=name)
    settings = read_settings(source, PREPROCESSOR_FILE)
    for name, wanted in (("sampling_rate", FeatureConfig().voice_sfreq), ("num_mel_bins", config.n_mels)):
        if settings.get(name, wanted) != wanted:
            raise refused(
                f"expected {wanted}, found {settings[name]}", source, PREPROCESSOR_FILE, setting=name
            )
    AstEncoder.scaling(source)  # refuses what makes no sense now, not after a folder of subjects is read
    return config
