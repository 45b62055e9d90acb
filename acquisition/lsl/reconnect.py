"""Own reconnection: judges a live stream (silent, the same again, on which clock) and searches for lost ones.

The judgements are plain calculations without LSL; what may hang (clock-sync requests, search) has threads.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from acquisition.errors import InputError
from acquisition.lsl.discovery import OpenInlet, measure_offset, open_inlet, readable_header, resolve
from acquisition.text import duration
from acquisition.types import Kind, StreamHeader

STALE_S = 2.0

#: A stamp this far from now cannot come from a computer's LSL clock, which counts from its start.
_OTHER_CLOCK_S = 1e8
_DAY_S = 86_400.0
_NOT_THE_SAME_CLOCK_S = 5.0
_MOST_AHEAD_S = 0.2  # nothing comes from the future; clocks are measured to a few ms
_MOST_BEHIND_S = 120.0  # no sender keeps samples for longer


class Watchdog:
    """Tells when a stream falls silent for ``stale_s`` and when it speaks again; it counts from ``now``."""

    def __init__(self, now: float, stale_s: float = STALE_S) -> None:
        self.is_stale = False
        self._stale_s, self._heard = stale_s, now

    def hear(self, now: float) -> bool:
        """Take note of samples at ``now``; True if this ends a silence."""
        self._heard = now
        was_stale, self.is_stale = self.is_stale, False
        return was_stale

    def check(self, now: float) -> bool:
        """Return True once when the silence has become too long."""
        return now - self._heard >= self._stale_s and self.declare()

    def declare(self) -> bool:
        """Call the stream stale at once, because its sender is gone; True if it was not before."""
        was_stale, self.is_stale = self.is_stale, True
        return not was_stale

    def silent_s(self, now: float) -> float:
        """Return the seconds since the last sample."""
        return max(0.0, now - self._heard)


class Verdict(StrEnum):
    """What to do about the streams that answer to a silent one's identity."""

    WAIT = "wait"  # nobody answers, or only the silent sender itself
    OPEN = "open"
    AMBIGUOUS = "ambiguous"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Judgement:
    """A verdict, the uid it is about and the sentence for the user."""

    verdict: Verdict
    uid: str = ""
    message: str = ""


def is_same_stream(old: StreamHeader, new: StreamHeader) -> bool:
    """Tell whether a stream may be the return of ``old``: same type and source_id, else same name.

    The name may change when there is a source_id. The uid changes at every start, so it is not compared.
    """
    if old.type != new.type:
        return False
    return old.source_id == new.source_id and (bool(old.source_id) or old.name == new.name)


def judge_return(
    old: StreamHeader, answering: Sequence[StreamHeader], is_lost: bool, refused: Collection[str] = ()
) -> Judgement:
    """Decide which of the answering streams, known without ``desc``, takes over from a silent one.

    Where the connection is lost, the same sender may be opened again; ``refused`` are uids that never are.
    """
    same = [header for header in answering if is_same_stream(old, header)]
    if len(same) > 1:
        senders = " and ".join(f"{header.name!r} on {header.hostname}" for header in same)
        uids = ",".join(sorted(header.uid for header in same))
        return Judgement(
            Verdict.AMBIGUOUS, uids, f"{len(same)} streams claim to be {old.name!r}: {senders}; stop one"
        )
    if not same or same[0].uid in refused or (same[0].uid == old.uid and not is_lost):
        return Judgement(Verdict.WAIT)
    if difference := differences(old, same[0]):
        return Judgement(Verdict.REFUSE, same[0].uid, refusal(old, difference))
    return Judgement(Verdict.OPEN, same[0].uid)


def refusal(old: StreamHeader, difference: str) -> str:
    """Return the sentence for a stream that returned with different settings."""
    what = f"{old.name!r} returned with different settings and is not used: {difference}"
    return f"{what}; add it as a new stream, or restart the session"


