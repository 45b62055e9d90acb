"""Axes of the window's plots: numbers with their unit, names and figures of rows, and colour bars."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter

from app.qt.theme import DARK, Theme, colour_of, draw_mark

#: Writes a tick: its value and the distance to the next one.
Words = Callable[[float, float], str]


def with_unit(unit: str) -> Words:
    """Return a writer of ticks as a number and a unit: "−10 s"."""
    return lambda value, spacing: f"{number_text(value, spacing)} {unit}".rstrip()


def number_text(value: float, spacing: float) -> str:
    """Return a number with the decimals of the tick spacing, and a true minus sign."""
    decimals = max(0, math.ceil(-math.log10(spacing) - 1e-9)) if spacing > 0 else 0
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.removeprefix("-")


class Axis(pg.AxisItem):
    """An axis of fixed size in the window's colours and font."""

    reaches_out = True  # whether texts at its ends reach beyond the plot

    def __init__(
        self,
        side: str,  # left, right, top or bottom
        words: Words = number_text,  # writes a tick
        *,
        room: str = "100",  # the widest text there is room for, beside the plot
        title: str = "",  # along the axis
        has_grid: bool = False,  # whether lines cross the plot at its ticks
    ) -> None:
        super().__init__(side)
        self.theme: Theme = DARK
        self.words, self._room, self._title, self._has_grid = words, room, title, has_grid
        self.enableAutoSIPrefix(False)
        self.setStyle(
            tickLength=-4, tickTextOffset=3, tickAlpha=255, maxTickLevel=0, autoReduceTextSpace=False
        )
        self.restyle(DARK, QFont())

    @property
    def is_vertical(self) -> bool:
        return self.orientation in ("left", "right")

    @property
    def metrics(self) -> QFontMetricsF:
        return QFontMetricsF(self.style["tickFont"])

    def set_title(self, title: str) -> None:
        if title != self._title:
            self._title = title
            self.restyle(self.theme, self.style["tickFont"])

    def restyle(self, theme: Theme, font: QFont) -> None:
        self.theme = theme
        self.setTickFont(font)
        self.setPen(theme.grid)
        self.setTextPen(theme.muted)
        self.label.setFont(font)
        self.setLabel(self._title or None, color=theme.muted)
        self.showLabel(bool(self._title))
        self.setGrid(255 if self._has_grid else False)
        self.fit()

    def fit(self) -> None:
        """Take the room that its texts need."""
        line = self.metrics.height()
        title = 1.05 * line if self._title else 0.0
        if self.is_vertical:
            self.setWidth(math.ceil(self.text_width() + 10 + title))
        else:
            self.setHeight(math.ceil(1.1 * line + 5 + title))
        self.resizeEvent()  # puts the title in the middle
        self.redraw()

    def redraw(self) -> None:
        self.picture = None
        self.update()
        if (view := self.linkedView()) is not None:
            view.plot.redraw()

    def text_width(self) -> float:
        """Return the width of what stands beside the plot, pixels."""
        return self.metrics.horizontalAdvance(self._room)

    def boundingRect(self) -> QRectF:
        """Return the axis with room for texts at its ends: pyqtgraph leaves out those that reach beyond."""
        rect, line = super().boundingRect(), self.metrics.height()
        return (
            rect.adjusted(0, -line, 0, line) if self.is_vertical else rect.adjusted(-2 * line, 0, 2 * line, 0)
        )

    def generateDrawSpecs(self, p: QPainter) -> Any:
        """Return lines and texts as pyqtgraph places them, without those that would touch another."""
        specs = super().generateDrawSpecs(p)
        if specs is None:
            return None
        kept: list[Any] = []
        gap = 0.0 if self.is_vertical else 0.3 * self.metrics.height()
        for text in reversed(specs[2]):
            room = text[0].adjusted(-gap, 0.0, gap, 0.0)
            if not any(room.intersects(other[0]) for other in kept):
                kept.append(text)
        return (*specs[:2], kept)

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [self.words(value * scale, spacing * scale) for value in values]

    def pixel_of(self, value: float) -> float:
        """Return where a value lies along the axis, in its own coordinates."""
        view = self.linkedView()
        assert view is not None
        rect = self.mapRectFromItem(view, view.rect())
        share = (value - self.range[0]) / ((self.range[1] - self.range[0]) or 1.0)
        if not self.is_vertical:
            return rect.left() + share * rect.width()
        return rect.bottom() - share * rect.height()  # a view that is upside down turns the range around


