"""What plots draw in pixels over or under their curves: markers, hatched bars and spans, ring images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyqtgraph as pg
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QImage, QPainter, QPen

from app.qt.category import fill_hatched
from app.qt.theme import DARK, Theme
from app.view.raster import ColumnRing
from app.view.scales import marker_texts
from app.view.text import one_line

_MARKER_ROWS = 3


class PixelItem(pg.GraphicsObject):
    """An item that lies in its view's own pixels, whatever part of the plane the view shows.

    Hatches, texts and marks keep their size when the plot is zoomed.

    Parameters
    ----------
    view : pg.ViewBox
    z : float
        Below 0 it lies under the curves.
    """

    def __init__(self, view: pg.ViewBox, z: float) -> None:
        super().__init__(view)
        self.view = view
        self.theme: Theme = DARK
        self.font = QFont()
        self.setZValue(z)

    def restyle(self, theme: Theme, font: QFont) -> None:
        """Take other colours and another font."""
        self.theme, self.font = theme, font
        self.update()

    def update(self, *area: Any) -> None:
        """Have the item drawn anew."""
        super().update(*area)
        self.view.plot.redraw()

    def boundingRect(self) -> QRectF:
        """Return the view's whole area."""
        return self.view.rect()

    def viewTransformChanged(self) -> None:
        """Draw anew where the view shows another part, or has another size."""
        super().viewTransformChanged()
        self.prepareGeometryChange()
        self.update()

    def paint(self, painter: QPainter, option: Any, widget: Any) -> None:
        """Draw, clipped to the view."""
        painter.setClipRect(self.boundingRect(), Qt.ClipOperation.IntersectClip)
        painter.setFont(self.font)
        self.draw(painter)

    def draw(self, painter: QPainter) -> None:
        """Draw in the view's pixels."""
        raise NotImplementedError

    def x_of(self, x: Any) -> Any:
        """Return where values lie, pixels from the view's left edge."""
        (x0, x1), _ = self.view.viewRange()
        return (x - x0) / ((x1 - x0) or 1.0) * self.boundingRect().width()

    def y_of(self, y: Any) -> Any:
        """Return where values lie, pixels from the view's upper edge."""
        _, (y0, y1) = self.view.viewRange()
        share = (y - y0) / ((y1 - y0) or 1.0)
        return (share if self.view.yInverted() else 1 - share) * self.boundingRect().height()

    def point(self, x: float, y: float) -> QPointF:
        """Return where a place of the plane lies."""
        return QPointF(self.x_of(x), self.y_of(y))


class Markers(PixelItem):
    """Dashed lines at moments, with as much of their texts as fits on three lines, and a shaded span.

    Parameters
    ----------
    has_texts : bool
    below : float, optional
        The texts stand below this y; at the top where it is not given.
    """

    def __init__(self, view: pg.ViewBox, *, has_texts: bool, below: float | None = None) -> None:
        super().__init__(view, 10)
        self.has_texts, self._below = has_texts, below
        self.places: Sequence[tuple[float, str]] = ()
        self.span: tuple[float, float] | None = None

    def show_places(self, places: Sequence[tuple[float, str]], span: tuple[float, float] | None) -> None:
        """Show markers at x with their texts, and shade a span."""
        if (list(places), span) != (list(self.places), self.span):
            self.places, self.span = places, span
            self.update()

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
        if not self.places:
            return
        xs = [round(self.x_of(x)) + 0.5 for x, _ in self.places]
        painter.setPen(
            QPen(QColor(theme.text if not self.has_texts else theme.muted), 1, Qt.PenStyle.DashLine)
        )
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
        texts = [one_line(text, 60) for _, text in self.places]
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
    """A filled rectangle of the plane; the hatch says what the colour says."""

    x: tuple[float, float]
    y: tuple[float, float]
    colour: str  # #rrggbb
    hatch: Qt.BrushStyle = Qt.BrushStyle.SolidPattern  # NoBrush: an outline alone
    text: str = ""  # above the bar, where there is room


class Bars(PixelItem):
    """Bars whose hatch keeps its size."""

    def __init__(self, view: pg.ViewBox) -> None:
        super().__init__(view, -1)
        self.bars: tuple[Bar, ...] = ()

    def show_bars(self, bars: Sequence[Bar]) -> None:
        """Draw other bars."""
        if tuple(bars) != self.bars:
            self.bars = tuple(bars)
            self.update()

    def rect_of(self, bar: Bar) -> QRectF:
        """Return where a bar lies, at least a pixel wide and high."""
        rect = QRectF(self.point(bar.x[0], bar.y[0]), self.point(bar.x[1], bar.y[1])).normalized()
        return QRectF(rect.topLeft(), rect.size().expandedTo(QRectF(0, 0, 1, 1).size()))

    def draw(self, painter: QPainter) -> None:
        metrics = QFontMetricsF(self.font)
        for bar in self.bars:
            rect = self.rect_of(bar)
            if bar.hatch is Qt.BrushStyle.NoBrush:
                painter.setPen(QPen(QColor(bar.colour), 1))
                painter.drawRect(rect.adjusted(0.5, 0.5, -0.5, -0.5))
            else:
                fill_hatched(painter, rect, self.theme, QColor(bar.colour), bar.hatch)
            if bar.text and metrics.horizontalAdvance(bar.text) <= rect.width() + 2:
                painter.setPen(QColor(self.theme.text))
                above = QRectF(
                    rect.left() - 4, rect.top() - metrics.height(), rect.width() + 8, metrics.height()
                )
                painter.drawText(above, Qt.AlignmentFlag.AlignCenter.value, bar.text)


class Spans(PixelItem):
    """Hatched stretches of time, over a part of the height."""

    def __init__(self, view: pg.ViewBox) -> None:
        super().__init__(view, -2)
        self.spans: tuple[tuple[float, float, float, float], ...] = ()

    def show_spans(self, spans: Sequence[tuple[float, float, float, float]]) -> None:
        """Hatch other spans: x0, x1, y0, y1."""
        if tuple(spans) != self.spans:
            self.spans = tuple(spans)
            self.update()

    def draw(self, painter: QPainter) -> None:
        hatch = QBrush(QColor(self.theme.stale), Qt.BrushStyle.BDiagPattern)
        for x0, x1, y0, y1 in self.spans:
            rect = QRectF(self.point(x0, y0), self.point(x1, y1)).normalized()
            rect.setWidth(max(rect.width(), 2.0))
            painter.fillRect(rect, hatch)


class RingPicture(PixelItem):
    """A ring image that fills the view: two blits, whatever it scrolls by."""

    def __init__(self, view: pg.ViewBox) -> None:
        super().__init__(view, -10)
        self._ring: ColumnRing | None = None
        self._image: QImage | None = None

    def show_ring(self, ring: ColumnRing) -> None:
        """Show a ring, or what is new of the one that is shown."""
        if ring is not self._ring:
            self._ring = ring
            self._image = QImage(  # shares the ring's pixels
                ring.image.data,
                ring.width,
                ring.height,
                ring.width * 4,
                QImage.Format.Format_RGB32,  # type: ignore[call-overload]
            )
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


def rgb32(colour: str) -> int:
    """Return ``#rrggbb`` as 0xffRRGGBB."""
    return 0xFF000000 | int(colour[1:], 16)


def mixed(colour: str, other: str, share: float) -> str:
    """Return ``share`` of a colour mixed with another, all as #rrggbb."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)
