"""The session that a window shows, its change to another engine, and the moment shown."""

import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Generic, TypeVar

from acquisition.types import StreamHeader
from app.engine.messages import Opened, Play, Seek, SessionCommand
from app.engine.process import EngineProcess
from app.request import EngineRequest, LiveRequest, Request
from app.view.store import ViewStore
from models.trust import STALE_AFTER_S

#: Then an engine is killed, which takes up to a second more: closing takes three at most.
STOP_WITHIN_S = 2.2
_STOP_LOADING_WITHIN_S = 0.7  # loading torch cannot be interrupted, and leaves nothing to finish
_DEAF_S = 1.0  # a window that was blocked for so long has not listened


R = TypeVar("R", bound=EngineRequest)


class EngineSession(Generic[R]):
    """Runs a request in an engine and keeps the store up to date; all calls return at once."""

    def __init__(self, make_engine: Callable[[R], EngineProcess]) -> None:
        self._make_engine = make_engine
        self._engine: EngineProcess | None = None
        self._retired: list[tuple[EngineProcess, float]] = []  # with the time their patience ends
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
            self._engine.send(SessionCommand.STOP)
            patience_s = STOP_WITHIN_S if self.store.mode else min(_STOP_LOADING_WITHIN_S, STOP_WITHIN_S)
            self._retired.append((self._engine, monotonic() + patience_s))
            self._engine = None

    @property
    def is_over(self) -> bool:
        return self._engine is None and not self._retired and self._waiting is None

    @property
    def is_running(self) -> bool:
        """True while there is an engine to send commands to."""
        return self._engine is not None

    def send(self, command: object) -> None:
        """Pass a command on to the engine, if there is one."""
        if self._engine is not None:
            self._engine.send(command)

    def poll(self) -> None:
        """Take the engine's messages into the store and look after engines that are to end."""
        self._end_retired()
        self._start_waiting()
        engine = self._engine
        if engine is None:
            return
        is_alive = engine.is_alive  # asked first: the last messages of a dead one are read below
        messages = engine.receive()
        for piece in messages:
            self.store.take(piece)
            if isinstance(piece, Opened):
                self.request = self.last_good = as_ran(self.request, piece.headers)
        self._note_silence(has_heard=bool(messages))
        if not is_alive:  # its last message has been read
            engine.stop(0.0)  # ends a recording it may have left behind
            self._engine = None

    def kill(self) -> None:
        """Kill what is left; waits up to a second per engine."""
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
            for piece in engine.receive():  # an unread pipe would hold the engine up
                if self._waiting is None and self._engine is None:  # if no session follows
                    self.store.take(piece)
            if is_alive and monotonic() > patience_ends:
                # Killing it takes up to a second, which would block the window.
                threading.Thread(target=engine.stop, args=(0.0,), daemon=True).start()
                patience_ends = math.inf
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


def as_ran(request: R | None, headers: Iterable[StreamHeader]) -> R | None:
    """Return a request that takes the streams it ran with where several fit, known by ``source_id``."""
    ids = tuple(header.source_id for header in headers if header.source_id)
    return replace(request, preferred=ids) if isinstance(request, LiveRequest) and ids else request


Session = EngineSession[Request]  # what the dashboard runs: live sessions and replays


def continued(request: Request) -> Request:
    """Return a request to run after ``request`` that overwrites none of its files."""
    changed: dict[str, Any] = {n: _next(getattr(request.options, n)) for n in ("jsonl", "csv", "summary")}
    # Recording is started manually from now on.
    return replace(request, options=replace(request.options, record=None, **changed))


def _next(path: Path | None) -> Path | None:
    """Return a path beside ``path`` that is free: run-2.jsonl, run-3.jsonl, ..."""
    if path is None:
        return None
    beside = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return next(free for free in beside if not free.exists())


SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, math.inf)
_JUMP_S = 10.0
_SAME_S = 1e-3
_WITHIN_S = 0.5  # a paused replay shows the end of the next window, at most so long after the moment sought


