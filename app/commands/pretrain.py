"""The command that pre-trains encoders without labels: pretrain."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import InputError
from app.commands import options as opt
from models.datasets.kinds import RECORDINGS


class Context(enum.StrEnum):
    """What a window's first step has before it."""

    WINDOW = "window"
    STREAMING = "streaming"


_QUICK_EPOCHS, _QUICK_WINDOWS, _QUICK_RATE = 3, 640, 1e-3
_Paths = list[Path] | None


def register(app: typer.Typer) -> None:
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
    from app.commands.stage_bars import StageBars, check_model_folder
    from app.model_loading import choose_device
    from models.training.corpus_sources import Source
    from models.training.distributed import joined_world
    from models.training.pretrain import PretrainOptions
    from models.training.pretrain import pretrain as run
    from models.training.pretrain_loop import LoopOptions

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
    for entry in done.corpus.left_out:
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
