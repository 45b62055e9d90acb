"""Finds every chunk of an XDF file, the damaged ones too, and what lies between.

XDF has no checksum. A chunk is believed if its content fills exactly the length that it claims: samples of
a known stream by their number and layout, XML by where it ends. Otherwise what it holds, and the next chunk
that is believed, say which of length, count or head is wrong.
"""

import math
import re
import struct
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

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
    decode,
    n_misfits,
    out_of_line,
    parse_footer_xml,
    parse_head,
    parse_header_xml,
    parse_varlen,
    read_errors,
)

_WINDOW = 1 << 16
_BLOCK = 1 << 20
_OVERLAP = 64
_LONGEST_CHECKED = 1 << 20  # bytes; the layout of longer chunks is not looked at: their ends must do
_LONGEST_XML = 1 << 24
_MOST_DAMAGE = 1000  # entries; a broken header would otherwise fill memory with one per chunk
_HEAD = re.compile(rb"(?:\x01.|\x04.{4}|\x08.{8})[\x01-\x06]\x00|" + re.escape(BOUNDARY_UUID), re.DOTALL)


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


class _Window:
    """Reads pieces of a file; small ones that lie side by side with one call."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at, self._bytes = file, 0, b""
        self.size = file.seek(0, 2)

    def __call__(self, position: int, n_bytes: int) -> bytes:
        at = position - self._at
        inside = at >= 0 and (at + n_bytes <= len(self._bytes) or self._at + len(self._bytes) >= self.size)
        if not inside:
            self._file.seek(position)
            if n_bytes > _WINDOW:
                return self._file.read(n_bytes)
            self._at, self._bytes, at = position, self._file.read(_WINDOW), 0
        return self._bytes[at : at + n_bytes]


class Resync:
    """Looks for the next chunk that is believed.

    LabRecorder writes a boundary every 10 s and some programs write none, so waiting for one would
    lose more than the damage did.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], n_bytes: int, is_good: Callable[[int], bool]
    ) -> None:
        self._read, self._n_bytes, self._is_good = read, n_bytes, is_good
        self._block_at, self._block = 0, b""
        self._asked = 0  # the last answer holds for every position from here to the answer
        self._found: int | None = -1

    def after(self, position: int) -> int | None:
        """Return the position of the first good chunk at or after ``position``, or None."""
        if position >= self._asked and (self._found is None or position <= self._found):
            return self._found
        self._asked, self._found = position, next(filter(self._is_good, self._heads(position)), None)
        return self._found

    def _heads(self, position: int) -> Iterator[int]:
        while position < self._n_bytes:
            if not self._block_at <= position < self._block_at + len(self._block) - _OVERLAP:
                self._block_at, self._block = position, self._read(position, _BLOCK + _OVERLAP)
            match = _HEAD.search(self._block, position - self._block_at)
            if match is None:
                position = max(position + 1, self._block_at + len(self._block) - _OVERLAP)
                if self._block_at + len(self._block) >= self._n_bytes:
                    return
                continue
            # The chunk after a boundary whose own head is broken.
            yield self._block_at + (match.end() if match[0] == BOUNDARY_UUID else match.start())
            position = self._block_at + match.start() + 1


