"""A session's summary, to be read and saved, and the settings of sessions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QUrl
from PyQt6.QtGui import QImage, QTextDocument
from PyQt6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QTextBrowser,
    QWidget,
)

from acquisition.errors import InputError
from app.cli.groups import described
from app.cli.options import LiveStreamOptions, PersonalModelOptions
from app.qt.dialogs.base import Dialog, Role
from app.qt.widgets import there
from app.request import LiveRequest, Request
from app.summary import SessionSummary

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
        labels = {name: words[0] for name, words in _NUMBERS.items()}
        rows = {"line": self.line, "screen_cm": self.screen_cm, **self.numbers}
        for name, widget in rows.items():
            label = labels.get(name) or {"line": "&Mains frequency", "screen_cm": "Screen si&ze"}[name]
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
