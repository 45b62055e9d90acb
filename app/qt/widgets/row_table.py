"""A table whose rows are selected whole and copied as text."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QAbstractItemView, QListView, QTableView, QWidget

_MOST_COLUMNS = 50


def copy_rows(view: QAbstractItemView) -> None:
    """Put the selected rows on the clipboard, cells parted by tabs; all rows if none is selected."""
    model, selection = view.model(), view.selectionModel()
    clipboard = QGuiApplication.clipboard()
    if model is None or selection is None or clipboard is None:
        return
    rows = sorted({index.row() for index in selection.selectedIndexes()}) or list(range(model.rowCount()))
    lines = []
    for row in rows:
        # A list's model keeps its number of columns to itself.
        cells = [index.data() for c in range(_MOST_COLUMNS) if (index := model.index(row, c)).isValid()]
        lines.append("\t".join(str(cell) for cell in cells if cell is not None).rstrip())
    clipboard.setText("\n".join(lines))


class RowTable(QTableView):
    """A read-only table: arrow keys move by rows, Tab leaves it, Ctrl+C copies."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        if (header := self.verticalHeader()) is not None:
            header.hide()
            header.setMinimumSectionSize(1)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Copy on the system's copy key."""
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            copy_rows(self)
        else:
            super().keyPressEvent(event)


class RowList(QListView):
    """A read-only list; Ctrl+C copies."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setUniformItemSizes(True)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Copy on the system's copy key."""
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            copy_rows(self)
        else:
            super().keyPressEvent(event)
