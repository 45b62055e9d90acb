"""Vision transformer for the face: one token a frame.

Trained from nothing on a few thousand frames, a plain ViT stays at chance: all faces' tokens share a
constant part that is far larger than what differs between them. Two options change that.

- ``token_norm="batch"`` takes that part off by a batch normalisation without scale and shift of the pooled
  token, as He et al. (2022, "Masked autoencoders are scalable vision learners") do for linear probing.
- ``stem="conv"`` makes tokens by four 3 x 3 convolutions of stride 2 in place of the projection of 16 x 16
  patches (Xiao et al. 2021, "Early convolutions help transformers see better"). A crop's mean and contrast
  are taken off before, because light moves all tokens by more than any expression does.
"""

from __future__ import annotations

from torch import Tensor, nn

from acquisition.errors import InputError
from models.config import VitConfig
from models.encoders.open_weights import (
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    copy_weights,
    fold_into,
    numbers,
    pinned,
    read_config,
    read_settings,
    square,
)

_STEM_CHANNELS = (16, 32, 64)  # of all convolutions but the last, which has the width
_STEM_STRIDE = 2 ** (len(_STEM_CHANNELS) + 1)


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


class VitEncoder(nn.Module):
    """`transformers.ViTModel` of a given size, random until weights are loaded.

    Raises
    ------
    InputError
        An option has no such value, or the stem makes tokens of another size than the patches'.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        import transformers  # seconds to import: only where a network is built

        _check(config)
        self.config = config
        self.model = transformers.ViTModel(
            transformers.ViTConfig(
                hidden_size=config.width,
                num_hidden_layers=config.n_layers,
                num_attention_heads=config.n_heads,
                intermediate_size=config.ffn_dim,
                patch_size=config.patch_size,
                image_size=config.image_size,
                hidden_dropout_prob=config.dropout,
            ),
            add_pooling_layer=False,
        )
        if config.stem == "conv":
            self.model.embeddings.patch_embeddings.add_module("projection", ConvStem(config.width))
        self.norm = nn.BatchNorm1d(config.width, affine=False) if config.token_norm == "batch" else None

    def forward(self, frames: Tensor) -> Tensor:
        """Return one token (N, D) for each frame (N, 3, H, W), normalised to -1..1."""
        tokens = self.model(pixel_values=frames).last_hidden_state  # (N, 1 + patches, D)
        token = tokens[:, 0] if self.config.pooling == "cls" else tokens[:, 1:].mean(dim=1)
        return token if self.norm is None else self.norm(token)

    def load_open_weights(self) -> None:
        """Load the weights that ``config.source`` names, with the pixel scaling that they expect.

        Raises
        ------
        InputError
            They cannot be had or do not fit; see `copy_weights`.
        """
        import transformers

        source = self.config.source
        copy_weights(source, transformers.ViTModel, self.model, add_pooling_layer=False)
        fold_into(self.model.embeddings.patch_embeddings.projection, *_pixel_scaling(source))


def open_vit(source: str) -> VitConfig:
    """Return the sizes of an open ViT, whose class token stands for the frame, as in its own training.

    Parameters
    ----------
    source : str
        Folder or hub name; see `models.encoders.open_weights`.

    Returns
    -------
    VitConfig
        Its ``source`` has the commit, where a hub name was given.

    Raises
    ------
    InputError
        It is no ViT, or one that is not built here.
    """
    import transformers

    source = pinned(source)
    found = read_config(source, transformers.ViTConfig)
    where = f"{source}: {CONFIG_FILE}"
    if found.num_channels != 3:
        raise InputError(f"num_channels: expected 3, found {found.num_channels}", where=where)
    image_size, patch_size = (square(getattr(found, n), n, source) for n in ("image_size", "patch_size"))
    if patch_size > image_size:
        raise InputError(f"patch_size: expected at most {image_size}, found {patch_size}", where=where)
    _pixel_scaling(source)  # refuses what makes no sense now, not after a folder of people is read
    return VitConfig(
        width=found.hidden_size,
        n_layers=found.num_hidden_layers,
        n_heads=found.num_attention_heads,
        ffn_dim=found.intermediate_size,
        patch_size=patch_size,
        image_size=image_size,
        pooling="cls",
        dropout=float(found.hidden_dropout_prob),
        source=source,
    )


def _pixel_scaling(source: str) -> tuple[list[float], list[float]]:
    """Return gain and offset by colour from our pixels, -1 to 1, to those of the model's own preprocessor."""
    settings = read_settings(source, PREPROCESSOR_FILE)
    mean, sd = (numbers(settings, name, 0.5, 3, source) for name in ("image_mean", "image_std"))
    (rescale,) = numbers(settings, "rescale_factor", 1 / 255, 1, source)
    if not settings.get("do_normalize", True):
        mean, sd = [0.0] * 3, [1.0] * 3
    if min(sd) <= 0:
        raise InputError(
            f"image_std: expected more than 0, found {sd}", where=f"{source}: {PREPROCESSOR_FILE}"
        )
    half = 255 / 2 * (rescale if settings.get("do_rescale", True) else 1.0)  # their value of our 0
    return [half / s for s in sd], [(half - m) / s for m, s in zip(mean, sd, strict=True)]


def _check(config: VitConfig) -> None:
    for name, allowed in (("stem", ("patch", "conv")), ("token_norm", ("none", "batch"))):
        value = getattr(config, name)
        if value not in allowed:
            raise InputError(f"{name}: expected one of {list(allowed)}, got {value!r}", where="face encoder")
    if config.stem == "conv" and config.patch_size != _STEM_STRIDE:
        raise InputError(
            f"patch_size: with a convolutional stem expected {_STEM_STRIDE}, got {config.patch_size}",
            where="face encoder",
        )
