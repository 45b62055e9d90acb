"""The command that runs the papers' protocols and compares the results with theirs: reproduce."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from acquisition.errors import InputError
from app.cli import options as opt
from app.cli.groups import add, application, option, option_group
from app.tables import give_table, stage_bars

if TYPE_CHECKING:
    from models.training.tables import Draw, Table


_Folder = Annotated[Path, Argument(help="Where the data set was unpacked or generated.")]


@option_group("Run")
class RunOptions:
    out: Path | None = option(None, "Folder for CSV, JSON, text and plot.", show_default="DATASET-table-N")
    seed: int = option(0, "Training seed.", min=0)
    jobs: int = option(1, "Parallel processes, each for one subject and session.", min=1)
    dask: str | None = option(
        None, "Scheduler of a Dask cluster, e.g. tcp://host:8786, with workers in this checkout."
    )
    device: opt.Device = "auto"
    quick: bool = option(False, "Few subjects, windows and epochs; results are marked.", "--quick")
    as_json: opt.Json = False


@option_group("Training")
class SeedTraining:
    model: Path | None = option(
        None, "Model pre-trained on published features.", show_default="pre-trains one first"
    )
    pretrain_epochs: int | None = option(
        None, "Epochs of pre-training.", min=1, show_default="30, or 2 with --quick"
    )
    epochs: int | None = option(
        None, "Maximum number of fine-tuning epochs.", min=1, show_default="30, or 4 with --quick"
    )
    freeze: bool = option(False, "Freeze the pre-trained encoders.", "--freeze/--no-freeze")


_SeedTable = Annotated[int, Option(min=1, max=4, help="Table of the paper.")]


def seed_iv(folder: _Folder, table: _SeedTable, training: SeedTraining, run: RunOptions) -> int:
    """SEED-IV: tables 1 to 4 of Gao et al., MMV-SSTMA.

    \b
    Example:
      affectscope reproduce seed-iv s4 --table 2 --quick
    """
    return _seed("seed-iv", folder, table, training, run)


def seed_v(folder: _Folder, table: _SeedTable, training: SeedTraining, run: RunOptions) -> int:
    """SEED-V: tables 1 to 4 of Gao et al., MMV-SSTMA.

    \b
    Example:
      affectscope reproduce seed-v s5 --table 2 --quick
    """
    return _seed("seed-v", folder, table, training, run)


def _seed(dataset: str, folder: Path, table: int, training: SeedTraining, run: RunOptions) -> int:
    from app.model_loading import choose_device
    from models.training.finetune_config import FinetuneOptions

    tables = opt.from_checkout("studies.papers.reproduce")
    out = run.out or Path(f"{dataset}-table-{table}")
    options = tables.ReproduceOptions(
        dataset,
        folder,
        table,
        quick=run.quick,
        n_jobs=run.jobs,
        dask=run.dask,
        model=training.model,
        pretrain_epochs=training.pretrain_epochs,
        keep_pretrained=out / "pretrained" if training.model is None else None,
        device=choose_device(run.device),
        epochs=training.epochs,
        finetune=replace(FinetuneOptions(), freeze=training.freeze, seed=run.seed),
    )
    return _print(out, lambda bars: tables.reproduce(options, bars), run)


def eav(
    folder: _Folder,
    run: RunOptions,
    preset: Literal["small", "paper"] = option("small", "Size of the networks."),
    table: int | None = option(None, "Table I: accuracy by modality.", min=1, max=1),
    figure: int | None = option(None, "Figure 2: one group of bars per subject.", min=2, max=2),
) -> int:
    """EAV: Table I and Figure 2 of Yin et al., EEG, video and audio.

    \b
    Example:
      affectscope reproduce eav EAV --table 1 --figure 2 --out eav-table
    """
    from app.model_loading import choose_device

    if table is None and figure is None:
        raise InputError("expected a table or figure", where="reproduce eav", remedy="give --table 1")
    if run.device == "cuda" and (run.jobs > 1 or run.dask is not None):
        what = "on a GPU, EAV's subjects are trained one after another"
        raise InputError(what, where="--device cuda", remedy="omit --jobs and --dask")
    # Auto is the CPU: its processes train subjects in parallel.
    device = choose_device("cpu" if run.device == "auto" else run.device)
    tables = opt.from_checkout("studies.papers.eav")
    options = tables.EavOptions(folder, run.quick, run.seed, run.jobs, run.dask, preset, device)
    out = run.out or Path("eav-table-1")
    draw = None if figure is None else tables.draw_subjects
    return _print(out, lambda bars: tables.reproduce_eav(options, bars), run, draw)


def _print(
    out: Path, reproduce: Callable[[Callable[..., None]], Table], run: RunOptions, draw: Draw | None = None
) -> int:
    opt.check_writable(out)
    with stage_bars() as bars:
        found = reproduce(bars)
    return give_table(found, out, as_json=run.as_json, draw=draw)


reproduce = application(
    "reproduce",
    """Run a paper's protocol, and print the results next to the paper's. Needs a source checkout.

    \b
    Examples:
      affectscope reproduce seed-iv s4 --table 2 --quick
      affectscope reproduce eav EAV --table 1 --figure 2 --out eav-table
    """,
)
add(reproduce, seed_iv, seed_v, eav)
