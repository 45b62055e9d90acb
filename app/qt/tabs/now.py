"""The Now tab: the emotion, how far to trust it, and how it came there."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtWidgets import QGridLayout, QWidget

from app.qt.panel import Panel, refresh_each
from app.qt.panels.answer import AnswerPanel
from app.qt.panels.bars import BarsPanel
from app.qt.panels.course import CoursePanel
from app.qt.panels.plane import PlanePanel
from app.qt.panels.trust_reasons import TrustReasonsPanel
from app.qt.text_size import GrowingPage
from app.qt.theme import Theme
from app.view.store import ViewStore


class NowTab(GrowingPage):
    """Answer and bars on the left, the reasons beside them, the plane on the right, the course below."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Now")
        self.answer = AnswerPanel()
        self.bars = BarsPanel()
        self.reasons = TrustReasonsPanel()
        self.plane = PlanePanel()
        self.course = CoursePanel()
        self.panels: tuple[Panel, ...] = (self.answer, self.bars, self.reasons, self.plane, self.course)
        layout = QGridLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(6)
        layout.addWidget(self.answer, 0, 0)
        layout.addWidget(self.bars, 1, 0)
        layout.addWidget(self.reasons, 0, 1, 2, 1)
        layout.addWidget(self.plane, 0, 2, 2, 1)
        layout.addWidget(self.course, 2, 0, 1, 3)
        for column, stretch in enumerate((11, 9, 8)):
            layout.setColumnStretch(column, stretch)
        for row, stretch in enumerate((8, 8, 11)):
            layout.setRowStretch(row, stretch)

    def set_time_travel(self, choose_time: Callable[[float], None], choose_now: Callable[[], None]) -> None:
        """Say who is told which moment was chosen, and that the newest is wanted again."""
        self.course.choose_time = choose_time
        self.course.choose_now = choose_now

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``."""
        refresh_each(self.panels, store, t)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        for panel in self.panels:
            panel.set_theme(theme)
