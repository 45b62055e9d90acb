"""Finds every chunk of an XDF file, the damaged ones too, and what lies between."""

import math
import re
import struct
from array import array
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from acquisition.errors import ErrorCode, InputError, open_regular
from acquisition.timebase import LARGEST_TIME_S
from acquisition.xdf.format import (
    BOUNDARY_UUID,
    LONGEST_HEAD,
    MAGIC,
    Damage,
    Head,
    StreamIndex,
    Tag,
    XdfIndex,
    out_of_line,
    parse_footer_xml,
    parse_head,
    parse_header_xml,
    parse_varlen,
    read_errors,
)

_BLOCK = 1 << 20
_OVERLAP = 64
_N_CHAINED = 2  # heads that must follow a sample chunk's head before it is believed


class Resync:
    """Looks for the next boundary mark, header, or samples of a known stream with good chunks behind.

    LabRecorder writes a boundary every 10 s and some programs write none, so waiting for one would
    lose more than the damage did.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], n_bytes: int, known_streams: Mapping[int, object]
    ) -> None:
        self._read, self._n_bytes, self._known = read, n_bytes, known_streams
        self._asked = 0  # the last answer holds for every position from here to the answer
        self._found: int | None = -1

    def after(self, position: int) -> int | None:
        """Return the position of the first good chunk at or after ``position``, or None."""
        if position >= self._asked and (self._found is None or position <= self._found):
            return self._found
        self._asked, self._found = position, self._search(position)
        return self._found

    def _search(self, position: int) -> int | None:
        ids = [re.escape(b"\x03\x00" + struct.pack("<I", stream_id)) for stream_id in self._known]
        marks = [re.escape(BOUNDARY_UUID), rb"\x02\x00.{4}<\?xml", *ids]
        pattern = re.compile(b"|".join(marks), re.DOTALL)
        block_at = position
        while block_at < self._n_bytes:
            # A mark may begin in the bytes before the block: its head lies up to nine bytes ahead of it.
            block = self._read(block_at, _BLOCK + _OVERLAP)
            for match in pattern.finditer(block):
                found = self._chunk_around(block_at + match.start(), match.group())
                if found is not None and found >= position:
                    return found
            block_at += _BLOCK
        return None

    def _chunk_around(self, at: int, mark: bytes) -> int | None:
        """Return where the chunk begins whose tag (or boundary mark) stands at ``at``."""
        if mark == BOUNDARY_UUID:
            head = parse_head(self._read(at - 4, LONGEST_HEAD), at - 4)
            return at - 4 if head is not None and head.start == at else at + len(mark)
        for width in (4, 1, 8):
            begin = at - 1 - width
            if begin >= len(MAGIC) and self._read(begin, 1) == bytes([width]) and self._is_chain(begin):
                return begin
        return None

    def _is_chain(self, position: int) -> bool:
        for _ in range(1 + _N_CHAINED):
            head = parse_head(self._read(position, LONGEST_HEAD), position)
            if head is None or head.end > self._n_bytes:
                return False
            if head.tag is not Tag.STREAM_HEADER and head.stream_id not in (0, *self._known):
                return False
            position = head.end
            if position == self._n_bytes:
                return True
        return True


_LONGEST_XML = 1 << 24
_MOST_DAMAGE = 1000  # entries; a broken header would otherwise fill memory with one per chunk


def scan_xdf(path: Path) -> XdfIndex:
    """Index an XDF file in memory that grows with its number of chunks only (32 bytes each).

    Raises `InputError` if the file cannot be opened or is not an XDF file. Damage inside is only listed.
    """
    path = Path(path)
    with read_errors(path), open_regular(path) as file:
        return _Scan(file, path).index


def check_xdf(path: Path) -> None:
    """Raise `InputError` if a file is missing, cannot be opened or does not begin as an XDF file."""
    with read_errors(path), open_regular(path) as file:
        _check_magic(file.read(len(MAGIC)), path)


class _Scan:
    """One pass over a file."""

    def __init__(self, file, path: Path) -> None:
        self._file = file
        n_bytes = file.seek(0, 2)
        self.index = XdfIndex(path, n_bytes, {}, [])
        self._n_unlisted = 0
        self._resync = Resync(self._read, n_bytes, self.index.streams)
        self._ids_without_header: set[int] = set()
        _check_magic(self._read(0, 4), path)
        self._walk()

    def _read(self, position: int, n_bytes: int) -> bytes:
        self._file.seek(position)
        return self._file.read(n_bytes)

    def _head(self, position: int) -> Head | None:
        return parse_head(self._read(position, LONGEST_HEAD), position)

    def _note(self, position: int, what: str) -> None:
        if len(self.index.damage) < _MOST_DAMAGE:
            self.index.damage.append(Damage(position, what))
        else:
            self._n_unlisted += 1

    def _walk(self) -> None:
        n_bytes, position = self.index.n_bytes, len(MAGIC)
        while position < n_bytes:
            head = self._head(position)
            if head is None:
                found = self._resync.after(position + 1)
                lost = (n_bytes if found is None else found) - position
                self._note(position, f"skipped {lost} bytes that are not a valid chunk")
                position += lost
                continue
            head, trusted = self._settle_end(head)
            self._take(head, trusted)
            position = head.end
        for stream in self.index.streams.values():
            self._drop_broken_offsets(stream)
        if self._n_unlisted:
            self.index.damage.append(Damage(n_bytes, f"{self._n_unlisted} more damaged places"))

    def _settle_end(self, head: Head) -> tuple[Head, bool]:
        """Return the head with the end to believe, and whether that is what it claimed."""
        n_bytes = self.index.n_bytes
        if head.end == n_bytes or (head.end < n_bytes and self._head(head.end) is not None):
            return head, True
        if head.end < n_bytes and self._fits_its_length(head):
            return head, True  # the next chunk is the broken one
        found = self._resync.after(head.start)
        if found is None:
            if head.end > n_bytes:
                self._note(head.position, "the file ends inside this chunk")
                return replace(head, end=n_bytes), False
            return head, True
        if head.tag is Tag.SAMPLES or found < head.end:
            self._note(head.position, f"the chunk's length is wrong; it was ended at byte {found}")
            return replace(head, end=found), False
        return head, True

    def _fits_its_length(self, head: Head) -> bool:
        """Tell whether the content itself confirms where the chunk ends."""
        if head.tag is Tag.SAMPLES:
            stream = self.index.streams.get(head.stream_id)
            width, count = parse_varlen(self._read(head.start, 9), 0)
            return stream is not None and _consistent(stream, count, head.end - head.start - 1 - width)
        if head.tag in (Tag.CLOCK_OFFSET, Tag.BOUNDARY):
            return True
        return self._read(max(head.start, head.end - 16), 16).rstrip().endswith(b">")

    def _take(self, head: Head, trusted: bool) -> None:
        if head.tag is Tag.STREAM_HEADER:
            self._take_header(head)
        elif head.tag is Tag.SAMPLES:
            self._take_samples(head, trusted)
        elif head.tag is Tag.CLOCK_OFFSET:
            self._take_offset(head)
        elif head.tag is Tag.STREAM_FOOTER:
            self._take_footer(head)
        elif head.tag is Tag.BOUNDARY:
            if self._read(head.start, 16) != BOUNDARY_UUID:
                self._note(head.position, "invalid boundary chunk")
        elif head.position != len(MAGIC):
            self._note(head.position, "a second file header was ignored")

    def _xml(self, head: Head) -> str:
        return self._read(head.start, min(head.end - head.start, _LONGEST_XML)).decode("utf-8", "replace")

    def _take_header(self, head: Head) -> None:
        if head.stream_id in self.index.streams:
            self._note(head.position, f"a second header of stream {head.stream_id} was ignored")
            return
        header, complaint = parse_header_xml(self._xml(head))
        if complaint:
            self._note(head.position, f"header of stream {head.stream_id}: {complaint}")
        if header is not None:
            self.index.streams[head.stream_id] = StreamIndex(head.stream_id, header)

    def _take_footer(self, head: Head) -> None:
        stream = self.index.streams.get(head.stream_id)
        footer, complaint = parse_footer_xml(self._xml(head))
        if complaint:
            self._note(head.position, f"footer of stream {head.stream_id}: {complaint}")
        if stream is not None:
            stream.footer = footer

    def _take_offset(self, head: Head) -> None:
        raw = self._read(head.start, 16)
        stream = self.index.streams.get(head.stream_id)
        if len(raw) < 16 or stream is None:
            self._note(head.position, "a clock offset is truncated or belongs to an unknown stream")
            return
        time, value = struct.unpack("<dd", raw)
        if not (abs(time) < LARGEST_TIME_S and abs(value) < LARGEST_TIME_S):  # also False for NaN
            self._note(head.position, f"impossible clock offset {value} s at {time} s")
            return
        stream.offset_times.append(time)
        stream.offset_values.append(value)

    def _drop_broken_offsets(self, stream: StreamIndex) -> None:
        """Drop offsets that place their own measurement elsewhere than its neighbours."""
        offsets = stream.offsets
        broken = out_of_line(offsets.sum(axis=1))  # LSL time of each measurement, also across resets
        if not broken.any():
            return
        self._note(0, f"{int(broken.sum())} impossible clock offsets of stream {stream.header.name!r}")
        stream.offset_times = array("d", offsets[~broken, 0])
        stream.offset_values = array("d", offsets[~broken, 1])

    def _take_samples(self, head: Head, trusted: bool) -> None:
        stream = self.index.streams.get(head.stream_id)
        if stream is None:
            if head.stream_id not in self._ids_without_header:
                self._note(head.position, f"samples of stream {head.stream_id}, which has no header")
            self._ids_without_header.add(head.stream_id)
            return
        raw = self._read(head.start, 18)
        width, count = parse_varlen(raw, 0)
        if width == 0:
            self._note(head.position, f"no sample count in a chunk of stream {stream.header.name!r}")
            return
        start = head.start + 1 + width
        n_bytes = head.end - start
        most = n_bytes // stream.sample_bytes
        if count > most or (trusted and not _consistent(stream, count, n_bytes)):
            what = f"a chunk of stream {stream.header.name!r} claims {count} samples in {n_bytes} bytes"
            self._note(head.position, what)
            count = most
        if count:
            stream.starts.append(start)
            stream.ends.append(head.end)
            stream.counts.append(count)
            stream.first_stamps.append(_first_stamp(raw, 1 + width))


def _check_magic(magic: bytes, path: Path) -> None:
    if magic == MAGIC:
        return
    remedy = (
        "give a recording made by LabRecorder; affectscope publish recording plays EDF, BDF, FIF and others"
    )
    remedy = "unpack it first" if magic[:2] == b"\x1f\x8b" else remedy
    what = (
        f"is not an XDF file: expected it to begin with {MAGIC.decode()!r}, found {magic.decode('latin-1')!r}"
    )
    raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)


def _consistent(stream: StreamIndex, count: int, n_bytes: int) -> bool:
    """Tell whether ``count`` samples can fill exactly ``n_bytes``; strings always may."""
    if stream.dtype is None:
        return n_bytes >= count * stream.sample_bytes
    stamped, rest = divmod(n_bytes - count * stream.sample_bytes, 8)
    return rest == 0 and 0 <= stamped <= count


def _first_stamp(raw: bytes, at: int) -> float:
    if len(raw) < at + 9 or raw[at] != 8:
        return math.nan
    stamp = struct.unpack_from("<d", raw, at + 1)[0]
    return stamp if abs(stamp) < LARGEST_TIME_S else math.nan
