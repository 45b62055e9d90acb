"""The signs that are always in sight: that emotions are inferred, which moment is shown, what is recorded."""

from __future__ import annotations

import math

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QWidget

from app.engine.messages import ModelInfo
from app.qt.shell.playback import Playback, speed_text
from app.qt.theme import Theme
from app.view.clock_text import clock_text
from app.view.figures import data_size
from app.view.plain_text import one_line
from app.view.store import ViewStore

INFERENCE_SIGN = "Emotion inference active"


class Header(QWidget):
    """Signs in words, in the corner beside the tabs."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = self._label("sign", "Emotions are being inferred; people exposed must be told so")
        self.sign.setText(INFERENCE_SIGN)
        self.state = self._label("state", "Which moment the window shows")
        self.recording = self._label("recording", "The recording")
        self.model = self._label("model", "The model in use")
        self.model.setProperty("muted", "true")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 2, 8, 2)
        row.setSpacing(10)
        for label in (self.model, self.recording, self.state, self.sign):
            row.addWidget(label)
        self._theme: Theme | None = None
        self._shown_state = ""

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme, self._shown_state = theme, ""
        self.sign.setStyleSheet(f"color: {theme.text}; background: {theme.surface};")
        self.recording.setStyleSheet(f"color: {theme.bad}; font-weight: 600;")

    def refresh(self, store: ViewStore, playback: Playback) -> None:
        """Show what holds."""
        self._show_state(state_words(store, playback), _mood(store, playback))
        recording = recording_words(store)
        _set(self.recording, recording)
        self.recording.setVisible(bool(recording))
        if store.model is not None:
            text = f"Model: {one_line(store.model.name, 40)}"
            _set(self.model, text)
            self.model.setToolTip(model_words(store.model))

    def _show_state(self, words: str, mood: str) -> None:
        _set(self.state, words)
        if self._theme is not None and self._shown_state != mood:
            self._shown_state = mood
            colours = {"good": self._theme.good, "suspect": self._theme.suspect, "bad": self._theme.bad}
            self.state.setStyleSheet(f"color: {colours.get(mood, self._theme.muted)};")

    def _label(self, name: str, meaning: str) -> QLabel:
        label = QLabel()
        label.setObjectName(name)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setAccessibleName(meaning)
        label.setToolTip(meaning)
        return label


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


def _set(label: QLabel, text: str) -> None:
    if label.text() != text:
        label.setText(text)
