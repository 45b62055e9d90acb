"""What one look at a recording tells: its clock maps, markers, gaps and damage, and bookmarks for seeking."""

import contextlib
import heapq
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from acquisition.header import CLOCK_TYPE, PREDICTION_ID, stream_identity
from acquisition.intake import MakeIntake, StreamIntake, kept_rows
from acquisition.text import parse_json
from acquisition.timebase import ClockMapper, Mapped
from acquisition.types import Kind, Lateness, MapSegment
from acquisition.xdf.format import StreamIndex, XdfIndex
from acquisition.xdf.reader import Place, StreamReader

_T = TypeVar("_T")
_UNIX_EPOCH_S = (1.0e9, 2.6e9)  # stamps of 2001 to 2052
_LONGEST_HOLE_S = 5e8  # 16 years


def read_recorded_segments(index: XdfIndex) -> dict[str, list[MapSegment]]:
    """Return the clock maps an own recording carries, by stream identity; {} in other files."""
    return _read_own(index, _parse_segment)


def read_lateness(index: XdfIndex) -> dict[str, list[Lateness]]:
    """Return what windows of the live run lacked, in order of time, by stream identity; {} in other files."""
    return _read_own(index, _parse_lateness)


def read_decoded(index: XdfIndex) -> list[float]:
    """Return the ends of the windows that an own recording's live run decoded, LSL seconds."""
    own = [s for s in index.streams.values() if s.header.source_id.startswith(PREDICTION_ID)]
    found = list[float]()
    for stream in own:
        with StreamReader(index.path, stream) as reader:
            found += [stamp for block in reader.blocks() for stamp in block.stamps.tolist()]
    return found


def _read_own(index: XdfIndex, parse: Callable[[Any], _T]) -> dict[str, list[_T]]:
    """Return what of an own recording's clock stream can be parsed, by stream identity."""
    found: dict[str, list[_T]] = defaultdict(list)
    for stream in index.streams.values():
        if stream.header.type != CLOCK_TYPE or stream.dtype is not None:
            continue
        with StreamReader(index.path, stream) as reader:
            for row in (row for block in reader.blocks() for row in block.values):
                with contextlib.suppress(ValueError, TypeError, KeyError):  # a damaged file holds anything
                    content = parse_json(row[0])
                    found[str(content["stream"])].append(parse(content))
        index.damage.extend(entry for entry in reader.damage if entry not in index.damage)
    return dict(found)


def _parse_segment(content: Any) -> MapSegment:
    names = ("raw_start", "t_start", "period_s", "offset_s", "sfreq")
    numbers = {name: _finite(content[name]) for name in names}
    is_break, pause = bool(content["is_break"]), str(content.get("pause", ""))
    return MapSegment(stream=str(content["stream"]), is_break=is_break, pause=pause, **numbers)


def _parse_lateness(content: Any) -> Lateness:
    newest = content["newest"]
    t_end, newest = _finite(content["t_end"]), None if newest is None else _finite(newest)
    return Lateness(str(content["stream"]), t_end, newest)


def _finite(value: Any) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError("expected a finite number")
    return number


def first_stamp(stream: StreamIndex) -> float:
    """Return the first raw stamp that is written in the file, NaN if there is none."""
    return next((stamp for stamp in stream.first_stamps if not math.isnan(stamp)), math.nan)


def last_stamp(index: XdfIndex, stream: StreamIndex) -> float:
    """Return the last raw stamp, estimated by counting where the last chunks leave it out."""
    for chunk in range(len(stream.starts) - 1, -1, -1):
        stamp = stream.first_stamps[chunk]
        if math.isnan(stamp):
            continue
        if chunk < len(stream.starts) - 1:
            return stamp + (sum(stream.counts[chunk:]) - 1) * stream.deduced_step_s
        with StreamReader(index.path, stream, Place(chunk)) as reader:
            for block in reader.blocks():
                stamp = float(block.stamps[-1])
        return stamp
    stamp = math.nan  # no chunk begins with a stamp that can be: as a reader counts
    with StreamReader(index.path, stream) as reader:
        for block in reader.blocks():
            stamp = float(block.stamps[-1])
    return stamp


