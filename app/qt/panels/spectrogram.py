"""Spectrogram of one EEG channel."""

import math

import numpy as np
from numpy.typing import NDArray

from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.time_plot import HeatPlot
from app.qt.plots.traces import unit_symbol
from app.view.conditions import stream_note
from app.view.scales import CalmRange
from app.view.store import ViewStore

_TICKS_HZ = (1, 10, 20, 30, 40, 50)
_LOOK_EVERY_S = 1.0
_HOLD_S = 30.0  # the colours' scale does not shrink sooner
_UNKNOWN = ("", "unscaled")  # units


class SpectrogramPanel(Panel):
    """Power of a channel over time and frequency."""

    def __init__(self) -> None:
        super().__init__("Spectrogram")
        self.plot = self.add_plot(HeatPlot("EEG spectrogram", 30.0, hold_s=1.1, unit="dB"))
        self.channels = self.add_choice("Channel of the spectrogram", {})
        self.channels.setEnabled(False)
        self._names: tuple[str, ...] = ()
        self._range = CalmRange(step=5.0, least=20.0, hold_s=_HOLD_S)
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
            self._range = CalmRange(step=5.0, least=20.0, hold_s=_HOLD_S)
            self._looked = -math.inf
