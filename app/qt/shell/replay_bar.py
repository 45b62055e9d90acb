"""The bar under the tabs: hold and go on, step, speed and the moment shown, live and in a replay."""

from __future__ import annotations

import math

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QWidget

from app.qt.shell.icons import icon
from app.qt.shell.playback import SPEEDS, Playback, speed_text
from app.qt.shell.timeline import Timeline
from app.qt.theme import Theme
from app.view.clock_text import clock_text
from app.view.store import ViewStore


class ReplayBar(QWidget):
    """Buttons, speed, the timeline and the time in words.

    Parameters
    ----------
    playback : Playback
    actions : dict
        Of the table of commands, by name.
    """

    def __init__(self, playback: Playback, actions: dict[str, QAction]) -> None:
        super().__init__()
        self._playback = playback
        self._theme: Theme | None = None
        self._goes_on: bool | None = None
        self.setAccessibleName("Time")
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 0, 6, 4)
        self._buttons = {}
        for name in ("to_start", "step_back", "toggle", "step_on", "to_end"):
            button = self._buttons[name] = QToolButton()
            button.setDefaultAction(actions[name])
            button.setAccessibleName(actions[name].toolTip())
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            row.addWidget(button)
        self.timeline = Timeline()
        self.timeline.chosen.connect(playback.seek)
        row.addWidget(self.timeline, 1)
        self.words = QLabel()
        self.words.setAccessibleName("Moment shown, in words")
        self.words.setMinimumWidth(self.words.fontMetrics().horizontalAdvance("00:00.0 of 00:00.0"))
        self.words.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.words)
        self.speed = QComboBox()
        self.speed.addItems([speed_text(speed) for speed in SPEEDS])
        self.speed.setAccessibleName("Speed of the replay")
        self.speed.setToolTip("Speed of the replay, times real time")
        self.speed.activated.connect(lambda at: playback.set_speed(SPEEDS[at]))
        row.addWidget(self.speed)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme, self._goes_on = theme, None
        pictures = {"to_start": "start", "step_back": "back", "step_on": "on", "to_end": "end"}
        for name, picture in pictures.items():
            self._buttons[name].setIcon(icon(picture, theme))
        self.timeline.set_theme(theme)

    def refresh(self, store: ViewStore, t: float) -> None:
        """Show where the view stands."""
        playback = self._playback
        if self._theme is not None and playback.is_going_on != self._goes_on:
            self._goes_on = playback.is_going_on
            self._buttons["toggle"].setIcon(icon("hold" if self._goes_on else "play", self._theme))
        self.timeline.show_store(store, t)
        self.words.setText(moment_words(store, t))
        self.speed.setVisible(playback.is_replay)
        at = SPEEDS.index(playback.speed) if playback.speed in SPEEDS else -1
        if self.speed.currentIndex() != at and not self.speed.hasFocus():
            self.speed.setCurrentIndex(at)


def moment_words(store: ViewStore, t: float) -> str:
    """Return how far into the recording, or how long ago, ``t`` is."""
    if not math.isfinite(t):
        return "no data yet"
    if store.timeline is not None:
        first, last = store.timeline.first, store.timeline.last
        return f"{clock_text(t - first, 1)} of {clock_text(last - first, 1)}"
    behind = store.newest_time - t
    kept = clock_text(store.newest_time - store.oldest_time)
    return f"now, {kept} kept" if behind < 0.05 else f"{clock_text(behind, 1)} ago of {kept}"
