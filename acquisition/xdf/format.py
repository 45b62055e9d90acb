"""The XDF container: chunk heads, sample types, and what an index of a file holds.

A file is ``XDF:`` and chunks ``[n][length: n bytes][tag: 2 bytes][content]`` with n = 1, 4 or 8 and the
length counting tag and content (https://github.com/sccn/xdf/wiki/Specifications). All numbers are
little-endian.
"""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.header import parse_header, parse_xml
from acquisition.text import stated
from acquisition.types import Kind, StreamHeader

MAGIC = b"XDF:"
XDF_SUFFIXES = (".xdf", ".xdfz", ".xdf.gz")
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


def read_errors(path: Path) -> AbstractContextManager[None]:
    """Turn an ``OSError`` inside into an `InputError` about the recording."""
    return file_errors("cannot be read", path, code=ErrorCode.RECORDING)


def is_xdf(path: Path) -> bool:
    return path.name.lower().endswith(XDF_SUFFIXES)


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
    """A place where the file is broken, and in words what was lost or repaired."""

    position: int  # byte in the file
    what: str


@dataclass(frozen=True)
class FilePart:
    """Where a stream's chunks lie in a later part of a recording: in positions, it begins at ``base``."""

    first_chunk: int
    base: int
    path: Path


@dataclass(eq=False)
class StreamIndex:
    """Where one stream's samples lie. Chunk arrays have one entry per sample chunk, in file order."""

    stream_id: int
    header: StreamHeader
    header_place: tuple[int, int] = (0, 0)  # bytes from, to, where its XML lies; (0, 0) if that is broken
    starts: array[int] = field(default_factory=lambda: array("q"))  # first byte after the sample count
    ends: array[int] = field(default_factory=lambda: array("q"))
    counts: array[int] = field(default_factory=lambda: array("q"))  # samples, never more than fit the bytes
    first_stamps: array[float] = field(default_factory=lambda: array("d"))  # NaN where deduced
    offset_times: array[float] = field(default_factory=lambda: array("d"))  # raw, sender's clock
    offset_values: array[float] = field(default_factory=lambda: array("d"))  # LSL time = raw + value
    footer: dict[str, str] = field(default_factory=dict)
    parts: list[FilePart] = field(default_factory=list)  # later ones that hold chunks
    follows: int | None = None  # id of an earlier part's stream whose place it takes

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
    """What a file holds, without its samples; of a recording in parts what all of them hold."""

    path: Path  # of the first part
    n_bytes: int
    streams: dict[int, StreamIndex]  # by stream id, in file order
    damage: list[Damage]
    paths: tuple[Path, ...] = ()  # of all parts
    notes: list[str] = field(default_factory=list)  # what to say of the parts

    def __post_init__(self) -> None:
        self.paths = self.paths or (self.path,)

    @property
    def headers(self) -> dict[int, StreamHeader]:
        """Headers by stream id, to choose among; a stream that follows another is used where that one is."""
        return {stream_id: s.header for stream_id, s in self.streams.items() if s.follows is None}

    @property
    def unused_id(self) -> int:
        """A stream id that no stream has; the largest may be the largest there is."""
        return next(at for at in count(1) if at not in self.streams)

    def with_following(self, kinds: dict[int, Kind]) -> dict[int, Kind]:
        """Return what each chosen stream carries, those that follow one included."""
        follow = {i: s.follows for i, s in self.streams.items() if s.follows is not None}
        return kinds | {i: kinds[before] for i, before in follow.items() if before in kinds}


# --- samples: a byte 0 (stamp left out) or 8 and a stamp, then the values ---

_AT_ONCE = 1 << 16  # samples of unknown layout that are looked at together
_NARROW = 8  # bytes of a sample's values: up to so many all bytes are looked at rather than sample by sample
_FEWEST_IN_TURN = 8  # fewer samples are not worth the test


