"""How much of a step is over, as a quiet line without figures: a clock to read would distract."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent
from PyQt6.QtWidgets import QWidget

from app.qt.theme import DARK, Theme
from calibration.types import SessionView


class TimeBar(QWidget):
    """A thin line that grows shorter; its accessible description has the seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self._left = 1.0
        self.setFixedHeight(6)
        self.setAccessibleName("Time left")

    def show_time(self, view: SessionView | None, now: float) -> None:
        """Show what is left of a step at ``now`` (LSL seconds); nothing where its end is not known."""
        left = share_left(view, now)
        if view is not None and view.ends is not None:
            words = f"{max(0.0, view.ends - now):.0f} seconds left"
            if words != self.accessibleDescription():
                self.setAccessibleDescription(words)
        if round(left * self.width()) != round(self._left * self.width()):
            self._left = left
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw what is left, from both ends inwards."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        half = self.height() / 2
        painter.setBrush(QColor(self.theme.grid))
        painter.drawRoundedRect(QRectF(self.rect()), half, half)
        painter.setBrush(QColor(self.theme.stale))
        width = self.width() * self._left
        painter.drawRoundedRect(QRectF((self.width() - width) / 2, 0, width, self.height()), half, half)


def share_left(view: SessionView | None, now: float) -> float:
    """Return which share of the step is left, 1 while that is not known."""
    if view is None or view.began is None or view.ends is None or view.ends <= view.began:
        return 1.0
    return min(max((view.ends - now) / (view.ends - view.began), 0.0), 1.0)
