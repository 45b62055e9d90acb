"""The probabilities' course over the last minutes, one value per column of pixels, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.view.trust import MIN_MARGIN, STALE_AFTER_S, threshold
from models.prediction import Prediction

#: What a column's answer is besides an index into the labels.
NOTHING, UNCERTAIN, WARMING_UP = -1, -2, -3
_RAW_UP_TO_S = 90.0  # four predictions a second over a longer span are a thicket

_Columns = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]  # value, lowest, highest


@dataclass(frozen=True, eq=False)
class Course:
    """Probabilities and answers by column, oldest first."""

    labels: tuple[str, ...]
    probs: NDArray[np.float32]  # (n_columns, n_labels), NaN where there was no prediction
    low: NDArray[np.float32]  # the same: lowest value within the column
    high: NDArray[np.float32]
    answers: NDArray[np.int16]  # (n_columns,) index of the label shown, or one of the constants above
    mean_s: float = 0.0  # 0: there are no means
    mean: NDArray[np.float32] | None = None  # (n_columns, n_labels) of the last `mean_s` seconds
    mean_low: NDArray[np.float32] | None = None  # lowest mean within the column
    mean_high: NDArray[np.float32] | None = None


def mean_over_s(span_s: float) -> float:
    """Return over how many seconds a course of that length is averaged to be read, 0 where it need not be."""
    return float(max(2, round(span_s / 60))) if span_s >= _RAW_UP_TO_S else 0.0


def course(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    t0: float,
    t1: float,
    n_columns: int,
    mean_s: float = 0.0,
) -> Course:
    """Return the course from ``t0`` to ``t1``.

    A prediction holds until the next one, but not for longer than `STALE_AFTER_S`: then there is a gap.

    Parameters
    ----------
    predictions : sequence of Prediction
        Ascending ``t_end``; from `STALE_AFTER_S` before ``t0`` on.
    labels : sequence of str
        The model's, in its order; a prediction without one of them counts as missing.
    t0, t1 : float
        LSL seconds.
    n_columns : int
    mean_s : float
        Seconds before each prediction that its mean is taken over; 0 makes no means.
    """
    labels = tuple(labels)
    n_labels = len(labels)
    blank = np.full((n_columns, n_labels), np.nan, np.float32)
    if not predictions or not labels or n_columns < 1 or not t1 > t0:
        return Course(labels, blank, blank, blank, np.full(n_columns, NOTHING, np.int16))
    nan = float("nan")
    times = np.array([p.t_end for p in predictions])
    values = np.array([[p.probs.get(label, nan) for label in labels] for p in predictions], np.float32)
    answers = _answers(values, np.array([p.warm_up for p in predictions]))

    edges = np.linspace(t0, t1, n_columns + 1)
    newest = np.searchsorted(times, edges[1:], side="right") - 1  # of each column
    first = np.maximum(np.searchsorted(times, edges[:-1], side="right") - 1, 0)
    has_one = (newest >= 0) & (edges[:-1] - times[np.maximum(newest, 0)] <= STALE_AFTER_S)
    newest = np.maximum(newest, 0)
    # Within a column: from what held at its left edge (if not stale there) to its newest.
    first = np.where(edges[:-1] - times[first] <= STALE_AFTER_S, first, newest)
    parts = np.stack([first, newest + 1], axis=1).ravel()
    gap = ~has_one[:, None]

    def columns(of: NDArray[np.float32]) -> _Columns:
        padded = np.concatenate([of, of[-1:]])  # so that an end may lie past the last prediction
        return (
            np.where(gap, np.nan, of[newest]),
            np.where(gap, np.nan, np.minimum.reduceat(padded, parts)[::2]),
            np.where(gap, np.nan, np.maximum.reduceat(padded, parts)[::2]),
        )

    shown = np.where(has_one, answers[newest], NOTHING).astype(np.int16)
    probs, low, high = columns(values)
    if not mean_s > 0:
        return Course(labels, probs, low, high, shown)
    mean, mean_low, mean_high = columns(_means(times, values, mean_s))
    return Course(labels, probs, low, high, shown, mean_s, mean, mean_low, mean_high)


def _means(times: NDArray[np.float64], values: NDArray[np.float32], mean_s: float) -> NDArray[np.float32]:
    """Return each prediction's mean with those of the ``mean_s`` seconds before it, (n, n_labels)."""
    first = np.searchsorted(times, times - mean_s, side="right")
    known = np.isfinite(values)
    zero = np.zeros((1, values.shape[1]))
    sums = np.concatenate([zero, np.cumsum(np.where(known, values, 0.0), axis=0, dtype=np.float64)])
    counts = np.concatenate([zero, np.cumsum(known, axis=0)])
    end = np.arange(len(times)) + 1
    n = counts[end] - counts[first]
    return np.where(known, (sums[end] - sums[first]) / np.maximum(n, 1), np.nan).astype(np.float32)


def _answers(values: NDArray[np.float32], warm_up: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Return the label's index or why there is none, by the rule of `app.view.trust`."""
    n_labels = values.shape[1]
    ordered = np.sort(values, axis=1)  # NaN comes last, and compares False below
    best = ordered[:, -1]
    lead = best - ordered[:, -2] if n_labels > 1 else best
    with np.errstate(invalid="ignore"):
        is_answer = (best >= threshold(n_labels) - 1e-6) & (lead >= MIN_MARGIN - 1e-6)
    label = np.where(is_answer, np.argmax(np.nan_to_num(values), axis=1), UNCERTAIN)
    return np.where(warm_up, WARMING_UP, label).astype(np.int16)


def line_pixels(
    low: NDArray[np.float32], high: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns of the pixels of a line; row 0 is probability 1.

    Five wide pens take the raster painter 20 ms; choosing the rows of each column takes one.

    Parameters
    ----------
    low, high : ndarray, (n_columns,)
        The line's extent within each column; NaN where there is no line.
    height, width : int
        Rows of the picture; the line's width in pixels.
    """
    for _ in range(width - 1):  # steps become as wide as the level parts
        low, high = np.fmin(low, np.append(np.nan, low[:-1])), np.fmax(high, np.append(np.nan, high[:-1]))
    has_line = np.isfinite(low)
    highest = np.rint((1 - np.where(has_line, high, 0)) * (height - 1)).astype(np.intp)
    lowest = np.rint((1 - np.where(has_line, low, 0)) * (height - 1)).astype(np.intp)
    top, bottom = highest - (width - 1) // 2, lowest + width // 2 + 1
    top, bottom = np.clip(top, 0, height), np.clip(bottom, 0, height)
    n_rows = np.where(has_line, bottom - top, 0)
    columns = np.repeat(np.arange(len(low)), n_rows)
    rows = np.arange(len(columns)) - np.repeat(np.cumsum(n_rows) - n_rows - top, n_rows)
    return rows, columns
