"""Gaze on the screen, pupil sizes and blinks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QLabel, QSizePolicy, QWidget

from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.pupil_strip import PupilStrip
from app.qt.plots.time_strip import paint_notice
from app.qt.theme import DARK, Theme
from app.view.conditions import stream_note
from app.view.scales import find_blinks
from app.view.store import ViewStore

_TRAIL_S = 2.0
_LATE_S = 0.3  # an older sample is not where the eyes look now
_SEEN = 0.5  # validity from which on the eyes count as seen
_RATE_OVER_S = 60.0
_COUNT_EVERY_S = 0.5
_N_SHADES = 8
_MAX_POINTS = 120


class GazePanel(Panel):
    """Where on the screen the eyes look, with the trail of the last two seconds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Gaze on the screen", parent)
        self.screen_view = ScreenView()
        self.body.addWidget(self.screen_view, 1)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.head.addWidget(self.words)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the gaze as of ``t``."""
        notice = stream_note(store, Kind.GAZE, t)
        times, values = (
            store.gaze.read(t - _TRAIL_S, t) if math.isfinite(t) else (np.empty(0), np.empty((0, 5)))
        )
        self.screen_view.show_gaze(times, values, t, notice)
        words = "" if notice else self.screen_view.words
        if words != self.words.text():
            self.words.setText(words)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.screen_view.set_theme(theme)


class ScreenView(QWidget):
    """The screen as a rectangle, the gaze in it.

    Attributes
    ----------
    aspect : float
        Width by height of the screen.
    words : str
        The gaze in words.
    """

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self.aspect = 16 / 9
        self.words = ""
        self._trail: NDArray[np.float64] = np.empty((0, 2))
        self._ages: NDArray[np.float64] = np.empty(0)
        self._is_seen = False
        self.notice = ""
        self.setAccessibleName("Gaze on the screen")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_gaze(
        self, times: NDArray[np.float64], values: NDArray[np.floating], t: float, notice: str
    ) -> None:
        """Take the samples of the trail: (n, 5), x, y, pupils, validity."""
        seen = (values[:, 4] >= _SEEN) & np.isfinite(values[:, :2]).all(axis=1)
        late = len(times) == 0 or t - times[-1] > _LATE_S
        self._is_seen = bool(len(times) and not late and seen[-1])
        # Every n-th sample up to the newest: fast trackers give more than a picture can tell apart.
        every = (
            slice((len(times) - 1) % (n := 1 + len(times) // _MAX_POINTS), None, n)
            if len(times)
            else slice(0)
        )
        self._trail = np.where(seen[:, None], values[:, :2], np.nan).astype(np.float64)[every]
        self._ages = (t - times)[every]
        self.notice = notice
        if self._is_seen:
            x, y = self._trail[-1]
            inside = 0 <= x <= 1 and 0 <= y <= 1
            self.words = f"{100 * x:.0f} % right, {100 * y:.0f} % down" if inside else "looks off the screen"
        else:
            self.words = "no gaze samples" if late else "eyes not seen"
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def screen_rect(self) -> QRectF:
        """Return where the screen is drawn."""
        margin = 4.0
        width = min(self.width() - 2 * margin, (self.height() - 2 * margin) * self.aspect)
        height = width / self.aspect
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def point(self, x: float, y: float) -> QPointF:
        """Return the pixel of a place in shares of the screen; off the screen, the nearest on its rim."""
        rect = self.screen_rect()
        x, y = min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
        return QPointF(rect.left() + x * rect.width(), rect.top() + y * rect.height())

    def sizeHint(self) -> QSize:
        line = QFontMetricsF(self.font()).height()
        return QSize(int(18 * line), int(10 * line))

    def minimumSizeHint(self) -> QSize:
        line = QFontMetricsF(self.font()).height()
        return QSize(int(8 * line), int(4.5 * line))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter, rect, theme = QPainter(self), self.screen_rect(), self.theme
        painter.fillRect(rect, QColor(theme.window))
        painter.setPen(QColor(theme.grid))
        for i in (1, 2):
            x, y = rect.left() + rect.width() * i / 3, rect.top() + rect.height() * i / 3
            painter.drawLine(QPointF(x, rect.top()), QPointF(x, rect.bottom()))
            painter.drawLine(QPointF(rect.left(), y), QPointF(rect.right(), y))
        painter.setPen(QColor(theme.muted))
        painter.drawRect(rect)
        self._paint_trail(painter)
        if self._is_seen:
            self._paint_point(painter)
        text = self.notice or ("" if self._is_seen else self.words)
        if text:
            paint_notice(painter, rect, text, theme)

    def _paint_trail(self, painter: QPainter) -> None:
        """Draw the trail in a few shades, the older the fainter."""
        shade = np.clip((self._ages / _TRAIL_S * _N_SHADES).astype(int), 0, _N_SHADES - 1)
        rect = self.screen_rect()
        corner, size = (rect.left(), rect.top()), (rect.width(), rect.height())
        points = np.clip(self._trail, 0.0, 1.0) * size + corner  # NaN stays
        for k in range(_N_SHADES - 1, -1, -1):
            chosen = np.flatnonzero(shade == k)
            if not len(chosen):
                continue
            colour = QColor(self.theme.accent)
            colour.setAlphaF(float(0.85 * (1 - k / _N_SHADES)))
            painter.setPen(QPen(colour, 1))
            piece = points[chosen[0] : chosen[-1] + 2]  # one more joins the shades
            edges = np.flatnonzero(np.diff(~np.isnan(piece[:, 0]), prepend=False, append=False))
            for first, end in edges.reshape(-1, 2):
                painter.drawPolyline(QPolygonF([QPointF(x, y) for x, y in piece[first:end].tolist()]))

    def _paint_point(self, painter: QPainter) -> None:
        centre, size = self.point(*self._trail[-1]), QFontMetricsF(self.font()).height() * 0.45
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(self.theme.surface), 4))
        painter.drawEllipse(centre, size, size)
        painter.setPen(QPen(QColor(self.theme.accent), 2))
        painter.drawEllipse(centre, size, size)
        painter.drawPoint(centre)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)


class PupilPanel(Panel):
    """Pupil sizes over the last half minute, blinks shaded and counted."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Pupils and blinks", parent)
        self.strip = PupilStrip()
        self.body.addWidget(self.strip, 1)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.head.addWidget(self.words)
        self._blinks: list[tuple[float, float]] = []
        self._counted = -math.inf

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show pupils as of ``t``."""
        self.strip.set_notice(stream_note(store, Kind.GAZE, t))
        if not math.isfinite(t) or not len(store.gaze):
            return
        if not abs(t - self._counted) < _COUNT_EVERY_S:
            self._counted = t
            self._count_blinks(store, t)
        times, values = store.gaze.read(t - self.strip.span_s, t)
        self.strip.show_pupils(store, times, values, self._blinks, t)

    def _count_blinks(self, store: ViewStore, t: float) -> None:
        times, values = store.gaze.read(t - _RATE_OVER_S, t)
        self._blinks = find_blinks(times, values[:, 4] >= _SEEN)
        n, covered_s = len(self._blinks), float(times[-1] - times[0]) if len(times) > 1 else 0.0
        said = (
            f"{60 * n / covered_s:.0f} blinks/min"
            if covered_s >= 10.0
            else f"{n} blinks in {covered_s:.0f} s"
        )
        if said != self.words.text():
            self.words.setText(said)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.strip.set_theme(theme)
