"""The four tabs: the visible one is refreshed, and what is chosen in one is shown in the others."""

from __future__ import annotations

import math
from typing import Protocol

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QKeyEvent, QResizeEvent
from PyQt6.QtWidgets import QFrame, QScrollArea, QTabWidget, QWidget

from acquisition.clock import LslClock
from acquisition.types import MODALITIES
from app.engine.messages import AskOcclusion, ChooseSpectrogram
from app.qt.shell.faults import Faults
from app.qt.shell.header import Header
from app.qt.shell.playback import Playback
from app.qt.shell.session import Session
from app.qt.tabs import HealthTab, NowTab, SignalsTab, WhyTab
from app.qt.theme import Theme
from app.view.display_latency import DisplayLatency
from app.view.store import ViewStore
from app.window_options import TAB_NAMES
from models.prediction import Prediction

_TITLES = {"now": "Now", "why": "Why", "signals": "Signals", "health": "Health"}


class Tab(Protocol):
    """A page of the window, a QWidget that also has these."""

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``."""

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""


class TabSet(QTabWidget):
    """Now, Why, Signals and Health.

    Parameters
    ----------
    session : Session
    playback : Playback
    faults : Faults
        Takes what goes wrong in a tab, so that the rest of the window goes on.
    header : Header
        Stands beside the tabs.
    """

    def __init__(self, session: Session, playback: Playback, faults: Faults, header: Header) -> None:
        super().__init__()
        bar = self.tabBar()
        assert bar is not None
        bar.setDrawBase(False)
        bar.setUsesScrollButtons(False)
        self._header = header
        self.currentChanged.connect(self._give_room)
        self.setCornerWidget(header)
        self.setAccessibleName("Views")
        self._playback, self._faults = playback, faults
        self._clock = LslClock()
        self._display_latency = DisplayLatency()
        self._unpainted: Prediction | None = None  # given to the visible tab, and not yet on the screen
        self._store: ViewStore | None = None
        self.now, self.why, self.signals = NowTab(), WhyTab(), SignalsTab()
        self.health = HealthTab(self._display_latency)
        self.by_name: dict[str, Tab] = {
            "now": self.now,
            "why": self.why,
            "signals": self.signals,
            "health": self.health,
        }
        for name, tab in self.by_name.items():
            assert isinstance(tab, QWidget)
            self.addTab(_Scrolled(tab), _TITLES[name])
            self.setTabToolTip(self.count() - 1, f"{_TITLES[name]} (Alt+{self.count()})")
        self.now.set_time_travel(playback.hold, playback.to_end)
        self.why.ask_occlusion = lambda: session.send(AskOcclusion())
        self.why.moment_chosen.connect(playback.hold)
        self.signals.on_choose_spectrogram(lambda ch_name: session.send(ChooseSpectrogram(ch_name)))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Give the header all the room beside the tabs."""
        self._give_room()
        super().resizeEvent(event)

    def _give_room(self) -> None:
        bar = self.tabBar()
        if bar is not None:
            em = self.fontMetrics().height()  # the chosen tab's name is bold, and not all are alike
            self._header.set_room(self.width() - bar.sizeHint().width() - em)

    @property
    def name(self) -> str:
        """The visible tab's name."""
        return TAB_NAMES[self.currentIndex()]

    def show_tab(self, name: str) -> None:
        """Bring a tab to the front."""
        self.setCurrentIndex(TAB_NAMES.index(name))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for tab in self.by_name.values():
            tab.set_theme(theme)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Refresh the visible tab."""
        if store is not self._store:
            self._store = store
            self._display_latency.forget()
        try:
            if self.name == "signals":
                self._show_window_extent(store, t)
            self.by_name[self.name].refresh(store, t)
        except Exception as error:  # one broken panel must not stop the clock, the messages and the engine
            self._faults.take(error)
            return
        self._unpainted = store.predictions.newest if self._playback.is_going_on else None

    def note_painted(self) -> None:
        """Time the display: the window has been painted since the last refresh."""
        if self._unpainted is not None:
            self._display_latency.shown(self._unpainted, self._clock.now())
            self._unpainted = None

    def _show_window_extent(self, store: ViewStore, t: float) -> None:
        """Shade what the held prediction has seen of each modality."""
        prediction = None if self._playback.is_going_on else store.predictions.at(t)
        if prediction is None or store.model is None or math.isnan(t):
            self.signals.set_highlight(None)
            return
        context_of, end = store.model.windows.context_of, prediction.t_end
        self.signals.set_highlight({m: (end - context_of(m), end) for m in MODALITIES})


class _Scrolled(QScrollArea):
    """A tab at its least size behind scroll bars, where there is less room than that, as at 200 %.

    Toolbar, signs, messages and time bar stay where they are.
    """

    def __init__(self, tab: QWidget) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidgetResizable(True)
        self.setWidget(tab)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave the arrow keys to the window, which steps through time with them."""
        if event is not None:
            event.ignore()
