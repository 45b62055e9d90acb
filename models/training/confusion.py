"""Confusion matrices of a table's rows: which class was taken for which."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from models.training.tables import Row

CONFUSION_FILE = "confusion.csv"
_COLUMNS = ("model", "unit", "subject", "session", "class", "answer", "n")


def pooled_confusion(row: Row, unit: str) -> list[list[int]]:
    """Return counts [class][answer] of a row's unit, or of trials, over all people and sessions."""
    scores = [entry.trial if unit == "trial" else row.scores(entry) for entry in row.entries]
    return [[int(n) for n in counts] for counts in np.sum([s.confusion for s in scores], axis=0)]


def confusions(rows: Sequence[Row], label_names: Sequence[str]) -> dict[str, Any]:
    """Return all matrices with their labels, for JSON."""
    return {
        "labels": list(label_names),
        "rows": [
            {"model": row.name, "unit": unit, "counts": pooled_confusion(row, unit)}
            for row in rows
            for unit in dict.fromkeys((row.unit, "trial"))
        ],
    }


def write_confusions(rows: Sequence[Row], label_names: Sequence[str], path: Path) -> None:
    """Write every person's counts as a long table: one line a class and answer."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for row in rows:
            for entry in row.entries:
                for unit in dict.fromkeys((row.unit, "trial")):
                    scores = entry.trial if unit == "trial" else row.scores(entry)
                    for name, counts in zip(label_names, scores.confusion, strict=True):
                        for answer, n in zip(label_names, counts, strict=True):
                            writer.writerow(
                                (row.name, unit, entry.subject, entry.session, name, answer, int(n))
                            )
