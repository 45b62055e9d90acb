"""Plots over time that end at the moment shown: lines, scrolling pictures, and the EEG's traces."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen

from acquisition.quality import ChannelQuality
from app.engine.messages import Mark
from app.qt.plots.axes import Axis, ColourBar, DrawnAxis, with_unit
from app.qt.plots.items import Markers, RingPicture, mixed
from app.qt.plots.plot import Plot, Span, Table, figure_text
from app.qt.theme import Theme, colour_table, scaled
from app.view.history import BinnedHistory, SampleHistory
from app.view.raster import HeatRaster, Raster, Read, TraceRaster
from app.view.scales import next_step, round_step
from app.view.store import ViewStore
from app.view.text import one_line

_MAX_MARKERS = 60
_NEAR_PX = 6.0  # the mouse is at a marker
SECONDS = "seconds from the moment shown"
#: Room for labels left and right, alike in all plots of a column: their time axes stand below each other.
LEFT_ROOM, RIGHT_ROOM = "0000 Hz", "\N{MINUS SIGN}0.00"


class TimePlot(Plot):
    """A plot over the seconds before the moment shown, with the markers of the session."""

    def __init__(
        self,
        name: str,
        span_s: float,
        axes: Sequence[Axis] = (),
        *,
        least: tuple[int, float] = (30, 4.5),
        marker_texts: bool = False,
    ) -> None:
        self.end = math.nan  # the moment shown, LSL seconds: x is 0 there
        self.markers: Sequence[Mark] = ()
        self.highlight: Span | None = None  # of the window of a chosen prediction, LSL seconds
        self.time_axis = Axis("bottom", with_unit("s"))
        super().__init__(name, (self.time_axis, *axes), x=(-span_s, 0.0), least=least)
        self._marker_lines = Markers(self, has_texts=marker_texts)

    @property
    def span_s(self) -> float:
        return -self.home[0][0]

    def set_span(self, seconds: float) -> None:
        self.set_home(x=(-float(seconds), 0.0))
        self.reset_zoom()

    def take_moment(self, store: ViewStore, end: float) -> None:
        """Let the plot end at ``end``, with the markers up to there."""
        self.end = end
        self.markers = store.markers.read(end - self.span_s, end)[-_MAX_MARKERS:]
        self._marker_lines.span = (
            None if self.highlight is None else (self.highlight[0] - end, self.highlight[1] - end)
        )
        self._marker_lines.set_content((marker.time - end, marker.text) for marker in self.markers)
        self.redraw()

    def text_at(self, x: float, y: float) -> str:
        lines = texts_near(self, self.markers, self.end + x)
        value = self.value_at(x, y)
        return "\n".join([*lines, f"{figure_text(x, 1)} s  {value}"] if value else lines)

    def value_at(self, x: float, y: float) -> str:
        """Return the value at a place in words, empty without one."""
        return ""


class ScrollingPlot(TimePlot):
    """A picture that scrolls: a column is drawn once, and again only where the view or its look changes."""

    def __init__(self, name: str, span_s: float, axes: Sequence[Axis], **look: Any) -> None:
        super().__init__(name, span_s, axes, **look)
        self._picture = RingPicture(self)
        self._raster: Raster | None = None
        self._made_for: tuple[object, ...] = ()

    def make_raster(self, width: int, height: int, column_s: float, rows: Span) -> Raster:
        """Return a picture of so many pixels, of seconds a column and of a part of the rows."""
        raise NotImplementedError

    def scroll(
        self,
        store: ViewStore,
        t: float,
        source: BinnedHistory | SampleHistory,
        look: tuple[object, ...],
        read: Read | None = None,
    ) -> None:
        (x0, x1), (y0, y1) = self.view.viewRange()
        rect, ratio = self.plot_rect(), self.devicePixelRatioF()
        width, height = (max(1, math.ceil(side * ratio)) for side in (rect.width(), rect.height()))
        column_s = (x1 - x0) / width
        made_for = (width, height, x1 - x0, y0, y1, self.theme, *look)
        if self._raster is None or made_for != self._made_for:
            self._made_for = made_for
            self._raster = self.make_raster(width, height, column_s, (y0, y1))
        end = math.floor((t + x1) / column_s) + 1
        newest = source.newest_bin if isinstance(source, BinnedHistory) else source.newest_time
        self._raster.update(end, math.nan if newest is None else newest, source.revision, read or source.read)
        self._picture.show_ring(self._raster.ring)
        self.take_moment(store, end * column_s - x1)


class HeatPlot(ScrollingPlot):
    """Rows of values as colours over time (spectrogram, log-mel), with a colour bar.

    A value is shown until the next, at most for ``hold_s``; its unit stands along the colour bar.
    """

    def __init__(self, name: str, span_s: float, *, hold_s: float, unit: str) -> None:
        self._bar = ColourBar("right", colour_table(), unit, RIGHT_ROOM)
        self.rows_axis = Axis("left", room=LEFT_ROOM)
        super().__init__(name, span_s, (self.rows_axis, self._bar))
        self._hold_s, self.unit = hold_s, unit
        self._scale = (math.nan, math.nan)  # unknown
        self._hz_of: Callable[[float], float] = float
        self._history: SampleHistory | None = None

    def set_scale(
        self,
        low: float,
        high: float,
        n_rows: int,
        ticks: Sequence[tuple[float, str]],
        hz_of: Callable[[float], float],
    ) -> None:
        """Set the values of the first and last colour, and the frequency (Hz) at a place of the rows.

        The picture spans 0 to ``n_rows``, row ``i`` from ``i`` to ``i + 1``.
        """
        if (low, high, self.unit) != (*self._scale, self._bar.unit) or self.home[1][1] != n_rows:
            self._scale, self._hz_of = (low, high), hz_of
            self._bar.set_scale(self._scale, self.unit, colour_table())
            self.set_home(y=(0.0, float(n_rows)))
            self.rows_axis.setTicks([list(ticks)])

    def show_history(self, store: ViewStore, history: SampleHistory, t: float) -> None:
        self._history = history
        self.scroll(store, t, history, (self._scale, history.n_columns))

    def make_raster(self, width: int, height: int, column_s: float, rows: Span) -> HeatRaster:
        background = QColor(self.theme.surface).rgb()
        palette = colour_table()
        return HeatRaster(width, height, column_s, self._hold_s, self._scale, palette, background, rows)

    def value_at(self, x: float, y: float) -> str:
        if self._history is None or not math.isfinite(self.end):
            return ""
        times, values = self._history.read(self.end + x - self._hold_s, self.end + x)
        row = math.floor(y)
        if not len(times) or not 0 <= row < values.shape[1]:
            return ""
        return f"{figure_text(self._hz_of(y), 0)} Hz  {figure_text(float(values[-1, row]))} {self.unit}"

    def table(self) -> Table:
        """Return the values that are seen: a row a time, a column a frequency."""
        if self._history is None or not math.isfinite(self.end):
            return [SECONDS], []
        (x0, x1), _ = self.view.viewRange()
        times, values = self._history.read(self.end + x0, self.end + x1)
        names = [f"{self._hz_of(i + 0.5):.1f} Hz" for i in range(values.shape[1])]
        rows = [
            (f"{t - self.end:.4f}", *(f"{v:.4g}" for v in each))
            for t, each in zip(times, values, strict=True)
        ]
        return [SECONDS, *names], rows


def texts_near(plot: Plot, markers: Sequence[Mark], t: float) -> list[str]:
    """Return the texts of the markers that the mouse is at when it is at a moment."""
    near_s = _NEAR_PX * plot.view.viewRect().width() / max(plot.plot_rect().width(), 1.0)
    return [one_line(marker.text, 300) for marker in markers if abs(marker.time - t) <= near_s]


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
