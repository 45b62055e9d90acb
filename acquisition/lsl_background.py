"""What a live source must not wait for: clock questions, and the search for streams that went away."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from acquisition.discovery import resolve
from acquisition.errors import InputError
from acquisition.header import parse_header
from acquisition.lsl_inlet import OpenInlet, measure_offset, open_inlet
from acquisition.types import Kind, StreamHeader
from acquisition.watchdog import Verdict, differences, judge_return, refusal

_MEASURE_EVERY_S = 5.0
_MEASURE_TIMEOUT_S = 2.0
_RESOLVE_S = 0.6  # below 0.5 s liblsl misses streams
_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Offset:
    """A clock offset measured on one inlet; ``measured`` is None where the sender did not answer."""

    key: str
    uid: str
    measured: tuple[float, float] | None  # (raw time, offset)


class OffsetMeter:
    """Measures the clock offset of every inlet each five seconds, in a thread of its own.

    A question can hang until its timeout; then the other streams' answers are late by as much, and
    reading is not.
    """

    def __init__(self, every_s: float = _MEASURE_EVERY_S) -> None:
        self.error: Exception | None = None  # what ended the thread
        self.measured: deque[Offset] = deque(maxlen=1000)
        self._inlets: dict[str, OpenInlet] = {}
        self._retired: deque[OpenInlet] = deque()
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lsl-offsets", daemon=True)

    def start(self) -> None:
        """Begin measuring."""
        self._thread.start()

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
        """Stop; waits at most for the running question."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_MEASURE_TIMEOUT_S + 1.0)
        self._inlets = {}
        self._retired.clear()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._every_s):
                self._retired.clear()
                self._measure_all()
        except Exception as error:
            self.error = error

    def _measure_all(self) -> None:
        for key, opened in self._inlets.items():
            if self._stop.is_set():
                return
            measured = measure_offset(opened.inlet, _MEASURE_TIMEOUT_S)
            self.measured.append(Offset(key, opened.header.uid, measured))


@dataclass
class Search:
    """A stream that is looked for."""

    kind: Kind
    header: StreamHeader
    uid: str  # of the sender that fell silent
    is_lost: bool
    told: set[str] = field(default_factory=set)  # uids that were refused or called ambiguous


@dataclass(frozen=True, eq=False)
class Returned:
    """What a search found: an open inlet, or a sentence for the user and whether it is a refusal."""

    key: str
    opened: OpenInlet | None = None
    message: str = ""
    is_refused: bool = False


class Searcher:
    """Looks for silent streams on the network until they are found, in a thread of its own.

    Parameters
    ----------
    resolve_streams : callable
        Returns the ``pylsl.StreamInfo`` of all streams that answer.
    """

    def __init__(self, resolve_streams: Callable[[], list[Any]] = lambda: resolve(_RESOLVE_S)) -> None:
        self.returned: deque[Returned] = deque()
        self.error: Exception | None = None  # what ended the thread
        self._resolve = resolve_streams
        self._searches: Mapping[str, Search] = {}
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="lsl-search", daemon=True)

    def start(self) -> None:
        """Begin; the thread sleeps while nothing is looked for."""
        self._thread.start()

    def look_for(self, key: str, search: Search) -> None:
        """Search until `forget`."""
        with self._lock:
            self._searches = {**self._searches, key: search}
        self._wanted.set()

    def forget(self, key: str) -> None:
        """The stream is back."""
        with self._lock:
            self._searches = {other: search for other, search in self._searches.items() if other != key}

    def close(self) -> None:
        """Stop; waits at most for the running search."""
        self._stop = True
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(_CONNECT_TIMEOUT_S + 3.0)

    def _run(self) -> None:
        try:
            self._search()
        except Exception as error:
            self.error = error

    def _search(self) -> None:
        while not self._stop:
            self._wanted.wait()
            searches = self._searches
            if not searches:
                self._wanted.clear()
                if self._searches:  # one was added in between
                    self._wanted.set()
                continue
            self.look_once(searches)

    def look_once(self, searches: Mapping[str, Search]) -> None:
        """Resolve once and put what is found into ``returned``."""
        infos = {info.uid(): info for info in self._resolve()}
        headers = [header for info in infos.values() if (header := _header(info)) is not None]
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
        if not to_open or self._stop:
            return
        with ThreadPoolExecutor(max_workers=len(to_open)) as pool:
            found = [one for one in pool.map(lambda args: _reopen(*args), to_open) if one is not None]
        for one in found:
            if one.opened is not None:  # before it is handed over: afterwards it may be lost again
                self.forget(one.key)
        self.returned.extend(found)


def _header(info: Any) -> StreamHeader | None:
    """Return a header without ``desc``; None for somebody's stream that describes itself in no usable way."""
    try:
        return parse_header(info.as_xml())
    except InputError:
        return None


def _reopen(key: str, search: Search, info: Any) -> Returned | None:
    """Connect and compare the full headers; None if the sender vanished again."""
    try:
        opened = open_inlet(info, search.kind, _CONNECT_TIMEOUT_S)
    except InputError:
        return None  # it is still looked for
    if difference := differences(search.header, opened.header):
        search.told.add(opened.header.uid)
        return Returned(key, message=refusal(search.header, difference), is_refused=True)
    return Returned(key, opened)