@dataclass(frozen=True, eq=False)
class Decoded:
    """Whole samples found in some bytes."""

    stamps: NDArray[np.float64]  # (n,), NaN where the file leaves it out
    values: NDArray[Any] | list[tuple[str, ...]]  # (n, n_channels) or n rows
    n_bytes: int  # used
    broken: bool  # True where the next byte cannot begin a sample


def decode(raw: memoryview, stream: StreamIndex, n_most: int) -> Decoded:
    n_channels = stream.header.n_channels
    if stream.dtype is None:
        return _decode_strings(raw, n_most, n_channels)
    return _decode_numeric(raw, n_most, stream.dtype, n_channels)


def n_misfits(raw: memoryview, stream: StreamIndex, count: int, *, repair: bool = False) -> int:
    """Return how many bytes contradict that ``count`` samples fill ``raw``; -1 if their layout is unknown.

    The bytes that say whether a sample is stamped follow a rule in nearly all files, so that broken
    ones can be told, and ``repair`` writes them as they should be.
    """
    if stream.dtype is not None:
        octets = np.frombuffer(raw, np.uint8)
        for starts, sizes, n_most_wrong in _layouts(count, len(raw), stream.sample_bytes):
            wrong = octets[starts] != sizes
            n_wrong = int(np.count_nonzero(wrong))
            if n_wrong <= n_most_wrong:
                octets[starts] = sizes if repair else octets[starts]
                return n_wrong
    decoded = decode(raw, stream, count)
    return 0 if len(decoded.stamps) == count and decoded.n_bytes == len(raw) else -1


