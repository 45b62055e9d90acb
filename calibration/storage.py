"""Where the sessions of subjects are kept, by BIDS-like names: folders, lock, and ``session.json``.

``<data folder>/sub-S01/ses-01/sub-S01_ses-01_task-calibration_run-01.xdf`` and what belongs to it. Folders
are the user's alone (0700; Windows has its own permissions). A link among them is refused: what is written,
exported or deleted must lie where its name says.
"""

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from acquisition.errors import ErrorCode, InputError, file_errors, read_limited
from acquisition.record.files import write_json
from acquisition.text import parse_json
from calibration.protocol import finished_trials
from calibration.types import SessionRecord
from models.config import built

TASK = "calibration"
STATE_FILE = "session.json"
LOCK_FILE = "session.lock"  # it stays, empty
_SUBJECT = re.compile(r"[A-Za-z0-9]{1,32}")
_SUBJECT_FOLDER = re.compile(r"sub-([A-Za-z0-9]{1,32})")
_DEVICE = re.compile(r"(con|prn|aux|nul|com|lpt)[0-9]*", re.IGNORECASE)
_SESSION_FOLDER = re.compile(r"ses-(0[1-9]|[1-9][0-9]{1,5})")  # as `session_place` writes it
_MODE = 0o700
_ID_REMEDY = "use an ID such as S01, and keep the list of names elsewhere"
_OTHER_FOLDER = "choose another folder with --data-dir"
_SPACE_OR_PERMISSIONS = "free some space, or restore the folder's permissions"
_VERSION = 1
_DAMAGED = "move it away and start a new session; the recordings next to it are intact"


def default_data_folder() -> Path:
    """Return the folder of all subjects unless another is chosen; ``AFFECTSCOPE_DATA`` names another one."""
    chosen = os.environ.get("AFFECTSCOPE_DATA")
    return Path(chosen) if chosen else platformdirs.user_data_path("affectscope", appauthor=False)


def default_weights_folder() -> Path:
    return default_data_folder() / "weights"


def check_subject(subject: str) -> str:
    """Return a subject ID as it is: letters and digits with a digit in it, else InputError."""
    if not _SUBJECT.fullmatch(subject):
        shown = repr(subject if len(subject) <= 40 else subject[:37] + "...")
        remedy = "omit sub-: it is added automatically" if subject.startswith("sub-") else _ID_REMEDY
        raise _refused_subject(f"expected 1 to 32 letters (A-Z) and digits, found {shown}", remedy)
    if not any(sign.isdigit() for sign in subject):
        found = f"expected a digit in it, found {subject!r}: without one it may be a name"
        raise _refused_subject(found, _ID_REMEDY)
    if _DEVICE.fullmatch(subject):
        raise _refused_subject(f"expected an ID, found {subject!r}, a device's name on Windows", _ID_REMEDY)
    return subject


def _refused_subject(what: str, remedy: str) -> InputError:
    return InputError(what, where="Subject ID", remedy=remedy, code=ErrorCode.SUBJECT)


@dataclass(frozen=True)
class SessionPlace:
    """The folder of one session and the names of what is in it."""

    subject: str
    number: int
    folder: Path

    def recording(self, run: int = 1) -> Path:
        """Return the XDF file of a run, from 1; its sidecar has the ending ``.json``."""
        return self.folder / f"sub-{self.subject}_ses-{self.number:02d}_task-{TASK}_run-{run:02d}.xdf"

    @property
    def state(self) -> Path:
        return self.folder / STATE_FILE

    @property
    def profile(self) -> Path:
        return self.folder / "profile"

    @property
    def report(self) -> Path:
        """The report to read; the same in figures has the ending ``.json``."""
        return self.folder / "report.html"

    @property
    def report_json(self) -> Path:
        return self.folder / "report.json"


# --- subjects ---


def subject_folder(data: Path, subject: str) -> Path:
    """Return a subject's folder, which need not exist.

    Raises InputError if the ID is invalid, or a link or a file has the folder's name.
    """
    folder = data / f"sub-{check_subject(subject)}"
    _refuse_link(folder)
    return folder


def known_subjects(data: Path) -> tuple[str, ...]:
    return tuple(sorted(_names_of_folders(data, _SUBJECT_FOLDER)))


# --- sessions ---


def session_numbers(data: Path, subject: str) -> tuple[int, ...]:
    return tuple(sorted(map(int, _names_of_folders(subject_folder(data, subject), _SESSION_FOLDER))))


def newest_profile(data: Path, subject: str) -> Path:
    """Return the folder of the subject's newest profile; raises InputError if there is none."""
    for number in reversed(session_numbers(data, subject)):
        folder = session_place(data, subject, number).profile
        if folder.is_dir():
            return folder
    what = "there is no profile of this subject"
    remedy = f"calibrate first: affectscope calibrate --subject {subject}"
    raise InputError(what, where=f"--subject {subject}", remedy=remedy, code=ErrorCode.PROFILE)


def next_session_number(data: Path, subject: str) -> int:
    """Return one more than the highest number so far: a gap is not filled."""
    return max(session_numbers(data, subject), default=0) + 1


def session_place(data: Path, subject: str, number: int) -> SessionPlace:
    """Return the place of a session; nothing is made.

    Raises InputError if the ID is invalid, or a link or a file has a folder's name.
    """
    if number < 1:
        raise InputError(f"expected 1 or more, found {number}", where="session", remedy="count from 1")
    folder = subject_folder(data, subject) / f"ses-{number:02d}"
    _refuse_link(folder)
    return SessionPlace(subject, number, folder.absolute())


