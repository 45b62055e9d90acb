"""The command that looks into a recording: inspect."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli import options as opt
from app.environment import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from acquisition.xdf.inspect import XdfReport

_N_SHOWN = 20  # damaged places printed; --json has them all


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(inspect)


def inspect(
    file: Annotated[Path, typer.Argument(help="XDF recording.", show_default=False)],
    as_json: opt.Json = False,
) -> int:
    """Show what an XDF recording holds and what is wrong with it.

    Streams, measured rates beside nominal ones, gaps, clock resets, stamps that step back, damage.

    The exit code is 3 if the file is damaged and 2 if it is no XDF file.

    Example: affectscope inspect session.xdf
    """
    from acquisition.xdf.inspect import inspect_xdf
    from app.tables import make_console

    report = _with_progress(lambda progress: inspect_xdf(file, progress))
    if as_json:
        print(json.dumps(report.to_json(), allow_nan=False))
    else:
        _print(report, make_console())
    return ExitCode.DAMAGED_INPUT if report.damage else ExitCode.GOOD


def _with_progress(read: Callable[[Callable[[float], None]], XdfReport]) -> XdfReport:
    """Call ``read`` with a function that shows its progress, where there is a terminal to show it."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from app.tables import make_console

    console = make_console(stderr=True)
    columns = TextColumn("reading"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)  # unknown until the file is indexed
        return read(lambda share: bar.update(task, total=1.0, completed=share))


def _print(report: XdfReport, console: Console) -> None:
    from app.tables import counted, duration_text, recording_remarks, recording_table, size_text

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    say(
        f"{report.path.name}: {size_text(report.n_bytes)}, {counted(len(report.streams), 'stream')}, "
        f"{duration_text(report.duration_s)}"
    )
    if report.streams:
        console.print()
        console.print(recording_table(report))
        console.print()
    for remark in recording_remarks(report):
        say(f"- {remark}")
    if report.has_clock_map:
        say("- recorded by Affectscope: a replay follows its clock map and repeats the live run")
    for entry in report.damage[:_N_SHOWN]:
        say(f"damaged at byte {entry.position:,}: {entry.what}")
    if len(report.damage) > _N_SHOWN:
        say(f"... and {len(report.damage) - _N_SHOWN} more places, see --json")
    if not report.damage:
        say("The file itself is whole: no damage found.")


if TYPE_CHECKING:
    from calibration.subjects import Contents, SubjectEntry

Subject = Annotated[str, typer.Argument(help="The person's code, e.g. S01.", show_default=False)]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of all subjects; the program's own without it.", show_default=False),
]

T = TypeVar("T")


def register_subjects(app: typer.Typer) -> None:
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
        _subjects_print(data, entries)
    return ExitCode.GOOD


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
    from calibration.storage import check_subject
    from calibration.subjects import export_subject

    target = out or Path(f"sub-{check_subject(subject)}.zip")
    data = _data_folder(data_dir)
    done = _subjects_with_progress(
        "packing", lambda progress: export_subject(data, subject, target, datetime.now(UTC), progress)
    )
    if as_json:
        print(json.dumps(done.to_json()))
    else:
        files = f"{counted(done.n_files, 'file')} ({size_text(done.n_bytes)})"
        print(f"Packed {files} of {subject} into {done.path}")
    return ExitCode.GOOD


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
            return ExitCode.INTERRUPTED
    removed = delete_subject(data, subject)
    if as_json:
        print(json.dumps({"removed": removed.to_json()}))
    else:
        print(f"Removed {_words(removed)} from {removed.folder}")
    return ExitCode.GOOD


def _data_folder(chosen: Path | None) -> Path:
    from acquisition.errors import InputError
    from calibration.storage import default_data_folder

    if chosen is not None and not chosen.is_dir():
        raise InputError(
            "there is no such folder", where=f"--data-dir {chosen}", remedy="name an existing one"
        )
    return (chosen or default_data_folder()).absolute()


def _subjects_with_progress(word: str, work: Callable[[Callable[[float], None]], T]) -> T:
    """Call ``work`` with a function that shows its progress, where there is a terminal to show it."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from app.tables import make_console

    console = make_console(stderr=True)
    columns = TextColumn(word), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        return work(lambda share: bar.update(task, completed=share))


def _subjects_print(data: Path, entries: list[SubjectEntry]) -> None:
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
