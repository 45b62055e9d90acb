"""The electrodes, worst first, each with the reason of its state."""

from PyQt6.QtGui import QColor
from PyQt6.QtWidgets import QHBoxLayout

from acquisition.quality import ChannelQuality
from app.engine.messages import QualityPart
from app.qt.panel import Panel
from app.qt.plots.heads import ElectrodeState, HeadPlot
from app.qt.widgets import RowList, plain_label, put
from app.view.health import electrode_counts, electrode_rows, quality_text
from app.view.store import ViewStore
from app.view.text import tooltip
from app.view.trust import electrodes_at

_OVER = "No figures: the session is over."
_NOT_KNOWN = "Not known: the EEG has stopped."
_NO_FIGURES = "No figures yet: they need an EEG stream and a few seconds of data."


class ElectrodesPanel(Panel):
    """Counts, a head map of quality and the list of electrodes."""

    def __init__(self) -> None:
        super().__init__("Electrodes")
        self.counts = self.add_words()
        self.empty = plain_label(_NO_FIGURES, muted=True, wraps=True)
        self.list = RowList("Electrodes, worst first, with the reason")
        self.head_map = HeadPlot("Quality", n_labels=0)
        put(self.body, self.empty, (put(QHBoxLayout(), (self.head_map, 1), (self.list, 1)), 1))
        self._show(None)

    def refresh(self, store: ViewStore, t: float) -> None:
        part = electrodes_at(store, t)
        has_stopped = part is None and store.quality.at(t) is not None
        self.empty.setText(_NOT_KNOWN if has_stopped else _OVER if store.is_over else _NO_FIGURES)
        if self.is_new(part):
            self._show(part)

    def _show(self, part: QualityPart | None) -> None:
        channels = part.channels if part is not None else ()
        self.empty.setVisible(not channels)
        self.list.setVisible(bool(channels))
        self.head_map.setVisible(bool(channels))
        self.counts.setText(electrode_counts(channels) if channels else "")
        colours = {"good": self.theme.text, "suspect": self.theme.suspect, "bad": self.theme.bad}
        rows = electrode_rows(channels)
        self.list.set_rows(
            [(text, tooltip(text), QColor(colours.get(state, self.theme.muted))) for state, text in rows]
        )
        if channels:
            names = [channel.ch_name for channel in channels]
            scores = [channel.score * 100 for channel in channels]
            self.head_map.set_values(names, scores, 0.0, 100.0, "% good")
            self.head_map.set_states({channel.ch_name: _state(channel) for channel in channels})


def _state(channel: ChannelQuality) -> ElectrodeState:
    letter = "" if channel.state == "good" else channel.state[:1].upper()
    role = channel.state if channel.state in ("good", "suspect", "bad") else "stale"
    return ElectrodeState(letter, role, quality_text(channel))