def make_session(data: Path, subject: str) -> SessionPlace:
    """Make the folders of a subject's next session, for the user alone.

    Raises InputError if the ID is invalid or differs from a known one in case alone, a link or a file has a
    folder's name, or the disk is full or cannot be written.
    """
    subject = check_subject(subject)
    alike = [known for known in known_subjects(data) if known != subject and known.lower() == subject.lower()]
    if alike:  # Windows and macOS would mix the two up
        found = f"{subject} differs from the existing {alike[0]} only in upper and lower case"
        raise _refused_subject(found, f"use {alike[0]}, or choose another ID")
    folder = subject_folder(data, subject)
    with file_errors("the folder cannot be made", folder, f"free some space, or {_OTHER_FOLDER}"):
        if not data.exists():
            data.mkdir(mode=_MODE, parents=True, exist_ok=True)
        folder.mkdir(mode=_MODE, exist_ok=True)
        if os.name == "posix" and folder.stat().st_mode & 0o777 != _MODE:
            folder.chmod(_MODE)
        while True:
            place = session_place(data, subject, next_session_number(data, subject))
            with contextlib.suppress(FileExistsError):  # another program took the number just now
                place.folder.mkdir(mode=_MODE)
                return place


def _names_of_folders(parent: Path, pattern: re.Pattern[str]) -> list[str]:
    """Return the pattern's group for each folder in ``parent`` whose whole name fits; links are none."""
    with file_errors("the folder cannot be read", parent, _OTHER_FOLDER):
        try:
            entries = [(pattern.fullmatch(entry.name), Path(entry.path)) for entry in os.scandir(parent)]
        except FileNotFoundError:
            return []
    return [match[1] for match, path in entries if match and path.is_dir() and not is_link(path)]


def _refuse_link(folder: Path) -> None:
    """Refuse what only looks like a folder of ours; what is not there is fine."""
    found = "link" if is_link(folder) else "file" if folder.exists() and not folder.is_dir() else ""
    if found:
        remedy = "remove the link" if found == "link" else "move it away"
        message = f"this is a {found}, not a folder"
        raise InputError(message, where=str(folder), remedy=remedy, code=ErrorCode.FILE, found=found)


def is_link(path: Path) -> bool:
    """Tell whether a path is a symbolic link, or a junction of Windows."""
    return path.is_symlink() or (hasattr(path, "is_junction") and path.is_junction())


# --- one program at a time: a lock that ends with the program, however it ends ---

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class SessionLock(contextlib.AbstractContextManager["SessionLock"]):
    """Holds a session's folder, which is there, for this program until it is closed.

    Raises InputError if another program holds it, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        with file_errors("the session cannot be locked", folder, _SPACE_OR_PERMISSIONS):
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _take(descriptor)
        except OSError as error:
            os.close(descriptor)
            what = "this session is running in another program"
            remedy = "end it there first, or start another session with --new"
            raise InputError(what, where=str(folder), remedy=remedy, code=ErrorCode.SUBJECT) from error
        self._descriptor = descriptor

    def close(self) -> None:
        """Release it; a second time does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __exit__(self, *_error: object) -> None:
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


# --- session.json: a session as far as it got, from which it is resumed after a crash or power cut ---


def save_record(record: SessionRecord, path: Path) -> None:
    """Replace the file in one step; once this returns a power cut does not undo it.

    Raises InputError if it cannot be written; the file is then as it was.
    """
    content = {"version": _VERSION, **dataclasses.asdict(record)}
    content["recordings"] = [recording.as_posix() for recording in record.recordings]
    remedy = f"{_SPACE_OR_PERMISSIONS}; what was written before is kept"
    with file_errors("the state of the session cannot be written", path, remedy):
        write_json(path, content, durable=True)


def load_record(path: Path) -> SessionRecord:
    """Read what `save_record` has written.

    Raises InputError if there is no such file, it is damaged, or a newer version of the program wrote it.
    """
    try:
        with file_errors("cannot be read", path, "check its path and permissions"):
            content = parse_json(read_limited(path))
        version = content.get("version") if isinstance(content, dict) else None
        if version == _VERSION:
            return _record(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        found = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        what = f"is damaged: {found}"
        raise InputError(what, where=str(path), remedy=_DAMAGED, code=ErrorCode.FILE) from error
    what = f"expected version {_VERSION}, found {version}"
    remedy = "update the program" if isinstance(version, int) else _DAMAGED
    raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.FILE)


def is_unfinished(record: SessionRecord) -> bool:
    return not finished_trials(record.trials).issuperset(range(1, len(record.order) + 1)) or not record.order


def next_run(record: SessionRecord) -> int:
    """Return the number of the recording that a resumption makes."""
    runs = [trial.run for trial in record.trials]
    return 1 + max([len(record.recordings), *runs])


def _record(content: Mapping[str, Any]) -> SessionRecord:
    names = content["recordings"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a list of strings, found {names!r}")
    for name in names:  # in the session's folder and nowhere else
        if name in ("", "..") or Path(name).name != name:
            raise ValueError(f"{name!r} is not a file name of a recording")
    plain = {name: value for name, value in content.items() if name != "version"}
    try:
        record = built(SessionRecord, plain | {"recordings": tuple(map(Path, names))}, "session")
    except InputError as error:
        raise ValueError(error.what) from error
    for trial in record.trials:
        if trial.state not in ("done", "skipped", "repeated"):
            raise ValueError(f"trial {trial.number} is {trial.state!r}")
        if trial.begin > trial.end:
            raise ValueError(f"trial {trial.number} is from {trial.begin} to {trial.end}")
    return record
