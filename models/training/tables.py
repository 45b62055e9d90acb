"""Outcomes of single sessions gathered into a paper's table: our figures beside the paper's."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from models.datasets.types import LeftOut
from models.training.confusion import CONFUSION_FILE, pooled_confusion, write_confusions
from models.training.paper_figures import Figure
from models.training.scores import Scores, Summary, summarise, wilson_interval

CSV_FILE, JSON_FILE, DETAILS_FILE, PLOT_FILE = "table.csv", "table.json", "README.md", "table.png"
_ROW_KEYS = ("model", "pretrained", "labels", "mask", "mean", "sd", "paper_mean", "paper_sd")


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
        """Return the 95 % interval of the accuracy over all trials of all people."""
        n = sum(entry.trial.n for entry in self.entries)
        right = sum(entry.trial.accuracy * entry.trial.n for entry in self.entries)
        return wilson_interval(right / n, n)

    def to_dict(self) -> dict[str, Any]:
        """Return the row with the keys of the JSON."""
        summary, (paper_mean, paper_sd) = self.accuracy(), _shares(self.paper)
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
    left_out: tuple[LeftOut, ...] = ()
    differs: tuple[str, ...] = ()  # from the paper, a sentence each
    quick: bool = False
    generated: bool = False
    unit: str = "window"
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def has_paper(self) -> bool:
        """Tell whether a paper's figure stands beside any row."""
        return any(row.paper is not None for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "protocol": self.protocol,
            "unit": self.unit,
            "rows": [row.to_dict() for row in self.rows],
            "subjects": [_subject(row, entry) for row in self.rows for entry in row.entries],
            "left_out": [{"subject": entry.subject, "why": entry.why} for entry in self.left_out],
            "quick": self.quick,
        }

    def marks(self) -> str:
        """Return what has to stand beside every figure, or nothing."""
        marks = (("GENERATED DATA", self.generated), ("QUICK: few people and epochs", self.quick))
        return ", ".join(text for text, there in marks if there)

    def cells(self) -> tuple[tuple[str, ...], list[list[str]]]:
        """Return the header and the rows in words; figures in per cent."""
        return _HEADER, [self._cells(row) for row in self.rows]

    def short_cells(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return header and rows that a terminal has room for."""
        names: tuple[str, ...] = ("paper % (SD)", "per trial [95 %]")
        if not self.has_paper:
            names = ("per trial [95 %]", "balanced", "macro-F1", "NLL", "ECE")
        picks = [_HEADER.index(name) for name in ("accuracy % (SD)", *names, "people")]
        header = ("model", f"% per {self.unit} (SD)", *(name.replace(" % (SD)", " (SD)") for name in names))
        return (*header, "people"), [(row.name, *(self._cells(row)[at] for at in picks)) for row in self.rows]

    def confusion(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return header and rows of the first row's trials: classes by answers."""
        counts = pooled_confusion(self.rows[0], "trial")
        rows = [(name, *map(str, line)) for name, line in zip(self.label_names, counts, strict=True)]
        return ("", *self.label_names), rows

    def write(self, folder: Path, *, by_subject: bool = False) -> list[Path]:
        """Write two CSV files, JSON, the table in words and a bar plot; returns their paths.

        ``by_subject`` draws every person's bars in place of the means.

        Raises
        ------
        InputError
            If the folder cannot be written.
        """
        from models.training.table_plot import draw_subjects, draw_table

        names = (CSV_FILE, JSON_FILE, DETAILS_FILE, PLOT_FILE, CONFUSION_FILE)
        paths = [folder / name for name in names]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with paths[0].open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(self._csv_row(self.rows[0])))
                writer.writeheader()
                writer.writerows(self._csv_row(row) for row in self.rows)
            paths[1].write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
            paths[2].write_text(self.words(), encoding="utf-8")
            (draw_subjects if by_subject else draw_table)(self, paths[3])
            write_confusions(self.rows, self.label_names, paths[4])
        except OSError as error:
            raise InputError(
                f"the folder cannot be written: {error.strerror}", where=f"--out {folder}"
            ) from error
        return paths

    def _csv_row(self, row: Row) -> dict[str, Any]:
        by_trial, summary, (low, high) = row.accuracy(True), row.accuracy(), row.trial_interval()
        return row.to_dict() | {
            "n_subjects": summary.n_subjects,
            "n_sessions": summary.n_sessions,
            "pooled_mean": summary.pooled_mean,
            "pooled_sd": summary.pooled_sd,
            "trial_mean": by_trial.mean,
            "trial_sd": by_trial.sd,
            "trial_low": low,
            "trial_high": high,
            **{key: _mean(row, key) for key in ("balanced_accuracy", "macro_f1", "nll", "ece")},
            "marks": self.marks(),
        }

    def words(self) -> str:
        """Return the table as Markdown, with what differs from the paper."""
        lines = [f"# {self.title}", "", *([f"**{self.marks()}**", ""] if self.marks() else [])]
        lines += [self.protocol, "", *_markdown(*_without_empty(*self.cells()))]
        differs = [("What differs from the paper", self.differs)] if self.differs or self.has_paper else []
        for heading, sentences in (
            *differs,
            ("Classes and notes", self.notes),
            ("Left out", [f"subject {entry.subject}: {entry.why}" for entry in self.left_out]),
        ):
            lines += ["", f"## {heading}", *(f"- {sentence}" for sentence in sentences or ["nothing"])]
        lines += ["", f"## Trials of each class (rows) by answer: {self.rows[0].name}", ""]
        return "\n".join([*lines, *_markdown(*self.confusion()), ""])

    def _cells(self, row: Row) -> list[str]:
        summary, by_trial, (low, high) = row.accuracy(), row.accuracy(True), row.trial_interval()
        paper_mean, paper_sd = _shares(row.paper)
        return [
            row.model,
            "yes" if row.pretrained else "",
            row.labels,
            f"{row.mask:.0%}" if row.mask else "",
            _percent(summary.mean, summary.sd),
            "" if paper_mean is None else _percent(paper_mean, paper_sd),
            _percent(summary.pooled_mean, summary.pooled_sd),
            f"{100 * by_trial.mean:.1f} [{100 * low:.0f}, {100 * high:.0f}]",
            f"{100 * _mean(row, 'balanced_accuracy'):.1f}",
            f"{_mean(row, 'macro_f1'):.2f}",
            f"{_mean(row, 'nll'):.2f}",
            f"{_mean(row, 'ece'):.2f}",
            str(summary.n_subjects),
        ]


_HEADER = (
    "model", "pre-trained", "labels", "mask", "accuracy % (SD)", "paper % (SD)", "sessions pooled",
    "per trial [95 %]", "balanced", "macro-F1", "NLL", "ECE", "people",
)  # fmt: skip


def _shares(figure: Figure | None) -> tuple[float | None, float | None]:
    """Return a paper's per cent as shares."""
    if figure is None:
        return None, None
    mean, sd = figure
    return mean / 100, None if sd is None else sd / 100


def _mean(row: Row, key: str) -> float:
    return summarise({(e.subject, e.session): getattr(row.scores(e), key) for e in row.entries}).mean


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


def _percent(mean: float, sd: float | None) -> str:
    return f"{100 * mean:.1f}" + ("" if sd is None else f" ({100 * sd:.1f})")


def _without_empty(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], list[list[str]]]:
    """Return the columns in which any row holds something."""
    kept = [at for at in range(len(header)) if any(row[at] for row in rows)]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
