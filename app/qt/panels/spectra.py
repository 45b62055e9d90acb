"""Spectra: of one EEG channel over time, of the voice with its level, and the EEG's bands as heads."""

import math

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QGridLayout, QSizePolicy, QWidget

from acquisition.quality import FULL_SCALE, decibel
from acquisition.text import age
from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.axes import Axis, number_text
from app.qt.plots.heads import HeadPlot
from app.qt.plots.items import Bar, Bars
from app.qt.plots.plot import Plot, Table
from app.qt.plots.time_plot import HeatPlot, unit_symbol
from app.qt.widgets import plain_label
from app.view.conditions import stream_note
from app.view.scales import CalmRange
from app.view.store import ViewStore
from app.view.trust import electrodes_at
from models.prediction import Prediction

_TICKS_HZ = (1, 10, 20, 30, 40, 50)
_LOOK_EVERY_S = 1.0
_SCALE_HOLD_S = 30.0  # the colours' scale does not shrink sooner
_UNKNOWN = ("", "unscaled")  # units


class SpectrogramPanel(Panel):
    """Power of a channel over time and frequency."""

    def __init__(self) -> None:
        super().__init__("Spectrogram")
        self.plot = self.add_plot(HeatPlot("EEG spectrogram", 30.0, hold_s=1.1, unit="dB"))
        self.channels = self.add_choice("Channel of the spectrogram", {})
        self.channels.setEnabled(False)
        self._names: tuple[str, ...] = ()
        self._range = CalmRange(step=5.0, least=20.0, hold_s=_SCALE_HOLD_S)
        self._looked = -math.inf
        self._shown_ch = ""

    def refresh(self, store: ViewStore, t: float) -> None:
        self._offer(store)
        history = store.spectrogram
        notice = stream_note(store, Kind.EEG, t)
        if not notice and not len(history):
            notice = "no spectrum yet: it needs a few seconds of EEG"
        self.plot.set_notice(notice)
        if not len(history) or not math.isfinite(t):
            return
        symbol = unit_symbol(store.eeg.unit)
        unit = f"dB re 1 {symbol}²/Hz" if symbol not in _UNKNOWN else "dB, unit unknown"
        if unit != self.plot.unit or not abs(t - self._looked) < _LOOK_EVERY_S:
            self._looked, self.plot.unit = t, unit
            low, high = self._range.fit(history.read(t - self.plot.span_s, t)[1], t=t)
            if math.isfinite(low):
                self._show_scale(low, high, store.spectrogram_freqs)
        self.plot.show_history(store, history, t)

    def _show_scale(self, low: float, high: float, freqs: NDArray[np.float32]) -> None:
        """Set the colours and the axis; each row of the picture is centred on its frequency."""
        if len(freqs) < 2:
            return
        first, step = float(freqs[0]), float(freqs[1] - freqs[0])
        places = [((hz - first) / step + 0.5, f"{hz} Hz") for hz in _TICKS_HZ]
        ticks = [(place, text) for place, text in places if 0 <= place <= len(freqs)]
        self.plot.set_scale(low, high, len(freqs), ticks, lambda place: first + (place - 0.5) * step)

    def _offer(self, store: ViewStore) -> None:
        if store.eeg.ch_names != self._names:
            self._names = store.eeg.ch_names
            self.channels.clear()
            self.channels.addItems(self._names)
            self.channels.setEnabled(bool(self._names))
            self._shown_ch = ""
        if store.spectrogram_ch != self._shown_ch and store.spectrogram_ch in self._names:
            self._shown_ch = store.spectrogram_ch
            self.channels.setCurrentText(self._shown_ch)
            self._range = CalmRange(step=5.0, least=20.0, hold_s=_SCALE_HOLD_S)
            self._looked = -math.inf


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
    return float(np.fmax.reduce(db, initial=math.nan))


_STEP_NATS = 0.5
_MAX_AGE_S = 2.0
_CAPTION = "nats, separate scales"


class BandMapsPanel(Panel):
    """One head per band; each has its own scale, as the bands' entropies lie far apart."""

    def __init__(self) -> None:
        super().__init__("Differential entropy (DE)")
        self._maps: list[HeadPlot] = []
        self._ranges: list[CalmRange] = []
        self._bands: tuple[tuple[str, float, float], ...] = ()
        self._heads = QWidget()
        self._grid = QGridLayout(self._heads)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self.body.addWidget(self._heads, 1)
        self.reason = plain_label(muted=True, wraps=True)
        self.reason.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.body.addWidget(self.reason, 1)
        self.reason.hide()
        self.caption = self.add_words(_CAPTION, muted=True)
        self.setToolTip(
            "Differential entropy of each electrode in the newest second, as fed to the network. "
            "Bad electrodes are left out. The bands differ widely, so their scales are separate."
        )

    def refresh(self, store: ViewStore, t: float) -> None:
        bands = store.model.bands if store.model else ()
        if bands != self._bands:
            self._make_maps(bands)
        prediction = store.predictions.at(t) if math.isfinite(t) else None
        part = electrodes_at(store, t)
        bad = {c.ch_name for c in part.channels if c.state == "bad"} if part is not None else ()
        names = prediction.band_ch_names if prediction is not None else ()
        is_bad = np.array([name in bad for name in names], dtype=bool)
        is_unknown = store.eeg.unit == "unscaled"
        missing = stream_note(store, Kind.EEG, t) or _missing(prediction, t)
        if not missing and len(names) and is_bad.all():
            missing = "all electrodes are bad"
        if missing != self.reason.text():
            self.reason.setText(missing)
            self._heads.setVisible(not missing)
            self.reason.setVisible(bool(missing))
        if missing:
            self.is_new()
            return
        assert prediction is not None
        if not self.is_new(prediction, bad, is_unknown):
            return
        self.caption.setText("nats of an unknown unit, separate scales" if is_unknown else _CAPTION)
        for i, (head, scale) in enumerate(zip(self._maps, self._ranges, strict=True)):
            if i < prediction.band_de.shape[1]:
                values = np.where(is_bad, np.nan, prediction.band_de[:, i])
                low, high = scale.fit(values, shares=(0.02, 0.98), t=prediction.t_end)
                head.set_values(prediction.band_ch_names, values, low, high, "nats")

    def _make_maps(self, bands: tuple[tuple[str, float, float], ...]) -> None:
        for head in self._maps:
            self._grid.removeWidget(head)
            head.deleteLater()
        self._bands = bands
        self.is_new()
        self._maps = [HeadPlot(f"{name} {low:g}-{high:g} Hz", n_labels=1) for name, low, high in bands]
        self._ranges = [CalmRange(_STEP_NATS, least=1.0, hold_s=_SCALE_HOLD_S) for _ in bands]
        for head in self._maps:
            head.set_theme(self.theme)
        self.fit()

    def fit(self) -> None:
        """Put the heads into as many columns as makes them largest."""
        n = len(self._maps)
        if not n:
            return
        width, height = max(1, self.width()), max(1, self.height())
        n_columns = max(range(1, n + 1), key=lambda k: min(width / k, height / math.ceil(n / k)))
        for i, head in enumerate(self._maps):
            self._grid.addWidget(head, i // n_columns, i % n_columns)


def _missing(prediction: Prediction | None, t: float) -> str:
    if prediction is None:
        return "no window yet"
    if not prediction.band_de.size:
        return "no EEG in this window"
    if np.isnan(prediction.band_de).all():
        return "the EEG of this second is unusable"
    if t - prediction.t_end > _MAX_AGE_S:
        return f"no window for {age(t - prediction.t_end)}"
    return ""
