"""Chooses a model folder: the shipped one, one used lately, or any other; it is loaded once as a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from PyQt6.QtCore import Qt
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
from app.model_check import ModelSummary, check_model, read_summary
from app.qt.dialogs.fitting import fit_screen, short_path
from app.qt.dialogs.worker import Work
from app.view.plain_text import one_line
from assets import DEMO_MODEL

_WIDTH = 95  # characters of a path


class ModelDialog(QDialog):
    """A list of folders and what the chosen one says of itself.

    Parameters
    ----------
    parent : QWidget
    current : Path
        The model in use.
    recent : sequence of Path
    on_chosen : callable
        Gets the folder of a model that loads.
    """

    def __init__(
        self,
        parent: QWidget | None,
        current: Path,
        recent: Sequence[Path],
        on_chosen: Callable[[Path], None],
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Model")
        self._on_chosen = on_chosen
        self.list = QListWidget()
        self.list.setAccessibleName("Model folders")
        for path in dict.fromkeys([DEMO_MODEL, current, *recent]):
            self.add(path, is_current=path == current)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setWordWrap(True)
        self.words.setAccessibleName("What the model says of itself")
        self.words.setMinimumWidth(self.fontMetrics().averageCharWidth() * 70)
        self.words.setMinimumHeight(self.fontMetrics().height() * 5)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        browse = QPushButton("&Browse…")
        browse.clicked.connect(self._browse)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        use = buttons.addButton("&Use this model", QDialogButtonBox.ButtonRole.ActionRole)
        assert use is not None
        self.use = use
        use.clicked.connect(self.try_chosen)
        buttons.addButton(browse, QDialogButtonBox.ButtonRole.ResetRole)
        buttons.rejected.connect(self.reject)
        self.list.currentItemChanged.connect(lambda *_: self._describe())
        column = QVBoxLayout(self)
        column.addWidget(QLabel("A model that does not load is refused, and the one in use goes on."))
        column.addWidget(self.list, 1)
        column.addWidget(self.words)
        column.addWidget(buttons)
        self.list.setCurrentRow(0)
        metrics = self.fontMetrics()
        fit_screen(self, metrics.averageCharWidth() * (_WIDTH + 12), metrics.height() * 26)

    def add(self, path: Path, *, is_current: bool = False) -> None:
        """Put a folder into the list and choose it."""
        remark = "in use" if is_current else "shipped with the program" if path == DEMO_MODEL else ""
        name = f"{path.name}{f' ({remark})' if remark else ''}"
        item = QListWidgetItem(f"{name}, {_training(path)}\n{short_path(self, path, _WIDTH)}")
        item.setToolTip(f"<p>{escape(str(path))}</p>")
        item.setData(Qt.ItemDataRole.UserRole, str(path))
        self.list.addItem(item)
        self.list.setCurrentItem(item)

    def try_chosen(self) -> None:
        """Load the chosen model elsewhere and hand it on if that works."""
        path = self._chosen()
        if path is None:
            return
        self.use.setEnabled(False)
        self.words.setText("Loading it to see whether it fits …")
        Work(lambda: check_model(path), self._accept_model, self._refuse, self)

    def _chosen(self) -> Path | None:
        item = self.list.currentItem()
        return Path(item.data(Qt.ItemDataRole.UserRole)) if item is not None else None

    def _accept_model(self, summary: ModelSummary) -> None:
        self.accept()
        self._on_chosen(summary.path)

    def _refuse(self, why: str) -> None:
        self.use.setEnabled(True)
        self.words.setText(f"Refused: {why}")

    def _describe(self) -> None:
        path = self._chosen()
        if path is None:
            return
        try:
            summary = read_summary(path)
        except InputError as error:
            self.use.setEnabled(False)
            self.words.setText(f"Refused: {error}")
            return
        self.use.setEnabled(True)
        self.words.setText(
            f"Emotions: {', '.join(summary.labels)}\n"
            f"EEG channels: {summary.n_channels}\nPreset: {summary.preset}\n"
            f"Trained on: {summary.trained_on or 'unknown'}"
        )

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Model folder", str(self._chosen() or Path.home()))
        if chosen:
            self.add(Path(chosen))


def _training(path: Path) -> str:
    """Return what a folder's model was trained on, in words."""
    try:
        trained_on = read_summary(path).trained_on
    except InputError:
        return "no model of this program"
    return f"trained on {one_line(trained_on, 60)}" if trained_on else "training unknown"
