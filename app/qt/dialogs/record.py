"""Asks where to record to; the file is named by date and time unless another name is given."""

from __future__ import annotations

import shutil
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

from app.view.figures import data_size


class RecordDialog(QDialog):
    """A path, the room on its disk, and Start."""

    def __init__(self, parent: QWidget | None, path: Path) -> None:
        super().__init__(parent)
        self.setWindowTitle("Record")
        self._path = QLineEdit(str(path))
        self._path.setAccessibleName("File to record to")
        self._path.setMinimumWidth(self.fontMetrics().averageCharWidth() * 60)
        self._path.textChanged.connect(self._look)
        browse = QPushButton("&Browse…")
        browse.clicked.connect(self._browse)
        self._room = QLabel()
        self._room.setTextFormat(Qt.TextFormat.PlainText)
        self._room.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self._path, 1)
        row.addWidget(browse)
        form = QFormLayout()
        form.addRow("&File", row)
        if (label := form.labelForField(row)) is not None and isinstance(label, QLabel):
            label.setBuddy(self._path)
        form.addRow("Disk", self._room)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        start = buttons.addButton("&Start recording", QDialogButtonBox.ButtonRole.AcceptRole)
        assert start is not None
        self._start = start
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addLayout(form)
        column.addWidget(QLabel("All streams in use, the predictions and the clock map are recorded."))
        column.addWidget(buttons)
        self._look()

    @property
    def path(self) -> Path:
        """The file chosen; XDF, whatever its name ended with."""
        path = Path(self._path.text().strip()).expanduser()
        return path if path.suffix.lower() == ".xdf" else path.with_name(path.name + ".xdf")

    def _look(self) -> None:
        """Say what speaks against the path, or how much room there is."""
        if not self._path.text().strip():
            fault = "give a file name"
        elif self.path.exists():
            fault = "there is such a file already: choose another name"
        else:
            fault = ""
        self._start.setEnabled(not fault)
        self._room.setText(fault or f"{data_size(_free_bytes(self.path))} free")

    def _browse(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Record to", self._path.text(), "XDF recordings (*.xdf)"
        )
        if chosen:
            self._path.setText(chosen)


def _free_bytes(path: Path) -> float:
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("nan")
