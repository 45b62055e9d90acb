"""Screens of a few words and buttons, from an unfinished session to the verdict."""

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from acquisition.text import percent
from app.qt.calibration.screen import Screen, Send, TimeBar, mark_primary
from app.qt.widgets import COPYABLE, put, scrolling
from app.view.calibration_screens import done_so_far, named_files
from app.view.conditions import LONGEST
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from calibration.types import Result, SessionView

_CENTRE = Qt.AlignmentFlag.AlignHCenter


class ResumeScreen(Screen):
    """Offers to resume an interrupted session; ``choose`` gets True, or False for a new session."""

    def __init__(self, send: Send, words: str, choose: Callable[[bool], object]) -> None:
        super().__init__("Unfinished session", send, width=80)
        self.resume = self.button("&Resume it", lambda: choose(True), primary=True)
        self.new = self.button("Start a &new session", lambda: choose(False))
        title = self.words("There is an unfinished session", 1.6, bold=True)
        note = self.words("No data are lost either way.", muted=True)
        buttons = self.row(self.resume, self.new, 1)
        self.stack(1, title, self.words(words, 1.2), None, buttons, note, 2)


class WaitingScreen(Screen):
    """Says what the participant is waiting for; without a moving bar where that may take long."""

    def __init__(self, send: Send, words: str, title: str = "One moment", *, is_busy: bool = True) -> None:
        super().__init__("Waiting", send, width=70)
        self.said = self.words(words, 1.2, muted=True, align=_CENTRE)
        bar = QProgressBar()
        bar.setRange(0, 0)
        bar.setTextVisible(False)
        bar.setAccessibleName("Waiting")
        busy = (bar,) if is_busy else ()
        self.stack(1, self.words(title, 1.6, bold=True, align=_CENTRE), self.said, *busy, 1)


class FailedScreen(Screen):
    """What went wrong, and that nothing recorded is lost."""

    def __init__(self, send: Send, again: Callable[[], object], close: Callable[[], object]) -> None:
        super().__init__("The session stopped", send, width=90)
        self.title = self.words("The session stopped", 1.6, bold=True)
        self.said = self.words("", 1.15)
        self.again = self.button("Try &again", again, primary=True)
        buttons = self.row(self.again, self.button("&Close", close), 1)
        kept = "The recording so far is kept. The next start offers to resume this session."
        self.stack(1, self.title, self.said, None, buttons, self.words(kept, muted=True), 2)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        ended = store.phase.name == "ended"
        self.title.setText("The session was ended" if ended else "The session stopped")
        message = view.message if ended and view is not None else store.phase.message
        self.said.setText(message_line(message, LONGEST))


_WHAT_TO_DO = {"text": "Read the text", "image": "Look at the picture", "sound": "Listen", "video": "Watch"}
_FEEL = "and let the feeling come. Stay with it until the screen changes."


class HintScreen(Screen):
    """The emotion in large letters, and what to do."""

    def __init__(self, send: Send) -> None:
        super().__init__("Hint", send)
        self.trial = self.words("", 1.2, muted=True, align=_CENTRE)
        self.emotion = self.words("", 4.0, bold=True, align=_CENTRE)
        self.what = self.words("", 1.3, align=_CENTRE)
        self.time = TimeBar()
        self.stack(2, self.trial, self.emotion, self.what, 3, self.time)

    def begin(self, view: SessionView) -> None:
        step = view.step
        self.trial.setText(f"Trial {step.trial} of {view.n_trials}. Next:")
        self.emotion.setText(one_line(step.emotion).capitalize())
        kind = step.stimulus.kind if step.stimulus is not None else "text"
        self.what.setText(f"{_WHAT_TO_DO[kind]} {_FEEL}")

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        self.time.show_time(view, now)


_RESTARTS = "The trial will restart."


class PauseScreen(Screen):
    """Says that the session is paused; the participant can resume it."""

    def __init__(self, send: Send, resume: Callable[[], object]) -> None:
        super().__init__("Pause", send, width=70)
        self.said = self.words("", 1.25)
        note = self.words("To skip a trial or to end the session, tell the experimenter (F2).", muted=True)
        title = self.words("Pause", 1.9, bold=True)
        button = self.button("&Resume (P)", resume, primary=True)
        self.stack(1, title, self.said, None, button, None, note, 2)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        if view is None:
            return
        kind, trial = view.step.kind, view.step.trial
        is_in_trial = trial > 0 and kind != "rest"
        where = f"Trial {trial} of {view.n_trials} is paused." if is_in_trial else "The session is paused."
        self.said.setText(f"{where} {_RESTARTS}" if kind == "stimulus" else where)


_OPEN = "Look at the cross and relax. Blink normally."
_CLOSED = "Close your eyes and relax."
_TONE = "A tone will tell you when to open them."
_NO_SOUND = "There is no sound output: someone will tell you when to open them."


class FixationScreen(Screen):
    """Baseline with eyes open or closed."""

    def __init__(self, send: Send, *, has_sound: bool) -> None:
        super().__init__("Baseline", send)
        self._has_sound = has_sound
        self.instruction = self.words("", 1.5, align=_CENTRE)
        self.more = self.words("", 1.2, muted=True, align=_CENTRE)
        self.cross = self.words("", 5.0, align=Qt.AlignmentFlag.AlignCenter)
        self.cross.setAccessibleName("Fixation cross")
        self.time = TimeBar()
        self.stack(1, self.instruction, self.more, (self.cross, 8), 1, self.time)

    def begin(self, view: SessionView) -> None:
        is_closed = view.step.kind == "baseline_closed"
        self.instruction.setText(_CLOSED if is_closed else _OPEN)
        self.more.setText((_TONE if self._has_sound else _NO_SOUND) if is_closed else "")
        self.time.setVisible(not is_closed)
        self.cross.setText("" if is_closed else "+")

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        self.time.show_time(view, now)


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
