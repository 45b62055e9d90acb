"""Screens that say something and offer a way on: an unfinished session, waiting, and a failure."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QPointF, Qt
from PyQt6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QHBoxLayout, QProgressBar, QSizePolicy, QWidget

from app.engine.messages import ResumeSession, SkipTrial
from app.qt.calibration.screen import Screen, Send, TimeBar
from app.qt.theme import DARK, Theme
from app.view.conditions import LONGEST
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from calibration.types import SessionView


class ResumeScreen(Screen):
    """Offers to go on with a session that was broken off.

    Parameters
    ----------
    send : callable
    words : str
        What there is of it.
    choose : callable
        Gets True to go on with it, False to begin anew.
    """

    def __init__(self, send: Send, words: str, choose: Callable[[bool], object]) -> None:
        super().__init__("Unfinished session", send, width=80)
        self.go_on = self.button("&Go on with it", lambda: choose(True), primary=True)
        self.anew = self.button("Begin a &new session", lambda: choose(False))
        self.column.addStretch(1)
        self.column.addWidget(self.words("There is an unfinished session", 1.6, bold=True))
        self.column.addWidget(self.words(words, 1.2))
        self.column.addSpacing(10)
        foot = QHBoxLayout()
        foot.addWidget(self.go_on)
        foot.addWidget(self.anew)
        foot.addStretch(1)
        self.column.addLayout(foot)
        self.column.addWidget(self.words("Nothing of it is lost either way.", muted=True))
        self.column.addStretch(2)

    def first_focus(self) -> QWidget:
        """The way on."""
        return self.go_on


class WaitingScreen(Screen):
    """Says what is being waited for."""

    def __init__(self, send: Send) -> None:
        super().__init__("Waiting", send, width=70)
        self.title = self.words("One moment", 1.6, bold=True)
        self.said = self.words("", 1.2, muted=True)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Waiting")
        self.column.addStretch(1)
        for label in (self.title, self.said):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.column.addWidget(label)
        self.column.addWidget(self.bar)
        self.column.addStretch(1)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show what the engine is at."""
        said = store.phase.message or store.phase.name
        self.said.setText(message_line(said).capitalize())


class FailedScreen(Screen):
    """What went wrong, and that nothing recorded is lost."""

    def __init__(self, send: Send, again: Callable[[], object], close: Callable[[], object]) -> None:
        super().__init__("The session stopped", send, width=90)
        self.title = self.words("The session stopped", 1.6, bold=True)
        self.said = self.words("", 1.15)
        self.again = self.button("Try &again", again, primary=True)
        self.close_button = self.button("&Close", close)
        self.column.addStretch(1)
        self.column.addWidget(self.title)
        self.column.addWidget(self.said)
        self.column.addSpacing(10)
        foot = QHBoxLayout()
        foot.addWidget(self.again)
        foot.addWidget(self.close_button)
        foot.addStretch(1)
        self.column.addLayout(foot)
        kept = "What was recorded is kept. The next start offers to go on where this one stopped."
        self.column.addWidget(self.words(kept, muted=True))
        self.column.addStretch(2)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the reason."""
        ended = store.phase.name == "ended"
        self.title.setText("The session was ended" if ended else "The session stopped")
        message = view.message if ended and view is not None else store.phase.message
        self.said.setText(message_line(message, LONGEST))

    def first_focus(self) -> QWidget:
        """The way on."""
        return self.again


_WHAT_TO_DO = {
    "text": "Read it and let the feeling come. Stay with it until the screen changes.",
    "image": "Look at it and let the feeling come. Stay with it until the screen changes.",
    "sound": "Listen and let the feeling come. Stay with it until the screen changes.",
    "video": "Watch it and let the feeling come. Stay with it until the screen changes.",
}


class HintScreen(Screen):
    """The emotion in large letters, and what to do."""

    def __init__(self, send: Send) -> None:
        super().__init__("Hint", send)
        self.trial = self.words("", 1.2, muted=True)
        self.emotion = self.words("", 4.0, bold=True)
        self.what = self.words("", 1.3)
        self.time = TimeBar()
        self.column.addStretch(2)
        for label in (self.trial, self.emotion, self.what):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.column.addWidget(label)
        self.column.addStretch(3)
        self.column.addWidget(self.time)

    def begin(self, view: SessionView) -> None:
        """Show the trial to come."""
        step = view.step
        self.trial.setText(f"Trial {step.trial} of {view.n_trials}. Next comes:")
        self.emotion.setText(one_line(step.emotion).capitalize())
        kind = step.stimulus.kind if step.stimulus is not None else "text"
        self.what.setText(_WHAT_TO_DO[kind])

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the time left."""
        self.time.show_time(view, now)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.time.set_theme(theme)


