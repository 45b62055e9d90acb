"""The probabilities: over the last minutes, with a way back to any of them, and on the plane of affect."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen

from acquisition.text import percent
from app.engine.messages import Mark
from app.qt.panel import Panel
from app.qt.plots.axes import Axis, Row, RowAxis
from app.qt.plots.heads import free_box
from app.qt.plots.items import Markers, mixed
from app.qt.plots.plot import PixelItem, Plot, Table, figure_text
from app.qt.plots.time_plot import texts_near
from app.qt.theme import Theme, colour_of, draw_mark, fill_answer
from app.qt.widgets import plain_label
from app.view.explanation import UNCERTAIN, WARMING_UP, course, mean_over_s
from app.view.store import ViewStore
from app.view.trust import judge_at, labels_of, needed
from app.view.valence_arousal import Place, place_of, point, unplaced
from models.prediction import Prediction
from models.trust import STALE_AFTER_S

SPANS_MIN = (1, 2, 5, 10)
_GRID_S = 0.25  # the right edge moves in these steps at least: the plot is drawn at most so often
_MOST_STEPS = 600  # that are told apart by eye: a longer span moves in larger steps
_HELD_S = 0.3  # a moment older than this against the newest is marked with a line
_SHORTEST_S = 30.0  # what is shown while a session is young; it grows in steps of a third
_RIBBON = (1.03, 1.15)  # where the answers stand above the probabilities
_FAINT = 0.32  # share of a line's colour where each prediction is drawn behind the means


class CoursePanel(Panel):
    """Probabilities over time."""

    def __init__(self) -> None:
        super().__init__("Time course")
        self.add_words("click or use ←/→ to look back", muted=True)
        spans = {f"{minutes} min": minutes for minutes in SPANS_MIN}
        self.span = self.add_choice("Time span of the time course", spans, SPANS_MIN.index(2))
        self.span.setToolTip("Minutes shown, once recorded")
        self.plot = self.add_plot(CoursePlot())

    def refresh(self, store: ViewStore, t: float) -> None:
        self.plot.show_store(store, t, 60.0 * int(self.span.currentData()))


class CoursePlot(Plot):
    """A line each emotion, the answers as a ribbon above, markers, and the moment looked at."""

    moment_chosen = pyqtSignal(float)  # LSL seconds, a prediction's ``t_end`` that was clicked

    def __init__(self) -> None:
        self._levels = Axis("left", room="62.5 %", title="probability")
        self._names = RowAxis("right", aligned=Qt.AlignmentFlag.AlignLeft, is_spread=True)
        self._times = Axis("bottom", self._time_text, title="time before now (min:s)", has_grid=True)
        axes = (self._levels, self._names, self._times)
        super().__init__("Probabilities over time", axes, y=(0.0, _RIBBON[1]), zoom="x", least=(50, 8.0))
        self.setAccessibleDescription(
            "Left and right step from prediction to prediction, Page Up and Page Down by ten seconds, "
            "End returns to now."
        )
        self._store: ViewStore | None = None
        self.t0 = self.t1 = math.nan  # first and last moment shown, LSL seconds
        self.zero = math.nan  # the moment that the axis calls 0
        self._drawn_for: tuple[object, ...] = ()
        self._stretch_for: object = None
        self.course = course((), (), math.nan)
        self.figures: NDArray[np.float32] = np.empty(0, np.float32)  # (n_labels,) beside names
        self.markers: Sequence[Mark] = ()
        self._least_line = pg.InfiniteLine(angle=0)
        self.plot_item.addItem(self._least_line)
        self._faint: list[pg.PlotDataItem] = []
        self._lines: list[pg.PlotDataItem] = []
        self._marker_lines = Markers(self, has_texts=True, below=1.0)
        self._ribbon = _Ribbon(self)
        self.clicked.connect(lambda x, y: self._choose(self.zero + x))
        self.set_theme(self.theme)

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        self._least_line.setPen(pg.mkPen(theme.text, width=1, style=Qt.PenStyle.DashLine))
        for index, (line, faint) in enumerate(zip(self._lines, self._faint, strict=True)):
            line.setPen(pg.mkPen(colour_of(theme, index), width=2))
            faint.setPen(pg.mkPen(mixed(colour_of(theme, index).name(), theme.surface, _FAINT), width=1))

    def show_store(self, store: ViewStore, t: float, span_s: float) -> None:
        """Show ``span_s`` seconds up to the newest moment; while ``t`` is held, the plot stands still."""
        self._store = store
        held = t if self._is_held(t) else math.nan
        self._ribbon.hold(held - self.zero)
        t0, t1 = self._stretch(store, t, span_s)
        newest = store.predictions.newest
        labels = labels_of(store, None) or labels_of(store, newest)
        newest_step = None if newest is None else min(newest.t_end, t1) // _grid_s(t1 - t0)
        drawn_for = (id(store), str((t0, t1)), newest_step, len(store.markers), labels, str(held))
        if drawn_for == self._drawn_for:
            return
        self._drawn_for, self.t0, self.t1 = drawn_for, t0, t1
        self._choose_zero(store, held)
        newest_shown = t1 if math.isnan(store.newest_time) else store.newest_time  # as the cursor counts
        mean_s = mean_over_s(t1 - t0)
        start = t0 - STALE_AFTER_S - mean_s
        predictions = store.predictions.read(start, newest_shown) if math.isfinite(t1) else []
        self.course = course(predictions, labels, t1, mean_s)
        self.figures = self._figures(store, t)
        self.markers = store.markers.read(t0, t1) if math.isfinite(t1) else ()
        self._draw()
        self._ribbon.hold(held - self.zero)

    def text_at(self, x: float, y: float) -> str:
        lines = texts_near(self, self.markers, self.zero + x)
        at = int(np.searchsorted(self.course.times, self.zero + x, side="right")) - 1
        if at >= 0 and np.isfinite(self.course.lines[at]).any():
            shares = zip(self.course.labels, self.course.lines[at].tolist(), strict=True)
            said = ", ".join(f"{label} {percent(share)}" for label, share in shares)
            lines.append(f"{_minutes(x)}  {said}")
        return "\n".join(lines)

    def table(self) -> Table:
        """Return the probabilities over time, and their means where these are drawn."""
        made = self.course
        names = [*made.labels, *(f"{label} ({made.mean_s:g} s mean)" for label in made.labels if made.mean_s)]
        values = made.probs if made.means is None else np.concatenate([made.probs, made.means], axis=1)
        rows = [
            (f"{time - self.zero:.3f}", *(f"{value:.5f}" for value in each))
            for time, each in zip(made.times, values, strict=True)
            if self.t0 <= time <= self.t1
        ]
        return [f"{self.time_name}, s", *names], rows

    def _draw(self) -> None:
        made, zero = self.course, self.zero
        labels, n_labels = made.labels, len(made.labels)
        if n_labels != len(self._lines):
            for line in (*self._faint, *self._lines):
                self.plot_item.removeItem(line)
            steps = [pg.PlotDataItem(stepMode="right", connect="finite") for _ in 2 * labels]
            self._faint, self._lines = steps[:n_labels], steps[n_labels:]
            for line in (*self._faint, *self._lines):
                self.plot_item.addItem(line)
            self.set_theme(self.theme)
        least = 0.5 if self._store is None or not labels else min(1.0, needed(self._store, labels))
        self._levels.setTicks([[(p, f"{100 * p:.3g} %") for p in (0.0, least, 1.0)]])
        self._least_line.setPos(least)
        self._least_line.setVisible(bool(n_labels))
        if math.isfinite(self.t1):
            self.set_home(x=(self.t0 - zero, self.t1 - zero))
        times = made.times - zero
        order = np.argsort(np.argsort(np.nan_to_num(self.figures), kind="stable"))  # the highest on top
        for index in range(n_labels):
            self._lines[index].setData(times, made.lines[:, index])
            self._lines[index].setZValue(2 + order[index] / 100)
            if made.means is not None:
                self._faint[index].setData(times, made.probs[:, index])
            self._faint[index].setVisible(made.means is not None)
        means = f"; lines: {made.mean_s:g} s mean, faint: every prediction" if made.mean_s else ""
        self._times.set_title(self.time_name + means)
        self._names.set_columns([max((f"{label} 100 %" for label in labels), key=len, default="")])
        figures = enumerate(zip(labels, self.figures.tolist(), strict=True))
        rows = [Row(p, (f"{label} {percent(p)}",), mark=i) for i, (label, p) in figures if math.isfinite(p)]
        self._names.set_rows(rows)
        self._marker_lines.set_content((m.time - zero, m.text) for m in self.markers)
        self.set_notice("" if made.answers else "no prediction in this time span")
        self._ribbon.update()

    def _choose_zero(self, store: ViewStore, held: float) -> None:
        self.zero, self.time_name = self.t1, "time before now (min:s)"
        if store.timeline is not None:
            self.zero, self.time_name = store.timeline.first, "recording time (min:s)"
        elif math.isfinite(held):
            self.zero, self.time_name = held, "time from the moment shown (min:s)"

    def _time_text(self, value: float, spacing: float) -> str:
        if self._store is not None and self._store.timeline is not None:
            return _minutes(value) if value >= -1e-6 else ""  # a recording has no time before its start
        return f"+{_minutes(value)}" if value > 0 else _minutes(value)

    def _figures(self, store: ViewStore, t: float) -> NDArray[np.float32]:
        """Return the probabilities to name, as the answer's panel has them: those of the moment shown."""
        if not self._is_held(t):
            return self.course.newest
        prediction = store.predictions.at(t)
        if prediction is None or t - prediction.t_end > STALE_AFTER_S:
            return np.full(len(self.course.labels), np.nan, np.float32)
        return np.array([prediction.probs.get(name, np.nan) for name in self.course.labels], np.float32)

    def _stretch(self, store: ViewStore, t: float, span_s: float) -> tuple[float, float]:
        """Return first and last moment to show; both stay while the moment held lies between them."""
        asked = (id(store), span_s)
        if self._is_held(t) and self._stretch_for == asked and self.t0 <= t <= self.t1:
            return self.t0, self.t1
        self._stretch_for = asked
        filled_s = _filled_span_s(store, span_s)
        end = store.predictions.newest_time if math.isnan(store.newest_time) else store.newest_time
        end = end if not t < end - 0.9 * filled_s else t + filled_s / 2
        end = math.ceil(end / _grid_s(filled_s)) * _grid_s(filled_s) if math.isfinite(end) else math.nan
        return end - filled_s, end

    def _is_held(self, t: float) -> bool:
        """Tell whether ``t`` is a moment looked back at."""
        return self._store is not None and t < self._store.newest_time - _HELD_S

    def _choose(self, t: float) -> None:
        """Choose the newest prediction at or before ``t``; in a gap, the moment itself."""
        if self._store is None or not math.isfinite(t):
            return
        prediction = self._store.predictions.at(t)
        if prediction is not None and t - prediction.t_end <= STALE_AFTER_S:
            t = prediction.t_end
        self.moment_chosen.emit(t)


