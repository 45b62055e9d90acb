"""Why a session stopped, named by its kind, and which commands of the window mend it."""

from __future__ import annotations

import re

from app.engine.messages import Phase
from app.view.devices import MODALITY_WORDS

#: A remedy that is cut helps nobody: so many characters are some lines of the narrowest window.
LONGEST = 1500

_NUMBERS = {"2": "Two", "3": "Three", "4": "Four"}


def stop_title(phase: Phase, mode: str) -> str:
    """Return what kind of thing ended the session, and what is asked for.

    Parameters
    ----------
    phase : Phase
        Of name ``failed``.
    mode : str
        Of the store: empty where the session never began.
    """
    message = phase.message
    if several := re.search(r"(\d+) streams fit (\w+)", message):
        number, modality = several.groups()
        words = "gaze" if modality == "eye" else MODALITY_WORDS.get(modality, modality)
        return f"{_NUMBERS.get(number, number)} {words} streams: choose one"
    if "no EEG, eye, face or voice stream" in message:
        return "No stream was found: start a device, or choose the streams"
    if re.search(r"no stream has|carries no|is chosen twice", message):
        return "A chosen stream is not there or does not fit: choose the streams anew"
    if not phase.is_mendable:
        return "The engine stopped"
    if _is_of_recording(message):
        return "This recording cannot be replayed"
    if _is_of_model(message):
        return "This model cannot be used"
    return "The session cannot begin" if not mode else "The session stopped"


def ways_out(phase: Phase) -> tuple[str, ...]:
    """Return the names of the commands that may help, the likeliest first."""
    message = phase.message.lower()
    ways = []
    if re.search(r"stream|montage|channel", message) and not _is_of_recording(phase.message):
        ways.append("choose_streams")
    if _is_of_model(phase.message):
        ways.append("choose_model")
    if re.search(r"file|recording|xdf", message):
        ways.append("open_recording")
    return (*ways, "start_again")


def _is_of_recording(message: str) -> bool:
    return re.search(r"\.xdf(z|\.gz)?\b|no XDF file", message) is not None


def _is_of_model(message: str) -> bool:
    return re.search(r"\bmodel\b|config\.json|safetensors", message) is not None
