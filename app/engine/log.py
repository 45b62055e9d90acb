"""Where an engine leaves what its user need not read: tracebacks, and the stack of a crash."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TextIO

from platformdirs import user_log_path

_PROGRAM = "affectscope"
_KEPT = 20  # logs of earlier engines


def log_path(pid: int) -> Path:
    """Return where the engine with this process id writes; the same in the window and in the engine."""
    return _folder() / f"engine-{pid}.log"


def open_log(pid: int) -> TextIO:
    """Begin the log of an engine, and throw the oldest logs away."""
    for old in sorted(_folder().glob("engine-*.log"), key=_age)[:-_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return log_path(pid).open("w", encoding="utf-8")


def remove_if_empty(pid: int) -> None:
    """Remove a log that nothing was written to."""
    path = log_path(pid)
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()


def _folder() -> Path:
    folder = user_log_path(_PROGRAM, appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written
        return Path(tempfile.gettempdir())
    return folder


def _age(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
