"""Why: attention per modality, EEG channel and time step, and the occlusion check on request."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QColor, QKeySequence
from PyQt6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout

from acquisition.text import age, percent
from acquisition.types import MODALITIES
from app.engine.messages import Occlusion
from app.qt.panel import Panel
from app.qt.plots.axes import Axis, Row, RowAxis, number_text, with_unit
from app.qt.plots.heads import HeadPlot
from app.qt.plots.items import Bar, BarPlot, BarRow, Bars, Level, Spans
from app.qt.plots.plot import Plot, Table
from app.qt.theme import Theme
from app.qt.widgets import plain_label, put
from app.view.explanation import (
    DEVIATION_STEPS,
    NOT_USED,
    POINT_STEPS,
    SHARE_STEPS,
    Comparison,
    OcclusionBar,
    channel_deviation,
    compare,
    end_of_scale,
    missing_spans,
    modality_course,
    modality_word,
    occlusion_bars,
    points,
    region_values,
    time_bins,
)
from app.view.store import ViewStore
from app.view.text import moment_text
from app.view.trust import why_no_prediction
from models.prediction import Prediction

SPANS_S = (60.0, 120.0, 300.0)
NOT_CAUSE = "model weight, not cause"
NEARLY_EVEN = "nearly even: no electrode stands out"
_LANE = 0.88  # of a lane is 100 %; the rest keeps it off the next
#: The scale of the channels' map grows at once and falls back only when nothing reached it for so long.
_SCALE_OVER_S = 30.0


def _add_caution(panel: Panel) -> None:
    label = panel.add_words(NOT_CAUSE, muted=True)
    label.setToolTip(
        "Attention shows how the model weights its inputs; occlusion shows their effect on the output."
    )


class ModalityAttentionPanel(Panel):
    """A lane each with a line, on one time axis that ends at the prediction shown."""

    def __init__(self) -> None:
        super().__init__("Attention per modality")
        _add_caution(self)
        spans = {f"{span / 60:.0f} min": span for span in SPANS_S}
        self.span = self.add_choice("Time span of attention per modality", spans)
        self.plot = self.add_plot(LanesPlot())

    def refresh(self, store: ViewStore, t: float) -> None:
        newest, span_s = store.predictions.at(t), float(self.span.currentData())
        oldest = store.predictions.oldest_time if newest is not None else None
        if not self.is_new(id(store), newest, span_s, oldest, store.phase.name):
            return
        if newest is None:
            self.plot.set_notice(why_no_prediction(store))
            self.plot.setAccessibleDescription("no prediction yet")
        else:
            shown = store.predictions.read(newest.t_end - span_s, newest.t_end)
            self.plot.show_lanes(shown, span_s, store.modalities)


class LanesPlot(Plot):
    """A lane for each modality, from 0 to 100 %; where a modality is missing the lane is hatched."""

    moment_chosen = pyqtSignal(float)  # LSL seconds

    def __init__(self) -> None:
        n = len(MODALITIES)
        self._names = RowAxis("left", ("Voice", "100 %"))
        self._figures = RowAxis("right", (NOT_USED,))
        self._times = Axis("bottom", title="time before the prediction shown (s)", has_grid=True)
        axes, name = (self._names, self._figures, self._times), "Attention per modality over time"
        super().__init__(name, axes, x=(-60.0, 0.0), y=(0.0, float(n)), zoom="x", least=(36, 9.6))
        self.clicked.connect(lambda x, y: self.moment_chosen.emit(self.t_end + x))
        self.setToolTip("Click to go to that moment")
        self.t_end = math.nan  # the moment at the right edge, LSL seconds
        self.times: NDArray[np.float64] = np.empty(0)  # before it
        self.shares: NDArray[np.float64] = np.empty((0, n))  # 0..1 by MODALITIES, NaN where missing
        self.missing = Spans(self)
        self.lines = [pg.PlotDataItem(connect="finite", fillLevel=float(n - 1 - i)) for i in range(n)]
        self._edges = [pg.InfiniteLine(level, angle=0) for i in range(n) for level in (i, i + _LANE)]
        for item in (*self._edges, *self.lines):
            self.plot_item.addItem(item)
        rows = []
        for i, modality in enumerate(MODALITIES):
            rows.append(Row(self._floor(i) + 0.5 * _LANE, (modality_word(modality), "")))
            rows.append(Row(self._floor(i) + 0.85 * _LANE, ("", "100 %"), "muted"))
            rows.append(Row(self._floor(i) + 0.15 * _LANE, ("", "0 %"), "muted"))
        self._names.set_rows(rows)
        self.set_theme(self.theme)

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        for edge in self._edges:
            edge.setPen(pg.mkPen(theme.grid, width=1))
        for i, line in enumerate(self.lines):
            faint = QColor(theme.category(i))
            faint.setAlpha(60)
            line.setPen(pg.mkPen(theme.category(i), width=1))
            line.setFillBrush(faint)

    def show_lanes(
        self, predictions: Sequence[Prediction], span_s: float, read: Sequence[str] = MODALITIES
    ) -> None:
        """Show predictions, the newest last; ``read`` are the model's modalities."""
        newest = predictions[-1]
        self.set_notice("")
        self.t_end = newest.t_end
        times, self.shares = modality_course(predictions)
        self.times = times - self.t_end
        self.set_home(x=(-span_s, 0.0))
        for i, line in enumerate(self.lines):
            line.setData(self.times, self._floor(i) + _LANE * self.shares[:, i])
        self.missing.set_content(
            (max(start - self.t_end, -span_s), end - self.t_end, self._floor(i), self._floor(i) + _LANE)
            for i, modality in enumerate(MODALITIES)
            for start, end in missing_spans(predictions, modality)
        )
        self.redraw()
        shares = {m: newest.modality_attention.get(m) for m in MODALITIES if newest.present.get(m)}
        absent = {m: "missing" if m in read else NOT_USED for m in MODALITIES}
        said = [percent(shares[m]) if m in shares else absent[m] for m in MODALITIES]
        self._figures.set_rows([Row(self._floor(i) + _LANE / 2, (text,)) for i, text in enumerate(said)])
        self.setAccessibleDescription(_of_modalities(said))

    def text_at(self, x: float, y: float) -> str:
        at = int(np.searchsorted(self.times, x, side="right")) - 1
        if at < 0:
            return ""
        shares = (percent(share) if math.isfinite(share) else "missing" for share in self.shares[at])
        return f"{-x:.1f} s before: {_of_modalities(shares)}"

    def table(self) -> Table:
        values = zip(self.times, self.shares, strict=True)
        rows = [(f"{t:.3f}", *(f"{share:.5f}" for share in shares)) for t, shares in values]
        return ["seconds before the prediction shown", *map(modality_word, MODALITIES)], rows

    def _floor(self, lane: int) -> float:
        """Return where a lane has 0 %; the first lies at the top."""
        return float(len(MODALITIES) - 1 - lane)


