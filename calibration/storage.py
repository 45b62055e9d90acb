"""Where the sessions of a person are kept, by BIDS-like names, and which subject ids may be used.

``<data folder>/sub-S01/ses-01/sub-S01_ses-01_task-calibration_run-01.xdf`` and what belongs to it. Folders
are the user's alone (0700; Windows has its own rights). A link among them is refused: what is written,
exported or deleted must lie where its name says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import operator
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import platformdirs

from acquisition.errors import InputError
from acquisition.record.files import write_json
from calibration.protocol import finished_trials
from calibration.types import Consent, DisplayTiming, Report, SessionRecord, TrialRecord

TASK = "calibration"
STATE_FILE = "session.json"
_NAME = "affectscope"
_SUBJECT = re.compile(r"[A-Za-z0-9]{1,32}")
_SUBJECT_FOLDER = re.compile(r"sub-([A-Za-z0-9]{1,32})")
_SESSION_FOLDER = re.compile(r"ses-([0-9]{2,6})")
_MODE = 0o700
_ID_REMEDY = "use a code such as S01, and keep the list of names elsewhere"

T = TypeVar("T")


def default_data_folder() -> Path:
    """Return the folder of all subjects unless another is chosen; ``AFFECTSCOPE_DATA`` names another one."""
    chosen = os.environ.get("AFFECTSCOPE_DATA")
    return Path(chosen) if chosen else platformdirs.user_data_path(_NAME, appauthor=False)


def check_subject(subject: str) -> str:
    """Return a subject id as it is.

    Raises
    ------
    InputError
        If it is no code of letters and digits with a digit in it.
    """
    if not _SUBJECT.fullmatch(subject):
        remedy = "leave out sub-, it is added" if subject.startswith("sub-") else _ID_REMEDY
        raise InputError(
            f"expected 1 to 32 letters (A-Z) and digits, found {_shortened(subject)}",
            where="subject",
            remedy=remedy,
        )
    if not any(sign.isdigit() for sign in subject):
        raise InputError(
            f"expected a digit in it, found {subject!r}: without one it may be a name",
            where="subject",
            remedy=_ID_REMEDY,
        )
    return subject


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
        """The session as far as it got."""
        return self.folder / STATE_FILE

    @property
    def profile(self) -> Path:
        """The folder of the personal model."""
        return self.folder / "profile"

    @property
    def report(self) -> Path:
        """The report to read; the same in figures has the ending ``.json``."""
        return self.folder / "report.html"

    @property
    def report_json(self) -> Path:
        """The report in figures."""
        return self.folder / "report.json"


# --- subjects ---


def subject_folder(data: Path, subject: str) -> Path:
    """Return a subject's folder, which need not exist.

    Raises
    ------
    InputError
        If the id is not usable, or a link or a file bears the folder's name.
    """
    folder = data / f"sub-{check_subject(subject)}"
    _refuse_link(folder)
    return folder


def known_subjects(data: Path) -> tuple[str, ...]:
    """Return the ids that have a folder, sorted; links are left out."""
    return tuple(sorted(match[1] for match, _ in _folders(data, _SUBJECT_FOLDER)))


# --- sessions ---


def session_numbers(data: Path, subject: str) -> tuple[int, ...]:
    """Return the numbers of a subject's sessions, ascending."""
    folder = subject_folder(data, subject)
    return tuple(sorted(int(match[1]) for match, _ in _folders(folder, _SESSION_FOLDER)))


def next_session_number(data: Path, subject: str) -> int:
    """Return one more than the highest number so far: a gap is not filled."""
    return max(session_numbers(data, subject), default=0) + 1


def session_place(data: Path, subject: str, number: int) -> SessionPlace:
    """Return the place of a session; nothing is made.

    Raises
    ------
    InputError
        If the id is not usable, or a link or a file bears a folder's name.
    """
    if number < 1:
        raise InputError(f"expected 1 or more, found {number}", where="session", remedy="count from 1")
    folder = subject_folder(data, subject) / f"ses-{number:02d}"
    _refuse_link(folder)
    return SessionPlace(subject, number, folder.absolute())


def make_session(data: Path, subject: str) -> SessionPlace:
    """Make the folders of a subject's next session, for the user alone.

    Raises
    ------
    InputError
        If the id is not usable or differs from a known one in capitals alone, a link or a file bears a
        folder's name, or the disk is full or cannot be written.
    """
    subject = check_subject(subject)
    alike = [known for known in known_subjects(data) if known != subject and known.lower() == subject.lower()]
    if alike:  # Windows and macOS would mix the two up
        raise InputError(
            f"{subject} differs from the known {alike[0]} in capitals alone",
            where="subject",
            remedy=f"write {alike[0]}, or choose another code",
        )
    if not data.exists():
        _making(data, lambda: data.mkdir(mode=_MODE, parents=True, exist_ok=True))
    person = subject_folder(data, subject)
    _making(person, lambda: _make_private(person))
    while True:
        place = session_place(data, subject, next_session_number(data, subject))
        if _making(place.folder, partial(_make_new, place.folder)):
            return place  # else another program took the number just now


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=_MODE, exist_ok=True)
    if os.name == "posix" and folder.stat().st_mode & 0o777 != _MODE:
        folder.chmod(_MODE)