class DrawnAxis(Axis):
    """An axis without ticks; subclasses draw what stands beside the plot."""

    reaches_out = False

    def __init__(self, side: str, *, room: str = "100", title: str = "") -> None:
        super().__init__(side, room=room, title=title)
        self.setStyle(showValues=False, tickLength=0)

    def paint(self, painter: QPainter, option: Any, widget: Any) -> None:
        painter.setFont(self.style["tickFont"])
        self.draw(painter, self.mapRectFromParent(self.geometry()))

    def draw(self, painter: QPainter, rect: QRectF) -> None:
        """Draw within the axis' own rectangle, in its font."""


class TitleAxis(DrawnAxis):
    """A line of text above the plot; the title is an item of its own."""

    def __init__(self, title: str) -> None:
        super().__init__("top", title=title)

    def fit(self) -> None:
        self.setHeight(math.ceil(1.1 * self.metrics.height()))
        self.resizeEvent()


@dataclass(frozen=True)
class Row:
    """Texts beside a place of the plot."""

    at: float
    texts: tuple[str, ...]
    role: str = "text"  # the theme's colour
    colour: str = ""  # #rrggbb instead
    is_bold: bool = False
    mark: int | None = None  # of an emotion, before the texts


class RowAxis(DrawnAxis):
    """Texts beside the plot in columns, each row at its own place."""

    def __init__(
        self,
        side: str,
        columns: Sequence[str] = ("",),  # the widest text each is sure to have room for
        *,
        aligned: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignRight,
        is_spread: bool = False,  # rows that would overlap move apart; else the lower ones are left out
    ) -> None:
        self.rows: tuple[Row, ...] = ()
        self._columns, self._aligned, self._is_spread = tuple(columns), aligned, is_spread
        self.longest = math.inf  # of a column, pixels: longer texts are cut
        super().__init__(side)

    def set_columns(self, columns: Sequence[str]) -> None:
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self.fit()

    def set_rows(self, rows: Sequence[Row]) -> None:
        if tuple(rows) != self.rows:
            self.rows = tuple(rows)
            if self._widths() != self._drawn_widths:
                self.fit()
            self.redraw()

    def fit(self) -> None:
        self._drawn_widths = self._widths()
        super().fit()

    def text_width(self) -> float:
        gap = self.metrics.averageCharWidth()
        marks = 2 * self._mark_radius() + gap if any(row.mark is not None for row in self.rows) else 0.0
        return sum(self._widths()) + gap * (len(self._columns) - 1) + marks

    def draw(self, painter: QPainter, rect: QRectF) -> None:
        theme, height, gap = self.theme, self.metrics.height(), self.metrics.averageCharWidth()
        lowest: dict[int, float] = {}  # where each column was written last
        for row, y in self._placed(rect, height):
            written = [column for column, text in enumerate(row.texts) if text]
            is_near = any(y < lowest.get(column, -math.inf) + 0.8 * height for column in written)
            if not rect.top() - height / 2 <= y <= rect.bottom() + height / 2 or is_near:
                continue
            lowest |= dict.fromkeys(written, y)
            x = rect.left() + (5 if self.orientation == "right" else 3)
            if row.mark is not None:
                radius, colour = self._mark_radius(), colour_of(theme, row.mark)
                painter.setRenderHint(QPainter.RenderHint.Antialiasing)
                draw_mark(painter, QPointF(x + radius, y), radius, theme, row.mark, colour)
                x += 2 * radius + gap
            font = QFont(self.style["tickFont"])
            font.setBold(row.is_bold)
            painter.setFont(font)
            painter.setPen(QColor(row.colour or getattr(theme, row.role)))
            for text, width in zip(row.texts, self._drawn_widths, strict=False):
                box = QRectF(x, y - height / 2, width, height)
                cut = QFontMetricsF(font).elidedText(text, Qt.TextElideMode.ElideRight, width + 1)
                painter.drawText(box, int(self._aligned | Qt.AlignmentFlag.AlignVCenter), cut)
                x += width + gap

    def _placed(self, rect: QRectF, height: float) -> list[tuple[Row, float]]:
        """Return the rows with their places from the top down, pixels."""
        rows = sorted(((row, self.pixel_of(row.at)) for row in self.rows), key=lambda each: each[1])
        if not self._is_spread:
            return rows
        places = [y for _, y in rows]
        for k in range(1, len(places)):
            places[k] = max(places[k], places[k - 1] + height)
        for k in reversed(range(len(places))):
            limit = places[k + 1] - height if k + 1 < len(places) else rect.bottom() - height / 2
            places[k] = min(places[k], limit)
        return [(row, y) for (row, _), y in zip(rows, places, strict=True)]

    def _widths(self) -> tuple[float, ...]:
        font = QFont(self.style["tickFont"] or QFont())
        metrics = QFontMetricsF(font)
        font.setBold(True)
        bold = QFontMetricsF(font)
        widths = [metrics.horizontalAdvance(text) for text in self._columns]
        for row in self.rows:
            for k, text in enumerate(row.texts[: len(widths)]):
                wide = (bold if row.is_bold else metrics).horizontalAdvance(text)
                widths[k] = max(widths[k], math.ceil(wide))
        return tuple(min(width, self.longest) for width in widths)

    def _mark_radius(self) -> float:
        return 0.26 * self.metrics.height()


