"""The plane of valence and arousal: where the probabilities point, and where they pointed before."""

from __future__ import annotations

from itertools import pairwise

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPaintEvent, QPen
from PyQt6.QtWidgets import QLabel, QSizePolicy, QWidget

from app.qt.category import colour_of, draw_mark
from app.qt.panel import Panel
from app.qt.theme import Theme, growth, scaled_font
from app.view.store import ViewStore
from app.view.trust import STALE_AFTER_S, judge
from app.view.valence_arousal import AffectPoint, place_of, point, unplaced
from models.prediction import Prediction

TRAIL_S = 30.0
_CAPTION = "from class probabilities, not measured"
_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


class PlanePanel(Panel):
    """The plane, and below it what the point is made of."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Valence and arousal", parent)
        self.view = PlaneView(self.theme)
        self.caption = QLabel(_CAPTION)
        self.caption.setTextFormat(Qt.TextFormat.PlainText)
        self.caption.setWordWrap(True)
        self.caption.setProperty("muted", True)
        self.caption.setToolTip(
            "Each emotion's place is its mean rating in Russell and Mehrabian (1977); calm is placed after "
            "Russell (1980), neutral in the middle. The point is their mean, weighted by the probabilities."
        )
        self.body.addWidget(self.view, 1)
        self.body.addWidget(self.caption)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the point at ``t`` and the trail up to it."""
        prediction = store.predictions.at(t)
        labels = store.model.labels if store.model is not None else ()
        if prediction is not None:
            labels = tuple(prediction.probs)
        verdict = judge(prediction, store, t)
        is_grey = verdict.is_grey
        if verdict.state == "nothing":
            prediction = None  # what there is speaks of another moment
        if not self.view.is_shown(prediction, labels, is_grey=is_grey):
            trail = store.predictions.read(prediction.t_end - TRAIL_S, prediction.t_end) if prediction else []
            self.view.show_trail(trail, labels, is_grey=is_grey)
            missing = unplaced(labels)
            self.caption.setText(
                f"{_CAPTION}; without a place here: {', '.join(missing)}" if missing else _CAPTION
            )

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.view.theme = theme
        self.view.update()


