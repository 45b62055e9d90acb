"""The XDF container: chunk heads, sample types, and what an index of a file holds.

A file is ``XDF:`` and chunks ``[n][length: n bytes][tag: 2 bytes][content]`` with n = 1, 4 or 8 and the
length counting tag and content (https://github.com/sccn/xdf/wiki/Specifications). All numbers are
little-endian.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.types import StreamHeader

MAGIC = b"XDF:"
BOUNDARY_UUID = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")

#: Bytes of one value on disk; strings have no fixed width.
DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "double64": np.dtype("<f8"),
    "int8": np.dtype("<i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "int64": np.dtype("<i8"),
}
STAMP_BYTES = 8


class Tag(IntEnum):
    """What a chunk holds."""

    FILE_HEADER = 1
    STREAM_HEADER = 2
    SAMPLES = 3
    CLOCK_OFFSET = 4
    BOUNDARY = 5
    STREAM_FOOTER = 6


#: Smallest possible chunk length (tag and content) and the exact one where the format fixes it.
_SHORTEST = {1: 2, 2: 6, 3: 8, 4: 22, 5: 18, 6: 6}
_EXACT = {4: 22, 5: 18}
LONGEST_HEAD = 15  # n, 8 length bytes, tag, stream id


@dataclass(frozen=True)
class Head:
    """Where a chunk lies: its content is ``start`` to ``end``, after tag and stream id."""

    tag: Tag
    stream_id: int  # 0 for chunks that belong to no stream
    position: int
    start: int
    end: int


def parse_head(raw: bytes, position: int) -> Head | None:
    """Return the chunk head that begins ``raw``, or None where there cannot be one.

    ``end`` is what the chunk claims and may lie past the end of the file.
    """
    width, length = parse_varlen(raw, 0)
    tag_at = 1 + width
    if width == 0 or len(raw) < tag_at + 2:
        return None
    tag = raw[tag_at] | raw[tag_at + 1] << 8
    if tag not in _SHORTEST or length < _SHORTEST[tag] or length != _EXACT.get(tag, length):
        return None
    start, stream_id = tag_at + 2, 0
    if tag in (Tag.STREAM_HEADER, Tag.SAMPLES, Tag.CLOCK_OFFSET, Tag.STREAM_FOOTER):
        if len(raw) < start + 4:
            return None
        stream_id = struct.unpack_from("<I", raw, start)[0]
        start += 4
    return Head(Tag(tag), stream_id, position, position + start, position + tag_at + length)


def parse_varlen(raw: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return (width, value) of a variable-length integer; width 0 where it is broken or cut off."""
    width = raw[at] if at < len(raw) else 0
    if width not in (1, 4, 8) or at + 1 + width > len(raw):
        return 0, 0
    return width, int.from_bytes(raw[at + 1 : at + 1 + width], "little")


@dataclass(frozen=True)
class Damage:
    """A place where the file is broken, and in words what was lost or mended."""

    position: int  # byte in the file
    what: str


@dataclass(eq=False)
class StreamIndex:
    """Where one stream's samples lie. Chunk arrays have one entry per sample chunk, in file order."""

    stream_id: int
    header: StreamHeader
    starts: array[int] = field(default_factory=lambda: array("q"))  # first byte after the sample count
    ends: array[int] = field(default_factory=lambda: array("q"))
    counts: array[int] = field(default_factory=lambda: array("q"))  # samples, never more than fit the bytes
    first_stamps: array[float] = field(default_factory=lambda: array("d"))  # NaN where deduced
    offset_times: array[float] = field(default_factory=lambda: array("d"))  # raw, sender's clock
    offset_values: array[float] = field(default_factory=lambda: array("d"))  # LSL time = raw + value
    footer: dict[str, str] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """Samples that the index promises; damage inside a chunk can still cost some."""
        return sum(self.counts)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The values' type, None for strings."""
        return DTYPES.get(self.header.channel_format)

    @property
    def sample_bytes(self) -> int:
        """Smallest number of bytes that one sample takes."""
        dtype = self.dtype
        return 1 + self.header.n_channels * (2 if dtype is None else dtype.itemsize)

    @property
    def deduced_step_s(self) -> float:
        """Seconds from one sample to the next where the file leaves out the stamp."""
        sfreq = self.header.nominal_sfreq
        return 1.0 / sfreq if 1e-9 < sfreq < 1e9 else 0.0

    @property
    def offsets(self) -> NDArray[np.float64]:
        """Clock offsets, (n, 2): raw time, seconds to add."""
        return np.column_stack([np.array(self.offset_times), np.array(self.offset_values)])


@dataclass(eq=False)
class XdfIndex:
    """What a file holds, without its samples."""

    path: Path
    n_bytes: int
    streams: dict[int, StreamIndex]  # by stream id, in file order
    boundaries: array[int]
    damage: list[Damage]
