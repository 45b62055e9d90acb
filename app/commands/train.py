"""Command that makes the small model from simulated people: train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import InputError
from app.commands.stage_bars import StageBars, check_model_folder


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


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
        difficulty=difficulty_value(difficulty),
        seed=seed,
        n_jobs=jobs,
        epochs_scale=0.1 if quick else 1.0,
    )
    check_model_folder(out)
    with StageBars() as bars:
        sha256 = train_simulated(out, options, bars)
    print(f"{out}: trained on simulated data only, sha256 {sha256[:16]}")
    print(f"how good it is: affectscope evaluate --simulated --model {out}")


def difficulty_value(text: str) -> str | float:
    """Return an effect size where the text is a number, else the name."""
    try:
        return float(text)
    except ValueError:
        return text
