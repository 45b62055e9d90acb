"""How attention per modality moved over the last minutes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QLineF, QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QBrush, QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QComboBox, QSizePolicy, QWidget

from acquisition.types import MODALITIES
from app.qt.panel import Panel
from app.qt.theme import DARK, Theme
from app.qt.widgets import weight_label
from app.view.conditions import MODALITY_WORDS
from app.view.explanation import absent_spans, modality_course
from app.view.store import ViewStore
from models.prediction import Prediction

SPANS_S = (60.0, 120.0, 300.0)


@dataclass(frozen=True, eq=False)
class Course:
    """What the chart draws: times in LSL seconds, the last at ``t_end``."""

    t_end: float
    span_s: float
    times: NDArray[np.float64]  # (n,)
    shares: NDArray[np.float64]  # (n, 4)
    absent: tuple[tuple[tuple[float, float], ...], ...]  # spans by modality
    newest: Prediction | None


class ModalityAttentionPanel(Panel):
    """A lane each with a line, on one time axis that ends at the prediction shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Attention per modality", parent)
        self.span = QComboBox()
        self.span.addItems([f"{span / 60:.0f} min" for span in SPANS_S])
        self.span.setAccessibleName("Time span of attention per modality")
        self.span.currentIndexChanged.connect(self._forget)
        self.head.addWidget(weight_label())
        self.head.addWidget(self.span)
        self.chart = LanesChart()
        self.body.addWidget(self.chart, 1)
        self._shown: object = None

    @property
    def span_s(self) -> float:
        """Seconds shown."""
        return SPANS_S[self.span.currentIndex()]

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the predictions up to ``t``."""
        newest = store.predictions.at(t)
        oldest = store.predictions.oldest_time
        key = (id(store), newest, self.span_s, oldest)
        if key == self._shown:
            return
        self._shown = key
        if newest is None:
            self.chart.set_course(None)
            return
        predictions = store.predictions.read(newest.t_end - self.span_s, newest.t_end)
        times, shares = modality_course(predictions)
        absent = tuple(tuple(absent_spans(predictions, modality)) for modality in MODALITIES)
        self.chart.set_course(Course(newest.t_end, self.span_s, times, shares, absent, newest))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.chart.theme = theme
        self.chart.update()

    def _forget(self) -> None:
        self._shown = None


class LanesChart(QWidget):
    """Paints a course.

    Attributes
    ----------
    moment_chosen : signal of float
        LSL time of the place that was clicked.
    """

    moment_chosen = pyqtSignal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme: Theme = DARK
        self.course: Course | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Attention per modality over time")
        self.setToolTip("Click to look at that moment")

    def set_course(self, course: Course | None) -> None:
        """Draw another course; None before the first prediction."""
        self.course = course
        words = "no prediction yet"
        if course is not None and course.newest is not None:
            words = ", ".join(f"{_word(m)} {_now(course.newest, m)}" for m in MODALITIES)
        self.setAccessibleDescription(words)
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Room for four lanes of two lines, and the axis."""
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance("0") * 36, round(metrics.height() * 9.6))

    def lane_rect(self, i: int) -> QRectF:
        """Return where the i-th modality's line runs: 100 % at its top, 0 % at its bottom."""
        metrics = self.fontMetrics()
        digit, line = metrics.horizontalAdvance("0"), metrics.height()
        left, right = 13 * digit, 8 * digit
        top, height = line * 0.3, self.height() - line * 2.2
        lane = height / len(MODALITIES)
        return QRectF(left, top + i * lane, max(self.width() - left - right, 10), lane * 0.9)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Choose the moment below the mouse."""
        if event is None or self.course is None:
            return
        lane = self.lane_rect(0)
        share = (event.position().x() - lane.left()) / lane.width()
        if 0 <= share <= 1:
            self.moment_chosen.emit(self.course.t_end + (share - 1) * self.course.span_s)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw lanes and axis."""
        painter = QPainter(self)
        if self.course is None:
            painter.setPen(QColor(self.theme.muted))
            text = "No prediction yet: it needs a stream and a few seconds of data."
            painter.drawText(
                self.rect(), int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), text
            )
            return
        self._paint_axis(painter, self.course)
        for i in range(len(MODALITIES)):
            self._paint_lane(painter, self.course, i)

    def _x(self, lane: QRectF, course: Course, t: float) -> float:
        return lane.right() + (t - course.t_end) / course.span_s * lane.width()

    def _paint_axis(self, painter: QPainter, course: Course) -> None:
        first, last = self.lane_rect(0), self.lane_rect(len(MODALITIES) - 1)
        line = self.fontMetrics().height()
        in_minutes = course.span_s > 120
        step = 60.0 if in_minutes else course.span_s / 6
        for k in range(round(course.span_s / step) + 1):
            x = first.right() - k * step / course.span_s * first.width()
            painter.setPen(QPen(QColor(self.theme.grid), 1))
            painter.drawLine(QLineF(x, first.top(), x, last.bottom()))
            painter.setPen(QColor(self.theme.muted))
            value = k * step / 60 if in_minutes else k * step
            text = f"\N{MINUS SIGN}{value:.0f}" if k else "0"
            box = QRectF(x - 3 * line, last.bottom() + line * 0.1, 6 * line, line)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
        unit = "min" if in_minutes else "s"
        box = QRectF(first.left(), last.bottom() + line * 1.15, first.width(), line)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, f"{unit} before the prediction shown")

    def _paint_lane(self, painter: QPainter, course: Course, i: int) -> None:
        lane, modality = self.lane_rect(i), MODALITIES[i]
        colour = QColor(self.theme.category(i))
        metrics = self.fontMetrics()
        digit, line = metrics.horizontalAdvance("0"), metrics.height()
        is_present = bool(course.newest and course.newest.present.get(modality))
        painter.setPen(QPen(QColor(self.theme.grid), 1))
        for share in (0.0, 0.5, 1.0):
            y = lane.bottom() - share * lane.height()
            painter.drawLine(QLineF(lane.left(), y, lane.right(), y))
        self._paint_absent(painter, course, i)
        self._paint_line(painter, lane, course, course.shares[:, i], colour)
        painter.setPen(QColor(self.theme.text if is_present else self.theme.muted))
        middle = QRectF(0, lane.top(), 7 * digit, lane.height())
        painter.drawText(middle, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, _word(modality))
        beside = QRectF(lane.right() + digit * 0.8, lane.top(), self.width() - lane.right(), lane.height())
        text = _now(course.newest, modality) if course.newest else ""
        painter.drawText(beside, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        painter.setPen(QColor(self.theme.muted))
        for text, y in (("100 %", lane.top()), ("0 %", lane.bottom())):
            high = min(line, lane.height() / 2)
            top = y if text == "100 %" else y - high
            box = QRectF(6 * digit, top, lane.left() - 6.6 * digit, high)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_absent(self, painter: QPainter, course: Course, i: int) -> None:
        lane = self.lane_rect(i)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QBrush(QColor(self.theme.stale), Qt.BrushStyle.BDiagPattern))
        for start, end in course.absent[i]:
            left, right = (self._x(lane, course, max(t, course.t_end - course.span_s)) for t in (start, end))
            painter.drawRect(QRectF(left, lane.top(), max(right - left, 1), lane.height()))

    def _paint_line(
        self,
        painter: QPainter,
        lane: QRectF,
        course: Course,
        shares: NDArray[np.float64],
        colour: QColor,
    ) -> None:
        """Draw each stretch without NaN, filled down to 0 %."""
        faint = QColor(colour)
        faint.setAlpha(60)
        is_there = np.isfinite(shares)
        edges = np.flatnonzero(np.diff(np.r_[False, is_there, False].astype(int)))
        for start, end in edges.reshape(-1, 2):
            points = [
                QPointF(self._x(lane, course, t), lane.bottom() - share * lane.height())
                for t, share in zip(course.times[start:end], shares[start:end], strict=True)
            ]
            if len(points) == 1:  # a single prediction is a dash, not nothing
                points.insert(0, points[0] - QPointF(2, 0))
            feet = [QPointF(points[-1].x(), lane.bottom()), QPointF(points[0].x(), lane.bottom())]
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(faint)
            painter.drawPolygon(QPolygonF([*points, *feet]))
            painter.setPen(QPen(colour, 1))
            painter.drawPolyline(QPolygonF(points))


def _word(modality: str) -> str:
    word = MODALITY_WORDS[modality]
    return word[:1].upper() + word[1:]


def _now(prediction: Prediction, modality: str) -> str:
    if not prediction.present.get(modality):
        return "absent"
    share = prediction.modality_attention.get(modality, math.nan)
    return f"{100 * share:.0f} %" if math.isfinite(share) else "-"
