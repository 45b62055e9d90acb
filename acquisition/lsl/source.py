"""Live streams as a source of chunks: an inlet each, drained fully, reconnected, watched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.header import stream_identity
from acquisition.intake import MakeIntake, intake_maker
from acquisition.lsl.discovery import FoundStream, OpenInlet, discover, open_inlet
from acquisition.lsl.reconnect import OffsetMeter, Search, Searcher
from acquisition.lsl.stream import LiveStream, StreamHealth
from acquisition.select import select_streams
from acquisition.types import Change, Chunk, Kind, MapSegment, StreamEvent, StreamHeader, StreamSpec

_CONNECT_TIMEOUT_S = 5.0


class LslSource:
    """Reads the selected streams; implements `acquisition.types.Source`.

    Streams are keyed by ``name|type|source_id``. Everything that can take long (clock questions, the
    search for a stream that went away) happens in two background threads; `read` never waits. ``kinds`` says
    which of the found streams are used, by uid, and as what.

    Raises
    ------
    InputError
        If a stream cannot be opened or used.
    """

    def __init__(
        self,
        found: Sequence[FoundStream],
        kinds: Mapping[str, Kind],
        *,
        make_intake: MakeIntake | None = None,
        connect_timeout_s: float = _CONNECT_TIMEOUT_S,
    ) -> None:
        make_intake = make_intake or intake_maker()
        chosen = [(stream, kinds[stream.key]) for stream in found if stream.key in kinds]
        chosen.sort(key=lambda one: one[1] is Kind.MARKERS)  # modalities first
        self._clock = LslClock()
        self._unix_offset_s = self._clock.unix_offset()
        self._events: list[StreamEvent] = []
        self._must_restate = False
        self._streams: dict[str, LiveStream] = {}
        opened = _open_all(chosen, connect_timeout_s)
        for (stream, kind), inlet in zip(chosen, opened, strict=True):
            try:
                self._add(stream, kind, inlet, make_intake)
            except InputError as error:
                if kind is not Kind.MARKERS or not self._streams:
                    raise
                # Markers are not decoded: somebody's that ended since they were found stop nothing.
                message = f"markers are excluded: {error}"
                self._events.append(StreamEvent("", Change.WARNING, self._clock.now(), message))
        self._meter = OffsetMeter()
        self._searcher = Searcher()
        for key, live in self._streams.items():
            self._meter.watch(key, live.opened)
        self._meter.start()
        self._searcher.start()
        for live in self._streams.values():  # what came while the others were connected is old by now
            if live.opened is not None:
                live.opened.inlet.flush()

    @property
    def specs(self) -> dict[str, StreamSpec]:
        """The streams after their adapters, by key."""
        return {key: live.intake.spec for key, live in self._streams.items()}

    @property
    def headers(self) -> dict[str, StreamHeader]:
        """The streams' own headers, by key."""
        return {key: live.header for key, live in self._streams.items()}

    @property
    def next_time(self) -> float | None:
        """Return None: nobody knows when a live sample comes."""
        return None

    @property
    def exhausted(self) -> bool:
        """Live streams never end."""
        return False

    def complete_to(self, now: float) -> float | None:
        """Return None: only the streams' watermarks tell."""
        return None

    def read(self, now: float) -> list[Chunk | StreamEvent]:
        """Return everything that has arrived, and what changed; ``now`` is of `LslClock`."""
        if self._must_restate:
            self._must_restate = False
            for live in self._streams.values():
                live.intake.mapper.restate()
        out: list[Chunk | StreamEvent] = [*self._events, *self._ended_threads(now)]
        self._events = []
        while self._meter.measured:
            key, uid, measured = self._meter.measured.popleft()
            self._streams[key].take_offset(uid, measured)
        out += self._take_returned(now)
        for key, live in self._streams.items():
            running = live.opened
            was_stale = live.watchdog.is_stale
            out += live.read(now, self._unix_offset_s)
            gone = running if live.opened is None else None  # lost or refused in this read
            if gone is not None:
                self._meter.watch(key, None)
                self._meter.retire(gone)
            if live.watchdog.is_stale and (not was_stale or gone is not None):
                uid = (running or live).header.uid
                told = {uid} if gone is not None and not live.is_lost else set()
                silent = replace(live.header, uid=uid)
                self._searcher.look_for(key, Search(live.kind, silent, live.is_lost, told))
            elif was_stale and not live.watchdog.is_stale:
                self._searcher.forget(key)
        return out

    def health(self, now: float) -> dict[str, StreamHealth]:
        """Return figures of each stream, by key."""
        return {key: live.health(now) for key, live in self._streams.items()}

    def take_segments(self) -> list[MapSegment]:
        """Return the clock-map segments that began since the last call, for the recording."""
        return [segment for live in self._streams.values() for segment in live.intake.take_segments()]

    def restate_segments(self) -> None:
        """Have the next `read` state every stream's map in force again, for a recording that has just begun.

        May be called from another thread than the one that reads.
        """
        self._must_restate = True

    def close(self) -> None:
        """Stop the threads and close the inlets."""
        self._meter.close()
        self._searcher.close()
        for live in self._streams.values():
            live.opened = None

    def _add(
        self, stream: FoundStream, kind: Kind, opened: OpenInlet | InputError, make_intake: MakeIntake
    ) -> None:
        if isinstance(opened, InputError):
            raise opened
        key = stream_identity(opened.header)
        if key in self._streams:
            raise InputError(
                f"two streams are called {key}",
                where="streams",
                remedy="stop one of them",
                code=ErrorCode.AMBIGUOUS_STREAM,
                stream=key,
            )
        now = self._clock.now()
        live = LiveStream(key, kind, opened, make_intake(opened.header, key, kind, ()), now)
        self._streams[key] = live
        spec = live.intake.spec
        self._events.append(
            StreamEvent(key, Change.OPENED, now, f"{spec.name}: {'; '.join(spec.notes) or 'open'}", spec)
        )

    def _ended_threads(self, now: float) -> list[StreamEvent]:
        """Say once what ended a background thread; reading continues without it."""
        events = []
        for thread, lost in (
            (self._meter, "clock offsets are no longer measured"),
            (self._searcher, "streams that go away are no longer looked for"),
        ):
            if thread.error is not None:
                message = f"{lost}: {thread.error}; restart the program when you can"
                events.append(StreamEvent("", Change.WARNING, now, message))
                thread.error = None
        return events

    def _take_returned(self, now: float) -> list[StreamEvent]:
        """Install the inlets that the search opened, and pass on what it has to say."""
        events = []
        while self._searcher.returned:
            returned = self._searcher.returned.popleft()
            live = self._streams[returned.key]
            if returned.opened is None:
                change = Change.REFUSED if returned.is_refused else Change.WARNING
                events.append(StreamEvent(returned.key, change, now, returned.message))
                continue
            if live.opened is not None:
                self._meter.retire(live.opened)
            name = returned.opened.header.name
            if name != live.header.name:
                message = f"{live.header.name} came back under the name {name}"
                events.append(StreamEvent(returned.key, Change.NOTICE, now, message))
            live.install(returned.opened)
            self._meter.watch(returned.key, returned.opened)
            if live.kind is Kind.MARKERS and live.watchdog.hear(now):  # it may have nothing to say for long
                events.append(StreamEvent(returned.key, Change.BACK, now, f"{name}: connected again"))
        return events


