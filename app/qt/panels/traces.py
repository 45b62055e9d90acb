"""Scrolling EEG, one row per channel, with what is done to it for the screen alone."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from PyQt6.QtGui import QActionGroup, QKeyEvent
from PyQt6.QtWidgets import QMenu, QToolButton

from acquisition.quality import ChannelQuality
from acquisition.types import Kind, StreamSpec
from app.engine.messages import EegLook, Mask
from app.qt.dialogs.forms import ElectrodesDialog
from app.qt.panel import Panel
from app.qt.plots.time_plot import TracePlot
from app.qt.shell.engine_window import Settings
from app.qt.widgets import ElidedLabel, there
from app.view.conditions import stream_note
from app.view.scales import Gain, channel_type
from app.view.store import ViewStore
from app.view.text import one_line, tooltip
from app.view.trust import electrodes_at

SPANS_S = (5, 10, 20, 30)
_GAIN_BINS = 300  # so many bins of the shown ones set the gain
#: What can be chosen for the screen, by field of `EegLook`: title and choices, the first by default.
_LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "highpass_hz": ("&High-pass filter", {"0.5 Hz": 0.5, "1 Hz": 1.0}),
    "lowpass_hz": ("&Low-pass filter", {"off": 0.0, "30 Hz": 30.0, "45 Hz": 45.0, "70 Hz": 70.0}),
    "notch_hz": ("&Notch filter", {"off": 0.0, "50 Hz": 50.0, "60 Hz": 60.0}),
    "is_average": ("&Reference", {"as recorded": False, "average of the channels": True}),
}
_ANEW = "Filtered anew: only the newest half minute is shown. Press End to see it."


class TracesPanel(Panel):
    """EEG of any number of channels over the last seconds.

    ``+`` and ``-`` make the traces of a type of channel larger and smaller, ``0`` leaves it to the data.
    """

    def __init__(self) -> None:
        super().__init__("EEG")
        self.send: Callable[[object], object] = lambda command: None  # takes commands to the engine
        self.gains: defaultdict[str, Gain] = defaultdict(Gain)  # by type of channel
        self.look = EegLook()
        self.words = ElidedLabel("What is done to the EEG shown, and not to what is decoded")
        self.words.setProperty("muted", "true")
        self.body.addWidget(self.words)
        self.plot = self.add_plot(TracePlot())
        self.plot.names_axis.clicked = self.toggle_bad
        self.plot.choose_electrodes = self.choose_electrodes
        self.electrodes = self.add_words()
        self._of = self.add_choice("Type of channel whose gain is set", {})
        self._of.hide()
        self._of.currentIndexChanged.connect(lambda _: self._auto.setChecked(self.gain.is_auto))
        self._button("−", "Smaller traces (-)", lambda: self._step(False))
        self._button("+", "Larger traces (+)", lambda: self._step(True))
        self._auto = self._button("auto", "Automatic gain (0)", self._leave_to_data)
        self._auto.setCheckable(True)
        self._auto.setChecked(True)
        filters = self._button("Filters", "Filters, reference and electrodes of the EEG shown", lambda: None)
        filters.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(filters)
        filters.setMenu(self.menu)
        spans = {f"{span} s": span for span in SPANS_S}
        self._spans = self.add_choice("Seconds of EEG shown", spans, SPANS_S.index(10))
        self._spans.currentIndexChanged.connect(lambda _: self.plot.set_span(self._spans.currentData()))
        self._store: ViewStore | None = None
        self._device, self._hidden = "", frozenset[str]()
        self._sent = EegLook()
        self._sent_to: ViewStore | None = None
        self._of_store: ViewStore | None = None  # whose device that is
        self.use(Settings(None))

    @property
    def gain(self) -> Gain:
        """The gain that is set, of the chosen type of channel."""
        return self.gains[self._of.currentText() or "EEG"]

    def use(self, settings: Settings) -> None:
        """Take over the choices kept in the settings, and keep later ones there."""
        self.settings = settings
        self.menu.clear()
        for field, (title, choices) in _LOOKS.items():
            submenu = there(self.menu.addMenu(title))
            group = QActionGroup(submenu)
            kept = settings.text(f"eeg/{field}")
            for text, value in choices.items():
                action = there(group.addAction(text))
                action.setCheckable(True)
                action.triggered.connect(partial(self._choose, field, value))
                submenu.addAction(action)
                if str(value) == kept:
                    self.look = replace(self.look, **{field: value})
                action.setChecked(value == getattr(self.look, field))
        electrodes = there(self.menu.addAction("&Electrodes…"))
        electrodes.triggered.connect(self.choose_electrodes)

    def follow(self, store: ViewStore) -> None:
        """Pass the choices on to an engine, and to a live one the marks kept of its EEG device."""
        self._store, state = store, store.stream_of(Kind.EEG)
        if not store.mode:
            return
        marked = self._marked
        look = replace(self.look, excluded=marked if self.look.is_average else ())
        if look != (self._sent if store is self._sent_to else EegLook()):
            self.send(look)
        self._sent, self._sent_to = look, store
        device = "" if state is None else _device_key(state.spec)
        if (store, device) == (self._of_store, self._device):
            return
        self._of_store, self._device = store, device
        self._hidden = frozenset(self._kept("hidden"))
        if state is not None and store.mode == "live":
            self._send_marks(self._kept("bad").intersection(state.spec.ch_names))

    def refresh(self, store: ViewStore, t: float) -> None:
        self.follow(store)
        eeg, shown_only = store.eeg, store.shown_only
        is_eeg = shown_only is None or shown_only.spec.kind is Kind.EEG
        self.title.setText("EEG" if is_eeg or shown_only is None else one_line(shown_only.spec.name, 40))
        is_gone = t < eeg.oldest_time and bool(eeg.look)
        self.plot.set_notice(stream_note(store, Kind.EEG, t) or (_ANEW if is_gone else ""))
        if not eeg.ch_names or not math.isfinite(t):
            return
        self.words.show_text(f"display only: {eeg.look}" if eeg.look else "")
        shown = tuple(name for name in eeg.ch_names if name not in self._hidden) or eeg.ch_names
        types = [channel_type(name) for name in shown]
        self._offer_types(list(dict.fromkeys(types)))
        columns = [eeg.ch_names.index(name) for name in shown]
        due = [kind for kind in dict.fromkeys(types) if self.gains[kind].is_due(t)]
        if due:
            end = math.floor(t / eeg.bin_s)
            n = round(self.plot.span_s / eeg.bin_s)
            low, high = eeg.read(end - n, end)
            every = max(1, n // _GAIN_BINS)
            for kind in due:
                of = [at for at, other in zip(columns, types, strict=True) if other == kind]
                self.gains[kind].look(low[::every, of], high[::every, of], t)
        part = electrodes_at(store, t)
        states = {c.ch_name: c for c in part.channels} if part else {}
        units = [self.gains[kind].units_per_row for kind in types]
        self.plot.show_eeg(store, t, columns, units, states, self.gain.units_per_row)
        self._tell_electrodes(states)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.text() in ("+", "-", "0"):
            if event.text() == "0":
                self._leave_to_data()
            else:
                self._step(event.text() == "+")
        else:
            super().keyPressEvent(event)

    def choose_electrodes(self) -> None:
        names = self._store.eeg.ch_names if self._store is not None else ()
        if names:
            ElectrodesDialog(self.window(), names, self._hidden, self._marked, self._take_electrodes).open()

    def toggle_bad(self, name: str) -> None:
        self._take_electrodes(self._hidden, {name}.symmetric_difference(self._marked))

    @property
    def _marked(self) -> tuple[str, ...]:
        health = self._store.health if self._store is not None else None
        return health.marked_bad if health is not None else ()

    def _take_electrodes(self, hidden: Collection[str], bad: Collection[str]) -> None:
        """Hide and mark these electrodes, and no others; marks in a replay hold for it alone."""
        self._hidden = frozenset(hidden)
        if self._device:
            self._send_marks(bad)
            self._keep("hidden", hidden)
            if self._store is not None and self._store.mode == "live":
                self._keep("bad", bad)

    def _send_marks(self, bad: Collection[str]) -> None:
        for name in sorted(set(bad).symmetric_difference(self._marked)):
            self.send(Mask("eeg", name in bad, name))

    def _kept(self, what: str) -> set[str]:
        return set(self.settings.names(f"{what}/{self._device}"))

    def _keep(self, what: str, names: Iterable[str]) -> None:
        self.settings.keep_names(f"{what}/{self._device}", sorted(names))

    def _choose(self, field: str, value: Any) -> None:
        self.look = replace(self.look, **{field: value})
        self.settings.keep(f"eeg/{field}", str(value))

    def _offer_types(self, types: list[str]) -> None:
        """List the types of channels where there are several."""
        if types != [self._of.itemText(i) for i in range(self._of.count())]:
            self._of.clear()
            self._of.addItems(types)
        self._of.setVisible(len(types) > 1)

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
        why = [f"{c.ch_name}: {c.state}, {c.reason}" for found in counts.values() for c in found]
        if (shown := tooltip(*why)) != self.electrodes.toolTip():
            self.electrodes.setToolTip(shown)
            self.electrodes.setAccessibleDescription("\n".join(why))


def _device_key(spec: StreamSpec) -> str:
    """Return a key of a device for the settings: its stream's name and channels."""
    return hashlib.sha256(repr((spec.name, spec.ch_names)).encode()).hexdigest()[:16]
