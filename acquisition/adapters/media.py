"""Audio as one float channel in -1..1, video as pictures, markers as text."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters import converted_spec
from acquisition.errors import ErrorCode, InputError
from acquisition.text import stated
from acquisition.types import Kind, StreamHeader

_FULL_SCALE = {
    "int8": 2.0**7,
    "int16": 2.0**15,
    "int32": 2.0**31,
    "int64": 2.0**63,
    "float32": 1.0,
    "double64": 1.0,
}


_LEAST_SFREQ = 4000.0  # Hz: below twice the band of a telephone's lower half no vowel is left
_BEYOND_FLOAT = 1.5  # integers sent as floats; a little above 1 is a loud sound


class AudioAdapter:
    """Scales samples to -1..1 and averages the channels; the rate stays the device's.

    Floats far beyond 1 have no scale and become NaN. Raises `InputError` if the stream sends text, or at a
    rate of loudness or features, not of sound.
    """

    def __init__(self, header: StreamHeader, key: str) -> None:
        if header.channel_format not in _FULL_SCALE:
            what = f"expected integers or floats, but the stream sends {header.channel_format}"
            raise InputError(what, where=f"audio stream {header.name!r}", code=ErrorCode.CHANNELS)
        if 0 < header.nominal_sfreq < _LEAST_SFREQ:
            what = f"expected sound at {_LEAST_SFREQ:,.0f} Hz or more, found {header.nominal_sfreq:g} Hz"
            raise InputError(what, where=f"audio stream {header.name!r}", code=ErrorCode.CHANNELS)
        notes = [f"{header.n_channels} channels averaged to one"] if header.n_channels > 1 else []
        if not header.nominal_sfreq > 0:
            notes.append("the stream states no rate: it is measured from the timestamps")
        self._scale = np.float32(1.0 / _FULL_SCALE[header.channel_format])
        self.spec = converted_spec(header, key, Kind.AUDIO, ("audio",), ("1",), notes)

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.float32]:
        """Return (n_samples, 1) float32 in -1..1 from (n_samples, n_stream_channels) values."""
        samples = np.asarray(values).astype(np.float32)
        if samples.shape[1] > 1:
            samples = samples.mean(axis=1, keepdims=True, dtype=np.float32)
        samples *= self._scale
        samples[np.abs(samples) > _BEYOND_FLOAT] = np.nan
        return samples


_JPEG_CODECS = {"jpeg", "jpg", "mjpeg", "mjpg", "imagejpeg"}
_JPEG_START = b"\xff\xd8"
_REMEDY = "publish with `affectscope publish webcam`, or choose another with --streams face=..."

#: Positions of blue, green and red in a pixel.
_BGR_ORDER = {"bgr": (0, 1, 2), "rgb": (2, 1, 0), "bgra": (0, 1, 2), "rgba": (2, 1, 0), "argb": (3, 2, 1)}
_N_COLOURS = {"bgr": 3, "rgb": 3, "bgra": 4, "rgba": 4, "argb": 4, "gray": 1}
_LONGEST_SIDE = 65_535  # pixels, as in a JPEG
_GREY_NAMES = {"gray", "grey", "gray8", "grey8", "grayscale", "greyscale", "mono", "mono8", "y8", "y800", "l"}


class VideoAdapter:
    """Unpacks pictures; JPEG stays JPEG, because most pictures are never looked at.

    A string that is not a JPEG becomes ``b""``, so that no sample is lost or added; whoever decodes pictures
    treats it as unreadable. Raises `InputError` if the encoding is not known or does not fit the number of
    channels.
    """

    def __init__(self, header: StreamHeader, key: str) -> None:
        self._convert: Callable[[Any], Any]
        notes: list[str] = []
        if header.channel_format == "string":
            self._convert, codec = _jpeg_of_row, header.encoding.get("codec", "")
            if not codec:
                notes.append("the stream states no encoding/codec: assumed to be JPEG in base64")
            elif "".join(filter(str.isalnum, codec.lower())) not in _JPEG_CODECS:
                what = f"expected encoding/codec JPEG (base64 in a string), found {codec!r}"
                where = f"video stream {header.name!r}"
                raise InputError(what, where=where, remedy=_REMEDY, code=ErrorCode.CHANNELS)
        else:
            self._convert = _raw_converter(header)
        self.spec = converted_spec(header, key, Kind.VIDEO, ("frame",), ("",), notes)

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> tuple[Any, ...]:
        """Return n_samples pictures: JPEG ``bytes``, or (height, width, 3) uint8 BGR."""
        return tuple(map(self._convert, values))


def _jpeg_of_row(row: Sequence[str | bytes]) -> bytes:
    text = row[0]
    packed = text.encode("ascii", errors="replace") if isinstance(text, str) else text
    if packed.startswith(_JPEG_START):  # liblsl 1.18 can carry the bytes as they are
        return packed
    if packed.startswith(b"data:"):
        packed = packed.partition(b",")[2]
    try:
        picture = base64.b64decode(packed)
    except binascii.Error:
        return b""
    return picture if picture.startswith(_JPEG_START) else b""


def _raw_converter(header: StreamHeader) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    refused = partial(InputError, where=f"video stream {header.name!r}", code=ErrorCode.CHANNELS)
    colour = header.encoding.get("color_format", header.encoding.get("colour_format", "")).strip().lower()
    colour = "gray" if colour in _GREY_NAMES else colour
    width, height = (int(stated(header.encoding.get(name, ""))) for name in ("width", "height"))
    if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE) or colour not in _N_COLOURS:
        raise refused(
            "expected encoding/width, height and color_format (RGB, BGR, RGBA, BGRA or gray), "
            f"found {dict(header.encoding) or 'nothing'}",
            remedy=_REMEDY,
        )
    n_expected = width * height * _N_COLOURS[colour]
    if n_expected != header.n_channels:
        raise refused(
            f"{width} x {height} {colour} needs {n_expected} channels, but the stream has {header.n_channels}"
        )
    shape = (height, width, _N_COLOURS[colour])
    order = [0, 0, 0] if colour == "gray" else list(_BGR_ORDER[colour])

    def convert(row: NDArray[Any]) -> NDArray[np.uint8]:
        if row.dtype.kind == "f":  # from 0 to 1 or to 255
            row = row * 255 if row.max() <= 1 else row
            row = row.astype(np.int64)
        # LSL has no unsigned bytes: 200 travels as -56, and a cast modulo 256 brings it back.
        return row.astype(np.uint8).reshape(shape)[:, :, order]

    return convert


_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")


class MarkerAdapter:
    """Writes markers of any format as text: 111.0 and "111.0000000000000" become "111".

    Several channels are joined with ``|``.
    """

    def __init__(self, header: StreamHeader, key: str) -> None:
        self.spec = converted_spec(header, key, Kind.MARKERS, ("marker",), ("",))

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> tuple[str, ...]:
        """Return n_samples strings from (n_samples, n_stream_channels) numbers, text or bytes."""
        return tuple("|".join(marker_text(value) for value in row) for row in values)


def marker_text(value: Any) -> str:
    """Return a marker of any format as text: 111.0 and "111.0000" become "111"."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    # str of a NumPy float is the shortest text that gives the number back in its own precision.
    text = value if isinstance(value, str) else str(np.asarray(value)[()])
    match = _WHOLE_NUMBER.fullmatch(text.strip())
    return match[1] if match else text
