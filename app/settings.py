"""Where the program keeps what a person chose, and where it puts recordings."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import platformdirs

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
