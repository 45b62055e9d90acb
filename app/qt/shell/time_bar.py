"""The bar under the tabs: pause and resume, step, speed, and the timeline with the moment shown."""

import math

from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import (
    QAction,
    QBrush,
    QColor,
    QHelpEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
)
from PyQt6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QToolButton,
    QToolTip,
    QWidget,
)

from app.engine.messages import Mark
from app.qt.shell.session import SPEEDS, Playback, speed_text
from app.qt.theme import DARK, Theme, fill_answer, pixmap_of
from app.qt.widgets import put
from app.view.explanation import UNCERTAIN, WARMING_UP, course
from app.view.store import ViewStore
from app.view.text import clock_text, one_line, tooltip


class ReplayBar(QWidget):
    """Buttons, speed, the timeline and the time in words."""

    def __init__(self, playback: Playback, actions: dict[str, QAction]) -> None:
        super().__init__()
        self._playback = playback
        self._toggle = actions["toggle"]
        self.setAccessibleName("Time")
        row = put(QHBoxLayout(self), margins=(6, 0, 6, 4))
        for name in ("to_start", "step_back", "toggle", "step_on", "to_end"):
            button = QToolButton()
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
            button.setDefaultAction(actions[name])
            button.setAccessibleName(actions[name].toolTip())
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button)
        self.timeline = Timeline()
        self.timeline.chosen.connect(playback.seek)
        self.words = QLabel()
        self.words.setAccessibleName("Time shown, in words")
        self.words.setMinimumWidth(self.words.fontMetrics().horizontalAdvance("00:00.0 of 00:00.0"))
        self.words.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.speed = QComboBox()
        self.speed.addItems([speed_text(speed) for speed in SPEEDS])
        self.speed.setAccessibleName("Replay speed")
        self.speed.setToolTip("Replay speed, times real time")
        self.speed.activated.connect(lambda at: playback.set_speed(SPEEDS[at]))
        put(row, (self.timeline, 1), self.words, self.speed)

    def refresh(self, store: ViewStore, t: float) -> None:
        playback = self._playback
        self._toggle.setIconText("‖" if playback.is_playing else "▶")
        self.timeline.show_store(store, t)
        self.words.setText(moment_words(store, t))
        self.speed.setVisible(playback.is_replay)
        at = SPEEDS.index(playback.speed) if playback.speed in SPEEDS else -1
        if self.speed.currentIndex() != at and not self.speed.hasFocus():
            self.speed.setCurrentIndex(at)


def moment_words(store: ViewStore, t: float) -> str:
    """Return the position of ``t`` in the recording, or how long ago it was."""
    if not math.isfinite(t):
        return "no data yet"
    if store.timeline is not None:
        first, last = store.timeline.first, store.timeline.last
        return f"{clock_text(t - first, 1)} of {clock_text(last - first, 1)}"
    behind = store.newest_time - t
    kept = clock_text(store.newest_time - store.oldest_time)
    return f"live, {kept} kept" if behind < 0.05 else f"-{clock_text(behind, 1)} of {kept}"


_PER_S = 1000  # the slider counts milliseconds
_REDRAW_S = 0.5  # of data, between two drawings of what lies behind the handle
_NEAR_PX = 6
_MAX_MARKS = 400
_NO_ANSWERS = {WARMING_UP: "no answer (outlined): warming up", UNCERTAIN: "no answer (hatched): uncertain"}


