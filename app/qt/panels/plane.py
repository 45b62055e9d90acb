"""The plane of valence and arousal: where the probabilities point, and where they pointed before."""

from itertools import pairwise

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen

from app.qt.panel import Panel
from app.qt.plots.axes import Axis
from app.qt.plots.heads import free_box
from app.qt.plots.plot import PixelItem, Plot, Table, figure_text
from app.qt.theme import colour_of, draw_mark
from app.qt.widgets import plain_label
from app.view.store import ViewStore
from app.view.trust import judge_at, labels_of
from app.view.valence_arousal import AffectPoint, place_of, point, unplaced
from models.prediction import Prediction
from models.trust import STALE_AFTER_S

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
        self.trail: list[tuple[float, AffectPoint]] = []  # with their times, the newest last
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
        self.setAccessibleDescription(
            f"valence {newest.valence:+.1f}, arousal {newest.arousal:+.1f}" if newest else "no point"
        )
        self._content.update()

    @property
    def newest(self) -> AffectPoint | None:
        """The point of the prediction shown, None where its probabilities have none."""
        if not self.trail or self._prediction is None or self.trail[-1][0] != self._prediction.t_end:
            return None
        return self.trail[-1][1]

    def name_rects(self) -> dict[str, QRectF]:
        return self._content.name_rects()

    def text_at(self, x: float, y: float) -> str:
        return f"valence {figure_text(x)}, arousal {figure_text(y)}" if max(abs(x), abs(y)) <= 1 else ""

    def table(self) -> Table:
        rows = [(f"{time:.3f}", f"{at.valence:.4f}", f"{at.arousal:.4f}") for time, at in self.trail]
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
            taken.append(_around(self.point(newest.valence, newest.arousal), 0.42 * height))
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
            painter.drawEllipse(_around(self.point(plot.newest.valence, plot.newest.arousal), 0.42 * height))
        self._draw_names(painter)

    def _places(self) -> dict[str, tuple[float, float]]:
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
                painter.drawLine(self.point(a.valence, a.arousal), self.point(b.valence, b.arousal))

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