class _Scan:
    """One pass over a file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._read = _Window(file)
        n_bytes = self._read.size
        self.index = XdfIndex(path, n_bytes, {}, [])
        self._n_unlisted = 0
        self._resync = Resync(self._read, n_bytes, self._is_good)
        self._ids_without_header: set[int] = set()
        self._fitting: set[int] = set()  # streams of which a chunk fits its header
        # A file of nothing but chunks inside chunks would be read over and over.
        self._n_may_check = 8 * n_bytes + (1 << 20)
        _check_magic(self._read(0, 4), path)
        self._walk()

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
            holds = head is not None and head.end <= n_bytes and self._holds(head)
            may_be_samples = head is None or (head.tag is not Tag.SAMPLES and head.end > position + 12)
            if not holds and may_be_samples:
                rebuilt = self._rebuilt(position)
                head, holds = (head, holds) if rebuilt is None else (rebuilt, True)
            if head is None:
                found = self._resync.after(position + 1)
                lost = (n_bytes if found is None else found) - position
                self._note(position, f"skipped {lost} bytes that are not a valid chunk")
                position += lost
                continue
            if head.tag is Tag.SAMPLES:
                position = self._take_samples(head, holds)
            else:
                head = head if holds else self._settle_end(head)
                self._take(head)
                position = head.end
        for stream in self.index.streams.values():
            self._drop_broken_offsets(stream)
            self._compare(stream)
        if self._n_unlisted:
            self.index.damage.append(Damage(n_bytes, f"{self._n_unlisted} more damaged places"))

    # --- what is believed ---

    def _is_good(self, position: int) -> bool:
        if position == self.index.n_bytes:
            return True
        head = self._head(position)
        return head is not None and head.end <= self.index.n_bytes and self._holds(head)

    def _holds(self, head: Head) -> bool:
        """Tell whether the content confirms where the chunk ends, which lies in the file."""
        stream = self.index.streams.get(head.stream_id)
        if head.tag is Tag.SAMPLES:
            start, count = self._count(head)
            return stream is not None and self._misfits(stream, start, head.end, count) == 0
        if head.tag is Tag.BOUNDARY:
            return self._read(head.start, 16) == BOUNDARY_UUID
        if head.tag is Tag.CLOCK_OFFSET:
            return stream is not None and self._follows(head.end)
        if head.tag is Tag.STREAM_FOOTER and stream is None:
            return False
        n_bytes = head.end - head.start
        edges = self._read(head.start, 1) + self._read(max(head.start, head.end - 16), 16).rstrip(
            b"\0\r\n\t "
        )
        if edges[:1] != b"<" or not edges.endswith(b"</info>") or not self._may_check(n_bytes):
            return False
        end = self._read(head.start, n_bytes).find(b"</info>")
        return not self._read(head.start + end + 7, 16)[: n_bytes - end - 7].strip(b"\0\r\n\t ")

    def _may_check(self, n_bytes: int) -> bool:
        self._n_may_check -= n_bytes
        return n_bytes <= _LONGEST_XML and self._n_may_check > 0

    def _follows(self, end: int) -> bool:
        head = self._head(end) if end < self.index.n_bytes else None
        if head is None:
            return end == self.index.n_bytes
        if head.tag is Tag.BOUNDARY:
            return self._read(head.start, 16) == BOUNDARY_UUID
        if head.tag is Tag.FILE_HEADER or head.stream_id not in self.index.streams:
            return head.tag <= Tag.STREAM_HEADER and self._read(head.start, 1) == b"<"
        return True

    def _count(self, head: Head) -> tuple[int, int]:
        """Return where a chunk's samples begin, and how many it claims; -1 where that is unreadable."""
        width, count = parse_varlen(self._read(head.start, 9), 0)
        return head.start + 1 + width, count if width else -1

    def _misfits(self, stream: StreamIndex, start: int, end: int, count: int) -> int:
        """Return how many bytes contradict that exactly ``count`` samples lie there; -1 if it cannot be."""
        n_stamped = _n_stamped(stream, count, end - start)
        if n_stamped is None:
            return -1
        if stream.dtype is not None and n_stamped in (0, count):  # all alike
            at = (start, end - (end - start) // max(1, count))
            if all(self._read(place, 1) == bytes([8 if n_stamped else 0]) for place in at[: min(count, 2)]):
                return 0
        if end - start > _LONGEST_CHECKED or not self._may_check(end - start):
            return 0 if self._follows(end) else -1
        return n_misfits(memoryview(bytearray(self._read(start, end - start))), stream, count)

    def _measured(self, stream: StreamIndex, start: int, count: int, limit: int) -> tuple[int, int, bool]:
        """Return how many samples up to ``count`` can be read, where they end, and if that is a break."""
        n_bytes = min(limit - start, _LONGEST_CHECKED)
        if stream.dtype is not None:
            n_bytes = min(n_bytes, count * (stream.sample_bytes + 8))
        begins = self._read(start, 1) in (b"\0", b"\x08")
        if not begins or count < 0 or n_bytes <= 0 or not self._may_check(n_bytes):
            return 0, start, True
        decoded = decode(memoryview(self._read(start, n_bytes)), stream, count)
        return len(decoded.stamps), start + decoded.n_bytes, decoded.broken

    def _rebuilt(self, position: int) -> Head | None:
        """Return the head of samples of which length, tag or the width of the length is broken."""
        raw = self._read(position, LONGEST_HEAD)
        for width in (4, 1, 8):
            tag, stream_id = raw[width + 1 : width + 3], raw[width + 3 : width + 7]
            stream = self.index.streams.get(int.from_bytes(stream_id, "little"))
            if len(stream_id) < 4 or stream is None:
                continue
            start = position + width + 7
            head = Head(Tag.SAMPLES, stream.stream_id, position, start, 0)
            first, count = self._count(head)
            n, end, _ = self._measured(stream, first, count, self.index.n_bytes)
            is_long = int.from_bytes(raw[1 : width + 1], "little") == end - position - width - 1
            if n == count > 0 and (is_long or tag == b"\3\0") and self._follows(end):
                self._note(position, "the head of this chunk is broken; its content shows what it is")
                return replace(head, end=end)
        return None

    def _settle_end(self, head: Head) -> Head:
        """Return a chunk without samples that is not believed, with the end to go on from."""
        n_bytes, found = self.index.n_bytes, self._resync.after(head.position + 1)
        limit = n_bytes if found is None else found
        end = min(head.end, limit)
        if not self._follows(end) and self._may_check(limit - head.start):
            xml_end = head.start + self._read(head.start, limit - head.start).find(b"</info>") + 7
            end = xml_end if xml_end > head.start + 7 and self._follows(xml_end) else end
        if found is None and head.end > n_bytes == end:
            self._note(head.position, "the file ends inside this chunk")
        elif end != head.end:
            self._note(head.position, f"the chunk's length is wrong; it was ended at byte {end}")
        return replace(head, end=end)

    # --- what is kept of a chunk ---

    def _take(self, head: Head) -> None:
        if head.tag is Tag.STREAM_HEADER:
            self._take_header(head)
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
            place = (0, 0) if complaint else (head.start, head.end)
            self.index.streams[head.stream_id] = StreamIndex(head.stream_id, header, place)

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
        if len(raw) < 16 or head.end - head.start < 16 or stream is None:
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

    def _compare(self, stream: StreamIndex) -> None:
        name = stream.header.name
        if len(stream.counts) and stream.stream_id not in self._fitting:
            form = f"{stream.header.n_channels} channels of {stream.header.channel_format}"
            self._note(0, f"no sample of stream {name!r} fits its header ({form}); its samples are lost")
            stream.starts, stream.ends, stream.counts = array("q"), array("q"), array("q")
            stream.first_stamps = array("d")
        claimed = stream.footer.get("sample_count", "")
        # LabRecorder counts one too few of most streams.
        if claimed.isascii() and claimed.isdigit() and not 0 <= stream.n_samples - int(claimed[:18]) <= 1:
            counted = f"counts {int(claimed[:18])} samples, {stream.n_samples} found"
            self._note(self.index.n_bytes, f"the footer of stream {name!r} {counted}")

    def _take_samples(self, head: Head, holds: bool) -> int:
        """Index a chunk's samples and return where to go on."""
        stream = self.index.streams.get(head.stream_id)
        if stream is None:
            if head.stream_id not in self._ids_without_header:
                self._note(head.position, f"samples of stream {head.stream_id}, which has no header")
            self._ids_without_header.add(head.stream_id)
            return head.end if self._follows(head.end) else self._settle_end(head).end
        start, count = self._count(head)
        end = next_at = head.end
        if holds:
            self._fitting.add(stream.stream_id)
        else:
            start, end, count, next_at = self._settle_samples(head, stream, start, count)
        if count > 0:
            stream.starts.append(start)
            stream.ends.append(end)
            stream.counts.append(count)
            raw = self._read(start, 9)
            stamp = struct.unpack_from("<d", raw, 1)[0] if len(raw) == 9 and raw[0] == 8 else math.nan
            stream.first_stamps.append(stamp if abs(stamp) < LARGEST_TIME_S else math.nan)
        return next_at

    def _settle_samples(
        self, head: Head, stream: StreamIndex, start: int, count: int
    ) -> tuple[int, int, int, int]:
        """Return start, end and number of the samples of a chunk that is not believed, and where to go on."""
        name, follows = f"stream {stream.header.name!r}", self._follows(head.end)
        for width in (1, 4, 8) if follows else ():  # is it the count, or the layout?
            first = head.start + 1 + width
            n = int.from_bytes(self._read(head.start + 1, width), "little")
            n_wrong = self._misfits(stream, first, head.end, n)
            if n_wrong >= 0:
                fewer, end, _ = self._measured(stream, start, n - 1, head.end)
                if is_fewer := fewer > 0 and end == head.end:  # both fit: rather none too many
                    first, n = start, fewer
                if n_wrong == 0 or is_fewer:
                    self._note(head.position, f"the sample count of a chunk of {name} is broken")
                self._fitting.add(stream.stream_id)
                return first, head.end, n, head.end
        found = self._resync.after(head.position + 1)
        limit = self.index.n_bytes if found is None else found
        n, end, broken = self._measured(stream, start, count, limit)
        if n == count > 0 and end == limit:
            self._note(head.position, f"the chunk's length is wrong; it was ended at byte {end}")
            self._fitting.add(stream.stream_id)
            return start, end, count, end
        if follows:
            n_bytes = head.end - start
            self._note(head.position, f"a chunk of {name} claims {count} samples in {n_bytes} bytes")
            n_all, end_of_all, _ = self._measured(stream, start, n_bytes // stream.sample_bytes, head.end)
            if n_all > 0 and end_of_all == head.end:
                self._fitting.add(stream.stream_id)
                return start, head.end, n_all, head.end
            if stream.dtype is not None:  # of another stream, or shifted against its layout
                return start, head.end, 0, head.end
        elif found is None and not broken:
            self._note(head.position, "the file ends inside this chunk")
            self._fitting.add(stream.stream_id)
        else:
            self._note(head.position, f"the chunk's length is wrong; it was ended at byte {limit}")
        limit = min(head.end, limit) if follows else limit
        count = max(0, min(count, (limit - start) // stream.sample_bytes))
        if limit - start > _LONGEST_CHECKED:
            return start, limit, count, limit
        # The sample before a break is where it went wrong.
        n, end, _ = self._measured(stream, start, min(n, count) - int(n > 0 and broken), limit)
        return start, end, n, limit


def _check_magic(magic: bytes, path: Path) -> None:
    if magic == MAGIC:
        return
    remedy = "give a recording of LabRecorder; affectscope publish recording plays EDF, BDF, FIF and others"
    remedy = "unpack it first" if magic[:2] == b"\x1f\x8b" else remedy
    expected, found = MAGIC.decode(), magic.decode("latin-1")
    what = f"is not an XDF file: expected it to begin with {expected!r}, found {found!r}"
    raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)


def _n_stamped(stream: StreamIndex, count: int, n_bytes: int) -> int | None:
    """Return how many of ``count`` samples in ``n_bytes`` are stamped, None if they cannot fill these.

    Of texts it is not known.
    """
    rest = n_bytes - count * stream.sample_bytes
    if count < 0 or rest < 0:
        return None
    if stream.dtype is None:
        return count if count or not rest else None
    return rest // 8 if rest % 8 == 0 and rest <= 8 * count else None
