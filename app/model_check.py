"""Checks in a separate process whether a folder contains a model that loads, or has the starter model made.

The window loads no torch.
"""

import multiprocessing
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from acquisition.errors import ErrorCode, InputError, read_limited
from acquisition.text import parse_json
from calibration.storage import default_data_folder, default_weights_folder
from models.config import ModelConfig
from models.weights import is_installed

WEIGHTS_FILE = "model.safetensors"
_WITHIN_S = 60.0


def read_config(path: Path) -> ModelConfig:
    """Read a model's configuration without torch; refuse a folder without one, or of another version."""
    try:
        data = parse_json(read_limited(path / "config.json", inside=path))
        own = {key: value for key, value in data.items() if key not in ("discriminant", "weights_sha256")}
        return ModelConfig.from_dict(own, str(path))
    except (OSError, ValueError, AttributeError) as error:
        what = "this folder contains no model of Affectscope"
        remedy = "choose a folder with config.json and model.safetensors"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.MODEL) from error


def check_model(path: Path) -> None:
    """Load a model in another process, or refuse it; takes some seconds."""
    read_config(path)
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
