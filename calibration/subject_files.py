"""A subject's files, each one looked at before any is read or removed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import InputError
from acquisition.record.recorder import is_running
from calibration.places import is_link, known_subjects, subject_folder
from calibration.session_lock import LOCK_FILE, is_held

_STATUS = ".status.json"  # see acquisition.record.files.status_path


@dataclass(frozen=True)
class KeptFile:
    """One file below a subject's folder."""

    path: Path
    relative: Path  # to the data folder: sub-S01/ses-01/...
    n_bytes: int


def known_folder(data: Path, subject: str) -> Path:
    """Return the folder of a subject that is there.

    Raises
    ------
    InputError
        If the id is not usable, nobody of that id is there, or a link bears the folder's name.
    """
    folder = subject_folder(data, subject)
    known = known_subjects(data)
    if subject not in known:  # not the folder: Windows and macOS find S01 under the name s01
        raise InputError(
            f"there is no subject {subject}; known: {', '.join(known) if known else 'none'}",
            where=str(data),
            remedy="see affectscope subjects list, or name another folder with --data-dir",
        )
    return folder


def kept_files(data: Path, subject: str) -> list[KeptFile]:
    """Return all files of a subject, sorted.

    Raises
    ------
    InputError
        If something below the folder is a link or neither file nor folder, or cannot be looked at.
    """
    folder = known_folder(data, subject)
    try:
        return sorted(_walk(folder, data), key=lambda kept: kept.relative)
    except OSError as error:
        raise InputError(
            f"the folder cannot be read: {error.strerror or error}",
            where=str(error.filename or folder),
            remedy="see to its rights, and try again",
        ) from error


def _walk(folder: Path, data: Path) -> Iterator[KeptFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            if is_link(path):
                raise InputError(
                    f"this is a link to {os.readlink(path)}: nothing was done",
                    where=str(path),
                    remedy="remove the link, or put in its place what it leads to",
                )
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(path, data)
            elif stat.S_ISREG(status.st_mode):
                yield KeptFile(path, path.relative_to(data), status.st_size)
            else:
                raise InputError(
                    "this is neither a file nor a folder: nothing was done",
                    where=str(path),
                    remedy="remove it by hand",
                )


def running_recording(files: list[KeptFile]) -> Path | None:
    """Return a recording among these that is being written; None if there is none."""
    for kept in files:
        if kept.path.name.endswith(_STATUS):
            recording = kept.path.with_name(kept.path.name.removesuffix(_STATUS))
            if is_running(recording):
                return recording
    return None


def refuse_running(files: list[KeptFile]) -> None:
    """Raise an InputError while one of the files is being recorded, or a program is at work on a session."""
    recording = running_recording(files)
    if recording is not None:
        raise InputError(
            "this recording is being written: nothing was done",
            where=str(recording),
            remedy="end the session first",
        )
    for kept in files:  # before its recording begins, and while its model is fitted
        if kept.path.name == LOCK_FILE and is_held(kept.path.parent):
            raise InputError(
                "this session is running: nothing was done",
                where=str(kept.path.parent),
                remedy="end the session first",
            )