_SKIPPED = {
    "baseline_open": "this part",
    "baseline_closed": "this part",
    "practice": "the practice",
    "rest": "what is left of the rest",
}
_ANEW = "The trial that was cut short begins anew, and its first part is left out."


class PauseScreen(Screen):
    """What can be done with a session that is held.

    Parameters
    ----------
    send : callable
    on_end : callable
        Ends the session; asks first.
    """

    def __init__(self, send: Send, on_end: Callable[[], object]) -> None:
        super().__init__("Pause", send, width=70)
        self.title = self.words("Pause", 1.9, bold=True)
        self.said = self.words("", 1.25)
        self.go_on = self.button("&Go on", self.resume, primary=True)
        self.skip = self.button("&Skip this trial", self.skip_trial)
        self.end = self.button("&End the session …", on_end)
        self.column.addStretch(1)
        for label in (self.title, self.said):
            self.column.addWidget(label)
        self.column.addSpacing(12)
        for button in (self.go_on, self.skip, self.end):
            self.column.addWidget(button)
        self.column.addSpacing(6)
        self.column.addWidget(
            self.words("What is recorded is kept. An ended session can be taken up again later.", muted=True)
        )
        self.column.addStretch(2)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Say what will follow."""
        if view is None:
            return
        kind, trial = view.step.kind, view.step.trial
        is_in_trial = trial > 0 and kind != "rest"
        where = f"Trial {trial} of {view.n_trials} is held." if is_in_trial else "The session is held."
        parts = (message_line(view.message), where, _ANEW if kind == "stimulus" else "")
        self.said.setText(" ".join(part for part in parts if part))
        self.skip.setText("&Skip " + _SKIPPED.get(kind, "this trial"))

    def resume(self) -> None:
        """Go on."""
        self.send(ResumeSession())

    def skip_trial(self) -> None:
        """Leave the trial out and go on with the next one."""
        self.send(SkipTrial())

    def first_focus(self) -> QWidget:
        """The way on."""
        return self.go_on

    def take_key(self, event: QKeyEvent) -> bool:
        """P goes on."""
        if event.key() == Qt.Key.Key_P:
            self.resume()
            return True
        return False


_OPEN = "Look at the cross and rest. Blink as you like."
_CLOSED = "Close your eyes and rest."
_TONE = "A tone tells you when to open them."
_NO_SOUND = "There is no sound here: somebody will tell you when to open them."


class FixationScreen(Screen):
    """Rest with open or closed eyes.

    Parameters
    ----------
    send : callable
    has_sound : bool
        Whether the tone can be heard.
    """

    def __init__(self, send: Send, *, has_sound: bool) -> None:
        super().__init__("Rest before the trials", send)
        self._has_sound = has_sound
        self._is_closed = False
        self.instruction = self.words("", 1.5)
        self.more = self.words("", 1.2, muted=True)
        self.cross = _Cross()
        self.time = TimeBar()
        for label in (self.instruction, self.more):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.column.addStretch(1)
        self.column.addWidget(self.instruction)
        self.column.addWidget(self.more)
        self.column.addWidget(self.cross, 8)
        self.column.addStretch(1)
        self.column.addWidget(self.time)

    def begin(self, view: SessionView) -> None:
        """Say which of the two it is."""
        self._is_closed = view.step.kind == "baseline_closed"
        self.instruction.setText(_CLOSED if self._is_closed else _OPEN)
        self.more.setText((_TONE if self._has_sound else _NO_SOUND) if self._is_closed else "")
        self.time.setVisible(not self._is_closed)
        self.cross.show_cross(not self._is_closed)

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the time left, unless nobody looks."""
        if not self._is_closed:
            self.time.show_time(view, now)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self.cross.set_theme(theme)
        self.time.set_theme(theme)


class _Cross(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self._theme: Theme = DARK
        self._is_shown = True
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Cross to look at")

    def show_cross(self, is_shown: bool) -> None:
        """Show it or not."""
        self._is_shown = is_shown
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw it in the middle."""
        if not self._is_shown:
            return
        painter = QPainter(self)
        arm = self.fontMetrics().height() * 1.6
        centre = QPointF(self.width() / 2, self.height() / 2)
        painter.setPen(QPen(QColor(self._theme.text), max(3.0, arm / 9)))
        painter.drawLine(centre - QPointF(arm, 0), centre + QPointF(arm, 0))
        painter.drawLine(centre - QPointF(0, arm), centre + QPointF(0, arm))
