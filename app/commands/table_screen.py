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
    from models.training.table_files import short_cells
    from models.training.tables import INTERVALS

    console = make_console()
    title = " - ".join(part for part in (table.title, table.marks()) if part)
    console.print(f"{table.protocol}; {INTERVALS}", soft_wrap=True, highlight=False)
    print_cells(console, title, *short_cells(table))
    console.print(f"balanced accuracy, macro-F1, NLL, ECE: per {table.unit}, mean of sessions")
    for sentence in (*table.differs, *table.notes):
        console.print(f"- {sentence}", soft_wrap=True, highlight=False)
    for entry in table.left_out:
        line = f"left out: subject {entry.subject}: {entry.why}"
        console.print(line, soft_wrap=True, highlight=False)


def show_confusion(table: Table) -> None:
    """Print which class the first row's model took for which, counted in trials."""
    from models.training.table_files import confusion_cells

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
