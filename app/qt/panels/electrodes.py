"""The electrodes, worst first, each with the reason of its state."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from PyQt6.QtCore import QAbstractListModel, QModelIndex, Qt
from PyQt6.QtGui import QColor
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QWidget

from acquisition.quality import ChannelQuality
from app.engine.messages import QualityPart
from app.qt.panel import Panel
from app.qt.plots.heads import ElectrodeState, HeadPlot
from app.qt.theme import Theme
from app.qt.widgets import RowList
from app.view.health import ElectrodeRow, electrode_counts, electrode_rows
from app.view.store import ViewStore
from app.view.text import one_line


class ElectrodesModel(QAbstractListModel):
    """Electrodes as lines."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.rows: list[ElectrodeRow] = []

    def set_rows(self, rows: Sequence[ElectrodeRow]) -> None:
        """Show other rows; a selection stays on its line while their number does."""
        if len(rows) != len(self.rows):
            self.beginResetModel()
            self.rows = list(rows)
            self.endResetModel()
        elif list(rows) != self.rows:
            self.rows = list(rows)
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Electrodes."""
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A line."""
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.text
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"<p>{escape(row.text)}</p>"
        if role == Qt.ItemDataRole.ForegroundRole and row.severity != "good":
            theme = self.theme
            return QColor({"suspect": theme.suspect, "bad": theme.bad}.get(row.severity, theme.muted))
        return None


_NO_FIGURES = "No figures yet: they need an EEG stream and a few seconds of data."


class ElectrodesPanel(Panel):
    """Counts, a head map of quality and the list of electrodes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Electrodes", parent)
        self.counts = QLabel("")
        self.counts.setTextFormat(Qt.TextFormat.PlainText)
        self.head.addWidget(self.counts)
        self.empty = QLabel(_NO_FIGURES)
        self.empty.setWordWrap(True)
        self.empty.setProperty("muted", True)
        self.model = ElectrodesModel(self.theme, self)
        self.list = RowList("Electrodes, worst first, with the reason")
        self.list.setModel(self.model)
        self.head_map = HeadPlot("Quality", n_labels=0)
        row = QHBoxLayout()
        row.addWidget(self.head_map, 1)
        row.addWidget(self.list, 1)
        self.body.addWidget(self.empty)
        self.body.addLayout(row, 1)
        self._shown: QualityPart | None = None
        self._show(None)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the state of the electrodes at ``t``."""
        is_over = store.phase.name in ("failed", "ended")
        self.empty.setText("No figures: the session is over." if is_over else _NO_FIGURES)
        part = store.quality.at(t)
        if part is not self._shown:
            self._shown = part
            self._show(part)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.model.theme = theme
        self.head_map.set_theme(theme)
        self.list.viewport().update()  # type: ignore[union-attr]

    def _show(self, part: QualityPart | None) -> None:
        channels = part.channels if part is not None else ()
        self.empty.setVisible(not channels)
        self.list.setVisible(bool(channels))
        self.counts.setText(electrode_counts(channels) if channels else "")
        self.model.set_rows(electrode_rows(channels))
        self.head_map.setVisible(bool(channels))
        if channels:
            self.head_map.set_values(
                [channel.ch_name for channel in channels],
                [channel.score * 100 for channel in channels],
                0.0,
                100.0,
                "% good",
            )
            self.head_map.set_states({channel.ch_name: _state(channel) for channel in channels})


def _state(channel: ChannelQuality) -> ElectrodeState:
    said = f"{channel.state}: {channel.reason}" if channel.reason else channel.state
    letter = "" if channel.state == "good" else channel.state[:1].upper()
    role = channel.state if channel.state in ("good", "suspect", "bad") else "stale"
    return ElectrodeState(letter, role, one_line(said))
