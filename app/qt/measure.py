"""Meters of a running window: pictures a second, and how long the event loop stands still."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QObject, Qt, QTimer
from PyQt6.QtWidgets import QWidget

from acquisition.clock import stopwatch

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