class _Ribbon(PixelItem):
    """The answers above the lines, an emotion's mark on its line now and then, and the moment held."""

    z = 20.0
    plot: CoursePlot
    held = math.nan  # place of the moment looked back at

    def hold(self, x: float) -> None:
        """Mark another moment; NaN marks none."""
        if str(x) != str(self.held):
            self.held = x
            self.update()

    def draw(self, painter: QPainter) -> None:
        self._draw_answers(painter)
        self._draw_marks(painter)
        if math.isfinite(self.held):
            self._draw_held(painter, self.x_of(self.held))

    def _draw_answers(self, painter: QPainter) -> None:
        """Draw the answers over time: a colour and hatch with the name, or the uncertain hatch."""
        metrics, theme, made = QFontMetricsF(self.font), self.theme, self.plot.course
        top, bottom = self.y_of(_RIBBON[1]), self.y_of(_RIBBON[0])
        for start, end, answer in made.answers:
            left, right = (self.x_of(t - self.plot.zero) for t in (start, end))
            rect = QRectF(left, top, right - left, bottom - top) & self.boundingRect()
            if rect.isEmpty():
                continue
            fill_answer(painter, rect, theme, answer)
            name = {UNCERTAIN: "uncertain", WARMING_UP: "warming up"}.get(answer) or made.labels[answer]
            width = metrics.horizontalAdvance(name)
            if width + 10 <= rect.width():
                at = QRectF(0, 0, width + 8, min(metrics.height(), rect.height() - 2))
                at.moveCenter(rect.center())
                painter.fillRect(at, QColor(theme.surface))
                painter.setPen(QColor(theme.text))
                painter.drawText(at, Qt.AlignmentFlag.AlignCenter, name)

    def _draw_marks(self, painter: QPainter) -> None:
        """Draw each emotion's mark at moments of its own, so that marks move with their line."""
        made, radius = self.plot.course, 0.24 * QFontMetricsF(self.font).height()
        n_labels, n_times = len(made.labels), len(made.times)
        if not n_labels or not n_times:
            return
        (x0, x1), _ = self.view.viewRange()
        period_s = 6.6 * radius * n_labels * (x1 - x0) / self.boundingRect().width()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for index in range(n_labels):
            first = math.ceil((self.plot.zero + x0) / period_s - (index + 0.5) / n_labels)
            last = math.floor((self.plot.zero + x1) / period_s - (index + 0.5) / n_labels)
            moments = (np.arange(first, last + 1) + (index + 0.5) / n_labels) * period_s
            at = np.searchsorted(made.times, moments, side="right") - 1
            for t, k in zip(moments.tolist(), at.tolist(), strict=True):
                if k >= 0 and math.isfinite(made.lines[k, index]):
                    place = self.point(t - self.plot.zero, float(made.lines[k, index]))
                    draw_mark(painter, place, radius, self.theme, index, colour_of(self.theme, index))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _draw_held(self, painter: QPainter, x: float) -> None:
        """Draw a line at the moment held, grey what came after it, and say so."""
        rect, theme = self.boundingRect(), self.theme
        veil = QColor(theme.surface)
        veil.setAlpha(170)
        painter.fillRect(QRectF(x, 0, rect.width() + 1 - x, rect.height()), veil)
        metrics = QFontMetricsF(self.font)
        width = metrics.horizontalAdvance("later") + 10
        if width <= rect.width() - x:
            at = QRectF(x + 2, rect.bottom() - metrics.height() - 2, width, metrics.height())
            painter.fillRect(at, QColor(theme.surface))
            painter.setPen(QColor(theme.muted))
            painter.drawText(at, Qt.AlignmentFlag.AlignCenter, "later")
        painter.fillRect(QRectF(round(x) - 1, 0, 2, rect.height()), QColor(theme.accent))
        painter.setBrush(QColor(theme.accent))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.drawPolygon(QPointF(x - 6, 0), QPointF(x + 6, 0), QPointF(x, 8))


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(abs(round(seconds)), 60)
    return f"{'-' if round(seconds) < 0 else ''}{minutes}:{rest:02d}"


