"""The commands of `assets/commands.toml` as menus, keys, toolbar and the list under F1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PyQt6.QtCore import QEvent, QKeyCombination, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QAction, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QLabel, QLineEdit, QMenuBar, QSizePolicy, QToolBar, QToolButton, QWidget

from acquisition.text import parse_toml
from app.qt.widgets import there
from assets import COMMANDS as COMMANDS_FILE
from models.config import built


@dataclass(frozen=True)
class Command:
    """A command of the window.

    ``plain`` keys have no modifier and act only where the focused control does not use them: Space still
    presses a focused button, and Left still moves in a text.
    """

    keys: tuple[str, ...]
    explanation: str
    name: str = ""  # of the handler, see `app.qt.shell.window`
    text: str = ""  # with mnemonic
    short: str = ""  # on its button
    checkable: bool = False
    plain: bool = False


def commands_of(table: str) -> dict[str, tuple[Command, ...]]:
    """Return the commands of a table of ``assets/commands.toml``."""
    groups = parse_toml(COMMANDS_FILE.read_bytes())[table]
    return {name: tuple(built(Command, one, name) for one in of) for name, of in groups.items()}


MENUS = commands_of("menus")
#: Keys that one panel takes, with what a list of keys says of them.
OF_PANELS = (
    (("O",), "Occlusion check", "Why", "check the newest window"),
    (("+", "-"), "Larger or smaller traces", "Signals", "change the gain of the EEG traces, once clicked"),
    (("0",), "Automatic gain", "Signals", "leave the gain to the data, once the traces are clicked"),
)
COMMANDS = tuple(command for commands in MENUS.values() for command in commands)
BY_NAME = {command.name: command for command in COMMANDS}


def plain_text(command: Command) -> str:
    """Return a command's text without mnemonic and dots."""
    return command.text.replace("&", "").removesuffix("…")


def make_actions(owner: QWidget, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """Return an action for every command; its keys act in ``owner``."""
    actions = {}
    for command in COMMANDS:
        action = QAction(command.text, owner)
        action.setCheckable(command.checkable)
        action.setToolTip(f"{command.explanation.capitalize()} ({', '.join(command.keys)})")
        action.setStatusTip(command.explanation)
        action.setIconText(command.short or plain_text(command))
        if command.plain:
            action.setText(f"{command.text}\t{command.keys[0]}")  # shown; `PlainKeys` makes it work
        else:
            action.setShortcuts([QKeySequence(keys) for keys in command.keys])
        action.triggered.connect(lambda _checked=False, call=handlers[command.name]: call())
        owner.addAction(action)
        actions[command.name] = action
    return actions


def fill_menus(bar: QMenuBar, actions: Mapping[str, QAction]) -> None:
    for title, commands in MENUS.items():
        menu = there(bar.addMenu(f"&{title}"))
        menu.setToolTipsVisible(True)
        for command in commands:
            menu.addAction(actions[command.name])


def pressed_keys(event: QKeyEvent) -> int:
    return QKeyCombination(event.modifiers(), event.keyCombination().key()).toCombined()


class PlainKeys:
    """Keys without modifier, which reach the window only where the focused control does not use them."""

    def __init__(self, actions: Mapping[str, QAction]) -> None:
        self._actions = {
            QKeySequence(keys)[0].toCombined(): actions[command.name]
            for command in COMMANDS
            if command.plain
            for keys in command.keys
        }

    def take(self, event: QKeyEvent) -> bool:
        """Do what the key means; return whether it means anything."""
        action = self._actions.get(pressed_keys(event))
        if action is None or not action.isEnabled():
            return False
        action.trigger()
        return True


_GROUPS = (
    ("choose_streams", "choose_model", "choose_profile", "calibrate", "open_recording"),
    ("record",),
    ("mask_eeg", "mask_eye", "mask_face", "mask_voice"),
    ("switch_theme", "show_shortcuts"),
)


class ToolBar(QToolBar):
    """Buttons for the most common commands, and the field for notes."""

    def __init__(self, actions: Mapping[str, QAction], on_note: Callable[[str], None]) -> None:
        super().__init__("Commands")
        self.setObjectName("toolbar")
        self.setMovable(False)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        for group in _GROUPS:
            if "mask_eeg" in group:
                label = QLabel(" Mask: ")
                label.setProperty("muted", "true")
                self.addWidget(label)
            for name in group:
                self.addAction(actions[name])
                button = self.widgetForAction(actions[name])
                if isinstance(button, QToolButton):
                    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                    button.setAccessibleName(actions[name].toolTip())
            self.addSeparator()
        self.note = NoteField(on_note, actions)
        self.addWidget(self.note)
        for command in MENUS["Markers"]:
            self.addAction(actions[command.name])


_MAX_NOTE = 500
_INVITATION = "Note: Enter sends it"
_REFUSAL = "Notes can be sent in a live session only"
_CONFIRMED_MS = 3000
#: Keys of commands that move by words within a text.
_OF_TEXT = ("Ctrl+Left", "Ctrl+Right")


class NoteField(QLineEdit):
    """Takes one line; Enter sends it, Enter and Escape return the focus to the view.

    Keys of commands with Ctrl or Alt work while a note is typed.
    """

    left = pyqtSignal()  # the focus shall go elsewhere

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
        self.setToolTip("Press Enter to send the note as an LSL marker (Ctrl+N)" if allowed else _REFUSAL)
        self._invite()

    def event(self, event: QEvent | None) -> bool:
        """Leave the keys of commands to them: a line editor also uses Ctrl+E and Ctrl+K."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.ShortcutOverride:
            return super().event(event)
        if QKeySequence(event.keyCombination()).toString() not in self._of_commands:
            return super().event(event)
        event.ignore()
        return False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave the field on Escape; its text stays."""
        if event is not None and event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def _send(self) -> None:
        text = " ".join(self.text().split())
        self.clear()
        if text:
            self._on_note(text)
            self.confirm(text)
        self.left.emit()

    def confirm(self, text: str) -> None:
        """Say for some seconds that a note or marker was sent."""
        self.setPlaceholderText(f"Sent: {text}")
        self._confirmed.start(_CONFIRMED_MS)

    def _invite(self) -> None:
        self.setPlaceholderText(_INVITATION if self.isEnabled() else _REFUSAL)
