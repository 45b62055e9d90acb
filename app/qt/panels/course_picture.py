"""The picture of the course: axes, the ribbon of answers, the lines and the markers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter, QPen
from PyQt6.QtWidgets import QWidget

from app.engine.messages import MarkerPart
from app.qt.category import colour_of, draw_mark, fill_category, fill_uncertain
from app.qt.plots.time_strip import mixed
from app.qt.theme import Theme, growth, scaled_font
from app.view.course import NOTHING, UNCERTAIN, WARMING_UP, Course, line_pixels
from app.view.scales import marker_texts
from app.view.store import ViewStore
from app.view.text import one_line
from app.view.trust import threshold

_TICK_STEPS_S = (5, 10, 15, 30, 60, 120, 300)
_LINE = 2.0  # width of the lines, logical pixels
_FAINT = 0.32  # share of a line's colour where each prediction is drawn behind the means
_MOST_MARKER_ROWS = 3


@dataclass(frozen=True)
class CourseFrame:
    """Where things lie in the picture, and which times it spans."""

    plot: QRectF
    ribbon: QRectF  # above the plot: the answers
    t0: float
    t1: float
    time_zero: float  # LSL time that the axis calls 0
    time_name: str
    earliest: float  # LSL time before which the axis has no ticks
    held: float  # LSL time of the moment that is held; NaN while the newest is shown
    font: QFont
    small: QFont

    @classmethod
    def of(
        cls, widget: QWidget, labels: Sequence[str], t0: float, t1: float, store: ViewStore, held: float
    ) -> CourseFrame:
        """Return the frame that fits a widget and its font; ``held`` is NaN while nothing is held."""
        larger = growth(widget.height(), 18 * QFontMetricsF(widget.font()).height(), 1.4)
        font, small = scaled_font(widget, larger), scaled_font(widget, 0.9 * larger)
        metrics, tiny = QFontMetricsF(font), QFontMetricsF(small)
        line = tiny.height()
        left = tiny.horizontalAdvance("62.5 %") + 1.6 * line
        longest = max((metrics.horizontalAdvance(f"{label} 100 %") for label in labels), default=0.0)
        right = min(longest + 1.6 * metrics.averageCharWidth(), 0.25 * widget.width())
        ribbon_height = 1.2 * line
        top = ribbon_height + 0.25 * line
        left, top, right, below = (math.ceil(size) for size in (left, top, right, 2.1 * line))
        # On whole pixels: the lines come as an image, and must not be resampled.
        plot = QRectF(left, top, widget.width() - left - right, widget.height() - top - below)
        ribbon = QRectF(left, 0, plot.width(), ribbon_height)
        zero, name, earliest = t1, "time before now (min:s)", -math.inf
        if store.timeline is not None:
            zero, name = store.timeline.first, "recording time (min:s)"
            earliest = zero  # a recording has no time before its start
        elif math.isfinite(held):
            zero, name = held, "time from the moment shown (min:s)"
        return cls(plot, ribbon, t0, t1, zero, name, earliest, held, font, small)

    def x_of(self, t: float) -> float:
        """Return the place of a moment, logical pixels."""
        return self.plot.left() + (t - self.t0) / (self.t1 - self.t0) * self.plot.width()

    def t_of(self, x: float) -> float:
        """Return the moment at a place."""
        return self.t0 + (x - self.plot.left()) / self.plot.width() * (self.t1 - self.t0)

    def y_of(self, probability: float) -> float:
        """Return the place of a probability."""
        return self.plot.bottom() - probability * self.plot.height()


def paint_course(
    painter: QPainter,
    frame: CourseFrame,
    course: Course,
    figures: NDArray[np.float32],
    markers: Sequence[MarkerPart],
    theme: Theme,
    ratio: float,
) -> None:
    """Paint everything; ``figures`` stand beside the labels, ``ratio`` is device pixels per logical pixel."""
    _paint_axes(painter, frame, course, theme)
    _paint_ribbon(painter, frame, course, theme, ratio)
    _paint_lines(painter, frame, course, theme, ratio)
    _paint_markers(painter, frame, markers, theme)
    _paint_marks(painter, frame, course, theme, ratio)
    _paint_names(painter, frame, course.labels, figures, theme)


def _paint_axes(painter: QPainter, frame: CourseFrame, course: Course, theme: Theme) -> None:
    plot, metrics = frame.plot, QFontMetricsF(frame.small)
    painter.setFont(frame.small)
    least = threshold(len(course.labels)) if course.labels else 0.5
    for probability in (0.0, least, 1.0):
        y = frame.y_of(probability)
        painter.setPen(QPen(QColor(theme.grid), 1))
        painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
        painter.setPen(QColor(theme.muted))
        at = QRectF(0, y - metrics.height() / 2, plot.left() - 4, metrics.height())
        painter.drawText(at, Qt.AlignmentFlag.AlignRight, f"{100 * probability:.3g} %")
    if course.labels:
        y = frame.y_of(least)
        painter.setPen(QPen(QColor(theme.text), 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
    painter.setPen(QColor(theme.muted))
    painter.save()
    painter.translate(0, plot.center().y())
    painter.rotate(-90)
    at = QRectF(-plot.height() / 2 - 20, 0, plot.height() + 40, metrics.height())
    painter.drawText(at, Qt.AlignmentFlag.AlignHCenter, "probability")
    painter.restore()
    below = QRectF(plot.left(), plot.bottom() + 1.05 * metrics.height(), plot.width(), metrics.height())
    painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, _below(frame, course))
    if math.isfinite(frame.t1):
        _paint_times(painter, frame, theme, metrics)
    if not np.any(course.answers != NOTHING):
        text = "no prediction in this time yet"
        plate = metrics.boundingRect(plot, int(Qt.AlignmentFlag.AlignCenter), text).adjusted(-6, -2, 6, 2)
        painter.fillRect(plate, QColor(theme.surface))  # no grid through the words
        painter.setPen(QColor(theme.muted))
        painter.drawText(plot, Qt.AlignmentFlag.AlignCenter, text)


def _below(frame: CourseFrame, course: Course) -> str:
    """Return the time axis' name, and what the lines are where they are not the predictions themselves."""
    if not course.mean_s:
        return frame.time_name
    return f"{frame.time_name}; lines: {course.mean_s:g} s mean, faint: every prediction"


