"""Outcomes of single sessions gathered into a table: rows, figures over people, a paper's figures beside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.datasets.trials import Excluded
from models.training.scores import Scores, Summary, summarise, t_interval, wilson_interval

#: What a paper prints, in per cent: (mean, SD) over subjects; some print no SD.
Figure = tuple[float, float | None]

_ROW_KEYS = ("model", "pretrained", "labels", "mask", "mean", "sd", "paper_mean", "paper_sd")
#: What the intervals of `Row.trial_interval` are.
INTERVALS = "95 % intervals: the wider of t over people and Wilson over trials"


@dataclass(frozen=True, eq=False)
class Entry:
    """Scores of one row on one person's session."""

    subject: str
    session: int
    window: Scores
    trial: Scores
    classes_seen: int | None  # among the labels that trained; None where a model does not say
    paper_accuracy: float | None = None  # share; where the paper has figures by person


@dataclass(frozen=True, eq=False)
class Row:
    """One model of a table with all its sessions."""

    model: str
    pretrained: bool
    labels: str
    mask: float
    entries: tuple[Entry, ...]
    paper: Figure | None = None  # None: the paper has no such row
    unit: str = "window"  # or clip, frame; trial takes the scores per trial

    @property
    def name(self) -> str:
        """The row in words, unlike any other's of its table."""
        parts = [self.model, "pre-trained" if self.pretrained else ""]
        parts.append("" if self.labels == "all" else f"labels: {self.labels}")
        parts.append(f"{self.mask:.0%} masked" if self.mask else "")
        return ", ".join(part for part in parts if part)

    def scores(self, entry: Entry) -> Scores:
        """Return an entry's scores in the row's unit."""
        return entry.trial if self.unit == "trial" else entry.window

    def accuracy(self, of_trials: bool = False) -> Summary:
        """Return mean and SD of the accuracy over people."""
        return summarise(
            {
                (e.subject, e.session): (e.trial if of_trials else self.scores(e)).accuracy
                for e in self.entries
            }
        )

    def trial_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of `accuracy` per trial.

        It reaches as far as the t interval over people, cut to 0-1, because trials of one person are not
        independent, and as far as Wilson's over all trials (Wilson 1927), because two people who happen to
        be equally good do not make a figure certain. Of one person it is Wilson's alone, and too narrow.
        """
        people: dict[str, list[Scores]] = {}
        for entry in self.entries:
            people.setdefault(entry.subject, []).append(entry.trial)
        over_people = t_interval([float(np.mean([s.accuracy for s in one])) for one in people.values()])
        over_trials = wilson_interval(self.accuracy(True).mean, self.n_trials)
        low, high = zip(over_trials, over_people or over_trials, strict=True)
        return max(0.0, min(low)), min(1.0, max(high))

    @property
    def n_trials(self) -> int:
        """Tested trials of all people."""
        return sum(entry.trial.n for entry in self.entries)

    @property
    def chance(self) -> float:
        """Share of the tested trials that always answering their most frequent class names right."""
        counts = np.sum(self.confusion("trial"), axis=1)
        return float(counts.max() / counts.sum())

    def confusion(self, unit: str) -> list[list[int]]:
        """Return counts [class][answer] of the row's unit, or of trials, over all people and sessions."""
        scores = [entry.trial if unit == "trial" else self.scores(entry) for entry in self.entries]
        return [[int(n) for n in counts] for counts in np.sum([s.confusion for s in scores], axis=0)]

    @property
    def units(self) -> tuple[str, ...]:
        """The row's unit, and trials."""
        return tuple(dict.fromkeys((self.unit, "trial")))

    def to_dict(self) -> dict[str, Any]:
        """Return the row with the keys of the JSON."""
        summary, (paper_mean, paper_sd) = self.accuracy(), shares(self.paper)
        values = (
            self.model,
            self.pretrained,
            self.labels,
            self.mask,
            summary.mean,
            summary.sd,
            paper_mean,
            paper_sd,
        )
        return dict(zip(_ROW_KEYS, values, strict=True))


@dataclass(frozen=True, eq=False)
class Table:
    """A paper's table as it came out here; figures are shares, not per cent."""

    title: str
    protocol: str
    rows: tuple[Row, ...]
    label_names: tuple[str, ...]
    excluded: tuple[Excluded, ...] = ()
    differs: tuple[str, ...] = ()  # from the paper, a sentence each
    quick: bool = False
    generated: bool = False
    unit: str = "window"
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def has_paper(self) -> bool:
        """Tell whether a paper's figure stands beside any row."""
        return any(row.paper is not None for row in self.rows)

    @property
    def chance(self) -> float:
        """Of the first row; others differ only where they are of fewer people or trials."""
        return self.rows[0].chance

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "protocol": self.protocol,
            "unit": self.unit,
            "rows": [row.to_dict() for row in self.rows],
            "subjects": [_subject(row, entry) for row in self.rows for entry in row.entries],
            "left_out": [{"subject": entry.subject, "why": entry.why} for entry in self.excluded],
            "quick": self.quick,
            "generated": self.generated,
            "trials": [_trials(row) for row in self.rows],
            "intervals": INTERVALS,
            "confusion": {
                "labels": list(self.label_names),
                "rows": [
                    {"model": row.name, "unit": unit, "counts": row.confusion(unit)}
                    for row in self.rows
                    for unit in row.units
                ],
            },
            "differs": list(self.differs),
            "notes": list(self.notes),
        }

    def marks(self) -> str:
        """Return what has to stand beside every figure, or nothing."""
        marks = (("GENERATED DATA", self.generated), ("QUICK: few people and epochs", self.quick))
        return ", ".join(text for text, there in marks if there)


def mean_of(row: Row, key: str) -> float:
    """Return the mean over people of one of the `Scores` of a row's unit."""
    return summarise({(e.subject, e.session): getattr(row.scores(e), key) for e in row.entries}).mean


def shares(figure: Figure | None) -> tuple[float | None, float | None]:
    """Return a paper's per cent as shares."""
    if figure is None:
        return None, None
    mean, sd = figure
    return mean / 100, None if sd is None else sd / 100


def _trials(row: Row) -> dict[str, Any]:
    """Return a row's figures per trial."""
    low, high = row.trial_interval()
    return {
        "model": row.name,
        "accuracy": row.accuracy(True).mean,
        "low": low,
        "high": high,
        "chance": row.chance,
        "n_trials": row.n_trials,
    }


def _subject(row: Row, entry: Entry) -> dict[str, Any]:
    scores = row.scores(entry)
    return {
        "subject": entry.subject,
        "session": entry.session,
        "model": row.name,
        "accuracy": scores.accuracy,
        "balanced_accuracy": scores.balanced_accuracy,
        "macro_f1": scores.macro_f1,
        "nll": scores.nll,
        "ece": scores.ece,
        "classes_seen": entry.classes_seen,
        "paper_accuracy": entry.paper_accuracy,
    }
