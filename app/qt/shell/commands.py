"""Everything the window can do, with its keys; menus, toolbar and the list under F1 come from this table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PyQt6.QtCore import QEvent, QKeyCombination, QPointF, QRectF, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QAction, QColor, QIcon, QKeyEvent, QKeySequence, QPainter, QPixmap, QPolygonF
from PyQt6.QtWidgets import QLabel, QLineEdit, QMenuBar, QSizePolicy, QToolBar, QToolButton, QWidget

from app.qt.theme import Theme


@dataclass(frozen=True)
class Command:
    """One thing to do.

    ``plain`` keys have no modifier: they act only where the focused control has no use for them, so that
    Space still presses a focused button and Left still moves in a text.
    """

    name: str  # of the handler, see `app.qt.shell.commands`
    text: str  # with mnemonic
    keys: tuple[str, ...]
    menu: str
    explanation: str
    checkable: bool = False
    plain: bool = False
    short: str = ""  # on the toolbar


COMMANDS: tuple[Command, ...] = (
    Command("choose_streams", "&Streams…", ("Ctrl+E",), "Session", "choose streams, montage and mains"),
    Command("choose_model", "&Model…", ("Ctrl+M",), "Session", "choose the model"),
    Command("choose_profile", "&Profile…", ("Ctrl+P",), "Session", "choose a person's profile"),
    Command(
        "calibrate",
        "&Calibrate…",
        ("Ctrl+K",),
        "Session",
        "make a profile of a person, in a window of its own",
    ),
    Command("record", "&Record…", ("Ctrl+R",), "Session", "start or stop the recording"),
    Command("write_note", "Write a &note", ("Ctrl+N",), "Session", "write a note, sent as an LSL marker"),
    Command("open_recording", "&Open recording…", ("Ctrl+O",), "Session", "replay an XDF file", short="Open"),
    Command("start_again", "Start &again", ("F5",), "Session", "start the engine anew"),
    Command("quit", "&Quit", ("Ctrl+Q",), "Session", "close the window"),
    Command(
        "mask_eeg",
        "Mask &EEG",
        ("Ctrl+1",),
        "Mask",
        "mask EEG, to rehearse its loss",
        True,
        short="EEG",
    ),
    Command("mask_eye", "Mask e&yes", ("Ctrl+2",), "Mask", "mask the eye tracker", True, short="Eyes"),
    Command("mask_face", "Mask &face", ("Ctrl+3",), "Mask", "mask the camera", True, short="Face"),
    Command("mask_voice", "Mask &voice", ("Ctrl+4",), "Mask", "mask the voice", True, short="Voice"),
    Command(
        "toggle", "&Hold or go on", ("Space",), "Time", "hold the view or a replay, or go on", plain=True
    ),
    Command("step_back", "One prediction &back", ("Left",), "Time", "show the prediction before", plain=True),
    Command("step_on", "One prediction &on", ("Right",), "Time", "show the next prediction", plain=True),
    Command("jump_back", "Ten seconds b&ack", ("PgUp",), "Time", "go ten seconds back", plain=True),
    Command("jump_on", "Ten seconds o&n", ("PgDown",), "Time", "go ten seconds on", plain=True),
    Command("last_mark", "&Previous mark", ("Ctrl+Left",), "Time", "go to the event or gap before"),
    Command("next_mark", "Ne&xt mark", ("Ctrl+Right",), "Time", "go to the next event or gap"),
    Command("to_start", "&Oldest moment", ("Home",), "Time", "go to the oldest moment", plain=True),
    Command("to_end", "&Live, newest moment", ("End",), "Time", "follow the newest data", plain=True),
    Command("slower", "&Slower", ("Ctrl+-",), "Time", "replay more slowly"),
    Command("faster", "&Faster", ("Ctrl++", "Ctrl+="), "Time", "replay faster"),
    Command("show_now", "&Now", ("Alt+1",), "View", "the emotion and how far to trust it"),
    Command("show_why", "&Why", ("Alt+2",), "View", "the model's weights, and what they rest on"),
    Command("show_signals", "&Signals", ("Alt+3",), "View", "EEG, eyes, face and voice"),
    Command("show_health", "H&ealth", ("Alt+4",), "View", "streams, electrodes, latency and machine"),
    Command("switch_theme", "&Light or dark", ("Ctrl+L",), "View", "change the colours", short="Theme"),
    Command(
        "scale_up",
        "&Larger",
        ("Ctrl+Shift+Up",),
        "View",
        "scale the window up, to 200 %, from the next start on",
    ),
    Command(
        "scale_down",
        "S&maller",
        ("Ctrl+Shift+Down",),
        "View",
        "scale the window down, to 100 %, from the next start on",
    ),
    Command("full_screen", "&Full screen", ("F11",), "View", "fill the screen", True),
    Command("show_shortcuts", "&Keys", ("F1",), "Help", "list all keys", short="Help"),
    Command("show_notice", "&Intended use", ("Shift+F1",), "Help", "what this program is for, and what not"),
)
BY_NAME = {command.name: command for command in COMMANDS}
MENUS = tuple(dict.fromkeys(command.menu for command in COMMANDS))


def plain_text(command: Command) -> str:
    """Return a command's text without mnemonic and dots."""
    return command.text.replace("&", "").removesuffix("…")


