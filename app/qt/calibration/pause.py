"""The session held: go on, leave the trial out, do another one again, or end it."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeyEvent
from PyQt6.QtWidgets import QWidget

from app.engine.messages import ResumeSession, SkipTrial
from app.qt.calibration.screen import Screen, Send
from app.view.plain_text import message_line
from app.view.store import ViewStore
from calibration.types import SessionView

_SKIPPED = {
    "baseline_open": "this part",
    "baseline_closed": "this part",
    "practice": "the practice",
    "rest": "what is left of the rest",
}
_ANEW = "The trial that was cut short begins anew, and its first part is left out."


class PauseScreen(Screen):
    """What can be done with a session that is held.

    Parameters
    ----------
    send : callable
    on_end : callable
        Ends the session; asks first.
    """

    def __init__(self, send: Send, on_end: Callable[[], object]) -> None:
        super().__init__("Pause", send, width=70)
        self.title = self.words("Pause", 1.9, bold=True)
        self.said = self.words("", 1.25)
        self.go_on = self.button("&Go on", self.resume, primary=True)
        self.skip = self.button("&Skip this trial", self.skip_trial)
        self.end = self.button("&End the session …", on_end)
        self.column.addStretch(1)
        for label in (self.title, self.said):
            self.column.addWidget(label)
        self.column.addSpacing(12)
        for button in (self.go_on, self.skip, self.end):
            self.column.addWidget(button)
        self.column.addSpacing(6)
        self.column.addWidget(
            self.words("What is recorded is kept. An ended session can be taken up again later.", muted=True)
        )
        self.column.addStretch(2)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Say what will follow."""
        if view is None:
            return
        kind, trial = view.step.kind, view.step.trial
        is_in_trial = trial > 0 and kind != "rest"
        where = f"Trial {trial} of {view.n_trials} is held." if is_in_trial else "The session is held."
        parts = (message_line(view.message), where, _ANEW if kind == "stimulus" else "")
        self.said.setText(" ".join(part for part in parts if part))
        self.skip.setText("&Skip " + _SKIPPED.get(kind, "this trial"))

    def resume(self) -> None:
        """Go on."""
        self.send(ResumeSession())

    def skip_trial(self) -> None:
        """Leave the trial out and go on with the next one."""
        self.send(SkipTrial())

    def first_focus(self) -> QWidget:
        """The way on."""
        return self.go_on

    def take_key(self, event: QKeyEvent) -> bool:
        """P goes on."""
        if event.key() == Qt.Key.Key_P:
            self.resume()
            return True
        return False
