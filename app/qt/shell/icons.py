"""The few pictures on buttons, drawn in the theme's colour; beside each stands a word or a tooltip."""

from __future__ import annotations

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QIcon, QPainter, QPixmap, QPolygonF

from app.qt.theme import Theme

_SIZE = 64  # drawn large: Qt scales it down to any screen


def icon(name: str, theme: Theme) -> QIcon:
    """Return the picture ``play``, ``hold``, ``back``, ``on``, ``start``, ``end``, ``record`` or ``stop``."""
    made = QIcon()
    for mode, colour in ((QIcon.Mode.Normal, theme.text), (QIcon.Mode.Disabled, theme.stale)):
        pixmap = QPixmap(_SIZE, _SIZE)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        _draw(painter, name)
        painter.end()
        made.addPixmap(pixmap, mode)
    return made


def _draw(painter: QPainter, name: str) -> None:
    if name == "play":
        painter.drawPolygon(_triangle(18, 50, 1))
    elif name == "hold":
        painter.drawRect(QRectF(16, 12, 11, 40))
        painter.drawRect(QRectF(37, 12, 11, 40))
    elif name in ("back", "start"):
        painter.drawPolygon(_triangle(48, 18, -1))
        painter.drawRect(QRectF(12, 14, 5, 36) if name == "start" else QRectF(50, 14, 5, 36))
    elif name in ("on", "end"):
        painter.drawPolygon(_triangle(16, 46, 1))
        painter.drawRect(QRectF(47, 14, 5, 36) if name == "end" else QRectF(9, 14, 5, 36))
    elif name == "record":
        painter.drawEllipse(QRectF(14, 14, 36, 36))
    elif name == "stop":
        painter.drawRect(QRectF(15, 15, 34, 34))


def _triangle(base: float, tip: float, direction: int) -> QPolygonF:
    assert (tip - base) * direction > 0
    return QPolygonF([QPointF(base, 12), QPointF(base, 52), QPointF(tip, 32)])
