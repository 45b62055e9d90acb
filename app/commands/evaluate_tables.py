"""What evaluate prints of simulated people, generated sets and acted speech."""

from __future__ import annotations

from typing import Any

from rich.table import Table


def generated_table(result: dict[str, Any]) -> Table:
    """Return the accuracies on generated sets."""
    quick = " QUICK RUN, not a result." if result["quick"] else ""
    n_sets, n_people = len(result["seeds"]), result["n_subjects"]
    table = Table(
        title=f"GENERATED DATA, {n_sets} sets of {n_people} people; accuracy per window, chance "
        f"{result['chance']:.0%}.{quick}",
        title_justify="left",
    )
    for column in ("", "mean", "SD over people", "SD over sets"):
        table.add_column(column, no_wrap=True)
    for row in result["rows"]:
        spread = ["" if row[key] is None else f"{100 * row[key]:.1f}" for key in ("sd", "sd_seeds")]
        table.add_row(row["row"], f"{row['mean']:.1%}", *spread)
    low, high = result["lda_eeg_from_to"]
    table.caption = f"Difficulty is set so that LDA on EEG is between {low:.0%} and {high:.0%}."
    return table


def directions_table(result: dict[str, Any]) -> Table:
    """Return which directions of the tables show."""
    table = Table(title="differences by person, 95 % t interval", title_justify="left")
    for column in ("direction", "points", "interval", ""):
        table.add_column(column)
    for one in result["directions"]:
        low, high = one["interval"]
        words = "shown" if one["shown"] else "refuted" if one["refuted"] else "not shown"
        table.add_row(
            one["claim"], f"{100 * one['difference']:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}", words
        )
    return table


def speech_table(result: dict[str, Any]) -> Table:
    """Return the accuracies on acted speech, by speaker."""
    quick = " QUICK RUN, not a result." if result["quick"] else ""
    table = Table(
        title=f"balanced accuracy, mean over speakers; chance {result['chance']:.0%}.{quick}\n"
        + result["protocol"],
        title_justify="left",
    )
    ours, speakers = result["ours"], list(result["ours"]["speakers"])
    for column in ("", "mean", "95 % interval", "pooled", *speakers):
        table.add_column(column)
    rows = {"ours": ours, **ours["parts"]}
    rows |= {key: result[key] for key in ("reference", "reference_transductive") if result[key]}
    for name, scores in rows.items():
        interval = scores["interval"]
        table.add_row(
            name.replace("_", " "),
            f"{scores['mean']:.3f}",
            "one speaker" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
            f"{scores['pooled']:.3f}",
            *(f"{scores['speakers'][speaker]:.2f}" for speaker in speakers),
        )
    return table


def confusion_table(result: dict[str, Any]) -> Table:
    """Return the counts of emotions by answer."""
    table = Table(title="ours: clips of each emotion (rows) by answer", title_justify="left")
    for column in ("", *result["labels"]):
        table.add_column(column)
    for label, counts in zip(result["labels"], result["ours"]["confusion"], strict=True):
        table.add_row(label, *map(str, counts))
    return table


def simulated_table(result: dict[str, Any]) -> Table:
    """Return the accuracies on simulated people."""
    table = Table(
        title=f"{result['n_subjects']} unseen simulated subjects, {result['n_trials']} trials, "
        f"{result['n_windows']} windows; chance {result['chance']:.0%}",
        title_justify="left",
    )
    for column in ("modalities", "per trial", "95 % interval", "per window"):
        table.add_column(column, no_wrap=True)
    _add_row(table, "all four", result["all"], result["interval"]["all"], result["all_window"])
    titles = {
        "only": "{} alone",
        "without": "without {}",
        "channels": "EEG alone, {} ch",
        "channels_with_all": "all four, {} ch EEG",
    }
    for group, title in titles.items():
        for key, accuracy in result[group].items():
            window = result[f"{group}_window"][key]
            _add_row(table, title.format(key), accuracy, result["interval"][group][key], window)
    return table


def attention_table(result: dict[str, Any]) -> Table:
    """Return how the attention moves."""
    table = Table(title="attention by modality: a model weight, not a cause", title_justify="left")
    for column in ("modality", "mean", "SD over windows", "change when it is noise"):
        table.add_column(column, no_wrap=True)
    for modality, moved in result["attention"].items():
        table.add_row(
            modality, f"{moved['mean']:.2f}", f"{moved['sd']:.2f}", f"{moved['change_by_noise']:+.2f}"
        )
    return table


def _add_row(table: Table, title: str, trial: float, interval: tuple[float, float], window: float) -> None:
    table.add_row(title, f"{trial:.1%}", f"{interval[0]:.0%} to {interval[1]:.0%}", f"{window:.1%}")
