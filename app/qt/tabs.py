"""The window's pages: Now, Why, Signals and Health, each an arrangement of panels."""

from collections.abc import Iterable, Mapping

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QGridLayout, QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from app.qt.panel import Panel
from app.qt.panels.answer import AnswerPanel, BarsPanel, ReasonsPanel
from app.qt.panels.course import CoursePanel, PlanePanel
from app.qt.panels.eyes import GazePanel, PupilPanel, WebcamPanel
from app.qt.panels.health import ElectrodesPanel, LatencyPanel, MachinePanel, MessagesPanel, StreamsPanel
from app.qt.panels.spectra import BandMapsPanel, SpectrogramPanel, VoicePanel
from app.qt.panels.traces import TracesPanel
from app.qt.panels.why import (
    ChannelAttentionPanel,
    ModalityAttentionPanel,
    OcclusionPanel,
    TimeAttentionPanel,
)
from app.qt.theme import GrowingPage, Theme
from app.qt.widgets import put
from app.view.health import DisplayLatency
from app.view.store import ViewStore


class PanelPage(GrowingPage):
    """A page of panels."""

    panels: tuple[Panel, ...] = ()

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``; raises the last panel's error, once all had their turn."""
        failed: Exception | None = None
        for panel in self.panels:
            try:
                panel.refresh(store, t)
            except Exception as error:
                failed = error
        if failed is not None:
            raise failed

    def set_theme(self, theme: Theme) -> None:
        for panel in self.panels:
            panel.set_theme(theme)


class NowTab(PanelPage):
    """Answer and bars on the left, the reasons beside them, the plane on the right, the course below."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Now")
        self.answer, self.bars, self.reasons = AnswerPanel(), BarsPanel(), ReasonsPanel()
        self.plane, self.course = PlanePanel(), CoursePanel()
        self.panels = (self.answer, self.bars, self.reasons, self.plane, self.course)
        places = ((0, 0, 1, 1), (1, 0, 1, 1), (0, 1, 2, 1), (0, 2, 2, 1), (2, 0, 1, 3))
        _arrange(self, places, columns=(11, 9, 8), rows=(8, 8, 11)).setContentsMargins(6, 6, 6, 6)


class WhyTab(PanelPage):
    """Attention on the left, the occlusion check beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.modalities, self.channels = ModalityAttentionPanel(), ChannelAttentionPanel()
        self.steps, self.occlusion = TimeAttentionPanel(), OcclusionPanel()
        self.panels = (self.modalities, self.channels, self.steps, self.occlusion)
        places = ((0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1), (0, 2, 2, 1))
        _arrange(self, places, columns=(3, 3, 6), rows=(1, 1)).setContentsMargins(0, 0, 0, 0)


class SignalsTab(PanelPage):
    """EEG at the left, the plots of half a minute in the middle, pictures at the right."""

    def __init__(self) -> None:
        super().__init__()
        self.traces = TracesPanel()
        self.spectrogram, self.pupils, self.voice = SpectrogramPanel(), PupilPanel(), VoicePanel()
        self.webcam, self.gaze, self.band_maps = WebcamPanel(), GazePanel(), BandMapsPanel()
        middle: dict[QWidget, int] = {self.spectrogram: 10, self.pupils: 9, self.voice: 11}
        right: dict[QWidget, int] = {self.webcam: 9, self.gaze: 8, self.band_maps: 14}
        self.panels = (
            *(self.traces, self.spectrogram, self.pupils, self.voice),
            *(self.webcam, self.gaze, self.band_maps),
        )
        sides = Qt.Orientation.Vertical
        columns: dict[QWidget, int] = {self.traces: 46, _split(sides, middle): 28, _split(sides, right): 28}
        put(QVBoxLayout(self), _split(Qt.Orientation.Horizontal, columns), margins=(4, 4, 4, 4))

    def set_highlight(self, spans: Mapping[str, tuple[float, float]] | None) -> None:
        """Shade a prediction's context, per modality, in the time plots; None removes it."""
        of_modality = spans or {}
        plots = (self.traces.plot, self.spectrogram.plot, self.pupils.plot, self.voice.plot)
        for plot, modality in zip(plots, ("eeg", "eeg", "eye", "voice"), strict=True):
            plot.highlight = of_modality.get(modality)


class HealthTab(PanelPage):
    """Streams, machine, electrodes, latency and messages; streams, machine and messages are current.

    The window tells ``display_latency`` when it has painted a prediction.
    """

    def __init__(self, display_latency: DisplayLatency) -> None:
        super().__init__()
        self.streams, self.machine = StreamsPanel(), MachinePanel()
        self.electrodes, self.latency = ElectrodesPanel(), LatencyPanel(display_latency)
        self.messages = MessagesPanel()
        self.panels = (self.streams, self.machine, self.electrodes, self.latency, self.messages)
        above = put(QHBoxLayout(), (self.streams, 7), (self.machine, 3), spacing=6)
        below = put(QHBoxLayout(), (self.electrodes, 1), (self.latency, 1), (self.messages, 1), spacing=6)
        put(QVBoxLayout(self), (above, 4), (below, 6), margins=(0, 0, 0, 0), spacing=6)


def _arrange(
    page: PanelPage, places: Iterable[tuple[int, int, int, int]], columns: Iterable[int], rows: Iterable[int]
) -> QGridLayout:
    """Put a page's panels into a grid: row and column, and how many of them; stretches of both."""
    grid = QGridLayout(page)
    grid.setSpacing(6)
    for panel, place in zip(page.panels, places, strict=True):
        grid.addWidget(panel, *place)
    for column, stretch in enumerate(columns):
        grid.setColumnStretch(column, stretch)
    for row, stretch in enumerate(rows):
        grid.setRowStretch(row, stretch)
    return grid


def _split(orientation: Qt.Orientation, shares: Mapping[QWidget, int]) -> QSplitter:
    """Return the widgets side by side or one below the other, sized by their shares."""
    splitter = QSplitter(orientation)
    splitter.setChildrenCollapsible(False)
    for i, (widget, share) in enumerate(shares.items()):
        splitter.addWidget(widget)
        splitter.setStretchFactor(i, share)
    splitter.setSizes([share * 100 for share in shares.values()])
    return splitter
