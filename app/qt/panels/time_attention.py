"""Attention per time step of the window."""

from __future__ import annotations

from PyQt6.QtCore import QLineF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.qt.panel import Panel
from app.qt.theme import DARK, Theme
from app.qt.widgets import weight_label
from app.view.explanation import share_scale, time_bins
from app.view.store import ViewStore


class TimeAttentionPanel(Panel):
    """Bars by seconds before the prediction."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Attention per time step", parent)
        self.head.addWidget(weight_label())
        self.chart = TimeBars()
        self.body.addWidget(self.chart, 1)
        self._shown: object = None

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the newest prediction at ``t``."""
        prediction = store.predictions.at(t)
        key = (id(store), prediction, store.model)
        if key == self._shown:
            return
        self._shown = key
        shift_s = store.model.windows.eeg_shift_s if store.model is not None else 1.0
        self.chart.set_bins([] if prediction is None else time_bins(prediction, shift_s))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.chart.theme = theme
        self.chart.update()


class TimeBars(QWidget):
    """Paints shares over the steps of a window, the newest at the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self.bins: list[tuple[float, float, float]] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Attention per time step")

    def set_bins(self, bins: list[tuple[float, float, float]]) -> None:
        """Draw other shares: (start, end, share), seconds before the prediction, oldest first."""
        if bins == self.bins:
            return
        self.bins = bins
        words = "no prediction yet"
        if bins:
            start, end, share = max(bins, key=lambda each: each[2])
            words = f"highest {100 * share:.0f} %, {-start:g} to {abs(end):g} s before the prediction"
        self.setAccessibleDescription(words)
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for ten bars with a figure each and the axes."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance("0") * 30, round(metrics.height() * 7))

    def bar_rect(self, i: int) -> QRectF:
        """Return where the bar of the i-th step is."""
        plot = self._plot()
        width = plot.width() / max(len(self.bins), 1)
        height = plot.height() * self.bins[i][2] / self._end()
        return QRectF(plot.left() + i * width + 1, plot.bottom() - height, max(width - 2, 1), height)

    def _plot(self) -> QRectF:
        metrics = self.fontMetrics()
        left, line = 5.5 * metrics.horizontalAdvance("0"), metrics.height()
        return QRectF(left, line * 1.2, max(self.width() - left - line * 0.7, 10), self.height() - line * 3.8)

    def _end(self) -> float:
        return share_scale(max(share for _, _, share in self.bins))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw axes and bars."""
        painter = QPainter(self)
        if not self.bins:
            painter.setPen(QColor(self.theme.muted))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "No prediction yet")
            return
        self._paint_shares(painter)
        self._paint_times(painter)
        metrics = self.fontMetrics()
        for i, (_, _, share) in enumerate(self.bins):
            box = self.bar_rect(i)
            painter.fillRect(box, QColor(self.theme.accent))
            text = f"{100 * share:.0f}"
            if metrics.horizontalAdvance(text) <= box.width() + 2:
                painter.setPen(QColor(self.theme.text))
                above = QRectF(
                    box.left() - 4, box.top() - metrics.height(), box.width() + 8, metrics.height()
                )
                painter.drawText(above, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_shares(self, painter: QPainter) -> None:
        plot, end, line = self._plot(), self._end(), self.fontMetrics().height()
        for part in (0.0, 0.5, 1.0):
            y = plot.bottom() - part * plot.height()
            painter.setPen(QPen(QColor(self.theme.grid), 1))
            painter.drawLine(QLineF(plot.left(), y, plot.right(), y))
            painter.setPen(QColor(self.theme.muted))
            box = QRectF(0, y - line / 2, plot.left() - line * 0.3, line)
            text = f"{100 * end * part:.0f} %"
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_times(self, painter: QPainter) -> None:
        """Write the steps' edges; the oldest step also holds what came before it."""
        plot, line, n = self._plot(), self.fontMetrics().height(), len(self.bins)
        painter.setPen(QColor(self.theme.muted))
        edges = [start for start, _, _ in self.bins] + [self.bins[-1][1]]
        widest = self.fontMetrics().horizontalAdvance(f" \N{MINUS SIGN}{-edges[0]:g} ")
        every = max(1, -int(-widest // (plot.width() / n)))
        for i in range(n, -1, -every):
            x = plot.left() + i * plot.width() / n
            value = edges[i]
            text = f"\N{MINUS SIGN}{-value:g}" if value else "0"
            box = QRectF(x - 3 * line, plot.bottom() + line * 0.15, 6 * line, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        box = QRectF(0, plot.bottom() + line * 1.2, self.width(), line)
        text = "s before the prediction; the oldest bar holds all before it"
        if self.fontMetrics().horizontalAdvance(text) > self.width():
            text = "s before the prediction"
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
