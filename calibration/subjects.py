"""What is kept of the subjects: listed, exported to one file, and deleted for good.

Nothing outside a subject's own folder is read or removed. A link in it is refused, wherever it leads, and so
is a folder that a recording is being written to.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from calibration.places import known_subjects, session_numbers, session_place, subject_folder
from calibration.subject_files import KeptFile, kept_files, known_folder, refuse_running, running_recording

_MODEL = "model.safetensors"


@dataclass(frozen=True)
class SessionEntry:
    """One session of a subject."""

    number: int
    given_at: str  # of the consent, ISO 8601 in UTC; empty where the session's file does not tell
    n_trials: int  # done
    n_recordings: int
    has_profile: bool
    has_report: bool
    verdict: str  # of the report; empty without one
    is_recording: bool  # a file is being written


@dataclass(frozen=True)
class SubjectEntry:
    """One subject and what is kept."""

    subject: str
    folder: Path
    sessions: tuple[SessionEntry, ...]
    n_files: int
    n_bytes: int
    fault: str = ""  # why it could not be looked through as a whole

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "folder": str(self.folder)}


@dataclass(frozen=True)
class Contents:
    """How much there is of what, or was before it was removed."""

    subject: str
    folder: Path
    n_recordings: int
    n_profiles: int
    n_reports: int
    n_other: int  # caches, states, sidecars, logs and the rest
    n_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "folder": str(self.folder)}


def list_subjects(data: Path) -> list[SubjectEntry]:
    """Return everybody in a data folder, by id; a folder with a fault is listed with it."""
    return [_subject_entry(data, subject) for subject in known_subjects(data)]


def contents(data: Path, subject: str) -> Contents:
    """Return how much is kept of a subject.

    Raises
    ------
    InputError
        If the id is unknown or not usable, or something below the folder is a link.
    """
    return _counted(subject, known_folder(data, subject), kept_files(data, subject))


def delete_subject(data: Path, subject: str) -> Contents:
    """Remove everything that is kept of a subject, and return what it was.

    Raises
    ------
    InputError
        If the id is unknown or not usable, a link is in the folder, a recording is being written (then
        nothing is removed), or something cannot be removed (then it says how much is left).
    """
    folder = known_folder(data, subject)
    files = kept_files(data, subject)
    refuse_running(files)
    errors: list[tuple[str, OSError]] = []
    # Never follows a link, not even one that takes a folder's place meanwhile.
    shutil.rmtree(folder, onerror=_collector(errors))
    if errors or folder.exists():
        left = [kept for kept in files if kept.path.exists()]
        where, first = errors[0] if errors else (str(folder), OSError("something new appeared in it"))
        raise InputError(
            f"removed {len(files) - len(left)} of {len(files)} files, then: {first.strerror or first}",
            where=where,
            remedy="see to the rights of folder and disk, and delete once more",
        )
    return _counted(subject, folder, files)


def _collector(errors: list[tuple[str, OSError]]) -> Callable[[Any, str, Any], None]:
    def collect(_function: Any, path: str, failure: Any) -> None:
        errors.append((path, failure[1]))

    return collect


def _counted(subject: str, folder: Path, files: list[KeptFile]) -> Contents:
    n_recordings = sum(kept.path.suffix == ".xdf" for kept in files)
    n_profiles = sum(kept.path.name == _MODEL for kept in files)
    n_reports = sum(kept.path.name == "report.html" for kept in files)
    return Contents(
        subject,
        folder,
        n_recordings,
        n_profiles,
        n_reports,
        len(files) - n_recordings - n_profiles - n_reports,
        sum(kept.n_bytes for kept in files),
    )


def _subject_entry(data: Path, subject: str) -> SubjectEntry:
    folder, files, fault = subject_folder(data, subject), list[KeptFile](), ""
    sessions: tuple[SessionEntry, ...] = ()
    try:
        files = kept_files(data, subject)
        sessions = tuple(_session_entry(data, subject, n, files) for n in session_numbers(data, subject))
    except InputError as error:
        fault = str(error)
    n_bytes = sum(kept.n_bytes for kept in files)
    return SubjectEntry(subject, folder, sessions, len(files), n_bytes, fault)


def _session_entry(data: Path, subject: str, number: int, files: list[KeptFile]) -> SessionEntry:
    place = session_place(data, subject, number)
    state, report = _read(place.state), _read(place.report_json)
    consent, trials = state.get("consent"), state.get("trials")
    trials = trials if isinstance(trials, list) else []
    given_at = consent.get("given_at") if isinstance(consent, dict) else None
    own = [kept for kept in files if kept.relative.parts[1] == place.folder.name]
    states = [trial.get("state") for trial in trials if isinstance(trial, dict)]
    verdict = report.get("verdict")
    return SessionEntry(
        number=number,
        given_at=given_at if isinstance(given_at, str) else "",
        n_trials=states.count("done"),
        n_recordings=sum(kept.path.suffix == ".xdf" for kept in own),
        has_profile=(place.profile / _MODEL).is_file(),
        has_report=place.report.is_file(),
        verdict=verdict if isinstance(verdict, str) else "",
        is_recording=running_recording(own) is not None,
    )


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON object; empty where there is none that can be read: a list must not fail for it."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
