"""The window's own keys; a screen's keys come before them."""

from __future__ import annotations

from dataclasses import dataclass

from PyQt6.QtCore import QKeyCombination
from PyQt6.QtGui import QKeyEvent, QKeySequence
from PyQt6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.qt.dialogs.fitting import fit_screen


@dataclass(frozen=True)
class Key:
    """A key, the window's method that it calls (empty: a screen takes it), and what it does."""

    keys: tuple[str, ...]
    command: str
    explanation: str


KEYS = (
    Key(("P", "Esc"), "pause", "hold the session; from there go on, skip the trial or end the session"),
    Key(("1", "2", "3", "4", "5"), "", "choose the emotion in the answer"),
    Key(("Left", "Right"), "", "move a slider"),
    Key(("Return",), "", "press the button that is marked; in the answer, go on to the next question"),
    Key(("Tab",), "", "go to the next control"),
    Key(("R",), "", "in the rest: repeat the trial that is worth it"),
    Key(("Ctrl+L",), "switch_theme", "light or dark"),
    Key(("F11",), "toggle_full_screen", "fill the screen, or not"),
    Key(("Ctrl+Shift+Up",), "larger", "scale the window up, from the next start on"),
    Key(("Ctrl+Shift+Down",), "smaller", "scale the window down, from the next start on"),
    Key(("F1",), "show_keys", "this list"),
    Key(("Ctrl+Q",), "close", "close; asks while something is recorded"),
)


def key_command(event: QKeyEvent) -> str | None:
    """Return the window's method that a key calls, None if it has none."""
    pressed = QKeyCombination(event.modifiers(), event.keyCombination().key()).toCombined()
    for key in KEYS:
        if key.command and any(QKeySequence(text)[0].toCombined() == pressed for text in key.keys):
            return key.command
    return None


class KeysDialog(QDialog):
    """Every key with what it does."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        table = QTableWidget(len(KEYS), 2)
        table.setHorizontalHeaderLabels(["Keys", "What they do"])
        table.setAccessibleName("All keys")
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        if (numbers := table.verticalHeader()) is not None:
            numbers.hide()
        for row, key in enumerate(KEYS):
            shown = " or ".join(
                QKeySequence(text).toString(QKeySequence.SequenceFormat.NativeText) for text in key.keys
            )
            for column, words in enumerate((shown, key.explanation)):
                table.setItem(row, column, QTableWidgetItem(words))
        table.selectRow(0)
        table.resizeColumnsToContents()
        if (header := table.horizontalHeader()) is not None:
            header.setStretchLastSection(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column_layout = QVBoxLayout(self)
        column_layout.addWidget(table, 1)
        column_layout.addWidget(buttons)
        metrics = self.fontMetrics()
        fit_screen(self, metrics.averageCharWidth() * 110, metrics.height() * 28)
