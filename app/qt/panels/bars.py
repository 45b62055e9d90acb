"""The probability of every emotion as a bar, with the chance level and the level of an answer."""

from __future__ import annotations

from PyQt6.QtCore import Qt

from app.qt.category import colour_of, hatch_of
from app.qt.panel import Panel
from app.qt.plots.bar_plot import BarPlot, BarRow, Level
from app.view.store import ViewStore
from app.view.trust import judge, threshold
from models.prediction import Prediction


class BarsPanel(Panel):
    """Bars in the order of the model's labels."""

    def __init__(self) -> None:
        super().__init__("Probability of each emotion")
        self.plot = BarPlot(
            "Probability of each emotion",
            ("100 %",),
            x=(0.0, 100.0),
            unit="%",
            words=lambda value, _: f"{value:.0f} %" if value in (0, 100) else f"{value:.0f}",
            has_levels=True,
        )
        self.plot.set_notice("the emotions come with the model")
        self.body.addWidget(self.plot, 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the probabilities at ``t``."""
        prediction: Prediction | None = store.predictions.at(t)
        labels = store.model.labels if store.model is not None else ()
        verdict = judge(prediction, store, t)
        if verdict.state == "nothing":
            prediction = None  # what there is speaks of another moment
        if prediction is not None:
            labels = tuple(prediction.probs)
        if self.is_new(prediction, labels, verdict.is_grey):
            self._show(prediction, labels, is_grey=verdict.is_grey)

    def _show(self, prediction: Prediction | None, labels: tuple[str, ...], *, is_grey: bool) -> None:
        rows = []
        for index, label in enumerate(labels):
            percent = (
                100 * prediction.probs.get(label, float("nan")) if prediction is not None else float("nan")
            )
            rows.append(
                BarRow(
                    label,
                    (f"{percent:.0f} %" if percent == percent else "-",),
                    end=percent,
                    colour=colour_of(self.theme, index, grey=is_grey).name(),
                    hatch=hatch_of(index),
                    role="stale" if is_grey else "text",
                )
            )
        self.plot.set_rows(rows)
        self.plot.set_notice("" if rows else "the emotions come with the model")
        if labels:
            chance, least = 100 / len(labels), 100 * threshold(len(labels))
            self.plot.set_levels(
                [
                    Level(chance, f"chance {chance:.3g} %", Qt.PenStyle.DotLine),
                    Level(least, f"answer from {least:.3g} %"),
                ]
            )
