"""Checks in a separate process whether a folder contains a model that loads, or has the starter model made.

The window loads no torch.
"""

import multiprocessing
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from acquisition.errors import ErrorCode, InputError, read_limited
from acquisition.text import parse_json
from acquisition.types import MODALITIES
from calibration.storage import default_data_folder, default_weights_folder
from models.weights import is_installed

WEIGHTS_FILE = "model.safetensors"
_WITHIN_S = 60.0


@dataclass(frozen=True)
class ModelSummary:
    path: Path
    labels: tuple[str, ...]
    ch_names: tuple[str, ...]
    trained_on: str
    preset: str
    modalities: tuple[str, ...] = MODALITIES  # that it reads

    @property
    def n_channels(self) -> int:
        return len(self.ch_names)


def read_model_summary(path: Path) -> ModelSummary:
    """Read a model's description without loading it; refuse a folder that contains none."""
    try:
        config = parse_json(read_limited(path / "config.json", inside=path))
        return ModelSummary(
            path,
            tuple(map(str, config["labels"])),
            tuple(map(str, config["ch_names"])),
            str(config.get("trained_on", "")),
            str(config["network"]["preset"]),
            tuple(map(str, config.get("modalities", MODALITIES))),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = "this folder contains no model of Affectscope"
        remedy = "choose a folder with config.json and model.safetensors"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.MODEL) from error


def check_model(path: Path) -> ModelSummary:
    """Load a model in another process and return its description, or refuse it; takes some seconds."""
    summary = read_model_summary(path)
    context = multiprocessing.get_context("spawn")
    answer, far_end = context.Pipe(duplex=False)
    process = context.Process(target=_load, args=(path, far_end), name="model check", daemon=True)
    process.start()
    far_end.close()
    try:
        fault = answer.recv() if answer.poll(_WITHIN_S) else "it did not load in time"
    except EOFError:
        fault = "the process that tried to load it ended"
    finally:
        process.kill()
        process.join()
        answer.close()
    if fault:
        raise InputError(fault, where=str(path), remedy="choose another model", code=ErrorCode.MODEL)
    return summary


def make_starter(weights: str) -> Path:
    """Install weights unless they are there, build the starter model of them, and return its folder.

    By the commands that do it, in processes of their own; raises `InputError` with what they say.
    """
    folder = default_data_folder() / "models" / weights
    folder.parent.mkdir(parents=True, exist_ok=True)
    commands = [["model", "build", "--face", weights, "--out", str(folder)]]
    if not is_installed(weights, default_weights_folder()):
        commands.insert(0, ["weights", "install", weights])
    for command in commands:
        done = subprocess.run([sys.executable, "-m", "app", *command], capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().removeprefix("error: ") or f"exit code {done.returncode}"
            raise InputError(said, where=" ".join(command[:2]), code=ErrorCode.MODEL)
    return folder


def _load(path: Path, told: Connection) -> None:
    from models.checkpoint import load_checkpoint

    try:
        load_checkpoint(path)
    except InputError as error:
        told.send(error.what)
    except Exception as error:  # whatever is wrong with the folder has to reach the caller
        told.send(f"{type(error).__name__}: {error}")
    else:
        told.send("")
