"""The expression net of face-api as a face encoder: its features before the last layer are a frame's token.

Four blocks of depthwise separable convolutions, an average over the last 7 x 7 map, and a linear layer to
seven expressions (`@vladmandic/face-api` 1.7.15, MIT). The last layer is not part of the encoder:
`models.starter` makes the face's classification head of it.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acquisition.errors import ErrorCode, InputError
from models.config import VitConfig

#: What the last layer tells apart, in its order and in our words.
EXPRESSIONS = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
MARGIN = 0.2  # of the face box's side, on each side: what the figures of the net were measured with
WIDTH, IMAGE_SIZE = 256, 112
_CHANNELS = (32, 64, 128, WIDTH)  # of the four blocks
_MEAN_RGB = (122.782, 117.001, 104.298)


class _Separable(nn.Module):
    """A 3 x 3 convolution of each channel alone, then one across channels, with bias."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(n_in, n_in, 3, stride, groups=n_in, bias=False)
        self.pointwise = nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(_padded(x, self.depthwise.stride[0])))


def _padded(x: Tensor, stride: int) -> Tensor:
    """Pad maps of even size as TensorFlow's SAME does: with stride 2 the odd pixel is below and right."""
    return F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))


class _Block(nn.Module):
    """Four convolutions, each but the first of the sum of those before it."""

    def __init__(self, n_in: int, n_out: int, *, is_first: bool) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(n_in, n_out, 3, 2) if is_first else _Separable(n_in, n_out, 2)
        self.conv1, self.conv2, self.conv3 = (_Separable(n_out, n_out) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv0(_padded(x, 2) if isinstance(self.conv0, nn.Conv2d) else x)
        total = F.relu(first)
        for conv in (self.conv1, self.conv2):
            total = total + conv(F.relu(total))
        return F.relu(total + self.conv3(F.relu(total)))


class ExpressionEncoder(nn.Module):
    """One token (256) a frame; random until weights are loaded.

    ``config`` says how large its tokens and crops are; raises `InputError` where they are not the net's.
    """

    mean: Tensor

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        if (config.width, config.image_size) != (WIDTH, IMAGE_SIZE):
            what = (
                f"expected {WIDTH} features of {IMAGE_SIZE} pixels, got {config.width} of {config.image_size}"
            )
            raise InputError(what, where="face-expression", code=ErrorCode.MODEL, setting="face")
        self.config = config
        n_in = (3, *_CHANNELS[:-1])
        blocks = [_Block(i, o, is_first=i == 3) for i, o in zip(n_in, _CHANNELS, strict=True)]
        self.dense0, self.dense1, self.dense2, self.dense3 = blocks
        mean = torch.tensor(_MEAN_RGB).reshape(1, 3, 1, 1) / 255
        self.register_buffer("mean", mean, persistent=False)
        # A third of the time, of depthwise convolutions.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, frames: Tensor) -> Tensor:
        """Return one token (N, 256) for each frame (N, 3, 112, 112), RGB, normalised to -1..1."""
        x = frames.contiguous(memory_format=torch.channels_last)
        x = x * 0.5 + 0.5 - self.mean  # (rgb - mean) / 255 of 0 to 255
        for block in (self.dense0, self.dense1, self.dense2, self.dense3):
            x = block(x)
        return x.mean(dim=(2, 3))  # (N, 256, 7, 7) -> (N, 256)


def read_face_api(manifest: bytes, data: bytes, where: str) -> dict[str, Tensor]:
    """Return the published tensors by our names: those of `ExpressionEncoder`, ``fc.weight``, ``fc.bias``.

    The manifest is TensorFlow.js's; a quantised tensor is ``q · scale + min``. Raises `InputError` if the two
    files do not fit each other.
    """
    tensors, at = {}, 0
    try:
        (group,) = json.loads(manifest)
        for entry in group["weights"]:
            shape, quantised = entry["shape"], entry.get("quantization")
            kind = np.dtype(quantised["dtype"] if quantised else entry["dtype"]).newbyteorder("<")
            n = int(np.prod(shape))
            values = np.frombuffer(data, kind, n, at).astype(np.float64).reshape(shape)
            at += n * kind.itemsize
            if quantised:
                values = values * quantised["scale"] + quantised["min"]
            tensors[_renamed(entry["name"])] = _as_torch(values)
    except (ValueError, KeyError, TypeError) as error:
        what = f"weights and manifest do not fit: {error}"
        raise InputError(what, where=where, code=ErrorCode.MODEL) from error
    if at != len(data):
        what = f"expected {at} bytes of weights, found {len(data)}"
        raise InputError(what, where=where, code=ErrorCode.MODEL)
    return tensors


def _renamed(name: str) -> str:
    """Return for ``dense1/conv0/depthwise_filter`` the name ``dense1.conv0.depthwise.weight``."""
    *path, last = name.split("/")
    if last == "bias" and not (path[0] == "fc" or path == ["dense0", "conv0"]):
        path.append("pointwise")  # a separable convolution's bias comes last
    words = {"depthwise_filter": "depthwise.weight", "pointwise_filter": "pointwise.weight"}
    return ".".join([*path, words.get(last, "bias" if last == "bias" else "weight")])


def _as_torch(values: np.ndarray) -> Tensor:
    """Return filters (h, w, in, out) as (out, in, h, w), depthwise (h, w, in, 1) as (in, 1, h, w)."""
    if values.ndim == 4:
        values = values.transpose((2, 3, 0, 1) if values.shape[3] == 1 else (3, 2, 0, 1))
    elif values.ndim == 2:
        values = values.T
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
