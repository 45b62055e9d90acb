"""A table of accuracies as cells, Markdown, CSV, JSON and a plot."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from models.training.tables import INTERVALS, Row, Table, mean_of, shares

CSV_FILE, JSON_FILE, WORDS_FILE, PLOT_FILE = "table.csv", "table.json", "table.md", "table.png"
CONFUSION_FILE = "confusion.csv"
_CONFUSION_COLUMNS = ("model", "unit", "subject", "session", "class", "answer", "n")
_HEADER = (
    "model", "pre-trained", "labels", "mask", "% per trial [95 %]", "chance", "accuracy % (SD)",
    "paper % (SD)", "sessions pooled", "balanced", "macro-F1", "NLL", "ECE", "people",
)  # fmt: skip


def write_table(table: Table, folder: Path, *, by_subject: bool = False) -> list[Path]:
    """Write two CSV files, JSON, the table in words and a bar plot; returns their paths.

    ``by_subject`` draws every person's bars in place of the means.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    from models.training.table_plot import draw_subjects, draw_table

    paths = [folder / name for name in (CSV_FILE, JSON_FILE, WORDS_FILE, PLOT_FILE, CONFUSION_FILE)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with paths[0].open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(_csv_row(table, table.rows[0])))
            writer.writeheader()
            writer.writerows(_csv_row(table, row) for row in table.rows)
        paths[1].write_text(json.dumps(table.to_dict(), indent=2) + "\n", encoding="utf-8")
        paths[2].write_text(table_words(table), encoding="utf-8")
        (draw_subjects if by_subject else draw_table)(table, paths[3])
        _write_confusions(table, paths[4])
    except OSError as error:
        raise InputError(
            f"the folder cannot be written: {error.strerror}", where=f"--out {folder}", remedy="name another"
        ) from error
    return paths


def table_words(table: Table) -> str:
    """Return the table as Markdown, with what differs from the paper."""
    lines = [f"# {table.title}", "", *([f"**{table.marks()}**", ""] if table.marks() else [])]
    cells = [_cells(row) for row in table.rows]
    lines += [f"{table.protocol}; {INTERVALS}", "", *_markdown(*_without_empty(_HEADER, cells))]
    lines += ["", f"accuracy, balanced accuracy, macro-F1, NLL and ECE: per {table.unit}, mean of sessions"]
    differs = [("What differs from the paper", table.differs)] if table.differs or table.has_paper else []
    for heading, sentences in (
        *differs,
        ("Classes and notes", table.notes),
        ("Left out", [f"subject {entry.subject}: {entry.why}" for entry in table.left_out]),
    ):
        lines += ["", f"## {heading}", *(f"- {sentence}" for sentence in sentences or ["nothing"])]
    lines += ["", f"## Trials of each class (rows) by answer: {table.rows[0].name}", ""]
    return "\n".join([*lines, *_markdown(*confusion_cells(table)), ""])


def short_cells(table: Table) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows that a terminal has room for."""
    names = ("paper % (SD)",) if table.has_paper else ("balanced", "macro-F1", "NLL", "ECE")
    wanted = ("% per trial [95 %]", "chance", "accuracy % (SD)", *names, "people")
    picks = [_HEADER.index(name) for name in wanted]
    short = {"accuracy % (SD)": f"% per {table.unit} (SD)", "paper % (SD)": "paper (SD)"}
    header = ("model", *(short.get(name, name) for name in wanted))
    return header, [(row.name, *(_cells(row)[at] for at in picks)) for row in table.rows]


def confusion_cells(table: Table) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of the first row's trials: classes by answers."""
    counts = table.rows[0].confusion("trial")
    rows = [(name, *map(str, line)) for name, line in zip(table.label_names, counts, strict=True)]
    return ("", *table.label_names), rows


def _csv_row(table: Table, row: Row) -> dict[str, Any]:
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
        "chance": row.chance,
        **{key: mean_of(row, key) for key in ("balanced_accuracy", "macro_f1", "nll", "ece")},
        "marks": table.marks(),
    }


def _cells(row: Row) -> list[str]:
    """Return a row in words; figures in per cent."""
    summary, by_trial, (low, high) = row.accuracy(), row.accuracy(True), row.trial_interval()
    paper_mean, paper_sd = shares(row.paper)
    return [
        row.model,
        "yes" if row.pretrained else "",
        row.labels,
        f"{row.mask:.0%}" if row.mask else "",
        f"{100 * by_trial.mean:.1f} [{100 * low:.0f}, {100 * high:.0f}]",
        f"{100 * row.chance:.0f}",
        _percent(summary.mean, summary.sd),
        "" if paper_mean is None else _percent(paper_mean, paper_sd),
        _percent(summary.pooled_mean, summary.pooled_sd),
        f"{100 * mean_of(row, 'balanced_accuracy'):.1f}",
        f"{mean_of(row, 'macro_f1'):.2f}",
        f"{mean_of(row, 'nll'):.2f}",
        f"{mean_of(row, 'ece'):.2f}",
        str(summary.n_subjects),
    ]


def _percent(mean: float, sd: float | None) -> str:
    return f"{100 * mean:.1f}" + ("" if sd is None else f" ({100 * sd:.1f})")


def _write_confusions(table: Table, path: Path) -> None:
    """Write every person's counts as a long table: one line a class and answer."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_CONFUSION_COLUMNS)
        for row in table.rows:
            for entry in row.entries:
                for unit in row.units:
                    scores = entry.trial if unit == "trial" else row.scores(entry)
                    for name, counts in zip(table.label_names, scores.confusion, strict=True):
                        for answer, n in zip(table.label_names, counts, strict=True):
                            place = (row.name, unit, entry.subject, entry.session)
                            writer.writerow((*place, name, answer, int(n)))


def _without_empty(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], list[list[str]]]:
    """Return the columns in which any row holds something."""
    kept = [at for at in range(len(header)) if any(row[at] for row in rows)]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
