"""The onset of a screen, and how regularly it was drawn, as far as widgets can know.

Qt hands the painted picture to the window system at the end of the window's ``UpdateRequest``; the onset is
the LSL time right after. The screen shows the picture at its next refresh, up to one frame later, and a
compositing window manager may add another frame. **The accuracy is plus or minus one display frame** on a
screen without compositor delay; for more, use a photodiode on a corner of the screen.

Widgets have no signal for the screen's refresh. `FrameMeter` therefore draws a single pixel at the screen's
stated rate and times each picture: an interval far above the median means that frames were missed.
"""

from collections.abc import Callable

from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QWidget

from app.engine.messages import Drawn, Shown
from app.qt.calibration.screen import Screen, Send
from app.qt.calibration.stimulus import Tone
from app.view.calibration_screens import display_timing
from calibration.types import DisplayTiming, SessionView

_FALLBACK_HZ = 60.0
_MOST_FRAMES = 60 * 240  # a minute at 240 Hz
#: A sound or video that has not begun so long after its screen has failed; the step continues without it.
_MEDIA_WITHIN_S = 1.0


class OnsetClock:
    """Waits for the screen of a step to be drawn, and for what it plays to begin.

    ``on_shown`` gets the step's id and the time of its onset in LSL seconds.
    """

    def __init__(self, clock: Callable[[], float], on_shown: Callable[[int, float], None]) -> None:
        self._clock, self._on_shown = clock, on_shown
        self._step_id: int | None = None
        self._screen: Screen | None = None
        self._drawn_at: float | None = None

    def arm(self, step_id: int, screen: Screen) -> None:
        """Wait for this screen, which must not have been drawn since the step began."""
        self._step_id, self._screen, self._drawn_at = step_id, screen, None
        screen.is_painted = False
        screen.update()

    def disarm(self) -> None:
        self._step_id = self._screen = self._drawn_at = None

    def note_flushed(self) -> None:
        screen = self._screen
        if screen is not None and screen.is_painted and self._drawn_at is None:
            self._drawn_at = self._clock()
            self.poll()

    def poll(self) -> None:
        """Tell the onset once both picture and sound have begun: the later of the two.

        A window that was behind others is painted without an ``UpdateRequest``; its onset is taken here, up
        to one call later.
        """
        if self._drawn_at is None and self._screen is not None and self._screen.is_painted:
            self._drawn_at = self._clock()
        if self._screen is None or self._step_id is None or self._drawn_at is None:
            return
        onset = self._drawn_at
        if self._screen.plays:
            began = self._screen.media_began
            if began is None and self._clock() < onset + _MEDIA_WITHIN_S:
                return
            onset = max(onset, began or onset)
        step_id = self._step_id
        self.disarm()
        self._on_shown(step_id, onset)


class FrameMeter(QWidget):
    """A pixel in the corner, drawn at the screen's rate while a step is measured."""

    def __init__(self, parent: QWidget, clock: Callable[[], float]) -> None:
        super().__init__(parent)
        self._clock = clock
        self._step = ""
        self._drawn: list[float] = []
        self.setFixedSize(1, 1)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._draw)

    def start(self, step: str) -> None:
        """Measure a step, named by its onset marker."""
        screen = self.screen()
        rate = screen.refreshRate() if screen is not None else _FALLBACK_HZ
        self._step, self._drawn = step, []
        self.raise_()
        self._timer.start(max(1, round(1000 / (rate if rate > 0 else _FALLBACK_HZ))))

    def stop(self) -> DisplayTiming | None:
        """End the measurement; None where too little was drawn."""
        if not self._timer.isActive():
            return None
        self._timer.stop()
        return display_timing(self._step, self._drawn)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        QPainter(self).fillRect(self.rect(), self.palette().window())

    def _draw(self) -> None:
        if not self.isVisible() or len(self._drawn) >= _MOST_FRAMES:
            return
        self.repaint()  # at once: painted and handed over when it returns
        self._drawn.append(self._clock())


_MEASURED = ("practice", "stimulus")


class StepWatch:
    """Begins each step once, and reports its onset and display timing to the engine."""

    def __init__(self, window: QWidget, send: Send, clock: Callable[[], float]) -> None:
        self._send = send
        self._view: SessionView | None = None
        self.onset = OnsetClock(clock, self._tell_shown)
        self.meter = FrameMeter(window, clock)
        self.tone = Tone()

    def restart(self) -> None:
        """Forget the step: another engine starts."""
        self.end_measurement()
        self.onset.disarm()
        self._view = None

    def take_up(self, view: SessionView, screen: Screen) -> None:
        before = self._view
        if view.is_paused or (before is not None and view.step_id == before.step_id):
            return
        self.end_measurement()
        if before is not None and before.step.kind == "baseline_closed":
            self.tone.play()
        self._view = view
        screen.begin(view)
        screen.first_focus().setFocus()
        self.onset.arm(view.step_id, screen)

    def end_measurement(self) -> None:
        timing = self.meter.stop()
        if timing is not None:
            self._send(Drawn(timing))

    def _tell_shown(self, step_id: int, time: float) -> None:
        self._send(Shown(step_id, time))
        view = self._view
        if view is not None and view.step_id == step_id and view.step.kind in _MEASURED:
            self.meter.start(view.step.onset_marker)
