"""Tells broken times from strange but possible ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: No clock shows such a time (3000 years); a stamp beyond it is a broken one.
LARGEST_TIME_S = 1e11
_SLACK_S = 1.0
_LONGEST_PAUSE_S = 86400.0


def out_of_line(
    times: NDArray[np.float64], before: float = float("nan"), after: float = float("nan")
) -> NDArray[np.bool_]:
    """Return which times jump out of their row and back, (n,) bool.

    A time is out of line if its neighbours are in order and it lies more than 1 s outside the span
    between them. A clock that was reset stays where it was set, so it is not out of line. A last time
    without a neighbour is out of line if it is more than a day away.

    Parameters
    ----------
    times : ndarray, (n,)
        Seconds.
    before, after : float
        The neighbours of the first and of the last time, NaN where unknown.
    """
    earlier = np.concatenate([[before], times[:-1]])
    later = np.concatenate([times[1:], [after]])
    outside = (times > later + _SLACK_S) | (times < earlier - _SLACK_S)
    lone = np.isnan(later) & (np.abs(times - earlier) > _LONGEST_PAUSE_S)
    return ((earlier <= later) & outside) | lone
