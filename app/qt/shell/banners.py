"""The messages above the tabs, and the window's own exceptions, which are counted and shown there.

PyQt aborts on an exception in a slot unless ``sys.excepthook`` is replaced.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app.qt.widgets import COPYABLE, plain_label, put
from app.view.conditions import SEVERITIES, Condition
from app.view.text import message_line

_log = logging.getLogger(__name__)


class Faults:
    """Takes exceptions and passes them on; those of other threads wait for `deliver`."""

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
        n_shown = len(wanted) if self._shows_all else _MAX_SHOWN
        if len(wanted) > n_shown:
            # What cannot be closed must not be hidden by what comes and goes.
            wanted.sort(key=lambda condition: (condition.can_be_closed, SEVERITIES.index(condition.severity)))
        self._lay_out(sorted(wanted[:n_shown], key=lambda c: SEVERITIES.index(c.severity)))
        n_hidden = len(wanted) - n_shown
        self._more.setVisible(n_hidden > 0 or (self._shows_all and len(wanted) > _MAX_SHOWN))
        self._more.setText(
            f"{n_hidden} more message{'s' * (n_hidden > 1)}" if n_hidden > 0 else "Fewer messages"
        )
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
