"""All markers of one stream of a recording, on the LSL clock."""

from __future__ import annotations

from acquisition.intake import MakeIntake
from acquisition.types import Kind
from acquisition.xdf.format import XdfIndex
from acquisition.xdf.outline import opened_intake
from acquisition.xdf.reader import StreamReader


def read_markers(index: XdfIndex, stream_id: int, make_intake: MakeIntake) -> list[tuple[float, str]]:
    """Return (LSL seconds, text) of every marker of a stream, in order of time.

    Raises
    ------
    InputError
        If the stream holds no markers that can be read.
    """
    stream = index.streams[stream_id]
    if len(stream.starts) == 0:
        return []
    intake = opened_intake(stream, "", Kind.MARKERS, (), make_intake)
    reader = StreamReader(index.path, stream)
    markers: list[tuple[float, str]] = []
    try:
        for block in reader.blocks():
            chunk = intake.feed(block.stamps, block.values)
            if chunk is not None:
                markers += zip(chunk.times.tolist(), map(str, chunk.data), strict=True)
    finally:
        reader.close()
    return markers
