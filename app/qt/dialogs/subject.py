"""Asks whose calibration it is: a code, no name."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from acquisition.errors import InputError
from calibration.storage import check_subject

_WORDS = (
    "The live session ends, and the calibration opens in a window of its own: consent, a look at the "
    "signals, ten trials; a quarter of an hour. Then the live session starts again, with the profile if you "
    "want."
)


class SubjectDialog(QDialog):
    """A field for the person's code.

    Parameters
    ----------
    parent : QWidget
    subject : str
        Shown at first.
    on_chosen : callable
        Gets a code that may be used.
    """

    def __init__(self, parent: QWidget | None, subject: str, on_chosen: Callable[[str], None]) -> None:
        super().__init__(parent)
        self.setWindowTitle("Calibrate")
        self._on_chosen = on_chosen
        words = QLabel(_WORDS)
        words.setWordWrap(True)
        words.setMinimumWidth(self.fontMetrics().averageCharWidth() * 70)
        self.edit = QLineEdit(subject)
        self.edit.setPlaceholderText("S01")
        self.edit.setAccessibleName("Code of the person, such as S01")
        self.edit.textChanged.connect(self._look)
        self.fault = QLabel()
        self.fault.setTextFormat(Qt.TextFormat.PlainText)
        self.fault.setWordWrap(True)
        self.fault.setMinimumHeight(self.fontMetrics().height() * 2)
        form = QFormLayout()
        form.addRow("&Code of the person", self.edit)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        start = buttons.addButton("&Start the calibration", QDialogButtonBox.ButtonRole.AcceptRole)
        assert start is not None
        self.start = start
        buttons.accepted.connect(self._take)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(words)
        column.addLayout(form)
        column.addWidget(self.fault)
        column.addWidget(buttons)
        self._look()

    def _look(self) -> None:
        """Say what speaks against the code."""
        fault = ""
        try:
            check_subject(self.edit.text().strip())
        except InputError as error:
            fault = str(error) if self.edit.text().strip() else "Give a code such as S01, not a name."
        self.fault.setText(fault)
        self.start.setEnabled(not fault)

    def _take(self) -> None:
        self.accept()
        self._on_chosen(self.edit.text().strip())
