"""The signs that are always in sight: that emotions are inferred, which moment is shown, what is recorded."""

from __future__ import annotations

import math

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.engine.messages import ModelInfo
from app.qt.shell.playback import Playback, speed_text
from app.qt.theme import Theme
from app.qt.widgets import ElidedLabel
from app.view.clock_text import clock_text
from app.view.figures import data_size
from app.view.plain_text import one_line
from app.view.store import ViewStore
from app.view.trust import Verdict, judge

INFERENCE_SIGN = "Emotion inference active"
NO_INFERENCE_SIGN = "Emotion inference not running"
_SIGN_MEANING = "Whether emotions are being inferred; people exposed must be told so"


class Header(QWidget):
    """Signs in words, in the row of the tabs: the same on each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = QLabel(NO_INFERENCE_SIGN)
        self.sign.setObjectName("sign")
        self.sign.setTextFormat(Qt.TextFormat.PlainText)
        self.sign.setAccessibleName(_SIGN_MEANING)
        self.sign.setToolTip(_SIGN_MEANING)
        self.answer = ElidedLabel("The emotion shown, and how far it may be trusted", least=14)
        self.answer.setObjectName("answer")
        self.file = ElidedLabel("The recording that is replayed", least=20, mode=Qt.TextElideMode.ElideMiddle)
        self.model = ElidedLabel("The model in use", mode=Qt.TextElideMode.ElideMiddle)
        self.model.setProperty("muted", "true")
        self.recording = ElidedLabel("The recording", least=11)
        self.state = ElidedLabel("Which moment the window shows", least=14)
        self.state.setObjectName("state")
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 2, 8, 2)
        row.setSpacing(10)
        row.addWidget(self.answer)
        row.addStretch(1)
        for label in (self.file, self.model, self.recording, self.state, self.sign):
            row.addWidget(label)
        self._theme: Theme | None = None
        self._shown_state = ""
        self._answered: tuple[object, ...] = ()
        self._room = 0

    def set_room(self, width: int) -> None:
        """Take the width that the tabs leave: a corner's widget is as wide as it hints."""
        if width != self._room:
            self._room = width
            self.updateGeometry()

    def sizeHint(self) -> QSize:
        """Return all the room there is."""
        hint = super().sizeHint()
        return QSize(max(self._room, self.minimumSizeHint().width()), hint.height())

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme, self._shown_state = theme, ""
        self._colour_sign()
        self.recording.setStyleSheet(f"color: {theme.bad}; font-weight: 600;")

    def refresh(self, store: ViewStore, playback: Playback) -> None:
        """Show what holds."""
        self._show_sign(store)
        self._show_answer(store, playback)
        self._show_state(state_words(store, playback), _mood(store, playback))
        recording = recording_words(store)
        self.recording.show_text(recording)
        self.recording.setVisible(bool(recording))
        timeline = store.timeline
        self.file.show_text(
            one_line(timeline.path.name) if timeline else "", str(timeline.path) if timeline else ""
        )
        self.file.setVisible(timeline is not None)
        if store.model is not None:
            self.model.show_text(f"Model: {one_line(store.model.name, 40)}")
            self.model.setToolTip(model_words(store.model))

    def _show_sign(self, store: ViewStore) -> None:
        """Say that emotions are inferred for as long as they are, and no longer."""
        text = INFERENCE_SIGN if store.phase.name in ("running", "paused") else NO_INFERENCE_SIGN
        if self.sign.text() != text:
            self.sign.setText(text)
            self._colour_sign()

    def _colour_sign(self) -> None:
        if self._theme is not None:
            is_on = self.sign.text() == INFERENCE_SIGN
            colour = self._theme.text if is_on else self._theme.muted
            edge = "" if is_on else f" border-color: {self._theme.grid}; font-weight: 400;"
            self.sign.setStyleSheet(f"color: {colour}; background: {self._theme.surface};{edge}")

    def _show_answer(self, store: ViewStore, playback: Playback) -> None:
        t = playback.time
        prediction = store.predictions.at(t) if math.isfinite(t) else None
        # A verdict reads seconds of signals: one per prediction and second is enough.
        answered = (id(store), id(prediction), store.phase, round(t) if math.isfinite(t) else None)
        if answered != self._answered:
            self._answered = answered
            has_stopped = prediction is None and store.phase.name in ("failed", "ended")
            self.answer.show_text("no answer" if has_stopped else answer_words(judge(prediction, store, t)))

    def _show_state(self, words: str, mood: str) -> None:
        self.state.show_text(words)
        if self._theme is not None and self._shown_state != mood:
            self._shown_state = mood
            colours = {"good": self._theme.good, "suspect": self._theme.suspect, "bad": self._theme.bad}
            self.state.setStyleSheet(f"color: {colours.get(mood, self._theme.muted)};")


def answer_words(verdict: Verdict) -> str:
    """Return the likeliest emotion with its probability; where it is no answer, that comes first.

    The end is cut where there is little room.
    """
    if not math.isfinite(verdict.probability):
        return verdict.label
    words = f"{one_line(verdict.likeliest, 24)} {100 * verdict.probability:.0f} %"
    return words if verdict.state == "certain" else f"{verdict.state}: {words}"


def model_words(model: ModelInfo) -> str:
    """Return what a model was trained on, its size and where it runs."""
    size = f"preset {one_line(model.preset, 40)}, {model.n_parameters:,} parameters"
    words = f"Trained on {one_line(model.trained_on, 120)}; {size}; runs on {one_line(model.device, 60)}"
    return words.replace("<", "‹")  # Qt takes a tooltip for rich text where it looks like markup


def state_words(store: ViewStore, playback: Playback) -> str:
    """Return whether the newest data are shown, and otherwise since when not."""
    if store.phase.name in ("failed", "ended"):
        return {"failed": "■ STOPPED", "ended": "■ AT THE END"}[store.phase.name]
    if store.phase.name in ("loading", "looking for streams") or not store.mode:
        return f"… {store.phase.message or store.phase.name}"
    if store.is_silent:
        return "■ NO ANSWER"
    if playback.is_replay:
        if playback.is_going_on:
            return f"▶ REPLAY {speed_text(playback.speed)}"
        return "‖ REPLAY held"
    if playback.is_going_on:
        return "● LIVE"
    behind = store.newest_time - playback.time
    return f"‖ held {clock_text(behind)} ago; still acquiring" if math.isfinite(behind) else "‖ held"


def _mood(store: ViewStore, playback: Playback) -> str:
    if store.phase.name == "failed" or store.is_silent:
        return "bad"
    if store.phase.name not in ("running", "paused"):
        return "waiting"
    return "good" if playback.is_going_on else "suspect"


def recording_words(store: ViewStore) -> str:
    """Return how the recording goes, "" without one."""
    recording = store.health.recording if store.health is not None else None
    is_over = store.phase.name in ("failed", "ended")
    if recording is None or is_over or recording.state in ("stopped", "failed"):
        return ""
    if recording.state != "recording":
        return f"● {recording.state} the recording"
    return f"● REC {clock_text(recording.duration_s)}, {data_size(recording.n_bytes)}"