def _make_new(folder: Path) -> bool:
    try:
        folder.mkdir(mode=_MODE)
    except FileExistsError:
        return False
    return True


def _making(folder: Path, make: Callable[[], T]) -> T:
    """Say in one line why a folder cannot be made."""
    try:
        return make()
    except OSError as error:
        raise InputError(
            f"the folder cannot be made: {error.strerror or error}",
            where=str(folder),
            remedy="free some space, or choose another folder with --data-dir",
        ) from error


def _folders(parent: Path, pattern: re.Pattern[str]) -> list[tuple[re.Match[str], Path]]:
    """Return the folders in ``parent`` whose whole names fit; no links, nothing if there is no parent."""
    try:
        entries = [(pattern.fullmatch(entry.name), Path(entry.path)) for entry in os.scandir(parent)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            f"the folder cannot be read: {error.strerror or error}",
            where=str(parent),
            remedy="choose another folder with --data-dir",
        ) from error
    return [(match, path) for match, path in entries if match and path.is_dir() and not is_link(path)]


def _refuse_link(folder: Path) -> None:
    """Refuse what only looks like a folder of ours; what is not there is fine."""
    if is_link(folder):
        raise InputError("this is a link, not a folder", where=str(folder), remedy="remove the link")
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file, not a folder", where=str(folder), remedy="move it away")


def is_link(path: Path) -> bool:
    """Tell whether a name leads elsewhere: a symbolic link, or a junction of Windows."""
    return path.is_symlink() or (hasattr(path, "is_junction") and path.is_junction())


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


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


_VERSION = 1
_REMEDY = "move it away and begin a new session; the recordings beside it are whole"


def save_record(record: SessionRecord, path: Path) -> None:
    """Replace the file in one step; once this returns a power cut does not undo it.

    Raises
    ------
    InputError
        If the disk is full or the folder cannot be written; the file is then as it was.
    """
    content = {"version": _VERSION, **dataclasses.asdict(record)}
    content["recordings"] = [recording.as_posix() for recording in record.recordings]
    try:
        write_json(path, content, durable=True)
    except OSError as error:
        raise InputError(
            f"the state of the session cannot be written: {error.strerror or error}",
            where=str(path),
            remedy="free some space, or give the folder back its rights; what was written before is kept",
        ) from error


def load_record(path: Path) -> SessionRecord:
    """Read what `save_record` has written.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, or a newer version of the program wrote it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", where=str(path), remedy="check path and rights"
        ) from error
    except ValueError as error:
        raise InputError(f"is damaged: {error}", where=str(path), remedy=_REMEDY) from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != _VERSION:
        raise InputError(
            f"expected version {_VERSION}, found {version}",
            where=str(path),
            remedy="update the program" if isinstance(version, int) else _REMEDY,
        )
    try:
        return _record(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"is damaged: {found}", where=str(path), remedy=_REMEDY) from error


def is_unfinished(record: SessionRecord) -> bool:
    """Tell whether a session has trials left to do."""
    return not finished_trials(record.trials).issuperset(range(1, len(record.order) + 1)) or not record.order


def next_run(record: SessionRecord) -> int:
    """Return the number of the recording that a resumption makes."""
    runs = [trial.run for trial in record.trials]
    return 1 + max([len(record.recordings), *runs])


def _record(content: Mapping[str, Any]) -> SessionRecord:
    consent = dict(content["consent"])
    (subject,) = _names([content["subject"]])
    return SessionRecord(
        subject=subject,
        session=operator.index(content["session"]),
        classes=_names(content["classes"]),
        seed=operator.index(content["seed"]),
        consent=Consent(**{**consent, "modalities": _names(consent["modalities"])}),
        trials=tuple(_trial(entry) for entry in content["trials"]),
        baseline=tuple((float(begin), float(end)) for begin, end in content["baseline"]),
        baseline_run=int(content["baseline_run"]),
        recordings=tuple(_beside(name) for name in _names(content["recordings"])),
        overridden=_names(content["overridden"]),
        timing=tuple(DisplayTiming(**entry) for entry in content["timing"]),
        order=_names(content["order"]),
        settings=dict(content["settings"]),
        is_simulated=bool(content["is_simulated"]),
    )


def _trial(entry: Mapping[str, Any]) -> TrialRecord:
    report = entry["report"]
    trial = TrialRecord(**{**entry, "report": None if report is None else Report(**report)})
    if not isinstance(trial.number, int) or trial.state not in ("done", "skipped", "repeated"):
        raise ValueError(f"trial {trial.number!r} is {trial.state!r}")
    if not (math.isfinite(trial.begin) and math.isfinite(trial.end) and trial.begin <= trial.end):
        raise ValueError(f"trial {trial.number} is from {trial.begin} to {trial.end}")
    return trial


def _beside(name: str) -> Path:
    """Return the name of a recording, which lies in the session's folder and nowhere else."""
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a recording beside it")
    return Path(name)


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"expected a list of texts, found {values!r}")
    return tuple(values)
