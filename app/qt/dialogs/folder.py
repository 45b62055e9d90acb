"""A list of folders of which one is chosen: what model and profile dialogs share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, Qt
from PyQt6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from acquisition.errors import InputError
from app.qt.dialogs.fitting import fit_screen, short_path

_WIDTH = 95  # characters of a path


@dataclass(frozen=True)
class FolderWords:
    """What a dialog is about, in words."""

    what: str  # model | profile
    folders: str  # accessible name of the list
    hint: str  # a sentence above it
    n_lines: int  # of what a folder says of itself


class FolderDialog(QDialog):
    """A list of folders and what the chosen one says of itself.

    Parameters
    ----------
    parent : QWidget or None
    words : FolderWords

    Attributes
    ----------
    list, words, use
        The folders, what the chosen one says, and the button that takes it.
    """

    def __init__(self, parent: QWidget | None, words: FolderWords) -> None:
        super().__init__(parent)
        self.setWindowTitle(words.what.capitalize())
        self._what = words.what
        self.list = QListWidget()
        self.list.setAccessibleName(words.folders)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setWordWrap(True)
        self.words.setAccessibleName(f"What the {words.what} says of itself")
        self.words.setMinimumWidth(self.fontMetrics().averageCharWidth() * 70)
        self.words.setMinimumHeight(self.fontMetrics().height() * words.n_lines)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        browse = QPushButton("&Browse…")
        browse.clicked.connect(self._browse)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        use = buttons.addButton(f"&Use this {words.what}", QDialogButtonBox.ButtonRole.ActionRole)
        assert use is not None
        self.use = use
        use.clicked.connect(self._take)
        buttons.addButton(browse, QDialogButtonBox.ButtonRole.ResetRole)
        buttons.rejected.connect(self.reject)
        self.list.currentItemChanged.connect(lambda *_: self._describe())
        column = QVBoxLayout(self)
        column.addWidget(QLabel(words.hint))
        column.addWidget(self.list, 1)
        column.addWidget(self.words)
        column.addWidget(buttons)
        metrics = self.fontMetrics()
        fit_screen(self, metrics.averageCharWidth() * (_WIDTH + 12), metrics.height() * 26)

    def fill(self, paths: Iterable[Path | None], row: int) -> None:
        """Put folders into the list and choose the one in a row; only that one is looked into."""
        with QSignalBlocker(self.list):
            for path in paths:
                self.add(path)
            self.list.setCurrentRow(row)
        self._describe()

    def add(self, path: Path | None) -> None:
        """Put a folder into the list and choose it; None stands for doing without one."""
        item = QListWidgetItem(self._title(path))
        if path is not None:
            item.setText(f"{item.text()}\n{short_path(self, path, _WIDTH)}")
            item.setToolTip(f"<p>{escape(str(path))}</p>")
            item.setData(Qt.ItemDataRole.UserRole, str(path))
        self.list.addItem(item)
        self.list.setCurrentItem(item)

    @abstractmethod
    def _title(self, path: Path | None) -> str:
        """Return the first line of a folder's entry."""

    @abstractmethod
    def _description(self, path: Path | None) -> str:
        """Return what the chosen folder says of itself; raises `InputError` where it cannot be used."""

    @abstractmethod
    def _take(self) -> None:
        """Use the chosen folder."""

    def _chosen(self) -> Path | None:
        item = self.list.currentItem()
        text = item.data(Qt.ItemDataRole.UserRole) if item is not None else None
        return Path(text) if text else None

    def _describe(self) -> None:
        try:
            text = self._description(self._chosen())
        except InputError as error:
            self.use.setEnabled(False)
            self._refuse(str(error))
            return
        self.use.setEnabled(True)
        self.words.setText(text)

    def _refuse(self, why: str) -> None:
        self.words.setText(f"Refused: {why}")

    def _browse(self) -> None:
        start = str(self._chosen() or Path.home())
        chosen = QFileDialog.getExistingDirectory(self, f"{self._what.capitalize()} folder", start)
        if chosen:
            self.add(Path(chosen))
