"""What plots draw in pixels over or under their curves, and horizontal bars in rows made of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyqtgraph as pg
from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QBrush, QColor, QFontMetricsF, QImage, QPainter, QPen

from app.qt.plots.axes import Axis, Row, RowAxis, Words, number_text
from app.qt.plots.plot import PixelItem, Plot, Span, Table
from app.qt.theme import Theme, fill_hatched
from app.view.raster import ColumnRing
from app.view.scales import marker_texts
from app.view.text import one_line

_MARKER_ROWS = 3


class Markers(PixelItem):
    """Dashed lines at places of x, with as much of their texts as fits on three lines, and a shaded span.

    The texts stand below a y, or at the top where none is given.
    """

    z = 10.0
    content: tuple[tuple[float, str], ...] = ()  # x and text
    span: tuple[float, float] | None = None

    def __init__(self, plot: Plot, *, has_texts: bool, below: float | None = None) -> None:
        self.has_texts, self._below = has_texts, below
        super().__init__(plot)

    def draw(self, painter: QPainter) -> None:
        rect, theme = self.boundingRect(), self.theme
        if self.span is not None:
            x0, x1 = (self.x_of(x) for x in self.span)
            shade = QColor(theme.accent)
            shade.setAlpha(48)
            painter.fillRect(QRectF(x0, 0, x1 - x0, rect.height()), shade)
            painter.setPen(QPen(QColor(theme.accent), 1))
            for x in (x0, x1):
                painter.drawLine(QPointF(x, 0), QPointF(x, rect.height()))
        xs = [round(self.x_of(x)) + 0.5 for x, _ in self.content]
        colour = theme.muted if self.has_texts else theme.text
        painter.setPen(QPen(QColor(colour), 1, Qt.PenStyle.DashLine))
        for x in xs:
            painter.drawLine(QPointF(x, 0), QPointF(x, rect.height()))
        if self.has_texts:
            self._draw_texts(painter, rect, xs)

    def _draw_texts(self, painter: QPainter, rect: QRectF, xs: Sequence[float]) -> None:
        metrics = QFontMetricsF(self.font)
        top = 1.0 if self._below is None else self.y_of(self._below) + 1
        back = QColor(self.theme.surface)
        back.setAlpha(215)
        painter.setPen(QColor(self.theme.text))
        air = 0.4 * metrics.height()
        texts = [one_line(text, 60) for _, text in self.content]
        widths = [metrics.horizontalAdvance(text) + air + 2 for text in texts]
        n_rows = min(_MARKER_ROWS, max(1, int(0.3 * rect.height() / metrics.height())))
        for at in marker_texts(xs, widths, 0.0, rect.width(), n_rows):
            words = metrics.elidedText(texts[at.index], Qt.TextElideMode.ElideRight, at.width - air)
            box = QRectF(at.left + 1, top + at.row * metrics.height(), at.width - 2, metrics.height())
            painter.fillRect(box, back)
            flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box.adjusted(air / 2, 0, 0, 0), int(flags), words)


@dataclass(frozen=True)
class Bar:
    """A filled rectangle of the plane; the hatch has the meaning of the colour."""

    x: tuple[float, float]
    y: tuple[float, float]
    colour: str  # #rrggbb
    hatch: Qt.BrushStyle = Qt.BrushStyle.SolidPattern  # NoBrush: an outline alone
    text: str = ""  # above the bar, where there is room


class Bars(PixelItem):
    """Bars with a hatch of fixed size."""

    z = -1.0
    content: tuple[Bar, ...] = ()

    def rect_of(self, bar: Bar) -> QRectF:
        """Return where a bar lies, at least a pixel wide and high."""
        rect = QRectF(self.point(bar.x[0], bar.y[0]), self.point(bar.x[1], bar.y[1])).normalized()
        return QRectF(rect.topLeft(), rect.size().expandedTo(QRectF(0, 0, 1, 1).size()))

    def draw(self, painter: QPainter) -> None:
        metrics = QFontMetricsF(self.font)
        for bar in self.content:
            rect = self.rect_of(bar)
            if bar.hatch is Qt.BrushStyle.NoBrush:
                painter.setPen(QPen(QColor(bar.colour), 1))
                painter.drawRect(rect.adjusted(0.5, 0.5, -0.5, -0.5))
            else:
                fill_hatched(painter, rect, self.theme, QColor(bar.colour), bar.hatch)
            if bar.text and metrics.horizontalAdvance(bar.text) <= rect.width() + 2:
                painter.setPen(QColor(self.theme.text))
                above = rect.adjusted(-4, -metrics.height(), 4, 0)
                above.setHeight(metrics.height())
                painter.drawText(above, Qt.AlignmentFlag.AlignCenter.value, bar.text)


class Spans(PixelItem):
    """Hatched stretches of time, over a part of the height."""

    z = -2.0
    content: tuple[tuple[float, float, float, float], ...] = ()  # x0, x1, y0, y1

    def draw(self, painter: QPainter) -> None:
        hatch = QBrush(QColor(self.theme.stale), Qt.BrushStyle.BDiagPattern)
        for x0, x1, y0, y1 in self.content:
            rect = QRectF(self.point(x0, y0), self.point(x1, y1)).normalized()
            rect.setWidth(max(rect.width(), 2.0))
            painter.fillRect(rect, hatch)


class RingPicture(PixelItem):
    """A ring image that fills the view: two blits, whatever it scrolls by."""

    z = -10.0
    _ring: ColumnRing | None = None
    _image: QImage | None = None

    def show_ring(self, ring: ColumnRing) -> None:
        """Show a ring, or the new columns of the one shown."""
        if ring is not self._ring:
            self._ring, size = ring, (ring.width, ring.height, ring.width * 4)
            # The image shares the ring's pixels.
            self._image = QImage(ring.image.data, *size, QImage.Format.Format_RGB32)  # type: ignore[call-overload]
        self.update()

    def draw(self, painter: QPainter) -> None:
        if self._ring is None or self._image is None:
            return
        rect, world, device = self.boundingRect(), painter.worldTransform(), painter.device()
        column, row = rect.width() / self._ring.width, rect.height() / self._ring.height
        if world.m11() == world.m22() == 1 and device is not None:
            painter.resetTransform()  # on whole pixels, or every one would be mixed of two
            rect.moveTo(round(world.dx()), round(world.dy()))
            column = row = 1 / device.devicePixelRatioF()
        for source, x, width in self._ring.pieces():
            target = QRectF(rect.left() + x * column, rect.top(), width * column, self._ring.height * row)
            painter.drawImage(target, self._image, QRectF(source, 0, width, self._ring.height))
        painter.setWorldTransform(world)


def mixed(colour: str, other: str, share: float) -> str:
    """Return ``share`` of a colour mixed with another, all as #rrggbb."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


