"""A table of accuracies on the terminal, with its marks, what differs and what was left out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as Screen

from acquisition.errors import InputError
from app.tables import make_console
from models.new_folder import new_folder

if TYPE_CHECKING:
    from models.training.tables import Table


def show_table(table: Table) -> None:
    """Print the table: protocol, figures, sentences on them."""
    from models.training.tables import INTERVALS, short_cells

    console = make_console()
    title = " - ".join(part for part in (table.title, table.marks()) if part)
    console.print(f"{table.protocol}; {INTERVALS}", soft_wrap=True, highlight=False)
    print_cells(console, title, *short_cells(table))
    console.print(f"balanced accuracy, macro-F1, NLL, ECE: per {table.unit}, mean of sessions")
    for sentence in (*table.differs, *table.notes):
        console.print(f"- {sentence}", soft_wrap=True, highlight=False)
    for entry in table.excluded:
        line = f"left out: subject {entry.subject}: {entry.why}"
        console.print(line, soft_wrap=True, highlight=False)


def show_confusion(table: Table) -> None:
    """Print which class the first row's model took for which, counted in trials."""
    from models.training.tables import confusion_cells

    title = f"trials of each class (rows) by answer: {table.rows[0].name}"
    print_cells(make_console(), title, *confusion_cells(table))


def print_cells(console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a grid whose first column names the row; figures stand at the right."""
    screen = Screen(title=title, title_justify="left")
    for at, column in enumerate(header):
        screen.add_column(column, no_wrap=at > 0, justify="right" if at else "left")
    for row in rows:
        screen.add_row(*row)
    console.print(screen)


class StageBars:
    """Progress of each stage of a long computation on stderr: bars in a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} % {task.fields[loss]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> StageBars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, stage: str, share: float, loss: float, words: str = "") -> None:
        """Show how far a stage is; NaN stands for no loss, ``words`` for more to say."""
        shown = ", ".join(part for part in ("" if math.isnan(loss) else f"loss {loss:.3f}", words) if part)
        if self._console.is_terminal:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=1.0, loss="")
            self._progress.update(self._tasks[stage], completed=share, loss=shown)
        elif int(share * 10) > self._tenths.get(stage, -1):
            self._tenths[stage] = int(share * 10)
            self._console.print(f"{stage} {share:.0%} {shown}", highlight=False, soft_wrap=True)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot hold the result before hours of work, not after them.

    It is made only to be tried: work that then fails on its input leaves no empty folder behind.

    Raises
    ------
    InputError
        It cannot be written.
    """
    probe = folder / f"{uuid4().hex}.tmp"  # the name of nothing that is there
    try:
        with new_folder(folder):
            probe.touch()
            probe.unlink()
    except OSError as error:
        raise InputError(
            f"the folder cannot be written: {error.strerror}",
            where=f"--out {folder}",
            remedy="choose another",
        ) from error


def check_model_folder(folder: Path) -> None:
    """Refuse a folder that cannot hold a model, or whose README would be lost to the model's card.

    Raises
    ------
    InputError
        It cannot be written, or a README is in it that is no older model's.
    """
    check_writable(folder)
    if (folder / "README.md").exists() and not (folder / "config.json").exists():
        raise InputError(
            "README.md in it is no model's card and would be overwritten by one",
            where=f"--out {folder}",
            remedy="choose a new folder",
        )
