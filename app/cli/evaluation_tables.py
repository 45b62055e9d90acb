"""Tables of what `affectscope evaluate` prints."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from app.tables import figures_table


def _quick(result: dict[str, Any]) -> str:
    return " Quick run, not a result." if result.get("quick") else ""


def label_tables(result: dict[str, Any]) -> Iterable[Table]:
    """Yield the table of what labels are worth, of `evaluate seed-iv|seed-v --protocol`."""
    rows = result["rows"]
    first = rows[0]
    title = (
        f"{'GENERATED DATA; ' if result['generated'] else ''}protocol {first['protocol']}, own labelled "
        f"trials: {first['labels']}; {len(first['subjects'])} subjects, {first['n_trials']} tested trials, "
        f"chance {first['chance']:.0%}.{_quick(result)}"
    )
    cells = [
        (
            row["model"], row["modalities"], f"{row['mean']:.1%}", interval_words(row["interval"]),
            f"{row['trial_mean']:.1%}", interval_words(row["trial_interval"]),
        )
        for row in rows
    ]  # fmt: skip
    yield figures_table(title, ("model", "given", "per window", "95 % CI", "per trial", "95 % CI "), cells)


def recordings_tables(result: dict[str, Any]) -> Iterable[Table]:
    first = result["rows"][0]
    title = (
        f"{first['protocol']}, level: {first['normalise']}; {first['n_subjects']} subjects, "
        f"{first['n_trials']} trials of {', '.join(result['labels'])}; "
        f"chance {first['chance']:.0%}.{_quick(result)}"
    )
    cells = [
        (row["model"], f"{row['mean']:.1%}", interval_words(row["interval"]), f"{row['balanced']:.1%}")
        for row in result["rows"]
    ]
    yield figures_table(title, ("model", "per trial", "95 % CI", "balanced"), cells)


def interval_words(interval: Sequence[float]) -> str:
    """Return for example ``51% to 68%``."""
    return f"{interval[0]:.0%} to {interval[1]:.0%}"


def voice_tables(result: dict[str, Any]) -> Iterable[Table]:
    speakers, rows = list(result["rows"][0]["speakers"]), []
    for row in result["rows"]:
        interval = row["interval"]
        rows.append(
            (
                row["model"],
                "own, transductive" if row["transductive"] else row["normalise"],
                f"{row['mean']:.3f}",
                "one speaker" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
                f"{row['pooled']:.3f}",
                *(f"{row['speakers'][speaker]:.2f}" for speaker in speakers),
            )
        )
    title = f"balanced accuracy, mean over speakers; chance {result['chance']:.0%}"
    columns = ("", "level", "mean", "95 % CI", "pooled", *speakers)
    yield figures_table(f"{title}\n{result['protocol']}", columns, rows, caption=result["caveat"])
    for row in result["rows"]:
        if row["model"] == "voice":
            counts = zip(result["labels"], row["confusion"], strict=True)
            yield figures_table(
                f"voice, level of {row['normalise']}: true (rows) by predicted (columns), clips",
                ("", *result["labels"]),
                [(label, *map(str, counted)) for label, counted in counts],
            )
