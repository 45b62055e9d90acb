"""The rest after a trial: how far the session is, and from the fourth trial on how the model does."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from app.engine.messages import RepeatTrial
from app.qt.calibration.interval_bar import IntervalBar
from app.qt.calibration.screen import Screen, Send
from app.qt.calibration.time_bar import TimeBar
from app.qt.theme import DARK, Theme
from app.view.calibration_screens import done_so_far, newest_trial, progress_in_words
from app.view.plain_text import one_line
from app.view.store import ViewStore
from calibration.types import Progress, SessionView

_FROM = "How the model does shows from the fourth trial on."


class RestScreen(Screen):
    """Trials done, accuracy so far with its interval, and a trial worth repeating."""

    def __init__(self, send: Send) -> None:
        super().__init__("Rest", send, width=100)
        self._worth = 0
        self._asked: set[tuple[int, int]] = set()  # step and trial
        self._step_id = 0
        self.title = self.words("Rest", 1.9, bold=True)
        self.said = self.words("", 1.25)
        self.dots = TrialDots()
        self.column.addStretch(1)
        self.column.addWidget(self.title)
        self.column.addWidget(self.said)
        self.column.addWidget(self.dots)
        self.column.addSpacing(10)
        self.column.addWidget(self._so_far())
        self.column.addStretch(2)
        self.time = TimeBar()
        self.column.addWidget(self.time)

    def begin(self, view: SessionView) -> None:
        """Take up another rest."""
        self._step_id = view.step_id

    def refresh(self, view: SessionView | None, store: ViewStore, now: float) -> None:
        """Show the newest figures."""
        self.time.show_time(view, now)
        if view is None:
            return
        done = done_so_far(view)
        left = view.n_trials - done
        what = "That was the last one."
        if left > 0:
            what = f"{left} to come. Let go of it, breathe, look around."
        self.said.setText(f"{done} of {view.n_trials} trials done. {what}")
        self.dots.show_trials(view)
        self._show_progress(view.progress)
        self._show_repeat(view)

    def repeat(self) -> None:
        """Ask for the trial once more."""
        if self._worth:
            self._asked.add((self._step_id, self._worth))
            self.send(RepeatTrial(self._worth))
            self.again.setEnabled(False)

    def take_key(self, event: QKeyEvent) -> bool:
        """R repeats."""
        if event.key() == Qt.Key.Key_R and self.again.isVisible() and self.again.isEnabled():
            self.repeat()
            return True
        return False

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        for part in (self.time, self.dots, self.bar):
            part.set_theme(theme)

    def _so_far(self) -> QFrame:
        panel = QFrame()
        panel.setObjectName("panel")
        column = QVBoxLayout(panel)
        column.setContentsMargins(16, 12, 16, 12)
        column.addWidget(self.words("The model so far", 1.15, bold=True))
        self.figures = self.words(_FROM)
        self.bar = IntervalBar("Accuracy so far")
        self.weakest = self.words("", muted=True)
        self.worth = self.words("")
        self.again = self.button("&Repeat it (R)", self.repeat)
        row = QHBoxLayout()
        row.addWidget(self.worth, 1)
        row.addWidget(self.again)
        for part in (self.figures, self.bar, self.weakest):
            column.addWidget(part)
        column.addLayout(row)
        return panel

    def _show_progress(self, progress: Progress | None) -> None:
        for part in (self.bar, self.weakest):
            part.setVisible(progress is not None)
        if progress is None:
            self.figures.setText(_FROM)
            return
        self.figures.setText(progress_in_words(progress))
        self.bar.show_values(progress.n_correct / progress.n_trials, progress.interval, progress.chance)
        weakest = f"Least well recognised: {one_line(progress.weakest)}." if progress.weakest else ""
        self.weakest.setText(weakest)
        self.weakest.setVisible(bool(weakest))

    def _show_repeat(self, view: SessionView) -> None:
        number = view.progress.worth_repeating if view.progress is not None else 0
        trial = newest_trial(view.trials, number)
        self._worth = number if trial is not None else 0
        for part in (self.worth, self.again):
            part.setVisible(self._worth > 0)
        if trial is not None:
            self.worth.setText(f"Trial {number} ({one_line(trial.emotion)}) is worth repeating.")
        has_asked = (self._step_id, self._worth) in self._asked
        self.again.setEnabled(not has_asked)
        self.again.setText("It comes again" if has_asked else "&Repeat it (R)")


class TrialDots(QWidget):
    """A disc for each trial: filled when done, crossed when skipped, with a dot where it was repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.theme: Theme = DARK
        self._states: tuple[str, ...] = ()
        self.setAccessibleName("Trials")

    def show_trials(self, view: SessionView) -> None:
        """Show the newest state of each."""
        states = []
        for number in range(1, view.n_trials + 1):
            trial = newest_trial(view.trials, number)
            states.append(trial.state if trial is not None else "to come")
        if tuple(states) != self._states:
            self._states = tuple(states)
            words = (f"{number} {state}" for number, state in enumerate(states, start=1))
            self.setAccessibleDescription(", ".join(words))
            self.updateGeometry()
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """Return room for all of them."""
        side = round(self.fontMetrics().height() * 1.5)
        return QSize(side * max(1, len(self._states)), side)

    minimumSizeHint = sizeHint

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the discs."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        step = min(self.fontMetrics().height() * 1.5, self.width() / max(1, len(self._states)))
        radius = step * 0.3
        for place, state in enumerate(self._states):
            box = QRectF(place * step + 2, self.height() / 2 - radius, 2 * radius, 2 * radius)
            painter.setPen(QPen(QColor(self.theme.muted), 2))
            painter.setBrush(QColor(self.theme.accent if state == "done" else self.theme.window))
            painter.drawEllipse(box)
            if state == "skipped":
                painter.drawLine(box.topLeft(), box.bottomRight())
            elif state == "repeated":
                painter.setBrush(QColor(self.theme.muted))
                painter.drawEllipse(box.center(), radius / 3, radius / 3)
