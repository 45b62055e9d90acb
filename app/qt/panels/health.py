"""Health: streams, electrodes, messages, what the session costs, and where a prediction's time went."""

import math
from collections.abc import Callable

import psutil
from PyQt6.QtCore import QEvent, QRect, Qt, QTimer
from PyQt6.QtGui import QColor, QResizeEvent, QTextCharFormat, QTextCursor
from PyQt6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QTableWidgetItem,
)

from acquisition.quality import ChannelQuality
from app.engine.messages import QualityPart
from app.qt.panel import Panel
from app.qt.plots.heads import ElectrodeState, HeadPlot
from app.qt.plots.items import BarPlot, BarRow, Level
from app.qt.theme import Theme
from app.qt.widgets import COPYABLE, RowList, RowTable, plain_label, put, there
from app.view.health import (
    TARGET_MS,
    DisplayLatency,
    Figure,
    MessageRow,
    Stage,
    StreamRow,
    axis_end_ms,
    electrode_counts,
    electrode_rows,
    machine_figures,
    message_rows,
    quality_text,
    stages,
    stream_rows,
    summary,
    verdict,
)
from app.view.store import ViewStore
from app.view.text import moment_text, tooltip
from app.view.trust import electrodes_at, why_no_prediction

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
                if (item := self.item(i, column)) is None:
                    self.setItem(i, column, item := QTableWidgetItem())
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
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(_NAME_COLUMN, QHeaderView.ResizeMode.Stretch)
        for column, (name, widest, _) in enumerate(_COLUMNS):
            header.resizeSection(column, max(map(metrics.horizontalAdvance, (name, widest))) + 2 * digit)
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
    is_looking = store.phase.name in ("looking", "waiting")
    yet = "No stream yet: looking for streams on the network." if is_looking else "No stream yet."
    return "No stream: the session is over." if store.is_over else yet


_OVER = "No figures: the session is over."
_NOT_KNOWN = "Not known: the EEG has stopped."
_NO_FIGURES = "No figures yet: they need an EEG stream and a few seconds of data."


class ElectrodesPanel(Panel):
    """Counts, a head map of quality and the list of electrodes."""

    def __init__(self) -> None:
        super().__init__("Electrodes")
        self.counts = self.add_words()
        self.empty = plain_label(_NO_FIGURES, muted=True, wraps=True)
        self.list = RowList("Electrodes, worst first, with the reason")
        self.head_map = HeadPlot("Quality", n_labels=0)
        put(self.body, self.empty, (put(QHBoxLayout(), (self.head_map, 1), (self.list, 1)), 1))
        self._show(None)

    def refresh(self, store: ViewStore, t: float) -> None:
        part = electrodes_at(store, t)
        has_stopped = part is None and store.quality.at(t) is not None
        self.empty.setText(_NOT_KNOWN if has_stopped else _OVER if store.is_over else _NO_FIGURES)
        if self.is_new(part):
            self._show(part)

    def _show(self, part: QualityPart | None) -> None:
        channels = part.channels if part is not None else ()
        self.empty.setVisible(not channels)
        self.list.setVisible(bool(channels))
        self.head_map.setVisible(bool(channels))
        self.counts.setText(electrode_counts(channels) if channels else "")
        colours = {"good": self.theme.text, "suspect": self.theme.suspect, "bad": self.theme.bad}
        rows = electrode_rows(channels)
        self.list.set_rows(
            [(text, tooltip(text), QColor(colours.get(state, self.theme.muted))) for state, text in rows]
        )
        if channels:
            names = [channel.ch_name for channel in channels]
            scores = [channel.score * 100 for channel in channels]
            self.head_map.set_values(names, scores, 0.0, 100.0, "% good")
            self.head_map.set_states({channel.ch_name: _state(channel) for channel in channels})


def _state(channel: ChannelQuality) -> ElectrodeState:
    letter = "" if channel.state == "good" else channel.state[:1].upper()
    role = channel.state if channel.state in ("good", "suspect", "bad") else "stale"
    return ElectrodeState(letter, role, quality_text(channel))


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


_SAMPLE_MS = 1000


