"""Closes the window only after the engine has ended, the recording properly first."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import QLabel, QMessageBox, QWidget

from app.qt.shell.recording import is_recording
from app.qt.shell.session import STOP_WITHIN_S, EngineSession


class Closing:
    """What happens between the wish to close and the end.

    Parameters
    ----------
    window : QWidget
    session : EngineSession
    before : callable
        Called once, when it is decided: keeps settings.
    """

    def __init__(self, window: QWidget, session: EngineSession[Any], before: Callable[[], None]) -> None:
        self._window, self._session, self._before = window, session, before
        self._is_decided = False
        self._deadline = 0.0
        self._words: QLabel | None = None
        self.question: QMessageBox | None = None

    def on_close(self, event: QCloseEvent) -> None:
        """Take the wish to close; it comes again when all has ended."""
        if self._is_decided and (self._session.is_over or monotonic() > self._deadline):
            self._session.kill()
            event.accept()
            return
        event.ignore()
        if self._is_decided:
            return
        if is_recording(self._session.store):
            self._ask()
        else:
            self.begin()

    def begin(self) -> None:
        """Stop the engine; `poll` closes the window then."""
        if self._is_decided:
            return
        self._is_decided = True
        self._deadline = monotonic() + STOP_WITHIN_S + 0.7  # which ends what force did not
        self._before()
        records = is_recording(self._session.store)
        self._session.stop()
        self._words = QLabel("Finishing the recording …" if records else "Closing …", self._window)
        self._words.setObjectName("panel")
        self._words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._words.setAutoFillBackground(True)
        self._words.setMargin(24)
        self._words.adjustSize()
        self._words.move(self._window.rect().center() - self._words.rect().center())
        self._words.show()

    def poll(self) -> None:
        """Close the window when everything has ended, or has had its time."""
        if self._is_decided and (self._session.is_over or monotonic() > self._deadline):
            self._window.close()

    @property
    def is_under_way(self) -> bool:
        """True once it is decided."""
        return self._is_decided

    def _ask(self) -> None:
        if self.question is not None:
            self.question.raise_()
            return
        recording = self._session.store.health
        name = recording.recording.path.name if recording and recording.recording else "the recording"
        question = self.question = QMessageBox(self._window)
        question.setWindowTitle("A recording is running")
        question.setTextFormat(Qt.TextFormat.PlainText)
        question.setText(f"{name} is being recorded. Stop the recording and close?")
        stop = question.addButton("&Stop recording and close", QMessageBox.ButtonRole.AcceptRole)
        question.addButton("&Go on recording", QMessageBox.ButtonRole.RejectRole)
        question.finished.connect(lambda: self._answer(question.clickedButton() is stop))
        question.open()

    def _answer(self, stop: bool) -> None:
        self.question = None
        if stop:
            self.begin()
