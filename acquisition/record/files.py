"""The small files beside a recording, and the names of its parts and runs."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acquisition.errors import InputError


def status_path(recording: Path) -> Path:
    """Return where the supervisor writes the recording's state."""
    return recording.with_name(recording.name + ".status.json")


def stop_path(recording: Path) -> Path:
    """Return the file whose appearance stops the recording."""
    return recording.with_name(recording.name + ".stop")


def log_path(recording: Path) -> Path:
    """Return where the supervisor's and LabRecorder's own words go."""
    return recording.with_name(recording.name + ".log")


def sidecar_path(recording: Path) -> Path:
    """Return the BIDS-like JSON sidecar: ``a.xdf`` has ``a.json``."""
    return recording.with_suffix(".json")


def next_part_path(recording: Path) -> Path:
    """Return the next free ``…_part-02.xdf`` of a recording."""
    return _next_free(recording, "part")


def next_run_path(recording: Path) -> Path:
    """Return the next free ``…_run-02.xdf`` beside a recording."""
    return _next_free(recording, "run")


def _next_free(recording: Path, entity: str) -> Path:
    match = re.fullmatch(rf"(.*)_{entity}-(\d+)", recording.stem)
    stem, number = (match[1], int(match[2])) if match else (recording.stem, 1)
    while True:
        number += 1
        candidate = recording.with_name(f"{stem}_{entity}-{number:02d}{recording.suffix}")
        if not candidate.exists():
            return candidate


def write_sidecar(recording: Path, content: Mapping[str, Any]) -> Path:
    """Write ``content`` as the recording's JSON sidecar and return its path.

    Parameters
    ----------
    recording : Path
        The ``.xdf`` file; it need not exist yet.
    content : mapping
        Settings, model hash, screen geometry, notes: whatever JSON can hold, and paths.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    path = sidecar_path(recording)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    except OSError as error:
        raise InputError(
            f"the sidecar cannot be written: {error}", where=str(path), remedy="choose another folder"
        ) from error
    return path


def read_sidecar(recording: Path) -> dict[str, Any]:
    """Return the recording's sidecar, or an empty dictionary where it has none.

    Raises
    ------
    InputError
        If the sidecar is no JSON object.
    """
    path = sidecar_path(recording)
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the sidecar cannot be read: {error}", where=str(path), remedy="move it away"
        ) from error
    if not isinstance(content, dict):
        raise InputError("expected a JSON object", where=str(path), remedy="move it away")
    return content


def write_json(path: Path, content: Mapping[str, Any], durable: bool = False) -> None:
    """Replace ``path`` in one step, so that a reader never meets half a file.

    With ``durable`` the disk has it before this returns, so that a power cut leaves the old file or the new.
    """
    # A name of its own for each writer: two processes may write the same file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    text = json.dumps(content, indent=2, default=_as_json) + "\n"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)  # a full disk: half a file helps nobody
        raise
    for _ in range(20):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:  # Windows refuses while another process reads the old file
            time.sleep(0.01)
    os.replace(temporary, path)


def _as_json(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
