"""The occlusion check, run on request: how the probability changes without one part of the input."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout

from acquisition.text import age, percent
from app.engine.messages import Occlusion
from app.qt.panel import Panel
from app.qt.plots.axes import number_text
from app.qt.plots.bar_plot import BarPlot, BarRow, Level
from app.qt.plots.heads import HeadPlot
from app.qt.widgets import plain_label, put
from app.view.explanation import (
    POINT_STEPS,
    Bar,
    Comparison,
    compare,
    end_of_scale,
    occlusion_bars,
    points,
    region_values,
)
from app.view.store import ViewStore
from app.view.text import moment_text

SHORTCUT = "O"

_PATIENCE_S = 15.0
_EMPTY_END = 10.0  # percentage points
_BEFORE = (
    "Removes one modality, EEG band or EEG region of the newest window at a time and reruns the model: "
    "the change in probability shows what the prediction depends on."
)
_READING = (
    "Bars: probability without the input minus original probability. To the left: the prediction depended "
    "on it. A modality or region is treated as missing; a band is replaced by its typical value."
)
_MARKS = {"agree": "●", "disagree": "▲", "unknown": "○"}
_HEADS = {
    "agree": "No disagreement between attention and occlusion.",
    "disagree": "Attention and occlusion disagree.",
    "unknown": "",
}


class OcclusionPanel(Panel):
    """Button, bars, head map of the regions, and whether attention agrees.

    The answer to ``asked`` arrives in ``store.occlusion``.
    """

    asked = pyqtSignal()

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__("Occlusion check")
        self._now = now
        self.state = "no session"  # or ready, asking, no answer
        self._asked_at: float | None = None
        self._asked_with: Occlusion | None = None  # the answer there was when asked
        self._store: ViewStore | None = None
        self._answered: object = None
        self.ask = QPushButton(f"Check the newest window ({SHORTCUT})")
        self.ask.setShortcut(QKeySequence(SHORTCUT))
        self.ask.setAccessibleDescription(_BEFORE)
        self.ask.clicked.connect(self._ask)
        self.head.addWidget(self.ask)
        self.which = plain_label(wraps=True)
        self.note = plain_label(muted=True, wraps=True)
        self.columns = tuple(_delta_bars(name) for name in ("modalities and bands", "regions"))
        self.end = _EMPTY_END  # of both axes and of the head: one length, one colour, one change
        self.map = HeadPlot("Change by EEG region, percentage points", n_labels=0)
        self.flag = plain_label(wraps=True)
        self.flag.setAccessibleName("Agreement of attention and occlusion")
        self._lay_out()

    def refresh(self, store: ViewStore, t: float) -> None:
        self._store = store
        shown = store.predictions.at(t)
        shown_end = None if shown is None else shown.t_end
        self.state = state = self._state_of_asking(store)
        if not self.is_new(id(store), store.occlusion, shown_end, state):
            return
        self.ask.setEnabled(state in ("ready", "no answer"))
        self._show_which(store, shown_end, state)
        answered = (id(store), store.occlusion, store.model, self.theme)
        if answered != self._answered:
            self._answered = answered
            self._show_answer(store)

    def _ask(self) -> None:
        self._asked_at = self._now()
        self._asked_with = self._store.occlusion if self._store is not None else None
        self.asked.emit()

    def _state_of_asking(self, store: ViewStore) -> str:
        """Return "ready", "asking", "no answer" or "no session"."""
        is_over = store.is_over or store.predictions.newest is None
        if is_over or store.occlusion is not self._asked_with:
            self._asked_at = None
        if is_over:
            return "no session"
        if self._asked_at is None:
            return "ready"
        return "asking" if self._now() - self._asked_at < _PATIENCE_S else "no answer"

    def _show_which(self, store: ViewStore, shown_end: float | None, state: str) -> None:
        notes = {
            "asking": "Running the model …",
            "no answer": f"No result for {_PATIENCE_S:.0f} s: check that a stream is running and the replay "
            "is not paused.",
            "no session": "Needs a running session with a prediction.",
            "ready": "",
        }
        note = notes[state]
        answer = store.occlusion
        if answer is None:
            self.which.setText("")
            note = note or _BEFORE
        else:
            text = moment_text(store)
            self.which.setText(
                f"Window at {text(answer.t_end)}: {answer.label} {percent(answer.probability)}"
            )
            if not note and shown_end is not None and shown_end != answer.t_end:
                order = "older" if answer.t_end < shown_end else "newer"
                apart = age(abs(shown_end - answer.t_end))
                note = f"This window is {apart} {order} than the prediction shown ({text(shown_end)})."
        self.which.setVisible(answer is not None)
        self.note.setText(note)

    def _show_answer(self, store: ViewStore) -> None:
        answer = store.occlusion
        changes = [abs(100 * row.delta_p) for row in answer.rows] if answer is not None else [_EMPTY_END]
        self.end = end_of_scale(max(changes, default=0.0), POINT_STEPS)
        read = store.modalities
        checked = store.predictions.at(answer.t_end) if answer is not None else None
        present = ("eeg",) if checked is None else [m for m, is_there in checked.present.items() if is_there]
        bands = store.model.bands if store.model is not None else ()
        self._show_bars(occlusion_bars(answer, bands, read, present))
        self.flag.setVisible(answer is not None)
        if answer is None:
            self.map.set_missing("not checked yet")
            return
        values = region_values(answer)
        if values:
            scale = -self.end, self.end
            self.map.set_values(tuple(values), list(values.values()), *scale, "points", diverging=True)
        else:
            self.map.set_missing("EEG missing" if "eeg" in read else "the model reads no EEG")
        self._show_flag(store, answer)

    def _show_bars(self, shown: Mapping[str, Sequence[Bar]]) -> None:
        """Draw modalities and bands in the left plot, regions in the right one, with as many rows."""
        made = [[BarRow(heading, is_bold=True), *map(self._row, bars)] for heading, bars in shown.items()]
        left, right = [*made[0], BarRow(""), *made[1]], made[2]
        n_rows = max(len(left), len(right))
        for plot, rows in zip(self.columns, (left, right), strict=True):
            plot.set_home(x=(-self.end, self.end))
            ends = [(value, plot.value_axis.words(value, 1.0)) for value in (-self.end, 0.0, self.end)]
            plot.value_axis.setTicks([ends])
            plot.set_levels([Level(0.0, "", Qt.PenStyle.SolidLine, "muted")])
            plot.set_rows([*rows, *[BarRow("")] * (n_rows - len(rows))])

    def _row(self, bar: Bar) -> BarRow:
        """Return a bar to draw: falling is solid, rising hatched, as the side says too."""
        if bar.points is None:
            return BarRow(bar.name, (bar.note,), role="muted")
        falls, figures = bar.points < 0, (points(bar.points / 100),)
        hatch = Qt.BrushStyle.SolidPattern if falls else Qt.BrushStyle.BDiagPattern
        return BarRow(bar.name, figures, end=bar.points, colour=self.theme.categories[falls], hatch=hatch)

    def _show_flag(self, store: ViewStore, answer: Occlusion) -> None:
        prediction = store.predictions.at(answer.t_end)
        if prediction is None or prediction.t_end != answer.t_end:
            found = Comparison("unknown", ("The prediction of that window is no longer kept.",))
        else:
            found = compare(prediction.modality_attention, answer.rows, answer.label)
        words = " ".join(part for part in (_HEADS[found.state], *found.sentences) if part)
        self.flag.setText(f"{_MARKS[found.state]} {words}")
        theme = self.theme
        colour = {"disagree": theme.suspect, "agree": theme.good}.get(found.state, theme.muted)
        self.flag.setStyleSheet(f"color: {colour}")

    def _lay_out(self) -> None:
        right = put(QVBoxLayout(), self.flag, plain_label(_READING, muted=True, wraps=True), 1)
        below = put(QHBoxLayout(), (self.map, 1), (right, 1))
        bars = put(QHBoxLayout(), *((plot, 1) for plot in self.columns))
        put(self.body, self.which, self.note, (bars, 6), (below, 5))
        self.flag.hide()
        self.which.hide()
        self.note.setText(_BEFORE)
        self.map.set_missing("not checked yet")


def _delta_bars(name: str) -> BarPlot:
    return BarPlot(
        f"Occlusion of {name}: change in probability, percentage points",
        ("\N{MINUS SIGN}100.0",),
        x=(-10.0, 10.0),
        unit="percentage points",
        words=lambda value, spacing: f"{'+' if value > 0 else ''}{number_text(value, spacing)}",
        title="percentage points",
        least=(30, 11),
        most_lines=1.8,
    )