class Playback:
    """Pauses and moves the view; in a replay it also controls the engine.

    Live, a pause does not touch acquisition and decoding. A replay pauses too, and resumes from the moment
    shown.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._held: float | None = None  # the moment shown, LSL seconds; None: the newest
        self.speed = 1.0
        self._is_paused = False
        self._sought = math.nan

    @property
    def store(self) -> ViewStore:
        return self._session.store

    @property
    def is_replay(self) -> bool:
        return self.store.mode == "replay"

    @property
    def time(self) -> float:
        """The moment to show, LSL seconds, within what is kept; NaN before the first data."""
        newest = self.store.newest_time
        if self._held is None or math.isnan(newest):
            return newest
        return min(max(self._held, self.store.oldest_time), newest)

    @property
    def is_playing(self) -> bool:
        """True while the view moves by itself."""
        stands = self.is_replay and (self._is_paused or self.store.phase.name == "ended")
        return self._held is None and not stands

    def restart(self, speed: float) -> None:
        """Follow the newest data: a new session starts."""
        self._held, self._is_paused, self.speed = None, False, speed

    def toggle(self) -> None:
        if self.is_playing:
            self.hold(self.time)
        else:
            self.resume()

    def hold(self, t: float) -> None:
        """Pause at ``t``, e.g. to look at the window of one prediction."""
        self._hold(t)
        if self.is_replay and not self._is_paused:
            self._is_paused = True
            self._session.send(SessionCommand.PAUSE)

    def resume(self) -> None:
        """Follow the newest data; in a replay, play from the moment shown."""
        if self.is_replay:
            t = self.time
            if self._held is not None and t < self.store.newest_time - _SAME_S:
                self._session.send(Seek(t))
            self._play()
        self._held = None

    def seek(self, t: float) -> None:
        """Show ``t``; a replay that does not have it in memory plays from there."""
        store = self.store
        if not self.is_replay:
            if t >= store.newest_time - 0.5:
                self._held = None
            else:
                self._hold(t)
        elif self._is_paused and self._is_shown_whole(t):
            self._hold(t)
        else:
            self._held = None
            self._session.send(Seek(t))

    def step(self, direction: int) -> None:
        """Show the prediction before (-1) or after (1) the moment shown; a paused replay decodes it."""
        times = [prediction.t_end for prediction in self.store.predictions.read(-math.inf, math.inf)]
        is_newest, model = bool(times) and self.time >= times[-1] - _SAME_S, self.store.model
        if self.is_replay and self._is_paused and direction > 0 and is_newest and model is not None:
            self._held = None
            self._session.send(Seek(times[-1] + model.windows.hop_s))
        else:
            self._go_to(times, direction)

    def jump(self, direction: int) -> None:
        t = self.time
        if not math.isnan(t):
            self.seek_or_hold(t + direction * _JUMP_S)

    def to_mark(self, direction: int) -> None:
        """Go to the event or gap before or after the moment shown."""
        store = self.store
        if store.timeline is not None:
            times = [mark.time for mark in (*store.timeline.marks, *store.timeline.gaps)]
        else:
            times = [marker.time for marker in store.markers.read(-math.inf, math.inf)]
        self._go_to(sorted(times), direction)

    def to_start(self) -> None:
        """Go to the start of the file, or to the oldest data kept of a live session."""
        timeline = self.store.timeline
        self.seek_or_hold(timeline.first if timeline is not None else self.store.oldest_time)

    def to_end(self) -> None:
        if self.is_replay and self._is_paused:
            self._play()
        self._held = None

    def seek_or_hold(self, t: float) -> None:
        """Pause at ``t`` where it is in memory, else replay from there."""
        store = self.store
        if t < store.newest_time and self._is_shown_whole(t):
            self.hold(t)
        elif self.is_replay and store.timeline is not None:
            self._held = None
            self._sought = min(max(t, store.timeline.first), store.timeline.last)
            self._session.send(Seek(self._sought))
        elif t >= store.newest_time:
            self._held = None
        else:
            self.hold(store.oldest_time)

    def set_speed(self, speed: float) -> None:
        self.speed = speed
        if self.is_replay and not self._is_paused:
            self._play()

    def change_speed(self, direction: int) -> None:
        nearest = bisect_left(SPEEDS, self.speed)
        self.set_speed(SPEEDS[min(max(nearest + direction, 0), len(SPEEDS) - 1)])

    def _hold(self, t: float) -> None:
        if math.isfinite(t):  # else there is no data yet
            self._held = t

    def _is_shown_whole(self, t: float) -> bool:
        """Tell whether all there is to show of ``t`` is in memory.

        After a seek, a replay has half a minute of signals before the moment sought, but no predictions.
        """
        store = self.store
        if not store.oldest_time <= t <= store.newest_time:
            return False
        prediction = store.predictions.at(t)
        return not self.is_replay or (prediction is not None and t - prediction.t_end <= STALE_AFTER_S)

    def _play(self) -> None:
        self._is_paused = False
        self._session.send(Play(self.speed))

    def _go_to(self, times: list[float], direction: int) -> None:
        t = self.time
        if math.isnan(t):
            return
        if self._is_paused and self._held is None and 0 <= t - self._sought < _WITHIN_S:
            t = self._sought  # else the previous mark would be the one that is shown
        at = bisect_left(times, t - _SAME_S) - 1 if direction < 0 else bisect_right(times, t + _SAME_S)
        if 0 <= at < len(times):
            self.seek_or_hold(times[at])
        elif direction > 0 and not self.is_replay:
            self._held = None


def speed_text(speed: float) -> str:
    return "max" if math.isinf(speed) else f"{speed:g}×"