def _layouts(
    count: int, n_bytes: int, sample_bytes: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """Yield the usual layouts of ``count`` samples, of ``sample_bytes`` without a stamp, in ``n_bytes``.

    That is where samples start, the bytes that their stamps take, (count,) each, and how many of the latter
    may be written otherwise for the layout still to be that of the samples.
    """
    n_stamped, rest = divmod(n_bytes - count * sample_bytes, STAMP_BYTES)
    if rest or not 0 <= n_stamped <= count:
        return
    usual = [(begin, step, count // 4) for begin, step in ((0, 1), (0, 2), (1, 2), (0, count), (count, 1))]
    # Blocks of sound, each with one stamp, are often of one length; where they are not, nothing is broken.
    for begin, step, n_most_wrong in (*usual, (0, -(-count // max(1, n_stamped)), 0)):
        if len(range(begin, count, max(1, step))) == n_stamped:
            sizes = np.zeros(count, np.int64)
            sizes[begin :: max(1, step)] = STAMP_BYTES
            yield np.cumsum(sizes) - sizes + sample_bytes * np.arange(count), sizes, n_most_wrong


def _decode_numeric(raw: memoryview, n_most: int, dtype: np.dtype, n_channels: int) -> Decoded:
    value_bytes = n_channels * dtype.itemsize
    if n_most < _FEWEST_IN_TURN:
        return _decode_few(raw, n_most, dtype, value_bytes)
    octets = np.frombuffer(raw, np.uint8)
    for starts, sizes, _ in _layouts(n_most, len(raw), 1 + value_bytes):
        if (octets[starts] == sizes).all():
            rows = _values_at(octets, starts, value_bytes)
            return Decoded(_stamps_at(octets, starts), rows.view(dtype), len(raw), False)
    found, at, n_left = [np.empty(0, np.intp)], 0, n_most
    while n_left > 0:
        n_now = min(n_left, _AT_ONCE)
        if value_bytes <= _NARROW:
            starts, at = _leap(octets, at, n_now, value_bytes)
        else:
            walked, at = _walk(raw, at, n_now, value_bytes)
            starts = np.array(walked, dtype=np.intp)
        found.append(starts)
        if len(starts) < n_now:
            break
        n_left -= n_now
    starts = np.concatenate(found)
    broken = len(starts) < n_most and at < len(octets) and octets[at] not in (0, STAMP_BYTES)
    values = _values_at(octets, starts, value_bytes).view(dtype)
    return Decoded(_stamps_at(octets, starts), values, at, broken)


def _walk(raw: memoryview, at: int, n_most: int, value_bytes: int) -> tuple[list[int], int]:
    """Return where samples of mixed layout start, and where the next one would."""
    starts: list[int] = []
    end = len(raw)
    n_bytes_of = {0: 1 + value_bytes, STAMP_BYTES: 1 + STAMP_BYTES + value_bytes}
    while len(starts) < n_most and at < end:
        n_bytes = n_bytes_of.get(raw[at])
        if n_bytes is None or at + n_bytes > end:
            break
        starts.append(at)
        at += n_bytes
    return starts, at


def _leap(octets: NDArray[np.uint8], at: int, n_most: int, value_bytes: int) -> tuple[NDArray[np.intp], int]:
    """Do as `_walk` for short samples, in leaps of 1, 2, 4, ... samples from all bytes at once."""
    octets = octets[at : at + n_most * (1 + STAMP_BYTES + value_bytes)]
    begins = np.append((octets == 0) | (octets == STAMP_BYTES), False)
    after = np.arange(len(begins), dtype=np.intp)
    after[:-1] += np.where(begins[:-1], octets + np.intp(1 + value_bytes), 0)
    begins &= after < len(begins)
    after[~begins] = np.flatnonzero(~begins)  # no sample: it leads nowhere
    starts, leap = np.zeros(1, np.intp), after
    while len(starts) <= n_most and begins[starts[-1]]:
        starts = np.concatenate([starts, leap[starts]])
        leap = leap[leap]
    whole = begins[starts[:n_most]]
    n = len(whole) if whole.all() else int(whole.argmin())
    return starts[:n] + at, at + (int(after[starts[n - 1]]) if n else 0)


def _decode_few(raw: memoryview, n_most: int, dtype: np.dtype, value_bytes: int) -> Decoded:
    """Do as `_decode_numeric` without the cost of many calls of NumPy."""
    starts, at = _walk(raw, 0, n_most, value_bytes)
    stamps = [struct.unpack_from("<d", raw, start + 1)[0] if raw[start] else math.nan for start in starts]
    begins = [start + 1 + raw[start] for start in starts]
    values = bytearray().join([raw[begin : begin + value_bytes] for begin in begins])
    written = [
        math.inf if stamp != stamp and raw[start] else stamp
        for start, stamp in zip(starts, stamps, strict=True)
    ]
    broken = len(starts) < n_most and at < len(raw) and raw[at] not in (0, STAMP_BYTES)
    rows = np.frombuffer(values, dtype).reshape(len(starts), value_bytes // dtype.itemsize)
    return Decoded(np.array(written, dtype=np.float64), rows, at, broken)


def _stamps_at(octets: NDArray[np.uint8], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    stamps = np.full(len(starts), np.nan)
    stamped = np.flatnonzero(octets[starts] == STAMP_BYTES)
    if len(stamped):
        windows = np.lib.stride_tricks.sliding_window_view(octets, STAMP_BYTES)
        stamps[stamped] = _written(windows[starts[stamped] + 1].view("<f8")[:, 0])
    return stamps


def _written(stamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return stamps with an impossible one for each NaN that is written: NaN stands for one left out."""
    return np.where(np.isnan(stamps), np.inf, stamps)


def _values_at(octets: NDArray[np.uint8], starts: NDArray[np.intp], value_bytes: int) -> NDArray[np.uint8]:
    if not len(starts):
        return np.empty((0, value_bytes), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(octets, value_bytes)
    return windows[starts + 1 + octets[starts]]  # (n, value_bytes); the size byte is the stamp's size


def _decode_strings(raw: memoryview, n_most: int, n_channels: int) -> Decoded:
    stamps: list[float] = []
    rows: list[tuple[str, ...]] = []
    at, end, broken = 0, len(raw), False
    while len(rows) < n_most and at < end:
        size = raw[at]
        if size not in (0, STAMP_BYTES):
            broken = True
            break
        position = at + 1 + size
        row: list[str] = []
        while len(row) < n_channels:
            width, length = parse_varlen(raw, position)
            broken = width == 0 and position < end and raw[position] not in (1, 4, 8)
            if width == 0 or position + 1 + width + length > end:
                break
            position += 1 + width
            row.append(str(raw[position : position + length], "utf-8", "replace"))
            position += length
        if len(row) < n_channels:
            break
        stamps.append(float(_written(np.frombuffer(raw, "<f8", 1, at + 1))[0]) if size else np.nan)
        rows.append(tuple(row))
        at = position
    return Decoded(np.array(stamps, dtype=np.float64), rows, at, broken)


# --- headers and footers, also where their XML is broken ---

_MOST_CHANNELS = 1 << 20


def parse_header_xml(xml: str) -> tuple[StreamHeader | None, str]:
    """Return the header, or None where nothing can be decoded by it, and a complaint ('' if none)."""
    complaint = ""
    try:
        header = parse_header(xml)
    except InputError as error:
        complaint = error.what
        try:
            header = _salvage(xml)
        except ValueError:
            return None, f"{complaint}; its samples are lost"
        complaint += "; the main fields could be read"
    if header.channel_format != "string" and header.channel_format not in DTYPES:
        return None, f"unknown channel format {header.channel_format!r}; its samples are lost"
    if not 0 < header.n_channels <= _MOST_CHANNELS:
        return None, f"impossible channel count {header.n_channels}; its samples are lost"
    return header, complaint


def parse_footer_xml(xml: str) -> tuple[dict[str, str], str]:
    """Return the footer's own texts (sample_count, first_timestamp, ...) and a complaint ('' if none)."""
    try:
        root = parse_xml(xml)
    except InputError as error:
        fields = {name: _field(xml, name) for name in ("first_timestamp", "last_timestamp", "sample_count")}
        return {name: text for name, text in fields.items() if text}, error.what
    return {child.tag: child.text.strip() for child in root if child.text and not len(child)}, ""


def _salvage(xml: str) -> StreamHeader:
    """Read a header's main fields from broken XML; ValueError where a needed one is gone."""
    names = ("name", "type", "source_id", "hostname", "uid", "channel_format")
    texts: dict[str, Any] = {name: _field(xml, name) for name in names}
    return StreamHeader(
        **texts,
        nominal_sfreq=max(0.0, stated(_field(xml, "nominal_srate"))),
        n_channels=int(_field(xml, "channel_count")),
    )


def _field(xml: str, name: str) -> str:
    """Return the first text of an element of which one tag may be broken."""
    found = re.search(rf"<{name}>([^<>]*)<|>([^<>]*)</{name}>", xml)
    return unescape((found.group(1) or found.group(2) or "").strip()) if found else ""


_SLACK_S = 1.0
_LONGEST_PAUSE_S = 86400.0


def out_of_line(
    times: NDArray[np.float64], before: float = float("nan"), after: float = float("nan")
) -> NDArray[np.bool_]:
    """Return which times (n,) in seconds jump out of their row and back, (n,) bool.

    A time is out of line if its neighbours are in order and it lies more than 1 s outside the span
    between them. A clock that was reset stays where it was set, so it is not out of line. A last time
    without a neighbour is out of line if it is more than a day away. ``before`` and ``after`` are the
    neighbours of the first and of the last time, NaN where unknown.
    """
    earlier = np.concatenate([[before], times[:-1]])
    later = np.concatenate([times[1:], [after]])
    outside = (times > later + _SLACK_S) | (times < earlier - _SLACK_S)
    lone = np.isnan(later) & (np.abs(times - earlier) > _LONGEST_PAUSE_S)
    return ((earlier <= later) & outside) | lone


def is_out_of_line(time: float, before: float, after: float) -> bool:
    """Do as `out_of_line` for one time between two."""
    outside = time > after + _SLACK_S or time < before - _SLACK_S
    lone = math.isnan(after) and abs(time - before) > _LONGEST_PAUSE_S
    return (before <= after and outside) or lone
