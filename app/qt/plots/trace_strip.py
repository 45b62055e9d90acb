"""The plot of the EEG panel: a ring image of all traces, names beside it, a scale bar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPen

from acquisition.quality import ChannelQuality
from app.qt.plots.time_strip import TimeStrip, image_of, mixed, paint_ring, rgb32
from app.view.raster import TraceRaster
from app.view.scales import next_step, round_step
from app.view.store import ViewStore
from app.view.text import one_line

_PAD = 4.0  # between the panel's edge and the names
_EVEN, _ODD, _SUSPECT, _BAD = range(4)
#: Columns of names and size of the font, tried in turn until neighbours in a column do not touch.
_NAME_SIZES = ((1, 1.0), (1, 0.9), (2, 1.0), (2, 0.9), (2, 0.8))
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True)
class NameLayout:
    """Names stand in columns in turn, every n-th of them, in columns of that width."""

    n_columns: int
    font: QFont
    every: int
    width: float


class TraceStrip(TimeStrip):
    """Traces of all channels; neighbours differ in shade, as do their names."""

    def __init__(self) -> None:
        super().__init__("EEG traces", 10.0)
        self._names: tuple[str, ...] = ()
        self._categories: tuple[int, ...] = ()
        self._units_per_row, self._unit = 50.0, "µV"
        self._raster: TraceRaster | None = None
        self._image: QImage | None = None
        self._made_for: tuple = ()
        self._named_for: tuple = ()
        self._layout: NameLayout

    def show_eeg(
        self, store: ViewStore, t: float, units_per_row: float, states: Mapping[str, ChannelQuality]
    ) -> None:
        """Show the EEG up to ``t``, one row standing for ``units_per_row``."""
        eeg = store.eeg
        marked = {"bad": _BAD, "suspect": _SUSPECT}
        categories = tuple(
            marked.get(states[name].state if name in states else "", i % 2)
            for i, name in enumerate(eeg.ch_names)
        )
        beside = (eeg.ch_names, categories, units_per_row, _symbol(eeg.unit))
        if beside != (self._names, self._categories, self._units_per_row, self._unit):
            self._names, self._categories, self._units_per_row, self._unit = beside
            self.redraw_frame()
        width, height = self.plot_pixels()
        made_for = (*beside, width, height, self.span_s, eeg.bin_s, self.theme)
        if made_for != self._made_for:
            self._made_for = made_for
            self._raster = TraceRaster(
                width,
                height,
                bins_per_column=self.span_s / eeg.bin_s / width,
                units_per_row=units_per_row,
                categories=categories,
                colours=[rgb32(colour) for colour in self._colours()],
                background=rgb32(self.theme.surface),
                thickness=max(1, round(self.devicePixelRatioF())),
            )
            self._image = image_of(self._raster.ring)
        assert self._raster is not None
        end = math.floor(t / self.column_s()) + 1
        self._raster.update(end, eeg.newest_bin, eeg.revision, eeg.read)
        self.take_moment(store, end * self.column_s())

    def row_height(self) -> float:
        """Return the height of a channel's row in pixels of the screen."""
        return self.plot().height() / max(1, len(self._names))

    def left_gutter(self) -> float:
        layout = self.name_layout()
        return _PAD + layout.n_columns * layout.width + self.line() * 0.4

    def right_gutter(self) -> float:
        return self.line() * 1.7

    def minimumSizeHint(self) -> QSize:
        return QSize(int(20 * self.line()), int(14 * self.line()))

    def paint_plot(self, painter: QPainter, plot: QRectF) -> None:
        if self._raster is not None and self._image is not None:
            paint_ring(painter, plot, self._raster.ring, self._image, self.devicePixelRatioF())

    def paint_frame(self, painter: QPainter, plot: QRectF) -> None:
        if self._names:
            self._paint_names(painter, plot)
            self._paint_scale(painter, plot)

    def _colours(self) -> tuple[str, str, str, str]:
        return (
            self.theme.trace,
            mixed(self.theme.trace, self.theme.surface, 0.62),
            self.theme.suspect,
            self.theme.bad,
        )

    def name_layout(self) -> NameLayout:
        """Return how the names are written; worked out anew for other names, heights and fonts only."""
        made_for = (self._names, self.height(), self.font().key())
        if made_for != self._named_for:
            self._named_for = made_for
            self._layout = self._find_layout((self.height() - 1.7 * self.line()) / max(1, len(self._names)))
        return self._layout

    def _find_layout(self, row: float) -> NameLayout:
        """Return the largest names that fit rows of that height."""
        font = QFont(self.font())
        for n_columns, factor in _NAME_SIZES:
            font = QFont(self.font())
            font.setPointSizeF(self.font().pointSizeF() * factor)
            if n_columns * row >= _letter_height(font):
                return NameLayout(n_columns, font, 1, self._name_width(font))
        return NameLayout(2, font, math.ceil(_letter_height(font) / (2 * row)), self._name_width(font))

    def _name_width(self, font: QFont) -> float:
        metrics = QFontMetricsF(font)
        longest = max((metrics.horizontalAdvance(_short(name)) for name in self._names), default=0.0)
        return min(longest, 8 * metrics.height()) + metrics.horizontalAdvance(" B ")

    def _paint_names(self, painter: QPainter, plot: QRectF) -> None:
        layout, row = self.name_layout(), self.row_height()
        metrics = QFontMetricsF(layout.font)
        width, height, room = layout.width, metrics.height(), layout.width - metrics.horizontalAdvance(" B ")
        colours = self._colours()
        painter.save()
        painter.setFont(layout.font)
        for i in range(0, len(self._names), layout.every):
            centre = plot.top() + (i + 0.5) * row
            column = i // layout.every % layout.n_columns
            category = self._categories[i]
            letter = {_BAD: "B", _SUSPECT: "S"}.get(category, " ")
            text = metrics.elidedText(_short(self._names[i]), Qt.TextElideMode.ElideRight, room)
            painter.setPen(QColor(colours[category] if letter != " " else self.theme.text))
            box = QRectF(_PAD + column * width, centre - height / 2, width, height)
            painter.drawText(box, int(_LEFT), f"{text} {letter}")
            painter.setPen(QPen(QColor(self.theme.grid), 1))
            painter.drawLine(
                QPointF(plot.left() - self.line() * 0.3, centre), QPointF(plot.left() - 2, centre)
            )
        painter.restore()

    def _paint_scale(self, painter: QPainter, plot: QRectF) -> None:
        """Draw a bar of a round amplitude, two lines high or more, with its number along it."""
        pixels = self.row_height() / self._units_per_row
        amount = round_step(2.5 * self.line() / pixels)
        while amount * pixels > plot.height() * 0.6:
            amount = next_step(amount, up=False)
        length, x = amount * pixels, plot.right() + self.line() * 0.35
        top = plot.bottom() - length - 1
        painter.setPen(QPen(QColor(self.theme.text), 1))
        painter.drawLine(QPointF(x, top), QPointF(x, top + length))
        for y in (top, top + length):
            painter.drawLine(QPointF(x - 3, y), QPointF(x + 3, y))
        painter.save()
        painter.translate(x + self.line() * 1.05, top + length)
        painter.rotate(-90)
        painter.drawText(QPointF(0, 0), f"{amount:g} {self._unit}")
        painter.restore()


def _letter_height(font: QFont) -> float:
    """Return what names need from line to line: capitals with a little air."""
    metrics = QFontMetricsF(font)
    return metrics.ascent() * 1.02


def _short(name: str) -> str:
    return one_line(name, 24)


def _symbol(unit: str) -> str:
    return "µV" if unit in ("uV", "microvolts", "microvolt") else one_line(unit, 12)
