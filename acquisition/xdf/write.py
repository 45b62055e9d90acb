"""Writes XDF files: test files, benchmark files, and cuts of recordings."""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from acquisition.header import parse_header
from acquisition.xdf.format import BOUNDARY_UUID, DTYPES, MAGIC, Tag


class XdfWriter:
    """Appends chunks to a file; a context manager.

    Parameters
    ----------
    path : Path
        Overwritten if it exists, unless ``append``.
    append : bool
        Continue after the last chunk of an existing file.
    """

    def __init__(self, path: Path, *, append: bool = False) -> None:
        self._file = Path(path).open("ab" if append else "wb")  # noqa: SIM115 (the object is the context)
        self._formats: dict[int, tuple[str, int]] = {}
        if append:
            return
        self._file.write(MAGIC)
        self._chunk(Tag.FILE_HEADER, b'<?xml version="1.0"?><info><version>1.0</version></info>')

    def add_stream(self, stream_id: int, header_xml: str) -> None:
        """Write a stream header (an LSL ``<info>`` document)."""
        header = parse_header(header_xml)
        self._formats[stream_id] = (header.channel_format, header.n_channels)
        self._chunk(Tag.STREAM_HEADER, struct.pack("<I", stream_id) + header_xml.encode())

    def samples(self, stream_id: int, stamps: ArrayLike, values: Any) -> None:
        """Write one chunk: ``stamps`` (n,), NaN to leave one out; ``values`` (n, n_channels)."""
        name, n_channels = self._formats[stream_id]
        times = np.asarray(stamps, dtype="<f8").reshape(-1)
        if name == "string":
            rows = [b"".join(_text(text) for text in row) for row in values]
        else:
            array = np.ascontiguousarray(values, dtype=DTYPES[name]).reshape(len(times), n_channels)
            rows = [row.tobytes() for row in array]
        stamped = [b"\0" if np.isnan(time) else b"\x08" + time.tobytes() for time in times]
        head = struct.pack("<IBI", stream_id, 4, len(times))
        self._chunk(Tag.SAMPLES, head + b"".join(map(bytes.__add__, stamped, rows)))

    def clock_offset(self, stream_id: int, raw_time: float, offset_s: float) -> None:
        """Write a measurement: LSL time = raw time + ``offset_s``."""
        self._chunk(Tag.CLOCK_OFFSET, struct.pack("<Idd", stream_id, raw_time, offset_s))

    def boundary(self) -> None:
        """Write the mark that readers of damaged files look for."""
        self._chunk(Tag.BOUNDARY, BOUNDARY_UUID)

    def footer(self, stream_id: int, xml: str) -> None:
        """Write a stream footer."""
        self._chunk(Tag.STREAM_FOOTER, struct.pack("<I", stream_id) + xml.encode())

    def _chunk(self, tag: Tag, content: bytes) -> None:
        length = len(content) + 2
        prefix = struct.pack("<BB", 1, length) if length < 256 else struct.pack("<BI", 4, length)
        self._file.write(prefix + struct.pack("<H", tag) + content)

    def __enter__(self) -> XdfWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _text(text: str) -> bytes:
    raw = text.encode()
    return (struct.pack("<BB", 1, len(raw)) if len(raw) < 256 else struct.pack("<BI", 4, len(raw))) + raw
