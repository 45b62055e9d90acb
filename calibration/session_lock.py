"""One program at a time in a session's folder: a lock that ends with the program, however it ends."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from types import TracebackType

from acquisition.errors import InputError

#: Of the file that is locked; it stays, empty.
LOCK_FILE = "session.lock"

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class SessionLock:
    """Holds a session's folder for this program until it is closed.

    Parameters
    ----------
    folder : Path
        The session's, which is there.

    Raises
    ------
    InputError
        If another program holds it, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        try:
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(
                f"the session cannot be held: {error.strerror or error}",
                where=str(folder),
                remedy="free some space, or give the folder back its rights",
            ) from error
        try:
            _take(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise InputError(
                "this session is running in another program",
                where=str(folder),
                remedy="end it there first, or begin another session with --new",
            ) from error
        self._descriptor = descriptor

    def close(self) -> None:
        """Let go of it; a second time does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> SessionLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_unused(folder: Path) -> None:
    """Remove a session's folder in which nothing was kept, and its subject's where that was all of it."""
    with contextlib.suppress(OSError):
        if {entry.name for entry in os.scandir(folder)} <= {LOCK_FILE}:
            (folder / LOCK_FILE).unlink(missing_ok=True)
            folder.rmdir()
            folder.parent.rmdir()


def is_held(folder: Path) -> bool:
    """Tell whether a program is at work in a session's folder; nothing is made."""
    if not (folder / LOCK_FILE).is_file():
        return False
    with contextlib.suppress(InputError), SessionLock(folder):
        return False
    return True
