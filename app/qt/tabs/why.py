"""The tab Why: what the model weighed, and what its answer rests on."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QGridLayout, QWidget

from app.qt.panel import Panel, refresh_each
from app.qt.panels.channel_attention import ChannelAttentionPanel
from app.qt.panels.modality_attention import ModalityAttentionPanel
from app.qt.panels.occlusion import OcclusionPanel
from app.qt.panels.time_attention import TimeAttentionPanel
from app.qt.text_size import GrowingPage
from app.qt.theme import Theme
from app.view.store import ViewStore


class WhyTab(GrowingPage):
    """Attention on the left, the occlusion check beside it.

    Parameters
    ----------
    ask_occlusion : callable, optional
        Sends `AskOcclusion`; may be set later as an attribute.

    Attributes
    ----------
    moment_chosen : signal of float
        LSL time that was clicked in the course of attention.
    """

    moment_chosen = pyqtSignal(float)

    def __init__(
        self, ask_occlusion: Callable[[], None] | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.ask_occlusion = ask_occlusion
        self.modalities = ModalityAttentionPanel()
        self.channels = ChannelAttentionPanel()
        self.steps = TimeAttentionPanel()
        self.occlusion = OcclusionPanel(self._ask)
        self.panels: tuple[Panel, ...] = (self.modalities, self.channels, self.steps, self.occlusion)
        self.modalities.chart.moment_chosen.connect(self.moment_chosen)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        grid.addWidget(self.modalities, 0, 0, 1, 2)
        grid.addWidget(self.channels, 1, 0)
        grid.addWidget(self.steps, 1, 1)
        grid.addWidget(self.occlusion, 0, 2, 2, 1)
        for column, stretch in enumerate((3, 3, 6)):
            grid.setColumnStretch(column, stretch)
        grid.setRowStretch(0, 1)
        grid.setRowStretch(1, 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``; the occlusion check is about the newest window when it was asked."""
        refresh_each(self.panels, store, t)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for panel in self.panels:
            panel.set_theme(theme)

    def _ask(self) -> None:
        if self.ask_occlusion is not None:
            self.ask_occlusion()