class PlaneView(QWidget):
    """Paints the plane."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.labels: tuple[str, ...] = ()
        self.trail: list[tuple[float, AffectPoint]] = []  # time and point, the newest last
        self._prediction: Prediction | None = None
        self._is_grey = True
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Plane of valence and arousal")

    def minimumSizeHint(self) -> QSize:
        """Room for the axes' texts and a plane that can be read."""
        em = QFontMetricsF(self.font()).height()
        return QSize(round(14 * em), round(11 * em))

    def is_shown(self, prediction: Prediction | None, labels: tuple[str, ...], *, is_grey: bool) -> bool:
        """Tell whether this very thing is shown already."""
        return (prediction, labels, is_grey) == (self._prediction, self.labels, self._is_grey)

    def show_trail(self, predictions: list[Prediction], labels: tuple[str, ...], *, is_grey: bool) -> None:
        """Show the points of predictions, the newest last."""
        self._prediction = predictions[-1] if predictions else None
        self.labels, self._is_grey = labels, is_grey
        points = [(prediction.t_end, point(prediction.probs)) for prediction in predictions]
        self.trail = [(time, place) for time, place in points if place is not None]
        newest = self.trail[-1][1] if self.trail else None
        self.setAccessibleDescription(
            f"valence {newest.valence:+.1f}, arousal {newest.arousal:+.1f}" if newest else "no point"
        )
        self.update()

    def plot_rect(self) -> QRectF:
        """Return the square that spans -1 to 1 both ways, in the widget's coordinates."""
        metrics = QFontMetricsF(self._font(0.9))
        left = metrics.height() + metrics.horizontalAdvance("-0.5") + 8
        below, margin = 2.2 * metrics.height() + 4, metrics.height() / 2
        side = max(20.0, min(self.width() - left - margin, self.height() - below - margin))
        x = left + max(0.0, (self.width() - left - margin - side) / 2)
        return QRectF(x, margin, side, side)

    def place(self, valence: float, arousal: float) -> QPointF:
        """Return where a point of the plane lies, in the widget's coordinates."""
        plot = self.plot_rect()
        return plot.center() + QPointF(valence * plot.width() / 2, -arousal * plot.height() / 2)

    def name_rects(self) -> dict[str, QRectF]:
        """Return where each emotion's name is: beside its mark, off the other names and off the point."""
        metrics = QFontMetricsF(self._font())
        marks, point_rect = self._mark_rects(), self._point_rect()
        taken = [*marks.values(), *([] if point_rect is None else [point_rect])]
        inside = self.plot_rect().adjusted(-2, -2, 2, 2)
        names = {}
        for label, mark in marks.items():
            names[label] = _free_place(mark.center(), metrics, label, 0.8 * mark.width(), taken, inside)
            taken.append(names[label])
        return names

    def _mark_rects(self) -> dict[str, QRectF]:
        radius = 0.22 * QFontMetricsF(self._font()).height()
        places = {label: place_of(label) for label in self.labels}
        return {
            label: _around(self.place(*place), radius) for label, place in places.items() if place is not None
        }

    def _point_rect(self) -> QRectF | None:
        if not self.trail or self._prediction is None or self.trail[-1][0] != self._prediction.t_end:
            return None
        newest = self.trail[-1][1]
        radius = 0.42 * QFontMetricsF(self._font()).height()
        return _around(self.place(newest.valence, newest.arousal), radius)

    def _font(self, factor: float = 1.0) -> QFont:
        """Return the widget's font, larger where the plane is."""
        side, em = min(self.width(), self.height()), QFontMetricsF(self.font()).height()
        return scaled_font(self, factor * growth(side, 24 * em))

    # --- painting ---

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint."""
        painter = QPainter(self)
        self._paint_axes(painter)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_trail(painter)
        self._paint_marks(painter)
        self._paint_point(painter)
        self._paint_names(painter)
        painter.end()

    def _paint_axes(self, painter: QPainter) -> None:
        theme, plot = self.theme, self.plot_rect()
        font = self._font(0.9)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        for tick in _TICKS:
            at = self.place(tick, tick)
            painter.setPen(QPen(QColor(theme.muted if tick == 0 else theme.grid), 1))
            painter.drawLine(QPointF(at.x(), plot.top()), QPointF(at.x(), plot.bottom()))
            painter.drawLine(QPointF(plot.left(), at.y()), QPointF(plot.right(), at.y()))
            painter.setPen(QColor(theme.muted))
            text = f"{tick:g}"
            below = QRectF(at.x() - 30, plot.bottom() + 2, 60, metrics.height())
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, text)
            beside = QRectF(plot.left() - 64, at.y() - metrics.height() / 2, 60, metrics.height())
            painter.drawText(beside, Qt.AlignmentFlag.AlignRight, text)
        name = QRectF(plot.center().x() - 400, plot.bottom() + 1.1 * metrics.height(), 800, metrics.height())
        painter.drawText(name, Qt.AlignmentFlag.AlignHCenter, "valence (unpleasant to pleasant)")
        painter.save()
        painter.translate(
            plot.left() - metrics.horizontalAdvance("-0.5") - metrics.height() - 6, plot.center().y()
        )
        painter.rotate(-90)
        name = QRectF(-400, 0, 800, metrics.height())
        painter.drawText(name, Qt.AlignmentFlag.AlignHCenter, "arousal (calm to excited)")
        painter.restore()

    def _paint_marks(self, painter: QPainter) -> None:
        for label, area in self._mark_rects().items():
            index = self.labels.index(label)
            colour = colour_of(self.theme, index, grey=self._is_grey)
            draw_mark(painter, area.center(), area.width() / 2, self.theme, index, colour)

    def _paint_names(self, painter: QPainter) -> None:
        """Paint the emotions' names, with an edge that keeps the trail off the letters."""
        font = self._font()
        ascent = QFontMetricsF(font).ascent()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for label, area in self.name_rects().items():
            letters = QPainterPath()
            letters.addText(area.left() + 1, area.top() + ascent, font, label)
            painter.strokePath(letters, QPen(QColor(self.theme.surface), 3))
            painter.fillPath(letters, QColor(self.theme.stale if self._is_grey else self.theme.text))

    def _paint_trail(self, painter: QPainter) -> None:
        """Paint the way to the point, fading with age; a gap is not bridged."""
        colour = QColor(self.theme.stale if self._is_grey else self.theme.accent)
        newest = self.trail[-1][0] if self.trail else 0.0
        for (t0, a), (t1, b) in pairwise(self.trail):
            if t1 - t0 > STALE_AFTER_S:
                continue
            colour.setAlphaF(max(0.06, 1 - (newest - t1) / TRAIL_S) ** 1.6)
            painter.setPen(QPen(colour, 1.6))
            painter.drawLine(self.place(a.valence, a.arousal), self.place(b.valence, b.arousal))

    def _paint_point(self, painter: QPainter) -> None:
        area = self._point_rect()
        if area is not None:
            painter.setPen(QPen(QColor(self.theme.surface), 2))
            painter.setBrush(QColor(self.theme.stale if self._is_grey else self.theme.text))
            painter.drawEllipse(area)


def _around(at: QPointF, radius: float) -> QRectF:
    return QRectF(at.x() - radius, at.y() - radius, 2 * radius, 2 * radius)


def _free_place(
    at: QPointF, metrics: QFontMetricsF, text: str, gap: float, taken: list[QRectF], inside: QRectF
) -> QRectF:
    """Return a rectangle for a text beside ``at`` that overlaps none of ``taken``, as far as there is one."""
    width, height = metrics.horizontalAdvance(text) + 2, metrics.height()
    candidates = [
        QRectF(at.x() + gap, at.y() - height - gap / 2, width, height),  # no axis runs through it there
        QRectF(at.x() + gap, at.y() - height / 2, width, height),
        QRectF(at.x() - gap - width, at.y() - height / 2, width, height),
        QRectF(at.x() - width / 2, at.y() - gap - height, width, height),
        QRectF(at.x() - width / 2, at.y() + gap, width, height),
    ]
    for rect in candidates:
        if inside.contains(rect) and not any(rect.intersects(other) for other in taken):
            return rect
    return candidates[-1]
