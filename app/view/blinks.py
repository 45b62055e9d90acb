"""Blinks in a stretch of gaze: losses of validity that last as long as a lid takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_BLINK_S, MAX_BLINK_S = 0.05, 0.5
_MAX_GAP_S = 0.25  # a longer hole between two samples is the stream's, not the lid's


def find_blinks(times: NDArray[np.float64], seen: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return onset and end of each blink, seconds.

    Parameters
    ----------
    times : ndarray, (n,)
        Ascending.
    seen : ndarray of bool, (n,)
        True where the tracker saw the eyes.

    Notes
    -----
    A loss lasts from its first lost sample to the first seen one after it. One that touches either end of
    the stretch, or a hole in the samples, has no known length and is left out.
    """
    edges = np.diff(~seen, prepend=False, append=False)
    onsets, ends = np.flatnonzero(edges).reshape(-1, 2).T
    blinks = []
    for onset, end in zip(onsets, ends, strict=True):
        if onset == 0 or end == len(times):
            continue
        lasts = times[end] - times[onset]
        has_hole = np.diff(times[onset - 1 : end + 1]).max() > _MAX_GAP_S
        if MIN_BLINK_S <= lasts <= MAX_BLINK_S and not has_hole:
            blinks.append((float(times[onset]), float(times[end])))
    return blinks
