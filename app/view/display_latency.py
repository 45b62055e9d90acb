"""How long a prediction takes from the engine's output to the painted window."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from models.prediction import Prediction

_N_KEPT = 2000  # eight minutes at four predictions a second


class DisplayLatency:
    """Collects display times; whoever paints the newest prediction says so with `shown`."""

    def __init__(self) -> None:
        self._newest_index = -1
        self._display: deque[float] = deque(maxlen=_N_KEPT)
        self._to_screen: deque[float] = deque(maxlen=_N_KEPT)
        self._of: dict[int, float] = {}

    def shown(self, prediction: Prediction, now: float) -> None:
        """Note that ``prediction`` was painted at ``now`` (LSL seconds).

        Only the first painting of a new prediction counts. A replay has no such latency: its age is NaN.
        """
        if prediction.index <= self._newest_index or not math.isfinite(prediction.latency.age):
            return
        self._newest_index = prediction.index
        display = (now - prediction.t_end) * 1e3 - prediction.latency.age
        self._display.append(display)
        self._to_screen.append(prediction.latency.total + display)
        self._of[prediction.index] = display
        if len(self._of) > _N_KEPT:
            del self._of[next(iter(self._of))]

    def forget(self) -> None:
        """Begin anew, with another engine."""
        self._newest_index = -1
        for kept in (self._display, self._to_screen, self._of):
            kept.clear()

    def of(self, prediction: Prediction) -> float:
        """Return the display time of a prediction in ms, NaN if it was not painted when it was new."""
        return self._of.get(prediction.index, math.nan)

    def percentile_ms(self, q: float) -> float:
        """Return a percentile of the display times in ms, NaN without any."""
        return _percentile(self._display, q)

    def to_screen_percentile_ms(self, q: float) -> float:
        """Return a percentile of the time from the sample's push to the painted window in ms."""
        return _percentile(self._to_screen, q)


def _percentile(values: deque[float], q: float) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.percentile(finite, q)) if finite else math.nan
