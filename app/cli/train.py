"""Command that makes the small model from simulated people: train."""

from __future__ import annotations

import enum
import time
from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import InputError
from app.cli import options as opt
from app.cli.screen import StageBars, check_model_folder
from models.datasets.trials import RECORDINGS


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


class Layout(enum.StrEnum):
    """Whose layout is written."""

    SEED_IV = "seed-iv"
    SEED_V = "seed-v"
    EAV = "eav"


def register_dataset(app: typer.Typer) -> None:
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
    from models.datasets.make.seed import make_seed_iv, make_seed_v

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


class Context(enum.StrEnum):
    """What a window's first step has before it."""

    WINDOW = "window"
    STREAMING = "streaming"


_QUICK_EPOCHS, _QUICK_WINDOWS, _QUICK_RATE = 3, 640, 1e-3
_Paths = list[Path] | None


def register_pretrain(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(pretrain)


def pretrain(
    out: Annotated[Path, typer.Option(help="Folder for the model.", show_default=False)],
    seed_iv: Annotated[_Paths, typer.Option(help="SEED-IV's folder; may be repeated.")] = None,
    seed_v: Annotated[_Paths, typer.Option(help="SEED-V's folder; may be repeated.")] = None,
    eav: Annotated[_Paths, typer.Option(help="EAV's folder; may be repeated.")] = None,
    xdf: Annotated[_Paths, typer.Option(help="XDF recording, unlabelled; may be repeated.")] = None,
    raw: Annotated[_Paths, typer.Option(help="EEG file that MNE reads; may be repeated.")] = None,
    montage: opt.Montage = None,
    line: opt.Line = None,
    features: Annotated[
        opt.Features | None,
        typer.Option(help="raw where all folders hold raw EEG, else published.", show_default=False),
    ] = None,
    modalities: Annotated[
        str | None,
        typer.Option(help="eeg, eye or eeg,eye; what the data has without it.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes; 30, or 3 with --quick.", show_default=False)
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Windows a step, over all processes.")] = 64,
    mask: Annotated[float, typer.Option(help="Share of the channels that is hidden.")] = 0.3,
    lr: Annotated[
        float | None,
        typer.Option(min=1e-7, help="Largest rate; 1.5e-4, or 1e-3 with --quick.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, masks and order.")] = 1,
    context: Annotated[
        Context, typer.Option(help="streaming: the encoder is to run step by step.")
    ] = Context.WINDOW,
    quick: Annotated[bool, typer.Option("--quick", help="Few windows and passes, to try it out.")] = False,
    include_test: Annotated[
        bool,
        typer.Option("--include-test", help="Published test trials enter too; results are transductive."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run into the same folder stopped.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for feature steps; beside --out without it.", show_default=False),
    ] = None,
    device: opt.Device = "auto",
    compile_: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="Compile the network; on a GPU by default."),
    ] = None,
) -> None:
    """Pre-train the encoders of EEG and eye features without labels, by masked channels.

    Several GPUs or machines: torchrun --nproc-per-node 8 -m app pretrain ...

    Example: affectscope pretrain --seed-iv s4 --out m --quick
    """
    from app.cli.screen import StageBars, check_model_folder
    from app.model_loading import choose_device
    from models.training.pretrain import PretrainOptions
    from models.training.pretrain import pretrain as run
    from models.training.pretrain_loop import LoopOptions, joined_world
    from models.training.sources import Source

    given = {"seed-iv": seed_iv, "seed-v": seed_v, "eav": eav, "xdf": xdf, "raw": raw}
    if montage is not None and not (xdf or raw):
        raise InputError("only recordings are named by it", where="--montage", remedy="leave it out")
    chosen = choose_device(device)
    loop = LoopOptions(
        epochs=epochs or (_QUICK_EPOCHS if quick else 30),
        learning_rate=lr or (_QUICK_RATE if quick else 1.5e-4),
        checkpoint_every=10 if quick else 50,
        compiled=chosen == "cuda" if compile_ is None else compile_,
    )
    options = PretrainOptions(
        sources=tuple(
            Source(kind, path, montage if kind in RECORDINGS else None)
            for kind, paths in given.items()
            for path in paths or ()
        ),
        out=out,
        cache=cache,
        features=None if features is None else features.value,
        modalities=None if modalities is None else tuple(part.strip() for part in modalities.split(",")),
        batch=batch,
        mask=mask,
        seed=seed,
        include_test=include_test,
        resume=resume,
        quick=quick,
        context=context.value,
        most_a_pass=_QUICK_WINDOWS if quick else None,
        line_hz=line,
        loop=loop,
    )
    with joined_world(chosen) as world, StageBars() as bars:
        if world.is_first:
            check_model_folder(out)  # before hours of reading
        done = run(options, world, bars)
    if done is None:
        return
    for entry in done.corpus.excluded:
        typer.echo(f"left out: {entry.subject}: {entry.why}", err=True)
    for sentence in done.corpus.words():
        print(sentence)
    for modality, outcome in done.outcomes.items():
        print(
            f"{modality}: loss {outcome.losses[0]:.3f} in the first epoch, {outcome.losses[-1]:.3f} "
            f"in the last; {outcome.n_steps} steps, {outcome.seconds:.0f} s, "
            f"{outcome.windows_s:.0f} windows/s, {outcome.wait_share:.0%} of the time waiting for data"
        )
    said = (
        "test trials included: transductive" if include_test else f"{done.corpus.n_test} test trials left out"
    )
    print(f"{out}: pre-trained, not fine-tuned; {said}; sha256 {done.sha256[:16]}")
    print("next: affectscope finetune --model", out)
