"""Asks where to record to; the file is named by date and time unless another name is given."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from acquisition.errors import InputError
from app.qt.dialogs.base import fit_screen, short_path
from app.view.text import data_size
from calibration.storage import check_subject


class RecordDialog(QDialog):
    """A path, the room on its disk, and Start."""

    def __init__(self, parent: QWidget | None, path: Path) -> None:
        super().__init__(parent)
        self.setWindowTitle("Record")
        self.path_edit = QLineEdit(str(path))
        self.path_edit.setAccessibleName("File to record to")
        self.path_edit.setMinimumWidth(self.fontMetrics().averageCharWidth() * 60)
        self.path_edit.textChanged.connect(self._look)
        self._folder = QLabel()
        self._folder.setTextFormat(Qt.TextFormat.PlainText)
        browse = QPushButton("&Browse…")
        browse.clicked.connect(self._browse)
        self._room = QLabel()
        self._room.setTextFormat(Qt.TextFormat.PlainText)
        self._room.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.path_edit, 1)
        row.addWidget(browse)
        form = QFormLayout()
        form.addRow("&File", row)
        if (label := form.labelForField(row)) is not None and isinstance(label, QLabel):
            label.setBuddy(self.path_edit)
        form.addRow("Folder", self._folder)
        form.addRow("Disk", self._room)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        start = buttons.addButton("&Start recording", QDialogButtonBox.ButtonRole.AcceptRole)
        assert start is not None
        self.start = start
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(QLabel("All streams in use, the predictions and the clock map are recorded."))
        column.addWidget(buttons)
        self._look()
        metrics = self.fontMetrics()
        width = metrics.horizontalAdvance(str(path)) + metrics.averageCharWidth() * 30
        fit_screen(self, max(width, metrics.averageCharWidth() * 90), self.sizeHint().height())

    @property
    def path(self) -> Path:
        """The file chosen; XDF, whatever its name ended with."""
        path = Path(self.path_edit.text().strip()).expanduser()
        return path if path.suffix.lower() == ".xdf" else path.with_name(path.name + ".xdf")

    def _look(self) -> None:
        """Say what speaks against the path, or how much room there is."""
        self._folder.setText(short_path(self, self.path.parent, 75))
        self._folder.setToolTip(f"<p>{escape(str(self.path.parent))}</p>")
        self.path_edit.setToolTip(f"<p>{escape(str(self.path))}</p>")
        if not self.path_edit.text().strip():
            fault = "give a file name"
        elif self.path.exists():
            fault = "there is such a file already: choose another name"
        else:
            fault = ""
        self.start.setEnabled(not fault)
        self._room.setText(fault or f"{data_size(_free_bytes(self.path))} free")

    def _browse(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Record to", self.path_edit.text(), "XDF recordings (*.xdf)"
        )
        if chosen:
            self.path_edit.setText(chosen)


def _free_bytes(path: Path) -> float:
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("nan")


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
