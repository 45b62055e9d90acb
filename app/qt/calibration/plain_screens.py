"""Screens that say something and offer a way on: an unfinished session, waiting, and a failure."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from app.qt.calibration.screen import Screen, Send
from app.view.plain_text import message_line
from app.view.stopped import LONGEST
from app.view.store import ViewStore
from calibration.types import SessionView


class ResumeScreen(Screen):
    """Offers to go on with a session that was broken off.

    Parameters
    ----------
    send : callable
    words : str
        What there is of it.
    choose : callable
        Gets True to go on with it, False to begin anew.
    """

    def __init__(self, send: Send, words: str, choose: Callable[[bool], object]) -> None:
        super().__init__("Unfinished session", send, width=80)
        self.go_on = self.button("&Go on with it", lambda: choose(True), primary=True)
        self.anew = self.button("Begin a &new session", lambda: choose(False))
        self.column.addStretch(1)
        self.column.addWidget(self.words("There is an unfinished session", 1.6, bold=True))
        self.column.addWidget(self.words(words, 1.2))
        self.column.addSpacing(10)
        foot = QHBoxLayout()
        foot.addWidget(self.go_on)
        foot.addWidget(self.anew)
        foot.addStretch(1)
        self.column.addLayout(foot)
        self.column.addWidget(self.words("Nothing of it is lost either way.", muted=True))
        self.column.addStretch(2)

    def first_focus(self) -> QWidget:
        """The way on."""
        return self.go_on


class WaitingScreen(Screen):
    """Says what is being waited for."""

    def __init__(self, send: Send) -> None:
        super().__init__("Waiting", send, width=70)
        self.title = self.words("One moment", 1.6, bold=True)
        self.said = self.words("", 1.2, muted=True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Waiting")
        self.column.addStretch(1)
        for label in (self.title, self.said):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.column.addWidget(label)
        self.column.addWidget(self.bar)
        self.column.addStretch(1)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show what the engine is at."""
        said = store.phase.message or store.phase.name
        self.said.setText(message_line(said).capitalize())


class FailedScreen(Screen):
    """What went wrong, and that nothing recorded is lost."""

    def __init__(self, send: Send, again: Callable[[], object], close: Callable[[], object]) -> None:
        super().__init__("The session stopped", send, width=90)
        self.title = self.words("The session stopped", 1.6, bold=True)
        self.said = self.words("", 1.15)
        self.again = self.button("Try &again", again, primary=True)
        self.close_button = self.button("&Close", close)
        self.column.addStretch(1)
        self.column.addWidget(self.title)
        self.column.addWidget(self.said)
        self.column.addSpacing(10)
        foot = QHBoxLayout()
        foot.addWidget(self.again)
        foot.addWidget(self.close_button)
        foot.addStretch(1)
        self.column.addLayout(foot)
        kept = "What was recorded is kept. The next start offers to go on where this one stopped."
        self.column.addWidget(self.words(kept, muted=True))
        self.column.addStretch(2)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the reason."""
        ended = store.phase.name == "ended"
        self.title.setText("The session was ended" if ended else "The session stopped")
        message = view.message if ended and view is not None else store.phase.message
        self.said.setText(message_line(message, LONGEST))

    def first_focus(self) -> QWidget:
        """The way on."""
        return self.again