def _grid_s(span_s: float) -> float:
    return max(_GRID_S, span_s / _MOST_STEPS)


def _filled_span_s(store: ViewStore, span_s: float) -> float:
    """Return how much of a span to show: not the empty time before a young session began."""
    oldest = np.nanmin([store.oldest_time, store.predictions.oldest_time, math.inf])
    newest = np.nanmax([store.newest_time, store.predictions.newest_time, -math.inf])
    step_s = _SHORTEST_S / 3
    kept_s = math.ceil((newest - oldest) / step_s) * step_s if newest >= oldest else 0.0
    return min(span_s, max(_SHORTEST_S, kept_s))


TRAIL_S = 30.0
_CAPTION = "derived from class probabilities, not measured"


class PlanePanel(Panel):
    """The plane, and below it what it is derived from."""

    def __init__(self) -> None:
        super().__init__("Valence and arousal")
        self.plot = self.add_plot(PlanePlot())
        self.caption = plain_label(_CAPTION, muted=True, wraps=True)
        self.caption.setToolTip(
            "Each emotion stands at its mean rating in Russell and Mehrabian (1977), calm after Russell "
            "(1980), neutral at the origin. The point is their mean, weighted by the probabilities."
        )
        self.body.addWidget(self.caption)

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction, verdict = judge_at(store, t)
        labels = labels_of(store, prediction)
        if self.is_new(prediction, labels, verdict.is_grey):
            trail = store.predictions.read(prediction.t_end - TRAIL_S, prediction.t_end) if prediction else []
            self.plot.show_trail(trail, labels, is_grey=verdict.is_grey)
            missing = unplaced(labels)
            self.caption.setText(f"{_CAPTION}; not placed: {', '.join(missing)}" if missing else _CAPTION)


