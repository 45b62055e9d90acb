"""Where the time of the newest prediction went."""

from __future__ import annotations

import math

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QBrush, QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.qt.panel import Panel
from app.qt.theme import DARK, Theme
from app.view.display_latency import DisplayLatency
from app.view.machine import PROMISE_MS, Stage, axis_end_ms, stages, verdict
from app.view.store import ViewStore
from app.view.trust import why_no_prediction

_HEADS = ("ms", "p50", "p99")
_PATTERNS = {  # beside the colours
    "arrival": Qt.BrushStyle.BDiagPattern,
    "wait": Qt.BrushStyle.Dense5Pattern,
    "features": Qt.BrushStyle.SolidPattern,
    "network": Qt.BrushStyle.FDiagPattern,
    "display": Qt.BrushStyle.DiagCrossPattern,
}
_TOTALS = ("decided", "on screen", "total")


class Waterfall(Panel):
    """Bars of the stages, their percentiles, and the promise.

    Parameters
    ----------
    display : DisplayLatency
        Told by the window when it has painted a prediction.
    """

    def __init__(self, display: DisplayLatency, parent: QWidget | None = None) -> None:
        super().__init__("Latency of the last prediction", parent)
        self.display = display
        self.chart = WaterfallChart()
        self.note = QLabel("")
        self.note.setTextFormat(Qt.TextFormat.PlainText)
        self.note.setWordWrap(True)
        self.body.addWidget(self.chart, 1)
        self.body.addWidget(self.note)
        self._severity = "muted"
        self._shown: object = None
        self._show([], "muted", why_no_prediction(ViewStore()))

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the newest prediction at ``t``."""
        prediction = store.predictions.at(t)
        # The prediction of this moment is being painted; its display time is known from the next pass on.
        shown = math.nan if prediction is None else self.display.of(prediction)
        index = store.phase.name if prediction is None else prediction.index
        key = (id(store), index, math.isnan(shown))
        if key == self._shown:
            return
        self._shown = key
        if prediction is None:
            self._show([], "muted", why_no_prediction(store))
            return
        health = store.health
        p50, p99 = (health.latency_p50_ms, health.latency_p99_ms) if health is not None else ({}, {})
        found = stages(prediction, p50, p99, self.display, live=store.mode != "replay")
        self._show(found, *verdict(found))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.chart.theme = theme
        self.chart.update()
        self._colour_note()

    def _show(self, found: list[Stage], severity: str, sentence: str) -> None:
        self.chart.set_stages(found)
        self.note.setText(sentence)
        self._severity = severity
        self._colour_note()

    def _colour_note(self) -> None:
        theme = self.theme
        colour = {"bad": theme.bad, "good": theme.good}.get(self._severity, theme.muted)
        if colour != getattr(self, "_note_colour", None):
            self._note_colour = colour
            self.note.setStyleSheet(f"color: {colour}")


class WaterfallChart(QWidget):
    """Paints stages as bars that begin where the one before ended."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self.stages: list[Stage] = []
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Latency by stage")

    def set_stages(self, found: list[Stage]) -> None:
        """Draw other stages."""
        self.stages = found
        spoken = [f"{s.name} {s.figures[0]} ms, p50 {s.figures[1]}, p99 {s.figures[2]}" for s in found]
        self.setAccessibleDescription("; ".join(spoken))
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for nine lines of text."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance("0") * 46, metrics.height() * 9)

    def bar_rect(self, i: int) -> QRectF:
        """Return where the bar of the i-th stage is."""
        left, width, top, line = self._plot()
        end = axis_end_ms(self.stages)
        stage = self.stages[i]
        took = stage.took_ms if math.isfinite(stage.took_ms) else 0.0
        x0, x1 = (left + width * max(0.0, v) / end for v in (stage.start_ms, stage.start_ms + took))
        return QRectF(x0, top + i * line + line * 0.18, max(x1 - x0, 1.0 if took else 0.0), line * 0.64)

    def _plot(self) -> tuple[float, float, float, float]:
        """Return left edge and width of the bars' room, its top, and the height of a line."""
        metrics = self.fontMetrics()
        digit = metrics.horizontalAdvance("0")
        left = metrics.horizontalAdvance("on screen") + 2 * digit
        figures = 3 * 7 * digit
        top = metrics.height() * 1.1
        height = self.height() - top - metrics.height() * 1.4
        line = min(height / max(len(self.stages), 1), metrics.height() * 2.2)
        return left, max(self.width() - left - figures - digit, 10), top, line

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw axis, bars and figures."""
        if not self.stages:
            return
        painter = QPainter(self)
        self._paint_axis(painter)
        self._paint_heads(painter)
        for i, stage in enumerate(self.stages):
            self._paint_stage(painter, i, stage)
        painter.end()

    def _paint_axis(self, painter: QPainter) -> None:
        left, width, top, line = self._plot()
        bottom = top + line * len(self.stages)
        end = axis_end_ms(self.stages)
        metrics = self.fontMetrics()
        for tick in range(6):
            value = end * tick / 5
            x = left + width * tick / 5
            painter.setPen(QPen(QColor(self.theme.grid), 1))
            painter.drawLine(round(x), round(top), round(x), round(bottom))
            painter.setPen(QColor(self.theme.muted))
            text = f"{value:.0f}"
            half = metrics.horizontalAdvance(text)
            box = QRectF(x - half, bottom, 2 * half, metrics.height() * 1.2)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom, text)
        unit = QRectF(0, bottom, left, metrics.height() * 1.2)
        painter.drawText(unit, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom, "ms")
        if any(stage.name == "decided" for stage in self.stages):
            x = left + width * PROMISE_MS / end
            painter.setPen(QPen(QColor(self.theme.text), 1, Qt.PenStyle.DashLine))
            painter.drawLine(round(x), round(top), round(x), round(bottom))
            text = f"promise {PROMISE_MS:.0f} ms"
            room = metrics.horizontalAdvance(text)
            painter.setPen(QColor(self.theme.text))
            painter.drawText(
                QRectF(x - room, 0, room, top),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                text,
            )

    def _paint_heads(self, painter: QPainter) -> None:
        painter.setPen(QColor(self.theme.muted))
        for column, text in enumerate(_HEADS):
            painter.drawText(self._figure_box(column, 0, self._plot()[2]), _RIGHT, text)

    def _paint_stage(self, painter: QPainter, i: int, stage: Stage) -> None:
        left, _, top, line = self._plot()
        is_total = stage.name in _TOTALS
        font = painter.font()
        font.setBold(is_total)
        painter.setFont(font)
        painter.setPen(QColor(self.theme.text))
        y = top + i * line
        painter.drawText(QRectF(0, y, left, line), Qt.AlignmentFlag.AlignVCenter, stage.name)
        for column, text in enumerate(stage.figures):
            painter.drawText(self._figure_box(column, y, line), _RIGHT, text)
        if math.isfinite(stage.took_ms):
            colour = QColor(self.theme.muted if is_total else self.theme.category(i))
            box = self.bar_rect(i)
            if not is_total:
                faint = QColor(colour)
                faint.setAlpha(110)
                painter.fillRect(box, faint)
            painter.setPen(QPen(colour, 1))
            painter.setBrush(QBrush(colour, _PATTERNS.get(stage.name, Qt.BrushStyle.NoBrush)))
            painter.drawRect(box)

    def _figure_box(self, column: int, y: float, height: float) -> QRectF:
        width = 7 * self.fontMetrics().horizontalAdvance("0")
        return QRectF(self.width() - (3 - column) * width, y, width, height)


_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
