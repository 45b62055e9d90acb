"""A scrolling picture of rows of values: spectrogram, log-mel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QImage, QPainter

from app.qt.plots.time_strip import TimeStrip, image_of, paint_ring, rgb32
from app.qt.theme import cividis
from app.view.history import SampleHistory
from app.view.raster import HeatRaster
from app.view.store import ViewStore

_N_COLOURS = 256


class HeatStrip(TimeStrip):
    """Values as colours over time, ticks at the left, a colour bar with numbers at the right.

    Parameters
    ----------
    hold_s : float
        A value is shown until the next, at most so long.
    unit : str
        Of the values, along the colour bar.
    """

    def __init__(self, name: str, span_s: float, *, hold_s: float, unit: str) -> None:
        super().__init__(name, span_s)
        self._hold_s, self._unit = hold_s, unit
        self._ticks: tuple[tuple[float, str], ...] = ()
        self._range = (math.nan, math.nan)  # unknown
        self.marker_texts = False
        self._raster: HeatRaster | None = None
        self._image: QImage | None = None
        self._made_for: tuple = ()

    def set_scale(self, low: float, high: float, ticks: Sequence[tuple[float, str]]) -> None:
        """Set the values of the first and last colour, and labels by their share of the height."""
        if (low, high) != self._range or tuple(ticks) != self._ticks:
            self._range, self._ticks = (low, high), tuple(ticks)
            self.redraw_frame()

    def show_history(self, store: ViewStore, history: SampleHistory, t: float) -> None:
        """Show a history's values up to ``t``."""
        width, height = self.plot_pixels()
        made_for = (width, height, self.span_s, self._range, self.theme, history.n_columns)
        if made_for != self._made_for:
            self._made_for = made_for
            low, high = self._range
            self._raster = HeatRaster(
                width,
                height,
                column_s=self.column_s(),
                hold_s=self._hold_s,
                low=low,
                high=high,
                palette=cividis(_N_COLOURS),
                background=rgb32(self.theme.surface),
            )
            self._image = image_of(self._raster.ring)
        assert self._raster is not None
        end = math.floor(t / self.column_s()) + 1
        self._raster.update(end, history.newest_time, history.revision, history.read)
        self.take_moment(store, end * self.column_s())

    def paint_plot(self, painter: QPainter, plot: QRectF) -> None:
        if self._raster is not None and self._image is not None:
            paint_ring(painter, plot, self._raster.ring, self._image, self.devicePixelRatioF())

    def paint_frame(self, painter: QPainter, plot: QRectF) -> None:
        paint_ticks(painter, plot, self._ticks, self)
        if math.isfinite(self._range[0]):
            self._paint_colour_bar(painter, plot)

    def _paint_colour_bar(self, painter: QPainter, plot: QRectF) -> None:
        line = self.line()
        bar = QRectF(plot.right() + line * 0.4, plot.top(), line * 0.5, plot.height())
        table = np.ascontiguousarray(cividis(_N_COLOURS)[::-1])
        image = QImage(table.tobytes(), 1, _N_COLOURS, 3, QImage.Format.Format_RGB888)
        painter.drawImage(bar, image)
        painter.setPen(QColor(self.theme.muted))
        left, flags = (
            bar.right() + line * 0.2,
            int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter),
        )
        low, high = (f"{value:g}".replace("-", "−") for value in self._range)
        room = self.width() - left
        painter.drawText(QRectF(left, plot.top() - line * 0.3, room, line), flags, high)
        painter.drawText(QRectF(left, plot.bottom() - line * 0.8, room, line), flags, low)
        painter.save()  # the unit runs up along the right edge
        painter.translate(self.width() - line * 1.05, self.height())
        painter.rotate(-90)
        text = painter.fontMetrics().elidedText(self._unit, Qt.TextElideMode.ElideRight, self.height())
        painter.drawText(QRectF(0, 0, self.height(), line), int(Qt.AlignmentFlag.AlignCenter), text)
        painter.restore()


def paint_ticks(
    painter: QPainter, plot: QRectF, ticks: Sequence[tuple[float, str]], strip: TimeStrip
) -> None:
    """Draw labels at the left by their share of the height; one that would touch the last is left out."""
    metrics = QFontMetricsF(painter.font())
    lowest = math.inf
    for share, text in ticks:
        y = plot.bottom() - share * plot.height()
        if y + metrics.height() * 0.5 > lowest:
            continue
        lowest = y - metrics.height() * 0.5
        painter.setPen(QColor(strip.theme.muted))
        painter.drawLine(QPointF(plot.left() - 4, y), QPointF(plot.left() - 1, y))
        box = QRectF(0, y - metrics.height() / 2, plot.left() - 6, metrics.height())
        painter.drawText(box, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), text)
