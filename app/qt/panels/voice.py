"""Voice: level meter and scrolling log-mel picture."""

import math

import numpy as np
import pyqtgraph as pg
from PyQt6.QtWidgets import QSizePolicy

from acquisition.quality import FULL_SCALE, decibel
from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.axes import Axis, number_text
from app.qt.plots.items import Bar, Bars
from app.qt.plots.plot import Plot, Table
from app.qt.plots.time_plot import HeatPlot
from app.view.conditions import stream_note
from app.view.store import ViewStore

_FLOOR_DB = -60.0  # of the meter
_CLIPPING_DB = decibel(FULL_SCALE)
_LEVEL_S, _HOLD_S, _CLIPPING_S = 0.2, 1.5, 3.0
_TICKS_KHZ = (0.1, 0.5, 1, 2, 4, 8)
#: Normalised log-mel of silence and of loud speech (`models.features.log_mel`).
_LOG_MEL_RANGE = (-1.25, 1.0)
_LOWEST_HZ, _HIGHEST_HZ, _N_MELS = 20.0, 8000.0, 128


class VoicePanel(Panel):
    """The level of the voice, and its log-mel as fed to the network."""

    def __init__(self) -> None:
        super().__init__("Voice")
        self.words = self.add_words()
        self.meter = LevelMeter()
        self.plot = HeatPlot("Log-mel of the voice", 30.0, hold_s=0.05, unit="log-mel, model units")
        self.plot.setToolTip(
            "Log-mel energy as fed to the network: normalised with AudioSet mean and SD, unitless"
        )
        self.plot.set_scale(*_LOG_MEL_RANGE, _N_MELS, _mel_ticks(), _hz)
        self.body.addWidget(self.meter)
        self.add_plot(self.plot)

    def refresh(self, store: ViewStore, t: float) -> None:
        notice = stream_note(store, Kind.AUDIO, t)
        self.plot.set_notice(notice or ("" if len(store.log_mel) else "no log-mel yet"))
        self.meter.show_level(store, t, is_grey=bool(notice))
        self.words.setText(self.meter.words())
        if len(store.log_mel) and math.isfinite(t):
            self.plot.show_history(store, store.log_mel, t)


class LevelMeter(Plot):
    """Root mean square as a bar, the highest peak as a stroke; clipping turns both to the colour of bad."""

    def __init__(self) -> None:
        axis = Axis(
            "bottom", lambda value, spacing: f"{number_text(value, spacing)}{' dBFS' if value == 0 else ''}"
        )
        super().__init__("Voice level", (axis,), x=(_FLOOR_DB, 0.0), zoom="", least=(20, 2.2))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.rms_db = self.peak_db = math.nan
        self.is_clipping = False
        self._shown: tuple[object, ...] = ()
        self.bars = Bars(self)
        self._peak = pg.InfiniteLine(angle=90)
        self.plot_item.addItem(self._peak)

    def show_level(self, store: ViewStore, t: float, is_grey: bool) -> None:
        levels = store.voice
        if math.isfinite(t) and levels.ch_names:
            end = math.floor(t / levels.bin_s)
            n_level, n_hold, n_clipping = (
                max(1, round(seconds / levels.bin_s)) for seconds in (_LEVEL_S, _HOLD_S, _CLIPPING_S)
            )
            rms, peak = (values[:, 0] for values in levels.read(end - n_clipping, end))
            self.rms_db = _mean_db(rms[-n_level:])
            self.peak_db = _highest(peak[-n_hold:])
            self.is_clipping = _highest(peak) >= _CLIPPING_DB
        shown = (str(self.rms_db), str(self.peak_db), self.is_clipping, is_grey, self.theme)
        if shown != self._shown:
            self._shown = shown
            theme = self.theme
            colour = theme.stale if is_grey else theme.bad if self.is_clipping else theme.good
            is_known = math.isfinite(self.rms_db)
            bar = Bar((_FLOOR_DB, max(self.rms_db, _FLOOR_DB)), (0.1, 0.9), colour)
            self.bars.set_content([bar] if is_known else [])
            self._peak.setPos(max(self.peak_db, _FLOOR_DB) if math.isfinite(self.peak_db) else _FLOOR_DB)
            self._peak.setPen(pg.mkPen(theme.text, width=2))
            self.setAccessibleDescription(self.words())
            self.redraw()

    def words(self) -> str:
        if math.isnan(self.rms_db):
            return "no level"
        said = f"RMS {_db(self.rms_db)}, peak {_db(self.peak_db)}"
        return f"CLIPPING: turn the microphone down   {said}" if self.is_clipping else said

    def table(self) -> Table:
        return ["level", "dBFS"], [("RMS", self.rms_db), ("peak", self.peak_db)]


def _hz(place: float) -> float:
    """Return the frequency at a place of the log-mel picture, whose rows are equal steps of the mel scale."""
    low, high = _mel(_LOWEST_HZ), _mel(_HIGHEST_HZ)
    return 700.0 * (math.exp((low + place / _N_MELS * (high - low)) / 1127.0) - 1.0)


def _mel(hz: float) -> float:
    return 1127.0 * math.log(1.0 + hz / 700.0)


def _mel_ticks() -> list[tuple[float, str]]:
    low, high = _mel(_LOWEST_HZ), _mel(_HIGHEST_HZ)
    return [(_N_MELS * (_mel(1000 * khz) - low) / (high - low), f"{khz:g} kHz") for khz in _TICKS_KHZ]


def _db(db: float) -> str:
    return f"{max(db, -99.0):.0f} dBFS".replace("-", "\N{MINUS SIGN}") if math.isfinite(db) else "-"


def _mean_db(db: np.ndarray) -> float:
    """Return the level of the mean power of those that are known, NaN without any."""
    known = db[~np.isnan(db)]
    return float(10 * np.log10(np.mean(10 ** (known / 10)) + 1e-12)) if len(known) else math.nan


def _highest(db: np.ndarray) -> float:
    known = db[~np.isnan(db)]
    return float(known.max()) if len(known) else math.nan
