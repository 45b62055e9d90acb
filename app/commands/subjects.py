"""The commands for what is kept of calibrated people: list, export, delete."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.commands import options as opt
from app.exit_codes import GOOD, INTERRUPTED

if TYPE_CHECKING:
    from calibration.subjects import Contents, SubjectEntry

Subject = Annotated[str, typer.Argument(help="The person's code, e.g. S01.", show_default=False)]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of all subjects; the program's own without it.", show_default=False),
]

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Add ``subjects`` with its commands."""
    group = typer.Typer(
        help="List, export or delete what is kept of the people who calibrated.\n\n"
        "Examples:\n\n"
        "  affectscope subjects list\n\n"
        "  affectscope subjects export S01 --out S01.zip\n\n"
        "  affectscope subjects delete S01",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("list")(list_)
    group.command()(export)
    group.command()(delete)
    app.add_typer(group, name="subjects")


def list_(data_dir: DataDir = None, as_json: opt.Json = False) -> int:
    """Show who has been calibrated: sessions, verdicts, sizes.

    Example: affectscope subjects list --json
    """
    from calibration.subjects import list_subjects

    data = _data_folder(data_dir)
    entries = list_subjects(data)
    if as_json:
        print(json.dumps({"data_dir": str(data), "subjects": [entry.to_json() for entry in entries]}))
    else:
        _print(data, entries)
    return GOOD


def export(
    subject: Subject,
    out: Annotated[
        Path | None, typer.Option(help="The ZIP file; sub-S01.zip here without it.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: opt.Json = False,
) -> int:
    """Pack all of a person's files into one ZIP file.

    A manifest in it has sizes and SHA-256 hashes. The export holds whatever was recorded, voice and video too
    if the person agreed: keep it as safe as the recordings.

    Example: affectscope subjects export S01 --out /media/stick/S01.zip
    """
    from app.tables import counted, size_text
    from calibration.export import export_subject
    from calibration.places import check_subject

    target = out or Path(f"sub-{check_subject(subject)}.zip")
    data = _data_folder(data_dir)
    done = _with_progress(
        "packing", lambda progress: export_subject(data, subject, target, datetime.now(UTC), progress)
    )
    if as_json:
        print(json.dumps(done.to_json()))
    else:
        files = f"{counted(done.n_files, 'file')} ({size_text(done.n_bytes)})"
        print(f"Packed {files} of {subject} into {done.path}")
    return GOOD


def delete(
    subject: Subject,
    data_dir: DataDir = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: opt.Json = False,
) -> int:
    """Remove everything that is kept of a person.

    Recordings, profiles, reports, caches. It cannot be undone. Exports and copies made elsewhere stay.

    Examples:

      affectscope subjects delete S01

      affectscope subjects delete S01 --yes
    """
    from acquisition.errors import InputError
    from calibration.subjects import contents, delete_subject

    data = _data_folder(data_dir)
    there = contents(data, subject)
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(
                f"this removes {_words(there)}",
                where=f"subjects delete {subject}",
                remedy="add --yes to do it without being asked",
            )
        print(f"This removes {_words(there)} from {there.folder}, for good.")
        if not typer.confirm("Go on?"):
            print("Nothing was removed.")
            return INTERRUPTED
    removed = delete_subject(data, subject)
    if as_json:
        print(json.dumps({"removed": removed.to_json()}))
    else:
        print(f"Removed {_words(removed)} from {removed.folder}")
    return GOOD


def _data_folder(chosen: Path | None) -> Path:
    from acquisition.errors import InputError
    from calibration.places import default_data_folder

    if chosen is not None and not chosen.is_dir():
        raise InputError(
            "there is no such folder", where=f"--data-dir {chosen}", remedy="name an existing one"
        )
    return (chosen or default_data_folder()).absolute()


def _with_progress(word: str, work: Callable[[Callable[[float], None]], T]) -> T:
    """Call ``work`` with a function that shows its progress, where there is a terminal to show it."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from app.tables import make_console

    console = make_console(stderr=True)
    columns = TextColumn(word), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        return work(lambda share: bar.update(task, completed=share))


def _print(data: Path, entries: list[SubjectEntry]) -> None:
    from app.tables import make_console, subjects_table

    console = make_console()
    if not entries:
        print(f"Nobody has been calibrated yet, as far as {data} tells.")
        return
    console.print(subjects_table(entries))
    console.print()
    for entry in entries:
        if entry.fault:
            console.print(f"- {entry.subject}: {entry.fault}", markup=False, soft_wrap=True)
    print(f"In {data}")


def _words(what: Contents) -> str:
    from app.tables import counted, size_text

    parts = [
        counted(what.n_recordings, "recording"),
        counted(what.n_profiles, "profile"),
        counted(what.n_reports, "report"),
    ]
    others = counted(what.n_other, "other file")
    return f"{', '.join(parts)} and {others} ({size_text(what.n_bytes)}) of {what.subject}"
