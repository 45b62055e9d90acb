"""Chooses a person's profile, or none; one that is not of the model in use is refused."""

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
from app.qt.dialogs.fitting import fit_screen, short_path
from app.view.plain_text import one_line
from calibration.places import known_subjects, session_numbers, session_place
from calibration.profile_summary import ProfileSummary, model_sha256, read_summary

_WIDTH = 95  # characters of a path
_NONE = "No profile: the model as it is, for everybody"


class ProfileDialog(QDialog):
    """A list of profiles and what the chosen one says of itself.

    Parameters
    ----------
    parent : QWidget
    model : Path
        The base model in use.
    current : Path or None
        The profile in use.
    known : sequence of Path
        Profiles to offer.
    on_chosen : callable
        Gets the folder of a profile of this model, or None.
    """

    def __init__(
        self,
        parent: QWidget | None,
        model: Path,
        current: Path | None,
        known: Sequence[Path],
        on_chosen: Callable[[Path | None], None],
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Profile")
        self._model, self._current, self._on_chosen = model, current, on_chosen
        self.list = QListWidget()
        self.list.setAccessibleName("Profiles")
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.words.setWordWrap(True)
        self.words.setAccessibleName("What the profile says of itself")
        self.words.setMinimumWidth(self.fontMetrics().averageCharWidth() * 70)
        self.words.setMinimumHeight(self.fontMetrics().height() * 7)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        browse = QPushButton("&Browse…")
        browse.clicked.connect(self._browse)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        use = buttons.addButton("&Use this profile", QDialogButtonBox.ButtonRole.ActionRole)
        assert use is not None
        self.use = use
        use.clicked.connect(self._take)
        buttons.addButton(browse, QDialogButtonBox.ButtonRole.ResetRole)
        buttons.rejected.connect(self.reject)
        self.list.currentItemChanged.connect(lambda *_: self._describe())
        column = QVBoxLayout(self)
        column.addWidget(QLabel("A profile is made by a calibration and speaks of that person alone."))
        column.addWidget(self.list, 1)
        column.addWidget(self.words)
        column.addWidget(buttons)
        for path in (None, *dict.fromkeys([*([current] if current else []), *known])):
            self.add(path)
        self.list.setCurrentRow(1 if current else 0)
        metrics = self.fontMetrics()
        fit_screen(self, metrics.averageCharWidth() * (_WIDTH + 12), metrics.height() * 26)

    def add(self, path: Path | None) -> None:
        """Put a folder into the list and choose it; None stands for no profile."""
        remark = " (in use)" if path == self._current else ""
        if path is None:
            item = QListWidgetItem(f"{_NONE}{remark}")
        else:
            item = QListWidgetItem(f"{_title(path)}{remark}\n{short_path(self, path, _WIDTH)}")
            item.setToolTip(f"<p>{escape(str(path))}</p>")
            item.setData(Qt.ItemDataRole.UserRole, str(path))
        self.list.addItem(item)
        self.list.setCurrentItem(item)

    def _chosen(self) -> Path | None:
        item = self.list.currentItem()
        text = item.data(Qt.ItemDataRole.UserRole) if item is not None else None
        return Path(text) if text else None

    def _take(self) -> None:
        self.accept()
        self._on_chosen(self._chosen())

    def _describe(self) -> None:
        path = self._chosen()
        try:
            text = "" if path is None else _description(self._checked(path))
        except InputError as error:
            self.use.setEnabled(False)
            self.words.setText(f"Refused: {error}")
            return
        self.use.setEnabled(True)
        self.words.setText(text)

    def _checked(self, path: Path) -> ProfileSummary:
        summary = read_summary(path)
        summary.check_base(model_sha256(self._model), str(path))
        return summary

    def _browse(self) -> None:
        start = str(self._chosen() or Path.home())
        chosen = QFileDialog.getExistingDirectory(self, "Profile folder", start)
        if chosen:
            self.add(Path(chosen))


def profiles_below(data: Path) -> list[Path]:
    """Return the profiles of all sessions in a data folder, by person, the newest session first."""
    found = []
    try:
        for subject in known_subjects(data):
            numbers = reversed(session_numbers(data, subject))
            found += [session_place(data, subject, number).profile for number in numbers]
    except (InputError, OSError):  # a folder that cannot be looked into has nothing to offer
        return []
    return [path for path in found if path.is_dir()]


def _title(path: Path) -> str:
    try:
        summary = read_summary(path)
    except InputError:
        return "no profile of this program"
    return one_line(f"{summary.name}: {summary.verdict}", 90)


def _description(summary: ProfileSummary) -> str:
    """Return what a profile says of itself; its texts come from a file."""
    simulated = ", of a simulated person" if summary.is_simulated else ""
    lines = [
        f"{summary.warning[0].upper()}{summary.warning[1:]}." if summary.warning else "",
        f"Verdict: {summary.verdict}. {one_line(summary.words, 400)}",
        f"Emotions: {one_line(', '.join(summary.classes), 120)}",
        f"Uses: {', '.join(summary.modalities)}; {len(summary.ch_names)} EEG channels",
        f"Made: {one_line(summary.date, 40) or 'unknown'}{simulated}",
    ]
    return "\n".join(line for line in lines if line)