class MachinePanel(Panel):
    """Figures in words; those of this process are sampled once a second."""

    def __init__(self) -> None:
        super().__init__("Machine and recording")
        self._process = psutil.Process()
        self._process.cpu_percent(None)  # the first answer means nothing
        self._cpu_percent = self._memory_mb = float("nan")
        self._grid = QGridLayout()
        self._grid.setColumnStretch(1, 1)
        self._grid.setVerticalSpacing(2)
        self._grid.setHorizontalSpacing(round(1.5 * self.fontMetrics().averageCharWidth()))
        self.values: dict[str, QLabel] = {}
        self.body.addLayout(self._grid)
        self.body.addStretch()
        self._show(machine_figures(None, self._cpu_percent, self._memory_mb))
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.sample)
        self._timer.start(_SAMPLE_MS)

    def sample(self) -> None:
        self._cpu_percent = self._process.cpu_percent(None)
        self._memory_mb = self._process.memory_info().rss / 1e6
        self._shown = ()

    def refresh(self, store: ViewStore, t: float) -> None:
        if self.is_new(id(store), store.health.time if store.health else None):
            self._show(machine_figures(store.health, self._cpu_percent, self._memory_mb))

    def _show(self, figures: list[Figure]) -> None:
        for figure in figures:
            if figure.label not in self.values:
                self._add(figure.label)
            self.values[figure.label].setText(figure.text)
            colour = getattr(self.theme, "text" if figure.severity == "good" else figure.severity)
            look = f"color: {colour}; font-weight: {600 if figure.severity == 'bad' else 400}"
            if self.values[figure.label].styleSheet() != look:
                self.values[figure.label].setStyleSheet(look)

    def _add(self, label: str) -> None:
        row = self._grid.rowCount()
        value = self.values[label] = plain_label(wraps=True)
        value.setTextInteractionFlags(COPYABLE)
        value.setAccessibleName(label)
        self._grid.addWidget(plain_label(label, muted=True), row, 0, Qt.AlignmentFlag.AlignTop)
        self._grid.addWidget(value, row, 1)


_HEADS = ("ms", "p50", "p99")
_HATCHES = {  # beside the colours; a total is an outline
    "arrival": Qt.BrushStyle.BDiagPattern,
    "wait": Qt.BrushStyle.Dense5Pattern,
    "hand-over": Qt.BrushStyle.CrossPattern,
    "features": Qt.BrushStyle.SolidPattern,
    "network": Qt.BrushStyle.FDiagPattern,
    "display": Qt.BrushStyle.DiagCrossPattern,
}


class LatencyPanel(Panel):
    """Bars that begin where the one before ended, their percentiles, and the target.

    The window tells ``display`` when it has painted a prediction.
    """

    def __init__(self, display: DisplayLatency) -> None:
        super().__init__("Latency of the last prediction")
        self.display = display
        self.stages: list[Stage] = []
        self.plot = BarPlot(
            "Latency by stage",
            ("000.0",) * 3,
            x=(0.0, 250.0),
            unit="ms",
            words=lambda value, _: f"{value:.0f} ms" if value == 0 else f"{value:.0f}",
            has_levels=True,
            least=(46, 7),
            most_lines=2.2,
        )
        self.note = plain_label(wraps=True)
        self.add_plot(self.plot)
        self.body.addWidget(self.note)
        self._show([], "muted", why_no_prediction(ViewStore()))

    def refresh(self, store: ViewStore, t: float) -> None:
        prediction = store.predictions.at(t)
        # The prediction of this moment is being painted; its display time is known from the next pass on.
        shown_ms = math.nan if prediction is None else self.display.of(prediction)
        index = store.phase.name if prediction is None else prediction.index
        if not self.is_new(id(store), index, math.isnan(shown_ms)):
            return
        if prediction is None:
            self._show([], "muted", why_no_prediction(store))
            return
        health = store.health
        p50, p99 = (health.latency_p50_ms, health.latency_p99_ms) if health is not None else ({}, {})
        found = stages(prediction, p50, p99, self.display, live=store.mode != "replay")
        self._show(found, *verdict(found))

    def _show(self, found: list[Stage], severity: str, sentence: str) -> None:
        self.stages = found
        self.plot.setVisible(bool(found))
        if found:
            self.plot.set_home(x=(0.0, axis_end_ms(found)))
            rows = [self._row(i, stage) for i, stage in enumerate(found)]
            self.plot.set_rows([BarRow("", _HEADS, role="muted"), *rows])
            is_live = any(stage.name == "decided" for stage in found)
            self.plot.set_levels([Level(TARGET_MS, f"target {TARGET_MS:.0f} ms")] if is_live else [])
        self.note.setText(sentence)
        self.note.setStyleSheet(f"color: {getattr(self.theme, severity)}")

    def _row(self, i: int, stage: Stage) -> BarRow:
        is_total, hatch = stage.name not in _HATCHES, _HATCHES.get(stage.name, Qt.BrushStyle.NoBrush)
        colour = self.theme.muted if is_total else self.theme.category(i)
        start, end = max(0.0, stage.start_ms), max(0.0, stage.start_ms + stage.took_ms)
        return BarRow(stage.name, stage.figures, start, end, colour, hatch, is_bold=is_total)
