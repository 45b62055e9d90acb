"""A tick box that is seen in both themes; the style's own is drawn dark on dark."""

from __future__ import annotations

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QCheckBox

from app.qt.theme import DARK, Theme


class Tick(QCheckBox):
    """A box with words beside it, or alone."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.theme: Theme = DARK

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for box, words and the frame that shows who has the keys."""
        metrics = self.fontMetrics()
        words = metrics.horizontalAdvance(self.text().replace("&", ""))
        gap = self._side // 2 if self.text() else 0
        return QSize(self._side + 2 * _MARGIN + gap + words + (4 if words else 0), self._side + 2 * _MARGIN)

    minimumSizeHint = sizeHint

    def hitButton(self, pos: object) -> bool:
        """Take a click anywhere."""
        return True

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw frame, box, tick and words."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme, side = self.theme, self._side
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.accent), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        box = QRectF(_MARGIN, (self.height() - side) / 2, side, side)
        ink = theme.text if self.isEnabled() else theme.stale
        painter.setPen(QPen(QColor(theme.muted if self.isEnabled() else theme.grid), 1.5))
        is_filled = self.isChecked() and self.isEnabled()
        painter.setBrush(QColor(theme.accent if is_filled else theme.window))
        painter.drawRoundedRect(box.adjusted(1, 1, -1, -1), 3, 3)
        if self.isChecked():
            painter.setPen(QPen(QColor(theme.window if is_filled else ink), side / 8))
            points = ((0.24, 0.52), (0.43, 0.72), (0.77, 0.30))
            painter.drawPolyline(
                QPolygonF([QPointF(box.left() + x * side, box.top() + y * side) for x, y in points])
            )
        painter.setPen(QColor(ink))
        words = QRectF(self.rect()).adjusted(_MARGIN + side * 1.5, 0, 0, 0)
        flags = int(Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextShowMnemonic)
        painter.drawText(words, flags, self.text())

    @property
    def _side(self) -> int:
        return round(self.fontMetrics().height() * 1.05)


_MARGIN = 5
