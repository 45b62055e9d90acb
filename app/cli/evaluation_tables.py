"""Tables of what `affectscope evaluate` prints."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from app.tables import figures_table


def _quick(result: dict[str, Any]) -> str:
    return " Quick run, not a result." if result.get("quick") else ""


def simulated_tables(result: dict[str, Any]) -> Iterable[Table]:
    """Yield the tables of `evaluate simulated`."""

    def row(name: str, trial: float, interval: tuple[float, float], window: float) -> tuple[str, ...]:
        return name, f"{trial:.1%}", _range(interval), f"{window:.1%}"

    rows = [row("all four", result["all"], result["interval"]["all"], result["all_window"])]
    if "windows" in result:
        values = result["windows"], result["interval"]["windows"], result["windows_window"]
        rows.append(row("single windows", *values))
    titles = {"only": "{} alone", "without": "without {}", "channels": "EEG alone, {} ch"}
    rows += [
        row(title.format(key), accuracy, result["interval"][group][key], result[f"{group}_window"][key])
        for group, title in titles.items()
        for key, accuracy in result.get(group, {}).items()
    ]
    title = (
        f"{result['n_subjects']} unseen simulated subjects, {result['n_trials']} trials, "
        f"{result['n_windows']} windows; chance {result['chance']:.0%}"
    )
    yield figures_table(title, ("modalities", "per trial", "95 % CI", "per window"), rows)
    yield figures_table("the answers by all four", ("figure", "value"), list(_of_answers(result)))


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
            row["model"], row["modalities"], f"{row['mean']:.1%}", _range(row["interval"]),
            f"{row['trial_mean']:.1%}", _range(row["trial_interval"]),
        )
        for row in rows
    ]  # fmt: skip
    yield figures_table(title, ("model", "given", "per window", "95 % CI", "per trial", "95 % CI "), cells)


def recordings_tables(result: dict[str, Any]) -> Iterable[Table]:
    """Yield the table of `evaluate recordings`."""
    first = result["rows"][0]
    title = (
        f"{first['protocol']}, level: {first['normalise']}; {first['n_subjects']} subjects, "
        f"{first['n_trials']} trials of {', '.join(result['labels'])}; "
        f"chance {first['chance']:.0%}.{_quick(result)}"
    )
    cells = [
        (row["model"], f"{row['mean']:.1%}", _range(row["interval"]), f"{row['balanced']:.1%}")
        for row in result["rows"]
    ]
    yield figures_table(title, ("model", "per trial", "95 % CI", "balanced"), cells)


def _range(interval: Sequence[float]) -> str:
    return f"{interval[0]:.0%} to {interval[1]:.0%}"


def _of_answers(result: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what the answers are worth, of `models.training.evaluate_simulated`."""
    settled = result.get("settled_interval")
    interval = f" ({_range(settled)})" if settled else ""
    yield "per trial, from the sixth on", f"{result['settled']:.1%}{interval}"
    yield "label changes a minute, emotion steady", f"{result['label_changes_per_minute']:.1f}"
    yield "median delay after a change", f"{result['delay_s']:.1f} s"
    yield "expected calibration error", f"{result['ece']:.3f}"
    if "answered" in result:
        for level in ("90", "80"):
            covered, size = result[f"coverage_{level}"], result[f"set_size_{level}"]
            yield f"{level} % sets hold the emotion", f"{covered:.1%} of the trials; {size:.1f} emotions"
        right = f"{result['right_when_answered']:.0%} of them right"
        yield "windows answered", f"{result['answered']:.0%}; {right}"
        right = f"{result['right_when_safe']:.0%} of them right"
        yield "windows safe to act upon", f"{result['safe']:.0%}; {right}"


def voice_tables(result: dict[str, Any]) -> Iterable[Table]:
    """Yield the tables of `evaluate voice`."""
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