class PlanePlot(Plot):
    """Both from -1 to 1."""

    def __init__(self) -> None:
        axes = (
            Axis("left", room="\N{MINUS SIGN}0.5", title="arousal (calm to excited)", has_grid=True),
            Axis("bottom", title="valence (unpleasant to pleasant)", has_grid=True),
        )
        reach = (-1.02, 1.02)
        super().__init__("Plane of valence and arousal", axes, x=reach, y=reach, aspect=1.0, least=(28, 11.0))
        self.labels: tuple[str, ...] = ()
        self.trail: list[tuple[float, Place]] = []  # with their times, the newest last
        self.is_grey = True
        self._prediction: Prediction | None = None
        self._content = _PlaneContent(self)

    def show_trail(self, predictions: list[Prediction], labels: tuple[str, ...], *, is_grey: bool) -> None:
        """Show the points of predictions, the newest last."""
        self._prediction = predictions[-1] if predictions else None
        self.labels, self.is_grey = labels, is_grey
        points = [(prediction.t_end, point(prediction.probs)) for prediction in predictions]
        self.trail = [(time, place) for time, place in points if place is not None]
        newest = self.trail[-1][1] if self.trail else None
        said = "valence {:+.1f}, arousal {:+.1f}".format(*newest) if newest else "no point"
        self.setAccessibleDescription(said)
        self._content.update()

    @property
    def newest(self) -> Place | None:
        """The point of the prediction shown, None where its probabilities have none."""
        if not self.trail or self._prediction is None or self.trail[-1][0] != self._prediction.t_end:
            return None
        return self.trail[-1][1]

    def text_at(self, x: float, y: float) -> str:
        return f"valence {figure_text(x)}, arousal {figure_text(y)}" if max(abs(x), abs(y)) <= 1 else ""

    def table(self) -> Table:
        rows = [(f"{t:.3f}", f"{valence:.4f}", f"{arousal:.4f}") for t, (valence, arousal) in self.trail]
        return ["LSL time (s)", "valence (-1 to 1)", "arousal (-1 to 1)"], rows