_THICK = 0.7  # of a row


@dataclass(frozen=True)
class BarRow:
    """A row; without an end it has no bar."""

    name: str
    figures: tuple[str, ...] = ()
    start: float = 0.0
    end: float = math.nan
    colour: str = "#808080"
    hatch: Qt.BrushStyle = Qt.BrushStyle.SolidPattern
    role: str = "text"  # of its texts: the theme's colour
    is_bold: bool = False


@dataclass(frozen=True)
class Level:
    """A line across all rows, named above the plot."""

    at: float
    name: str
    stroke: Qt.PenStyle = Qt.PenStyle.DashLine
    role: str = "text"  # the theme's colour


class BarPlot(Plot):
    """Rows from the top down."""

    def __init__(
        self,
        name: str,
        figures: Sequence[str],  # the widest of each column at the right
        *,
        x: Span,
        unit: str,  # of the bars' lengths, in the table
        words: Words = number_text,  # of the axis below, as its title
        title: str = "",
        has_levels: bool = False,  # whether there is room above for their names
        least: tuple[int, int] = (34, 4),  # characters and rows there is always room for
        most_lines: float | None = None,  # how high a row may be, in lines of text
    ) -> None:
        self.unit, self._most_lines, self._least_rows = unit, most_lines, least[1]
        self.names_axis = RowAxis("left")
        self.figures_axis = RowAxis("right", figures)
        self.value_axis = Axis("bottom", words, title=title, has_grid=True)
        self._above = [Axis("top")] if has_levels else []
        axes = [self.names_axis, self.figures_axis, self.value_axis, *self._above]
        super().__init__(name, axes, x=x, zoom="x", least=least, is_downward=True)
        self.rows: tuple[BarRow, ...] = ()
        self.levels: tuple[Level, ...] = ()
        self._lines: list[pg.InfiniteLine] = []
        for axis in self._above:
            axis.setTicks([[]])
        self.bars = Bars(self)

    def set_rows(self, rows: Sequence[BarRow]) -> None:
        if tuple(rows) == self.rows:
            return
        if len(rows) != len(self.rows):
            self.updateGeometry()
            if self._most_lines is not None:
                self.setMaximumHeight(round(self.line * (self._most_lines * len(rows) + 4)))
        self.rows = tuple(rows)
        self.set_home(y=(0.0, float(max(1, len(rows)))))
        self.names_axis.longest = 0.45 * max(self.width(), 100)
        pad, said = (1 - _THICK) / 2, []
        names, figures, bars = [], [], []
        for i, row in enumerate(rows):
            names.append(Row(i + 0.5, (row.name,), row.role, is_bold=row.is_bold))
            if row.figures:
                figures.append(Row(i + 0.5, row.figures, row.role, is_bold=row.is_bold))
                said.append(" ".join((row.name, *row.figures)))
            if math.isfinite(row.end):
                bars.append(Bar((row.start, row.end), (i + pad, i + 1 - pad), row.colour, row.hatch))
        self.names_axis.set_rows(names)
        self.figures_axis.set_rows(figures)
        self.bars.set_content(bars)
        self.setAccessibleDescription(", ".join(said))

    def minimumSizeHint(self) -> QSize:
        axes = sum(axis.height() for axis in (self.value_axis, *self._above))
        n_rows = max(len(self.rows), self._least_rows)
        return QSize(super().minimumSizeHint().width(), round(n_rows * self.line + axes))

    def set_levels(self, levels: Sequence[Level]) -> None:
        if tuple(levels) == self.levels:
            return
        self.levels = tuple(levels)
        for line in self._lines:
            self.plot_item.removeItem(line)
        self._lines = [pg.InfiniteLine(level.at, angle=90) for level in levels]
        for line in self._lines:
            self.plot_item.addItem(line)
        for axis in self._above:
            axis.setTicks([[(level.at, level.name) for level in levels]])
        self._colour_levels()

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        self._colour_levels()

    def text_at(self, x: float, y: float) -> str:
        row = self.rows[math.floor(y)] if 0 <= y < len(self.rows) else None
        return "" if row is None or not row.figures else "  ".join((row.name, *row.figures))

    def table(self) -> Table:
        rows = [(row.name, row.start, row.end) for row in self.rows if row.figures]
        return ["name", f"start ({self.unit})", f"end ({self.unit})"], rows

    def _colour_levels(self) -> None:
        for line, level in zip(self._lines, self.levels, strict=True):
            line.setPen(pg.mkPen(getattr(self.theme, level.role), width=1, style=level.stroke))
