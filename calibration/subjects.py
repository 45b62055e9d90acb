"""Lists, exports and deletes the stored data of subjects.

Outside a subject's own folder only its exports are read or removed. A link in the folder is refused, wherever
it leads, and so is a folder that a recording is being written to.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from acquisition.errors import (
    MOST_TEXT_BYTES,
    ErrorCode,
    InputError,
    file_errors,
    open_regular,
    read_limited,
    real_path,
)
from acquisition.record.files import write_json
from acquisition.record.recorder import is_running
from acquisition.text import parse_json
from calibration import storage

_STATUS = ".status.json"  # see acquisition.record.files.status_path
_MODEL = "model.safetensors"
MANIFEST = "manifest.json"
_FORMAT = 1
_MOST_FOLDERS = 100  # within each other
_PIECE_BYTES = 1 << 20
_FASTEST = 1  # of zlib; samples hardly get smaller with more work
_OTHER_PATH = "free some space, or choose another path with --out"


@dataclass(frozen=True)
class KeptFile:
    """One file below a subject's folder."""

    path: Path
    relative: Path  # to the data folder: sub-S01/ses-01/...
    n_bytes: int


def known_folder(data: Path, subject: str) -> Path:
    """Return the folder of a subject that is there.

    Raises InputError if the ID is invalid, there is no such subject, or a link has the folder's name.
    """
    folder = storage.subject_folder(data, subject)
    known = storage.known_subjects(data)
    if subject not in known:  # not the folder: Windows and macOS find S01 under the name s01
        what = f"there is no subject {subject}; known: {', '.join(known) if known else 'none'}"
        remedy = "see affectscope subjects list, or choose another folder with --data-dir"
        raise InputError(what, where=str(data), remedy=remedy, code=ErrorCode.SUBJECT)
    return folder


def kept_files(data: Path, subject: str) -> list[KeptFile]:
    """Return all files of a subject, sorted.

    Raises InputError if something below the folder is a link or neither file nor folder, or cannot be looked
    at.
    """
    folder = known_folder(data, subject)
    with file_errors("the folder cannot be read", folder, "check its permissions, and try again"):
        return sorted(_walk(folder, data), key=lambda kept: kept.relative)


def _walk(folder: Path, data: Path) -> Iterator[KeptFile]:
    if len(folder.relative_to(data).parts) > _MOST_FOLDERS:
        what = f"folders are nested more than {_MOST_FOLDERS} deep"
        raise _refused(what, folder, "remove them yourself", found="other")
    with os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            if storage.is_link(path):
                remedy = "remove the link, or replace it with what it points to"
                raise _refused(f"this is a link to {os.readlink(path)}", path, remedy, found="link")
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(path, data)
            elif stat.S_ISREG(status.st_mode):
                yield KeptFile(path, path.relative_to(data), status.st_size)
            else:
                raise _refused(
                    "this is neither a file nor a folder", path, "remove it yourself", found="other"
                )


def _refused(what: str, path: Path, remedy: str, found: str) -> InputError:
    """Return the error for what is in the way; ``found`` is link, other, recording or session."""
    return InputError(
        f"{what}: nothing was done", where=str(path), remedy=remedy, code=ErrorCode.SUBJECT, found=found
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
    if (recording := running_recording(files)) is not None:
        raise _refused("this recording is being written", recording, "end the session first", "recording")
    for kept in files:  # before its recording begins, and while its model is fitted
        if kept.path.name == storage.LOCK_FILE and storage.is_held(kept.path.parent):
            raise _refused("this session is running", kept.path.parent, "end the session first", "session")


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
    fault: str = ""  # why it could not be read completely


@dataclass(frozen=True)
class Contents:
    """How many files of each kind there are, or were before they were removed."""

    subject: str
    folder: Path
    n_recordings: int
    n_profiles: int
    n_reports: int
    n_other: int  # caches, states, sidecars, logs and the rest
    n_bytes: int
    exports: tuple[str, ...] = ()  # ZIP files of the subject in other folders, which are deleted too
    elsewhere: tuple[str, ...] = ()  # what else was written with the subject's profile and is there: it stays


def plain(entry: SubjectEntry | Contents | Exported) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(entry).items()}