class Timeline(QSlider):
    """A slider over the recording, or over the last ten minutes of a live session."""

    chosen = pyqtSignal(float)  # a moment in LSL seconds that was clicked or dragged to

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setAccessibleName("Time shown")
        self.setToolTip("")
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)  # its keys are the window's own
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._theme: Theme = DARK
        self._first = self._last = self._shown = math.nan
        self._newest = math.nan
        self._marks: list[Mark] = []
        self._answers: tuple[tuple[float, float, int], ...] = ()  # as in the time course
        self._labels: tuple[str, ...] = ()
        self._behind: QPixmap | None = None
        self._drawn: tuple[object, ...] = ()

    def sizeHint(self) -> QSize:
        return QSize(200, round(self.fontMetrics().height() * 1.7))

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self.sizeHint().height())

    def set_theme(self, theme: Theme) -> None:
        self._theme = theme
        self._drawn = ()
        self.update()

    def show_store(self, store: ViewStore, t: float) -> None:
        timeline = store.timeline
        first = timeline.first if timeline is not None else store.oldest_time
        last = timeline.last if timeline is not None else store.newest_time
        if not (math.isfinite(first) and math.isfinite(last) and last > first):
            if self._drawn and self._drawn[0] != id(store):  # nothing of the session before
                self._first = self._last = self._shown = math.nan
                self._marks, self._answers, self._behind, self._drawn = [], (), None, ()
                self.setRange(0, 0)
                self.update()
            return
        self._first, self._last, self._shown, self._newest = first, last, t, store.newest_time
        span = round((last - first) * _PER_S)
        if span != self.maximum():
            self.setRange(0, span)
        if not self.isSliderDown() and math.isfinite(t):
            self.setSliderPosition(round((t - first) * _PER_S))
        # A live slider moves all the time, a replay's only with new predictions.
        newest = self._newest if math.isfinite(self._newest) else first
        steps = (round(newest / _REDRAW_S), round(first / _REDRAW_S))
        drawn = (id(store), *steps, self.size(), self._theme)
        if drawn != self._drawn:
            self._drawn = drawn
            self._collect(store)
            self._behind = self._draw_behind()
        self.update()

    def _collect(self, store: ViewStore) -> None:
        self._labels = store.model.labels if store.model is not None else ()
        if store.timeline is not None:
            marks = [*store.timeline.marks, *store.timeline.gaps]
        else:
            marks = store.markers.read(self._first, self._last)
            marks += [Mark(time, text) for time, text, severity in store.events if severity != "info"]
        self._marks = sorted(marks, key=lambda mark: mark.time)[-_MAX_MARKS:]
        predictions = store.predictions.read(self._first, self._last)
        self._answers = course(predictions, self._labels, self._last).answers

    def _draw_behind(self) -> QPixmap:
        pixmap = pixmap_of(self, self.size())
        painter = QPainter(pixmap)
        strip = self._strip()
        painter.fillRect(strip, QColor(self._theme.grid))
        for start, end, answer in self._answers:
            x = self._x(start)
            area = QRectF(x, strip.top(), max(1.0, self._x(end) - x), strip.height())
            fill_answer(painter, area, self._theme, answer)
        for mark in self._marks:
            self._draw_mark(painter, mark, strip)
        painter.end()
        return pixmap

    def _draw_mark(self, painter: QPainter, mark: Mark, strip: QRectF) -> None:
        x = self._x(mark.time)
        if mark.duration_s > 0:
            hatch = QBrush(QColor(self._theme.text), Qt.BrushStyle.BDiagPattern)
            area = QRectF(x, strip.top(), max(3.0, self._x(mark.time + mark.duration_s) - x), strip.height())
            painter.fillRect(area, QColor(self._theme.window))
            painter.fillRect(area, hatch)
            return
        size = self.height() * 0.14
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self._theme.muted))
        bottom = self.height() - 1.0
        painter.drawPolygon(
            QPolygonF([QPointF(x, strip.bottom() + 2), QPointF(x - size, bottom), QPointF(x + size, bottom)])
        )

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        if self._behind is not None:
            painter.drawPixmap(0, 0, self._behind)
        else:
            painter.fillRect(self._strip(), QColor(self._theme.grid))
        if math.isfinite(self._shown):
            x = self._x(self._first + self.sliderPosition() / _PER_S)
            strip = self._strip()
            painter.setPen(QPen(QColor(self._theme.window), 1))
            painter.setBrush(QColor(self._theme.text))
            painter.drawRoundedRect(QRectF(x - 3.5, 0.5, 7, strip.bottom() + 3), 3, 3)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(self._theme.accent), 1, Qt.PenStyle.DotLine))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self.maximum() > 0:
            self.setSliderDown(True)
            self._move(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and self.isSliderDown():
            self._move(event)
            QToolTip.showText(event.globalPosition().toPoint(), self._tooltip(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and self.isSliderDown():
            self.setSliderDown(False)
            self.chosen.emit(self._time(event.position().x()))

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QHelpEvent) and math.isfinite(self._first):
            QToolTip.showText(event.globalPos(), self._tooltip(event.pos().x()), self)
            return True
        return super().event(event)

    def _tooltip(self, x: float) -> str:
        return tooltip(*self.words_at(self._time(x)).splitlines())

    def words_at(self, t: float) -> str:
        """Return time, predicted emotion and nearby marks at ``t`` as plain text."""
        words = [clock_text(t - self._first, 1)]
        for start, end, answer in reversed(self._answers):  # where two meet, the newer one holds
            if start <= t <= end:
                words.append(_NO_ANSWERS.get(answer) or f"predicted: {one_line(self._labels[answer])}")
                break
        near_s = _NEAR_PX * (self._last - self._first) / max(1, self.width())
        words += [
            one_line(mark.text, 80)
            for mark in self._marks
            if mark.time - near_s <= t <= mark.time + mark.duration_s + near_s
        ][:5]
        return "\n".join(words)

    def _move(self, event: QMouseEvent) -> None:
        self.setSliderPosition(round((self._time(event.position().x()) - self._first) * _PER_S))
        self.update()

    def _strip(self) -> QRectF:
        return QRectF(4, 2, max(1, self.width() - 8), self.height() * 0.55)

    def _x(self, t: float) -> float:
        strip = self._strip()
        share = (t - self._first) / (self._last - self._first)
        return strip.left() + min(max(share, 0.0), 1.0) * strip.width()

    def _time(self, x: float) -> float:
        strip = self._strip()
        share = min(max((x - strip.left()) / strip.width(), 0.0), 1.0)
        return self._first + share * (self._last - self._first)