def rough_lsl_time(stream: StreamIndex, stamp: float, recorded: Sequence[MapSegment], newest: bool) -> float:
    """Return the LSL time of the first or (``newest``) last stamp to a fraction of a second."""
    if recorded:
        begun = [segment for segment in recorded if segment.raw_start <= stamp]
        segment = begun[-1] if begun else recorded[0]
        return stamp + (segment.t_start - segment.raw_start if segment.period_s else segment.offset_s)
    if len(stream.offset_values) == 0:
        return stamp
    return stamp + stream.offset_values[-1 if newest else 0]


def unix_stamped(index: XdfIndex, recorded: Mapping[str, Sequence[MapSegment]]) -> set[int]:
    """Return the streams whose stamps count from 1970 while other streams' do not."""
    firsts = {
        stream_id: rough_lsl_time(
            stream, first_stamp(stream), recorded.get(stream_identity(stream.header), ()), newest=False
        )
        for stream_id, stream in index.streams.items()
    }
    known = sorted(time for time in firsts.values() if not math.isnan(time))
    # Between the streams on the LSL clock and those on the Unix clock lies a hole of decades.
    borders = [high for low, high in pairwise(known) if high - low > _LONGEST_HOLE_S]
    return {
        stream_id
        for stream_id, time in firsts.items()
        if borders and time >= borders[-1] and _UNIX_EPOCH_S[0] < time < _UNIX_EPOCH_S[1]
        if stream_identity(index.streams[stream_id].header) not in recorded
    }


def unix_message(stream: StreamIndex) -> str:
    """Return why a replay does not use one of `unix_stamped`."""
    return (
        f"stream {stream.header.name!r} ({stream.header.type}) has timestamps in Unix time "
        f"({first_stamp(stream):.0f} s) while the other streams are on the LSL clock: "
        "it cannot be aligned with them, and a replay does not use it"
    )


def clock_reset_starts(stream: StreamIndex) -> list[int]:
    """Return the entries of the clock offsets at which a new clock begins (pyxdf's rule).

    A reset is a measurement earlier than the one before, or one that is an outlier both in its
    distance in time (5 MAD and 5 s) and in its change of value (10 MAD and 1 s).
    """
    if len(stream.offset_times) < 2:
        return []
    steps = np.diff(stream.offsets, axis=0)
    outlier = _outliers(steps[:, 0], 5.0, 5.0) & _outliers(steps[:, 1], 10.0, 1.0)
    return (np.flatnonzero((steps[:, 0] < 0) | outlier) + 1).tolist()


def _outliers(steps: np.ndarray, n_mads: float, seconds: float) -> np.ndarray:
    away = np.abs(steps - np.median(steps))
    mad = np.median(away) + np.finfo(float).eps
    return (away / mad > n_mads) & (away > seconds)


def read_markers(index: XdfIndex, stream_id: int, make_intake: MakeIntake) -> list[tuple[float, str]]:
    """Return (LSL seconds, text) of every marker of a stream, in order of time.

    Raises `InputError` if the stream has no readable markers.
    """
    stream = index.streams[stream_id]
    if len(stream.starts) == 0:
        return []
    intake = opened_intake(stream, "", Kind.MARKERS, (), make_intake)
    markers: list[tuple[float, str]] = []
    with StreamReader(index.path, stream) as reader:
        for block in reader.blocks():
            chunk = intake.feed(block.stamps, block.values)
            if chunk is not None:
                markers += zip(chunk.times.tolist(), map(str, chunk.data), strict=True)
    return markers


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

    The bookmarks let a replay reach a moment deep in the file without mapping every stamp before it again;
    the times it gets are the same to the last bit. ``kinds`` and ``make_intake`` are as for `XdfSource`;
    ``progress`` is told the share done, 0..1, now and then, and what it raises ends the pass.
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
        with StreamReader(index.path, stream) as reader:
            for at in range(len(stream.starts)):
                stream_pass.take_chunk(reader)
                if at % 100 == 0:
                    progress((n_done + at) / n_all)
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
        if self.last - (self._bookmarks[-1].time if self._bookmarks else self.first) >= _BOOKMARK_S:
            mapper = self._intake.mapper.copy()
            self._bookmarks.append(Bookmark(self.last, self._raw_last, reader.place, mapper))
        for block in reader.blocks_of_next_chunk():
            mapped = self._intake.mapper.map(block.stamps)
            self._intake.mapper.take_segments()
            if len(mapped.times) == 0:
                continue
            if self._kind is Kind.MARKERS:
                rows = block.values if mapped.keep is None else kept_rows(block.values, mapped.keep)
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
        intake.mapper.add_offset(raw_time, offset_s)
    return intake
