"""The Signals tab: what comes in, as it comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QSplitter, QVBoxLayout, QWidget

from app.qt.panel import Panel, refresh_each
from app.qt.panels.band_maps import BandMapsPanel
from app.qt.panels.gaze import GazePanel, PupilPanel
from app.qt.panels.spectrogram import SpectrogramPanel
from app.qt.panels.traces import TracesPanel
from app.qt.panels.voice import VoicePanel
from app.qt.panels.webcam import WebcamPanel
from app.qt.text_size import GrowingPage
from app.qt.theme import Theme
from app.view.store import ViewStore


class SignalsTab(GrowingPage):
    """EEG at the left, the strips of half a minute in the middle, pictures at the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.traces = TracesPanel()
        self.spectrogram, self.pupils, self.voice = SpectrogramPanel(), PupilPanel(), VoicePanel()
        self.webcam, self.gaze, self.band_maps = WebcamPanel(), GazePanel(), BandMapsPanel()
        self.panels: tuple[Panel, ...] = (
            self.traces,
            *(self.spectrogram, self.pupils, self.voice),
            *(self.webcam, self.gaze, self.band_maps),
        )
        self.strips = (self.spectrogram.strip, self.pupils.strip, self.voice.strip)
        columns = _split(
            Qt.Orientation.Horizontal,
            {
                self.traces: 46,
                _split(Qt.Orientation.Vertical, {self.spectrogram: 10, self.pupils: 9, self.voice: 11}): 28,
                _split(Qt.Orientation.Vertical, {self.webcam: 9, self.gaze: 8, self.band_maps: 14}): 28,
            },
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(columns)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``."""
        refresh_each(self.panels, store, t)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for panel in self.panels:
            panel.set_theme(theme)

    def set_highlight(self, spans: Mapping[str, tuple[float, float]] | None) -> None:
        """Shade what a chosen prediction has seen, by modality, in the time plots; None takes that back."""
        of_modality = spans or {}
        if self.traces.highlight != of_modality.get("eeg"):
            self.traces.highlight = of_modality.get("eeg")
        for modality, strip in zip(("eeg", "eye", "voice"), self.strips, strict=True):
            if strip.highlight != of_modality.get(modality):
                strip.highlight = of_modality.get(modality)
                strip.update()

    def on_choose_spectrogram(self, choose: Callable[[str], None]) -> None:
        """Have ``choose`` called with the channel whose spectrogram a person wants."""
        self.spectrogram.choose = choose


def _split(orientation: Qt.Orientation, shares: dict[QWidget, int]) -> QSplitter:
    """Return the widgets side by side or one below the other, sized by their shares."""
    splitter = QSplitter(orientation)
    splitter.setChildrenCollapsible(False)
    for i, (widget, share) in enumerate(shares.items()):
        splitter.addWidget(widget)
        splitter.setStretchFactor(i, share)
    splitter.setSizes([share * 100 for share in shares.values()])
    return splitter