class _PlaneContent(PixelItem):
    """Trail, marks, the point and names that keep off each other."""

    z = 5.0
    plot: PlanePlot

    def name_rects(self) -> dict[str, QRectF]:
        """Return a place for each name: beside its mark, off the other names and off the point."""
        metrics, newest = QFontMetricsF(self.font), self.plot.newest
        height = metrics.height()
        marks = {label: _around(self.point(*at), 0.22 * height) for label, at in self._places().items()}
        taken = list(marks.values())
        if newest is not None:
            taken.append(_around(self.point(*newest), 0.42 * height))
        names = {}
        for label, mark in marks.items():
            width = metrics.horizontalAdvance(label) + 2
            off = 0.36 * height
            box = free_box(mark.center(), width, height, off, self.boundingRect(), taken)
            beside = mark.center() + QPointF(off, -height / 2)
            names[label] = box or QRectF(beside.x(), beside.y(), width, height)
            taken.append(names[label])
        return names

    def draw(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_axes(painter)
        plot, theme = self.plot, self.theme
        height = QFontMetricsF(self.font).height()
        self._draw_trail(painter)
        for label, at in self._places().items():
            index = plot.labels.index(label)
            colour = colour_of(theme, index, grey=plot.is_grey)
            draw_mark(painter, self.point(*at), 0.22 * height, theme, index, colour)
        if plot.newest is not None:
            painter.setPen(QPen(QColor(theme.surface), 2))
            painter.setBrush(QColor(theme.stale if plot.is_grey else theme.text))
            painter.drawEllipse(_around(self.point(*plot.newest), 0.42 * height))
        self._draw_names(painter)

    def _places(self) -> dict[str, Place]:
        places = {label: place_of(label) for label in self.plot.labels}
        return {label: at for label, at in places.items() if at is not None}

    def _draw_axes(self, painter: QPainter) -> None:
        rect, middle = self.boundingRect(), self.point(0, 0)
        painter.setPen(QPen(QColor(self.theme.muted), 1))
        painter.drawLine(QPointF(middle.x(), 0), QPointF(middle.x(), rect.height()))
        painter.drawLine(QPointF(0, middle.y()), QPointF(rect.width(), middle.y()))

    def _draw_trail(self, painter: QPainter) -> None:
        """Draw the way to the point, fading with age; a gap is not bridged."""
        trail = self.plot.trail
        colour = QColor(self.theme.stale if self.plot.is_grey else self.theme.accent)
        for (t0, a), (t1, b) in pairwise(trail):
            if t1 - t0 <= STALE_AFTER_S:
                colour.setAlphaF(max(0.06, 1 - (trail[-1][0] - t1) / TRAIL_S) ** 1.6)
                painter.setPen(QPen(colour, 1.6))
                painter.drawLine(self.point(*a), self.point(*b))

    def _draw_names(self, painter: QPainter) -> None:
        """Draw the emotions' names, with an edge that keeps the trail off the letters."""
        ascent = QFontMetricsF(self.font).ascent()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for label, area in self.name_rects().items():
            letters = QPainterPath()
            letters.addText(area.left() + 1, area.top() + ascent, self.font, label)
            painter.strokePath(letters, QPen(QColor(self.theme.surface), 3))
            painter.fillPath(letters, QColor(self.theme.stale if self.plot.is_grey else self.theme.text))


def _around(at: QPointF, radius: float) -> QRectF:
    return QRectF(at.x() - radius, at.y() - radius, 2 * radius, 2 * radius)
