"""A head from above, coloured by one value per electrode, with a colour bar, letters and names."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetricsF,
    QImage,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPen,
    QResizeEvent,
    QTransform,
)

from app.qt.plots.axes import ColourBar, TitleAxis, image_of
from app.qt.plots.plot import PixelItem, Plot, Table
from app.qt.theme import colour_table
from app.view.head_map import HeadMap

_REACH = 1.13  # nose and ears reach this far from the middle, in radii
_LEAST_INTERPOLATED = 16  # electrodes: fewer are dots, between which nothing is known
_NEAR = 0.1  # of the head's radius: the mouse is at an electrode

head_map = functools.lru_cache(maxsize=16)(HeadMap)  # one set of weights for all maps of a cap


@dataclass(frozen=True)
class ElectrodeState:
    """What is drawn over an electrode instead of its dot."""

    letter: str  # one character; "" draws a plain dot
    role: str  # good | suspect | bad | stale: the theme's colour
    words: str = ""  # for the hover text and assistive technology: "bad, mains 63 %"


class HeadPlot(Plot):
    """Shows values at electrodes as a coloured head, their states as letters, or both.

    Left and right step through the electrodes by value, Home and End go to the highest and lowest, Escape
    deselects; the hover text and the accessible description give the values in words. ``n_labels`` of the
    highest electrodes carry their name.
    """

    def __init__(self, title: str, *, n_labels: int = 3) -> None:
        self.colour_bar = ColourBar("bottom", colour_table(False))
        self._title = TitleAxis(title)
        axes, across, along = (self.colour_bar, self._title), (-_REACH, _REACH), (-1.02, _REACH)
        super().__init__(title, axes, x=across, y=along, aspect=1.0, least=(14, 8.0))
        self.n_labels = n_labels
        self.names: tuple[str, ...] = ()
        self.values: NDArray[np.float32] | None = None
        self.scale = (0.0, 1.0)  # values of the first and the last colour
        self.states: Mapping[str, ElectrodeState] = {}
        self.selected: str | None = None
        self._unit, self._diverging, self._by_size = "", False, False
        self._even = ""
        self._head = _Head(self)
        super().set_notice("no data yet")

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
        """Show one value per electrode (C,), NaN where there is none, on a scale from ``low`` to ``high``.

        Names without a known position are listed below the head. ``diverging`` colours are blue, white and
        vermillion instead of cividis, with signed numbers. With ``by_size``, by default where they diverge,
        values far below 0 rank with those far above.
        """
        names, given = tuple(ch_names), np.array(values, dtype=np.float32)
        by_size = diverging if by_size is None else by_size
        how = (names, (float(low), float(high)), unit, diverging, by_size)
        is_same = how == (self.names, self.scale, self._unit, self._diverging, self._by_size)
        before = None if self.notice else self.values
        if is_same and before is not None and np.array_equal(given, before, equal_nan=True):
            return
        self.names, self.scale, self._unit, self._diverging, self._by_size = how
        self.values = given
        self.colour_bar.set_scale(self.scale, unit, colour_table(diverging), is_signed=diverging)
        super().set_notice("")
        self._changed()

    def set_states(self, states: Mapping[str, ElectrodeState], ch_names: Sequence[str] | None = None) -> None:
        """Draw letters over electrodes; with ``ch_names`` and no values the head stays uncoloured."""
        names = self.names if ch_names is None else tuple(ch_names)
        if states == self.states and names == self.names and not self.notice:
            return
        if names != self.names:
            self.names, self.values = names, None
        self.states = dict(states)
        super().set_notice("")
        self._changed()

    def set_notice(self, notice: str) -> None:
        """Grey the head and say why it shows nothing: "EEG missing", "no data yet"."""
        if notice != self.notice:
            super().set_notice(notice)
            self._changed()

    def set_even(self, words: str) -> None:
        """Say that the values hardly differ, and name no electrode; an empty text undoes it."""
        if words != self._even:
            self._even = words
            self._changed()

    def set_title(self, title: str) -> None:
        self._title.set_title(title)
        self.setAccessibleName(title)

    def highest(self, n: int) -> list[str]:
        """Return the n channels with the highest values, or the largest where they rank by size."""
        return self._ranked()[:n]

    def text_at(self, x: float, y: float) -> str:
        if self.notice or not self.names:
            return self.notice
        off = np.hypot(*(head_map(self.names).xy - (x, y)).T)
        if not np.isfinite(off).any() or np.nanmin(off) > _NEAR:
            return ""
        return self.words(self.names[int(np.nanargmin(off))])

    def table(self) -> Table:
        values = self.values if self.values is not None else np.full(len(self.names), np.nan)
        states = (self.states.get(name) for name in self.names)
        rows = [
            (name, f"{value:.6g}", state.words if state else "")
            for name, value, state in zip(self.names, values, states, strict=True)
        ]
        return ["electrode", f"value {self._unit}".rstrip(), "state"], rows

    def words(self, name: str) -> str:
        words = name
        if self.values is not None and name in self.names:
            value = float(self.values[self.names.index(name)])
            words += f" {self._number(value)} {self._unit}" if np.isfinite(value) else " no value"
        state = self.states.get(name)
        return f"{words}, {state.words}" if state and state.words else words

    def colours_of(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the colours (..., 3) of values."""
        low, high = self.scale
        shares = (np.clip(values, low, high) - low) / max(high - low, 1e-12)
        table = colour_table(self._diverging)
        return table[(np.nan_to_num(shares) * (len(table) - 1)).astype(np.intp)]

    def named(self, are_few: bool) -> list[str]:
        """Return the electrodes to name: the chosen one, and the highest if there is room."""
        named = [self.selected] if self.selected in self.names else []
        if not are_few and self.values is not None and not self._even:
            named += self.highest(self.n_labels)
        return [name for name in dict.fromkeys(named) if name is not None]

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        assert event is not None
        ranked, key = self._ranked(), event.key()
        at = ranked.index(self.selected) if self.selected in ranked else -1
        moves = {
            Qt.Key.Key_Right: at + 1,
            Qt.Key.Key_Left: at - 1,
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: len(ranked) - 1,
        }
        if key == Qt.Key.Key_Escape and self.selected:
            self.selected = None
        elif ranked and key in moves:
            self.selected = ranked[moves[Qt.Key(key)] % len(ranked)]
        else:
            return super().keyPressEvent(event)
        self._describe()
        self._head.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        if event is not None and not self.closed:  # pyqtgraph calls it without one while it makes the plot
            self.plot_item.layout.setContentsMargins(*self._margins())
        super().resizeEvent(event)

    def _margins(self) -> tuple[int, int, int, int]:
        head = self.width() * (1.02 + _REACH) / (2 * _REACH)
        spare = max(1, round((self.height() - self._title.height() - self.colour_bar.height() - head) / 2))
        return (1, spare, 1, spare)

    def _changed(self) -> None:
        if self.values is not None and not self.notice:
            self.colour_bar.show()  # which takes room again, unlike setVisible
        else:
            self.colour_bar.hide()
        unplaced = head_map(self.names).unplaced if self.names else ()
        below = self._even or (f"without position: {', '.join(unplaced)}" if unplaced else "")
        self.colour_bar.set_title("" if self.notice else below)
        self.plot_item.layout.setContentsMargins(*self._margins())
        self._head.forget()
        self._describe()

    def _ranked(self) -> list[str]:
        if self.notice or self.values is None:
            return list(self.states)
        key = np.abs(self.values) if self._by_size else self.values
        order = np.argsort(-np.where(np.isfinite(key), key, -np.inf), kind="stable")
        return [self.names[i] for i in order if np.isfinite(key[i])]

    def _number(self, value: float) -> str:
        span = max(self.scale[1] - self.scale[0], 1e-12)
        decimals = int(np.clip(2 - np.floor(np.log10(span)), 0, 6))
        sign = "+" if self._diverging and value > 0 else ""
        return f"{sign}{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")

    def _describe(self) -> None:
        if self.notice:
            words = self.notice
        elif self.selected:
            words = self.words(self.selected)
        elif self._even:
            words = self._even
        elif self.values is not None:
            best = "; ".join(self.words(name) for name in self.highest(3))
            words = f"{'largest' if self._by_size else 'highest'}: {best}"
        else:
            marked = [name for name, state in self.states.items() if state.letter]
            words = "; ".join(self.words(name) for name in marked) or "nothing marked"
        if words != self.accessibleDescription():
            self.setAccessibleDescription(words)


