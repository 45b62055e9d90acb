"""Which options of reproduce are for which data set, and EAV's own put together."""

from __future__ import annotations

import enum
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acquisition.errors import InputError
from app.cli import options as opt
from app.cli.options import refuse_others
from app.cli.screen import StageBars, check_writable, show_table

if TYPE_CHECKING:
    from models.papers.eav import EavOptions


class Preset(enum.StrEnum):
    """Sizes of a network."""

    SMALL = "small"
    PAPER = "paper"


PresetOption = Annotated[
    Preset | None,
    typer.Option("--preset", help="EAV: sizes of the network; small without it.", show_default=False),
]
FaceWeights = Annotated[
    str | None,
    typer.Option(help="EAV: ViT to begin with, a folder or Hugging Face hub name.", show_default=False),
]
VoiceWeights = Annotated[
    str | None,
    typer.Option(help="EAV: AST to begin with, a folder or Hugging Face hub name.", show_default=False),
]

#: Why options of SEED's tables mean nothing for EAV, by parameter.
NOT_FOR_EAV = {
    "model": "EAV's encoders take no pre-trained model; --face-weights and --voice-weights name open ones",
    "pretrain_epochs": "nothing is pre-trained for EAV",
    "epochs": "each stage of EAV's training has its own number of epochs, less of each with --quick",
    "freeze": "EAV's encoders are always trained alone first, and then frozen",
}
_PAPER_2 = "SEED's tables have neither face nor voice, and one size of network"
#: Why options of EAV mean nothing for SEED's tables.
NOT_FOR_SEED = {
    "keep_models": "SEED's classifiers are one a setting and session, and are not kept; "
    "affectscope finetune makes one",
    "preset": _PAPER_2,
    "face_weights": _PAPER_2,
    "voice_weights": _PAPER_2,
}


def eav_options(
    folder: Path,
    quick: bool,
    seed: int,
    jobs: int,
    dask: str | None,
    models: Path | None,
    preset: Preset | None,
    face_weights: str | None,
    voice_weights: str | None,
    device: str = "auto",
) -> EavOptions:
    """Return what is run; open weights are loaded once, or downloaded, to see that they are of use.

    ``device`` auto is the CPU: its processes train people side by side.

    Raises
    ------
    InputError
        They are not, or the device is not there or is shared by processes.
    """
    from app.model_loading import choose_device
    from models.papers.eav import EavOptions
    from models.papers.eav_network import EavNetwork

    if device == "cuda" and (jobs > 1 or dask is not None):
        raise InputError(
            "EAV's people train one after another on a GPU",
            where="--device cuda",
            remedy="leave out --jobs and --dask",
        )
    device = choose_device("cpu" if device == "auto" else device)
    for name, weights in (("--face-weights", face_weights), ("--voice-weights", voice_weights)):
        if weights == "":
            raise InputError("expected a folder or a hub name, got nothing", where=name)
    network = EavNetwork((preset or Preset.SMALL).value, face_weights or "", voice_weights or "")
    network.check_weights()
    return EavOptions(folder, quick, seed, jobs, dask, models, network, device)


class Dataset(enum.StrEnum):
    """Whose tables."""

    SEED_IV = "seed-iv"
    SEED_V = "seed-v"
    EAV = "eav"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reproduce)


def reproduce(
    context: typer.Context,
    dataset: Annotated[Dataset, typer.Argument(help="Which data set.")],
    folder: Annotated[Path, typer.Argument(help="Where it was unpacked or generated.")],
    table: Annotated[int | None, typer.Option(help="Of its paper: 1 to 4 for SEED, 1 for EAV.")] = None,
    figure: Annotated[
        int | None, typer.Option(help="EAV: 2, every person as bars.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for CSV, JSON, words and plot.", show_default=False)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="SEED: pre-trained already on published features; else it is done first.", show_default=False
        ),
    ] = None,
    pretrain_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="SEED: of the pre-training; 30, or 2 with --quick.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="SEED: of fine-tuning, at most; 30, or 4 with --quick.", show_default=False),
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze/--no-freeze", help="SEED: keep pre-trained encoders as they are.")
    ] = False,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="EAV: keep each person's model, under OUT/models.")
    ] = False,
    preset: PresetOption = None,
    face_weights: FaceWeights = None,
    voice_weights: VoiceWeights = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes, a person and session each.")] = 1,
    dask: Annotated[
        str | None,
        typer.Option(help="Scheduler of a Dask cluster, e.g. tcp://host:8786.", show_default=False),
    ] = None,
    device: opt.Device = "auto",
    quick: Annotated[
        bool, typer.Option("--quick", help="Few people, windows and epochs; marked so.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Run a paper's protocol and print our figures beside the paper's.

    seed-iv and seed-v: tables 1 to 4 of Gao et al., MMV-SSTMA.

    eav: Table I and Figure 2 of the EEG, video and audio paper (Yin et al.).

    Examples:

      affectscope reproduce seed-iv s4 --table 2 --quick

      affectscope reproduce eav EAV --table 1 --figure 2 --out eav-table
    """
    from models.training.tables import write_table

    if table is None and figure is None:
        raise InputError("expected a table", where="--table", remedy="give --table 1")
    not_for_it = NOT_FOR_EAV if dataset is Dataset.EAV else NOT_FOR_SEED
    refuse_others(context, f"reproduce {dataset.value}", not_for_it)
    out = out or Path(f"{dataset.value}-table-{table or 1}")
    check_writable(out)
    if dataset is Dataset.EAV:
        from models.papers.eav import MODELS_FOLDER, reproduce_eav

        _only(table, (None, 1), "--table")
        _only(figure, (None, 2), "--figure")
        models = out / MODELS_FOLDER if keep_models else None
        people = folder, quick, seed, jobs, dask, models
        eav = eav_options(*people, preset, face_weights, voice_weights, device)
        with StageBars() as bars:
            found = reproduce_eav(eav, bars)
    else:
        with StageBars() as bars:
            from app.model_loading import choose_device
            from models.papers.reproduce import ReproduceOptions
            from models.papers.reproduce import reproduce as run
            from models.training.finetune_config import FinetuneOptions

            _only(figure, (None,), "--figure")
            options = ReproduceOptions(
                dataset.value,
                folder,
                table or 0,
                quick,
                jobs,
                dask,
                model,
                pretrain_epochs,
                out / "pretrained" if model is None else None,
                choose_device(device),
                epochs,
                replace(FinetuneOptions(), freeze=freeze, seed=seed),
            )
            found = run(options, bars)
    paths = write_table(found, out, by_subject=figure is not None)
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    show_table(found)
    print(f"written: {', '.join(str(path) for path in paths)}")


def _only(found: int | None, allowed: tuple[int | None, ...], where: str) -> None:
    if found not in allowed:
        expected = " or ".join(str(number) for number in allowed if number) or "none"
        raise InputError(f"expected {expected} for this data set, found {found}", where=where)
