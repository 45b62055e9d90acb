"""Horizontal bars in rows: a name at the left, a hatched bar, figures at the right, levels across."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyqtgraph as pg
from PyQt6.QtCore import QSize, Qt

from app.qt.plots.axes import Axis, Row, RowAxis, Words, number_text
from app.qt.plots.items import Bar, Bars
from app.qt.plots.plot import Plot, Span, Table
from app.qt.theme import Theme

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