class ColourBar(DrawnAxis):
    """The colours of a scale with the numbers at its ends, right of a plot or below it."""

    def __init__(
        self, side: str, table: NDArray[np.uint8], unit: str = "", room: str = "\N{MINUS SIGN}1.25"
    ) -> None:
        self._table, self.unit = table, unit
        self.limits = (math.nan, math.nan)
        self.is_signed = False
        super().__init__(side, room=room)

    def set_scale(
        self, limits: tuple[float, float], unit: str, table: NDArray[np.uint8], *, is_signed: bool = False
    ) -> None:
        """Show the values of the first and last colour."""
        self.limits, self.unit, self._table, self.is_signed = limits, unit, table, is_signed
        self.redraw()

    def text_width(self) -> float:
        return super().text_width() + 2.0 * self.metrics.height()

    def draw(self, painter: QPainter, rect: QRectF) -> None:
        if not all(map(math.isfinite, self.limits)):
            return
        painter.setPen(QColor(self.theme.muted))
        sign = "+" if self.is_signed else ""
        low, high = (f"{value:{sign}.4g}".replace("-", "\N{MINUS SIGN}") for value in self.limits)
        if self.is_vertical:
            self._paint_upright(painter, rect, low, high)
        else:
            self._paint_level(painter, rect, low, f"{high} {self.unit}")

    def _paint_upright(self, painter: QPainter, rect: QRectF, low: str, high: str) -> None:
        line = self.metrics.height()
        bar = QRectF(rect.left() + 0.4 * line, rect.top(), 0.5 * line, rect.height())
        painter.drawImage(bar, image_of(self._table[::-1, None]))
        left, flags = bar.right() + 0.2 * line, Qt.AlignmentFlag.AlignLeft.value
        painter.drawText(QRectF(left, rect.top(), rect.right() - left, line), flags, high)
        painter.drawText(QRectF(left, rect.bottom() - line, rect.right() - left, line), flags, low)
        painter.save()
        painter.translate(rect.right() - 1.05 * line, rect.bottom())
        painter.rotate(-90)
        room = QRectF(0, 0, rect.height(), line)
        unit = self.metrics.elidedText(self.unit, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignCenter.value, unit)
        painter.restore()

    def _paint_level(self, painter: QPainter, rect: QRectF, low: str, high: str) -> None:
        metrics, line = self.metrics, self.metrics.height()
        texts = metrics.horizontalAdvance(low) + metrics.horizontalAdvance(high)
        width = min(max(rect.width() - texts - line, line), 8 * line)
        left = rect.center().x() - (texts + width + 0.6 * line) / 2
        top = rect.top() + 3
        flags = Qt.AlignmentFlag.AlignLeft.value
        painter.drawText(QRectF(left, top, rect.width(), line), flags, low)
        left += metrics.horizontalAdvance(low) + 0.3 * line
        painter.drawImage(QRectF(left, top + 0.25 * line, width, 0.5 * line), image_of(self._table[None]))
        painter.drawText(QRectF(left + width + 0.3 * line, top, rect.width(), line), flags, high)


def image_of(rgb: NDArray[np.uint8]) -> QImage:
    """Return colours (h, w, 3) as an image that owns its pixels."""
    height, width = rgb.shape[:2]
    solid = np.full((height, width, 4), 255, dtype=np.uint8)
    solid[..., 2::-1] = rgb  # Qt's RGB32 is blue, green, red in memory
    return QImage(solid.tobytes(), width, height, width * 4, QImage.Format.Format_RGB32).copy()
