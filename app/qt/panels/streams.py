"""Every stream's state and figures, with a remedy for those with a problem."""

from PyQt6.QtCore import QEvent, QRect, Qt
from PyQt6.QtGui import QColor, QResizeEvent
from PyQt6.QtWidgets import QHeaderView, QTableWidgetItem

from app.qt.panel import Panel
from app.qt.widgets import RowTable, plain_label, put, there
from app.view.health import StreamRow, stream_rows, summary
from app.view.store import ViewStore
from app.view.text import tooltip

_NAME_COLUMN = 2
_TEXT_COLUMNS = (0, 1, 2)
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
#: Of `StreamRow.cells`: the head, the widest text it is laid out for, and the head's tooltip.
_COLUMNS = (
    ("State", "○ at the end", "Whether data arrive as expected"),
    ("Kind", "markers", "What the stream carries"),
    ("Name", "", "The name given by the sender"),
    ("Rate", "1,000.0 of 1,000 Hz", "Sampling rate over the last 5 s, and nominal"),
    ("Lost", "100.0 %", "Estimated share of samples lost since the start, from timestamp gaps"),
    ("Age", "12 min 5 s", "Time since the last sample arrived"),
    ("Offset", "+123.4 ms", "This computer's clock minus the sender's timestamps"),
    ("Backlog", "Backlog", "Samples queued at the last read"),
    ("Dropped", "Dropped", "Samples excluded because their timestamps stepped back"),
    ("Used", "100.0 %", "Share of the samples received that windows can use; a name's tooltip counts them"),
    ("Decodable", "12 min 5 s", "Time with windows in which this modality was present"),
)


class StreamsPanel(Panel):
    """The table of streams; under each with a problem, the remedy, and what befell its samples."""

    def __init__(self) -> None:
        super().__init__("Streams")
        self.table = _Table()
        self.empty = plain_label(muted=True, wraps=True)
        self.summary = self.add_words(muted=True)
        put(self.body, self.empty, (self.table, 1))
        self.table.hide()

    def refresh(self, store: ViewStore, t: float) -> None:
        self.empty.setText(_no_stream(store))
        health, states = store.health, tuple(store.streams.values())
        newest = store.predictions.at(t)
        if not self.is_new(id(store), health.time if health else None, states, store.phase.name):
            return
        rows = stream_rows(
            store.streams,
            health.streams if health else {},
            health.masked if health else (),
            store.phase.name,
            is_replay=store.mode == "replay",
            is_quiet=newest is not None and newest.is_quiet,
            ledgers=health.ledgers if health else {},
        )
        self.table.setVisible(bool(rows))
        self.empty.setVisible(not rows)
        self.summary.setText(summary(rows))
        self.table.set_streams([(row, QColor(getattr(self.theme, row.severity))) for row in rows])


class _Table(RowTable):
    """Lays out columns by the font, and remedies across all of them."""

    def __init__(self) -> None:
        super().__init__("Streams: state, rate, losses, age, clock offset and what to do")
        self._remedies: list[str] = []
        self.setColumnCount(len(_COLUMNS))
        for column, (name, _, tip) in enumerate(_COLUMNS):
            item = QTableWidgetItem(name)
            item.setToolTip(tip)
            item.setTextAlignment(_LEFT if column in _TEXT_COLUMNS else _RIGHT)
            self.setHorizontalHeaderItem(column, item)
        header = there(self.horizontalHeader())
        header.setHighlightSections(False)
        header.setStretchLastSection(False)  # the names take what room there is
        header.setSectionsClickable(False)
        header.setMinimumSectionSize(1)

    def set_streams(self, streams: list[tuple[StreamRow, QColor]]) -> None:
        """Show other rows; the layout stays while their number and their remedies do."""
        lines: list[tuple[tuple[str, ...], str, QColor]] = []  # cells, what the tooltip says, colour
        for row, colour in streams:
            lines.append((row.cells, row.samples, colour))
            lines += [((text,), text, colour) for text in (row.remedy, row.befell) if text]
        remedies = [cells[0] for cells, _, _ in lines if len(cells) == 1]
        is_other = self.rowCount() != len(lines) or remedies != self._remedies
        self.setRowCount(len(lines))
        for i, (cells, tip, colour) in enumerate(lines):
            for column, text in enumerate(cells + ("",) * (len(_COLUMNS) - len(cells))):
                item = self.item(i, column)
                if item is None:
                    item = QTableWidgetItem()
                    self.setItem(i, column, item)
                item.setText(text)
                item.setTextAlignment(_LEFT if column in _TEXT_COLUMNS else _RIGHT)
                item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{_COLUMNS[column][0]}: {text}")
                is_named = column == (0 if len(cells) == 1 else _NAME_COLUMN)
                item.setToolTip(tooltip(tip) if is_named else "")
                item.setData(Qt.ItemDataRole.ForegroundRole, colour if column == 0 else None)
        if is_other:
            self._remedies = remedies
            self.lay_out()

    def lay_out(self) -> None:
        header, metrics = there(self.horizontalHeader()), self.fontMetrics()
        digit, line = metrics.horizontalAdvance("0"), round(metrics.height() * 1.35)
        for column, (name, widest, _) in enumerate(_COLUMNS):
            if column == _NAME_COLUMN:
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
                continue
            width = max(map(metrics.horizontalAdvance, (name, widest)))
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width + 2 * digit)
        self.clearSpans()
        room = QRect(0, 0, max(there(self.viewport()).width() - 2 * digit, 50), 10_000)
        for row in range(self.rowCount()):
            remedy = self._remedy(row)
            if remedy:
                self.setSpan(row, 0, 1, len(_COLUMNS))
                area = metrics.boundingRect(room, int(Qt.TextFlag.TextWordWrap), remedy)
                self.setRowHeight(row, area.height() + metrics.height() // 2)
            else:
                self.setRowHeight(row, line)

    def changeEvent(self, event: QEvent | None) -> None:
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self.lay_out()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.lay_out()

    def _remedy(self, row: int) -> str:
        first, second = self.item(row, 0), self.item(row, 1)
        return first.text() if first is not None and second is not None and not second.text() else ""


def _no_stream(store: ViewStore) -> str:
    if store.is_over:
        return "No stream: the session is over."
    is_looking = store.phase.name in ("looking", "waiting")
    return "No stream yet: looking for streams on the network." if is_looking else "No stream yet."
