"""The tab Health: streams, electrodes, latency, machine and messages."""

from __future__ import annotations

from PyQt6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.qt.panel import Panel, refresh_each
from app.qt.panels.machine import MachinePanel
from app.qt.panels.messages import MessagesPanel
from app.qt.panels.quality import QualityPanel
from app.qt.panels.streams_table import StreamsTable
from app.qt.panels.waterfall import Waterfall
from app.qt.text_size import GrowingPage
from app.qt.theme import Theme
from app.view.display_latency import DisplayLatency
from app.view.store import ViewStore


class HealthTab(GrowingPage):
    """How far the figures of the other tabs can be trusted technically.

    Parameters
    ----------
    display_latency : DisplayLatency
        Told by the window when it has painted a prediction.
    """

    def __init__(self, display_latency: DisplayLatency, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.streams = StreamsTable()
        self.machine = MachinePanel()
        self.quality = QualityPanel()
        self.waterfall = Waterfall(display_latency)
        self.messages = MessagesPanel()
        self.panels: tuple[Panel, ...] = (
            self.streams,
            self.machine,
            self.quality,
            self.waterfall,
            self.messages,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(_row((self.streams, 7), (self.machine, 3)), 4)
        layout.addLayout(_row((self.quality, 1), (self.waterfall, 1), (self.messages, 1)), 6)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``; streams, machine and messages are always those of now."""
        refresh_each(self.panels, store, t)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for panel in self.panels:
            panel.set_theme(theme)


def _row(*panels: tuple[Panel, int]) -> QHBoxLayout:
    """Return panels side by side, each as wide as its share."""
    row = QHBoxLayout()
    row.setSpacing(6)
    for panel, share in panels:
        row.addWidget(panel, share)
    return row
