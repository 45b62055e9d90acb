"""Finds where a damaged XDF file can be read again."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from acquisition.xdf.format import BOUNDARY_UUID, LONGEST_HEAD, MAGIC, Tag, parse_head

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
        self._read = read
        self._n_bytes = n_bytes
        self._known = known_streams
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
            if (
                head.tag is not Tag.STREAM_HEADER
                and head.stream_id not in self._known
                and head.stream_id != 0
            ):
                return False
            position = head.end
            if position == self._n_bytes:
                return True
        return True
