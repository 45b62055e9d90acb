"""Manage the stored data of calibrated subjects: `affectscope subjects`."""

from __future__ import annotations

import contextlib
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from acquisition.errors import ErrorCode, InputError
from acquisition.record.files import write_text
from acquisition.text import counted, data_size, say, say_json
from app.cli import options as opt
from app.cli.groups import add, application, option
from app.environment import ExitCode, settings_path
from app.tables import make_console, progress_bar, say_on, subjects_table
from calibration.storage import check_subject, default_data_folder

if TYPE_CHECKING:
    from calibration.subjects import Contents

DataDir = Annotated[
    Path | None, Option(help="Folder of all subjects.", show_default="the user's data folder")
]
_Subject = Annotated[str, Argument(help="Subject ID, e.g. S01.", metavar="ID")]


def data_folder(chosen: Path | None) -> Path:
    """Return the folder of all subjects, absolute; raises `InputError` if the chosen one is not there."""
    if chosen is not None and not chosen.is_dir():
        what, where = "there is no such folder", f"--data-dir {chosen}"
        raise InputError(what, where=where, remedy="choose an existing folder", code=ErrorCode.FILE)
    return (chosen or default_data_folder()).absolute()


def list_(data_dir: DataDir = None, as_json: opt.Json = False) -> None:
    """List calibrated subjects: sessions, verdicts, sizes.

    \b
    Example:
      affectscope subjects list --json
    """
    from calibration.subjects import list_subjects, plain

    data = data_folder(data_dir)
    entries = list_subjects(data)
    if as_json:
        say_json({"data_dir": str(data), "subjects": [plain(entry) for entry in entries]})
        return
    if not entries:
        say(f"No subject has been calibrated yet in {data}.")
        return
    console = make_console()
    console.print(subjects_table(entries))
    console.print()
    for entry in entries:
        if entry.fault:
            say_on(console, f"- {entry.subject}: {entry.fault}")
    say(f"In {data}")


def export(
    subject: _Subject,
    out: Path | None = option(None, "ZIP file to write.", show_default="sub-ID.zip"),
    data_dir: DataDir = None,
    as_json: opt.Json = False,
) -> None:
    """Pack all files of a subject into one ZIP file.

    It includes a manifest of sizes and SHA-256 hashes, and everything that was recorded, voice and video too
    if the subject consented to it: keep it as safe as the recordings.

    \b
    Example:
      affectscope subjects export S01 --out /media/stick/S01.zip
    """
    from calibration.subjects import export_subject, plain

    target = out or Path(f"sub-{check_subject(subject)}.zip")
    data = data_folder(data_dir)
    with progress_bar("packing") as progress:
        done = export_subject(data, subject, target, datetime.now(UTC), progress)
    if as_json:
        say_json(plain(done))
    else:
        files = f"{counted(done.n_files, 'file')} ({data_size(done.n_bytes)})"
        say(f"Packed {files} of {subject} into {done.path}")


def delete(
    subject: _Subject,
    data_dir: DataDir = None,
    yes: bool = option(False, "Do not ask for confirmation.", "--yes"),
    as_json: opt.Json = False,
) -> int:
    """Delete all stored data of a subject.

    Recordings, profiles, reports, caches, exports, and what logs and the window's settings say of it.
    This cannot be undone. What else was written with the subject's profile is listed and remains; copies,
    backups and models trained on the recordings are not known.

    \b
    Examples:
      affectscope subjects delete S01
      affectscope subjects delete S01 --yes
    """
    from calibration.subjects import contents, delete_subject, plain

    data = data_folder(data_dir)
    there = contents(data, subject)
    if not yes:
        if not sys.stdin.isatty():
            what, remedy = f"this deletes {_words(there)}", "add --yes to delete without confirmation"
            raise InputError(what, where=f"subjects delete {subject}", remedy=remedy)
        say(f"This permanently deletes {_words(there)} from {there.folder}.")
        say(*(f"  and the export {path}" for path in there.exports))
        if not typer.confirm("Continue?"):
            say("Nothing was deleted.")
            return ExitCode.INTERRUPTED
    removed = delete_subject(data, subject)
    _forget(subject)
    if as_json:
        say_json({"removed": plain(removed)})
        return ExitCode.GOOD
    say(f"Deleted {_words(removed)} from {removed.folder}")
    say(*(f"Deleted the export {path}" for path in removed.exports))
    say(*(f"Not deleted, written with the profile: {path}" for path in removed.elsewhere))
    say("Not reached: copies, backups, exports that were moved, and models trained on these recordings.")
    return ExitCode.GOOD


def _forget(subject: str) -> None:
    """Remove a subject from the window's settings, and the logs that name it."""
    from acquisition.publish.process import control_folder
    from app.engine.main import logs_folder

    named, settings = re.compile(rf"(?<![A-Za-z0-9]){subject}(?![A-Za-z0-9])"), settings_path()
    for folder in (logs_folder(), control_folder()):
        for log in folder.glob("*.log"):
            with contextlib.suppress(OSError):  # another user's, or just being written
                if named.search(log.read_text("utf-8", "replace")):
                    log.unlink()
    if settings.exists():
        lines = settings.read_text("utf-8").splitlines()
        write_text(settings, "".join(f"{_without(line, subject)}\n" for line in lines))


def _without(line: str, subject: str) -> str:
    """Return a line of the settings without the subject, or the paths that lead to their data."""
    key, mark, value = line.partition("=")
    if key == "subject" and value == subject:
        return "subject="
    path = re.compile(rf"\bsub-{subject}(?![A-Za-z0-9])")
    if not path.search(value):
        return line
    quote = '"' if value.startswith('"') else ""
    kept = "|".join(one for one in value.strip('"').split("|") if not path.search(one))
    return f"{key}{mark}{quote}{kept}{quote}"


def _words(what: Contents) -> str:
    parts = [
        counted(what.n_recordings, "recording"),
        counted(what.n_profiles, "profile"),
        counted(what.n_reports, "report"),
    ]
    others = counted(what.n_other, "other file")
    return f"{', '.join(parts)} and {others} ({data_size(what.n_bytes)}) of {what.subject}"


subjects = application(
    "subjects",
    """List, export or delete the data of calibrated subjects.

    \b
    Examples:
      affectscope subjects list
      affectscope subjects export S01 --out S01.zip
      affectscope subjects delete S01
    """,
)
add(subjects, list_, export, delete)
