"""Every reason not to trust the answer, most severe first, each with a shape, a word and a value."""

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QFontMetricsF
from PyQt6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from app.qt.panel import Panel
from app.qt.theme import Theme, growth, scaled_font
from app.qt.widgets import plain_label, put, scrolling
from app.view.store import ViewStore
from app.view.trust import NO_PREDICTION, Finding, judge_at
from models.trust import State

_WORDS = {"stop": "Stop", "caution": "Caution", "info": "Note"}
_GLYPHS = {"stop": ("■", "bad"), "caution": ("▲", "suspect"), "info": ("○", "muted")}  # theme's colour
NOTHING_FOUND = Finding("info", "no reason found to doubt the answer")


class ReasonsPanel(Panel):
    """The findings of `app.view.trust.judge` as rows."""

    def __init__(self) -> None:
        super().__init__("How far to trust it")
        self._rows: list[_Row] = []
        self._findings: tuple[Finding, ...] = ()
        self._page = QWidget()
        self._list = put(QVBoxLayout(self._page), 1, margins=(0, 0, 0, 0), spacing=3)
        self.body.addWidget(scrolling(self._page, "Reasons not to trust the answer"), 1)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show the findings at ``t``; what it waits for is no "note"."""
        _, verdict = judge_at(store, t)
        findings = verdict.findings or (NOTHING_FOUND,)
        if not self.is_new(findings, verdict.label, verdict.state, self._page.width(), self._page.font()):
            return
        self._findings = findings
        self.title.setText("Waiting for" if verdict.label == NO_PREDICTION else "How far to trust it")
        while len(self._rows) < len(findings):
            self._rows.append(_Row())
            self._list.insertWidget(len(self._rows) - 1, self._rows[-1])
            self.fit()
        for row, finding in zip(self._rows, findings, strict=False):
            row.show_finding(finding, self.theme, says_note=verdict.state is not State.NOTHING)
        for index, row in enumerate(self._rows):
            row.setVisible(index < len(findings))
        # A scroll area asks for no height at a width, and would squeeze texts that wrap.
        self._page.setMinimumHeight(self._list.minimumHeightForWidth(self._page.width()))

    def texts(self) -> list[str]:
        return [row.text.text() for row in self._rows[: len(self._findings)]]

    def fit(self) -> None:
        em = QFontMetricsF(self.font()).height()
        factor = growth(min(self.height() / 26, self.width() / 36), em)
        for row in self._rows:
            for label in (row.glyph, row.text):
                label.setFont(scaled_font(self, factor))


class _Row(QWidget):
    """One finding: a square (stop), a triangle (caution) or a ring (note), and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.glyph, self.text = plain_label(), plain_label(wraps=True)
        row = put(QHBoxLayout(self), self.glyph, (self.text, 1), margins=(0, 0, 0, 0), spacing=6)
        row.setAlignment(self.glyph, Qt.AlignmentFlag.AlignTop)

    def show_finding(self, finding: Finding, theme: Theme, *, says_note: bool) -> None:
        glyph, role = _GLYPHS[finding.severity]
        self.glyph.setText(glyph)
        self.glyph.setStyleSheet(f"color: {getattr(theme, role)}")
        is_plain = finding.severity == "info" and not says_note
        self.text.setText(finding.text if is_plain else f"{_WORDS[finding.severity]}: {finding.text}")
