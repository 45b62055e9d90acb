"""Scrolling EEG, one row per channel."""

import math
from collections.abc import Callable, Mapping

from PyQt6.QtGui import QKeyEvent
from PyQt6.QtWidgets import QToolButton

from acquisition.quality import ChannelQuality
from acquisition.types import Kind
from app.qt.panel import Panel
from app.qt.plots.traces import TracePlot
from app.view.conditions import stream_note
from app.view.scales import Gain
from app.view.store import ViewStore
from app.view.text import one_line
from app.view.trust import electrodes_at

SPANS_S = (5, 10, 20, 30)
_GAIN_BINS = 300  # so many bins of the shown ones set the gain


class TracesPanel(Panel):
    """EEG of any number of channels over the last seconds.

    ``+`` and ``-`` make the traces larger and smaller, ``0`` leaves it to the data.
    """

    def __init__(self) -> None:
        super().__init__("EEG")
        self.gain = Gain()
        self.plot = self.add_plot(TracePlot())
        self.electrodes = self.add_words()
        self.add_words("amplitude", muted=True)
        self._button("−", "Smaller traces (-)", lambda: self._step(False))
        self._button("+", "Larger traces (+)", lambda: self._step(True))
        self._auto = self._button("auto", "Automatic gain (0)", self._leave_to_data)
        self._auto.setCheckable(True)
        self._auto.setChecked(True)
        spans = {f"{span} s": span for span in SPANS_S}
        self._spans = self.add_choice("Seconds of EEG shown", spans, SPANS_S.index(10))
        self._spans.currentIndexChanged.connect(lambda _: self.plot.set_span(self._spans.currentData()))

    def refresh(self, store: ViewStore, t: float) -> None:
        eeg, shown = store.eeg, store.shown_only
        self.title.setText(
            "EEG" if shown is None or shown.spec.kind is Kind.EEG else one_line(shown.spec.name, 40)
        )
        self.plot.set_notice(stream_note(store, Kind.EEG, t))
        if not eeg.ch_names or not math.isfinite(t):
            return
        if self.gain.is_due(t):
            end = math.floor(t / eeg.bin_s)
            n = round(self.plot.span_s / eeg.bin_s)
            low, high = eeg.read(end - n, end)
            every = max(1, n // _GAIN_BINS)
            self.gain.look(low[::every], high[::every], t)
        part = electrodes_at(store, t)
        states = {c.ch_name: c for c in part.channels} if part else {}
        self.plot.show_eeg(store, t, self.gain.units_per_row, states)
        self._tell_electrodes(states)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.text() in ("+", "-", "0"):
            if event.text() == "0":
                self._leave_to_data()
            else:
                self._step(event.text() == "+")
        else:
            super().keyPressEvent(event)

    def _button(self, text: str, name: str, act: Callable[[], None]) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setAccessibleName(name)
        button.setToolTip(name)
        button.clicked.connect(lambda _=False: act())
        self.head.addWidget(button)
        return button

    def _step(self, larger: bool) -> None:
        self.gain.step(larger)
        self._auto.setChecked(False)

    def _leave_to_data(self) -> None:
        self.gain.auto()
        self._auto.setChecked(True)

    def _tell_electrodes(self, states: Mapping[str, ChannelQuality]) -> None:
        counts = {state: [c for c in states.values() if c.state == state] for state in ("bad", "suspect")}
        parts = (f"{len(found)} {state} ({state[0].upper()})" for state, found in counts.items() if found)
        said = ", ".join(parts)
        self.electrodes.setText(said)
        why = "\n".join(f"{c.ch_name}: {c.state}, {c.reason}" for found in counts.values() for c in found)
        if why != self.electrodes.toolTip():
            self.electrodes.setToolTip(why)
            self.electrodes.setAccessibleDescription(why)