def _paint_times(painter: QPainter, frame: CourseFrame, theme: Theme, metrics: QFontMetricsF) -> None:
    plot, span = frame.plot, frame.t1 - frame.t0
    room = 1.6 * metrics.horizontalAdvance("-10:00")
    step = next((s for s in _TICK_STEPS_S if s / span * plot.width() >= room), 600)
    first = math.ceil((max(frame.t0, frame.earliest) - frame.time_zero) / step - 1e-9)
    for i in range(first, math.floor((frame.t1 - frame.time_zero) / step + 1e-9) + 1):
        x = frame.x_of(frame.time_zero + i * step)
        painter.setPen(QPen(QColor(theme.grid), 1))
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom() + 3))
        painter.setPen(QColor(theme.muted))
        text = _minutes(i * step)
        if i > 0 and math.isinf(frame.earliest):
            text = f"+{text}"
        width = metrics.horizontalAdvance(text)
        if x - width / 2 < plot.left() - 2:
            continue  # it would run into the axis of probabilities
        at = QPointF(min(x - width / 2, plot.right() - width), plot.bottom() + 2 + metrics.ascent())
        painter.drawText(at, text)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(abs(round(seconds)), 60)
    return f"{'-' if seconds < 0 else ''}{minutes}:{rest:02d}"


def _paint_ribbon(painter: QPainter, frame: CourseFrame, course: Course, theme: Theme, ratio: float) -> None:
    """Paint which answer stood when: an emotion's colour and hatch with its name, or the uncertain hatch."""
    painter.setFont(frame.small)
    metrics = QFontMetricsF(frame.small)
    ribbon = frame.ribbon
    for first, end, answer in _runs(course.answers):
        if answer == NOTHING:
            continue
        rect = QRectF(ribbon.left() + first / ratio, ribbon.top(), (end - first) / ratio, ribbon.height())
        name = {UNCERTAIN: "uncertain", WARMING_UP: "warming up"}.get(answer, "")
        if answer >= 0:
            fill_category(painter, rect, theme, answer)
            name = course.labels[answer]
        elif answer == UNCERTAIN:
            fill_uncertain(painter, rect, theme)
        else:
            painter.setPen(QPen(QColor(theme.muted), 1, Qt.PenStyle.DotLine))
            painter.drawRect(rect.adjusted(0.5, 0.5, -1, -1))
        width = metrics.horizontalAdvance(name)
        if width + 10 <= rect.width():
            at = QRectF(0, 0, width + 8, rect.height() - 3)
            at.moveCenter(rect.center())
            painter.fillRect(at, QColor(theme.surface))
            painter.setPen(QColor(theme.text))
            painter.drawText(at, Qt.AlignmentFlag.AlignCenter, name)


def _runs(answers: NDArray[np.int16]) -> list[tuple[int, int, int]]:
    """Return (first column, end, answer) of each stretch of equal answers."""
    if not len(answers):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(answers)) + 1).tolist(), len(answers)]
    return [(a, b, int(answers[a])) for a, b in pairwise(cuts)]


