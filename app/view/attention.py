"""Attention of predictions as arrays to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acquisition.types import MODALITIES
from models.prediction import Prediction

#: Ends of the scale of `channel_deviation`, %: a step stays where it is while attention trembles.
DEVIATION_STEPS = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)


def modality_course(
    predictions: Sequence[Prediction], max_gap_s: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how attention per modality moved.

    Parameters
    ----------
    predictions : sequence of Prediction
        Oldest first.
    max_gap_s : float
        Where no prediction came for longer, a row of NaN lies between, so that no line bridges it.

    Returns
    -------
    times : ndarray, (n,)
        End of each window, LSL seconds.
    shares : ndarray, (n, 4)
        0..1 in the order of MODALITIES, NaN where absent.
    """
    times = np.array([prediction.t_end for prediction in predictions], dtype=float)
    shares = np.array([_shares(prediction) for prediction in predictions], dtype=float).reshape(-1, 4)
    gaps = np.flatnonzero(np.diff(times) > max_gap_s) + 1
    between = (times[gaps - 1] + times[gaps]) / 2
    return np.insert(times, gaps, between), np.insert(shares, gaps, np.nan, axis=0)


def absent_spans(
    predictions: Sequence[Prediction], modality: str, max_gap_s: float = 1.0
) -> list[tuple[float, float]]:
    """Return from when to when a modality was absent, LSL seconds, as far as there are predictions."""
    spans: list[tuple[float, float]] = []
    before = None
    for prediction in predictions:
        is_absent = not prediction.present.get(modality, False)
        if is_absent:
            goes_on = before is not None and prediction.t_end - before <= max_gap_s
            start = before if goes_on and before is not None else prediction.t_end
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, prediction.t_end))
        before = prediction.t_end
    return spans


def channel_deviation(prediction: Prediction) -> tuple[tuple[str, ...], NDArray[np.float64], float]:
    """Return how far each channel's attention lies from an equal share.

    Sixty-two shares that sum to 1 differ little in absolute terms; what tells is how they differ from
    being equal.

    Returns
    -------
    ch_names : tuple of str
    deviation : ndarray, (C,)
        % of the equal share: +100 is twice as much, -100 nothing; NaN for a channel left out of the window.
    share : float
        The equal share, 0..1; NaN without channels.
    """
    names = tuple(prediction.channel_attention)
    weights = np.array(list(prediction.channel_attention.values()), dtype=float)
    used = weights > 0
    if not used.any():
        return names, np.full(len(names), np.nan), float("nan")
    share = float(weights[used].sum()) / int(used.sum())
    return names, np.where(used, 100 * (weights / share - 1), np.nan), share


def is_nearly_even(largest: float) -> bool:
    """Tell whether the largest deviation, %, is too small for an electrode to stand out.

    Shares of 1.59 to 1.64 % of 1.61 % are no finding, whichever electrode happens to be first.
    """
    return largest < DEVIATION_STEPS[0]


def deviation_scale(largest: float) -> float:
    """Return the step of `DEVIATION_STEPS` that holds a deviation, %."""
    return next((step for step in DEVIATION_STEPS if largest <= step), DEVIATION_STEPS[-1])


def time_bins(prediction: Prediction, shift_s: float) -> list[tuple[float, float, float]]:
    """Return attention per time step.

    Parameters
    ----------
    prediction : Prediction
    shift_s : float
        Seconds from one step to the next.

    Returns
    -------
    list of (start, end, share)
        Start and end in seconds before the prediction (negative), oldest first. The oldest bin also holds
        what the network saw from before it.
    """
    n = len(prediction.time_attention)
    return [
        ((i - n) * shift_s, (i - n + 1) * shift_s, share) for i, share in enumerate(prediction.time_attention)
    ]


def share_scale(largest: float) -> float:
    """Return the upper end of an axis of shares that holds the largest: 0.2, 0.5 or 1."""
    return next((end for end in (0.2, 0.5) if largest <= end), 1.0)


def _shares(prediction: Prediction) -> list[float]:
    return [
        prediction.modality_attention.get(modality, np.nan) if prediction.present.get(modality) else np.nan
        for modality in MODALITIES
    ]
