"""Commands that make models and judge them: train, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from acquisition.errors import InputError
from app.commands import options as opt
from app.commands.stage_bars import StageBars, check_writable
from assets import DEMO_MODEL


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(evaluate)


def train(
    out: Annotated[Path, typer.Option(help="Folder for the model.")] = Path("model"),
    simulated: Annotated[bool, typer.Option("--simulated", help="Train on simulated subjects.")] = False,
    subjects: Annotated[int, typer.Option(min=6, help="Simulated people.")] = 40,
    trials: Annotated[int, typer.Option(min=5, help="Trials of each.")] = 10,
    trial_s: Annotated[float, typer.Option(min=10, help="Length of a trial in seconds.")] = 24.0,
    difficulty: Annotated[str, typer.Option(help="easy, default, hard, none or an effect size.")] = "default",
    seed: Annotated[int, typer.Option(help="Of the training, not of the people.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the passes, to try it out.")] = False,
) -> None:
    """Train the small model; today on simulated subjects only.

    Example: affectscope train --simulated --out my-model
    """
    if not simulated:
        raise InputError(
            "nothing to train on", where="train", remedy="add --simulated to train on simulated people"
        )
    from models.training.simulated import TrainingOptions, train_simulated

    options = TrainingOptions(
        n_subjects=subjects,
        n_validation=max(2, subjects // 10),
        n_trials=trials,
        trial_s=trial_s,
        difficulty=_difficulty(difficulty),
        seed=seed,
        n_jobs=jobs,
        epochs_scale=0.1 if quick else 1.0,
    )
    check_writable(out)
    with StageBars() as bars:
        sha256 = train_simulated(out, options, bars)
    print(f"{out}: trained on simulated data only, sha256 {sha256[:16]}")
    print(f"how good it is: affectscope evaluate --simulated --model {out}")


def evaluate(
    simulated: Annotated[
        bool, typer.Option("--simulated", help="On simulated subjects that no training ever sees.")
    ] = False,
    model: opt.Model = None,
    subjects: Annotated[int, typer.Option(min=1, help="Simulated people.")] = 12,
    trials: Annotated[int, typer.Option(min=5, help="Trials of each.")] = 10,
    trial_s: Annotated[float, typer.Option(min=10, help="Length of a trial in seconds.")] = 24.0,
    difficulty: Annotated[str, typer.Option(help="easy, default, hard, none or an effect size.")] = "default",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that simulate.")] = 2,
    as_json: opt.Json = False,
) -> None:
    """Accuracy together, alone, with one modality missing and with fewer channels, beside chance.

    Example: affectscope evaluate --simulated
    """
    if not simulated:
        raise InputError(
            "nothing to evaluate on", where="evaluate", remedy="add --simulated for simulated people"
        )
    from models.checkpoint import load_checkpoint
    from models.training.evaluate import EvaluationOptions, evaluate_simulated

    checkpoint = load_checkpoint(model or DEMO_MODEL)
    options = EvaluationOptions(subjects, trials, trial_s, _difficulty(difficulty), jobs)
    with StageBars() as bars:
        result = evaluate_simulated(checkpoint, options, bars)
    if as_json:
        print(json.dumps(result))
    else:
        Console().print(_table(result))
        Console().print(_attention_table(result))


def _difficulty(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _table(result: dict[str, Any]) -> Table:
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


def _attention_table(result: dict[str, Any]) -> Table:
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
