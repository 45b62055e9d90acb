"""Sizes of dialogs, and paths in them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QObject, Qt, pyqtSignal
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

from acquisition.errors import InputError
from app.qt.shell.commands import COMMANDS, plain_text

_SHARE = 0.95  # of the screen


def fit_screen(dialog: QWidget, width: int, height: int) -> None:
    """Make a dialog so large, or as large as the screen allows."""
    screen = dialog.screen()
    if screen is not None:
        room = screen.availableGeometry()
        width, height = min(width, round(_SHARE * room.width())), min(height, round(_SHARE * room.height()))
    dialog.resize(width, height)


def short_path(widget: QWidget, path: Path, n_characters: int) -> str:
    """Return a path cut in its middle where it is wider than so many characters of average width."""
    width = widget.fontMetrics().averageCharWidth() * n_characters
    return widget.fontMetrics().elidedText(str(path), Qt.TextElideMode.ElideMiddle, width)


class Work(QObject):
    """Calls a function in a thread and hands its result over in the window's thread.

    Parameters
    ----------
    function : callable
        What to do; an InputError it raises goes to ``on_refused`` in words.
    on_done : callable
        Gets the result.
    on_refused : callable
        Gets the error's text.
    owner : QObject
        Without it nobody wants the result any more.
    """

    _finished = pyqtSignal(object, str)

    def __init__(
        self,
        function: Callable[[], Any],
        on_done: Callable[[Any], None],
        on_refused: Callable[[str], None],
        owner: QObject,
    ) -> None:
        super().__init__(owner)
        self._function, self._on_done, self._on_refused = function, on_done, on_refused
        self._finished.connect(self._hand_over)  # queued: it is emitted in another thread
        threading.Thread(target=self._run, name="window-work", daemon=True).start()

    def _run(self) -> None:
        try:
            result, refusal = self._function(), ""
        except InputError as error:
            result, refusal = None, str(error)
        try:
            self._finished.emit(result, refusal)
        except RuntimeError:
            return  # the dialog was closed and deleted meanwhile

    def _hand_over(self, result: object, refusal: str) -> None:
        if refusal:
            self._on_refused(refusal)
        else:
            self._on_done(result)
        self.deleteLater()


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
