"""The plot of the EEG: an incremental ring image of all traces, their names beside it, a scale bar."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from acquisition.quality import ChannelQuality
from app.qt.plots.axes import DrawnAxis
from app.qt.plots.items import mixed
from app.qt.plots.plot import Span, Table, figure_text
from app.qt.plots.time_plot import SECONDS, ScrollingPlot
from app.qt.theme import Theme, scaled
from app.view.raster import TraceRaster
from app.view.scales import next_step, round_step
from app.view.store import ViewStore
from app.view.text import one_line

_EVEN, _ODD, _SUSPECT, _BAD = range(4)
_LETTERS = {_SUSPECT: "S", _BAD: "B"}
#: Columns of names and size of the font, tried in turn until neighbours in a column do not touch.
_NAME_SIZES = ((1, 1.0), (1, 0.9), (2, 1.0), (2, 0.9), (2, 0.8))


class TracePlot(ScrollingPlot):
    """Traces of all channels, one row each; neighbours differ in shade, as do their names."""

    def __init__(self) -> None:
        self.names_axis, self._scale_axis = NameAxis("left"), ScaleAxis("right")
        axes = (self.names_axis, self._scale_axis)
        super().__init__("EEG traces", 10.0, axes, least=(36, 14.0), marker_texts=True)
        self.view.invertY(True)
        self.choose_electrodes: Callable[[], object] = lambda: None
        self._categories: tuple[int, ...] = ()
        self._names: tuple[str, ...] = ()
        self._columns: list[int] = []
        self._units_per_row: tuple[float, ...] = ()
        self._store: ViewStore | None = None

    def show_eeg(
        self,
        store: ViewStore,
        t: float,
        columns: Sequence[int],
        units_per_row: Sequence[float],
        states: Mapping[str, ChannelQuality],
        scale: float,
    ) -> None:
        """Show some columns of the EEG up to ``t``, each row standing for so much; ``scale`` is the bar's."""
        eeg, self._store, self._columns = store.eeg, store, list(columns)
        self._units_per_row = tuple(units_per_row)
        self._names = tuple(eeg.ch_names[at] for at in columns)
        marked = {"bad": _BAD, "suspect": _SUSPECT}
        self._categories = tuple(
            marked.get(states[name].state if name in states else "", i % 2)
            for i, name in enumerate(self._names)
        )
        self.set_home(y=(0.0, float(max(1, len(self._names)))))
        self.names_axis.set_names(self._names, self._categories)
        self._scale_axis.set_scale(scale, unit_symbol(eeg.unit))
        self.scroll(
            store, t, eeg, (self._names, self._categories, self._units_per_row, eeg.bin_s), self._read
        )

    def _read(self, first_bin: int, end_bin: int) -> tuple[Any, Any]:
        assert self._store is not None
        low, high = self._store.eeg.read(first_bin, end_bin)
        return low[:, self._columns], high[:, self._columns]

    def menu_actions(self) -> list[tuple[str, Callable[[], object]]]:
        return [("E&lectrodes shown, bad electrodes…", self.choose_electrodes), *super().menu_actions()]

    def make_raster(self, width: int, height: int, column_s: float, rows: Span) -> TraceRaster:
        assert self._store is not None
        return TraceRaster(
            width,
            height,
            bins_per_column=column_s / self._store.eeg.bin_s,
            units_per_row=self._units_per_row,
            categories=self._categories,
            colours=[QColor(colour).rgb() for colour in trace_colours(self.theme)],
            background=QColor(self.theme.surface).rgb(),
            thickness=max(1, round(self.devicePixelRatioF())),
            rows=rows,
        )

    def value_at(self, x: float, y: float) -> str:
        if self._store is None or not math.isfinite(self.end):
            return ""
        eeg, row = self._store.eeg, math.floor(y)
        if not 0 <= row < len(self._names):
            return ""
        first = math.floor((self.end + x) / eeg.bin_s)
        low, high = (values[0, row] for values in self._read(first, first + 1))
        name = f"{one_line(self._names[row], 24)}  {figure_text((float(low) + float(high)) / 2, 1)}"
        return f"{name} {unit_symbol(eeg.unit)}"

    def table(self) -> Table:
        """Return the lowest and highest value of each channel in each bin that is seen."""
        if self._store is None or not math.isfinite(self.end):
            return [SECONDS], []
        eeg = self._store.eeg
        (x0, x1), _ = self.view.viewRange()
        first, end = (math.floor((self.end + x) / eeg.bin_s) for x in (x0, x1))
        low, high = self._read(first, end)
        unit = unit_symbol(eeg.unit)
        names = [f"{name} {which} ({unit})" for name in self._names for which in ("lowest", "highest")]
        rows: list[Sequence[object]] = []
        for i in range(end - first):
            pairs = zip(low[i], high[i], strict=True)
            seconds = f"{(first + i) * eeg.bin_s - self.end:.4f}"
            rows.append((seconds, *(f"{value:.5g}" for pair in pairs for value in pair)))
        return [SECONDS, *names], rows


def trace_colours(theme: Theme) -> tuple[str, str, str, str]:
    return theme.trace, mixed(theme.trace, theme.surface, 0.62), theme.suspect, theme.bad


