"""A recording as a source: the same chunks a live source gives, merged by LSL time."""

import heapq
import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from acquisition.clock_fit import LONGEST_PAUSE_S, RESET_S
from acquisition.errors import ErrorCode, InputError
from acquisition.header import stream_identity
from acquisition.intake import MakeIntake, StreamIntake
from acquisition.stream_words import note_events
from acquisition.types import MODALITY_OF_KIND, Change, Chunk, Kind, MapSegment, StreamEvent, StreamLedger
from acquisition.xdf.format import StreamIndex, XdfIndex
from acquisition.xdf.outline import (
    Outline,
    last_stamp,
    opened_intake,
    read_recorded_segments,
    rough_lsl_time,
    unix_message,
    unix_stamped,
)
from acquisition.xdf.reader import SKIP_MARGIN_S, Cursor, StreamReader
from acquisition.xdf.scan import scan_xdf

#: LabRecorder collects twice a second and drops what came since when it is told to stop, so that streams
#: which were all sending end up to half a second apart.
_RAGGED_S = 0.75


class XdfSource:
    """Replays selected streams of an XDF file in bounded memory.

    Parameters
    ----------
    path : Path
        The recording.
    keys_kinds : mapping of int to Kind
        Stream ids to replay and what each carries.
    make_intake : callable
        Called with header, key, kind and the recorded clock map ([] in foreign files).
    start, stop : float, optional
        Seconds after the first mapped sample of the selected streams. Every stamp before ``start`` is
        still mapped, so the times do not depend on where a replay begins.
    chunk : int, optional
        Samples fed to the intake at a time; None for the file's own chunks. Joined pieces stay below
        8 MB. It changes no bit of what is delivered.
    index, outline : optional
        Of the same file and streams, where the caller has them; a ``start`` deep in the file is then
        reached at once.

    Raises
    ------
    InputError
        If the file is not an XDF file, a stream id is not in it, or ``make_intake`` refuses a stream.
    """

    def __init__(
        self,
        path: Path,
        keys_kinds: Mapping[int, Kind],
        make_intake: MakeIntake,
        *,
        start: float | None = None,
        stop: float | None = None,
        chunk: int | None = None,
        index: XdfIndex | None = None,
        outline: Outline | None = None,
    ) -> None:
        self.index = index if index is not None else scan_xdf(path)
        self.keys = _keys(self.index, keys_kinds)
        self._cursors: list[Cursor] = []
        self._events: list[StreamEvent] = []
        self._n_piece = chunk
        self._recorded = read_recorded_segments(self.index) if outline is None else outline.recorded
        self._outline = outline
        self._ledgers: dict[str, StreamLedger] = {}
        try:
            self._open(keys_kinds, make_intake, start)
            self._set_bounds(start, stop)
        except BaseException:
            self.close()
            raise

    @property
    def damage(self) -> list[str]:
        inside = [entry for cursor in self._cursors for entry in cursor.reader.damage]
        return [f"byte {entry.position}: {entry.what}" for entry in [*self.index.damage, *inside]]

    def read(self, now: float) -> list[Chunk | StreamEvent]:
        """Return all samples with a time up to ``now`` that were not returned before, oldest first."""
        out: list[Chunk | StreamEvent] = list(self._events)
        self._events.clear()
        while self._heap and self._heap[0][0] <= now:
            _, at = self._heap[0]
            out += self._following.pop(at, [])
            chunk = self._cursors[at].take(now)
            out += [chunk, *self._told(self._cursors[at])]
            next_time = self._cursors[at].next_time
            if next_time is None:
                heapq.heappop(self._heap)
                out.append(StreamEvent(chunk.stream, Change.ENDED, float(chunk.times[-1])))
            else:
                heapq.heapreplace(self._heap, (next_time, at))
        return out

    def complete_to(self, now: float) -> float:
        """Return ``now``: after ``read(now)`` nothing older can come."""
        return now

    @property
    def next_time(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    @property
    def exhausted(self) -> bool:
        return not self._heap and not self._events

    def ledgers(self) -> dict[str, StreamLedger]:
        return self._ledgers

    def _told(self, cursor: Cursor) -> list[StreamEvent]:
        intake = cursor.intake
        return note_events(intake.key, intake.spec.name, intake.mapper.take_notes())

    def close(self) -> None:
        for cursor in self._cursors:
            cursor.reader.close()

    def _open(self, keys_kinds: Mapping[int, Kind], make_intake: MakeIntake, start: float | None) -> None:
        refused = unix_stamped(self.index, self._recorded)
        ends: list[float] = []
        regular_ends: list[float] = []
        spans: dict[int, tuple[str, float, float]] = {}  # of signals, by the first of streams that follow
        for stream_id, kind in keys_kinds.items():
            stream, key = self.index.streams[stream_id], self.keys[stream_id]
            recorded = self._recorded.get(stream_identity(stream.header), [])
            self._ledgers[key] = StreamLedger(stream.header.name, MODALITY_OF_KIND.get(kind, ""))
            if stream_id in refused:
                self._events.append(StreamEvent(key, Change.REFUSED, math.nan, unix_message(stream)))
                continue
            if len(stream.starts) == 0:
                message = f"stream {stream.header.name!r} ({stream.header.type}) has no samples"
                self._events.append(StreamEvent(key, Change.WARNING, math.nan, message))
                continue
            intake = opened_intake(stream, key, kind, recorded, make_intake)
            self._cursors.append(self._cursor(stream, intake, start))
            for segment, following in zip_longest(recorded, recorded[1:]):
                is_own = segment.pause and segment.sfreq == stream.header.nominal_sfreq
                if is_own and not (following and following.pause):
                    message = f"{intake.spec.name}: left out from here on, as it was live: {segment.pause}"
                    self._events.append(StreamEvent(key, Change.NOTICE, segment.t_start, message))
            self._ledgers[key] = intake.mapper.ledger
            if kind is Kind.MARKERS and set(keys_kinds.values()) != {Kind.MARKERS}:
                continue  # the signals say where a replay ends
            ends.append(self._end_of(stream, kind, recorded, make_intake))
            if kind in MODALITY_OF_KIND and (begin := self._cursors[-1].next_time) is not None:
                first = stream_id if stream.follows is None else stream.follows
                _, *known_span = spans.get(first, ("", begin, ends[-1]))
                spans[first] = intake.spec.name, min(known_span[0], begin), max(known_span[1], ends[-1])
            if intake.spec.sfreq > 0:
                regular_ends.append(ends[-1])
        firsts = [c.next_time for c in self._cursors if c.next_time is not None]
        self.first_time = min(firsts, default=math.nan)
        if self._outline is not None:  # the cursors may have begun later
            self.first_time = self._outline.first_time
        if self._outline is None or start is None:  # else the cursors may have begun later
            self._events += _apart(list(spans.values()))
        known = [end for end in ends if not math.isnan(end)]
        self.last_time = max(known, default=self.first_time)
        to_the_end = [end for end in regular_ends if end > self.last_time - _RAGGED_S]
        self.whole_to = min(to_the_end, default=self.last_time)

    def _end_of(
        self, stream: StreamIndex, kind: Kind, recorded: Sequence[MapSegment], make_intake: MakeIntake
    ) -> float:
        """Return the LSL time of the last sample: about, or exactly where its stamps leap."""
        stamps = np.array([*stream.first_stamps, last_stamp(self.index, stream)])
        steps = np.diff(stamps[~np.isnan(stamps)])
        if not ((steps < -RESET_S) | (steps > LONGEST_PAUSE_S)).any():
            return rough_lsl_time(stream, last_stamp(self.index, stream), recorded, newest=True)
        mapper, end = opened_intake(stream, "", kind, recorded, make_intake).mapper, math.nan
        with StreamReader(self.index.path, stream) as reader:
            for block in reader.blocks():
                times = mapper.map(block.stamps).times
                end = float(times[-1]) if len(times) else end
                mapper.take_segments()
        return end

    def _cursor(self, stream: StreamIndex, intake: StreamIntake, start: float | None) -> Cursor:
        """Return a stream's cursor, at the bookmark before the start where there is one."""
        bookmark = None
        if self._outline is not None and start is not None:
            begin = self._outline.first_time + start - SKIP_MARGIN_S
            bookmark = self._outline.bookmark_before(stream.stream_id, begin)
        if bookmark is None:
            return Cursor(StreamReader(self.index.path, stream), intake, self._n_piece)
        ledger, intake.mapper = intake.mapper.ledger, bookmark.mapper.copy()
        intake.mapper.ledger = ledger
        reader = StreamReader(self.index.path, stream, place=bookmark.place)
        return Cursor(reader, intake, self._n_piece, (bookmark.raw_time, bookmark.time))

    def _set_bounds(self, start: float | None, stop: float | None) -> None:
        begin = -math.inf if start is None else self.first_time + start
        end = math.inf if stop is None else self.first_time + stop
        self._heap: list[tuple[float, int]] = []
        opened: list[StreamEvent] = []
        self._following: dict[int, list[StreamEvent]] = {}  # by the cursor's place
        for at, cursor in enumerate(self._cursors):
            cursor.set_bounds(begin, end)
            key, spec, time = cursor.intake.key, cursor.intake.spec, cursor.next_time
            opened_at = self.first_time if time is None else time
            message = f"{spec.name}: {'; '.join(spec.notes) or 'open'}"
            event = StreamEvent(key, Change.OPENED, opened_at, message, spec)
            if cursor.reader.follows is None:
                opened.append(event)
            else:  # it takes the place of another when it comes
                self._following[at] = [event]
            if time is None:
                message = f"{spec.name} has no samples in the replayed range"
                self._events.append(StreamEvent(key, Change.ENDED, opened_at, message))
            else:
                self._heap.append((time, at))
        if self._cursors and not self._heap:
            length_s = self.last_time - self.first_time
            what = f"no samples in the requested range; the recording is {length_s:.1f} s long"
            remedy = "choose other --from and --to"
            raise InputError(what, where=str(self.index.path), remedy=remedy, code=ErrorCode.RECORDING)
        heapq.heapify(self._heap)
        self._events = opened + self._events
        self.first_time = max(self.first_time, begin)
        self.last_time = max(self.first_time, min(self.last_time, end))
        self.whole_to = max(self.first_time, min(self.whole_to, end))


def _apart(spans: Sequence[tuple[str, float, float]]) -> list[StreamEvent]:
    """Return a warning that names the signals (name, first, last time) never sent beside another."""
    alone = [
        f"{name} from {first:.0f} to {last:.0f} s"
        for at, (name, first, last) in enumerate(spans)
        if not any(first <= end and begin <= last for _, begin, end in (*spans[:at], *spans[at + 1 :]))
    ]
    if len(spans) < 2 or not alone:
        return []
    message = (
        f"by the timestamps no other stream sent beside {', nor beside '.join(alone)}: no window holds both"
    )
    return [StreamEvent("", Change.WARNING, math.nan, message, code="apart")]


def _keys(index: XdfIndex, keys_kinds: Mapping[int, Kind]) -> dict[int, str]:
    """Return a key for each selected stream: its identity, with the id where two share one."""
    for stream_id in keys_kinds:
        if stream_id not in index.streams:
            known = ", ".join(map(str, index.streams)) or "none"
            what = f"no stream {stream_id}; the file has {known}"
            raise InputError(what, where=str(index.path), code=ErrorCode.RECORDING)
    identities = [stream_identity(stream.header) for stream in index.streams.values()]
    keys = {}
    for stream_id in keys_kinds:
        identity = stream_identity(index.streams[stream_id].header)
        keys[stream_id] = identity if identities.count(identity) == 1 else f"{identity}#{stream_id}"
    return keys
