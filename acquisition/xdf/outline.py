"""One pass over a recording's stamps: where its streams have gaps, what its markers say, what is broken.

The pass leaves bookmarks behind, so that a replay reaches a moment deep in the file without mapping every
stamp before it again; the times it gets are the same to the last bit.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.clock_mapper import ClockMapper, Mapped
from acquisition.header import stream_identity
from acquisition.intake import MakeIntake, StreamIntake
from acquisition.types import Kind, MapSegment
from acquisition.xdf.format import StreamIndex, XdfIndex
from acquisition.xdf.reader import Place, StreamReader
from acquisition.xdf.recorded_clock import read_recorded_segments, unix_stamped

_BOOKMARK_S = 30.0
_N_MOST_MARKERS = 2000
_N_MOST_GAPS = 500
_LONGEST_TEXT = 200  # characters of a marker
#: Shorter holes are no gaps: a camera may take half a second for a frame, other streams 0.1 s.
_SHORTEST_GAP_S = {Kind.VIDEO: 0.5}
#: A stream that begins or ends this much after or before the others has a gap there.
_MISSING_END_S = 1.0


@dataclass(frozen=True, eq=False)
class Bookmark:
    """The state in which a stream's reading stands at the start of a chunk."""

    time: float  # LSL seconds of the newest sample before it
    raw_time: float  # its stamp
    place: Place
    mapper: ClockMapper  # to be copied, not used


@dataclass(frozen=True)
class Marker:
    """A marker's text, cut after 200 characters."""

    time: float  # LSL seconds
    text: str
    stream: str  # name


@dataclass(frozen=True)
class Gap:
    """A hole in a stream."""

    time: float  # LSL seconds of its beginning
    duration_s: float
    stream: str  # name
    kind: Kind


@dataclass(eq=False)
class Outline:
    """What a pass over the file found.

    Markers are the first 2000, gaps the longest 500, both in order of time; ``n_markers`` and ``n_gaps``
    count all.
    """

    first_time: float = math.nan  # LSL seconds of the first and last sample of all streams
    last_time: float = math.nan
    markers: list[Marker] = field(default_factory=list)
    n_markers: int = 0
    gaps: list[Gap] = field(default_factory=list)
    n_gaps: int = 0
    damage: tuple[str, ...] = ()
    bookmarks: dict[int, list[Bookmark]] = field(default_factory=dict)  # by stream id
    recorded: Mapping[str, Sequence[MapSegment]] = field(default_factory=dict)  # clock maps of the file

    def bookmark_before(self, stream_id: int, time: float) -> Bookmark | None:
        """Return the newest bookmark of a stream before ``time``, if there is one."""
        bookmarks = self.bookmarks.get(stream_id, [])
        at = bisect_left(bookmarks, time, key=lambda bookmark: bookmark.time)
        return bookmarks[at - 1] if at else None


def outline_xdf(
    index: XdfIndex,
    kinds: Mapping[int, Kind],
    make_intake: MakeIntake,
    progress: Callable[[float], None] = lambda share: None,
) -> Outline:
    """Look through the selected streams of a file; takes about 1 ms a recorded second.

    Parameters
    ----------
    index : XdfIndex
    kinds : mapping of int to Kind
        Stream ids and what each carries.
    make_intake : callable
        As for `XdfSource`.
    progress : callable
        Told the share done, 0..1, now and then; what it raises ends the pass.
    """
    outline = Outline(recorded=read_recorded_segments(index))
    refused = unix_stamped(index, outline.recorded)
    streams = {i: index.streams[i] for i in kinds if i not in refused and len(index.streams[i].starts)}
    n_all = max(1, sum(len(stream.starts) for stream in streams.values()))
    n_done = 0
    damage = []
    spans: list[tuple[StreamIndex, Kind, float, float]] = []
    for stream_id, stream in streams.items():
        stream_pass = _StreamPass(stream, kinds[stream_id], make_intake, outline)
        reader = StreamReader(index.path, stream)
        try:
            for at in range(len(stream.starts)):
                stream_pass.take_chunk(reader)
                if at % 100 == 0:
                    progress((n_done + at) / n_all)
        finally:
            reader.close()
        n_done += len(stream.starts)
        damage += reader.damage
        if not math.isnan(stream_pass.first):
            spans.append((stream, kinds[stream_id], stream_pass.first, stream_pass.last))
    outline.damage = tuple(f"byte {entry.position}: {entry.what}" for entry in [*index.damage, *damage])
    _finish(outline, spans)
    return outline


