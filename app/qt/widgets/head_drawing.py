"""Draws a head from above: outline, coloured surface, electrodes and labels."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QImage, QPainter, QPainterPath, QPen, QTransform

from app.qt.theme import Theme, cividis, diverging

N_COLOURS = 256

_MARGIN = 1.13  # nose and ears reach this far beyond the head, in radii


@dataclass(frozen=True)
class ElectrodeState:
    """What is drawn over an electrode instead of its dot."""

    letter: str  # one character; "" draws a plain dot
    role: str  # good | suspect | bad | stale: the theme's colour
    words: str = ""  # for tooltip and assistive technology: "bad, mains 63 %"


@dataclass(frozen=True)
class HeadShape:
    """Where the head lies in a widget, pixels."""

    centre: QPointF
    radius: float

    @classmethod
    def in_rect(cls, rect: QRectF) -> HeadShape:
        """Return the largest head that fits, nose and ears included."""
        radius = max(min(rect.width(), rect.height()) / 2 / _MARGIN, 1.0)
        # The nose stands out above and nothing below, so the head sits a little lower.
        return cls(rect.center() + QPointF(0, radius * (_MARGIN - 1) / 2), radius)

    def point(self, xy: NDArray[np.float64]) -> QPointF:
        """Return the pixel of a flat position in the unit circle."""
        return self.centre + QPointF(float(xy[0]), -float(xy[1])) * self.radius

    @property
    def top(self) -> float:
        """Tip of the nose."""
        return self.centre.y() - self.radius * _MARGIN

    @property
    def bottom(self) -> float:
        """Back of the head."""
        return self.centre.y() + self.radius

    @property
    def dot(self) -> float:
        """Radius of an electrode's dot."""
        return float(np.clip(self.radius * 0.03, 1.6, 5.0))

    @property
    def disc(self) -> float:
        """Radius of an electrode's disc with a letter."""
        return max(self.radius * 0.062, 3.0)


def draw_outline(painter: QPainter, shape: HeadShape, theme: Theme) -> None:
    """Draw ears and nose; the surface covers their inner ends."""
    painter.setPen(QPen(QColor(theme.muted), 1.5))
    painter.setBrush(QColor(theme.surface))
    radius = shape.radius
    for side in (-1, 1):
        ear = shape.centre + QPointF(side * radius * 1.02, 0)
        painter.drawEllipse(ear, radius * 0.09, radius * 0.2)
    nose = QPainterPath(shape.centre + QPointF(-radius * 0.15, -radius * 0.98))
    nose.lineTo(shape.centre + QPointF(0, -radius * (_MARGIN - 0.005)))
    nose.lineTo(shape.centre + QPointF(radius * 0.15, -radius * 0.98))
    painter.drawPath(nose)


def draw_surface(painter: QPainter, shape: HeadShape, theme: Theme, picture: QImage | None) -> None:
    """Draw the head's circle filled with a square picture, smoothly scaled, or with the grid's colour."""
    painter.setPen(QPen(QColor(theme.muted), 1.5))
    if picture is None:
        painter.setBrush(QColor(theme.window))
    else:
        brush = QBrush(picture)
        corner = shape.centre - QPointF(shape.radius, shape.radius)
        scale = 2 * shape.radius / picture.width()
        brush.setTransform(QTransform.fromTranslate(corner.x(), corner.y()).scale(scale, scale))
        painter.setBrush(brush)
    painter.drawEllipse(shape.centre, shape.radius, shape.radius)


def draw_dots(
    painter: QPainter, shape: HeadShape, xy: NDArray[np.float64], colours: Sequence[QColor | None]
) -> None:
    """Draw an electrode each in the colour of its own value; without one a cross in a hollow dot."""
    for place, colour in zip(xy, colours, strict=True):
        if not np.isfinite(place).all():
            continue
        point, dot = shape.point(place), shape.dot
        if colour is None:
            painter.setPen(QPen(QColor("#ffffff"), 1))
            painter.setBrush(QColor("#15191f"))
            painter.drawEllipse(point, dot * 1.4, dot * 1.4)
            painter.drawLine(point - QPointF(dot, dot), point + QPointF(dot, dot))
            painter.drawLine(point - QPointF(dot, -dot), point + QPointF(dot, -dot))
        else:
            painter.setPen(QPen(_contrast(colour), 1))
            painter.setBrush(colour)
            painter.drawEllipse(point, dot, dot)


