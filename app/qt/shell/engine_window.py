"""Common to both windows with an engine: choices kept, appearance, refreshing, and an orderly end."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import Any

from PyQt6.QtCore import QByteArray, QEvent, QSettings, Qt, QTimer
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import QApplication, QLabel, QMainWindow, QMessageBox, QWidget

from app.qt.dialogs.base import ask
from app.qt.shell.banners import Banners, Faults
from app.qt.shell.session import STOP_WITHIN_S, EngineSession
from app.qt.theme import DARK, THEMES, Theme, palette, style_sheet
from app.view.conditions import Condition
from app.view.store import ViewStore

_MAX_RECENT = 8


class Settings:
    """Choices by name, kept in an INI file if there is one; an unreadable one counts as not made."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else QSettings(str(path), QSettings.Format.IniFormat)
        self._kept = (
            {} if self._file is None else {key: self._file.value(key) for key in self._file.allKeys()}
        )

    def text(self, name: str, default: str = "") -> str:
        value = self._kept.get(name)
        return value if isinstance(value, str) else default

    def number(self, name: str, default: float) -> float:
        try:
            return float(str(self._kept.get(name)))
        except ValueError:
            return default

    def flag(self, name: str) -> bool:
        return self.text(name) == "yes"

    def state(self, name: str) -> QByteArray | None:
        """Return a Qt state, e.g. a window's geometry."""
        value = self._kept.get(name)
        return value if isinstance(value, QByteArray) else None

    def names(self, name: str) -> list[str]:
        return [each for each in self.text(name).split("|") if each]

    def paths(self, name: str) -> list[Path]:
        """Return paths, the newest first."""
        return [Path(each) for each in self.names(name)]

    def keep(self, name: str, value: str | float | bool | QByteArray) -> None:
        if isinstance(value, bool):
            value = "yes" if value else "no"
        self._kept[name] = kept = value if isinstance(value, QByteArray) else str(value)
        if self._file is not None:
            self._file.setValue(name, kept)

    def keep_names(self, name: str, names: Iterable[str]) -> None:
        self.keep(name, "|".join(names))

    def keep_recent(self, name: str, path: Path) -> None:
        """Put a path before the others of that name."""
        paths = [path, *(other for other in self.paths(name) if other != path)]
        self.keep_names(name, map(str, paths[:_MAX_RECENT]))

    def save(self) -> None:
        if self._file is not None:
            self._file.sync()


SCALES = (1.0, 1.25, 1.5, 1.75, 2.0)


class Appearance:
    """Changes the window's appearance and keeps it; ``on_theme`` reaches what style sheets do not."""

    def __init__(
        self,
        window: QMainWindow,
        settings: Settings,
        on_theme: Callable[[Theme], None],
        tell: Callable[[Condition], None],
    ) -> None:
        self._window, self._settings, self._on_theme, self._tell = window, settings, on_theme, tell
        self.theme = DARK

    def use_theme(self, theme: Theme) -> None:
        self.theme = theme
        QApplication.setPalette(palette(theme))
        self._window.setStyleSheet(style_sheet(theme))
        self._on_theme(theme)

    def switch_theme(self) -> None:
        self.use_theme(THEMES["light" if self.theme.name == "dark" else "dark"])
        self._settings.keep("theme", self.theme.name)

    def change_scale(self, direction: int) -> None:
        """Choose the next scale; Qt takes it when the program starts."""
        before = chosen_scale(self._settings)
        at = min(range(len(SCALES)), key=lambda i: abs(SCALES[i] - before))
        scale = SCALES[min(max(at + direction, 0), len(SCALES) - 1)]
        self._settings.keep("scale", scale)
        self._settings.save()
        text = f"The scale of {100 * scale:.0f} % takes effect at next start."
        self._tell(Condition("scale", "info", text))

    def toggle_full_screen(self) -> None:
        if self._window.isFullScreen():
            self._window.showNormal()
        else:
            self._window.showFullScreen()


def chosen_scale(settings: Settings) -> float:
    """Return the scale kept from the last run, 1 to 2."""
    return min(max(settings.number("scale", 1.0), 1.0), 2.0)


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
