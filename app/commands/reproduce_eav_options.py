"""Which options of reproduce are for which data set, and EAV's own put together."""

from __future__ import annotations

import enum
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
