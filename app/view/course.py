"""The probabilities of the last minutes as lines with gaps, their means, and the answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.prediction import Prediction
from models.trust import STALE_AFTER_S, State

#: What an answer is besides an index into the labels.
UNCERTAIN, WARMING_UP = -2, -3
_RAW_UP_TO_S = 90.0  # four predictions a second over a longer span are a thicket


@dataclass(frozen=True, eq=False)
class Course:
    """Probabilities over time, each holding until the next time; NaN where none holds any longer."""

    labels: tuple[str, ...]
    times: NDArray[np.float64]  # (n,) LSL seconds
    probs: NDArray[np.float32]  # (n, n_labels)
    answers: tuple[tuple[float, float, int], ...]  # start, end, index of the label or a constant from above
    newest: NDArray[np.float32]  # (n_labels,) what holds at the end; NaN where nothing does any longer
    means: NDArray[np.float32] | None = None  # (n, n_labels) of the last `mean_s` seconds
    mean_s: float = 0.0  # 0: there are no means

    @property
    def lines(self) -> NDArray[np.float32]:
        """What is read: the means where there are any."""
        return self.probs if self.means is None else self.means


def mean_over_s(span_s: float) -> float:
    """Return over how many seconds a course of that length is averaged to be read, 0 where it need not be."""
    return float(max(2, round(span_s / 60))) if span_s >= _RAW_UP_TO_S else 0.0


def course(
    predictions: Sequence[Prediction], labels: Sequence[str], end: float, mean_s: float = 0.0
) -> Course:
    """Return the course of predictions, oldest first, up to ``end``; of the model's labels in its order.

    A prediction holds until the next one, but not for longer than `STALE_AFTER_S`: then there is a gap.
    Means are taken over the ``mean_s`` before each prediction; 0 makes none.
    """
    labels = tuple(labels)
    unknown = np.full(len(labels), np.nan, np.float32)
    predictions = [p for p in predictions if p.t_end <= end]
    if not predictions or not labels:
        return Course(labels, np.empty(0), np.empty((0, len(labels)), np.float32), (), unknown)
    times = np.array([p.t_end for p in predictions])
    values = np.array([[p.probs.get(label, np.nan) for label in labels] for p in predictions], np.float32)
    holds_to = np.minimum(np.append(times[1:], end), times + STALE_AFTER_S)
    answers = _runs(times, holds_to, np.array([_answer(p, labels) for p in predictions], np.int16))
    gaps = np.flatnonzero(holds_to < np.append(times[1:], np.inf))  # also behind the last

    def with_gaps(of: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.insert(of, gaps + 1, np.nan, axis=0)

    return Course(
        labels,
        np.insert(times, gaps + 1, holds_to[gaps]),
        with_gaps(values),
        answers,
        values[-1] if holds_to[-1] >= end else unknown,
        with_gaps(_means(times, values, mean_s)) if mean_s > 0 else None,
        mean_s,
    )


def _runs(
    times: NDArray[np.float64], holds_to: NDArray[np.float64], answers: NDArray[np.int16]
) -> tuple[tuple[float, float, int], ...]:
    """Return the stretches of one answer, as (start, end, answer)."""
    is_new = np.append(True, (np.diff(answers) != 0) | (holds_to[:-1] < times[1:]))
    starts = np.flatnonzero(is_new)
    ends = np.append(starts[1:], len(times)) - 1
    return tuple(
        (float(times[first]), float(holds_to[last]), int(answers[first]))
        for first, last in zip(starts, ends, strict=True)
    )


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


def _answer(prediction: Prediction, labels: tuple[str, ...]) -> int:
    """Return the answer's index in the labels, or why there is none."""
    verdict = prediction.verdict
    if verdict.state is State.WARMING_UP:
        return WARMING_UP
    is_of_these = verdict.answer in labels and prediction.probs.keys() == set(labels)
    return labels.index(verdict.answer or "") if is_of_these else UNCERTAIN
