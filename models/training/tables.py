"""Tables of accuracies over subjects, with a paper's beside: as JSON, CSV, Markdown and a plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.errors import file_errors
from acquisition.text import TableWriter, json_text
from models.datasets.trials import Excluded
from models.training.cards import markdown_table
from models.training.scores import Predictions, Scores, Summary, summarise, t_interval, wilson_interval

#: What a paper prints, in per cent: (mean, SD) over subjects; some print no SD.
Figure = tuple[float, float | None]
#: What the intervals of `Row.trial_interval` are.
INTERVALS = "95 % CI: the wider of t over subjects and Wilson over trials"
_OURS, _PAPER, CHANCE_COLOUR = "#3b6ea8", "#b9b9b9", "#333333"
CSV_FILE, JSON_FILE, WORDS_FILE, PLOT_FILE = "table.csv", "table.json", "table.md", "table.png"
CONFUSION_FILE = "confusion.csv"
_CONFUSION_COLUMNS = ("model", "unit", "subject", "session", "class", "answer", "n")
_FIGURES = ("balanced_accuracy", "macro_f1", "nll", "ece")  # of `Scores`, beside the accuracy
_HEADER = (
    "model", "pre-trained", "labels", "mask", "% per trial [95 %]", "chance", "accuracy % (SD)",
    "paper % (SD)", "sessions pooled", "balanced", "macro-F1", "NLL", "ECE", "subjects",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Entry:
    """Scores of one row on one subject's session."""

    subject: str
    session: int
    window: Scores
    trial: Scores
    classes_seen: int | None  # among the labels that trained; None where a model does not say
    paper_accuracy: float | None = None  # share; where the paper has figures by subject

    @classmethod
    def of(
        cls, predictions: Predictions, classes_seen: int | None, paper_accuracy: float | None = None
    ) -> Entry:
        """Score the predictions of one subject's session."""
        subject, session = str(predictions.subject[0]), int(predictions.session[0])
        scores = predictions.scores(), predictions.trial_scores()
        return cls(subject, session, *scores, classes_seen, paper_accuracy)


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
        """The name of the row, unique in its table."""
        parts = [self.model, "pre-trained" if self.pretrained else ""]
        parts.append("" if self.labels == "all" else f"labels: {self.labels}")
        parts.append(f"{self.mask:.0%} masked" if self.mask else "")
        return ", ".join(part for part in parts if part)

    def scores(self, entry: Entry) -> Scores:
        return entry.trial if self.unit == "trial" else entry.window

    def accuracy(self, of_trials: bool = False) -> Summary:
        """Return mean and SD of the accuracy over subjects."""
        return self._summary("accuracy", of_trials)

    def mean(self, key: str) -> float:
        """Return the mean over subjects of one of the `Scores` in the row's unit."""
        return self._summary(key).mean

    def _summary(self, key: str, of_trials: bool = False) -> Summary:
        found = [(e, e.trial if of_trials else self.scores(e)) for e in self.entries]
        return summarise({(e.subject, e.session): getattr(scores, key) for e, scores in found})

    def trial_interval(self) -> tuple[float, float]:
        """Return the 95 % interval of `accuracy` per trial.

        It reaches as far as the t interval over subjects, cut to 0-1, because trials of one subject are not
        independent, and as far as Wilson's over all trials (Wilson 1927), because two subjects may have equal
        scores by chance. Of one subject it is Wilson's alone, and too narrow.
        """
        by_subject: dict[str, list[Scores]] = {}
        for entry in self.entries:
            by_subject.setdefault(entry.subject, []).append(entry.trial)
        means = [float(np.mean([s.accuracy for s in own])) for own in by_subject.values()]
        over_subjects = t_interval(means)
        over_trials = wilson_interval(self.accuracy(True).mean, self.n_trials)
        low, high = zip(over_trials, over_subjects or over_trials, strict=True)
        return max(0.0, min(low)), min(1.0, max(high))

    @property
    def n_trials(self) -> int:
        return sum(entry.trial.n for entry in self.entries)

    @property
    def chance(self) -> float:
        """Share of the tested trials that always answering their most frequent class names right."""
        counts = np.sum(self.confusion("trial"), axis=1)
        return float(counts.max() / counts.sum())

    def confusion(self, unit: str) -> list[list[int]]:
        """Return counts [class][answer] of the row's unit, or of trials, over all subjects and sessions."""
        scores = [entry.trial if unit == "trial" else self.scores(entry) for entry in self.entries]
        return [[int(n) for n in counts] for counts in np.sum([s.confusion for s in scores], axis=0)]

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.unit, "trial")))

    def to_dict(self) -> dict[str, Any]:
        summary, (paper_mean, paper_sd) = self.accuracy(), shares(self.paper)
        return {
            **{name: getattr(self, name) for name in ("model", "pretrained", "labels", "mask")},
            "mean": summary.mean,
            "sd": summary.sd,
            "paper_mean": paper_mean,
            "paper_sd": paper_sd,
        }


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
        """Of the first row; others differ only where they are of fewer subjects or trials."""
        return self.rows[0].chance

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {
            "protocol": self.protocol,
            "unit": self.unit,
            "rows": [row.to_dict() for row in self.rows],
            "subjects": [
                {"subject": one.subject, "session": one.session, "model": row.name}
                | {key: getattr(row.scores(one), key) for key in ("accuracy", *_FIGURES)}
                | {"classes_seen": one.classes_seen, "paper_accuracy": one.paper_accuracy}
                for row in self.rows
                for one in row.entries
            ],
            "left_out": [{"subject": entry.subject, "why": entry.why} for entry in self.excluded],
            "quick": self.quick,
            "generated": self.generated,
            "trials": [
                {"model": row.name, "accuracy": row.accuracy(True).mean, "chance": row.chance}
                | dict(zip(("low", "high"), row.trial_interval(), strict=True), n_trials=row.n_trials)
                for row in self.rows
            ],
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

    @property
    def units(self) -> str:
        return " or ".join(dict.fromkeys([self.unit, *(row.unit for row in self.rows)]))

    def marks(self) -> str:
        """Return what has to stand beside every figure, or nothing."""
        marks = (("GENERATED DATA", self.generated), ("quick run, not a result", self.quick))
        return ", ".join(text for text, there in marks if there)


def shares(figure: Figure | None) -> tuple[float | None, float | None]:
    """Return a paper's per cent as shares."""
    if figure is None:
        return None, None
    mean, sd = figure
    return mean / 100, None if sd is None else sd / 100


#: Writes a PNG of a table.
Draw = Callable[[Table, Path], None]


def draw_table(table: Table, path: Path) -> None:
    """Write a PNG of each row's accuracy: bars per window with the paper's beside, dots per trial, chance."""
    figure, axes = new_figure(8.0, 1.4 + 0.42 * len(table.rows))
    for at, row in enumerate(table.rows):
        summary = row.accuracy()
        axes.barh(at, 100 * summary.mean, 0.4, color=_OURS, xerr=100 * summary.sd if summary.sd else None)
        by_trial, ends = 100 * row.accuracy(True).mean, [100 * end for end in row.trial_interval()]
        reach = [[max(0.0, by_trial - ends[0])], [max(0.0, ends[1] - by_trial)]]
        axes.errorbar(by_trial, at - 0.3, xerr=reach, fmt="o", color=CHANCE_COLOUR, markersize=3, linewidth=1)
        if row.paper is not None:
            axes.barh(at + 0.4, row.paper[0], 0.32, color=_PAPER, xerr=row.paper[1])
    axes.axvline(100 * table.chance, color=CHANCE_COLOUR, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(table.rows)), [row.name for row in table.rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    paper = "; grey: the paper" if table.has_paper else ""
    axes.set_xlabel(
        f"accuracy, %. Bars: per {table.units}, mean and SD over subjects{paper}\n"
        "dots: per trial, 95 % interval; dashed: always the most frequent class",
        fontsize=8,
    )
    save_figure(figure, axes, table, path)


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure in inches and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no display, no global state
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def save_figure(figure: Any, axes: Any, table: Table, path: Path) -> None:
    """Write a PNG with the table's title and marks."""
    figure.suptitle("\n".join(part for part in (table.title, table.marks()) if part), fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=130)


def write_table(table: Table, folder: Path, draw: Draw | None = None) -> list[Path]:
    """Write two CSV files, JSON, Markdown and a plot, `draw_table`'s or another; returns their paths."""
    paths = [folder / name for name in (CSV_FILE, JSON_FILE, WORDS_FILE, PLOT_FILE, CONFUSION_FILE)]
    with file_errors("the folder cannot be written", f"--out {folder}", "choose another"):
        folder.mkdir(parents=True, exist_ok=True)
        with paths[0].open("w", newline="", encoding="utf-8") as file:
            rows = [_csv_row(table, row) for row in table.rows]
            TableWriter(file).writerows([list(rows[0]), *(row.values() for row in rows)])
        paths[1].write_text(json_text(table.to_dict(), indent=2) + "\n", encoding="utf-8")
        paths[2].write_text(table_words(table), encoding="utf-8")
        (draw or draw_table)(table, paths[3])
        _write_confusions(table, paths[4])
    return paths


def table_words(table: Table) -> str:
    """Return the table as Markdown, with what differs from the paper."""
    lines = [f"# {table.title}", "", *([f"**{table.marks()}**", ""] if table.marks() else [])]
    columns = [column for column in zip(_HEADER, *map(_cells, table.rows), strict=True) if any(column[1:])]
    header, *cells = zip(*columns, strict=True)
    lines += [f"{table.protocol}; {INTERVALS}", "", markdown_table(header, cells)]
    lines += ["", f"accuracy, balanced accuracy, macro-F1, NLL and ECE: per {table.unit}, mean of sessions"]
    differs = [("What differs from the paper", table.differs)] if table.differs or table.has_paper else []
    for heading, sentences in (
        *differs,
        ("Classes and notes", table.notes),
        ("Excluded", [f"subject {entry.subject}: {entry.why}" for entry in table.excluded]),
    ):
        lines += ["", f"## {heading}", *(f"- {sentence}" for sentence in sentences or ["nothing"])]
    lines += ["", f"## Our confusion matrix, trials: true (rows) by predicted: {table.rows[0].name}", ""]
    return "\n".join([*lines, markdown_table(*confusion_cells(table)), ""])


def short_cells(table: Table) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows that a terminal has room for."""
    names = ("paper % (SD)",) if table.has_paper else ("balanced", "macro-F1", "NLL", "ECE")
    wanted = ("% per trial [95 %]", "chance", "accuracy % (SD)", *names, "subjects")
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
        **{name: getattr(summary, name) for name in ("n_subjects", "n_sessions", "pooled_mean", "pooled_sd")},
        "trial_mean": by_trial.mean,
        "trial_sd": by_trial.sd,
        "trial_low": low,
        "trial_high": high,
        "chance": row.chance,
        **{key: row.mean(key) for key in _FIGURES},
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
        _mean_sd(summary.mean, summary.sd),
        "" if paper_mean is None else _mean_sd(paper_mean, paper_sd),
        _mean_sd(summary.pooled_mean, summary.pooled_sd),
        f"{100 * row.mean('balanced_accuracy'):.1f}",
        *(f"{row.mean(key):.2f}" for key in ("macro_f1", "nll", "ece")),
        str(summary.n_subjects),
    ]


def _mean_sd(mean: float, sd: float | None) -> str:
    return f"{100 * mean:.1f}" + ("" if sd is None else f" ({100 * sd:.1f})")


def _write_confusions(table: Table, path: Path) -> None:
    """Write every subject's counts as a long table: one line a class and answer."""
    names = table.label_names
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.writerow(_CONFUSION_COLUMNS)
        for row, unit, entry in ((r, u, e) for r in table.rows for e in r.entries for u in r.units):
            confusion = (entry.trial if unit == "trial" else row.scores(entry)).confusion
            for (true, answer), n in zip(product(names, repeat=2), confusion.ravel().tolist(), strict=True):
                writer.writerow((row.name, unit, entry.subject, entry.session, true, answer, n))
