"""A line of text that is cut where there is no room for it, and told in full by its tooltip."""

from __future__ import annotations

from html import escape

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QLabel, QWidget


class ElidedLabel(QLabel):
    """A label of plain text on one line.

    Parameters
    ----------
    meaning : str
        What the text tells; its accessible name, and the tooltip's first line.
    least : int
        Characters for which there is always room.
    mode : Qt.TextElideMode
        Where the text is cut.
    """

    def __init__(
        self,
        meaning: str,
        least: int = 0,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._least, self._mode = least, mode
        self._meaning, self._details = meaning, ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAccessibleName(meaning)
        self._tell()

    def show_text(self, text: str, details: str = "") -> None:
        """Show another text; ``details`` are told by the tooltip instead of the text itself."""
        if text != self.text() or details != self._details:
            self.setText(text)
            self._details = details
            self._tell()

    def minimumSizeHint(self) -> QSize:
        """Return room for the least that is to be read."""
        width = self.fontMetrics().averageCharWidth() * self._least
        hint = super().sizeHint()
        return QSize(min(width, hint.width()), hint.height())

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw as much as fits."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        room = self.contentsRect()
        text = self.fontMetrics().elidedText(self.text(), self._mode, room.width())
        painter.drawText(room, int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter), text)

    def _tell(self) -> None:
        words = self._details or self.text()
        self.setToolTip(f"<p>{escape(self._meaning)}</p><p>{escape(words)}</p>")
