"""A plot whose time runs to the right and ends at the moment shown; markers cross it as lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QImage,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PyQt6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.engine.messages import MarkerPart
from app.qt.theme import DARK, Theme
from app.view.raster import ColumnRing
from app.view.scales import marker_texts
from app.view.store import ViewStore
from app.view.text import one_line

_MAX_MARKERS = 60
_MARKER_ROWS = 3
_NEAR_PX = 6.0  # the mouse is at a marker
_TICK_STEPS_S = (1, 2, 5, 10, 15, 30, 60)
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class TimeStrip(QWidget):
    """Base of the time plots: gutters, time axis, markers, the chosen window, a notice over it all.

    Subclasses draw their content in `paint_plot` and what stands beside it in `paint_frame`.

    Attributes
    ----------
    span_s : float
        Seconds shown.
    end : float
        Time at the right edge, LSL seconds.
    highlight : tuple of float or None
        First and last moment of the window of a chosen prediction.
    notice : str
        Greys the plot and stands in its middle.
    marker_texts : bool
        Whether markers carry their text here.
    """

    def __init__(self, name: str, span_s: float, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self.span_s = span_s
        self.end = math.nan
        self.highlight: tuple[float, float] | None = None
        self.notice = ""
        self.marker_texts = True
        self.markers: Sequence[MarkerPart] = ()
        self._frame: QPixmap | None = None
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    # --- what it shows ---

    def take_moment(self, store: ViewStore, end: float) -> None:
        """Show the time up to ``end`` with its markers."""
        self.end = end
        known = math.isfinite(end)
        self.markers = store.markers.read(end - self.span_s, end)[-_MAX_MARKERS:] if known else ()
        self.update()

    def set_notice(self, notice: str) -> None:
        """Grey the plot and say why; an empty text takes that back."""
        if notice != self.notice:
            self.notice = notice
            self.setAccessibleDescription(notice)
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.redraw_frame()

    def redraw_frame(self) -> None:
        """Draw gutters and axis anew at the next paint."""
        self._frame = None
        self.update()

    def event(self, event: QEvent | None) -> bool:
        """Say the whole text of the markers below the mouse; elsewhere what the strip's tooltip says."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            x = event.pos().x()
            near = [m.text for m in self.markers if abs(self.x_of(m.time) - x) <= _NEAR_PX]
            if near:
                QToolTip.showText(event.globalPos(), tip_of(near), self)
                return True
        return super().event(event)

    def changeEvent(self, event: QEvent | None) -> None:
        """Draw gutters and axis anew in another font."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self.redraw_frame()

    # --- geometry ---

    def line(self) -> float:
        """Return the height of a line of text."""
        return QFontMetricsF(self.font()).height()

    def left_gutter(self) -> float:
        """Return the room for labels at the left; equal in all strips of a column, for a common axis."""
        return QFontMetricsF(self.font()).horizontalAdvance("0000 Hz") + 8

    def right_gutter(self) -> float:
        """Return the room for a colour bar or scale at the right."""
        return QFontMetricsF(self.font()).horizontalAdvance("−0.00") + self.line() * 2.2

    def plot(self) -> QRectF:
        """Return where the content goes, on whole pixels."""
        left, right = math.ceil(self.left_gutter()), math.ceil(self.right_gutter())
        top, bottom = math.ceil(self.line() * 0.35), math.ceil(self.line() * 1.35)
        return QRectF(left, top, max(1, self.width() - left - right), max(1, self.height() - top - bottom))

    def plot_pixels(self) -> tuple[int, int]:
        """Return width and height of the plot in device pixels."""
        plot, ratio = self.plot(), self.devicePixelRatioF()
        return max(1, int(plot.width() * ratio)), max(1, int(plot.height() * ratio))

    def column_s(self) -> float:
        """Return the seconds a device pixel covers."""
        return self.span_s / self.plot_pixels()[0]

    def x_of(self, t: float) -> float:
        """Return where a moment lies."""
        plot = self.plot()
        return plot.right() - (self.end - t) / self.span_s * plot.width()

    def minimumSizeHint(self) -> QSize:
        return QSize(int(self.left_gutter() + self.right_gutter() + 6 * self.line()), int(4.5 * self.line()))

    def sizeHint(self) -> QSize:
        return QSize(int(30 * self.line()), int(9 * self.line()))

    # --- painting ---

    def paint_plot(self, painter: QPainter, plot: QRectF) -> None:
        """Draw the content; clipped to ``plot``."""
        raise NotImplementedError

    def paint_frame(self, painter: QPainter, plot: QRectF) -> None:
        """Draw what stands beside the plot and changes seldom (see `redraw_frame`)."""

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        self._frame = None

    def paintEvent(self, event: QPaintEvent | None) -> None:
        plot, ratio = self.plot(), self.devicePixelRatioF()
        if self._frame is None or self._frame.devicePixelRatio() != ratio:
            self._frame = self._draw_frame(plot, ratio)
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._frame)
        painter.setClipRect(plot)
        self.paint_plot(painter, plot)
        if math.isfinite(self.end):
            self._paint_spans(painter, plot)
            self._paint_markers(painter, plot)
        if self.notice:
            paint_notice(painter, plot, self.notice, self.theme)
        painter.setClipping(False)
        if self.hasFocus():
            painter.setPen(QPen(QColor(self.theme.accent), 2))
            painter.drawRect(QRectF(self.rect()).adjusted(1, 1, -1, -1))

    def _draw_frame(self, plot: QRectF, ratio: float) -> QPixmap:
        frame = QPixmap(max(1, int(self.width() * ratio)), max(1, int(self.height() * ratio)))
        frame.setDevicePixelRatio(ratio)
        frame.fill(QColor(self.theme.surface))
        painter = QPainter(frame)
        painter.setFont(self.font())
        painter.setPen(QColor(self.theme.grid))
        painter.drawRect(plot.adjusted(-1, -1, 0, 0))
        self._paint_axis(painter, plot)
        self.paint_frame(painter, plot)
        painter.end()
        return frame

    def _paint_axis(self, painter: QPainter, plot: QRectF) -> None:
        """Draw seconds before the moment shown, as many as fit."""
        metrics = QFontMetricsF(self.font())
        room = metrics.horizontalAdvance("−00 s") * 1.8
        step = next((s for s in _TICK_STEPS_S if plot.width() * s / self.span_s >= room), self.span_s)
        for i in range(int(self.span_s / step + 1e-9) + 1):
            before = i * step
            x = plot.right() - before / self.span_s * plot.width()
            text = f"−{before:g} s" if before else "0 s"
            width = metrics.horizontalAdvance(text)
            painter.setPen(QColor(self.theme.muted))
            painter.drawLine(QPointF(x, plot.bottom()), QPointF(x, plot.bottom() + self.line() * 0.2))
            left = min(max(x - width / 2, 0.0), self.width() - width)
            painter.drawText(QPointF(left, plot.bottom() + self.line() * 1.1), text)

    def _paint_spans(self, painter: QPainter, plot: QRectF) -> None:
        """Shade the chosen window."""
        if self.highlight is not None:
            x0, x1 = (self.x_of(t) for t in self.highlight)
            shade = QColor(self.theme.accent)
            shade.setAlpha(48)
            painter.fillRect(QRectF(x0, plot.top(), x1 - x0, plot.height()), shade)
            painter.setPen(QPen(QColor(self.theme.accent), 1))
            for x in (x0, x1):
                painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))

    def _paint_markers(self, painter: QPainter, plot: QRectF) -> None:
        paint_markers(painter, plot, [(self.x_of(m.time), m.text) for m in self.markers], self)


def paint_markers(
    painter: QPainter, plot: QRectF, markers: Sequence[tuple[float, str]], strip: TimeStrip
) -> None:
    """Draw markers as dashed lines across the plot, and as much of their texts as fits on three lines."""
    metrics = QFontMetricsF(painter.font())
    back = QColor(strip.theme.surface)
    back.setAlpha(215)
    painter.setPen(QPen(QColor(strip.theme.text), 1, Qt.PenStyle.DashLine))
    for x, _ in markers:
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
    if not strip.marker_texts:
        return
    texts = [one_line(text, 60) for _, text in markers]
    air = metrics.height() * 0.4
    widths = [metrics.horizontalAdvance(text) + air + 2 for text in texts]
    for at in marker_texts([x for x, _ in markers], widths, plot.left(), plot.right(), _MARKER_ROWS):
        words = metrics.elidedText(texts[at.index], Qt.TextElideMode.ElideRight, at.width - air)
        top = plot.top() + at.row * metrics.height()
        box = QRectF(at.left + 1, top, at.width - 2, metrics.height())
        painter.fillRect(box, back)
        painter.drawText(box.adjusted(air / 2, 0, 0, 0), int(_LEFT), words)


def tip_of(texts: Iterable[str]) -> str:
    """Return texts from outside as a tooltip, a line each, none of it taken for markup."""
    lines = [escape(one_line(text, 300)) for text in texts]
    return f"<p>{'<br>'.join(lines)}</p>" if lines else ""


def paint_notice(painter: QPainter, rect: QRectF, text: str, theme: Theme) -> None:
    """Grey a rectangle and say why in its middle."""
    veil = QColor(theme.surface)
    veil.setAlpha(185)
    painter.fillRect(rect, veil)
    metrics = QFontMetricsF(painter.font())
    room = rect.adjusted(metrics.height() * 0.5, 0, -metrics.height() * 0.5, 0)
    flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
    box = metrics.boundingRect(room, flags, text).adjusted(-6, -4, 6, 4)
    painter.fillRect(box, QColor(theme.surface))
    painter.setPen(QColor(theme.text))
    painter.drawText(box, flags, text)


def image_of(ring: ColumnRing) -> QImage:
    """Return an image that shares the ring's pixels; the ring must outlive it."""
    return QImage(
        ring.image.data,
        ring.width,
        ring.height,
        ring.width * 4,
        QImage.Format.Format_RGB32,  # type: ignore[call-overload]
    )


def paint_ring(painter: QPainter, plot: QRectF, ring: ColumnRing, image: QImage, ratio: float) -> None:
    """Draw a ring image, its oldest column at the left."""
    for source, x, width in ring.pieces():
        target = QRectF(plot.left() + x / ratio, plot.top(), width / ratio, ring.height / ratio)
        painter.drawImage(target, image, QRectF(source, 0, width, ring.height))


def rgb32(colour: str) -> int:
    """Return ``#rrggbb`` as 0xffRRGGBB."""
    return 0xFF000000 | int(colour[1:], 16)


def mixed(colour: str, other: str, share: float) -> str:
    """Return ``share`` of a colour mixed with another, all as #rrggbb."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)