class _StreamPass:
    """Takes one stream's chunks in order and notes what they hold in the outline."""

    def __init__(self, stream: StreamIndex, kind: Kind, make_intake: MakeIntake, outline: Outline) -> None:
        self.first = self.last = math.nan
        self._stream, self._kind, self._outline = stream, kind, outline
        recorded = outline.recorded.get(stream_identity(stream.header), [])
        self._intake = opened_intake(stream, "", kind, recorded, make_intake)
        self._raw_last = math.nan
        self._bookmarks = outline.bookmarks.setdefault(stream.stream_id, [])

    def take_chunk(self, reader: StreamReader) -> None:
        """Read the reader's next chunk."""
        if self.last - (self._bookmarks[-1].time if self._bookmarks else self.first) >= _BOOKMARK_S:
            mapper = self._intake.mapper.copy()
            self._bookmarks.append(Bookmark(self.last, self._raw_last, reader.place, mapper))
        for block in reader.blocks_of_next_chunk():
            mapped = self._intake.mapper.map(block.stamps)
            self._intake.take_segments()
            if len(mapped.times) == 0:
                continue
            if self._kind is Kind.MARKERS:
                rows = block.values if mapped.keep is None else _kept(block.values, mapped.keep)
                self._note_markers(mapped, self._intake.adapter.convert(rows))
            else:
                self._note_gaps(mapped)
            if math.isnan(self.first):
                self.first = float(mapped.times[0])
            self.last, self._raw_last = float(mapped.times[-1]), float(block.stamps[-1])

    def _note_markers(self, mapped: Mapped, texts: Iterable[object]) -> None:
        outline, name = self._outline, self._stream.header.name
        outline.n_markers += len(mapped.times)
        n_room = _N_MOST_MARKERS - len(outline.markers)
        for _, time, text in zip(range(n_room), mapped.times, texts, strict=False):
            outline.markers.append(Marker(float(time), str(text)[:_LONGEST_TEXT], name))

    def _note_gaps(self, mapped: Mapped) -> None:
        shortest_s = _SHORTEST_GAP_S.get(self._kind, 0.0)
        for at in mapped.breaks:
            before = float(mapped.times[at - 1]) if at else self.last  # NaN before the first sample
            duration_s = float(mapped.times[at]) - before
            if duration_s > shortest_s:
                add_gap(self._outline, Gap(before, duration_s, self._stream.header.name, self._kind))


def add_gap(outline: Outline, gap: Gap) -> None:
    """Note a gap; of very many, the longest are kept."""
    outline.n_gaps += 1
    outline.gaps.append(gap)
    if len(outline.gaps) > 4 * _N_MOST_GAPS:
        outline.gaps = heapq.nlargest(_N_MOST_GAPS, outline.gaps, key=lambda kept: kept.duration_s)


def _finish(outline: Outline, spans: Sequence[tuple[StreamIndex, Kind, float, float]]) -> None:
    """Add what only the whole tells: the span, and streams that begin late or end early."""
    outline.first_time = min((first for _, _, first, _ in spans), default=math.nan)
    outline.last_time = max((last for _, _, _, last in spans), default=math.nan)
    for stream, kind, first, last in spans:
        if kind is Kind.MARKERS:
            continue
        for begin, end in ((outline.first_time, first), (last, outline.last_time)):
            if end - begin > _MISSING_END_S:
                add_gap(outline, Gap(begin, end - begin, stream.header.name, kind))
    longest = heapq.nlargest(_N_MOST_GAPS, outline.gaps, key=lambda gap: gap.duration_s)
    outline.gaps = sorted(longest, key=lambda gap: gap.time)
    outline.markers.sort(key=lambda marker: marker.time)


def opened_intake(
    stream: StreamIndex, key: str, kind: Kind, recorded: Sequence[MapSegment], make_intake: MakeIntake
) -> StreamIntake:
    """Return a stream's way in, with all of the file's clock offsets."""
    intake = make_intake(stream.header, key, kind, recorded)
    for raw_time, offset_s in zip(stream.offset_times, stream.offset_values, strict=True):
        intake.add_offset(raw_time, offset_s)
    return intake


def _kept(
    values: NDArray[Any] | list[tuple[str, ...]], keep: NDArray[np.bool_]
) -> NDArray[Any] | list[tuple[str, ...]]:
    if isinstance(values, np.ndarray):
        return values[keep]
    return [values[int(i)] for i in np.flatnonzero(keep)]
