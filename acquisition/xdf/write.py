"""Writes XDF files: test files, benchmark files, and cuts of recordings."""

from __future__ import annotations

import struct
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from acquisition.header import parse_header
from acquisition.xdf.format import BOUNDARY_UUID, DTYPES, MAGIC, STAMP_BYTES, Tag


class XdfWriter(AbstractContextManager["XdfWriter"]):
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
            stamped = [b"\0" if np.isnan(time) else b"\x08" + time.tobytes() for time in times]
            content = b"".join(map(bytes.__add__, stamped, rows))
        else:
            with np.errstate(over="ignore"):  # what no float32 holds is infinite in the file
                numbers = np.ascontiguousarray(values, DTYPES[name])
            content = _numbers(times, numbers.reshape(-1, n_channels))
        self._chunk(Tag.SAMPLES, struct.pack("<IBI", stream_id, 4, len(times)) + content)

    def clock_offset(self, stream_id: int, raw_time: float, offset_s: float) -> None:
        """Write a measurement: LSL time = raw time + ``offset_s``."""
        self._chunk(Tag.CLOCK_OFFSET, struct.pack("<Idd", stream_id, raw_time, offset_s))

    def boundary(self) -> None:
        """Write the mark that readers of damaged files look for."""
        self._chunk(Tag.BOUNDARY, BOUNDARY_UUID)

    def footer(self, stream_id: int, xml: str) -> None:
        self._chunk(Tag.STREAM_FOOTER, struct.pack("<I", stream_id) + xml.encode())

    def _chunk(self, tag: Tag, content: bytes) -> None:
        length = len(content) + 2
        prefix = struct.pack("<BB", 1, length) if length < 256 else struct.pack("<BI", 4, length)
        self._file.write(prefix + struct.pack("<H", tag) + content)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()


def _numbers(times: NDArray[np.float64], values: NDArray[Any]) -> bytes:
    octets = values.view(np.uint8)  # (n, bytes of a sample)
    sizes = np.where(np.isnan(times), 0, STAMP_BYTES)
    starts = np.cumsum(sizes + 1 + octets.shape[1]) - sizes - 1 - octets.shape[1]
    out = np.zeros(int(sizes.sum()) + len(times) + octets.size, np.uint8)
    stamped = np.flatnonzero(sizes)
    out[starts] = sizes
    stamps = times[stamped, None].astype("<f8").view(np.uint8)
    out[starts[stamped, None] + np.arange(1, 1 + STAMP_BYTES)] = stamps
    out[(starts + 1 + sizes)[:, None] + np.arange(octets.shape[1])] = octets
    return out.tobytes()


def _text(text: str) -> bytes:
    raw = text.encode()
    return (struct.pack("<BB", 1, len(raw)) if len(raw) < 256 else struct.pack("<BI", 4, len(raw))) + raw
