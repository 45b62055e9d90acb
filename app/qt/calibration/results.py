"""The rest after a trial, and the verdict at the end."""

from collections.abc import Callable

from PyQt6.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from acquisition.text import percent
from app.qt.calibration.screen import Screen, Send, TimeBar, mark_primary
from app.qt.widgets import COPYABLE, put, scrolling
from app.view.calibration_screens import done_so_far, named_files
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from calibration.types import Result, SessionView


class RestScreen(Screen):
    """How many trials are done, and the time left."""

    def __init__(self, send: Send) -> None:
        super().__init__("Rest", send, width=100)
        self.said = self.words("", 1.25)
        self.time = TimeBar()
        self.stack(1, self.words("Rest", 1.9, bold=True), self.said, 2, self.time)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        self.time.show_time(view, now)
        if view is None:
            return
        done = done_so_far(view)
        left = view.n_trials - done
        what = f", {left} to go. Relax, breathe, look around." if left > 0 else ". That was the last one."
        self.said.setText(f"{done} of {view.n_trials} trials done{what}")


_LONGEST = 600


class FinishScreen(Screen):
    """The progress of the fit, and then its verdict."""

    def __init__(
        self,
        send: Send,
        open_report: Callable[[], object],
        use_live: Callable[[], object],
        close: Callable[[], object],
    ) -> None:
        super().__init__("End of the session", send, width=100)
        self.result: Result | None = None  # None before the end of the fit
        self.is_aborted = False
        self.title = self.words("", 1.9, bold=True)
        self.said = self.words("", 1.2)
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Model fit")
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.caption = self.words("", muted=True)
        self.verdict = self.words("", 1.9, bold=True)
        self.verdict_words = self.words("", 1.15)
        self.files = self.words("", muted=True)
        self.files.setTextInteractionFlags(COPYABLE)
        self.report = self.button("Open the &report", open_report)
        self.live = self.button("&Use it live", use_live, primary=True)
        self.close_button = self.button("&Close", close)
        panel = self.panel(self.caption, self.verdict, self.verdict_words, None, self.files)
        foot = self.row(self.report, self.live, 1, self.close_button)
        content = QWidget()
        put(QVBoxLayout(content), panel, 1, margins=(0, 0, 0, 0))
        self._area = scrolling(content, "Verdict")  # at 150 % its labels would overlap
        self.stack(1, self.title, self.said, self.progress, (self._area, 1000), None, foot, 1)
        self._show(None)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        if view is None:
            return
        if view.result is None:
            self.title.setText("Ending the session" if self.is_aborted else "All done: thank you")
            fit = f"Fitting the model ({percent(view.fit_share)}): {one_line(view.fit_stage)}."
            parts = (message_line(view.message), fit if view.fit_stage else "Finishing the recording.")
            self.said.setText(" ".join(part for part in parts if part))
            self.progress.setValue(round(1000 * view.fit_share))
        if view.result is not self.result:
            self._show(view.result)

    def first_focus(self) -> QWidget:
        return self.report if self.result is not None else self

    def _show(self, result: Result | None) -> None:
        self.result = result
        part: QWidget
        for part in (self.said, self.progress):
            part.setVisible(result is None)
        for part in (self._area, self.report, self.close_button):
            part.setVisible(result is not None)
        self.live.setVisible(result is not None and result.profile is not None)
        if result is None:
            return
        self.title.setText("The session is over: thank you")
        kind = "a simulated participant's" if result.is_simulated else "the personal"
        self.caption.setText(f"Verdict on {kind} model")
        self.verdict.setText(one_line(result.verdict.code).capitalize())
        words = message_line(f"{result.verdict.words} {result.against_base}".strip(), _LONGEST)
        self.verdict_words.setText(words.replace(" %", "\N{NO-BREAK SPACE}%"))
        mark_primary(self.live, is_primary=result.verdict.is_trusted)
        self.files.setText("\n".join(named_files(result)))
        self.first_focus().setFocus()