def differences(old: StreamHeader, new: StreamHeader) -> str:
    """Return in words, with both values, what makes a returned stream another one; "" if nothing does.

    Channel labels are compared where both headers have them: a header as resolved has none.
    """
    found = []
    if old.nominal_sfreq != new.nominal_sfreq:
        found.append(f"{new.nominal_sfreq:g} Hz, was {old.nominal_sfreq:g} Hz")
    if old.n_channels != new.n_channels:
        found.append(f"{new.n_channels} channels, were {old.n_channels}")
    if old.channel_format != new.channel_format:
        found.append(f"format {new.channel_format}, was {old.channel_format}")
    if old.channels and new.channels and not found and old.channels != new.channels:
        changed = [
            f"channel {i} is {b.label} [{b.unit}], was {a.label} [{a.unit}]"
            for i, (a, b) in enumerate(zip(old.channels, new.channels, strict=True))
            if a != b
        ]
        found.append(", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else ""))
    return "; ".join(found)


@dataclass(frozen=True)
class Placement:
    """How a stream's stamps get onto the LSL clock of this computer."""

    offset_s: float
    message: str = ""  # a notice, or the reason for refusing
    is_refused: bool = False
    is_unix: bool = False
    by_arrival: bool = False  # a measured offset was set aside

    def fits(self, stamp: float, now: float) -> bool:
        """Tell whether a sample that has just arrived can bear this stamp."""
        distance = stamp + self.offset_s - now
        return abs(distance) < _DAY_S if self.is_unix else -_MOST_BEHIND_S <= distance <= _MOST_AHEAD_S


def place(stamp: float, offset_s: float | None, now: float, unix_offset_s: float) -> Placement:
    """Decide the offset of a stream from the stamp of a sample that has just arrived.

    ``offset_s`` is the measured clock offset, None without one; ``unix_offset_s`` LSL minus Unix time.
    """
    distance = stamp + (offset_s or 0.0) - now
    if abs(distance) > _OTHER_CLOCK_S:
        if abs(stamp + unix_offset_s - now) < _DAY_S:
            return Placement(
                unix_offset_s,
                "timestamps are Unix time, not LSL time: converted with this computer's clock; set the "
                "LSL app that sends it to LSL timestamps",
                is_unix=True,
            )
        return Placement(
            0.0,
            f"timestamps are {abs(distance):.3g} s from the current time and are neither LSL nor Unix time: "
            "stream not used; set the LSL app that sends it to LSL timestamps",
            is_refused=True,
        )
    if offset_s is not None:
        measured = Placement(offset_s)
        if measured.fits(stamp, now):
            return measured
        side = "ahead of" if distance > 0 else "behind"
        return Placement(
            now - stamp,
            f"timestamps are {duration(abs(distance), 1)} {side} the LSL clock: aligned by arrival time, to "
            "some tens of milliseconds; restart the LSL app that sends it",
            by_arrival=True,
        )
    if distance > _MOST_AHEAD_S or distance < -_NOT_THE_SAME_CLOCK_S:
        return Placement(
            now - stamp,
            "the sender does not answer clock-sync requests: offset estimated from arrival times; let the "
            "firewall pass LSL's UDP ports",
        )
    return Placement(
        0.0,
        "the sender does not answer clock-sync requests: assuming it shares this computer's clock; let the "
        "firewall pass LSL's UDP ports",
    )


# --- what a live source must not wait for ---

_MEASURE_EVERY_S = 5.0
_MEASURE_TIMEOUT_S = 2.0
_LOOK_EVERY_S = 2.0  # for streams that nobody has lost
_RESOLVE_S = 0.6  # below 0.5 s liblsl misses streams
_CONNECT_TIMEOUT_S = 5.0


class _Background:
    """A thread of its own; its exception is stored for the reader."""

    _close_s = 0.0  # how long `close` waits for what is running

    def __init__(self, name: str) -> None:
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop; waits at most for the request or search that is running."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self._close_s)

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.error = error

    def _run(self) -> None:
        raise NotImplementedError


class OffsetMeter(_Background):
    """Measures the clock offset of every inlet each five seconds.

    A request can hang until its timeout; this delays the other streams' answers by as much, but not
    reading.
    """

    _close_s = _MEASURE_TIMEOUT_S + 1.0

    def __init__(self) -> None:
        super().__init__("lsl-offsets")
        #: Key, the sender's uid, and (raw time, offset).
        self.measured: deque[tuple[str, str, tuple[float, float]]] = deque(maxlen=1000)
        self._inlets: dict[str, OpenInlet] = {}
        self._retired: deque[OpenInlet] = deque()

    def watch(self, key: str, opened: OpenInlet | None) -> None:
        """Measure on this inlet from now on; None ends it."""
        inlets = dict(self._inlets)
        if opened is None:
            inlets.pop(key, None)
        else:
            inlets[key] = opened
        self._inlets = inlets  # replaced whole, so the thread never sees a change half made

    def retire(self, opened: OpenInlet) -> None:
        """Close an inlet here, because it can take a while."""
        self._retired.append(opened)

    def close(self) -> None:
        super().close()
        self._inlets = {}
        self._retired.clear()

    def _run(self) -> None:
        while not self._stop.wait(_MEASURE_EVERY_S):
            self._retired.clear()
            for key, opened in self._inlets.items():
                if self._stop.is_set():
                    return
                if measured := measure_offset(opened.inlet, _MEASURE_TIMEOUT_S):
                    self.measured.append((key, opened.header.uid, measured))


@dataclass
class Search:
    """A stream that is searched for."""

    kind: Kind
    header: StreamHeader  # as first opened, with the uid of the sender that fell silent
    is_lost: bool
    told: set[str] = field(default_factory=set)  # uids that were refused or called ambiguous


@dataclass(frozen=True, eq=False)
class Returned:
    """What a search found: an open inlet, or a sentence for the user and whether it is a refusal."""

    key: str
    opened: OpenInlet | None = None
    message: str = ""
    is_refused: bool = False


class Searcher(_Background):
    """Searches for silent streams on the network until they are found; sleeps while there are none.

    ``resolve_streams`` returns the ``pylsl.StreamInfo`` of all streams that answer. What answered last is
    in ``around``: info and header, without ``desc``, by uid.
    """

    _close_s = _CONNECT_TIMEOUT_S + 3.0

    def __init__(self, resolve_streams: Callable[[], list[Any]] = lambda: resolve(_RESOLVE_S)) -> None:
        super().__init__("lsl-search")
        self.returned: deque[Returned] = deque()
        self.around: Mapping[str, tuple[Any, StreamHeader]] = {}
        self._looks_around = False
        self._resolve = resolve_streams
        self._searches: Mapping[str, Search] = {}
        self._lock = threading.Lock()
        self._wanted = threading.Event()

    def look_for(self, key: str, search: Search) -> None:
        """Search until `forget`."""
        with self._lock:
            self._searches = {**self._searches, key: search}
        self._wanted.set()

    def look_around(self) -> None:
        """Look every two seconds from now on, though no stream is lost."""
        self._looks_around = True
        self._wanted.set()

    def forget(self, key: str) -> None:
        """The stream is back."""
        with self._lock:
            self._searches = {other: search for other, search in self._searches.items() if other != key}

    def close(self) -> None:
        self._stop.set()
        self._wanted.set()
        super().close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait(_LOOK_EVERY_S if self._looks_around else None)
            searches = self._searches
            if searches or (self._looks_around and not self._stop.is_set()):
                self.look_once(searches)
            if searches:
                continue
            self._wanted.clear()
            if self._searches:  # one was added in between
                self._wanted.set()

    def look_once(self, searches: Mapping[str, Search]) -> None:
        """Resolve once and put what is found into ``returned``."""
        infos = {info.uid(): info for info in self._resolve()}
        self.around = {
            uid: (info, header)
            for uid, info in infos.items()
            if (header := readable_header(info)) is not None
        }
        headers = [header for _, header in self.around.values()]
        to_open: list[tuple[str, Search, Any]] = []
        for key, search in searches.items():
            judgement = judge_return(search.header, headers, search.is_lost, search.told)
            if judgement.verdict is Verdict.OPEN:
                to_open.append((key, search, infos[judgement.uid]))
            elif judgement.verdict is not Verdict.WAIT and judgement.uid not in search.told:
                search.told.add(judgement.uid)
                self.returned.append(
                    Returned(key, message=judgement.message, is_refused=judgement.verdict is Verdict.REFUSE)
                )
        if not to_open or self._stop.is_set():
            return
        with ThreadPoolExecutor(max_workers=len(to_open)) as pool:
            found = [one for one in pool.map(lambda args: _reopen(*args), to_open) if one is not None]
        for one in found:
            if one.opened is not None:  # before it is handed over: afterwards it may be lost again
                self.forget(one.key)
        self.returned.extend(found)


def _reopen(key: str, search: Search, info: Any) -> Returned | None:
    """Connect and compare the full headers; None if the sender vanished again."""
    try:
        opened = open_inlet(info, search.kind, _CONNECT_TIMEOUT_S)
    except InputError:
        return None  # it is still searched for
    if difference := differences(search.header, opened.header):
        search.told.add(opened.header.uid)
        return Returned(key, message=refusal(search.header, difference), is_refused=True)
    return Returned(key, opened)
