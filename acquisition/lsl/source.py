"""Live streams as a source of chunks: an inlet each, drained fully, reconnected, watched."""

import math
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.header import stream_identity
from acquisition.intake import MakeIntake, StreamIntake, intake_maker
from acquisition.lsl.discovery import FoundStream, OpenInlet, drain, open_inlet
from acquisition.lsl.reconnect import (
    STALE_S,
    OffsetMeter,
    Placement,
    Search,
    Searcher,
    Watchdog,
    is_same_stream,
    place,
)
from acquisition.quality import RATE_OVER_S
from acquisition.select import exclude_unusable, kind_of, parse_choices, select_streams
from acquisition.stream_words import note_events
from acquisition.types import (
    KIND_OF_MODALITY,
    MODALITY_OF_KIND,
    Change,
    Chunk,
    Kind,
    MapSegment,
    Offer,
    StreamEvent,
    StreamHeader,
    StreamHealth,
    StreamLedger,
    StreamSpec,
)

_RATE_BIN_S = 0.25
_HOLE_S = 0.1  # a longer hole between samples counts as dropped samples
#: After an outage a recorder has found the sender by then too (it was 0.4 s sooner to 0.3 s later than this
#: program): what live takes is in the file, and a replay has the same.
SETTLE_S = 0.5