def list_subjects(data: Path) -> list[SubjectEntry]:
    """Return all subjects in a data folder, by id; a folder with a fault is listed with it."""
    return [_subject_entry(data, subject) for subject in storage.known_subjects(data)]


def contents(data: Path, subject: str) -> Contents:
    """Return how much is kept of a subject.

    Raises InputError if the ID is unknown or invalid, or something below the folder is a link.
    """
    return _counted(subject, known_folder(data, subject), kept_files(data, subject))


_ELSEWHERE = "elsewhere.json"  # in a subject's folder: what the program wrote of it to other folders


def note_elsewhere(inside: Path, written: Iterable[Path]) -> None:
    """Note, in the subject's folder that ``inside`` lies in, files of the subject outside of it."""
    places = (real_path(inside), *real_path(inside).parents)
    folder = next((place for place in places if place.name.startswith("sub-")), None)
    paths = [str(path.absolute()) for path in written]
    if folder is not None and paths:
        with file_errors("what is written cannot be noted", folder, "check its permissions"):
            write_json(folder / _ELSEWHERE, {"paths": list(dict.fromkeys([*_noted(folder), *paths]))})


def _noted(folder: Path) -> list[str]:
    paths = _read(folder / _ELSEWHERE).get("paths")
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _is_export(path: Path, subject: str) -> bool:
    """Return whether a file is a ZIP file that `export_subject` wrote of this subject."""
    try:
        with open_regular(path) as raw, zipfile.ZipFile(raw) as archive, archive.open(MANIFEST) as file:
            manifest = parse_json(file.read(MOST_TEXT_BYTES))
    # Of a damaged, encrypted or unknown archive; all else that stands there is not ours.
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return False
    return isinstance(manifest, dict) and manifest.get("subject") == subject


def delete_subject(data: Path, subject: str) -> Contents:
    """Remove everything that is kept of a subject, with its exports, and return what it was.

    Raises InputError if the ID is unknown or invalid, a link is in the folder, a recording is being
    written (then nothing is removed), or something cannot be removed (then it says how much is left).
    """
    folder = known_folder(data, subject)
    files = kept_files(data, subject)
    refuse_running(files)
    removed = _counted(subject, folder, files)
    errors: list[tuple[str, BaseException]] = []
    for export in removed.exports:
        with file_errors("the export cannot be removed", export, "check its permissions, and delete again"):
            Path(export).unlink(missing_ok=True)
    # Never follows a link, not even one that takes a folder's place meanwhile.
    shutil.rmtree(folder, onerror=lambda _function, path, failure: errors.append((path, failure[1])))
    if errors or folder.exists():
        left = [kept for kept in files if kept.path.exists()]
        where, first = errors[0] if errors else (str(folder), OSError("a new file appeared in it"))
        reason = getattr(first, "strerror", None) or first
        what = f"removed {len(files) - len(left)} of {len(files)} files, then: {reason}"
        remedy = "check the permissions of the folder and the disk, and delete again"
        raise InputError(what, where=where, remedy=remedy, code=ErrorCode.FILE, n_left=len(left))
    return removed


def _counted(subject: str, folder: Path, files: list[KeptFile]) -> Contents:
    names = Counter(kept.path.name for kept in files)
    n_recordings = sum(kept.path.suffix == ".xdf" for kept in files)
    counts = n_recordings, names[_MODEL], names["report.html"]
    n_bytes, there = sum(kept.n_bytes for kept in files), [p for p in _noted(folder) if os.path.exists(p)]
    exports = tuple(path for path in there if _is_export(Path(path), subject))
    others = tuple(path for path in there if path not in exports and not Path(path).is_relative_to(folder))
    return Contents(subject, folder, *counts, len(files) - sum(counts), n_bytes, exports, others)


