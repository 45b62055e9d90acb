"""An accuracy with its interval beside the level of chance, as a line from 0 to 100 %."""

from __future__ import annotations

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.qt.theme import DARK, Theme
from app.view.figures import percent


class IntervalBar(QWidget):
    """A dot, a band around it, and a dashed line for chance, each with its figure."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self._name = name
        self._values: tuple[float, float, float, float] | None = None
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_values(self, share: float, interval: tuple[float, float], chance: float) -> None:
        """Show shares from 0 to 1."""
        values = (share, *interval, chance)
        if values != self._values:
            self._values = values
            low, high = map(percent, interval)
            words = f"{percent(share)}, 95 % interval {low} to {high}, chance {percent(chance)}"
            self.setAccessibleDescription(words)
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for the line and two rows of figures."""
        line = self.fontMetrics().height()
        return QSize(line * 16, round(line * 4.8))

    minimumSizeHint = sizeHint

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw it."""
        if self._values is None:
            return
        share, low, high, chance = self._values
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        line = self.fontMetrics().height()
        y, thick = line * 1.9, line * 0.7
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.theme.grid))
        painter.drawRoundedRect(self._band(0, 1, y, thick), 4, 4)
        band = QColor(self.theme.accent)
        band.setAlphaF(0.45)
        painter.setBrush(band)
        painter.drawRoundedRect(self._band(low, high, y, thick), 4, 4)
        painter.setPen(QPen(QColor(self.theme.text), 2, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(self._x(chance), y - thick), QPointF(self._x(chance), y + thick))
        painter.setPen(QPen(QColor(self.theme.surface), 2))
        painter.setBrush(QColor(self.theme.text))
        painter.drawEllipse(QPointF(self._x(share), y), thick * 0.55, thick * 0.55)
        painter.setPen(QColor(self.theme.text))
        self._write(painter, f"{percent(share)}", self._x(share), line * 0.5, bold=True)
        painter.setPen(QColor(self.theme.muted))
        self._write(painter, f"chance {percent(chance)}", self._x(chance), y + line * 1.3)
        self._write(
            painter, f"95 %: {percent(low)} to {percent(high)}", self._x((low + high) / 2), y + line * 2.25
        )

    def _band(self, low: float, high: float, y: float, thick: float) -> QRectF:
        return QRectF(self._x(low), y - thick / 2, self._x(high) - self._x(low), thick)

    def _x(self, share: float) -> float:
        margin = self.fontMetrics().averageCharWidth() * 6
        return margin + share * (self.width() - 2 * margin)

    def _write(self, painter: QPainter, text: str, x: float, y: float, *, bold: bool = False) -> None:
        font = self.font()
        font.setBold(bold)
        painter.setFont(font)
        width = painter.fontMetrics().horizontalAdvance(text) + 4
        left = min(max(x - width / 2, 0.0), self.width() - width)
        height = painter.fontMetrics().height()
        painter.drawText(QRectF(left, y - height / 2, width, height), Qt.AlignmentFlag.AlignCenter, text)
