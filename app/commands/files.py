"""The command that looks into a recording: inspect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands import options as opt
from app.exit_codes import DAMAGED_INPUT, GOOD

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
    return DAMAGED_INPUT if report.damage else GOOD


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