def make_actions(owner: QWidget, handlers: Mapping[str, Callable[[], object]]) -> dict[str, QAction]:
    """Return an action for every command, with its keys and explanation.

    Parameters
    ----------
    owner : QWidget
        In whose window the keys act.
    handlers : mapping
        What each command does, by name.
    """
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
    """Put every action into its menu."""
    for title in MENUS:
        menu = bar.addMenu(f"&{title}")
        assert menu is not None
        menu.setToolTipsVisible(True)
        for command in COMMANDS:
            if command.menu == title:
                menu.addAction(actions[command.name])


class PlainKeys:
    """Keys without modifier, which reach the window only when the focused control has no use for them."""

    def __init__(self, actions: Mapping[str, QAction]) -> None:
        self._actions = {
            QKeySequence(keys)[0].toCombined(): actions[command.name]
            for command in COMMANDS
            if command.plain
            for keys in command.keys
        }

    def take(self, event: QKeyEvent) -> bool:
        """Do what the key means; return whether it means anything."""
        pressed = QKeyCombination(event.modifiers(), event.keyCombination().key()).toCombined()
        action = self._actions.get(pressed)
        if action is None or not action.isEnabled():
            return False
        action.trigger()
        return True


_MASKS = ("mask_eeg", "mask_eye", "mask_face", "mask_voice")
_GROUPS = (
    ("choose_streams", "choose_model", "choose_profile", "calibrate", "open_recording"),
    ("record",),
    _MASKS,
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
            if group == _MASKS:
                label = QLabel(" Mask: ")
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


_SIZE = 64  # drawn large: Qt scales it down to any screen


def icon(name: str, theme: Theme) -> QIcon:
    """Return the picture ``play``, ``hold``, ``back``, ``on``, ``start``, ``end``, ``record`` or ``stop``."""
    made = QIcon()
    for mode, colour in ((QIcon.Mode.Normal, theme.text), (QIcon.Mode.Disabled, theme.stale)):
        pixmap = QPixmap(_SIZE, _SIZE)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colour))
        _draw(painter, name)
        painter.end()
        made.addPixmap(pixmap, mode)
    return made


def _draw(painter: QPainter, name: str) -> None:
    if name == "play":
        painter.drawPolygon(_triangle(18, 50, 1))
    elif name == "hold":
        painter.drawRect(QRectF(16, 12, 11, 40))
        painter.drawRect(QRectF(37, 12, 11, 40))
    elif name in ("back", "start"):
        painter.drawPolygon(_triangle(48, 18, -1))
        painter.drawRect(QRectF(12, 14, 5, 36) if name == "start" else QRectF(50, 14, 5, 36))
    elif name in ("on", "end"):
        painter.drawPolygon(_triangle(16, 46, 1))
        painter.drawRect(QRectF(47, 14, 5, 36) if name == "end" else QRectF(9, 14, 5, 36))
    elif name == "record":
        painter.drawEllipse(QRectF(14, 14, 36, 36))
    elif name == "stop":
        painter.drawRect(QRectF(15, 15, 34, 34))


def _triangle(base: float, tip: float, direction: int) -> QPolygonF:
    assert (tip - base) * direction > 0
    return QPolygonF([QPointF(base, 12), QPointF(base, 52), QPointF(tip, 32)])
