"""Every reason not to trust the answer, the gravest first, each with a shape, a word and a figure."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from app.qt.panel import Panel
from app.qt.theme import Theme, growth, scaled_font
from app.view.store import ViewStore
from app.view.trust import NO_ANSWER, Finding, judge

_WORDS = {"stop": "Stop", "caution": "Caution", "info": "Note"}
NOTHING_FOUND = Finding("info", "nothing found that speaks against the answer")


class ReasonsPanel(Panel):
    """The findings of `app.view.trust.judge` as rows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("How far to trust it", parent)
        self._rows: list[_Row] = []
        self._shown: tuple[Finding, ...] = ()
        page = QWidget()
        page.setObjectName("panel-page")
        self._list = QVBoxLayout(page)
        self._list.setContentsMargins(0, 0, 0, 0)
        self._list.setSpacing(3)
        self._list.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setAccessibleName("Reasons not to trust the answer")
        scroll.setWidget(page)
        page.setStyleSheet("QWidget#panel-page { background: transparent; }")
        scroll.viewport().setStyleSheet("background: transparent;")  # type: ignore[union-attr]
        self.body.addWidget(scroll, 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the findings at ``t``."""
        verdict = judge(store.predictions.at(t), store, t)
        self.title.setText("Waiting for" if verdict.label == NO_ANSWER else "How far to trust it")
        self.show_findings(verdict.findings or (NOTHING_FOUND,), says_note=verdict.state != "nothing")

    def show_findings(self, findings: tuple[Finding, ...], *, says_note: bool = True) -> None:
        """Show findings, reusing the rows there are; what is waited for is no "note"."""
        if findings == self._shown:
            return
        self._shown = findings
        if len(self._rows) < len(findings):
            while len(self._rows) < len(findings):
                row = _Row(self.theme)
                self._list.insertWidget(len(self._rows), row)
                self._rows.append(row)
            self._set_fonts()
        for row, finding in zip(self._rows, findings, strict=False):
            row.show_finding(finding, says_note=says_note)
        for index, row in enumerate(self._rows):
            row.setVisible(index < len(findings))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take a larger font where there is room."""
        super().resizeEvent(event)
        self._set_fonts()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the page's font."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.FontChange:
            self._set_fonts()

    def _set_fonts(self) -> None:
        em = QFontMetricsF(self.font()).height()
        factor = growth(min(self.height() / 26, self.width() / 36), em)
        for row in getattr(self, "_rows", ()):
            row.set_font(scaled_font(self, factor))

    def texts(self) -> list[str]:
        """Return what the rows say."""
        return [row.text.text() for row in self._rows[: len(self._shown)]]

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        for row in self._rows:
            row.glyph.theme = theme
            row.glyph.update()


class _Row(QWidget):
    """One finding."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.glyph = SeverityGlyph(theme)
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setWordWrap(True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.glyph, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.text, 1)

    def set_font(self, font: QFont) -> None:
        self.text.setFont(font)
        side = round(QFontMetricsF(font).height())
        self.glyph.setFixedSize(QSize(side, side))

    def show_finding(self, finding: Finding, *, says_note: bool) -> None:
        self.glyph.show_severity(finding.severity)
        is_plain = finding.severity == "info" and not says_note
        self.text.setText(finding.text if is_plain else f"{_WORDS[finding.severity]}: {finding.text}")


class SeverityGlyph(QWidget):
    """An octagon with a bar (stop), a triangle with a ! (caution) or a circle with an i (note)."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.severity = "info"

    def show_severity(self, severity: str) -> None:
        """Take another shape."""
        if severity != self.severity:
            self.severity = severity
            self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Paint."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        theme, s = self.theme, float(self.width())
        painter.setPen(Qt.PenStyle.NoPen)
        upon = QColor(theme.surface)
        if self.severity == "stop":
            a, b = 0.3 * s, 0.7 * s
            low, high = 0.04 * s, 0.96 * s
            corners = ((a, low), (b, low), (high, a), (high, b), (b, high), (a, high), (low, b), (low, a))
            painter.setBrush(QColor(theme.bad))
            painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in corners]))
            painter.fillRect(QRectF(0.24 * s, 0.42 * s, 0.52 * s, 0.16 * s), upon)
        elif self.severity == "caution":
            painter.setBrush(QColor(theme.suspect))
            painter.drawPolygon(
                QPolygonF([QPointF(0.5 * s, 0.03 * s), QPointF(s, 0.95 * s), QPointF(0, 0.95 * s)])
            )
            painter.fillRect(QRectF(0.44 * s, 0.36 * s, 0.12 * s, 0.32 * s), upon)
            painter.fillRect(QRectF(0.44 * s, 0.74 * s, 0.12 * s, 0.12 * s), upon)
        else:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.muted), max(1.2, 0.09 * s)))
            painter.drawEllipse(QRectF(0.1 * s, 0.1 * s, 0.8 * s, 0.8 * s))
            painter.fillRect(QRectF(0.44 * s, 0.26 * s, 0.12 * s, 0.12 * s), QColor(theme.muted))
            painter.fillRect(QRectF(0.44 * s, 0.44 * s, 0.12 * s, 0.3 * s), QColor(theme.muted))
        painter.end()
