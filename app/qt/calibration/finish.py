"""The end: how far the fit is, then the verdict with its figures, and what to do with the profile."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from app.qt.calibration.interval_bar import IntervalBar
from app.qt.calibration.screen import Screen, Send, mark_primary
from app.qt.theme import Theme
from app.view.figures import percent
from app.view.plain_text import message_line, one_line
from app.view.store import ViewStore
from calibration.types import Result, SessionView
from calibration.verdict import VERDICTS

_LONGEST = 600
_CLOSING = "The recording is being finished."


class FinishScreen(Screen):
    """The fit, and then its result.

    Parameters
    ----------
    send : callable
    open_report, use_live, close : callable
        What the buttons do.
    """

    def __init__(
        self,
        send: Send,
        open_report: Callable[[], object],
        use_live: Callable[[], object],
        close: Callable[[], object],
    ) -> None:
        super().__init__("End of the session", send, width=100)
        self._result: Result | None = None
        self.is_aborted = False
        self.title = self.words("", 1.9, bold=True)
        self.said = self.words("", 1.2)
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Fit of the model")
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.panel = self._verdict_panel()
        self.report = self.button("Open the &report", open_report)
        self.live = self.button("&Use it live", use_live, primary=True)
        self.close_button = self.button("&Close", close)
        self.column.addStretch(1)
        for part in (self.title, self.said, self.progress, self.panel):
            self.column.addWidget(part)
        self.column.addSpacing(10)
        foot = QHBoxLayout()
        for button in (self.report, self.live):
            foot.addWidget(button)
        foot.addStretch(1)
        foot.addWidget(self.close_button)
        self.column.addLayout(foot)
        self.column.addStretch(2)
        self._show(None)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the fit's progress or its result."""
        if view is None:
            return
        if view.result is None:
            self.title.setText("The session is being ended" if self.is_aborted else "That was all: thank you")
            share = percent(view.fit_share)
            fit = (
                f"The model is being fitted ({share}): {one_line(view.fit_stage)}."
                if view.fit_stage
                else _CLOSING
            )
            self.said.setText(" ".join(part for part in (message_line(view.message), fit) if part))
            self.progress.setValue(round(1000 * view.fit_share))
        if view.result is not self._result:
            self._show(view.result)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.bar.set_theme(theme)

    @property
    def result(self) -> Result | None:
        """What is shown, None before the end of the fit."""
        return self._result

    def _verdict_panel(self) -> QFrame:
        panel = QFrame()
        panel.setObjectName("panel")
        column = QVBoxLayout(panel)
        column.setContentsMargins(18, 14, 18, 14)
        column.setSpacing(8)
        self.caption = self.words("", muted=True)
        column.addWidget(self.caption)
        self.verdict = self.words("", 1.9, bold=True)
        self.verdict_words = self.words("", 1.15)
        self.bar = IntervalBar("Balanced accuracy of held-out trials")
        self.files = self.words("", muted=True)
        self.files.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        for part in (self.verdict, self.verdict_words):
            column.addWidget(part)
        column.addSpacing(4)
        column.addWidget(self.words("Balanced accuracy of trials that were held out", muted=True))
        column.addWidget(self.bar)
        column.addWidget(self.files)
        return panel

    def _show(self, result: Result | None) -> None:
        self._result = result
        has_result = result is not None
        self.progress.setVisible(not has_result)
        self.panel.setVisible(has_result)
        for part in (self.said, self.progress):
            part.setVisible(not has_result)
        for button in (self.report, self.close_button):
            button.setVisible(has_result)
        self.live.setVisible(result is not None and result.profile is not None)
        if result is None:
            return
        self.title.setText("The session is over: thank you")
        whose = "a simulated person's" if result.is_simulated else "the personal"
        self.caption.setText(f"Verdict on {whose} model")
        self.verdict.setText(one_line(result.verdict).capitalize())
        words = message_line(result.words, _LONGEST)
        self.verdict_words.setText(words.replace(" %", "\N{NO-BREAK SPACE}%"))
        mark_primary(self.live, is_primary=result.verdict != VERDICTS[0])
        self.bar.show_values(result.balanced_accuracy, result.interval, result.chance)
        named = (("Report", result.report), ("Profile", result.profile), ("Recording", result.recording))
        self.files.setText("\n".join(f"{what}: {path}" for what, path in named if path is not None))
        self.first_focus().setFocus()

    def first_focus(self) -> QWidget:
        """The report."""
        return self.report if self._result is not None else self
