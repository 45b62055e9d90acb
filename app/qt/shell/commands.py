"""The commands of the window in one table; menus, keys, toolbar and the list under F1 are made from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PyQt6.QtCore import QEvent, QKeyCombination, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QAction, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QLabel, QLineEdit, QMenuBar, QSizePolicy, QToolBar, QToolButton, QWidget


@dataclass(frozen=True)
class Command:
    """A command of the window.

    ``plain`` keys have no modifier and act only where the focused control does not use them: Space still
    presses a focused button, and Left still moves in a text.
    """

    name: str  # of the handler, see `app.qt.shell.window`
    text: str  # with mnemonic
    keys: tuple[str, ...]
    explanation: str
    short: str = ""  # on its button
    checkable: bool = False
    plain: bool = False


MENUS: dict[str, tuple[Command, ...]] = {
    "Session": (
        Command("choose_streams", "&Streams…", ("Ctrl+E",), "choose streams, of the file in a replay"),
        Command(
            "add_stream", "A&dd new streams", ("Ctrl+Shift+A",), "let streams that have appeared join", "Add"
        ),
        Command("map_channels", "Ch&annel mapping…", ("Ctrl+Shift+E",), "map EEG channels to electrodes"),
        Command("choose_model", "&Model…", ("Ctrl+M",), "choose the model"),
        Command("choose_profile", "&Profile…", ("Ctrl+P",), "choose a participant's profile"),
        Command("calibrate", "&Calibrate…", ("Ctrl+K",), "calibrate a participant in a separate window"),
        Command(
            "start_rest", "Start a res&t", ("Ctrl+B",), "rest for 60 s, which sets the participant's level"
        ),
        Command("stop_rest", "Stop t&he rest", ("Ctrl+Shift+B",), "end the rest early"),
        Command("self_report", "Sel&f-report…", ("Ctrl+J",), "say what is felt now, to check the answers"),
        Command(
            "undo_update",
            "&Undo the update",
            ("Ctrl+Shift+J",),
            "return to the model before self-reports updated it",
        ),
        Command("record", "&Record…", ("Ctrl+R",), "start or stop the recording"),
        Command("write_note", "Write a &note", ("Ctrl+N",), "write a note, sent as an LSL marker"),
        Command("open_recording", "&Open recording…", ("Ctrl+O",), "replay a recording", "Open"),
        Command("settings", "Settin&gs…", ("Ctrl+,",), "mains, screen, lateness, thresholds, marker keys"),
        Command("show_summary", "Summar&y…", ("Ctrl+Y",), "what the session came to so far", "Summary"),
        Command("stop", "En&d the session", ("Ctrl+D",), "end the live session; the window stays open"),
        Command("start_again", "R&estart", ("Ctrl+F5",), "restart the session with a new engine"),
        Command("quit", "&Quit", ("Ctrl+Q",), "close the window"),
    ),
    "Mask": (
        Command("mask_eeg", "Mask &EEG", ("Ctrl+1",), "mask EEG to simulate its loss", "EEG", True),
        Command("mask_eye", "Mask e&yes", ("Ctrl+2",), "mask the eye tracker", "Eyes", True),
        Command("mask_face", "Mask &face", ("Ctrl+3",), "mask the camera", "Face", True),
        Command("mask_voice", "Mask &voice", ("Ctrl+4",), "mask the microphone", "Voice", True),
        Command("choose_electrodes", "E&lectrodes…", ("Ctrl+5",), "mark electrodes bad, or hide them"),
    ),
    "Markers": tuple(
        Command(
            f"mark_{n}", f"Marker &{n}", (f"F{n + 4}",), "send it as an LSL marker, named in the settings"
        )
        for n in range(1, 5)
    ),
    "Time": (
        Command("toggle", "Pause or &resume", ("Space",), "pause or resume the view", "‖", plain=True),
        Command("step_back", "Previous pre&diction", ("Left",), "go one prediction back", "◀|", plain=True),
        Command("step_on", "Next pred&iction", ("Right",), "go one prediction forward", "|▶", plain=True),
        Command("jump_back", "Ten seconds &back", ("PgUp",), "go back ten seconds", plain=True),
        Command("jump_on", "Ten seconds &forward", ("PgDown",), "go forward ten seconds", plain=True),
        Command("last_mark", "&Previous mark", ("Ctrl+Left",), "go to the previous event or gap"),
        Command("next_mark", "Ne&xt mark", ("Ctrl+Right",), "go to the next event or gap"),
        Command("to_start", "&Oldest data", ("Home",), "go to the oldest data", "|◀", plain=True),
        Command("to_end", "&Latest data", ("End",), "follow the latest data", "▶|", plain=True),
        Command("slower", "&Slower", ("Ctrl+-",), "replay more slowly"),
        Command("faster", "F&aster", ("Ctrl++", "Ctrl+="), "replay faster"),
    ),
    "View": (
        Command("show_now", "&Now", ("Alt+1",), "emotion, probabilities and how far to trust them"),
        Command("show_why", "&Why", ("Alt+2",), "attention and the occlusion check"),
        Command("show_signals", "&Signals", ("Alt+3",), "EEG, eyes, face and voice"),
        Command("show_health", "H&ealth", ("Alt+4",), "streams, electrodes, latency and computer"),
        Command("switch_theme", "&Light or dark", ("Ctrl+L",), "switch between light and dark", "Theme"),
        Command(
            "scale_up", "La&rger", ("Ctrl+Shift+Up",), "larger (up to 200 %), takes effect at next start"
        ),
        Command("scale_down", "S&maller", ("Ctrl+Shift+Down",), "smaller, takes effect at next start"),
        Command("full_screen", "&Full screen", ("F11",), "full screen on or off", checkable=True),
    ),
    "Help": (
        Command("show_shortcuts", "&Keyboard shortcuts", ("F1",), "list all keyboard shortcuts", "Help"),
        Command("show_notice", "&Intended use", ("Shift+F1",), "what this program is and is not for"),
    ),
}
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
        menu = bar.addMenu(f"&{title}")
        assert menu is not None
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
