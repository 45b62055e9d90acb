"""Every stream's state and figures, with what to do about those that are not well."""

from __future__ import annotations

from html import escape
from typing import Any

from PyQt6.QtCore import QAbstractTableModel, QEvent, QModelIndex, QRect, Qt
from PyQt6.QtGui import QColor, QFontMetrics, QResizeEvent
from PyQt6.QtWidgets import QHeaderView, QLabel, QWidget

from app.qt.panel import Panel
from app.qt.theme import Theme
from app.qt.widgets import RowTable
from app.view.health import STREAM_COLUMNS, StreamRow, stream_rows, summary
from app.view.store import ViewStore

_NAME_COLUMN = 2
_TEXT_COLUMNS = (0, 1, 2)
#: The widest text each column is laid out for.
_WIDEST = (
    "○ masked",
    "markers",
    "",
    "1,000.0 of 1,000 Hz",
    "100.0 %",
    "12 min 5 s",
    "+123.4 ms",
    "Backlog",
    "Dropped",
)
_TIPS = (
    "Whether data comes as it should",
    "What the stream carries",
    "The name its sender gave it",
    "Samples that arrived a second over the last 5 s, of the nominal rate",
    "Share of the samples since the start that holes in the time stamps suggest were lost on the way",
    "Time since the last sample arrived",
    "This computer's clock minus the sender's time stamps",
    "Samples that waited at the last read",
    "Samples left out because their time stamps went back",
)


class StreamsModel(QAbstractTableModel):
    """The streams, and under each that is not well a line with what to do."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.lines: list[tuple[StreamRow, bool]] = []  # True: the line of the remedy

    def set_rows(self, rows: list[StreamRow]) -> bool:
        """Show other rows; True if lines came or went."""
        lines = [(row, is_remedy) for row in rows for is_remedy in (False, True)[: 1 + bool(row.remedy)]]
        if [(r.key, m) for r, m in lines] != [(r.key, m) for r, m in self.lines]:
            self.beginResetModel()
            self.lines = lines
            self.endResetModel()
            return True
        if lines != self.lines:
            self.lines = lines
            self.dataChanged.emit(self.index(0, 0), self.index(len(lines) - 1, len(STREAM_COLUMNS) - 1))
        return False

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Lines."""
        return 0 if parent.isValid() else len(self.lines)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        """Columns."""
        return len(STREAM_COLUMNS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A cell."""
        row, is_remedy = self.lines[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            if is_remedy:
                return row.remedy if index.column() == 0 else None
            return row.cells[index.column()]
        if role == Qt.ItemDataRole.ForegroundRole and (is_remedy or index.column() == 0):
            return QColor(_colour(self.theme, row.severity))
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() not in _TEXT_COLUMNS:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole and (is_remedy or index.column() == _NAME_COLUMN):
            return f"<p>{escape(row.remedy if is_remedy else row.name)}</p>"  # anybody's name is no markup
        if role == Qt.ItemDataRole.AccessibleTextRole and not is_remedy:
            return f"{STREAM_COLUMNS[index.column()]}: {row.cells[index.column()]}"
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """A column's head."""
        if orientation == Qt.Orientation.Vertical:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return STREAM_COLUMNS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if section in _TEXT_COLUMNS else Qt.AlignmentFlag.AlignRight
            return int(side | Qt.AlignmentFlag.AlignVCenter)
        return None


class StreamsPanel(Panel):
    """The table of streams."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Streams", parent)
        self.model = StreamsModel(self.theme, self)
        self.table = _Table("Streams: state, rate, losses, age, clock offset and what to do")
        self.table.setModel(self.model)
        self.empty = QLabel()
        self.empty.setWordWrap(True)
        self.empty.setProperty("muted", True)
        self.summary = QLabel("")
        self.summary.setTextFormat(Qt.TextFormat.PlainText)
        self.summary.setProperty("muted", True)
        self.head.addWidget(self.summary)
        self.body.addWidget(self.empty)
        self.body.addWidget(self.table, 1)
        self.table.hide()
        self._shown: object = None

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the streams of now; figures come twice a second."""
        self.empty.setText(_no_stream(store))
        states = tuple(store.streams.values())
        key = (id(store), store.health.time if store.health else None, states, store.phase.name)
        if key == self._shown:
            return
        self._shown = key
        health = store.health
        rows = stream_rows(
            store.streams,
            health.streams if health else {},
            health.masked if health else (),
            store.phase.name,
            is_replay=store.mode == "replay",
        )
        self.table.setVisible(bool(rows))
        self.empty.setVisible(not rows)
        self.summary.setText(summary(rows))
        if self.model.set_rows(rows):
            self.table.lay_out()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.model.theme = theme
        self.table.lay_out()
        self.table.viewport().update()  # type: ignore[union-attr]


class _Table(RowTable):
    """Lays out columns by the font, and remedies across all of them."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        if (header := self.horizontalHeader()) is not None:
            header.setHighlightSections(False)
            header.setSectionsClickable(False)
            header.setMinimumSectionSize(1)

    def lay_out(self) -> None:
        """Set widths, spans and heights for the lines there are."""
        model, header = self.model(), self.horizontalHeader()
        if not isinstance(model, StreamsModel) or header is None:
            return
        metrics = self.fontMetrics()
        pad = 2 * metrics.horizontalAdvance("0")
        for column, widest in enumerate(_WIDEST):
            if column == _NAME_COLUMN:
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
                continue
            text = max((widest, STREAM_COLUMNS[column]), key=metrics.horizontalAdvance)
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, metrics.horizontalAdvance(text) + pad)
        self.clearSpans()
        line = round(metrics.height() * 1.35)
        for row, (stream, is_remedy) in enumerate(model.lines):
            if is_remedy:
                self.setSpan(row, 0, 1, len(STREAM_COLUMNS))
            self.setRowHeight(row, self._remedy_height(stream.remedy, metrics) if is_remedy else line)

    def _remedy_height(self, text: str, metrics: QFontMetrics) -> int:
        width = self.viewport().width() - 2 * metrics.horizontalAdvance("0")  # type: ignore[union-attr]
        room = QRect(0, 0, max(width, 50), 10_000)
        return (
            metrics.boundingRect(room, int(Qt.TextFlag.TextWordWrap), text).height() + metrics.height() // 2
        )

    def changeEvent(self, event: QEvent | None) -> None:
        """Lay out anew in another font."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self.lay_out()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Break remedies anew."""
        super().resizeEvent(event)
        self.lay_out()


def _no_stream(store: ViewStore) -> str:
    if store.phase.name in ("failed", "ended"):
        return "No stream: the session is over."
    if store.phase.name == "looking for streams":
        return "No stream yet: the program is looking for streams on the network."
    return "No stream yet."


def _colour(theme: Theme, severity: str) -> str:
    return {"good": theme.good, "suspect": theme.suspect, "bad": theme.bad}.get(severity, theme.muted)
