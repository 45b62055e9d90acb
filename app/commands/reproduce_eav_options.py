"""Which options of reproduce are for which data set, and EAV's own put together."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acquisition.errors import InputError

if TYPE_CHECKING:
    from models.training.reproduce_eav import EavOptions


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

_ONLY_SEED = {
    "--model": "EAV's encoders take no pre-trained model; --face-weights and --voice-weights name open ones",
    "--pretrain-epochs": "nothing is pre-trained for EAV",
    "--epochs": "each stage of EAV's training has its own number of epochs, less of each with --quick",
    "--freeze": "EAV's encoders are always trained alone first, and then frozen",
}
_PAPER_2 = "SEED's tables have neither face nor voice, and one size of network"
_ONLY_EAV = {
    "--keep-models": "SEED's classifiers are one a setting and session, and are not kept",
    "--preset": _PAPER_2,
    "--face-weights": _PAPER_2,
    "--voice-weights": _PAPER_2,
}


def check_given(is_eav: bool, given: Mapping[str, bool]) -> None:
    """Refuse options that mean nothing for the data set, instead of passing over them.

    Raises
    ------
    InputError
        With the first of them and why.
    """
    refused = _ONLY_SEED if is_eav else _ONLY_EAV
    for name, there in given.items():
        if there and name in refused:
            keeps = name == "--keep-models"
            remedy = "leave it out, or make one with affectscope finetune" if keeps else "leave it out"
            raise InputError(refused[name], where=name, remedy=remedy)


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
    from models.training.eav_network import EavNetwork
    from models.training.reproduce_eav import EavOptions

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
