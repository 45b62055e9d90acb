"""The messages, choices and appearance of a window with an engine, its refreshing and orderly end."""

import logging
import sys
import threading
import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from PyQt6.QtCore import QByteArray, QEvent, QSettings, Qt, QTimer
from PyQt6.QtGui import QCloseEvent
from PyQt6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from acquisition.text import counted
from app.qt.dialogs.base import ask
from app.qt.shell.session import STOP_WITHIN_S, EngineSession
from app.qt.theme import DARK, THEMES, Theme, palette, style_sheet
from app.qt.widgets import COPYABLE, plain_label, put
from app.view.conditions import SEVERITIES, Condition
from app.view.store import ViewStore
from app.view.text import message_line

_log = logging.getLogger(__name__)


class Faults:
    """Takes exceptions and passes them on; those of other threads wait for `deliver`.

    PyQt aborts on an exception in a slot unless ``sys.excepthook`` is replaced.
    """

    def __init__(self, on_fault: Callable[[Condition], None]) -> None:
        self._on_fault = on_fault
        self._counts: dict[str, int] = {}
        self._waiting: list[BaseException] = []
        self._hooks = (sys.excepthook, threading.excepthook)

    @property
    def n_faults(self) -> int:
        return sum(self._counts.values())

    def install(self) -> None:
        self._hooks = (sys.excepthook, threading.excepthook)
        sys.excepthook = self._hook
        threading.excepthook = self._thread_hook

    def remove(self) -> None:
        sys.excepthook, threading.excepthook = self._hooks

    def take(self, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        key = f"{type(error).__name__} {place}"
        count = self._counts[key] = self._counts.get(key, 0) + 1
        details = "".join(traceback.format_exception(error))
        if count == 1:
            _log.error("%s", details)
        times = f" ({count} times)" if count > 1 else ""
        text = f"Internal error{times}: {message_line(f'{type(error).__name__}: {error}')}"
        remedy = "the window continues; please report the details"
        self._on_fault(Condition(key, "error", text, remedy, details=details))

    def deliver(self) -> None:
        waiting, self._waiting = self._waiting, []
        for error in waiting:
            self.take(error)

    def _hook(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self._hooks[0](kind, error, trace)
            return
        self.take(error.with_traceback(trace))

    def _thread_hook(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self._waiting.append(arguments.exc_value)


_MAX_SHOWN = 3
_SIGNS = {"error": "Error", "warning": "Warning", "info": "Info"}


class Banner(QFrame):
    """One message with its remedy and buttons."""

    def __init__(
        self,
        condition: Condition,
        buttons: Sequence[tuple[str, Callable[[], None]]],
        on_close: Callable[[], None] | None,
    ) -> None:
        super().__init__()
        self.setObjectName("banner")
        self.setProperty("severity", condition.severity)
        self._sign = QLabel(f"{_SIGNS[condition.severity]}:")
        self._sign.setStyleSheet("font-weight: 600;")
        self._text = plain_label(wraps=True)
        self._text.setTextInteractionFlags(COPYABLE)
        self._text.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._title = plain_label(wraps=True)
        self._title.setObjectName("title")
        words = put(QVBoxLayout(), self._title, self._text, spacing=0)
        closing = [] if on_close is None else [(condition.close, on_close)]
        pressed = [_button(text, call) for text, call in (*buttons, *closing)]
        put(QHBoxLayout(self), self._sign, (words, 1), *pressed, margins=(8, 2, 4, 2))
        self.show_condition(condition)

    def show_condition(self, condition: Condition) -> None:
        """Show the same condition in newer words."""
        self.condition = condition
        words = condition.text + (f" - {condition.remedy}" if condition.remedy else "")
        if (self._title.text(), self._text.text()) != (condition.title, words):
            self._title.setText(condition.title)
            self._title.setVisible(bool(condition.title))
            self._text.setText(words)
            title = f"{condition.title}. " if condition.title else ""
            self.setAccessibleName(f"{_SIGNS[condition.severity]}: {title}{words}")


class Banners(QWidget):
    """All current messages; a closed one stays hidden until its condition has ended once.

    ``action_of`` returns text and function of a command by its name.
    """

    def __init__(self, action_of: Callable[[str], tuple[str, Callable[[], None]]]) -> None:
        super().__init__()
        self._action_of = action_of
        self._own: dict[str, Condition] = {}
        self._closed: set[str] = set()
        self._shown: dict[str, tuple[tuple[object, ...], Banner]] = {}
        self._shows_all = False
        self._more = QPushButton()
        self._more.setFlat(True)
        self._more.clicked.connect(lambda: setattr(self, "_shows_all", not self._shows_all))
        self._column = put(QVBoxLayout(self), margins=(0, 0, 0, 0), spacing=2)
        self._column.addWidget(self._more, 0, Qt.AlignmentFlag.AlignRight)
        self.setAccessibleName("Messages")

    @property
    def texts(self) -> list[str]:
        """What is shown, in words."""
        return [banner.accessibleName() for _, banner in self._shown.values()]

    @property
    def conditions(self) -> dict[str, Condition]:
        """What is shown, by key."""
        return {key: banner.condition for key, (_, banner) in self._shown.items()}

    def tell(self, condition: Condition) -> None:
        """Show a message of the window itself until it is closed."""
        self._own[condition.key] = condition
        self._closed.discard(condition.key)

    def forget(self, key: str) -> None:
        """Drop a message of the window itself that no longer applies."""
        self._own.pop(key, None)

    def show_conditions(self, conditions: Sequence[Condition]) -> None:
        """Show these besides the window's own messages."""
        every = [*self._own.values(), *conditions]
        every.sort(key=lambda condition: SEVERITIES.index(condition.severity))
        self._closed &= {condition.key for condition in every}
        wanted = [condition for condition in every if condition.key not in self._closed]
        shown = wanted
        if len(wanted) > _MAX_SHOWN and not self._shows_all:
            # What cannot be closed must not be hidden by what comes and goes.
            lasting_first = sorted(wanted, key=lambda condition: condition.can_be_closed)
            shown = sorted(lasting_first[:_MAX_SHOWN], key=lambda c: SEVERITIES.index(c.severity))
        self._lay_out(shown)
        n_hidden = len(wanted) - len(shown)
        self._more.setVisible(len(wanted) > _MAX_SHOWN)
        self._more.setText(counted(n_hidden, "more message") if n_hidden else "Fewer messages")
        self.setVisible(bool(wanted))

    def _lay_out(self, wanted: list[Condition]) -> None:
        shapes = {c.key: (c.severity, c.actions, c.can_be_closed) for c in wanted}
        for key in [key for key, (shape, _) in self._shown.items() if shapes.get(key) != shape]:
            banner = self._shown.pop(key)[1]
            self._column.removeWidget(banner)
            banner.deleteLater()
        for place, condition in enumerate(wanted):
            if condition.key in self._shown:
                self._shown[condition.key][1].show_condition(condition)
            else:
                banner = self._make(condition)
                self._shown[condition.key] = (shapes[condition.key], banner)
                self._column.insertWidget(place, banner)

    def _make(self, condition: Condition) -> Banner:
        buttons = [self._action_of(name) for name in condition.actions]
        if condition.details:
            buttons.append(("Copy details", lambda: _copy(condition.details)))
        on_close = (lambda: self._close(condition.key)) if condition.can_be_closed else None
        return Banner(condition, buttons, on_close)

    def _close(self, key: str) -> None:
        self._own.pop(key, None)
        self._closed.add(key)


def _copy(text: str) -> None:
    if (clipboard := QApplication.clipboard()) is not None:
        clipboard.setText(text)


def _button(text: str, call: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(text)
    button.clicked.connect(lambda: call())
    return button


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
