"""Plots over time that end at the moment shown: lines and scrolling pictures."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from PyQt6.QtGui import QColor

from app.engine.messages import Mark
from app.qt.plots.axes import Axis, ColourBar, with_unit
from app.qt.plots.items import Markers, RingPicture
from app.qt.plots.plot import Plot, Span, Table, figure_text
from app.qt.theme import cividis
from app.view.history import BinnedHistory, SampleHistory
from app.view.raster import HeatRaster, Raster, Read
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
        self._bar = ColourBar("right", cividis(), unit, RIGHT_ROOM)
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
            self._bar.set_scale(self._scale, self.unit, cividis())
            self.set_home(y=(0.0, float(n_rows)))
            self.rows_axis.setTicks([list(ticks)])

    def show_history(self, store: ViewStore, history: SampleHistory, t: float) -> None:
        self._history = history
        self.scroll(store, t, history, (self._scale, history.n_columns))

    def make_raster(self, width: int, height: int, column_s: float, rows: Span) -> HeatRaster:
        background = QColor(self.theme.surface).rgb()
        return HeatRaster(width, height, column_s, self._hold_s, self._scale, cividis(), background, rows)

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
