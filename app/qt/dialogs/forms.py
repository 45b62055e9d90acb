"""Dialogs to fill in, the settings of sessions, and a session's summary."""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from PyQt6.QtCore import Qt, QUrl
from PyQt6.QtGui import QImage, QTextDocument
from PyQt6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTextBrowser,
    QWidget,
)

from acquisition.errors import InputError
from acquisition.text import data_size
from app.cli.groups import described
from app.cli.options import LiveStreamOptions, PersonalModelOptions
from app.qt.dialogs.base import Dialog, Role, short_path
from app.qt.widgets import RowTable, put, there
from app.request import LiveRequest, Request
from app.summary import SessionSummary
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
        is_taken = "this file already exists: choose another name" if self.path.exists() else ""
        fault = is_taken if self.path_edit.text().strip() else "enter a file name"
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


_KINDS = {
    "Web page (*.html)": ".html",
    "Picture of the time course (*.png)": ".png",
    "Tables (*.csv)": ".csv",
}
_STYLE = """
td, th { padding: 1px 8px; text-align: left; white-space: nowrap; } tbody th { font-weight: 400; }
.simulated { font-weight: 600; } h1 { font-size: large; } h2 { font-size: medium; }"""
_FIGURE = '<img src="{name}" width="{width}">'


class SummaryDialog(Dialog):
    """The summary as a page; it leaves the window usable. Files go into ``folder`` by default."""

    def __init__(self, parent: QWidget | None, summary: SessionSummary, folder: Path) -> None:
        super().__init__(parent, f"Summary: {summary.title}")
        self._summary, self._folder = summary, folder
        self.page = QTextBrowser()
        self.page.setAccessibleName("Summary of the session")
        self.save = self.button("&Save…", Role.ActionRole, self._ask)
        self.button("&Close", Role.RejectRole, self.reject)
        self.lay_out(self.page, self.words, stretched=self.page)
        self.fit_screen(150, 48)
        self.work(self._drawn, self._show)

    def _drawn(self) -> tuple[bytes, bytes]:
        """Return the figures as pictures; loading what draws them takes a second."""
        from app.summary_page import course, electrodes, to_png

        shown = electrodes(self._summary)
        return to_png(course(self._summary)), b"" if shown is None else to_png(shown)

    def _show(self, pictures: tuple[bytes, bytes]) -> None:
        from app.summary_page import body

        document = there(self.page.document())
        document.setDefaultStyleSheet(_STYLE)
        width = self.fontMetrics().averageCharWidth() * 135
        shown = []
        for name, picture in zip(("course.png", "electrodes.png"), pictures, strict=True):
            image = QImage.fromData(picture)
            document.addResource(QTextDocument.ResourceType.ImageResource, QUrl(name), image)
            shown.append(_FIGURE.format(name=name, width=width) if picture else "")
        self.page.setHtml(body(self._summary, *shown))

    def _ask(self) -> None:
        free = self._folder / f"summary_{datetime.now():%Y-%m-%d_%H-%M-%S}.html"
        chosen, kind = QFileDialog.getSaveFileName(self, "Save the summary", str(free), ";;".join(_KINDS))
        if chosen:
            path, ending = Path(chosen), _KINDS.get(kind, ".html")
            self.write(path if path.suffix.lower() in _KINDS.values() else path.with_name(path.name + ending))

    def write(self, path: Path) -> None:
        """Save the summary as what the name's ending says."""
        from app.summary_page import write_summary

        def tell(written: list[Path]) -> None:
            self.say(f"Saved: {', '.join(map(str, written))}")

        self.work(lambda: write_summary(self._summary, path), tell)


#: Of options that are numbers: the label, the unit, how many of it make 1, the step, and what no value means.
_NUMBERS = {
    "distance_cm": ("Screen &distance", " cm", 1, 5.0, "unknown"),
    "baseline_s": ("&Baseline", " s", 1, 10.0, "none: the level runs"),
    "lateness": ("&Lateness", " s", 1, 0.05, "the model's (0.15 s)"),
    "answer_from": ("&Answer from", " %", 100, 5.0, "as fitted"),
    "min_coverage": ("Samples &needed", " %", 100, 5.0, "the model's (90 %)"),
}
#: Options that the dialog sets; names, ranges and explanations are those of the command line.
KEPT_OPTIONS = ("line", "screen_cm", *_NUMBERS)
_LINES = {"not removed": None, "50 Hz": 50, "60 Hz": 60}
N_MARKERS = 4
_HINT = "A change of these starts a new session; later live sessions keep it. Names of markers apply at once."


