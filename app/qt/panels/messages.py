"""The events of the session, newest first."""

from collections.abc import Callable

from PyQt6.QtGui import QColor, QTextCharFormat, QTextCursor
from PyQt6.QtWidgets import QPlainTextEdit, QPushButton

from app.qt.panel import Panel
from app.qt.theme import Theme
from app.qt.widgets import plain_label, put, there
from app.view.health import MessageRow, message_rows
from app.view.store import ViewStore
from app.view.text import moment_text


class MessagesPanel(Panel):
    """Events and failures as plain text, with a filter."""

    def __init__(self) -> None:
        super().__init__("Messages")
        self.filter = self.add_choice("Which messages to show", {"All": False, "Problems only": True})
        self.filter.currentIndexChanged.connect(self._refilter)
        self.copy = QPushButton("&Copy all")
        self.copy.setAccessibleName("Copy all messages shown")
        self.copy.clicked.connect(self._copy)
        self.head.addWidget(self.copy)
        self.empty = plain_label(muted=True, wraps=True)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setUndoRedoEnabled(False)
        self.text.setTabChangesFocus(True)
        self.text.setAccessibleName("Messages, newest first")
        put(self.body, self.empty, (self.text, 1))
        self._rows: list[MessageRow] = []
        self._store: ViewStore | None = None
        self._show([], moment_text(ViewStore()))

    def refresh(self, store: ViewStore, t: float) -> None:
        events = store.events
        self._store, problems_only = store, bool(self.filter.currentData())
        if self.is_new(id(store), len(events), events[-1] if events else None, problems_only):
            rows = message_rows(events, problems_only=problems_only)
            if rows != self._rows or not rows:
                self._show(rows, moment_text(store))

    def set_theme(self, theme: Theme) -> None:
        super().set_theme(theme)
        self._rows = []

    def _refilter(self) -> None:
        if self._store is not None:
            self.refresh(self._store, float("nan"))

    def _show(self, rows: list[MessageRow], clock_text: Callable[[float], str]) -> None:
        self._rows = rows
        self.empty.setText("No problems so far." if self.filter.currentData() else "No messages yet.")
        self.empty.setVisible(not rows)
        self.text.setVisible(bool(rows))
        self.copy.setEnabled(bool(rows))
        bar = there(self.text.verticalScrollBar())
        at = bar.value()
        self.text.clear()
        cursor = QTextCursor(self.text.document())
        for i, row in enumerate(rows):
            if i:
                cursor.insertBlock()
            look = QTextCharFormat()
            look.setForeground(QColor(getattr(self.theme, row.severity if row.is_problem else "text")))
            cursor.insertText(row.line(clock_text), look)
        bar.setValue(at)

    def _copy(self) -> None:
        self.text.selectAll()
        self.text.copy()
        self.text.moveCursor(QTextCursor.MoveOperation.Start)
