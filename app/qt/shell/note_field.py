"""The field for a note, which goes out as a marker and into the recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PyQt6.QtCore import QEvent, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QAction, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QLineEdit, QSizePolicy

_MAX_NOTE = 500
_INVITATION = "Note: Enter sends it as a marker"
_REFUSAL = "Notes need a running live session"
_CONFIRMED_MS = 3000
#: Keys of commands that are worth more within a text: to move by words.
_OF_TEXT = ("Ctrl+Left", "Ctrl+Right")


class NoteField(QLineEdit):
    """Takes one line; Enter sends it, Enter and Escape give the keys back to the view.

    Parameters
    ----------
    on_note : callable
        Gets the text of a note.
    actions : mapping
        Commands, whose keys with Ctrl or Alt are theirs also while a note is typed.

    Signals
    -------
    left
        The keys are wanted elsewhere.
    """

    left = pyqtSignal()

    def __init__(self, on_note: Callable[[str], None], actions: Mapping[str, QAction]) -> None:
        super().__init__()
        self._on_note = on_note
        self._of_commands = {
            keys.toString() for action in actions.values() for keys in action.shortcuts()
        } - set(_OF_TEXT)
        self._confirmed = QTimer(self)
        self._confirmed.setSingleShot(True)
        self._confirmed.timeout.connect(self._invite)
        self.setAccessibleName("Note, sent as an LSL marker")
        self.setMaxLength(_MAX_NOTE)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.returnPressed.connect(self._send)
        self.allow(False)

    def allow(self, allowed: bool) -> None:
        """Let notes be typed, or say why not."""
        if self.isEnabled() == allowed and self.toolTip():
            return
        self.setEnabled(allowed)
        self.setToolTip("Enter sends the note as an LSL marker (Ctrl+N)" if allowed else _REFUSAL)
        self._invite()

    def event(self, event: QEvent | None) -> bool:
        """Leave the keys of commands to them: a line editor has uses of its own for Ctrl+E and Ctrl+K."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.ShortcutOverride:
            return super().event(event)
        if QKeySequence(event.keyCombination()).toString() not in self._of_commands:
            return super().event(event)
        event.ignore()
        return False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Give up on Escape; what was typed stays."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def _send(self) -> None:
        text = " ".join(self.text().split())
        self.clear()
        if text:
            self._on_note(text)
            self.setPlaceholderText(f"Note sent: {text}")
            self._confirmed.start(_CONFIRMED_MS)
        self.left.emit()

    def _invite(self) -> None:
        self.setPlaceholderText(_INVITATION if self.isEnabled() else _REFUSAL)
