"""What happens as one step follows another: its screen takes it up, its onset and its frames are told."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtWidgets import QWidget

from app.engine.messages import Drawn, Shown
from app.qt.calibration.frame_clock import FrameMeter, OnsetClock
from app.qt.calibration.multimedia import Tone
from app.qt.calibration.screen import Screen, Send
from calibration.types import SessionView

_MEASURED = ("practice", "stimulus")


class StepWatch:
    """Takes up each step once, and tells the engine when it was seen and how steadily.

    Parameters
    ----------
    window : QWidget
    send : callable
        Takes orders for the engine.
    clock : callable
        Returns LSL seconds.
    """

    def __init__(self, window: QWidget, send: Send, clock: Callable[[], float]) -> None:
        self._send = send
        self._view: SessionView | None = None
        self.onset = OnsetClock(clock, self._tell_shown)
        self.meter = FrameMeter(window, clock)
        self.tone = Tone()

    def restart(self) -> None:
        """Forget the step: another engine counts anew."""
        self.end_measurement()
        self.onset.disarm()
        self._view = None

    def take_up(self, view: SessionView, screen: Screen) -> None:
        """Have a screen begin a step that is new, and wait until it is drawn."""
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
        """Tell how steadily the step was drawn, if that was measured."""
        timing = self.meter.stop()
        if timing is not None:
            self._send(Drawn(timing))

    def _tell_shown(self, step_id: int, time: float) -> None:
        self._send(Shown(step_id, time))
        view = self._view
        if view is not None and view.step_id == step_id and view.step.kind in _MEASURED:
            self.meter.start(view.step.onset_marker)
