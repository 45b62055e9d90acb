"""The baselines: a cross to look at, and then closed eyes until a tone."""

from __future__ import annotations

from PyQt6.QtCore import QPointF, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.qt.calibration.screen import Screen, Send
from app.qt.calibration.time_bar import TimeBar
from app.qt.theme import DARK, Theme
from app.view.store import ViewStore
from calibration.types import SessionView

_OPEN = "Look at the cross and rest. Blink as you like."
_CLOSED = "Close your eyes and rest."
_TONE = "A tone tells you when to open them."
_NO_SOUND = "There is no sound here: somebody will tell you when to open them."


class FixationScreen(Screen):
    """Rest with open or closed eyes.

    Parameters
    ----------
    send : callable
    has_sound : bool
        Whether the tone can be heard.
    """

    def __init__(self, send: Send, *, has_sound: bool) -> None:
        super().__init__("Rest before the trials", send)
        self._has_sound = has_sound
        self._is_closed = False
        self.instruction = self.words("", 1.5)
        self.more = self.words("", 1.2, muted=True)
        self.cross = _Cross()
        self.time = TimeBar()
        for label in (self.instruction, self.more):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.column.addStretch(1)
        self.column.addWidget(self.instruction)
        self.column.addWidget(self.more)
        self.column.addWidget(self.cross, 8)
        self.column.addStretch(1)
        self.column.addWidget(self.time)

    def begin(self, view: SessionView) -> None:
        """Say which of the two it is."""
        self._is_closed = view.step.kind == "baseline_closed"
        self.instruction.setText(_CLOSED if self._is_closed else _OPEN)
        self.more.setText((_TONE if self._has_sound else _NO_SOUND) if self._is_closed else "")
        self.time.setVisible(not self._is_closed)
        self.cross.show_cross(not self._is_closed)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the time left, unless nobody looks."""
        if not self._is_closed:
            self.time.show_time(view, now)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.cross.set_theme(theme)
        self.time.set_theme(theme)


class _Cross(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._theme: Theme = DARK
        self._is_shown = True
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Cross to look at")

    def show_cross(self, is_shown: bool) -> None:
        """Show it or not."""
        self._is_shown = is_shown
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw it in the middle."""
        if not self._is_shown:
            return
        painter = QPainter(self)
        arm = self.fontMetrics().height() * 1.6
        centre = QPointF(self.width() / 2, self.height() / 2)
        painter.setPen(QPen(QColor(self._theme.text), max(3.0, arm / 9)))
        painter.drawLine(centre - QPointF(arm, 0), centre + QPointF(arm, 0))
        painter.drawLine(centre - QPointF(0, arm), centre + QPointF(0, arm))
