"""The command that generates data in a published set's layout: make-dataset."""

from __future__ import annotations

import enum
import time
from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import InputError


class Layout(enum.StrEnum):
    """Whose layout is written."""

    SEED_IV = "seed-iv"
    SEED_V = "seed-v"
    EAV = "eav"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(make_dataset)


def make_dataset(
    layout: Annotated[Layout, typer.Argument(help="Whose layout.")],
    folder: Annotated[Path, typer.Argument(help="An empty or new folder.")],
    subjects: Annotated[int, typer.Option(min=1, help="Made-up people.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same data.")] = 0,
    difficulty: Annotated[str, typer.Option(help="easy, default, hard, none or an effect size.")] = "default",
    trials: Annotated[
        int | None, typer.Option(help="Trials of a session; as published without it, EAV 40.")
    ] = None,
    trial_s: Annotated[
        float | None,
        typer.Option(help="Length of a trial; 100 s without it, 44 s with --raw, EAV 20 s."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="SEED-IV: raw EEG too, about 60 MB a subject more.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Generate data in the very layout of a published set, to try loaders, training and tables.

    Example: affectscope make-dataset seed-iv s4 --subjects 3 --raw
    """
    from models.datasets.make.eav import make_eav
    from models.datasets.make.options import MakeOptions
    from models.datasets.make.seed_iv import make_seed_iv
    from models.datasets.make.seed_v import make_seed_v

    make = {Layout.SEED_IV: make_seed_iv, Layout.SEED_V: make_seed_v, Layout.EAV: make_eav}[layout]
    options = MakeOptions(folder, subjects, seed, _difficulty(difficulty), trials, trial_s, raw, jobs)
    began = time.monotonic()
    try:
        make(options, lambda n_done: typer.echo(f"subject {n_done} of {subjects}", err=True))
    except OSError as error:
        raise InputError(
            f"the folder is half-written: {error.strerror or error}",
            where=str(folder),
            remedy="delete it, make room or name another, and begin again",
        ) from error
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(
        f"{folder}: generated, nobody was measured; {subjects} subjects in the layout of {layout.value}, "
        f"{size / 1e6:.0f} MB, {time.monotonic() - began:.0f} s"
    )


def _difficulty(text: str) -> str | float:
    from acquisition.simulator.subject import effect_size

    try:
        effect_size(text)
    except InputError as error:
        raise InputError(error.what, where="--difficulty", remedy=error.remedy) from error
    try:
        return float(text)
    except ValueError:
        return text
