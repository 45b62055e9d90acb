"""The probability of every emotion as a bar, with the chance level and the level needed for an answer."""

import math

from PyQt6.QtCore import Qt

from acquisition.text import percent
from app.qt.panel import Panel
from app.qt.plots.bar_plot import BarPlot, BarRow, Level
from app.qt.theme import colour_of, hatch_of
from app.view.store import ViewStore
from app.view.trust import judge_at, labels_of, needed
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
        self.plot.set_notice("emotions appear once a model is loaded")
        self.add_plot(self.plot)

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction, verdict = judge_at(store, t)
        labels = labels_of(store, prediction)
        least = needed(store, labels)
        if self.is_new(prediction, labels, verdict.is_grey, str(least)):
            self._show(prediction, labels, 100 * least, is_grey=verdict.is_grey)

    def _show(
        self, prediction: Prediction | None, labels: tuple[str, ...], least: float, *, is_grey: bool
    ) -> None:
        rows = []
        for index, label in enumerate(labels):
            share = math.nan if prediction is None else prediction.probs.get(label, math.nan)
            colour, role = colour_of(self.theme, index, grey=is_grey).name(), "stale" if is_grey else "text"
            figures = (percent(share),)
            rows.append(BarRow(label, figures, 0.0, 100 * share, colour, hatch_of(index), role))
        self.plot.set_rows(rows)
        self.plot.set_notice("" if rows else "emotions appear once a model is loaded")
        if labels:
            chance = 100 / len(labels)
            dotted = Level(chance, f"chance {chance:.3g} %", Qt.PenStyle.DotLine)
            levels = [Level(least, f"{least:.3g} % needed")] if least <= 100 else []
            self.plot.set_levels([dotted, *levels])
