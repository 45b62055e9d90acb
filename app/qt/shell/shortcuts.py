"""Everything the window can do, with its keys; menus, toolbar and the list under F1 come from this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One thing to do.

    ``plain`` keys have no modifier: they act only where the focused control has no use for them, so that
    Space still presses a focused button and Left still moves in a text.
    """

    name: str  # of the handler, see `app.qt.shell.actions`
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
        "unplug_eeg",
        "Unplug &EEG",
        ("Ctrl+1",),
        "Unplug",
        "mask EEG, to rehearse its loss",
        True,
        short="EEG",
    ),
    Command("unplug_eye", "Unplug e&yes", ("Ctrl+2",), "Unplug", "mask the eye tracker", True, short="Eyes"),
    Command("unplug_face", "Unplug &face", ("Ctrl+3",), "Unplug", "mask the camera", True, short="Face"),
    Command("unplug_voice", "Unplug &voice", ("Ctrl+4",), "Unplug", "mask the voice", True, short="Voice"),
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
