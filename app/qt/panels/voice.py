"""Voice: level meter and scrolling log-mel picture."""

from __future__ import annotations

import math

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.heat_strip import HeatStrip
from app.qt.theme import DARK, Theme
from app.view.conditions import stream_note
from app.view.store import ViewStore

_FLOOR_DB = -60.0  # of the meter
_TICKS_DB = (-60, -48, -36, -24, -12, 0)
_CLIPPING_DB = -0.1
_LEVEL_S, _HOLD_S, _CLIPPING_S = 0.2, 1.5, 3.0
_TICKS_KHZ = (0.1, 0.5, 1, 2, 4, 8)
#: Normalised log-mel of silence and of loud speech (`models.features.log_mel`).
_LOG_MEL_RANGE = (-1.25, 1.0)
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 8000.0


class VoicePanel(Panel):
    """How loud the voice is, and what the network gets of it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Voice", parent)
        self.meter = LevelMeter()
        self.strip = HeatStrip("Log-mel of the voice", 30.0, hold_s=0.05, unit="log-mel, model units")
        self.strip.setToolTip(
            "Log-mel energy as the network gets it: AudioSet's mean and SD taken out, no unit"
        )
        self.strip.set_scale(*_LOG_MEL_RANGE, mel_ticks())
        self.body.addWidget(self.meter)
        self.body.addWidget(self.strip, 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show level and log-mel as of ``t``."""
        notice = stream_note(store, Kind.AUDIO, t)
        self.strip.set_notice(notice or ("" if len(store.log_mel) else "no log-mel yet"))
        self.meter.show_level(store, t, is_grey=bool(notice))
        if len(store.log_mel) and math.isfinite(t):
            self.strip.show_history(store, store.log_mel, t)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.strip.set_theme(theme)
        self.meter.set_theme(theme)


class LevelMeter(QWidget):
    """Root mean square as a bar, the highest peak as a stroke, clipping in words."""

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self.rms_db, self.peak_db = math.nan, math.nan
        self.is_clipping = False
        self._is_grey = False
        self.setAccessibleName("Voice level")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_level(self, store: ViewStore, t: float, is_grey: bool) -> None:
        """Take the level at ``t``."""
        levels = store.voice
        before = (self.rms_db, self.peak_db, self.is_clipping, self._is_grey)
        if math.isfinite(t) and levels.ch_names:
            end = math.floor(t / levels.bin_s)
            n_level, n_hold, n_clipping = (
                max(1, round(seconds / levels.bin_s)) for seconds in (_LEVEL_S, _HOLD_S, _CLIPPING_S)
            )
            rms, peak = (values[:, 0] for values in levels.read(end - n_clipping, end))
            self.rms_db = _mean_db(rms[-n_level:])
            self.peak_db = _highest(peak[-n_hold:])
            self.is_clipping = _highest(peak) >= _CLIPPING_DB
        self._is_grey = is_grey
        if before != (self.rms_db, self.peak_db, self.is_clipping, self._is_grey):
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def words(self) -> str:
        """Return the level in words."""
        if math.isnan(self.rms_db):
            return "no level"
        said = f"RMS {_db(self.rms_db)}, peak {_db(self.peak_db)}"
        return f"CLIPPING: turn the microphone down   {said}" if self.is_clipping else said

    def sizeHint(self) -> QSize:
        line = QFontMetricsF(self.font()).height()
        return QSize(int(20 * line), int(2.9 * line))

    def minimumSizeHint(self) -> QSize:
        line = QFontMetricsF(self.font()).height()
        return QSize(int(8 * line), int(2.9 * line))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter, theme, metrics = QPainter(self), self.theme, QFontMetricsF(self.font())
        line = metrics.height()
        loud = theme.bad if self.is_clipping else theme.text
        painter.setPen(QColor(theme.stale if self._is_grey else loud))
        flags = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        words = metrics.elidedText(self.words(), Qt.TextElideMode.ElideRight, self.width())
        painter.drawText(QRectF(0, 0, self.width(), line), flags, words)
        bar = QRectF(0.5, line * 1.15, self.width() - 1.0, line * 0.6)
        painter.setPen(QColor(theme.grid))
        painter.drawRect(bar)
        self._paint_figures(painter, bar)
        if math.isnan(self.rms_db):
            return
        colour = theme.stale if self._is_grey else theme.bad if self.is_clipping else theme.good
        painter.fillRect(
            QRectF(bar.left() + 1, bar.top() + 1, _share(self.rms_db) * (bar.width() - 2), bar.height() - 1),
            QColor(colour),
        )
        painter.setPen(QPen(QColor(theme.muted), 1, Qt.PenStyle.DotLine))
        for db in _TICKS_DB[1:-1]:
            x = bar.left() + _share(db) * bar.width()
            painter.drawLine(QPointF(x, bar.top()), QPointF(x, bar.bottom()))
        painter.setPen(QPen(QColor(theme.text), 2))
        x = bar.left() + _share(self.peak_db) * bar.width()
        painter.drawLine(QPointF(x, bar.top()), QPointF(x, bar.bottom()))

    def _paint_figures(self, painter: QPainter, bar: QRectF) -> None:
        """Write what the strokes stand for below them."""
        metrics = QFontMetricsF(self.font())
        painter.setPen(QColor(self.theme.muted))
        for db in _TICKS_DB:
            text = f"{db}".replace("-", "−") + (" dBFS" if db == 0 else "")
            width = metrics.horizontalAdvance(text)
            x = bar.left() + _share(db) * bar.width() - width / 2
            x = min(max(x, bar.left()), bar.right() - width)
            painter.drawText(QPointF(x, bar.bottom() + metrics.ascent()), text)


def mel_ticks() -> list[tuple[float, str]]:
    """Return where frequencies lie on the mel scale of the log-mel frames, as shares of the height."""

    def mel(hz: float) -> float:
        return 1127.0 * math.log(1.0 + hz / 700.0)

    low, high = mel(_LOWEST_HZ), mel(_HIGHEST_HZ)
    return [((mel(1000 * khz) - low) / (high - low), f"{khz:g} kHz") for khz in _TICKS_KHZ]


def _share(db: float) -> float:
    """Return how far along the meter a level lies, 0..1; NaN lies at 0."""
    return min(max((db - _FLOOR_DB) / -_FLOOR_DB, 0.0), 1.0) if math.isfinite(db) else 0.0


def _db(db: float) -> str:
    return f"{max(db, -99.0):.0f} dBFS".replace("-", "−") if math.isfinite(db) else "-"


def _mean_db(db: np.ndarray) -> float:
    """Return the level of the mean power of those that are known, NaN without any."""
    known = db[~np.isnan(db)]
    return float(10 * np.log10(np.mean(10 ** (known / 10)) + 1e-12)) if len(known) else math.nan


def _highest(db: np.ndarray) -> float:
    known = db[~np.isnan(db)]
    return float(known.max()) if len(known) else math.nan
