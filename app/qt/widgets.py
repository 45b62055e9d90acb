"""Small widgets of the windows: layouts, labels of plain text, tables and lists to copy from."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from PyQt6.QtCore import QCoreApplication, QEvent, QSize, Qt
from PyQt6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence, QPainter, QPaintEvent
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QBoxLayout,
    QFrame,
    QLabel,
    QLayout,
    QListWidget,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from app.view.text import tooltip

#: A part of a layout: a widget or layout, with its stretch if any; a number is a stretch, None a gap.
Part = QWidget | QLayout | tuple[QWidget | QLayout, int] | int | None
L = TypeVar("L", bound=QBoxLayout)
T = TypeVar("T")
_GAP = 10
#: Of a label whose text can be selected and copied.
COPYABLE = Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard


def put(
    layout: L, *parts: Part, margins: tuple[int, int, int, int] | None = None, spacing: int | None = None
) -> L:
    """Put parts into a layout, in this order, and return it."""
    if margins is not None:
        layout.setContentsMargins(*margins)
    if spacing is not None:
        layout.setSpacing(spacing)
    for part in parts:
        if part is None:
            layout.addSpacing(_GAP)
        elif isinstance(part, int):
            layout.addStretch(part)
        else:
            what, stretch = part if isinstance(part, tuple) else (part, 0)
            if isinstance(what, QWidget):
                layout.addWidget(what, stretch)
            else:
                layout.addLayout(what, stretch)
    return layout


def scrolling(widget: QWidget, name: str) -> QScrollArea:
    """Return a widget in a scroll area, for where it has too little room."""
    area = QScrollArea()
    area.setAccessibleName(name)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidget(widget)
    there(area.viewport()).setAutoFillBackground(False)
    widget.setAutoFillBackground(False)
    return area


def lay_out() -> None:
    """Deliver pending layout requests; each round passes them one level up, as from a label to its list."""
    for _ in range(4):
        QCoreApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)


def there(given: T | None) -> T:
    """Return what Qt gives, though its types say that there may be nothing."""
    assert given is not None
    return given


def plain_label(text: str = "", *, muted: bool = False, wraps: bool = False) -> QLabel:
    """Return a label of plain text, never markup."""
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(wraps)
    if muted:
        label.setProperty("muted", True)
    return label


class ElidedLabel(QLabel):
    """A line of plain text that is cut where there is no room; its tooltip has the full text.

    ``meaning`` is its accessible name and the tooltip's first line; ``least`` characters always fit.
    """

    def __init__(
        self, meaning: str, least: int = 0, mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight
    ) -> None:
        super().__init__()
        self._least, self._mode = least, mode
        self._meaning, self._details = meaning, ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAccessibleName(meaning)
        self._tell()

    def show_text(self, text: str, details: str = "") -> None:
        """Show another text; ``details`` replace it in the tooltip."""
        if text != self.text() or details != self._details:
            self.setText(text)
            self._details = details
            self._tell()

    def minimumSizeHint(self) -> QSize:
        width = self.fontMetrics().averageCharWidth() * self._least
        hint = super().sizeHint()
        return QSize(min(width, hint.width()), hint.height())

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        room = self.contentsRect()
        text = self.fontMetrics().elidedText(self.text(), self._mode, room.width())
        painter.drawText(room, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)

    def _tell(self) -> None:
        words = self._details or self.text()
        self.setToolTip(tooltip(self._meaning, words))


if TYPE_CHECKING:
    _View = QAbstractItemView
else:  # PyQt allows only one of its classes as a base
    _View = object


class _Rows(_View):
    """Common to read-only views of rows; the system's copy key copies those selected, or all."""

    def _make_read_only(self, name: str) -> None:
        self.setAccessibleName(name)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            self._copy()
        else:
            super().keyPressEvent(event)

    def _copy(self) -> None:
        model, selection = self.model(), self.selectionModel()
        clipboard = QGuiApplication.clipboard()
        if model is None or selection is None or clipboard is None:
            return
        rows = sorted({index.row() for index in selection.selectedIndexes()}) or range(model.rowCount())
        columns = range(self.columnCount() if isinstance(self, QTableWidget) else 1)
        cells = [[str(model.index(row, column).data() or "") for column in columns] for row in rows]
        clipboard.setText("\n".join("\t".join(row).rstrip() for row in cells))


class RowTable(_Rows, QTableWidget):
    """A read-only table: arrow keys move by rows, Tab leaves it, Ctrl+C copies."""

    def __init__(self, name: str, columns: Sequence[str] = (), rows: Iterable[Sequence[str]] = ()) -> None:
        super().__init__(0, len(columns))
        self.setHorizontalHeaderLabels(list(columns))
        self._make_read_only(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(True)
        there(self.verticalHeader()).hide()
        there(self.verticalHeader()).setMinimumSectionSize(1)
        there(self.horizontalHeader()).setStretchLastSection(True)
        self.fill(rows)

    def fill(self, rows: Iterable[Sequence[str]], *, has_tips: bool = False) -> None:
        """Show other rows; with tips, a cell that is cut tells all of its text."""
        self.setRowCount(len(rows := list(rows)))
        for at, row in enumerate(rows):
            for column, text in enumerate(row):
                item = QTableWidgetItem(text)
                item.setToolTip(tooltip(text) if has_tips else "")
                self.setItem(at, column, item)


class RowList(_Rows, QListWidget):
    """A read-only list; Ctrl+C copies."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._make_read_only(name)
        self.setUniformItemSizes(True)

    def set_rows(self, rows: Sequence[tuple[str, str, QColor]]) -> None:
        """Show other lines, each with tooltip and colour; a selection stays while their number does."""
        if len(rows) != self.count():
            self.clear()
            self.addItems([text for text, _, _ in rows])
        for i, (text, tip, colour) in enumerate(rows):
            item = there(self.item(i))
            item.setText(text)
            item.setToolTip(tip)
            item.setForeground(colour)