def _subject_entry(data: Path, subject: str) -> SubjectEntry:
    folder, files, fault = storage.subject_folder(data, subject), list[KeptFile](), ""
    sessions: tuple[SessionEntry, ...] = ()
    try:
        files = kept_files(data, subject)
        sessions = tuple(
            _session_entry(data, subject, n, files) for n in storage.session_numbers(data, subject)
        )
    except InputError as error:
        fault = str(error)
    n_bytes = sum(kept.n_bytes for kept in files)
    return SubjectEntry(subject, folder, sessions, len(files), n_bytes, fault)


def _session_entry(data: Path, subject: str, number: int, files: list[KeptFile]) -> SessionEntry:
    place = storage.session_place(data, subject, number)
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
        content = parse_json(read_limited(path))
        if isinstance(content, dict):
            return content
    return {}


@dataclass(frozen=True)
class Exported:
    path: Path
    subject: str
    n_files: int
    n_bytes: int  # of the files before they were packed


def export_subject(
    data: Path, subject: str, out: Path, now: datetime, progress: Callable[[float], None] = lambda share: None
) -> Exported:
    """Write all files of a subject to a ZIP file for the user alone, with a manifest of their SHA-256.

    ``out`` appears when it is complete; one that exists is refused. ``now``, with its time zone, is for the
    manifest; ``progress`` is called with the share done, 0..1. Raises InputError if the ID is unknown or
    invalid, a link is in the folder, a recording is being written, ``out`` exists or lies in the folder, or
    the disk is full or cannot be written.
    """
    folder = known_folder(data, subject)
    files = kept_files(data, subject)
    refuse_running(files)
    _check_out(out, folder)
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    try:
        with file_errors("the export was not written", out, _OTHER_PATH):
            out.parent.mkdir(parents=True, exist_ok=True)
            _check_room(out, files)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            about = {"subject": subject, "exported_at": now.astimezone(UTC).isoformat()}
            with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
                _write(file, files, about, progress)
            os.replace(part, out)
        note_elsewhere(folder, [out])
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return Exported(out.absolute(), subject, len(files), sum(kept.n_bytes for kept in files))


def _check_out(out: Path, folder: Path) -> None:
    if real_path(out).is_relative_to(real_path(folder)):
        what, remedy = "the export cannot lie in the folder that it exports", "choose another path"
    elif out.exists() or out.is_symlink():
        what, remedy = "the file exists and is not overwritten", "choose another name"
    else:
        return
    raise InputError(what, where=str(out), remedy=remedy, code=ErrorCode.FILE)


def _check_room(out: Path, files: list[KeptFile]) -> None:
    """Refuse at once what would fail after minutes; samples hardly get smaller when they are packed."""
    need, free = sum(kept.n_bytes for kept in files), shutil.disk_usage(out.parent).free
    if need > free:
        what = f"{need / 1e6:,.1f} MB needed, {free / 1e6:,.1f} MB free"
        raise InputError(what, where=str(out.parent.absolute()), remedy=_OTHER_PATH, code=ErrorCode.FILE)


def _write(
    file: IO[bytes], files: list[KeptFile], about: dict[str, str], progress: Callable[[float], None]
) -> None:
    """Write the archive; sizes and hashes are of what went into it."""
    total, n_done = sum(kept.n_bytes for kept in files), 0
    entries = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_FASTEST) as archive:
        for kept in files:
            digest, n_bytes = hashlib.sha256(), 0
            name = kept.relative.as_posix().encode("utf-8", "backslashreplace").decode()
            info = zipfile.ZipInfo.from_file(kept.path, name, strict_timestamps=False)
            info.compress_type = zipfile.ZIP_DEFLATED
            with kept.path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
                    digest.update(piece)
                    n_bytes += len(piece)
                    progress(min(1.0, (n_done + n_bytes) / max(1, total)))
            n_done += n_bytes
            entries.append({"path": name, "n_bytes": n_bytes, "sha256": digest.hexdigest()})
        manifest = {"format": _FORMAT, **about, "n_files": len(entries), "files": entries}
        archive.writestr(MANIFEST, json.dumps(manifest, indent=2) + "\n")
