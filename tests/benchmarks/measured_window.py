"""A real window on a real engine, led through its tabs while meters look on; for `affectscope bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt6.QtCore import QEvent, QEventLoop, QObject, Qt, QTimer
from PyQt6.QtWidgets import QWidget

from acquisition.clock import Clock, stopwatch
from acquisition.errors import InputError
from app.engine.process import EngineProcess
from app.qt.shell.engine_window import Settings
from app.qt.shell.session import Session
from app.qt.shell.window import MainWindow
from app.qt.theme import DARK
from app.request import Request
from app.view.store import ViewStore
from tests.benchmarks.setting import resident_bytes

_CHECK_MS = 200
_MEMORY_MS = 1000


class MeasuredRun:
    """Opens the window and measures it.

    Parameters
    ----------
    request : Request
    size : (int, int)
        Of the window, in points.
    visit_s : float
        How long a tab is looked at before the next one.
    """

    def __init__(self, request: Request, size: tuple[int, int], visit_s: float) -> None:
        self._session = Session(EngineProcess)
        self._window = MainWindow(self._session, Settings(None))  # the user's own have no say
        self._window.appearance.use_theme(DARK)
        self._window.resize(*size)
        self._tabs = self._window.tabs
        self._visit_s = visit_s
        self._n_refreshes = 0
        self._count_refreshes()
        self._painted = FrameCounter(self._window)
        self._stalls = StallMeter(self._window)
        self._window.show()
        self._window.open(request)

    def wait_for_prediction(self, within_s: float, clock: Clock) -> None:
        """Run the event loop until the first prediction.

        Raises
        ------
        InputError
            If the engine ends before, or none comes in time.
        """
        deadline = clock.now() + within_s
        while self._store.predictions.newest is None:
            _run_for(_CHECK_MS)
            phase = self._store.phase
            if phase.name in ("failed", "ended") or clock.now() > deadline:
                raise InputError(f"no prediction in the window: {phase.name} {phase.message}", where="bench")

    def turn_tabs(self, rounds: int) -> None:
        """Look at every tab; the first time it builds what it shows."""
        for index in [*range(self._tabs.count())] * rounds:
            self._tabs.setCurrentIndex(index)
            _run_for(self._visit_s * 1e3)

    def measure(self, seconds: float) -> dict[str, Any]:
        """Go round the tabs for ``seconds`` and return what the meters saw."""
        memory: list[tuple[float, float, float]] = []
        sampler = QTimer()
        sampler.timeout.connect(lambda: memory.append(self._memory()))
        sampler.start(_MEMORY_MS)
        from_time, n_skipped = self._store.newest_time, self._figure("n_skipped")
        names = [self._tabs.tabText(i).replace("&", "").lower() for i in range(self._tabs.count())]
        seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
        for _ in range(max(1, round(seconds / (self._visit_s * len(names))))):
            for index, name in enumerate(names):
                seen[name].append(self._visit(index))
        sampler.stop()
        predictions = self._store.predictions.read(from_time, float("inf"))
        times, window_mb, engine_mb = zip(*memory, strict=True)
        return {
            "refreshes_per_s": {name: _mean(visits, 0) for name, visits in seen.items()},
            "painted_per_s": {name: _mean(visits, 1) for name, visits in seen.items()},
            "longest_ms": {name: max(visit[2] for visit in visits) for name, visits in seen.items()},
            "total_ms": [prediction.latency.total for prediction in predictions],
            "n_skipped": self._figure("n_skipped") - n_skipped,
            "n_view_dropped": self._figure("n_view_dropped"),
            "memory_times": list(times),
            "window_mb": list(window_mb),
            "engine_mb": list(engine_mb),
            "frames_mb": self._store.frames.n_bytes / 1e6,
        }

    def close(self) -> None:
        """End window and engine."""
        self._session.kill()
        self._window.hide()
        self._window.deleteLater()

    @property
    def _store(self) -> ViewStore:
        return self._session.store  # another one once the engine starts

    def _visit(self, index: int) -> tuple[float, float, float]:
        """Return refreshes and pictures a second and the longest stall, the change of tab included."""
        self._n_refreshes = 0
        self._painted.restart()
        self._stalls.restart()
        self._tabs.setCurrentIndex(index)
        _run_for(self._visit_s * 1e3)
        return self._n_refreshes / self._painted.seconds, self._painted.fps, self._stalls.longest_ms

    def _figure(self, name: str) -> int:
        health = self._store.health
        return 0 if health is None else int(getattr(health, name))

    def _memory(self) -> tuple[float, float, float]:
        """Return the time, this process's memory without the kept frames, and the engine's, in MB."""
        health = self._store.health
        own = resident_bytes() - self._store.frames.n_bytes
        return self._store.newest_time, own / 1e6, float("nan") if health is None else health.memory_mb

    def _count_refreshes(self) -> None:
        for tab in self._tabs.by_name.values():
            tab.refresh = self._counted(tab.refresh)  # type: ignore[method-assign]

    def _counted(self, refresh: Callable[..., None]) -> Callable[..., None]:
        def counted(*args: Any) -> None:
            refresh(*args)
            self._n_refreshes += 1

        return counted


def _mean(visits: list[tuple[float, float, float]], column: int) -> float:
    return sum(visit[column] for visit in visits) / len(visits)


def _run_for(ms: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(round(ms), loop.quit)
    loop.exec()


_TICK_MS = 5


class FrameCounter(QObject):
    """Counts how often a window is painted, since it was made or `restart` was called.

    Qt gathers what is to be painted in a window into one pass; each pass is a picture.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self.restart()
        window.installEventFilter(self)

    def restart(self) -> None:
        """Count from now on."""
        self.n_frames = 0
        self._began = stopwatch()

    @property
    def seconds(self) -> float:
        """How long it has counted."""
        return max(stopwatch() - self._began, 1e-9)

    @property
    def fps(self) -> float:
        """Pictures a second."""
        return self.n_frames / self.seconds

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """See the event and let it pass."""
        if event is not None and event.type() == QEvent.Type.UpdateRequest:
            self.n_frames += 1
        return False


class StallMeter(QObject):
    """Measures how late a timer of 5 ms comes: so long the event loop did nothing else.

    Attributes
    ----------
    longest_ms : float
        Since `restart`.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.restart()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(_TICK_MS)

    def restart(self) -> None:
        """Measure from now on."""
        self.longest_ms = 0.0
        self._last = stopwatch()

    def _tick(self) -> None:
        now = stopwatch()
        late_ms = (now - self._last) * 1e3 - _TICK_MS
        self._last = now
        self.longest_ms = max(self.longest_ms, late_ms)
