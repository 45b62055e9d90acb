"""How the probabilities went over the last minutes, and a way back to any of these moments."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
)
from PyQt6.QtWidgets import QComboBox, QLabel, QSizePolicy, QToolTip, QWidget

from app.engine.messages import MarkerPart
from app.qt.panel import Panel
from app.qt.panels.course_picture import CourseFrame, paint_course
from app.qt.plots.time_strip import tip_of
from app.qt.theme import Theme
from app.view.course import Course, course, mean_over_s
from app.view.store import ViewStore
from app.view.trust import STALE_AFTER_S

SPANS_MIN = (1, 2, 5, 10)
_GRID_S = 0.25  # the right edge moves in these steps at least: the picture is painted at most so often
_MOST_COLUMNS = 600  # that are told apart by eye: a longer span moves in larger steps
_HELD_S = 0.3  # a moment older than this against the newest is marked with a line
_SHORTEST_S = 30.0  # what is shown while a session is young; it grows in steps of a third
_STEP_S = 10.0  # Page Up and Page Down
_NEAR_PX = 6.0  # the mouse is at a marker


class CoursePanel(Panel):
    """Probabilities over time.

    Attributes
    ----------
    choose_time : callable
        Told the moment (LSL seconds, a prediction's ``t_end``) that was clicked or stepped to.
    choose_now : callable
        Called when the End key asks for the newest again.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Course", parent)
        self.choose_time: Callable[[float], None] = lambda t: None
        self.choose_now: Callable[[], None] = lambda: None
        hint = QLabel("click, or left and right keys: look back")
        hint.setTextFormat(Qt.TextFormat.PlainText)
        hint.setProperty("muted", True)
        self.span = QComboBox()
        for minutes in SPANS_MIN:
            self.span.addItem(f"{minutes} min", minutes)
        self.span.setCurrentIndex(SPANS_MIN.index(2))
        self.span.setAccessibleName("Time span of the course")
        self.span.setToolTip("How many minutes are shown, as soon as there are so many")
        self.head.addWidget(hint)
        self.head.addWidget(self.span)
        self.view = CourseView(self)
        self.body.addWidget(self.view, 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the course around ``t``."""
        self.view.show_store(store, t, 60.0 * int(self.span.currentData()))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.view.forget()


class CourseView(QWidget):
    """Keeps the picture of the course and paints it with the moment looked at."""

    def __init__(self, panel: CoursePanel) -> None:
        super().__init__()
        self._panel = panel
        self._store: ViewStore | None = None
        self._t = math.nan
        self._key: tuple[object, ...] = ()
        self._picture = QPixmap()
        self._markers: list[MarkerPart] = []
        self._stretch_for: object = None
        self._shown_stretch = (math.nan, math.nan)  # right edge and length, s
        self.frame: CourseFrame | None = None  # of the picture
        self.course: Course | None = None  # what it shows
        self.figures: NDArray[np.float32] = np.empty(0, np.float32)  # beside its labels
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Course of the probabilities")
        self.setAccessibleDescription(
            "Left and right step from prediction to prediction, Page Up and Page Down by ten seconds, "
            "End returns to now."
        )

    def minimumSizeHint(self) -> QSize:
        """Room for the ribbon, the axes' texts and a few lines of plot."""
        metrics = QFontMetricsF(self.font())
        return QSize(round(50 * metrics.averageCharWidth()), round(8 * metrics.height()))

    def forget(self) -> None:
        """Paint the picture anew at the next refresh."""
        self._key = ()

    def show_store(self, store: ViewStore, t: float, span_s: float) -> None:
        """Show ``span_s`` seconds up to the newest moment; while ``t`` is held, the picture stands still."""
        self._store = store
        if t != self._t:
            was, now = self._x_of(self._t), self._x_of(t)
            self._t = t
            if was != now:
                self.update()
        end, filled_s = self._stretch(store, t, span_s)
        labels = store.model.labels if store.model is not None else ()
        newest = store.predictions.newest
        if not labels and newest is not None:
            labels = tuple(newest.probs)
        ratio = self.devicePixelRatioF()
        theme = self._panel.theme
        held = t if self._is_held(t) else math.nan
        newest_step = None if newest is None else min(newest.t_end, end) // _grid_s(filled_s)
        content = (end, filled_s, newest_step, len(store.markers), labels, self._is_held(t) and t)
        key = (*content, self.size(), ratio, theme.name, self.font().key())
        if key == self._key or self.width() < 50 or self.height() < 40:
            return
        self._key = key
        self.frame = CourseFrame.of(self, labels, end - filled_s, end, store, held)
        n_columns = round(self.frame.plot.width() * ratio)
        start = self.frame.t0 - STALE_AFTER_S - mean_over_s(filled_s)
        newest_shown = end if math.isnan(store.newest_time) else store.newest_time  # as the cursor counts
        predictions = store.predictions.read(start, newest_shown) if math.isfinite(end) else []
        t0, t1 = self.frame.t0, self.frame.t1
        self.course = course(predictions, labels, t0, t1, n_columns, mean_over_s(filled_s))
        self.figures = self._figures(store, t)
        self._picture = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
        self._picture.setDevicePixelRatio(ratio)
        self._picture.fill(QColor(theme.surface))
        self._markers = store.markers.read(self.frame.t0, end) if math.isfinite(end) else []
        painter = QPainter(self._picture)
        paint_course(painter, self.frame, self.course, self.figures, self._markers, theme, ratio)
        painter.end()
        self.update()

    def _figures(self, store: ViewStore, t: float) -> NDArray[np.float32]:
        """Return the probabilities to name, as the answer's panel has them: those of the moment shown."""
        assert self.course is not None
        if not self._is_held(t):
            probs = self.course.probs
            return probs[-1] if len(probs) else np.empty(0, np.float32)
        prediction = store.predictions.at(t)
        if prediction is None or t - prediction.t_end > STALE_AFTER_S:
            return np.full(len(self.course.labels), np.nan, np.float32)
        return np.array([prediction.probs.get(name, np.nan) for name in self.course.labels], np.float32)

    def _stretch(self, store: ViewStore, t: float, span_s: float) -> tuple[float, float]:
        """Return right edge and length of what is shown; both stay while the moment held lies inside."""
        asked = (id(store), span_s)
        if self._is_held(t) and self._stretch_for == asked:
            end, filled_s = self._shown_stretch
            if end - filled_s <= t <= end:
                return self._shown_stretch
        filled_s = _filled_span_s(store, span_s)
        self._stretch_for = asked
        self._shown_stretch = (self._right_edge(store, t, filled_s), filled_s)
        return self._shown_stretch

    def _right_edge(self, store: ViewStore, t: float, span_s: float) -> float:
        newest = store.newest_time
        if math.isnan(newest):
            newest = store.predictions.newest_time
        end = newest if not t < newest - 0.9 * span_s else t + span_s / 2
        grid_s = _grid_s(span_s)
        return math.ceil(end / grid_s) * grid_s if math.isfinite(end) else math.nan

    def _is_held(self, t: float) -> bool:
        """Tell whether ``t`` is a moment looked back at."""
        return self._store is not None and t < self._store.newest_time - _HELD_S

    def _x_of(self, t: float) -> int:
        """Return the column of the line that marks ``t``, or -1 where none is to be drawn."""
        if self.frame is None or not self._is_held(t):
            return -1
        return round(self.frame.x_of(t)) if self.frame.t0 <= t <= self.frame.t1 else -1

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint the picture, the line at a moment that is held, and the focus."""
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._picture)
        theme = self._panel.theme
        x = self._x_of(self._t)
        if x >= 0 and self.frame is not None:
            top, bottom = self.frame.ribbon.top(), self.frame.plot.bottom()
            self._paint_later(painter, self.frame, x)
            painter.fillRect(QRectF(x - 1, top, 2, bottom - top), QColor(theme.accent))
            painter.setBrush(QColor(theme.accent))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.drawPolygon(QPointF(x - 6, top - 1), QPointF(x + 6, top - 1), QPointF(x, top + 7))
        if self.hasFocus() and self.frame is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.accent), 1, Qt.PenStyle.DotLine))
            painter.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -1, -1))
        painter.end()

    def _paint_later(self, painter: QPainter, frame: CourseFrame, x: int) -> None:
        """Grey what came after the moment held, and say so."""
        theme, plot = self._panel.theme, frame.plot
        veil = QColor(theme.surface)
        veil.setAlpha(170)
        painter.fillRect(QRectF(x, frame.ribbon.top(), plot.right() + 1 - x, plot.bottom()), veil)
        metrics = QFontMetricsF(frame.small)
        width = metrics.horizontalAdvance("later") + 10
        if width <= plot.right() - x:
            at = QRectF(x + 2, plot.bottom() - metrics.height() - 2, width, metrics.height())
            painter.fillRect(at, QColor(theme.surface))
            painter.setFont(frame.small)
            painter.setPen(QColor(theme.muted))
            painter.drawText(at, Qt.AlignmentFlag.AlignCenter, "later")

    def event(self, event: QEvent | None) -> bool:
        """Say the whole text of the markers below the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.text_at(event.pos().x()), self)
            return True
        return super().event(event)

    def text_at(self, x: float) -> str:
        """Return the texts of the markers near a place, a line each."""
        if self.frame is None:
            return ""
        near = [m for m in self._markers if abs(self.frame.x_of(m.time) - x) <= _NEAR_PX]
        return tip_of(marker.text for marker in near)

    # --- choosing a moment ---

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Choose the prediction that held at the place clicked."""
        if event is None or event.button() is not Qt.MouseButton.LeftButton or self.frame is None:
            return
        x, plot = event.position().x(), self.frame.plot
        if self._store is not None and plot.left() <= x <= plot.right():
            self._choose(self.frame.t_of(x))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Step from prediction to prediction."""
        if event is None or self._store is None or math.isnan(self._t):
            return
        key = event.key()
        if key == Qt.Key.Key_Left:
            self._choose(math.nextafter(self._shown_t_end(), -math.inf))
        elif key == Qt.Key.Key_Right:
            later = self._store.predictions.read(math.nextafter(self._shown_t_end(), math.inf), math.inf)
            self._choose(later[0].t_end) if later else self._panel.choose_now()
        elif key == Qt.Key.Key_PageUp:
            self._choose(self._t - _STEP_S)
        elif key == Qt.Key.Key_PageDown:
            self._choose(self._t + _STEP_S)
        elif key == Qt.Key.Key_End:
            self._panel.choose_now()
        else:
            super().keyPressEvent(event)

    def _shown_t_end(self) -> float:
        assert self._store is not None
        prediction = self._store.predictions.at(self._t)
        return prediction.t_end if prediction is not None else self._t

    def _choose(self, t: float) -> None:
        """Choose the newest prediction at or before ``t``; in a gap, the moment itself."""
        assert self._store is not None
        prediction = self._store.predictions.at(t)
        if prediction is not None and t - prediction.t_end <= STALE_AFTER_S:
            t = prediction.t_end
        self._panel.choose_time(t)


def _grid_s(span_s: float) -> float:
    return max(_GRID_S, span_s / _MOST_COLUMNS)


def _filled_span_s(store: ViewStore, span_s: float) -> float:
    """Return how much of a span to show: not the empty time before a young session began."""
    oldest = np.nanmin([store.oldest_time, store.predictions.oldest_time, math.inf])
    newest = np.nanmax([store.newest_time, store.predictions.newest_time, -math.inf])
    step_s = _SHORTEST_S / 3
    kept_s = math.ceil((newest - oldest) / step_s) * step_s if newest >= oldest else 0.0
    return min(span_s, max(_SHORTEST_S, kept_s))
