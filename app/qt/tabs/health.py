"""The tab Health: streams, electrodes, latency, machine and messages."""

from __future__ import annotations

from PyQt6.QtWidgets import QGridLayout, QWidget

from app.qt.panel import Panel
from app.qt.panels.machine import MachinePanel
from app.qt.panels.messages import MessagesPanel
from app.qt.panels.quality import QualityPanel
from app.qt.panels.streams_table import StreamsTable
from app.qt.panels.waterfall import Waterfall
from app.qt.theme import Theme
from app.view.display_latency import DisplayLatency
from app.view.store import ViewStore


class HealthTab(QWidget):
    """How far the figures of the other tabs can be trusted technically.

    Attributes
    ----------
    display_latency : DisplayLatency
        The window calls ``shown(prediction, now)`` when it has painted the newest prediction.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.display_latency = DisplayLatency()
        self.streams = StreamsTable()
        self.machine = MachinePanel()
        self.quality = QualityPanel()
        self.waterfall = Waterfall(self.display_latency)
        self.messages = MessagesPanel()
        self.panels: tuple[Panel, ...] = (
            self.streams,
            self.machine,
            self.quality,
            self.waterfall,
            self.messages,
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        grid.addWidget(self.streams, 0, 0, 1, 4)
        grid.addWidget(self.machine, 0, 4, 1, 2)
        for column, panel in enumerate((self.quality, self.waterfall, self.messages)):
            grid.addWidget(panel, 1, 2 * column, 1, 2)
        for column in range(6):
            grid.setColumnStretch(column, 1)
        grid.setRowStretch(0, 4)
        grid.setRowStretch(1, 6)
        self._store: ViewStore | None = None

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``; streams, machine and messages are always those of now."""
        if store is not self._store:
            if self._store is not None:
                self.display_latency.forget()
            self._store = store
        for panel in self.panels:
            panel.refresh(store, t)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for panel in self.panels:
            panel.set_theme(theme)
