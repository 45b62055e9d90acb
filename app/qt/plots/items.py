"""What plots draw in pixels over or under their curves: markers, hatched bars and spans, ring images."""

from collections.abc import Sequence
from dataclasses import dataclass

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QFontMetricsF, QImage, QPainter, QPen

from app.qt.plots.plot import PixelItem, Plot
from app.qt.theme import fill_hatched
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
