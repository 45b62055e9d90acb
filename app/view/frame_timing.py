"""How well a screen kept its time, from the moments at which it was drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.types import DisplayTiming

#: An interval longer than so many medians holds a frame that was not drawn.
MISSED_FROM = 1.5


def display_timing(step: str, drawn: Sequence[float]) -> DisplayTiming | None:
    """Return median interval and missed frames, None of fewer than three frames.

    Parameters
    ----------
    step : str
        Onset marker of the step.
    drawn : sequence of float
        Seconds, ascending, of each frame.
    """
    if len(drawn) < 3:
        return None
    intervals = np.diff(np.asarray(drawn, dtype=np.float64))
    median = float(np.median(intervals))
    n_missed = int(np.count_nonzero(intervals > MISSED_FROM * median))
    return DisplayTiming(step, median, len(drawn), n_missed)
