"""A table as bars: ours beside the paper's, or every person's as in the EAV paper's Figure 2."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.training.tables import Table

_OURS, _PAPER, _TRIALS = "#3b6ea8", "#b9b9b9", "#333333"
_SERIES = ("#3b6ea8", "#d98b3a", "#5d9e62", "#8a5fa8", "#a84b4b", "#7a6a55")


def draw_table(table: Table, path: Path) -> None:
    """Write a PNG of each row's accuracy: bars per window with the paper's beside, dots per trial, chance."""
    figure, axes = _figure(8.0, 1.4 + 0.42 * len(table.rows))
    for at, row in enumerate(table.rows):
        summary = row.accuracy()
        axes.barh(at, 100 * summary.mean, 0.4, color=_OURS, xerr=100 * summary.sd if summary.sd else None)
        by_trial, ends = 100 * row.accuracy(True).mean, [100 * end for end in row.trial_interval()]
        reach = [[max(0.0, by_trial - ends[0])], [max(0.0, ends[1] - by_trial)]]
        axes.errorbar(by_trial, at - 0.3, xerr=reach, fmt="o", color=_TRIALS, markersize=3, linewidth=1)
        if row.paper is not None:
            axes.barh(at + 0.4, row.paper[0], 0.32, color=_PAPER, xerr=row.paper[1])
    axes.axvline(100 * table.chance, color=_TRIALS, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(table.rows)), [row.name for row in table.rows], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    paper = "; grey: the paper" if table.has_paper else ""
    axes.set_xlabel(
        f"accuracy, %. Bars: per {_units(table)}, mean and SD over people{paper}\n"
        "dots: per trial, 95 % interval; dashed: always the most frequent class",
        fontsize=8,
    )
    _save(figure, axes, table, path)


def draw_subjects(table: Table, path: Path) -> None:
    """Write a PNG of every person's accuracy by model: the EAV paper's Figure 2.

    Where the paper has figures by person they stand beside ours, in a lighter shade.
    """
    people = sorted({entry.subject for row in table.rows for entry in row.entries}, key=int)
    has_paper = any(e.paper_accuracy is not None for row in table.rows for e in row.entries)
    width = (0.4 if has_paper else 0.8) / len(table.rows)
    figure, axes = _figure(max(6.0, 1.5 + 0.35 * len(people) * len(table.rows) / 2), 4.0)
    for number, row in enumerate(table.rows):
        ours = {entry.subject: 100 * row.scores(entry).accuracy for entry in row.entries}
        theirs = {e.subject: 100 * e.paper_accuracy for e in row.entries if e.paper_accuracy is not None}
        place = (2 * number if has_paper else number) + 0.5
        for shift, bars, label, alpha in (
            (0, ours, row.model, 1.0),
            (1, theirs, f"{row.model}: paper", 0.45),
        ):
            if bars:
                places = [people.index(subject) + (place + shift) * width - 0.4 for subject in bars]
                colour = _SERIES[number % len(_SERIES)]
                axes.bar(places, list(bars.values()), width, label=label, color=colour, alpha=alpha)
    axes.axhline(100 * table.chance, color=_TRIALS, linestyle="--", linewidth=1, label="most frequent class")
    axes.set_xticks(range(len(people)), people, fontsize=7)
    axes.set_ylim(0, 100)
    axes.set_xlabel("person")
    axes.set_ylabel(f"accuracy per {_units(table)}, %")
    axes.legend(fontsize=7, ncols=2)
    _save(figure, axes, table, path)


def _units(table: Table) -> str:
    return " or ".join(dict.fromkeys([table.unit, *(row.unit for row in table.rows)]))


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no display, no global state
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _save(figure: Any, axes: Any, table: Table, path: Path) -> None:
    figure.suptitle("\n".join(part for part in (table.title, table.marks()) if part), fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=130)
