"""What session and window cost this computer, and how the recording goes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection
from time import monotonic

import psutil
from PyQt6.QtCore import QPointF, QSize, Qt, QTimer
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from app.qt.panel import Panel
from app.qt.theme import DARK, Theme
from app.view.machine import Figure, machine_figures
from app.view.store import ViewStore
from app.view.text import number

_SAMPLE_MS = 1000
_KEPT_S = 600.0  # ten minutes
_N_KEPT = 600


class MachinePanel(Panel):
    """Figures in words, and memory over the last ten minutes.

    Memory is looked at once a second whether the panel is visible or not.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Machine and recording", parent)
        self._process = psutil.Process()
        self._process.cpu_percent(None)  # the first answer means nothing
        self._cpu_percent = self._memory_mb = float("nan")
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self._grid.setVerticalSpacing(2)
        self._grid.setHorizontalSpacing(round(1.5 * self.fontMetrics().averageCharWidth()))
        self.values: dict[str, QLabel] = {}
        self._severities: dict[str, str] = {}
        self.sparkline = Sparkline()
        self.body.addLayout(self._grid)
        self.body.addWidget(self.sparkline, 1)
        self._shown: object = None
        self._show(machine_figures(None, self._cpu_percent, self._memory_mb))
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.sample)
        self._timer.start(_SAMPLE_MS)

    def sample(self) -> None:
        """Look at this process's CPU and memory now."""
        self._cpu_percent = self._process.cpu_percent(None)
        self._memory_mb = self._process.memory_info().rss / 1e6
        self.sparkline.add_window(monotonic(), self._memory_mb)
        self._shown = None

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the figures of now."""
        self.sparkline.show_engine(store.engine_memory)
        key = (id(store), store.health.time if store.health else None)
        if key != self._shown:
            self._shown = key
            self._show(machine_figures(store.health, self._cpu_percent, self._memory_mb))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.sparkline.theme = theme
        self.sparkline.update()
        for label, severity in self._severities.items():
            self._colour(label, severity)

    def _show(self, figures: list[Figure]) -> None:
        for figure in figures:
            if figure.label not in self.values:
                self._add(figure.label)
            value = self.values[figure.label]
            if value.text() != figure.text:
                value.setText(figure.text)
            if self._severities.get(figure.label) != figure.severity:
                self._severities[figure.label] = figure.severity
                self._colour(figure.label, figure.severity)

    def _add(self, label: str) -> None:
        row = self._grid.rowCount()
        name = QLabel(label)
        name.setProperty("muted", True)
        value = QLabel("")
        value.setTextFormat(Qt.TextFormat.PlainText)
        value.setWordWrap(True)
        value.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        value.setAccessibleName(label)
        self._grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(value, row, 1)
        self.values[label] = value

    def _colour(self, label: str, severity: str) -> None:
        theme = self.theme
        colour = {"bad": theme.bad, "suspect": theme.suspect, "muted": theme.muted}.get(severity, theme.text)
        weight = 600 if severity == "bad" else 400
        self.values[label].setStyleSheet(f"color: {colour}; font-weight: {weight}")


class Sparkline(QWidget):
    """Memory of engine and window over the last ten minutes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self.engine: Collection[tuple[float, float]] = ()
        self.window_: deque[tuple[float, float]] = deque(maxlen=_N_KEPT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Memory over the last ten minutes")

    def add_window(self, time: float, megabytes: float) -> None:
        """Add what this process uses at ``time``, `time.monotonic`."""
        self.window_.append((time, megabytes))
        engine_mb = next((mb for _, mb in reversed(tuple(self.engine))), math.nan)
        self.setAccessibleDescription(f"engine {number(engine_mb)} MB, window {number(megabytes)} MB")
        self.update()

    def show_engine(self, used: Collection[tuple[float, float]]) -> None:
        """Draw what the engine used: times of `time.monotonic` and megabytes, oldest first."""
        self.engine = used

    def minimumSizeHint(self) -> QSize:
        """Room for three lines of text."""
        return QSize(0, self.fontMetrics().height() * 3)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw both lines from 0 MB up, so that a small drift does not look like a leak."""
        painter = QPainter(self)
        metrics = self.fontMetrics()
        finite = [v for _, v in (*self.engine, *self.window_) if v == v]
        top_mb = max(finite, default=0.0) * 1.1
        painter.setPen(QColor(self.theme.muted))
        text = "Memory, last 10 min" if finite else "Memory: first figure in a second"
        painter.drawText(0, metrics.ascent(), text)
        if not finite:
            return
        top, bottom = metrics.height() + 2, self.height() - 2
        painter.setPen(QPen(QColor(self.theme.grid), 1))
        painter.drawLine(0, bottom, self.width(), bottom)
        scale = f"0 to {top_mb:,.0f} MB"
        painter.setPen(QColor(self.theme.muted))
        painter.drawText(self.width() - metrics.horizontalAdvance(scale), metrics.ascent(), scale)
        right = self.width() - metrics.horizontalAdvance("window ")
        newest = max(t for t, _ in (*self.engine, *self.window_))
        for values, colour, style, name in (
            (self.engine, self.theme.category(1), Qt.PenStyle.SolidLine, "engine"),
            (self.window_, self.theme.category(0), Qt.PenStyle.DashLine, "window"),
        ):
            points = [
                QPointF(right * (1 - (newest - t) / _KEPT_S), bottom - (bottom - top) * v / top_mb)
                for t, v in values
                if v == v and newest - t <= _KEPT_S
            ]
            if points:
                painter.setPen(QPen(QColor(colour), 1, style))
                painter.drawPolyline(QPolygonF(points))
                y = min(max(points[-1].y() + metrics.ascent() / 2, top + metrics.ascent() / 2), bottom)
                painter.drawText(QPointF(right + 4, y), name)
