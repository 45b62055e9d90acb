"""Writes what can be read of a damaged recording as a whole one."""

from __future__ import annotations

import heapq
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError, file_errors, printable
from acquisition.header import parse_xml
from acquisition.types import StreamHeader
from acquisition.xdf.format import Damage, StreamIndex, XdfIndex, read_errors
from acquisition.xdf.reader import StreamReader
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.write import XdfWriter

_BOUNDARY_BYTES = 1 << 20  # of the original between two marks


def salvage_xdf(
    path: Path, target: Path, progress: Callable[[float], None] = lambda share: None, *, force: bool = False
) -> tuple[dict[str, int], list[Damage]]:
    """Copy headers, samples, clock offsets and footers that can be read into a new XDF file.

    Stamps are those that `StreamReader` gives. Memory is bounded as in `scan_xdf`; ``target`` appears only
    when it is complete. Parts of a recording are copied one by one.

    Returns
    -------
    n_samples : dict of str to int
        What was written, by the streams' names with their ids.
    damage : list of Damage
        What was broken in the original.

    Raises
    ------
    InputError
        If ``path`` is no XDF file, ``target`` exists and ``force`` is not given, or it cannot be written.
    """
    index = scan_xdf(path)
    _check_target(path, target, force)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    if os.path.lexists(part):
        what, remedy = "a file of this name is there already", "remove it, or choose another name"
        raise InputError(what, where=str(part), remedy=remedy, code=ErrorCode.FILE)
    with file_errors("cannot be written", target, "choose another place"):
        try:
            found = _copy(index, part, progress)
            shutil.copymode(path, part)
            os.replace(part, target)
        finally:
            with suppress(OSError):
                part.unlink()
    return found


def _check_target(path: Path, target: Path, force: bool) -> None:
    if not target.exists():
        return
    what, remedy = "the file exists and is not overwritten", "choose another name, or add --force"
    if target.samefile(path) or not target.is_file():
        what, remedy = "expected a new file, found the original or no regular file", "choose another name"
    elif force:
        return
    raise InputError(what, where=str(target), remedy=remedy, code=ErrorCode.FILE)


def _copy(
    index: XdfIndex, part: Path, progress: Callable[[float], None]
) -> tuple[dict[str, int], list[Damage]]:
    damage = list(index.damage)
    with read_errors(index.path), index.path.open("rb", buffering=0) as file, XdfWriter(part) as writer:
        readers = {i: StreamReader(index.path, stream, file=file) for i, stream in index.streams.items()}
        spans = {i: _Span() for i in readers}
        for stream_id, stream in index.streams.items():
            begin, end = stream.header_place
            file.seek(begin)
            xml = file.read(end - begin).decode("utf-8", "replace")
            writer.add_stream(stream_id, _whole_header(xml, stream.header))
            for raw_time, offset_s in zip(stream.offset_times, stream.offset_values, strict=True):
                writer.clock_offset(stream_id, raw_time, offset_s)
        marked = 0
        for position, stream_id in heapq.merge(*map(_chunks, index.streams.values())):
            for block in readers[stream_id].blocks_of_next_chunk():
                stamps = spans[stream_id].take(block.stamps, index.streams[stream_id].deduced_step_s)
                writer.samples(stream_id, stamps, block.values)
            if position - marked > _BOUNDARY_BYTES:
                marked = position
                writer.boundary()
                progress(position / index.n_bytes)
        for stream_id, span in spans.items():
            texts = "".join(f"<{tag}>{value!r}</{tag}>" for tag, value in vars(span).items())
            writer.footer(stream_id, f'<?xml version="1.0"?><info>{texts}</info>')
            damage += readers[stream_id].damage
    names = {i: f"{stream.header.name or 'stream'} ({i})" for i, stream in index.streams.items()}
    return {names[i]: span.sample_count for i, span in spans.items()}, damage


def _chunks(stream: StreamIndex) -> Iterator[tuple[int, int]]:
    return ((start, stream.stream_id) for start in stream.starts)


class _Span:
    """What has been written of a stream, by the tags of its footer."""

    def __init__(self) -> None:
        self.first_timestamp = self.last_timestamp = 0.0
        self.sample_count = 0

    def take(self, stamps: NDArray[np.float64], step_s: float) -> NDArray[np.float64]:
        """Count samples, and return their stamps with NaN for those that a reader deduces to the last bit."""
        before = np.concatenate([[self.last_timestamp if self.sample_count else np.nan], stamps[:-1]])
        self.first_timestamp = self.first_timestamp if self.sample_count else float(stamps[0])
        self.last_timestamp = float(stamps[-1])
        self.sample_count += len(stamps)
        return np.where((stamps == before + step_s) & (step_s > 0), np.nan, stamps)


def _whole_header(xml: str, header: StreamHeader) -> str:
    """Return a header's XML, "" if it is broken, with what was read of the fields that every reader needs."""
    root = parse_xml(xml) if xml else ET.Element("info")
    fields = {
        "name": header.name,
        "type": header.type,
        "channel_count": str(header.n_channels),
        "nominal_srate": repr(header.nominal_sfreq),
        "channel_format": header.channel_format,
        "source_id": header.source_id,
    }
    missing = [tag for tag, text in fields.items() if text and not root.findtext(tag)]
    for tag in missing:
        ET.SubElement(root, tag).text = printable(fields[tag])
    return ET.tostring(root, "unicode", xml_declaration=True) if missing else xml
