"""A traffic light that needs no colour: disc with tick, triangle with stroke, octagon with bar."""

from __future__ import annotations

import math

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QWidget

from app.qt.theme import DARK, Theme
from app.view.calibration_screens import LIGHT_WORDS


class Light(QWidget):
    """One light; its accessible name is its word."""

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self._light = "green"
        self.fit(self.fontMetrics().height())
        self.show_light("green")

    def show_light(self, light: str) -> None:
        """Show ``green``, ``yellow`` or ``red``."""
        self._light = light
        self.setAccessibleName(LIGHT_WORDS[light])
        self.update()

    def fit(self, line: int) -> None:
        """Take a size for words of so many points a line."""
        side = round(1.35 * line)
        self.setFixedSize(QSize(side, side))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw shape and sign."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(self.width() / 24, self.height() / 24)
        theme = self.theme
        colour = {"green": theme.good, "yellow": theme.suspect, "red": theme.bad}[self._light]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        pen = QPen(QColor(theme.surface), 2.6)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        if self._light == "green":
            painter.drawEllipse(QRectF(2, 2, 20, 20))
            painter.setPen(pen)
            painter.drawPolyline(QPolygonF([QPointF(7, 12.5), QPointF(10.5, 16), QPointF(17, 8.5)]))
        elif self._light == "yellow":
            painter.drawPolygon(QPolygonF([QPointF(12, 1.5), QPointF(23, 21.5), QPointF(1, 21.5)]))
            painter.setPen(pen)
            painter.drawLine(QPointF(12, 8.5), QPointF(12, 14.5))
            painter.drawPoint(QPointF(12, 18.3))
        else:
            corners = [math.pi / 8 + k * math.pi / 4 for k in range(8)]
            painter.drawPolygon(
                QPolygonF([QPointF(12 + 10.8 * math.cos(a), 12 + 10.8 * math.sin(a)) for a in corners])
            )
            painter.setPen(pen)
            painter.drawLine(QPointF(7, 12), QPointF(17, 12))