def _of_modalities(texts: Iterable[str]) -> str:
    return ", ".join(f"{modality_word(m)} {text}" for m, text in zip(MODALITIES, texts, strict=True))


class ChannelAttentionPanel(Panel):
    """How far each channel's weight lies from an equal share."""

    def __init__(self) -> None:
        super().__init__("Attention per EEG channel")
        _add_caution(self)
        self.plot = self.add_plot(HeadPlot(""))
        self.plot.setAccessibleName("Attention per EEG channel, deviation from an equal share")

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction = store.predictions.at(t)
        if not self.is_new(id(store), prediction):
            return
        if prediction is None:
            self.plot.set_notice("no prediction yet")
            return
        names, deviation, share = channel_deviation(prediction)
        if not prediction.present.get("eeg") or math.isnan(share):
            is_read = "eeg" in store.modalities
            self.plot.set_notice("EEG missing" if is_read else "the model reads no EEG")
            return
        recent = store.predictions.read(prediction.t_end - _SCALE_OVER_S, prediction.t_end)
        largest = max(_largest(p) for p in recent)
        end = end_of_scale(largest, DEVIATION_STEPS)
        self.plot.set_title(f"relative to an equal share of {100 * share:.1f} %")
        self.plot.set_even(NEARLY_EVEN if largest < DEVIATION_STEPS[0] else "")
        self.plot.set_values(names, deviation, -end, end, "%", diverging=True, by_size=False)


