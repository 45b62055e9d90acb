"""Figures of a test in which the speaker is the unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.scores import t_interval


def balanced_accuracy(label: NDArray[Any], answer: NDArray[Any]) -> float:
    """Return the mean over the classes that occur of the share answered rightly."""
    return float(np.mean([np.mean(answer[label == value] == value) for value in np.unique(label)]))


def speaker_scores(
    label: NDArray[Any], answer: NDArray[Any], speaker: NDArray[Any], n_labels: int
) -> dict[str, Any]:
    """Return balanced accuracy by speaker, its mean with a 95 % t interval over speakers, and pooled.

    The interval's ends are cut to 0-1. ``confusion`` counts true labels in rows, answers in columns.
    """
    by_speaker = {
        str(name): balanced_accuracy(label[speaker == name], answer[speaker == name])
        for name in np.unique(speaker)
    }
    values = np.array(list(by_speaker.values()))
    interval = t_interval(list(values))
    confusion = np.zeros((n_labels, n_labels), dtype=int)
    np.add.at(confusion, (label, answer), 1)
    return {
        "mean": float(values.mean()),
        "interval": None if interval is None else [max(0.0, interval[0]), min(1.0, interval[1])],
        "speakers": by_speaker,
        "pooled": balanced_accuracy(label, answer),
        "confusion": confusion.tolist(),
    }