def open_live(
    choices: str | None = None,
    *,
    timeout_s: float = 1.0,
    kinds: Collection[Kind] = (Kind.EEG, Kind.GAZE, Kind.VIDEO, Kind.AUDIO, Kind.MARKERS),
    make_intake: MakeIntake | None = None,
) -> LslSource:
    """Discover, select (``choices`` is the text of ``--streams``) and open streams.

    Raises
    ------
    InputError
        If the choice is malformed, ambiguous or empty, or a stream cannot be used.
    """
    found = discover(timeout_s)
    headers = {stream.key: stream.header for stream in found}
    chosen = select_streams(headers, choices, kinds, with_notes=False)
    return LslSource(found, chosen, make_intake=make_intake)


def _open_all(chosen: Sequence[tuple[FoundStream, Kind]], timeout_s: float) -> list[OpenInlet | InputError]:
    """Connect to all at once, because each takes most of a second; return the error of one that fails."""
    if not chosen:
        raise InputError(
            "no stream is selected",
            where="streams",
            remedy="start a publisher, or see --streams",
            code=ErrorCode.NO_STREAM,
        )

    def connect(one: tuple[FoundStream, Kind]) -> OpenInlet | InputError:
        try:
            return open_inlet(one[0].info, one[1], timeout_s)
        except InputError as error:
            return error

    with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
        return list(pool.map(connect, chosen))