class NameAxis(DrawnAxis):
    """Names of channels in one or two columns, with a letter at those that are bad or suspect."""

    reaches_out = True
    names: tuple[str, ...] = ()
    clicked: Callable[[str], object] = staticmethod(lambda name: None)  # takes the name that was clicked
    _categories: tuple[int, ...] = ()
    _boxes: tuple[tuple[QRectF, str], ...] = ()  # where names were drawn last

    def __init__(self, side: str) -> None:
        super().__init__(side)
        self.setToolTip("Click a name to mark the electrode bad, or to take that back")
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def mouseClickEvent(self, event: Any) -> None:
        """Tell the name at the mouse, the nearest where several overlap."""
        at = event.pos()
        hit = [(abs(box.center().y() - at.y()), name) for box, name in self._boxes if box.contains(at)]
        if hit and event.button() is Qt.MouseButton.LeftButton:
            event.accept()
            self.clicked(min(hit)[1])

    def set_names(self, names: tuple[str, ...], categories: tuple[int, ...]) -> None:
        if (names, categories) != (self.names, self._categories):
            is_new = names != self.names
            self.names, self._categories = names, categories
            if is_new:
                self.fit()
            self.redraw()

    def text_width(self) -> float:
        """Return the room for two columns: how many there are hangs on the plot's height."""
        return self._column_width(self.metrics) * 2

    def layout_for(self, row: float) -> tuple[int, QFont, int]:
        """Return columns of names, their font, and that every n-th is written, for rows so high in pixels."""
        base = self.style["tickFont"]
        font = base
        for n_columns, factor in _NAME_SIZES:
            font = scaled(base, factor)
            if n_columns * row >= _letter_height(font):
                return n_columns, font, 1
        return 2, font, math.ceil(_letter_height(font) / (2 * row))

    def draw(self, painter: QPainter, rect: QRectF) -> None:
        if not self.names:
            return
        n_columns, font, every = self.layout_for(abs(self.pixel_of(1.0) - self.pixel_of(0.0)))
        metrics, theme = QFontMetricsF(font), self.theme
        width = self._column_width(metrics)
        room, height = width - metrics.horizontalAdvance(" B "), metrics.height()
        colours = trace_colours(theme)
        painter.setFont(font)
        left, boxes = rect.right() - n_columns * width - 4, []
        for i in range(0, len(self.names), every):
            y = self.pixel_of(i + 0.5)
            if not rect.top() <= y <= rect.bottom():
                continue
            letter = _LETTERS.get(self._categories[i], " ")
            text = metrics.elidedText(_short(self.names[i]), Qt.TextElideMode.ElideRight, room)
            painter.setPen(QColor(colours[self._categories[i]] if letter != " " else theme.text))
            box = QRectF(left + i // every % n_columns * width, y - height / 2, width, height)
            flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, int(flags), f"{text} {letter}")
            boxes.append((box, self.names[i]))
            painter.setPen(QPen(QColor(theme.grid), 1))
            painter.drawLine(QPointF(rect.right() - 4, y), QPointF(rect.right() - 1, y))
        self._boxes = tuple(boxes)

    def _column_width(self, metrics: QFontMetricsF) -> float:
        longest = max((metrics.horizontalAdvance(_short(name)) for name in self.names), default=0.0)
        return min(longest, 8 * metrics.height()) + metrics.horizontalAdvance(" B ")


class ScaleAxis(DrawnAxis):
    """A bar of a round amplitude, two lines high or more, with its number along it."""

    reaches_out = True
    _units_per_row, _unit = 50.0, ""

    def set_scale(self, units_per_row: float, unit: str) -> None:
        if (units_per_row, unit) != (self._units_per_row, self._unit):
            self._units_per_row, self._unit = units_per_row, unit
            self.redraw()

    def text_width(self) -> float:
        return 1.2 * self.metrics.height()

    def draw(self, painter: QPainter, rect: QRectF) -> None:
        if not self._unit:
            return
        line = self.metrics.height()
        pixels = abs(self.pixel_of(1.0) - self.pixel_of(0.0)) / self._units_per_row
        amount = round_step(2.5 * line / pixels)
        while amount * pixels > rect.height() * 0.6:
            amount = next_step(amount, up=False)
        x, top = rect.left() + 0.35 * line, rect.bottom() - amount * pixels - 1
        painter.setPen(QPen(QColor(self.theme.text), 1))
        painter.drawLine(QPointF(x, top), QPointF(x, rect.bottom() - 1))
        for y in (top, rect.bottom() - 1):
            painter.drawLine(QPointF(x - 3, y), QPointF(x + 3, y))
        painter.translate(x + 1.05 * line, rect.bottom() - 1)
        painter.rotate(-90)
        painter.drawText(QPointF(0, 0), f"{amount:g} {self._unit}")


def _letter_height(font: QFont) -> float:
    """Return the line height of names: capitals with a little space."""
    return QFontMetricsF(font).ascent() * 1.02


def _short(name: str) -> str:
    return one_line(name, 24)


def unit_symbol(unit: str) -> str:
    return "µV" if unit in ("uV", "microvolts", "microvolt") else one_line(unit, 12)
