"""The base of a calibration's screens: a page that shows one step, grows with the window and takes keys."""

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QResizeEvent
from PyQt6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app.qt.theme import GrowingPage, Theme, scaled, scaled_font
from app.qt.widgets import Part, plain_label, put, there
from app.view.store import ViewStore
from calibration.types import SessionView

#: Text size relative to the dashboard: a participant with an EEG cap sits further away.
_LARGER = 1.2

Send = Callable[[object], None]


class Screen(GrowingPage):
    """A page with its content in ``column``, which is at most ``width`` average characters wide.

    ``send`` takes commands for the engine.
    """

    larger = _LARGER

    def __init__(self, title: str, send: Send, width: int = 96) -> None:
        super().__init__()
        self.send = send
        self.is_painted = False  # true once the screen was drawn since `begin`
        self.media_began: float | None = None  # LSL seconds at which sound or video began, if it has
        self.setAccessibleName(title)
        self.setObjectName("screen")
        self._primary: QWidget | None = None
        self._sized: list[tuple[QLabel, float, bool]] = []
        self._width = width
        self._inner = QWidget()
        self.column = put(QVBoxLayout(self._inner), margins=(0, 0, 0, 0), spacing=10)
        put(QHBoxLayout(self), 1, (self._inner, 1000), 1, margins=(24, 18, 24, 12))

    def begin(self, view: SessionView) -> None:
        """Show a new step."""

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the session as of ``now`` (LSL seconds); called at every refresh while visible."""

    def leave(self) -> None:
        """Stop what plays: another screen is shown."""

    @property
    def plays(self) -> bool:
        """True where sound or video belongs to the step."""
        return False

    def take_key(self, event: QKeyEvent) -> bool:
        """Handle a key of this screen; return whether it is one."""
        return False

    def first_focus(self) -> QWidget:
        """Return the widget with the focus at first, by default the primary button."""
        return self._primary or self

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        for part in self.findChildren(QWidget):
            if hasattr(part, "set_theme"):
                part.set_theme(theme)

    def stack(self, *parts: Part) -> None:
        put(self.column, *parts)

    def row(self, *parts: Part) -> QHBoxLayout:
        return put(QHBoxLayout(), *parts)

    def panel(self, *parts: Part) -> QFrame:
        """Return a frame with parts in it, one below the other."""
        panel = QFrame()
        panel.setObjectName("panel")
        put(QVBoxLayout(panel), *parts, margins=(16, 12, 16, 12))
        return panel

    def words(
        self,
        text: str = "",
        size: float = 1.0,
        *,
        bold: bool = False,
        muted: bool = False,
        align: Qt.AlignmentFlag | None = None,
    ) -> QLabel:
        """Return a label of plain text, ``size`` times as large as the page's."""
        label = plain_label(text, muted=muted, wraps=True)
        self._sized.append((label, size, bold))
        label.setFont(scaled_font(self, size, bold=bold))
        if align is not None:
            label.setAlignment(align)
        return label

    def button(self, text: str, call: Callable[[], object], *, primary: bool = False) -> QPushButton:
        """Return a button; the primary one is the usual next step."""
        made = QPushButton(text)
        if primary:
            self._primary = made
        made.setProperty("primary", primary)
        made.setAutoDefault(True)  # Enter presses it, besides Space
        made.clicked.connect(lambda: call())
        return made

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self.theme.window))
        self.is_painted = True

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.setFont(scaled(QApplication.font(), self.larger * self.text_growth))
        for label, size, bold in self._sized:
            label.setFont(scaled_font(self, size, bold=bold))
        self._inner.setMaximumWidth(self.fontMetrics().averageCharWidth() * self._width)
        self.fit_buttons()

    def fit_buttons(self) -> None:
        """Make all buttons high enough to hit easily; style sheets apply the initial font only."""
        for button in self.findChildren(QPushButton):
            button.setMinimumHeight(round(self.fontMetrics().height() * 1.9))


def mark_primary(button: QPushButton, *, is_primary: bool) -> None:
    button.setProperty("primary", is_primary)
    restyle(button)


def restyle(widget: QWidget) -> None:
    """Have the style sheet read a widget's properties again."""
    style = there(widget.style())
    style.unpolish(widget)
    style.polish(widget)


def is_enter(event: QKeyEvent) -> bool:
    return event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class TimeBar(QProgressBar):
    """The time left as a shrinking line; its accessible description has the seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("time")
        self.setRange(0, 1000)
        self.setTextVisible(False)
        self.setFixedHeight(6)
        self.setAccessibleName("Time left")

    def show_time(self, view: SessionView | None, now: float) -> None:
        self.setValue(round(1000 * share_left(view, now)))
        if view is not None and view.ends is not None:
            words = f"{max(0.0, view.ends - now):.0f} seconds left"
            if words != self.accessibleDescription():
                self.setAccessibleDescription(words)


def share_left(view: SessionView | None, now: float) -> float:
    """Return the share of the step that is left, 1 while unknown."""
    if view is None or view.began is None or view.ends is None or view.ends <= view.began:
        return 1.0
    return min(max((view.ends - now) / (view.ends - view.began), 0.0), 1.0)
