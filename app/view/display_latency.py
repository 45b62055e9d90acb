"""How long a prediction takes from the engine's output to the window painted with it."""

from __future__ import annotations

import math
from collections import deque

from app.telemetry import N_LATENCIES, percentile
from models.prediction import Prediction


class DisplayLatency:
    """Collects display times; whoever paints the newest prediction says so with `shown`."""

    def __init__(self) -> None:
        self._newest_index = -1
        self._display: deque[float] = deque(maxlen=N_LATENCIES)
        self._to_screen: deque[float] = deque(maxlen=N_LATENCIES)
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
        if len(self._of) > N_LATENCIES:
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
        return percentile(self._display, q)

    def to_screen_percentile_ms(self, q: float) -> float:
        """Return a percentile of the time from the sample's push to the painted window in ms."""
        return percentile(self._to_screen, q)