class TimeAttentionPanel(Panel):
    """Bars by seconds before the prediction."""

    def __init__(self) -> None:
        super().__init__("Attention per time step")
        _add_caution(self)
        self.plot = self.add_plot(StepsPlot())

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction = store.predictions.at(t)
        if not self.is_new(id(store), prediction, store.model):
            return
        shift_s = store.model.windows.eeg_shift_s if store.model is not None else 1.0
        self.plot.set_bins([] if prediction is None else time_bins(prediction, shift_s))


class StepsPlot(Plot):
    """Shares over the steps of a window, the newest at the right."""

    def __init__(self) -> None:
        axes = (
            Axis("left", with_unit("%"), room="100 %", has_grid=True),
            Axis("bottom", title="time before the prediction (s)"),
        )
        x, y = (-10.0, 0.0), (0.0, 100.0)
        super().__init__("Attention per time step", axes, x=x, y=y, zoom="x", least=(30, 7.0))
        self.bins: list[tuple[float, float, float]] = []  # start, end, share, as of `time_bins`
        self.bars = Bars(self)
        self.setToolTip("The oldest step also includes earlier context")
        self.set_bins([])

    def set_bins(self, bins: list[tuple[float, float, float]]) -> None:
        self.bins = bins
        self.set_notice("" if bins else "No prediction yet")
        if not bins:
            self.bars.set_content(())
            return
        start, end, share = max(bins, key=lambda each: each[2])
        top = end_of_scale(share, SHARE_STEPS)
        self.set_home(x=(bins[0][0], bins[-1][1]), y=(0.0, 112 * top))
        self.setAccessibleDescription(
            f"highest {100 * share:.0f} %, {-start:g} to {abs(end):g} s before the prediction"
        )
        gap = 0.04 * (bins[0][1] - bins[0][0])
        self.bars.set_content(
            Bar((start + gap, end - gap), (0.0, 100 * share), self.theme.accent, text=f"{100 * share:.0f}")
            for start, end, share in bins
        )

    def text_at(self, x: float, y: float) -> str:
        found = next((each for each in self.bins if each[0] <= x < each[1]), None)
        return "" if found is None else f"{-found[0]:g} to {abs(found[1]):g} s before: {100 * found[2]:.1f} %"

    def table(self) -> Table:
        rows = [(start, end, f"{share:.5f}") for start, end, share in self.bins]
        return ["from (s)", "to (s)", "share"], rows


def _largest(prediction: Prediction) -> float:
    deviation = channel_deviation(prediction)[1]
    return float(np.nanmax(np.abs(deviation))) if np.isfinite(deviation).any() else 0.0


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
_NOTES = {
    "asking": "Running the model …",
    "no answer": f"No result for {_PATIENCE_S:.0f} s: check that a stream is running and the replay "
    "is not paused.",
    "no session": "Needs a running session with a prediction.",
    "ready": "",
}
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
        right = put(QVBoxLayout(), self.flag, plain_label(_READING, muted=True, wraps=True), 1)
        below = put(QHBoxLayout(), (self.map, 1), (right, 1))
        bars = put(QHBoxLayout(), *((plot, 1) for plot in self.columns))
        put(self.body, self.which, self.note, (bars, 6), (below, 5))
        self.flag.hide()
        self.which.hide()
        self.note.setText(_BEFORE)
        self.map.set_notice("not checked yet")

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
        if self._asked_at is None:
            return "no session" if is_over else "ready"
        return "asking" if self._now() - self._asked_at < _PATIENCE_S else "no answer"

    def _show_which(self, store: ViewStore, shown_end: float | None, state: str) -> None:
        note, answer = _NOTES[state], store.occlusion
        if answer is None:
            note = note or _BEFORE
        else:
            text = moment_text(store)
            said = f"Window at {text(answer.t_end)}: {answer.label} {percent(answer.probability)}"
            self.which.setText(said)
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
            self.map.set_notice("not checked yet")
            return
        values = region_values(answer)
        if values:
            scale = -self.end, self.end
            self.map.set_values(tuple(values), list(values.values()), *scale, "points", diverging=True)
        else:
            self.map.set_notice("EEG missing" if "eeg" in read else "the model reads no EEG")
        self._show_flag(store, answer)

    def _show_bars(self, shown: Mapping[str, Sequence[OcclusionBar]]) -> None:
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

    def _row(self, bar: OcclusionBar) -> BarRow:
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
        role = {"disagree": "suspect", "agree": "good"}.get(found.state, "muted")
        self.flag.setStyleSheet(f"color: {getattr(self.theme, role)}")


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
