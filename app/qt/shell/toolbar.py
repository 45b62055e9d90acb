"""The row of buttons over the tabs, and the field for notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QLabel, QToolBar, QToolButton

from app.qt.shell.note_field import NoteField

_UNPLUG = ("unplug_eeg", "unplug_eye", "unplug_face", "unplug_voice")
_GROUPS = (
    ("choose_streams", "choose_model", "choose_profile", "calibrate", "open_recording"),
    ("record",),
    _UNPLUG,
)
_LAST = ("switch_theme", "show_shortcuts")


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
        self._add(actions, _LAST)
        self.addSeparator()
        self.note = NoteField(on_note, actions)
        self.addWidget(self.note)

    def allow_notes(self, allowed: bool) -> None:
        """Let notes be typed, or say why not."""
        self.note.allow(allowed)

    def _add(self, actions: Mapping[str, QAction], names: tuple[str, ...]) -> None:
        for name in names:
            self.addAction(actions[name])
            button = self.widgetForAction(actions[name])
            if isinstance(button, QToolButton):
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                button.setAccessibleName(actions[name].toolTip())
