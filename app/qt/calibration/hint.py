"""The hint before a trial: which emotion comes."""

from __future__ import annotations

from PyQt6.QtCore import Qt

from app.qt.calibration.screen import Screen, Send
from app.qt.calibration.time_bar import TimeBar
from app.qt.theme import Theme
from app.view.plain_text import one_line
from app.view.store import ViewStore
from calibration.types import SessionView

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
