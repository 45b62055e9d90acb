"""Dialogs that only say something: the keys, and what the program is for."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app.qt.dialogs.fitting import fit_screen
from app.qt.shell.shortcuts import COMMANDS, plain_text

_NOTICE = """\
Affectscope infers emotions from EEG, eyes, face and voice. It is a research instrument.

- Not for workplaces and not for education: the EU AI Act, Article 5(1)(f), forbids inferring emotions there.
- Not for decisions about people, and no medical device.
- People exposed to it must be informed, and it says so in the window for as long as it runs.
- A model trained on simulated data says nothing of a real person.
- Probabilities and attention are what a model puts out. They are no measurement of what somebody feels."""


class NoticeDialog(QDialog):
    """What the program is for, and what not; shown before the first use."""

    def __init__(self, parent: QWidget | None, *, must_agree: bool) -> None:
        super().__init__(parent)
        self.setWindowTitle("Intended use")
        text = QLabel(_NOTICE)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.setWordWrap(True)
        text.setMinimumWidth(text.fontMetrics().averageCharWidth() * 75)
        buttons = QDialogButtonBox()
        accept = QDialogButtonBox.ButtonRole.AcceptRole
        buttons.addButton("I &understand" if must_agree else "&Close", accept)
        if must_agree:
            buttons.addButton("&Quit", QDialogButtonBox.ButtonRole.RejectRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(text)
        column.addWidget(buttons)


class ShortcutsDialog(QDialog):
    """Every command with its keys."""

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        table = QTableWidget(len(COMMANDS), 4)
        table.setHorizontalHeaderLabels(["Keys", "Command", "Menu", "What it does"])
        table.setAccessibleName("All keys")
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        if (numbers := table.verticalHeader()) is not None:
            numbers.hide()
        native = QKeySequence.SequenceFormat.NativeText
        for row, command in enumerate(COMMANDS):
            keys = " or ".join(QKeySequence(keys).toString(native) for keys in command.keys)
            for column, words in enumerate((keys, plain_text(command), command.menu, command.explanation)):
                table.setItem(row, column, QTableWidgetItem(words))
        table.selectRow(0)
        table.resizeColumnsToContents()
        table.resizeRowsToContents()
        if (header := table.horizontalHeader()) is not None:
            header.setStretchLastSection(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        explanation = QLabel(
            "Tab moves between controls, Alt with an underlined letter opens a menu, "
            "Escape closes what is open."
        )
        explanation.setWordWrap(True)
        column_layout = QVBoxLayout(self)
        column_layout.addWidget(table, 1)
        column_layout.addWidget(explanation)
        column_layout.addWidget(buttons)
        metrics = self.fontMetrics()
        fit_screen(self, metrics.averageCharWidth() * 130, metrics.height() * 52)
