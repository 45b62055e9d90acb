"""Draws a head from above: outline, coloured surface, electrodes and labels."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetricsF,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QTransform,
)
from PyQt6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.qt.theme import DARK, Theme, cividis, diverging
from app.view.head_map import HeadMap

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


head_map = functools.lru_cache(maxsize=16)(HeadMap)  # one set of weights for all maps of a cap


class HeadMapWidget(QWidget):
    """Shows values at electrodes as a coloured head, their states as letters, or both.

    Left and right walk through the electrodes by value, home and end go to the highest and lowest,
    escape lets go; the tooltip and the accessible description say what the colours say.

    Parameters
    ----------
    title : str
        Plain text above the head.
    n_labels : int
        How many of the highest electrodes carry their name.
    """

    def __init__(self, title: str, parent: QWidget | None = None, *, n_labels: int = 3) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self._title = title
        self.n_labels = n_labels
        self._names: tuple[str, ...] = ()
        self._values: NDArray[np.float32] | None = None
        self._scale = (0.0, 1.0)
        self._unit = ""
        self._diverging = False
        self._by_size = False
        self._states: Mapping[str, ElectrodeState] = {}
        self._even = ""
        self._missing = "no data yet"
        self._selected: str | None = None
        self._picture: QImage | None = None
        self.setAccessibleName(title)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(self.minimumSizeHint())

    # --- what it shows ---

    def set_values(
        self,
        ch_names: Sequence[str],
        values: ArrayLike,
        low: float,
        high: float,
        unit: str,
        *,
        diverging: bool = False,
        by_size: bool | None = None,
    ) -> None:
        """Show one value per electrode on a scale from ``low`` to ``high``.

        Parameters
        ----------
        ch_names : sequence of str, length C
            10-20 names; one without a known position is named below the head.
        values : array_like, (C,)
            NaN where there is none: a crossed dot.
        unit : str
            Behind the numbers of the colour bar.
        diverging : bool
            Blue, white and vermillion instead of cividis, and signed numbers; ``low`` and ``high`` should lie
            around the middle.
        by_size : bool, optional
            Whether the values far below 0 rank with those far above; as ``diverging`` where not given.
        """
        names, given = tuple(ch_names), np.array(values, dtype=np.float32)
        same = names == self._names and self._values is not None and not self._missing
        by_size = diverging if by_size is None else by_size
        how = ((float(low), float(high)), unit, diverging, by_size)
        if same and how == (self._scale, self._unit, self._diverging, self._by_size):
            assert self._values is not None
            if np.array_equal(given, self._values, equal_nan=True):
                return
        self._names, self._values, self._missing = names, given, ""
        self._scale, self._unit, self._diverging, self._by_size = how
        self._changed()

    def set_states(self, states: Mapping[str, ElectrodeState], ch_names: Sequence[str] | None = None) -> None:
        """Draw letters over electrodes; with ``ch_names`` and no values the head stays uncoloured."""
        names = self._names if ch_names is None else tuple(ch_names)
        if states == self._states and names == self._names and not self._missing:
            return
        if names != self._names:
            self._names, self._values = names, None
        self._states, self._missing = dict(states), ""
        self._changed()

    def set_missing(self, reason: str) -> None:
        """Grey the head and say why it shows nothing: "absent", "no data yet"."""
        if reason != self._missing:
            self._missing = reason
            self._changed()

    def set_even(self, words: str) -> None:
        """Say that the values hardly differ, and name no electrode; an empty text takes that back."""
        if words != self._even:
            self._even = words
            self._describe()
            self.update()

    def set_title(self, title: str) -> None:
        """Change the text above the head."""
        if title != self._title:
            self._title = title
            self.setAccessibleName(title)
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    @property
    def scale(self) -> tuple[float, float]:
        """Values of the first and the last colour."""
        return self._scale

    def highest(self, n: int) -> list[str]:
        """Return the n channels with the highest values, or the largest where they rank by size."""
        return self._ranked()[:n]

    # --- Qt ---

    def minimumSizeHint(self) -> QSize:
        line = self.fontMetrics().height()
        return QSize(7 * line, 8 * line)

    def sizeHint(self) -> QSize:
        line = self.fontMetrics().height()
        return QSize(13 * line, 14 * line)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        shape, line = self.shape(), QFontMetricsF(self.font()).height()
        top = QRectF(3, max(shape.top - line * 1.15, 1), self.width() - 6, line)
        painter.setPen(QColor(self.theme.muted if self._missing else self.theme.text))
        painter.drawText(top, Qt.AlignmentFlag.AlignCenter, self._elided(self._title, top.width()))
        draw_outline(painter, shape, self.theme)
        draw_surface(painter, shape, self.theme, None if self._missing else self._picture)
        if self._missing:
            self._draw_missing(painter, shape)
        else:
            self._draw_electrodes(painter, shape, line)
            below = QRectF(2, shape.bottom + line * 0.25, self.width() - 4, line)
            self._draw_bar(painter, below)
            if self._even:
                self._draw_even(painter, below.translated(0, line))
        if self.hasFocus():
            painter.setPen(QPen(QColor(self.theme.accent), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.text_at(event.pos().x(), event.pos().y()), self)
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        assert event is not None
        ranked, key = self._ranked(), event.key()
        at = ranked.index(self._selected) if self._selected in ranked else -1
        moves = {
            Qt.Key.Key_Right: at + 1,
            Qt.Key.Key_Left: at - 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: len(ranked) - 1,
        }
        if key == Qt.Key.Key_Escape and self._selected:
            self._selected = None
        elif ranked and key in moves:
            self._selected = ranked[moves[Qt.Key(key)] % len(ranked)]
        else:
            super().keyPressEvent(event)
            return
        self._describe()
        self.update()

    # --- parts ---

    def _changed(self) -> None:
        self._picture = None
        if self._values is not None and not self._missing:
            square = head_map(self._names).square(self._values)
            if np.isfinite(square).all():
                indices = self._indices(square)
                self._picture = picture(colour_table(self._diverging)[indices])
        self._describe()
        self.update()

    def _indices(self, values: NDArray[np.float32]) -> NDArray[np.intp]:
        low, high = self._scale
        shares = (np.clip(values, low, high) - low) / max(high - low, 1e-12)
        return (shares * (N_COLOURS - 1)).astype(np.intp)

    def _ranked(self) -> list[str]:
        if self._missing or self._values is None:
            return list(self._states)
        key = np.abs(self._values) if self._by_size else self._values
        order = np.argsort(-np.where(np.isfinite(key), key, -np.inf), kind="stable")
        return [self._names[i] for i in order if np.isfinite(key[i])]

    def _words(self, name: str) -> str:
        words = name
        if self._values is not None and name in self._names:
            value = float(self._values[self._names.index(name)])
            words += f" {self._number(value)} {self._unit}" if np.isfinite(value) else " no value"
        state = self._states.get(name)
        return f"{words}, {state.words}" if state and state.words else words

    def _number(self, value: float) -> str:
        span = max(self._scale[1] - self._scale[0], 1e-12)
        decimals = int(np.clip(2 - np.floor(np.log10(span)), 0, 6))
        sign = "+" if self._diverging and value > 0 else ""
        return f"{sign}{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")

    def _describe(self) -> None:
        """Say in words what the colours say, for assistive technology."""
        if self._missing:
            words = self._missing
        elif self._selected:
            words = self._words(self._selected)
        elif self._even:
            words = self._even
        elif self._values is not None:
            words = ("largest: " if self._by_size else "highest: ") + "; ".join(
                self._words(name) for name in self.highest(3)
            )
        else:
            marked = [name for name, state in self._states.items() if state.letter]
            words = "; ".join(self._words(name) for name in marked) or "nothing marked"
        if words != self.accessibleDescription():
            self.setAccessibleDescription(words)

    def shape(self) -> HeadShape:
        """Return where the head is, in the widget's coordinates."""
        line = QFontMetricsF(self.font()).height()
        n_below = 1.3 if self._values is not None or self._missing else 0.2
        n_below += 1 if self._even and not self._missing else 0
        if not self._missing and head_map(self._names).unplaced:
            n_below += 1
        return HeadShape.in_rect(QRectF(2, line, self.width() - 4, self.height() - line * (1 + n_below)))

    def _draw_electrodes(self, painter: QPainter, shape: HeadShape, line: float) -> None:
        xy = head_map(self._names).xy
        if self._values is not None:
            table = colour_table(self._diverging)
            shown = [
                QColor(*map(int, table[i])) if np.isfinite(value) else None
                for i, value in zip(self._indices(np.nan_to_num(self._values)), self._values, strict=True)
            ]
            draw_dots(painter, shape, xy, shown)
        draw_states(painter, shape, self._names, xy, self._states, self.theme)
        painter.setFont(self.font())
        named = [self._selected] if self._selected in self._names else []
        if shape.radius > 4.5 * line and self._values is not None and not self._even:
            named += [name for name in self.highest(self.n_labels) if name != self._selected]
        places = [
            (self._words(name) if name == self._selected else name, xy[self._names.index(name)])
            for name in named
            if name and np.isfinite(xy[self._names.index(name)]).all()
        ]
        draw_labels(painter, shape, places, QRectF(self.rect()))

    def _draw_bar(self, painter: QPainter, row: QRectF) -> None:
        """Draw the colour bar below the head, and below it who has no place on the head."""
        painter.setPen(QColor(self.theme.muted))
        if unplaced := head_map(self._names).unplaced:
            text = self._elided(f"without position: {', '.join(unplaced)}", row.width())
            below = row.translated(0, row.height()) if self._values is not None else row
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, text)
        if self._values is not None:
            low, high = (f"{value:{'+' if self._diverging else ''}.4g}" for value in self._scale)
            texts = low.replace("-", "\N{MINUS SIGN}"), f"{high} {self._unit}".replace("-", "\N{MINUS SIGN}")
            draw_bar(painter, row, *texts, colour_table(self._diverging))

    def _draw_even(self, painter: QPainter, row: QRectF) -> None:
        painter.setPen(QColor(self.theme.text))
        painter.drawText(row, Qt.AlignmentFlag.AlignCenter, self._elided(self._even, row.width()))

    def _draw_missing(self, painter: QPainter, shape: HeadShape) -> None:
        painter.setPen(QColor(self.theme.muted))
        side = shape.radius * 1.5
        box = QRectF(shape.centre.x() - side / 2, shape.centre.y() - side / 2, side, side)
        painter.drawText(
            box, int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), self._missing
        )

    def text_at(self, x: float, y: float) -> str:
        """Return the words for the electrode at a place in the widget, empty beside all of them."""
        if self._missing or not self._names:
            return self._missing
        shape, placed = self.shape(), head_map(self._names)
        flat = np.array([(x - shape.centre.x()) / shape.radius, (shape.centre.y() - y) / shape.radius])
        off = np.hypot(*(placed.xy - flat).T)
        if not np.isfinite(off).any() or np.nanmin(off) > 0.1:
            return ""
        return self._words(self._names[int(np.nanargmin(off))])

    def _elided(self, text: str, width: float) -> str:
        return QFontMetricsF(self.font()).elidedText(text, Qt.TextElideMode.ElideRight, width)
