"""The plot of the pupils: two curves, told apart by their stroke, and shaded blinks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QLineF, QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from app.qt.plots.heat_strip import paint_ticks
from app.qt.plots.time_strip import TimeStrip, mixed
from app.view.scales import CalmRange, round_step
from app.view.store import ViewStore
from app.view.text import one_line

_SEEN = 0.5
_LOOK_EVERY_S = 0.5

_SHORT_UNITS = {"arbitrary": "a.u."}  # a longer one would push the number out of the gutter


class PupilStrip(TimeStrip):
    """Left pupil drawn through, right pupil dashed."""

    def __init__(self) -> None:
        super().__init__("Pupil sizes", 30.0)
        self.marker_texts = False
        self._unit = ""
        self._range: CalmRange | None = None
        self._low, self._high = 0.0, 1.0
        self._looked = -math.inf
        self._curves: tuple[NDArray[np.float64], NDArray[np.float64]] = (np.empty(0), np.empty((0, 2)))
        self._blinks: list[tuple[float, float]] = []

    def show_pupils(
        self,
        store: ViewStore,
        times: NDArray[np.float64],
        values: NDArray[np.floating],
        blinks: list[tuple[float, float]],
        t: float,
    ) -> None:
        """Show the samples (n, 5), x, y, pupils, validity, and the blinks up to ``t``."""
        pupils = np.where(values[:, 4:5] >= _SEEN, values[:, 2:4], np.nan).astype(np.float64)
        unit = _SHORT_UNITS.get(store.pupil_unit, one_line(store.pupil_unit, 4))
        if unit != self._unit:
            self._unit, self._range = unit, None
            self.redraw_frame()
        if not abs(t - self._looked) < _LOOK_EVERY_S:
            self._looked = t
            self._fit(pupils)
        self._curves = _means(times, pupils, self.column_s() * 2)
        self._blinks = blinks
        self.take_moment(store, t)

    def has_pupils(self) -> bool:
        """Return whether any size is shown."""
        return bool(np.isfinite(self._curves[1]).any())

    def paint_plot(self, painter: QPainter, plot: QRectF) -> None:
        self._paint_blinks(painter, plot)
        times, pupils = self._curves
        x = plot.right() - (self.end - times) / self.span_s * plot.width()
        y = plot.bottom() - (pupils - self._low) / max(self._high - self._low, 1e-12) * plot.height()
        styles = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine)
        for eye, style in enumerate(styles):
            painter.setPen(QPen(QColor(self.theme.category(1 - eye)), 1, style))
            for run in _runs(y[:, eye]):
                points = zip(x[run].tolist(), y[run, eye].tolist(), strict=True)
                painter.drawPolyline(QPolygonF([QPointF(*point) for point in points]))
        if not self.notice and math.isfinite(self.end) and not self.has_pupils():
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(
                plot, int(Qt.AlignmentFlag.AlignCenter), "no pupil size in this stream or moment"
            )
        self._paint_legend(painter, plot)

    def paint_frame(self, painter: QPainter, plot: QRectF) -> None:
        if not self._unit:
            return
        step = round_step((self._high - self._low) / 3)
        first = math.ceil(self._low / step - 1e-9)
        ticks = []
        while first * step <= self._high + 1e-9:
            share = (first * step - self._low) / (self._high - self._low)
            ticks.append((share, f"{first * step:g} {self._unit}"))
            first += 1
        paint_ticks(painter, plot, ticks, self)

    def _fit(self, pupils: NDArray[np.float64]) -> None:
        finite = pupils[np.isfinite(pupils)]
        if not len(finite):
            return
        if self._range is None:  # millimetres, or a camera's pixels: the steps follow the size
            step = round_step(float(np.median(np.abs(finite))) / 8 + 1e-6)
            self._range = CalmRange(step, least=2 * step)
        low, high = self._range.fit(finite)
        if (low, high) != (self._low, self._high):
            self._low, self._high = low, high
            self.redraw_frame()

    def _paint_blinks(self, painter: QPainter, plot: QRectF) -> None:
        # Mixed beforehand: Qt hands a see-through area to other threads and waits, long on a busy computer.
        shade = QColor(mixed(self.theme.muted, self.theme.surface, 0.28))
        painter.setPen(QPen(QColor(self.theme.muted), 1))
        step = self.line() * 0.4
        for t0, t1 in self._blinks:
            left, right = self.x_of(t0), max(self.x_of(t1), self.x_of(t0) + 2.0)
            if right < plot.left():
                continue
            painter.fillRect(QRectF(left, plot.top(), right - left, plot.height()), shade)
            rise = min(right - left, step)  # stripes by hand: a brush's pattern takes a hundred times as long
            n = max(1, int(plot.height() / step))
            heights = [plot.top() + rise + i * step for i in range(n)]
            painter.drawLines(*(QLineF(left, y, right, y - rise) for y in heights))

    def _paint_legend(self, painter: QPainter, plot: QRectF) -> None:
        """Draw what the strokes mean, in the right gutter."""
        painter.setClipping(False)
        line, metrics = self.line(), QFontMetricsF(painter.font())
        for eye, (word, style) in enumerate(
            (("left", Qt.PenStyle.SolidLine), ("right", Qt.PenStyle.DashLine))
        ):
            y = plot.top() + line * (0.5 + 1.6 * eye)
            left = plot.right() + line * 0.3
            painter.setPen(QColor(self.theme.text))
            painter.drawText(QPointF(left, y + metrics.ascent() / 2), word)
            painter.setPen(QPen(QColor(self.theme.category(1 - eye)), 2, style))
            painter.drawLine(QPointF(left, y + line * 0.75), QPointF(left + line * 1.8, y + line * 0.75))
        painter.setClipRect(plot)


def _means(
    times: NDArray[np.float64], values: NDArray[np.float64], step_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times and means (n, 2) over steps of a fixed grid, NaN where a step has no value."""
    if not len(times):
        return np.empty(0), np.empty((0, 2))
    steps = np.floor(times / step_s).astype(np.int64)
    starts = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))
    known = np.isfinite(values)
    n = np.add.reduceat(known.astype(np.int64), starts, axis=0)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    means = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
    grid = (steps[starts].astype(np.float64) + 0.5) * step_s
    # Steps without samples are a gap where the stream's own spacing would have filled them.
    spacing = max(step_s, float(np.median(np.diff(times))) if len(times) > 1 else step_s)
    holes = np.flatnonzero(np.diff(grid) > 4 * spacing)
    grid = np.insert(grid, holes + 1, grid[holes] + step_s)
    return grid, np.insert(means, holes + 1, np.nan, axis=0)


def _runs(values: NDArray[np.float64]) -> list[slice]:
    """Return the stretches without NaN."""
    edges = np.flatnonzero(np.diff(np.isfinite(values), prepend=False, append=False))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
