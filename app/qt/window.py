"""The main window: tabs that show the store, refreshed thirty times a second."""

from __future__ import annotations

import importlib
from typing import Protocol

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QMainWindow, QTabWidget, QVBoxLayout, QWidget

from app.qt.session import Session
from app.qt.style import style_sheet
from app.qt.theme import DARK, Theme
from app.view.store import ViewStore

_REFRESH_MS = 33
TAB_NAMES = ("now", "why", "signals", "health")


class Tab(Protocol):
    """A page of the window, a QWidget that also has these."""

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the store as of ``t``."""

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""


class MainWindow(QMainWindow):
    """Shows a session."""

    def __init__(self, session: Session, theme: Theme = DARK) -> None:
        super().__init__()
        self.session = session
        self.theme = theme
        self.setWindowTitle("Affectscope")
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        for name in TAB_NAMES:
            self.tabs.addTab(_make_tab(name), name.capitalize())
        page = QWidget()
        page.setObjectName("page")
        layout = QVBoxLayout(page)
        layout.addWidget(self.tabs, 1)
        self.setCentralWidget(page)
        self.set_theme(theme)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.poll)
        self._timer.start(_REFRESH_MS)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.setStyleSheet(style_sheet(theme))
        for index in range(self.tabs.count()):
            tab = self.tabs.widget(index)
            if hasattr(tab, "set_theme"):
                tab.set_theme(theme)

    def poll(self) -> None:
        """Take news and refresh what is visible."""
        self.session.poll()
        store = self.session.store
        tab = self.tabs.currentWidget()
        if hasattr(tab, "refresh"):
            tab.refresh(store, getattr(store, "newest_time", float("nan")))


def _make_tab(name: str) -> QWidget:
    try:
        module = importlib.import_module(f"app.qt.tabs.{name}")
        return getattr(module, f"{name.capitalize()}Tab")()
    except ImportError:
        return QWidget()