class LiveStream:
    """Reads one stream and keeps account of it; its intake is kept across reconnections."""

    def __init__(self, key: str, kind: Kind, opened: OpenInlet, intake: StreamIntake, now: float) -> None:
        self.key, self.kind = key, kind
        self.header = opened.header  # as first opened: what a returning stream is compared with
        self.intake = intake
        self.watchdog = Watchdog(now, float("inf") if kind is Kind.MARKERS else STALE_S)
        self.opened: OpenInlet | None = opened
        self.is_lost = False
        self.has_changed = False  # its sender is back with other settings, and was refused
        # A stamp is the push time only where the sender says so. This program's own senders push a
        # sample when its time has come, so there the stamp is at most one push interval too early.
        desc = opened.header.desc
        self._stamps_at_push = desc.get("stamped_at") == "push" or desc.get("manufacturer", "").startswith(
            "Affectscope"
        )
        self._placement: Placement | None = None  # None until the first samples show the sender's clock
        self._settles, self._settled_from = False, math.nan  # the stamp before which nothing is taken
        self._n_samples = 0
        self._n_missing = 0
        self._stands_still = False  # its newest samples did not follow the previous ones
        self._backlog = 0
        self._last_time = float("nan")
        self._bins: deque[tuple[float, int]] = deque()  # (start, samples) of 0.25 s each

    def install(self, opened: OpenInlet) -> None:
        """Continue with another inlet of the same stream, once it has settled; its clock is re-estimated."""
        self.intake.mapper.pause("the stream was connected anew")
        self.opened = opened
        self.is_lost = self.has_changed = False
        self._placement = None
        self._settles, self._settled_from = self.kind is not Kind.MARKERS, math.nan
        self._last_time = float("nan")

    def take_offset(self, uid: str, measured: tuple[float, float]) -> None:
        """Use an offset measured on the running inlet, unless its stamps are from another clock."""
        if self.opened is None or uid != self.opened.header.uid:
            return
        self.opened.offset = measured
        placement = self._placement
        if placement is not None and not (placement.is_unix or placement.by_arrival):
            self._placement = Placement(measured[1])
            self.intake.mapper.add_offset(*measured)

    def read(self, now: float, unix_offset_s: float) -> list[Chunk | StreamEvent]:
        """Return everything that has arrived, and what changed."""
        from pylsl.util import LostError

        out: list[Chunk | StreamEvent] = []
        n_read = 0
        n_dropped = self.intake.mapper.n_dropped
        try:
            if self.opened is not None:
                for stamps, values in drain(self.opened):
                    if self._settles:
                        stamps, values = self._settled(stamps, values)
                    if not len(stamps):
                        continue
                    n_read += len(stamps)
                    out += self._take(stamps, values, now, unix_offset_s)
                    if self.opened is None:  # refused
                        break
        except LostError:
            self.opened, self.is_lost = None, True
            if self.watchdog.declare():
                out.append(self._event(Change.STALE, now, "the sender is gone"))
        self._backlog = n_read
        if n_read and not self.is_lost and self.opened is not None:
            self._count(n_read, now)
            n_placed = n_read - (self.intake.mapper.n_dropped - n_dropped)
            self._stands_still = n_placed <= 0  # as good as silent, whatever it sends
            if not self._stands_still and self.watchdog.hear(now):
                out.insert(0, self._event(Change.BACK, now, "data resumed"))
        if self.watchdog.check(now):
            silent_s = self.watchdog.silent_s(now)
            reason = "samples arrive, but timestamps do not advance" if self._stands_still else "no sample"
            out.append(self._event(Change.STALE, now, f"{reason} for {silent_s:.1f} s"))
        return out

    def health(self, now: float) -> StreamHealth:
        """Return the figures as of ``now``."""
        while self._bins and self._bins[0][0] < now - RATE_OVER_S:
            self._bins.popleft()
        span = min(RATE_OVER_S, max(_RATE_BIN_S, now - self._bins[0][0])) if self._bins else RATE_OVER_S
        return StreamHealth(
            n_samples=self._n_samples,
            rate_hz=sum(n for _, n in self._bins) / span,
            age_s=self.watchdog.silent_s(now),
            offset_s=self._placement.offset_s if self._placement else 0.0,
            backlog=self._backlog,
            is_stale=self.watchdog.is_stale,
            is_connected=self.opened is not None,
            n_missing=self._n_missing,
            n_dropped=self.intake.mapper.n_dropped,
            stands_still=self._stands_still,
        )

    def _take(
        self, stamps: NDArray[np.float64], values: NDArray[Any], now: float, unix_offset_s: float
    ) -> list[Chunk | StreamEvent]:
        from pylsl import local_clock

        arrival = float(local_clock())
        out: list[Chunk | StreamEvent] = []
        known = stamps[np.isfinite(stamps)]
        if self._placement is None and len(known):
            out += self._place(known, now, unix_offset_s)
        if self.opened is None:  # refused
            return out
        offset_s = self._placement.offset_s if self._placement is not None else float("nan")
        pushed = float(stamps[-1]) + offset_s if self._stamps_at_push else float("nan")
        chunk = self.intake.feed(stamps, values, arrival, pushed)
        out += note_events(self.key, self.header.name, self.intake.mapper.take_notes())
        if chunk is None:
            return out
        self._estimate_missing(chunk.times)
        return [*out, chunk]

    def _settled(
        self, stamps: NDArray[np.float64], values: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Leave out the first `SETTLE_S` of a sender that is back."""
        if math.isnan(self._settled_from):
            self._settled_from = float(stamps[0]) + SETTLE_S
        is_settled = ~(stamps < self._settled_from)  # also where there is no stamp
        self._settles = not is_settled.any()
        begin = len(stamps) if self._settles else int(is_settled.argmax())
        return stamps[begin:], values[begin:]

    def _place(
        self, stamps: NDArray[np.float64], now: float, unix_offset_s: float
    ) -> list[Chunk | StreamEvent]:
        assert self.opened is not None
        measured = self.opened.offset
        placement = place(float(stamps[-1]), measured[1] if measured else None, now, unix_offset_s)
        if placement.is_refused:
            self._placement, self.opened = None, None
            self.watchdog.declare()
            return [self._event(Change.REFUSED, now, placement.message)]
        self._placement = placement
        is_measured = measured is not None and not (placement.is_unix or placement.by_arrival)
        raw_time = measured[0] if measured is not None and is_measured else float(stamps[0])
        self.intake.mapper.add_offset(raw_time, placement.offset_s)
        return [self._event(Change.WARNING, now, placement.message)] if placement.message else []

    def _estimate_missing(self, times: NDArray[np.float64]) -> None:
        """Count samples that holes suggest were lost; a sender's own pauses look the same and count too."""
        rate = self.header.nominal_sfreq
        if rate > 0 and self.kind is not Kind.MARKERS:
            steps = np.diff(times, prepend=self._last_time)
            holes = steps[(steps > _HOLE_S) & (steps < 1e6)]
            self._n_missing += int(np.round(holes * rate - 1).clip(0).sum())
        self._last_time = float(times[-1])

    def _count(self, n_read: int, now: float) -> None:
        self._n_samples += n_read
        if self._n_samples == n_read:  # the first ones waited until somebody read: they have no rate
            self._bins.append((now, 0))
        elif self._bins and now - self._bins[-1][0] < _RATE_BIN_S:
            self._bins[-1] = (self._bins[-1][0], self._bins[-1][1] + n_read)
        else:
            self._bins.append((now, n_read))
            while self._bins[0][0] < now - RATE_OVER_S:
                self._bins.popleft()

    def _event(self, change: Change, now: float, message: str) -> StreamEvent:
        return StreamEvent(self.key, change, now, f"{self.header.name}: {message}")


_CONNECT_TIMEOUT_S = 5.0


class LslSource:
    """Reads the selected streams; implements `acquisition.types.Source`.

    Streams are keyed by ``name|type|source_id``. Everything that can take long (clock-sync requests, the
    search for a stream that went away, connecting) happens in background threads; `read` never waits.
    ``kinds`` says which of the found streams are used, by uid, and as what. A stream that cannot be used is
    excluded, with a warning, unless the session needs it: see `exclude_unusable`.
    Raises `InputError` if a stream that it needs cannot be opened or used.
    """

    def __init__(
        self,
        found: Sequence[FoundStream],
        kinds: Mapping[str, Kind],
        *,
        make_intake: MakeIntake | None = None,
        connect_timeout_s: float = _CONNECT_TIMEOUT_S,
        unread: Collection[Kind] = (),
    ) -> None:
        self._make_intake = make_intake or intake_maker()
        streams = {stream.key: stream for stream in found if stream.key in kinds}
        chosen = {key: kind for key, kind in kinds.items() if key in streams}
        self._clock = LslClock()
        self._unix_offset_s = self._clock.unix_offset()
        self._events: list[StreamEvent] = []
        self._must_restate = False
        self._streams: dict[str, LiveStream] = {}  # replaced whole: other threads look at it
        self._former: dict[str, StreamLedger] = {}  # of streams that were refused or replaced
        self._segments: list[MapSegment] = []  # of the clock maps of those
        self._meter = OffsetMeter()
        self._searcher = Searcher()
        self._looked_at: Mapping[str, Any] = self._searcher.around
        self._twins: set[str] = set()  # uids of senders with the identity of a stream in use, that were told
        # Joining: what is wanted, what is being connected, and what has been.
        self._wanted: tuple[str | None, tuple[Kind, ...]] = (None, ())
        self._accept: Callable[[StreamSpec], object] = lambda spec: None
        self._set_aside: frozenset[str] = frozenset()  # uids that are connected or refused
        self._connected: deque[tuple[Offer, OpenInlet | InputError]] = deque()
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:  # each takes most of a second
            opened = pool.map(
                lambda key: _opened(streams[key].info, chosen[key], connect_timeout_s), [*chosen]
            )
            inlets = dict(zip(chosen, opened, strict=True))
        # One device that is not understood, or has ended, must not stop the session of the others.
        refused = exclude_unusable(chosen, lambda k, kind: self._add(kind, inlets[k]), unread)
        for key, error in refused.items():
            self._refuse(streams[key].header, kinds[key], error)
        self._meter.start()
        self._searcher.start()
        for live in self._streams.values():  # what came while the others were connected is old by now
            if live.opened is not None:
                live.opened.inlet.flush()

    @property
    def specs(self) -> dict[str, StreamSpec]:
        return {key: live.intake.spec for key, live in self._streams.items()}

    @property
    def headers(self) -> dict[str, StreamHeader]:
        return {key: live.header for key, live in self._streams.items()}

    @property
    def connected(self) -> dict[str, StreamHeader]:
        """Headers of the streams that have not gone, by key."""
        return {key: live.header for key, live in self._streams.items() if live.opened is not None}

    @property
    def next_time(self) -> float | None:
        """Return None: nobody knows when a live sample comes."""
        return None

    @property
    def exhausted(self) -> bool:
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
            if key in self._streams:
                self._streams[key].take_offset(uid, measured)
        out += self._take_returned(now)
        out += self._tell_twins(now)
        out += self._take_connected()
        for key, live in self._streams.items():
            running = live.opened
            was_stale = live.watchdog.is_stale
            out += live.read(now, self._unix_offset_s)
            gone = running if live.opened is None else None  # lost or refused in this read
            if gone is not None:
                self._meter.watch(key, None)
                self._meter.retire(gone)
                live.intake.mapper.pause("its sender is gone" if live.is_lost else "it was refused")
            if live.watchdog.is_stale and (not was_stale or gone is not None):
                uid = (running or live).header.uid
                told = {uid} if gone is not None and not live.is_lost else set()
                silent = replace(live.header, uid=uid)
                self._searcher.look_for(key, Search(live.kind, silent, live.is_lost, told))
            elif was_stale and not live.watchdog.is_stale:
                self._searcher.forget(key)
        return out

    def health(self, now: float) -> dict[str, StreamHealth]:
        return {key: live.health(now) for key, live in self._streams.items()}

    def ledgers(self) -> dict[str, StreamLedger]:
        return self._former | {key: live.intake.mapper.ledger for key, live in self._streams.items()}

    def take_segments(self) -> list[MapSegment]:
        """Return the clock-map segments that began since the last call, for the recording."""
        former, self._segments = self._segments, []
        return former + [s for live in self._streams.values() for s in live.intake.mapper.take_segments()]

    def restate_segments(self) -> None:
        """Have the next `read` state every stream's map in force again, for a recording that has just begun.

        May be called from another thread than the one that reads.
        """
        self._must_restate = True

    def close(self) -> None:
        self._meter.close()
        self._searcher.close()
        for live in self._streams.values():
            live.opened = None

    # --- streams that come later ---

    def watch_for(
        self,
        choices: str | None,
        modalities: Collection[str],
        accept: Callable[[StreamSpec], object] = lambda spec: None,
    ) -> None:
        """Look from now on for streams of ``modalities`` that the session lacks, and of markers.

        ``choices`` is the text of ``--streams``. ``accept`` raises `InputError` for a stream that cannot be
        used, which is then refused before anything that runs is touched.
        """
        named = parse_choices(choices or "")
        kinds = [k for m, k in KIND_OF_MODALITY.items() if m in modalities or m in named]
        self._wanted, self._accept = (choices, (*kinds, Kind.MARKERS)), accept
        self._searcher.look_around()

    def lacks(self, kind: Kind) -> bool:
        """Tell whether a stream of ``kind`` would be offered: a signal only where none is connected."""
        is_there = any(live.kind is kind and live.opened is not None for live in self._streams.values())
        return kind in self._wanted[1] and (kind is Kind.MARKERS or not is_there)

    def offers(self) -> list[Offer]:
        """Return the streams on the network that could join, by the rules of `select_streams`."""
        known = self._streams.values()
        used = {live.opened.header.uid for live in known if live.opened is not None} | self._set_aside
        headers = {
            uid: header
            for uid, (_, header) in self._searcher.around.items()
            if uid not in used
            and not any(is_same_stream(live.header, header) and not live.has_changed for live in known)
        }
        found: list[Offer] = []
        for kind in filter(self.lacks, self._wanted[1]):
            try:
                kinds = select_streams(headers, self._wanted[0], (kind,), with_notes=False)
            except InputError as error:
                if error.code is not ErrorCode.AMBIGUOUS_STREAM:
                    continue
                kinds = {uid: kind for uid, header in headers.items() if kind_of(header) is kind}
            n_rivals = 0 if kind is Kind.MARKERS else len(kinds) - 1
            gone = next((v.header.name for v in known if v.kind is kind is not Kind.MARKERS), "")
            found += [Offer(uid, headers[uid], kind, n_rivals, gone) for uid in kinds]
        return found

    def join(self, uid: str) -> None:
        """Connect to a stream that is offered; a later `read` opens or refuses it."""
        offer = next((offer for offer in self.offers() if offer.uid == uid), None)
        info, _ = self._searcher.around.get(uid, (None, None))
        if offer is None or info is None:
            return
        self._set_aside = self._set_aside | {uid}

        def connect() -> None:
            self._connected.append((offer, _opened(info, offer.kind, _CONNECT_TIMEOUT_S)))

        Thread(target=connect, name="lsl-join", daemon=True).start()

    def _take_connected(self) -> list[StreamEvent]:
        """Take in what was connected; one of a modality whose stream has gone takes its place."""
        while self._connected:
            offer, opened = self._connected.popleft()
            if not self.lacks(offer.kind):
                self._set_aside = self._set_aside - {offer.uid}
                continue
            gone = [k for k, live in self._streams.items() if live.kind is offer.kind is not Kind.MARKERS]
            try:
                self._add(offer.kind, opened, gone)
            except InputError as error:
                self._refuse(offer.header, offer.kind, error)
                continue
            for key in gone:
                self._searcher.forget(key)
                message = f"{key.split('|')[0]}: replaced by {offer.header.name}"
                self._events.insert(0, StreamEvent(key, Change.ENDED, self._clock.now(), message))
        events, self._events = self._events, []
        return events

    def _add(self, kind: Kind, opened: OpenInlet | InputError, replaced: Collection[str] = ()) -> None:
        if isinstance(opened, InputError):
            raise opened
        key = stream_identity(opened.header)
        if key in self._streams and key not in replaced:
            refused = partial(InputError, where="streams", remedy="stop one of them", stream=key)
            raise refused(f"two streams are called {key}", code=ErrorCode.AMBIGUOUS_STREAM)
        now, intake = self._clock.now(), self._make_intake(opened.header, key, kind, ())
        self._accept(intake.spec)
        self._former |= {k: self._streams[k].intake.mapper.ledger for k in replaced}
        if key in replaced:  # the same device, with other settings: one account
            intake.mapper.ledger = self._former.pop(key)
        for gone in (self._streams[k].intake.mapper for k in replaced):
            gone.pause(f"replaced by {opened.header.name}")
            self._segments += gone.take_segments()
        others = {k: live for k, live in self._streams.items() if k not in replaced}
        self._streams = {**others, key: LiveStream(key, kind, opened, intake, now)}
        self._meter.watch(key, opened)
        spec = intake.spec
        self._events.append(
            StreamEvent(key, Change.OPENED, now, f"{spec.name}: {'; '.join(spec.notes) or 'open'}", spec)
        )

    def _refuse(self, header: StreamHeader, kind: Kind, error: InputError) -> None:
        self._set_aside = self._set_aside | {header.uid}
        key, modality = stream_identity(header), MODALITY_OF_KIND.get(kind, "")
        key = header.uid if key in self._streams else key
        message = f"{kind.value}: not used: {error}"
        self._former[key] = StreamLedger(header.name, modality, refused=message)
        self._events.append(StreamEvent(key, Change.REFUSED, self._clock.now(), message))

    def _tell_twins(self, now: float) -> list[StreamEvent]:
        """Say once which senders answer to the identity of a stream that is in use and answers too."""
        around, before, events = self._searcher.around, self._looked_at, []
        for live in self._streams.values() if around is not before else ():
            own = live.opened.header.uid if live.opened is not None else ""
            # Twice, as one sender that starts anew may answer under both of its uids.
            both = own in around and own in before and bool(live.header.source_id)
            for uid, (_, header) in around.items() if both else ():
                if uid in before and uid not in {own, *self._twins} and is_same_stream(live.header, header):
                    self._twins.add(uid)
                    message = (
                        f"{live.header.name}: another sender on {header.hostname} has its source_id "
                        f"{header.source_id!r} and is not used: stop it, or give it a source_id of its own; "
                        "after an outage neither of two is taken"
                    )
                    events.append(StreamEvent(live.key, Change.WARNING, now, message, code="same_source_id"))
        self._looked_at = around
        return events

    def _ended_threads(self, now: float) -> list[StreamEvent]:
        """Say once what ended a background thread; reading continues without it."""
        events = []
        for thread, lost in (
            (self._meter, "clock offsets are no longer measured"),
            (self._searcher, "lost streams are no longer searched for"),
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
            live = self._streams.get(returned.key)
            if live is None:  # another stream has taken its place meanwhile
                continue
            if returned.opened is None:
                live.has_changed |= returned.is_refused
                if returned.is_refused:
                    live.intake.mapper.pause(returned.message)
                change = Change.REFUSED if returned.is_refused else Change.WARNING
                events.append(StreamEvent(returned.key, change, now, returned.message))
                continue
            if live.opened is not None:
                self._meter.retire(live.opened)
            name = returned.opened.header.name
            if name != live.header.name:
                message = f"{live.header.name} returned under the name {name}"
                events.append(StreamEvent(returned.key, Change.NOTICE, now, message))
            live.install(returned.opened)
            self._meter.watch(returned.key, returned.opened)
            if live.kind is Kind.MARKERS and live.watchdog.hear(now):  # it may send nothing for long
                events.append(StreamEvent(returned.key, Change.BACK, now, f"{name}: connected again"))
        return events


def open_live(
    found: Sequence[FoundStream],
    choices: str | None = None,
    *,
    make_intake: MakeIntake | None = None,
    unread: Collection[Kind] = (),
    preferred: Collection[str] = (),
    tell: Callable[[str], None] = lambda notice: None,
) -> LslSource:
    """Select among discovered streams, see `select_streams`, and open them.

    Raises `InputError` if the choice is malformed, ambiguous or empty, or what is needed cannot be used.
    """
    headers = {stream.key: stream.header for stream in found}
    chosen = select_streams(headers, choices, with_notes=False, unread=unread, preferred=preferred, tell=tell)
    return LslSource(found, chosen, make_intake=make_intake, unread=unread)


def _opened(info: Any, kind: Kind, timeout_s: float) -> OpenInlet | InputError:
    try:
        return open_inlet(info, kind, timeout_s)
    except InputError as error:
        return error
