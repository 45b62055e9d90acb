"""The row of buttons over the tabs, and the field for notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QLabel, QLineEdit, QSizePolicy, QToolBar, QToolButton

_UNPLUG = ("unplug_eeg", "unplug_eye", "unplug_face", "unplug_voice")
_GROUPS = (
    ("choose_streams", "choose_model", "choose_profile", "calibrate", "open_recording"),
    ("record",),
    _UNPLUG,
)
_LAST = ("switch_theme", "show_shortcuts")
_MAX_NOTE = 500


class ToolBar(QToolBar):
    """Buttons for the commonest commands, in words.

    Parameters
    ----------
    actions : mapping
        By name.
    on_note : callable
        Gets the text of a note.
    """

    def __init__(self, actions: Mapping[str, QAction], on_note: Callable[[str], None]) -> None:
        super().__init__("Commands")
        self.setObjectName("toolbar")
        self.setMovable(False)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        for group in _GROUPS:
            if group == _UNPLUG:
                label = QLabel(" Unplug: ")
                label.setProperty("muted", "true")
                self.addWidget(label)
            self._add(actions, group)
            self.addSeparator()
        self.note = QLineEdit()
        self.note.setPlaceholderText("Note: Enter sends it as a marker")
        self.note.setAccessibleName("Note, sent as an LSL marker")
        self.note.setMaxLength(_MAX_NOTE)
        self.note.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.note.returnPressed.connect(self._send)
        self.addWidget(self.note)
        self.addSeparator()
        self._add(actions, _LAST)
        self._on_note = on_note

    def allow_notes(self, allowed: bool) -> None:
        """Let notes be typed, or say why not."""
        if self.note.isEnabled() == allowed and self.note.toolTip():
            return
        self.note.setEnabled(allowed)
        self.note.setToolTip(
            "Enter sends the note as an LSL marker (Ctrl+N)"
            if allowed
            else "Notes need a running live session"
        )

    def _add(self, actions: Mapping[str, QAction], names: tuple[str, ...]) -> None:
        for name in names:
            self.addAction(actions[name])
            button = self.widgetForAction(actions[name])
            if isinstance(button, QToolButton):
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                button.setAccessibleName(actions[name].toolTip())

    def _send(self) -> None:
        text = " ".join(self.note.text().split())
        self.note.clear()
        if text:
            self._on_note(text)
