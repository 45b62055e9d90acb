"""Where the time of the newest prediction went."""

import math

from PyQt6.QtCore import Qt

from app.qt.panel import Panel
from app.qt.plots.bar_plot import BarPlot, BarRow, Level
from app.qt.widgets import plain_label
from app.view.machine import TARGET_MS, DisplayLatency, Stage, axis_end_ms, stages, verdict
from app.view.store import ViewStore
from app.view.trust import why_no_prediction

_HEADS = ("ms", "p50", "p99")
_HATCHES = {  # beside the colours; a total is an outline
    "arrival": Qt.BrushStyle.BDiagPattern,
    "wait": Qt.BrushStyle.Dense5Pattern,
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
        theme, self.stages = self.theme, found
        self.plot.setVisible(bool(found))
        if found:
            self.plot.set_home(x=(0.0, axis_end_ms(found)))
            rows = [self._row(i, stage) for i, stage in enumerate(found)]
            self.plot.set_rows([BarRow("", _HEADS, role="muted"), *rows])
            is_live = any(stage.name == "decided" for stage in found)
            self.plot.set_levels([Level(TARGET_MS, f"target {TARGET_MS:.0f} ms")] if is_live else [])
        self.note.setText(sentence)
        colour = {"bad": theme.bad, "good": theme.good}.get(severity, theme.muted)
        self.note.setStyleSheet(f"color: {colour}")

    def _row(self, i: int, stage: Stage) -> BarRow:
        is_total, hatch = stage.name not in _HATCHES, _HATCHES.get(stage.name, Qt.BrushStyle.NoBrush)
        colour = self.theme.muted if is_total else self.theme.category(i)
        start, end = max(0.0, stage.start_ms), max(0.0, stage.start_ms + stage.took_ms)
        return BarRow(stage.name, stage.figures, start, end, colour, hatch, is_bold=is_total)