def draw_states(
    painter: QPainter,
    shape: HeadShape,
    names: Sequence[str],
    xy: NDArray[np.float64],
    states: Mapping[str, ElectrodeState],
    theme: Theme,
) -> None:
    """Draw each electrode's state as a letter on a disc, or as a plain dot where there is no letter."""
    font = QFont(painter.font())
    font.setBold(True)
    font.setPixelSize(max(int(shape.disc * 1.5), 5))
    painter.setFont(font)
    for name, place in zip(names, xy, strict=True):
        state = states.get(name)
        if state is None or not np.isfinite(place).all():
            continue
        colour = QColor(getattr(theme, state.role))
        radius = shape.disc if state.letter else shape.dot
        painter.setPen(QPen(_contrast(colour), 1))
        painter.setBrush(colour)
        point = shape.point(place)
        painter.drawEllipse(point, radius, radius)
        if state.letter:
            box = QRectF(point.x() - radius, point.y() - radius, 2 * radius, 2 * radius)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, state.letter)


def draw_labels(
    painter: QPainter, shape: HeadShape, places: Sequence[tuple[str, NDArray[np.float64]]], area: QRectF
) -> None:
    """Write names beside their electrodes, each on a small plate; one that would cover another stays out."""
    metrics = QFontMetricsF(painter.font())
    taken: list[QRectF] = []
    for text, place in places:
        width, height = metrics.horizontalAdvance(text) + metrics.height() * 0.5, metrics.height()
        box = _free_box(shape.point(place), width, height, shape.dot * 1.8, area, taken)
        if box is None:
            continue
        taken.append(box)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(16, 19, 24, 205))
        painter.drawRoundedRect(box, 3, 3)
        painter.setPen(QColor("#ffffff"))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def _free_box(
    point: QPointF, width: float, height: float, off: float, area: QRectF, taken: Sequence[QRectF]
) -> QRectF | None:
    """Return a place above, below, right or left of a point that is free, None without one."""
    x, y = point.x(), point.y()
    corners = (
        (x - width / 2, y - off - height),
        (x - width / 2, y + off),
        (x + off, y - height / 2),
        (x - off - width, y - height / 2),
    )
    for left, top in corners:
        box = QRectF(min(max(left, area.left()), area.right() - width), top, width, height)
        if area.contains(box) and not any(box.intersects(other) for other in taken):
            return box
    return None


def draw_bar(painter: QPainter, row: QRectF, low: str, high: str, table: NDArray[np.uint8]) -> None:
    """Draw the lowest number, the colours and the highest number in the middle of a row."""
    metrics, line = QFontMetricsF(painter.font()), row.height()
    texts = metrics.horizontalAdvance(low) + metrics.horizontalAdvance(high)
    width = min(max(row.width() - texts - line, line), 8 * line)
    at = QRectF(row.center().x() - (texts + width + line * 0.6) / 2, row.top(), row.width(), line)
    align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
    painter.drawText(at, align, low)
    left = at.left() + metrics.horizontalAdvance(low) + line * 0.3
    painter.drawImage(QRectF(left, row.top() + line * 0.25, width, line * 0.5), picture(table[None]))
    at.moveLeft(left + width + line * 0.3)
    painter.drawText(at, align, high)


@functools.cache
def colour_table(is_diverging: bool) -> NDArray[np.uint8]:
    """Return the colours (`N_COLOURS`, 3) of a scale."""
    return diverging(N_COLOURS) if is_diverging else cividis(N_COLOURS)


def picture(rgb: NDArray[np.uint8]) -> QImage:
    """Return colours (h, w, 3) as an image that owns its pixels."""
    height, width = rgb.shape[:2]
    solid = np.full((height, width, 4), 255, dtype=np.uint8)
    solid[..., 2::-1] = rgb  # Qt's RGB32 is blue, green, red in memory
    return QImage(solid.tobytes(), width, height, width * 4, QImage.Format.Format_RGB32).copy()


def _contrast(colour: QColor) -> QColor:
    """Return black or white, whichever is seen on the colour."""
    return QColor("#15191f") if colour.lightnessF() > 0.5 else QColor("#ffffff")
