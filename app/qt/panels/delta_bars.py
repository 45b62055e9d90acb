"""Signed horizontal bars in groups, two columns of groups side by side."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QEvent, QLineF, QRectF, QSize, Qt
from PyQt6.QtGui import QBrush, QColor, QFont, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.qt.theme import DARK, Theme
from app.view.explanation import Bar, Group, points

_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_ROW_AT_MOST = 1.8  # lines of text: what is left is for the head map


class DeltaBars(QWidget):
    """Changes of a probability in percentage points: to the left it falls, to the right it rises."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self.columns: tuple[tuple[Group, ...], ...] = ()
        self.end = 1.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Occlusion: change of the probability in percentage points")

    def set_groups(self, columns: Sequence[Sequence[Group]], end: float) -> None:
        """Draw other groups on an axis from ``-end`` to ``end`` percentage points."""
        self.columns, self.end = tuple(tuple(column) for column in columns), end
        self._limit_height()
        said = [
            f"{bar.name} {bar.note if bar.points is None else points(bar.points / 100)}"
            for column in self.columns
            for group in column
            for bar in group.bars
        ]
        self.setAccessibleDescription(", ".join(said))
        self.updateGeometry()
        self.update()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the page's font."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self._limit_height()
            self.updateGeometry()

    def _limit_height(self) -> None:
        line = self.fontMetrics().height()
        self.setMaximumHeight(round(line * (_ROW_AT_MOST * self._n_lines() + 2.4)))

    def minimumSizeHint(self) -> QSize:
        """Room for the longer column, a line of text each."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance("0") * 60, round(metrics.height() * (self._n_lines() + 2.4)))

    def bar_rect(self, column: int, line: int) -> QRectF:
        """Return where the bar in a line of a column is; headings and empty lines count too."""
        bar = self._lines(column)[line]
        plot, height = self._plot(column), self._line_height()
        middle = plot.center().x()
        change = 0.0 if not isinstance(bar, Bar) or bar.points is None else bar.points
        length = min(abs(change) / self.end, 1) * plot.width() / 2
        left = middle - length if change < 0 else middle
        return QRectF(left, plot.top() + line * height + height * 0.18, max(length, 1.0), height * 0.64)

    def _lines(self, column: int) -> list[Bar | str]:
        lines: list[Bar | str] = []
        for group in self.columns[column]:
            if lines:
                lines.append("")
            lines += [group.heading, *group.bars]
        return lines

    def _n_lines(self) -> int:
        return max((len(self._lines(i)) for i in range(len(self.columns))), default=12)

    def _line_height(self) -> float:
        line = self.fontMetrics().height()
        return min((self.height() - 2.4 * line) / max(self._n_lines(), 1), _ROW_AT_MOST * line)

    def _column_width(self) -> float:
        return self.width() / max(len(self.columns), 1)

    def _plot(self, column: int) -> QRectF:
        digit, names = self.fontMetrics().horizontalAdvance("0"), self._name_width(column)
        left = column * self._column_width() + names
        width = max(self._column_width() - names - 8.5 * digit, 10)
        return QRectF(left, 0, width, self._line_height() * self._n_lines())

    def _name_width(self, column: int) -> float:
        """Return the room for names: the longest, but never more than half of the column."""
        metrics = self.fontMetrics()
        names = [bar.name for bar in self._lines(column) if isinstance(bar, Bar)]
        longest = max((metrics.horizontalAdvance(name) for name in names), default=0)
        return min(longest + 2.5 * metrics.horizontalAdvance("0"), self._column_width() / 2)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the columns."""
        painter = QPainter(self)
        for column in range(len(self.columns)):
            self._paint_axis(painter, column)
            for i, line in enumerate(self._lines(column)):
                if isinstance(line, str):
                    self._paint_heading(painter, column, i, line)
                else:
                    self._paint_bar(painter, column, i, line)

    def _paint_axis(self, painter: QPainter, column: int) -> None:
        plot, line = self._plot(column), self.fontMetrics().height()
        for share in (-1, 0, 1):
            x = plot.center().x() + share * plot.width() / 2
            painter.setPen(QPen(QColor(self.theme.muted if share == 0 else self.theme.grid), 1))
            painter.drawLine(QLineF(x, plot.top(), x, plot.bottom()))
            painter.setPen(QColor(self.theme.muted))
            text = f"{share * self.end:+g}".replace("-", "\N{MINUS SIGN}") if share else "0"
            box = QRectF(x - 3 * line, plot.bottom(), 6 * line, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        wide = QRectF(plot.left() - 5 * line, plot.bottom() + line, plot.width() + 10 * line, line)
        painter.drawText(wide, Qt.AlignmentFlag.AlignCenter, "percentage points")

    def _row(self, column: int, i: int) -> QRectF:
        left, height = column * self._column_width(), self._line_height()
        return QRectF(left, i * height, self._column_width(), height)

    def _paint_heading(self, painter: QPainter, column: int, i: int, text: str) -> None:
        font = QFont(self.font())
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor(self.theme.text))
        painter.drawText(self._row(column, i), _LEFT, text)
        painter.setFont(self.font())

    def _paint_bar(self, painter: QPainter, column: int, i: int, bar: Bar) -> None:
        row, digit = self._row(column, i), self.fontMetrics().horizontalAdvance("0")
        is_there = bar.points is not None
        painter.setPen(QColor(self.theme.text if is_there else self.theme.muted))
        name = row.adjusted(0.8 * digit, 0, 0, 0)
        name.setWidth(self._name_width(column) - digit)
        elided = self.fontMetrics().elidedText(bar.name, Qt.TextElideMode.ElideRight, round(name.width()))
        painter.drawText(name, _LEFT, elided)
        if bar.points is None:
            note = QRectF(row)
            note.setLeft(self._plot(column).left())
            note = note.adjusted(0, 0, -digit, 0)
            plate = QRectF(note)
            plate.setLeft(note.right() - self.fontMetrics().horizontalAdvance(bar.note) - digit)
            painter.fillRect(plate, QColor(self.theme.surface))  # no grid through the words
            painter.drawText(note, _RIGHT, bar.note)
            return
        painter.drawText(row.adjusted(0, 0, -digit, 0), _RIGHT, points(bar.points / 100))
        # Falling is solid, rising hatched: the side says it too.
        falls = bar.points < 0
        colour = QColor(self.theme.categories[1] if falls else self.theme.categories[0])
        painter.setPen(QPen(colour, 1))
        painter.setBrush(QBrush(colour, Qt.BrushStyle.SolidPattern if falls else Qt.BrushStyle.BDiagPattern))
        painter.drawRect(self.bar_rect(column, i))
