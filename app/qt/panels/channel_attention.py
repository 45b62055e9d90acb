"""Attention per EEG channel on a head."""

from __future__ import annotations

import math

import numpy as np
from PyQt6.QtWidgets import QWidget

from app.qt.panel import Panel
from app.qt.plots.heads import HeadMapWidget
from app.qt.theme import Theme
from app.qt.widgets import weight_label
from app.view.explanation import channel_deviation, deviation_scale, is_nearly_even
from app.view.store import ViewStore
from models.prediction import Prediction

NEARLY_EVEN = "nearly even: no electrode stands out"

#: The scale grows at once and falls back only when nothing reached it for so long.
_SCALE_OVER_S = 10.0


class ChannelAttentionPanel(Panel):
    """How far each channel's weight lies from an equal share."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Attention per EEG channel", parent)
        self.head.addWidget(weight_label())
        self.map = HeadMapWidget("")
        self.map.setAccessibleName("Attention per EEG channel, deviation from an equal share")
        self.body.addWidget(self.map, 1)
        self._shown: object = None

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the newest prediction at ``t``."""
        prediction = store.predictions.at(t)
        key = (id(store), prediction)
        if key == self._shown:
            return
        self._shown = key
        if prediction is None:
            self.map.set_title("")
            self.map.set_missing("no prediction yet")
            return
        names, deviation, share = channel_deviation(prediction)
        if not prediction.present.get("eeg") or math.isnan(share):
            self.map.set_title("")
            self.map.set_missing("EEG absent")
            return
        recent = store.predictions.read(prediction.t_end - _SCALE_OVER_S, prediction.t_end)
        largest = max(_largest(p) for p in recent)
        end = deviation_scale(largest)
        self.map.set_title(f"relative to an equal share of {100 * share:.1f} %")
        self.map.set_even(NEARLY_EVEN if is_nearly_even(largest) else "")
        self.map.set_values(names, deviation, -end, end, "%", diverging=True, by_size=False)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.map.set_theme(theme)


def _largest(prediction: Prediction) -> float:
    deviation = channel_deviation(prediction)[1]
    return float(np.nanmax(np.abs(deviation))) if np.isfinite(deviation).any() else 0.0
