"""The session a window watches: one engine, the store it fills, and how to change to another engine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Generic, Protocol, TypeVar

from app.engine.messages import Opened, Stop
from app.request import EngineRequest, Request
from app.view.store import ViewStore

#: Then an engine is ended by force, which takes up to a second more: closing shall take three at most.
STOP_WITHIN_S = 2.2
_STOP_LOADING_WITHIN_S = 0.7  # loading torch cannot be interrupted, and leaves nothing to be finished
_DEAF_S = 1.0  # a window that itself stood still for so long has not listened


R = TypeVar("R", bound=EngineRequest)


class Engine(Protocol):
    """What this needs of `app.engine.process.EngineProcess`."""

    @property
    def is_alive(self) -> bool:
        """True until the process has ended."""

    def start(self) -> None:
        """Start the process."""

    def news(self) -> list[object]:
        """Return what came since the last call, without waiting."""

    def send(self, order: object) -> None:
        """Pass an order on."""

    def stop(self, timeout_s: float = STOP_WITHIN_S) -> None:
        """End the process, by force where it does not react in time."""


class EngineSession(Generic[R]):
    """Runs a request in an engine and keeps the store up to date; all calls return at once.

    Parameters
    ----------
    make_engine : callable
        Returns an engine, not yet started, for a request.
    """

    def __init__(self, make_engine: Callable[[R], Engine]) -> None:
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._retired: list[tuple[Engine, float]] = []  # with the time their patience ends
        self._waiting: R | None = None
        self._heard_at = self._polled_at = monotonic()
        self.request: R | None = None
        self.last_good: R | None = None  # the newest one that opened
        self.store = ViewStore()

    def start(self, request: R) -> None:
        """Run ``request`` as soon as the engine that runs now has ended."""
        self.stop()
        self._waiting = request
        self._start_waiting()

    def stop(self) -> None:
        """Ask the engine to end its session properly."""
        self._waiting = None
        if self._engine is not None:
            self._engine.send(Stop())
            patience_s = STOP_WITHIN_S if self.store.mode else min(_STOP_LOADING_WITHIN_S, STOP_WITHIN_S)
            self._retired.append((self._engine, monotonic() + patience_s))
            self._engine = None

    @property
    def is_over(self) -> bool:
        """True when no engine's process is left."""
        return self._engine is None and not self._retired and self._waiting is None

    @property
    def is_running(self) -> bool:
        """True while there is an engine to send orders to."""
        return self._engine is not None

    def send(self, order: object) -> None:
        """Pass an order on to the engine, if there is one."""
        if self._engine is not None:
            self._engine.send(order)

    def poll(self) -> None:
        """Take the engine's news into the store and look after engines that are to end."""
        self._end_retired()
        self._start_waiting()
        engine = self._engine
        if engine is None:
            return
        is_alive = engine.is_alive  # asked first: what a dead one still left is read below
        news = engine.news()
        for piece in news:
            self.store.take(piece)
            if isinstance(piece, Opened):
                self.last_good = self.request
        self._note_silence(has_heard=bool(news))
        if not is_alive:  # its last words were among the news
            engine.stop(0.0)  # ends a recording it may have left behind
            self._engine = None

    def kill(self) -> None:
        """End what is left by force; waits for it, up to a second an engine."""
        for engine, _ in self._retired:
            engine.stop(0.0)
        if self._engine is not None:
            self._engine.stop(0.0)
        self._engine, self._retired, self._waiting = None, [], None

    def _note_silence(self, has_heard: bool) -> None:
        now = monotonic()
        if has_heard or now - self._polled_at > _DEAF_S:
            self._heard_at = now
        self._polled_at = now
        self.store.silent_s = now - self._heard_at

    def _end_retired(self) -> None:
        left = []
        for engine, patience_ends in self._retired:
            is_alive = engine.is_alive
            for piece in engine.news():  # an unread pipe would hold the engine up
                if self._waiting is None and self._engine is None:  # last words of a session nothing follows
                    self.store.take(piece)
            if is_alive and monotonic() > patience_ends:
                # To end it by force takes up to a second, for which the window would stand still.
                threading.Thread(target=engine.stop, args=(0.0,), daemon=True).start()
                patience_ends = inf
            if is_alive:
                left.append((engine, patience_ends))
            else:
                engine.stop(0.0)
        self._retired = left

    def _start_waiting(self) -> None:
        if self._waiting is None or self._retired:
            return
        self.request, self._waiting = self._waiting, None
        self.store = ViewStore()
        self._engine = self._make_engine(self.request)
        self._engine.start()


class Session(EngineSession[Request]):
    """What the dashboard runs: live sessions and replays."""


def continued(request: Request) -> Request:
    """Return a request to run after ``request`` that overwrites none of its files."""
    options = request.options
    options = replace(
        options,
        record=None,  # recording is started by hand from here on
        jsonl=_next(options.jsonl),
        csv=_next(options.csv),
    )
    return replace(request, options=options)


def _next(path: Path | None) -> Path | None:
    """Return a path beside ``path`` that is free: run.jsonl, run-2.jsonl, ..."""
    if path is None:
        return None
    number, stem = 2, path.stem
    while (free := path.with_name(f"{stem}-{number}{path.suffix}")).exists():
        number += 1
    return free
