"""Chooses a model folder: the shipped one, one used lately, or any other; it is loaded once as a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PyQt6.QtWidgets import QWidget

from acquisition.errors import InputError
from app.model_check import ModelSummary, check_model, read_summary
from app.qt.dialogs.folder import FolderDialog, FolderWords
from app.qt.dialogs.worker import Work
from app.view.plain_text import one_line
from assets import DEMO_MODEL

_WORDS = FolderWords(
    "model", "Model folders", "A model that does not load is refused, and the one in use goes on.", n_lines=5
)


class ModelDialog(FolderDialog):
    """A list of models and what the chosen one says of itself.

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
        super().__init__(parent, _WORDS)
        self._current, self._on_chosen = current, on_chosen
        self.fill(dict.fromkeys([DEMO_MODEL, current, *recent]), row=0)

    def _title(self, path: Path | None) -> str:
        assert path is not None
        shipped = "shipped with the program" if path == DEMO_MODEL else ""
        remark = "in use" if path == self._current else shipped
        return f"{path.name}{f' ({remark})' if remark else ''}, {_training(path)}"

    def _take(self) -> None:
        self.try_chosen()

    def try_chosen(self) -> None:
        """Load the chosen model elsewhere and hand it on if that works."""
        path = self._chosen()
        if path is None:
            return
        self.use.setEnabled(False)
        self.words.setText("Loading it to see whether it fits …")
        Work(lambda: check_model(path), self._accept_model, self._refuse_loaded, self)

    def _accept_model(self, summary: ModelSummary) -> None:
        self.accept()
        self._on_chosen(summary.path)

    def _refuse_loaded(self, why: str) -> None:
        self.use.setEnabled(True)
        self._refuse(why)

    def _description(self, path: Path | None) -> str:
        if path is None:
            return ""
        summary = read_summary(path)
        return (
            f"Emotions: {', '.join(summary.labels)}\n"
            f"EEG channels: {summary.n_channels}\nPreset: {summary.preset}\n"
            f"Trained on: {summary.trained_on or 'unknown'}"
        )


def _training(path: Path) -> str:
    """Return what a folder's model was trained on, in words."""
    try:
        trained_on = read_summary(path).trained_on
    except InputError:
        return "no model of this program"
    return f"trained on {one_line(trained_on, 60)}" if trained_on else "training unknown"
