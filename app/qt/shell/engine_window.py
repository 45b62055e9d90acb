"""Common to both windows with an engine: messages, appearance, refreshing, and an orderly end."""

from abc import abstractmethod
from collections.abc import Callable
from time import monotonic
from typing import Any

from PyQt6.QtCore import QEvent, Qt, QTimer
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import QLabel, QMainWindow, QMessageBox, QWidget

from app.qt.dialogs.base import ask
from app.qt.shell.appearance import Appearance, Settings
from app.qt.shell.banners import Banners, Faults
from app.qt.shell.session import STOP_WITHIN_S, EngineSession
from app.qt.theme import Theme
from app.view.store import ViewStore

_UNDER_WAY = ("starting", "recording", "stopping")


def is_recording(store: ViewStore) -> bool:
    recording = store.recording
    return recording is not None and recording.state in _UNDER_WAY and not store.is_over


def ask_to_stop(parent: QWidget, text: str, stop: str, on_answer: Callable[[bool], object]) -> QMessageBox:
    """Ask whether to stop the recording; Enter keeps it."""
    title, keep = "A recording is running", "&Keep recording"
    return ask(parent, title, text, stop, keep, on_answer, no_is_default=True)


class Closing:
    """Closes a window: asks while recording, stops the engine, waits for it; ``before`` is called first."""

    def __init__(self, window: QWidget, session: EngineSession[Any], before: Callable[[], None]) -> None:
        self._window, self._session, self._before = window, session, before
        self.asks_on = window  # the window that asks and waits
        self.is_under_way = False  # true once it is decided
        self._deadline = 0.0
        self._words: QLabel | None = None
        self.question: QMessageBox | None = None

    def on_close(self, event: QCloseEvent) -> None:
        """Handle a close event; it comes again when the engine has ended."""
        if self._is_due:
            self._session.kill()
            event.accept()
            return
        event.ignore()
        if self.is_under_way:
            return
        if is_recording(self._session.store):
            self._ask()
        else:
            self.begin()

    def begin(self) -> None:
        """Stop the engine; `poll` closes the window then."""
        if self.is_under_way:
            return
        self.is_under_way = True
        self._deadline = monotonic() + STOP_WITHIN_S + 0.7  # then whatever is left is killed
        self._before()
        records = is_recording(self._session.store)
        self._session.stop()
        self._words = QLabel("Finishing the recording …" if records else "Closing …", self.asks_on)
        self._words.setObjectName("panel")
        self._words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._words.setAutoFillBackground(True)
        self._words.setMargin(24)
        self._words.adjustSize()
        self._words.move(self.asks_on.rect().center() - self._words.rect().center())
        self._words.show()

    def poll(self) -> None:
        """Close the window when everything has ended or timed out."""
        if self._is_due:
            self._window.close()

    @property
    def _is_due(self) -> bool:
        return self.is_under_way and (self._session.is_over or monotonic() > self._deadline)

    def _ask(self) -> None:
        if self.question is not None:
            self.question.raise_()
            return
        recording = self._session.store.recording
        name = recording.path.name if recording is not None else "the recording"
        text = f"{name} is being recorded. Stop the recording and close?"
        self.question = ask_to_stop(self.asks_on, text, "&Stop recording and close", self._on_answer)

    def _on_answer(self, stop: bool) -> None:
        self.question = None
        if stop:
            self.begin()


class EngineWindow(QMainWindow):
    """Polls its engine and shows its errors; ends the engine, and its recording, before it closes."""

    #: Refreshes between two of messages and menus.
    slow_every = 8

    def __init__(self, session: EngineSession[Any], settings: Settings) -> None:
        super().__init__()
        self.session, self.settings = session, settings
        self.banners = Banners(self.button_of)
        self.faults = Faults(self.banners.tell)
        self.appearance = Appearance(self, settings, self.pass_theme_on, self.banners.tell)
        self.closing = Closing(self, session, self.before_closing)
        self._n_refreshes = 0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.poll)

    @abstractmethod
    def pass_theme_on(self, theme: Theme) -> None:
        """Pass the colours on to what style sheets do not reach."""

    @abstractmethod
    def button_of(self, name: str) -> tuple[str, Callable[[], None]]:
        """Return text and function of a message's button by the name of its command."""

    @abstractmethod
    def refresh(self) -> None:
        """Show the newest data."""

    @abstractmethod
    def refresh_slowly(self) -> None:
        """Show what changes rarely."""

    @abstractmethod
    def first_focus(self) -> QWidget:
        """Return the widget that has the focus after a dialog."""

    def before_closing(self) -> None:
        self.settings.save()

    def after_painting(self) -> None:
        """Called after Qt has painted and handed over everything that changed."""

    def start_polling(self, every_ms: int) -> None:
        self._timer.start(every_ms)

    def poll(self) -> None:
        """Take messages and refresh what is visible."""
        self.session.poll()
        self.faults.deliver()
        self.refresh()
        self._n_refreshes += 1
        if self._n_refreshes % self.slow_every == 1:
            self.refresh_slowly()
        self.closing.poll()

    def event(self, event: QEvent | None) -> bool:
        is_done = super().event(event)
        if event is not None and event.type() == QEvent.Type.UpdateRequest:
            self.after_painting()
        elif event is not None and event.type() == QEvent.Type.WindowUnblocked:
            QTimer.singleShot(0, self._take_keys)  # once the dialog that held them is gone
        return is_done

    def _take_keys(self) -> None:
        """Take the focus back after a dialog; a window manager would do it, but there may be none."""
        if self.isVisible():
            self.activateWindow()
            self.first_focus().setFocus()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        if event is not None:
            self.closing.on_close(event)
            if event.isAccepted():
                self._timer.stop()
