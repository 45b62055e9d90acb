"""What session and display cost this computer, the recording, and where the time of a prediction went."""

import math

import psutil
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtWidgets import QGridLayout, QLabel

from app.qt.panel import Panel
from app.qt.plots.bar_plot import BarPlot, BarRow, Level
from app.qt.widgets import COPYABLE, plain_label
from app.view.machine import (
    TARGET_MS,
    DisplayLatency,
    Figure,
    Stage,
    axis_end_ms,
    machine_figures,
    stages,
    verdict,
)
from app.view.store import ViewStore
from app.view.trust import why_no_prediction

_SAMPLE_MS = 1000


class MachinePanel(Panel):
    """Figures in words; those of this process are sampled once a second."""

    def __init__(self) -> None:
        super().__init__("Machine and recording")
        self._process = psutil.Process()
        self._process.cpu_percent(None)  # the first answer means nothing
        self._cpu_percent = self._memory_mb = float("nan")
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self._grid.setVerticalSpacing(2)
        self._grid.setHorizontalSpacing(round(1.5 * self.fontMetrics().averageCharWidth()))
        self.values: dict[str, QLabel] = {}
        self.body.addLayout(self._grid)
        self.body.addStretch()
        self._show(machine_figures(None, self._cpu_percent, self._memory_mb))
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.sample)
        self._timer.start(_SAMPLE_MS)

    def sample(self) -> None:
        self._cpu_percent = self._process.cpu_percent(None)
        self._memory_mb = self._process.memory_info().rss / 1e6
        self._shown = ()

    def refresh(self, store: ViewStore, t: float) -> None:
        if self.is_new(id(store), store.health.time if store.health else None):
            self._show(machine_figures(store.health, self._cpu_percent, self._memory_mb))

    def _show(self, figures: list[Figure]) -> None:
        for figure in figures:
            if figure.label not in self.values:
                self._add(figure.label)
            self.values[figure.label].setText(figure.text)
            colour = getattr(self.theme, "text" if figure.severity == "good" else figure.severity)
            look = f"color: {colour}; font-weight: {600 if figure.severity == 'bad' else 400}"
            if self.values[figure.label].styleSheet() != look:
                self.values[figure.label].setStyleSheet(look)

    def _add(self, label: str) -> None:
        row = self._grid.rowCount()
        value = plain_label(wraps=True)
        value.setTextInteractionFlags(COPYABLE)
        value.setAccessibleName(label)
        self._grid.addWidget(plain_label(label, muted=True), row, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(value, row, 1)
        self.values[label] = value


_HEADS = ("ms", "p50", "p99")
_HATCHES = {  # beside the colours; a total is an outline
    "arrival": Qt.BrushStyle.BDiagPattern,
    "wait": Qt.BrushStyle.Dense5Pattern,
    "hand-over": Qt.BrushStyle.CrossPattern,
    "features": Qt.BrushStyle.SolidPattern,
    "network": Qt.BrushStyle.FDiagPattern,
    "display": Qt.BrushStyle.DiagCrossPattern,
}


class LatencyPanel(Panel):
    """Bars that begin where the one before ended, their percentiles, and the target.

    The window tells ``display`` when it has painted a prediction.
    """

    def __init__(self, display: DisplayLatency) -> None:
        super().__init__("Latency of the last prediction")
        self.display = display
        self.stages: list[Stage] = []
        self.plot = BarPlot(
            "Latency by stage",
            ("000.0",) * 3,
            x=(0.0, 250.0),
            unit="ms",
            words=lambda value, _: f"{value:.0f} ms" if value == 0 else f"{value:.0f}",
            has_levels=True,
            least=(46, 7),
            most_lines=2.2,
        )
        self.note = plain_label(wraps=True)
        self.add_plot(self.plot)
        self.body.addWidget(self.note)
        self._show([], "muted", why_no_prediction(ViewStore()))

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction = store.predictions.at(t)
        # The prediction of this moment is being painted; its display time is known from the next pass on.
        shown_ms = math.nan if prediction is None else self.display.of(prediction)
        index = store.phase.name if prediction is None else prediction.index
        if not self.is_new(id(store), index, math.isnan(shown_ms)):
            return
        if prediction is None:
            self._show([], "muted", why_no_prediction(store))
            return
        health = store.health
        p50, p99 = (health.latency_p50_ms, health.latency_p99_ms) if health is not None else ({}, {})
        found = stages(prediction, p50, p99, self.display, live=store.mode != "replay")
        self._show(found, *verdict(found))

    def _show(self, found: list[Stage], severity: str, sentence: str) -> None:
        self.stages = found
        self.plot.setVisible(bool(found))
        if found:
            self.plot.set_home(x=(0.0, axis_end_ms(found)))
            rows = [self._row(i, stage) for i, stage in enumerate(found)]
            self.plot.set_rows([BarRow("", _HEADS, role="muted"), *rows])
            is_live = any(stage.name == "decided" for stage in found)
            self.plot.set_levels([Level(TARGET_MS, f"target {TARGET_MS:.0f} ms")] if is_live else [])
        self.note.setText(sentence)
        self.note.setStyleSheet(f"color: {getattr(self.theme, severity)}")

    def _row(self, i: int, stage: Stage) -> BarRow:
        is_total, hatch = stage.name not in _HATCHES, _HATCHES.get(stage.name, Qt.BrushStyle.NoBrush)
        colour = self.theme.muted if is_total else self.theme.category(i)
        start, end = max(0.0, stage.start_ms), max(0.0, stage.start_ms + stage.took_ms)
        return BarRow(stage.name, stage.figures, start, end, colour, hatch, is_bold=is_total)