def marker_name(number: int, kept: str = "") -> str:
    """Return the name of a marker's key, 1 to `N_MARKERS`, as it is kept, or as it is without a choice."""
    return kept or f"marker {number}"


class SettingsDialog(Dialog):
    """The settings of the session of ``request`` and the names of the marker keys.

    ``on_chosen`` gets options by name and the names, once the options can be used.
    """

    def __init__(
        self,
        parent: QWidget | None,
        request: Request,
        names: Sequence[str],
        on_chosen: Callable[[dict[str, object], list[str]], None],
    ) -> None:
        super().__init__(parent, "Settings")
        self._options, self._on_chosen = request.options, on_chosen
        infos = described(PersonalModelOptions, LiveStreamOptions)
        form = QFormLayout()
        self.line = QComboBox()
        for text, value in _LINES.items():
            self.line.addItem(text, value)
        self.screen_cm = QLineEdit()
        self.screen_cm.setPlaceholderText("unknown; width x height in cm, e.g. 53x30")
        self.numbers = {name: _number(name, infos[name]) for name in _NUMBERS}
        self.numbers["lateness"].setEnabled(isinstance(request, LiveRequest))  # nothing is late in a replay
        self.names = [QLineEdit(name) for name in names]
        labels = ("&Mains frequency", "Screen si&ze", *(words[0] for words in _NUMBERS.values()))
        fields = (self.line, self.screen_cm, *self.numbers.values())
        for name, label, widget in zip(KEPT_OPTIONS, labels, fields, strict=True):
            form.addRow(label, widget)
            widget.setToolTip(infos[name].help)
        for number, edit in enumerate(self.names, 1):
            edit.setMaxLength(40)
            form.addRow(f"Marker on F{number + 4}", edit)
        self.button("&Apply", Role.ActionRole, self.use)
        self.button("Cancel", Role.RejectRole, self.reject)
        self.button("&Restore defaults", Role.ResetRole, self.restore)
        self.words = self.label(_HINT, n_columns=60, n_lines=2)
        self.lay_out(form, self.words)
        self.show_values({name: getattr(self._options, name) for name in KEPT_OPTIONS})

    def show_values(self, values: Mapping[str, object]) -> None:
        """Show options by name; None is the default."""
        self.line.setCurrentIndex(max(0, self.line.findData(values["line"])))
        self.screen_cm.setText(str(values["screen_cm"] or ""))
        for name, box in self.numbers.items():
            value = values[name]
            box.setValue(value * _NUMBERS[name][2] if isinstance(value, (int, float)) else box.minimum())

    def restore(self) -> None:
        self.show_values(dict.fromkeys(KEPT_OPTIONS))
        for number, edit in enumerate(self.names, 1):
            edit.setText(marker_name(number))

    def use(self) -> None:
        values: dict[str, object] = {
            "line": self.line.currentData(),
            "screen_cm": self.screen_cm.text().strip() or None,
        }
        for name, box in self.numbers.items():
            is_default = box.value() == box.minimum()
            values[name] = None if is_default else round(box.value() / _NUMBERS[name][2], 6)
        try:
            replace(self._options, **values).screen()  # type: ignore[arg-type]
        except InputError as error:
            self.refuse(str(error))
            return
        self.accept()
        self._on_chosen(values, [marker_name(n, edit.text().strip()) for n, edit in enumerate(self.names, 1)])


def _number(name: str, info: Any) -> QDoubleSpinBox:
    """Return a field for an option in its range; a step below it, it says what no value means."""
    _, unit, times, step, nothing = _NUMBERS[name]
    box = QDoubleSpinBox()
    box.setDecimals(2 if step < 1 else 0)
    box.setRange(info.min * times - (0.01 if step < 1 else 1), info.max * times)
    box.setSingleStep(step)
    box.setSuffix(unit)
    box.setSpecialValueText(nothing)
    return box