def _paint_lines(painter: QPainter, frame: CourseFrame, course: Course, theme: Theme, ratio: float) -> None:
    height, width = round(frame.plot.height() * ratio) + 1, len(course.answers)
    if height < 2 or not width:
        return
    image = np.zeros((height, width), np.uint32)  # 0xAARRGGBB, clear or opaque
    order, line = _lowest_last_first(course), round(_LINE * ratio)
    if course.mean_low is not None and course.mean_high is not None:
        thin = max(1, round(0.5 * line))
        for index in order:
            faint = QColor(mixed(colour_of(theme, index).name(), theme.surface, _FAINT))
            pixels = line_pixels(course.low[:, index], course.high[:, index], height, thin)
            image[pixels] = np.uint32(faint.rgba())
    low = course.low if course.mean_low is None else course.mean_low
    high = course.high if course.mean_high is None else course.mean_high
    for index in order:
        pixels = line_pixels(low[:, index], high[:, index], height, line)
        image[pixels] = np.uint32(colour_of(theme, index).rgba())
    picture = QImage(image.tobytes(), width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied)
    target = QRectF(frame.plot.left(), frame.plot.top(), width / ratio, height / ratio)
    painter.drawImage(target, picture)


def _lowest_last_first(course: Course) -> list[int]:
    """Return the labels' indices so that the one that is likeliest at the end is painted last."""
    return np.argsort(np.nan_to_num(course.probs[-1]), kind="stable").tolist()


def _paint_marks(painter: QPainter, frame: CourseFrame, course: Course, theme: Theme, ratio: float) -> None:
    """Paint each emotion's mark upon its line now and then, at other places than the others'."""
    n_labels = len(course.labels)
    if not n_labels:
        return
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    radius = 0.24 * QFontMetricsF(frame.font).height()
    drawn = course.probs if course.mean is None else course.mean
    spacing = 2.2 * radius * ratio * n_labels * 3
    for index in _lowest_last_first(course):
        colour = colour_of(theme, index)
        for column in np.arange(spacing * (index + 0.5) / n_labels, len(course.answers), spacing).astype(int):
            probability = float(drawn[column, index])
            if probability == probability:
                at = QPointF(frame.plot.left() + column / ratio, frame.y_of(probability))
                draw_mark(painter, at, radius, theme, index, colour)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)


def _paint_names(
    painter: QPainter, frame: CourseFrame, labels: Sequence[str], last: NDArray[np.float32], theme: Theme
) -> None:
    """Name the lines at the right with their values at the moment shown, moved apart where they overlap."""
    known = [i for i in np.argsort(-np.nan_to_num(last), kind="stable").tolist() if last[i] == last[i]]
    font = (
        frame.font if len(known) * QFontMetricsF(frame.font).height() <= frame.plot.bottom() else frame.small
    )
    painter.setFont(font)
    metrics = QFontMetricsF(font)
    height = metrics.height()
    lowest = frame.plot.bottom() - 0.1 * height  # the times stand below
    places = [frame.y_of(float(last[i])) for i in known]
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + height)
    for k in reversed(range(len(places))):
        limit = places[k + 1] - height if k + 1 < len(places) else lowest
        places[k] = min(places[k], limit)
    radius = 0.24 * QFontMetricsF(frame.font).height()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for i, y in zip(known, places, strict=True):
        x = frame.plot.right() + 2 * radius
        draw_mark(painter, QPointF(x, y), radius, theme, i, colour_of(theme, i))
        painter.setPen(QColor(theme.text))
        room = QRectF(x + 1.8 * radius, y - height / 2, 4000, height)
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, f"{labels[i]} {100 * last[i]:.0f} %")
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)


def _paint_markers(
    painter: QPainter, frame: CourseFrame, markers: Sequence[MarkerPart], theme: Theme
) -> None:
    """Paint markers as lines, and as much of their texts as fits."""
    painter.setFont(frame.small)
    metrics, plot = QFontMetricsF(frame.small), frame.plot
    places = [frame.x_of(marker.time) for marker in markers]
    texts = [one_line(marker.text, 60) for marker in markers]
    painter.setPen(QPen(QColor(theme.muted), 1, Qt.PenStyle.DashDotLine))
    for x in places:
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
    widths = [metrics.horizontalAdvance(text) + 8 for text in texts]
    n_rows = min(_MOST_MARKER_ROWS, max(1, int(0.3 * plot.height() / metrics.height())))
    painter.setPen(QColor(theme.text))
    for at in marker_texts(places, widths, plot.left(), plot.right(), n_rows):
        text = metrics.elidedText(texts[at.index], Qt.TextElideMode.ElideRight, at.width - 6)
        top = plot.top() + 1 + at.row * metrics.height()
        box = QRectF(at.left + 3, top, metrics.horizontalAdvance(text) + 2, metrics.height())
        painter.fillRect(box, QColor(theme.surface))
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft, text)
