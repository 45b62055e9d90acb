"""A table of accuracies on the terminal, with its marks, what differs and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as Screen

from app.tables import make_console

if TYPE_CHECKING:
    from models.training.tables import Table


def show_table(table: Table) -> None:
    """Print the table: protocol, figures, sentences on them."""
    console = make_console()
    title = " - ".join(part for part in (table.title, table.marks()) if part)
    console.print(table.protocol, soft_wrap=True, highlight=False)
    _print(console, title, *table.short_cells())
    for sentence in (*table.differs, *table.notes):
        console.print(f"- {sentence}", soft_wrap=True, highlight=False)
    for entry in table.left_out:
        line = f"left out: subject {entry.subject}: {entry.why}"
        console.print(line, soft_wrap=True, highlight=False)


def show_confusion(table: Table) -> None:
    """Print which class the first row's model took for which, counted in trials."""
    title = f"trials of each class (rows) by answer: {table.rows[0].name}"
    _print(make_console(), title, *table.confusion())


def _print(console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    screen = Screen(title=title, title_justify="left")
    for at, column in enumerate(header):
        screen.add_column(column, no_wrap=at > 0, justify="right" if at else "left")
    for row in rows:
        screen.add_row(*row)
    console.print(screen)