class _Head(PixelItem):
    """Outline, coloured surface, electrodes and labels."""

    z = 1.0
    plot: HeadPlot
    _surface: QImage | None = None
    _are_few = False

    def forget(self) -> None:
        plot, self._surface = self.plot, None
        if plot.values is not None and not plot.notice:
            cap = head_map(plot.names)
            self._are_few = int(cap.usable(plot.values).sum()) < _LEAST_INTERPOLATED
            square = np.full((1, 1), np.nan) if self._are_few else cap.square(plot.values)
            if np.isfinite(square).all():
                self._surface = image_of(plot.colours_of(square))
        self.update()

    @property
    def radius(self) -> float:
        """Of the head, pixels."""
        return float(abs(self.x_of(1.0) - self.x_of(0.0)))

    @property
    def dot(self) -> float:
        """Radius of an electrode's dot, larger where it stands alone."""
        share, most = (0.09, 14.0) if self._are_few else (0.03, 5.0)
        return min(max(self.radius * share, 1.6), most)

    def draw(self, painter: QPainter) -> None:
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        self._draw_head(painter)
        plot = self.plot
        if plot.notice:
            return
        xy = head_map(plot.names).xy
        if plot.values is not None:
            self._draw_dots(painter, xy, plot.values)
        self._draw_states(painter, xy)
        painter.setFont(self.font)
        named = plot.named(are_few=self.radius <= 4.5 * QFontMetricsF(self.font).height())
        places = [
            (plot.words(name) if name == plot.selected else name, xy[plot.names.index(name)])
            for name in named
        ]
        self._draw_names(painter, [(text, place) for text, place in places if np.isfinite(place).all()])

    def _pixels(self, xy: NDArray[np.float64]) -> list[tuple[float, float]]:
        """Return where electrodes lie, NaN for those without a position."""
        return list(zip(self.x_of(xy[:, 0]).tolist(), self.y_of(xy[:, 1]).tolist(), strict=True))

    def _draw_head(self, painter: QPainter) -> None:
        """Draw ears, nose and the coloured circle that covers their inner ends."""
        centre, radius, theme = self.point(0, 0), self.radius, self.theme
        painter.setPen(QPen(QColor(theme.muted), 1.5))
        painter.setBrush(QColor(theme.surface))
        for side in (-1, 1):
            painter.drawEllipse(centre + QPointF(side * radius * 1.02, 0), radius * 0.09, radius * 0.2)
        nose = QPainterPath(centre + QPointF(-radius * 0.15, -radius * 0.98))
        nose.lineTo(centre + QPointF(0, -radius * (_REACH - 0.005)))
        nose.lineTo(centre + QPointF(radius * 0.15, -radius * 0.98))
        painter.drawPath(nose)
        painter.setBrush(QColor(theme.window))
        if self._surface is not None:
            brush = QBrush(self._surface)
            corner, scale = centre - QPointF(radius, radius), 2 * radius / self._surface.width()
            brush.setTransform(QTransform.fromTranslate(corner.x(), corner.y()).scale(scale, scale))
            painter.setBrush(brush)
        painter.drawEllipse(centre, radius, radius)

    def _draw_dots(self, painter: QPainter, xy: NDArray[np.float64], values: NDArray[np.float32]) -> None:
        """Draw an electrode each in the colour of its own value; without one a cross in a hollow dot."""
        colours, dot = self.plot.colours_of(values).tolist(), self.dot
        for (x, y), is_known, colour in zip(
            self._pixels(xy), np.isfinite(values).tolist(), colours, strict=True
        ):
            if math.isnan(x):
                continue
            point, shown = QPointF(x, y), QColor(*colour) if is_known else QColor("#15191f")
            painter.setPen(QPen(_contrast(shown), 1))
            painter.setBrush(shown)
            reach = dot if is_known else 1.4 * dot
            painter.drawEllipse(point, reach, reach)
            if not is_known:
                painter.drawLine(point - QPointF(dot, dot), point + QPointF(dot, dot))
                painter.drawLine(point - QPointF(dot, -dot), point + QPointF(dot, -dot))

    def _draw_states(self, painter: QPainter, xy: NDArray[np.float64]) -> None:
        """Draw each electrode's state as a letter on a disc, or as a plain dot where there is no letter."""
        disc = max(self.radius * 0.062, 3.0)
        font = QFont(self.font)
        font.setBold(True)
        font.setPixelSize(max(int(disc * 1.5), 5))
        painter.setFont(font)
        for name, (x, y) in zip(self.plot.names, self._pixels(xy), strict=True):
            state = self.plot.states.get(name)
            if state is None or math.isnan(x):
                continue
            colour, point = QColor(getattr(self.theme, state.role)), QPointF(x, y)
            radius = disc if state.letter else self.dot
            painter.setPen(QPen(_contrast(colour), 1))
            painter.setBrush(colour)
            painter.drawEllipse(point, radius, radius)
            if state.letter:
                box = QRectF(point.x() - radius, point.y() - radius, 2 * radius, 2 * radius)
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, state.letter)

    def _draw_names(self, painter: QPainter, places: Sequence[tuple[str, NDArray[np.float64]]]) -> None:
        """Write names on small plates beside their electrodes; one that would cover another stays out."""
        metrics, area = QFontMetricsF(self.font), self.boundingRect()
        taken: list[QRectF] = []
        for text, place in places:
            width, height = metrics.horizontalAdvance(text) + metrics.height() * 0.5, metrics.height()
            box = free_box(self.point(*place), width, height, self.dot * 1.8, area, taken)
            if box is None:
                continue
            taken.append(box)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(16, 19, 24, 205))
            painter.drawRoundedRect(box, 3, 3)
            painter.setPen(QColor("#ffffff"))
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def free_box(
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


def _contrast(colour: QColor) -> QColor:
    return QColor("#15191f") if colour.lightnessF() > 0.5 else QColor("#ffffff")
