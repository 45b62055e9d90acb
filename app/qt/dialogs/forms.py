"""Dialogs to fill in: the file to record to, the participant, electrodes, and what is felt now."""

import shutil
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from acquisition.errors import InputError
from acquisition.text import data_size
from app.qt.dialogs.base import Dialog, Role, short_path
from app.qt.widgets import RowTable, put
from app.view.text import tooltip
from calibration.storage import check_subject


class RecordDialog(Dialog):
    """A path, the room on its disk, and Start."""

    def __init__(self, parent: QWidget | None, path: Path) -> None:
        super().__init__(parent, "Record")
        self.path_edit = QLineEdit(str(path))
        self.path_edit.setAccessibleName("File to record to")
        self.path_edit.setMinimumWidth(self.fontMetrics().averageCharWidth() * 60)
        self.path_edit.textChanged.connect(self._check)
        self._folder = self.label()
        self._folder.setWordWrap(False)
        file, form = QLabel("&File"), QFormLayout()
        file.setBuddy(self.path_edit)
        browse = QPushButton("&Browse…")
        browse.clicked.connect(self._browse)
        form.addRow(file, put(QHBoxLayout(), (self.path_edit, 1), browse))
        form.addRow("Folder", self._folder)
        form.addRow("Disk", self.words)
        self.start = self.button("&Start recording", Role.AcceptRole, self.accept)
        self.button("Cancel", Role.RejectRole, self.reject)
        self.lay_out(form, self.label("Records all streams in use, the predictions and the clock map."))
        self._check()
        width = self.fontMetrics().horizontalAdvance(str(path)) // self.fontMetrics().averageCharWidth()
        self.fit_screen(max(width + 30, 90), 0)

    @property
    def path(self) -> Path:
        """The file chosen; XDF, whatever its name ended with."""
        path = Path(self.path_edit.text().strip()).expanduser()
        return path if path.suffix.lower() == ".xdf" else path.with_name(path.name + ".xdf")

    def _check(self) -> None:
        self._folder.setText(short_path(self, self.path.parent, 75))
        self._folder.setToolTip(tooltip(str(self.path.parent)))
        self.path_edit.setToolTip(tooltip(str(self.path)))
        fault = ""
        if not self.path_edit.text().strip():
            fault = "enter a file name"
        elif self.path.exists():
            fault = "this file already exists: choose another name"
        self.start.setEnabled(not fault)
        self.say(fault or f"{data_size(_free_bytes(self.path))} free")

    def _browse(self) -> None:
        kinds = "XDF recordings (*.xdf)"
        chosen, _ = QFileDialog.getSaveFileName(self, "Record to", self.path_edit.text(), kinds)
        if chosen:
            self.path_edit.setText(chosen)


def _free_bytes(path: Path) -> float:
    folders = path.absolute().parents
    folder = next((folder for folder in folders if folder.exists()), folders[0])
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return float("nan")


_STEPS = (
    "The live session ends and the calibration opens in its own window: consent, signal check and ten "
    "trials, about 15 minutes. The live session then restarts, with the new profile if you wish."
)


class SubjectDialog(Dialog):
    """A field for the participant's ID: a code, no name."""

    def __init__(self, parent: QWidget | None, subject: str, on_chosen: Callable[[str], None]) -> None:
        super().__init__(parent, "Calibrate")
        self._on_chosen = on_chosen
        self.edit = QLineEdit(subject)
        self.edit.setPlaceholderText("S01")
        self.edit.setAccessibleName("Participant ID, such as S01")
        self.edit.textChanged.connect(self._check)
        self.words = self.label(n_lines=2)
        form = QFormLayout()
        form.addRow("&Participant ID", self.edit)
        self.start = self.button("&Start the calibration", Role.AcceptRole, self._take)
        self.button("Cancel", Role.RejectRole, self.reject)
        self.lay_out(self.label(_STEPS, n_columns=70), form, self.words)
        self._check()

    def _check(self) -> None:
        subject, fault = self.edit.text().strip(), ""
        try:
            check_subject(subject)
        except InputError as error:
            fault = f"{error.what} ({error.remedy})" if subject else "Enter an ID such as S01, not a name."
        self.say(fault)
        self.start.setEnabled(not fault)

    def _take(self) -> None:
        self.accept()
        self._on_chosen(self.edit.text().strip())


class SelfReportDialog(Dialog):
    """A button for each emotion, with its number as key; Escape leaves the question unanswered."""

    def __init__(
        self, parent: QWidget | None, labels: Sequence[str], on_chosen: Callable[[str], None]
    ) -> None:
        super().__init__(parent, "Self-report")
        for at, label in enumerate(labels, 1):
            call = partial(self._take, on_chosen, label)
            self.button(f"&{at} {label}", Role.ActionRole, call)
        self.button("None of these", Role.RejectRole, self.reject)
        self.lay_out(self.label("What do you feel now?", n_columns=40))
        for button in self.findChildren(QPushButton):  # an answer that Enter gives is one suggested
            button.setAutoDefault(False)
            button.setDefault(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFocus()

    def _take(self, on_chosen: Callable[[str], None], label: str) -> None:
        self.accept()
        on_chosen(label)


_BAD_MEANS = (
    "A bad electrode is masked in the network from now on, and left out of averages and maps. Live, the mark "
    "goes into the recording as a marker, whose replay masks it there too, and is kept for the device; in a "
    "replay it holds for all of it, until it is closed."
)


class ElectrodesDialog(Dialog):
    """A table of electrodes with two ticks each, shown and bad; ``on_chosen`` takes those hidden and bad."""

    def __init__(
        self,
        parent: QWidget | None,
        names: Sequence[str],
        hidden: Collection[str],
        bad: Collection[str],
        on_chosen: Callable[[Collection[str], Collection[str]], object],
    ) -> None:
        super().__init__(parent, "Electrodes")
        self._names, self._on_chosen = names, on_chosen
        self.table = RowTable("Electrodes, Space ticks", ("Electrode", "Shown", "Bad"), ((n,) for n in names))
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectItems)
        for row, name in enumerate(names):
            for column, (word, is_on) in enumerate((("shown", name not in hidden), ("bad", name in bad)), 1):
                tick = QTableWidgetItem()
                tick.setCheckState(Qt.CheckState.Checked if is_on else Qt.CheckState.Unchecked)
                tick.setData(Qt.ItemDataRole.AccessibleTextRole, f"{name} {word}")
                self.table.setItem(row, column, tick)
        self.table.setCurrentCell(0, 2)
        self.button("&OK", Role.AcceptRole, self._take)
        self.button("Show &all", Role.ActionRole, self._show_all)
        self.button("Cancel", Role.RejectRole, self.reject)
        self.lay_out(self.table, self.label(_BAD_MEANS, n_columns=60), stretched=self.table)
        self.fit_screen(66, 30)

    def ticked(self, column: int) -> list[str]:
        """Return the electrodes with a tick in a column: 1 shown, 2 bad."""
        items = ((name, self.table.item(row, column)) for row, name in enumerate(self._names))
        return [name for name, item in items if item and item.checkState() is Qt.CheckState.Checked]

    def _show_all(self) -> None:
        for row in range(len(self._names)):
            if (item := self.table.item(row, 1)) is not None:
                item.setCheckState(Qt.CheckState.Checked)

    def _take(self) -> None:
        self.accept()
        shown = self.ticked(1)
        self._on_chosen([name for name in self._names if name not in shown], self.ticked(2))
