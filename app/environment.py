"""Environment variables to set before torch and liblsl are loaded, exit codes, and default paths."""

import os
from collections.abc import Sized
from contextlib import suppress
from datetime import datetime
from enum import IntEnum
from pathlib import Path

import platformdirs

from acquisition.errors import ErrorCode
from acquisition.lsl.discovery import quiet_liblsl
from assets import LSL_CONFIG


class ExitCode(IntEnum):
    GOOD = 0
    INTERNAL_ERROR = 1
    WRONG_USE = 2  # or input that cannot be used
    DAMAGED_INPUT = 3  # it finished, but its input was damaged, or part of it had to be left out
    INTERRUPTED = 130

    @classmethod
    def of(cls, code: ErrorCode) -> "ExitCode":
        """Return the code of a command that an `InputError` ended."""
        return cls.DAMAGED_INPUT if code is ErrorCode.LOST else cls.WRONG_USE

    @classmethod
    def after(cls, damage: Sized) -> "ExitCode":
        """Return the code of a command that finished without what is ``damage``."""
        return cls.DAMAGED_INPUT if len(damage) else cls.GOOD


#: Commands that train on all cores and on which no stream waits.
TRAINING = ("train", "pretrain", "finetune", "reproduce", "evaluate")


def settle_environment(command: str = "") -> None:
    """Set the variables that libraries read once, where the user has not set them, for a command.

    And let nobody but the user read or write what is written from now on, by child processes too.
    """
    os.umask(0o077)
    # Waiting OpenMP threads must sleep, not spin (torch reads this when it is loaded): next to the acquire
    # thread and other programs, spinning turned a 12 ms forward pass into one of 60 ms and more. Training
    # consists of many short operations, and waking its threads for each of them took half as long again.
    if command not in TRAINING:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # matplotlib, where a library loads it, makes a folder of settings in HOME.
    os.environ.setdefault(
        "MPLCONFIGDIR", str(platformdirs.user_cache_path(_NAME, appauthor=False) / "matplotlib")
    )
    # liblsl reports every lost connection on stderr; what matters of it reaches the user in our words.
    quiet_liblsl(LSL_CONFIG)


def installed_version(package: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


_NAME = "affectscope"


def settings_path() -> Path:
    """Return the file of the window's settings; ``AFFECTSCOPE_SETTINGS`` names another one."""
    chosen = os.environ.get("AFFECTSCOPE_SETTINGS")
    return Path(chosen) if chosen else platformdirs.user_config_path(_NAME, appauthor=False) / "window.ini"


def recordings_folder() -> Path:
    """Return the folder that recordings go to unless another is chosen."""
    return platformdirs.user_documents_path() / "Affectscope"


def new_recording(folder: Path, now: datetime) -> Path:
    """Return a free path in ``folder`` named by date and time, e.g. 2026-03-01_14-05-09.xdf."""
    stem = now.strftime("%Y-%m-%d_%H-%M-%S")
    path, number = folder / f"{stem}.xdf", 2
    while path.exists():
        path, number = folder / f"{stem}_{number}.xdf", number + 1
    return path
