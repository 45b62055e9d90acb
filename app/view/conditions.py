"""What is wrong or worth knowing, in words with a remedy, as the banners over the window's tabs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from acquisition.types import KIND_OF_MODALITY, Kind
from app.engine.messages import DAMAGED, Phase
from app.telemetry import StreamState
from app.view.machine import ROOM_ALARM_S
from app.view.store import ViewStore
from app.view.text import age, message_line, one_line

#: A live session names a missing device only after this: streams open one after the other.
_SETTLED_S = 6.0


@dataclass(frozen=True)
class Condition:
    """Something the person at the screen should know.

    ``actions`` are names in `app.qt.shell.commands`, offered as buttons.
    """

    key: str  # the same condition has the same key
    severity: str  # error | warning | info
    text: str
    remedy: str = ""
    actions: tuple[str, ...] = ()
    can_be_closed: bool = True
    title: str = ""  # stands over the text where that is long


def conditions(store: ViewStore) -> list[Condition]:
    """Return everything that holds now, the gravest first."""
    found = [*_of_session(store), *_of_streams(store), *_of_failures(store), *_of_recording(store)]
    found += [*_of_devices(store), *_of_data(store), *_of_model(store)]
    return sorted(found, key=lambda condition: ("error", "warning", "info").index(condition.severity))


def calibration_conditions(store: ViewStore) -> list[Condition]:
    """Return what goes wrong during a guided calibration, whose own screens say all the rest."""
    found = [*_of_silence(store), *_of_streams(store), *_of_failures(store), *_of_recording(store)]
    return [replace(condition, actions=()) for condition in found if condition.severity != "info"]


def _of_session(store: ViewStore) -> list[Condition]:
    phase = store.phase
    if phase.name == "failed":
        text, title = message_line(phase.message, LONGEST), stop_title(phase, store.mode)
        return [Condition("engine", "error", text, "", ways_out(phase), can_be_closed=False, title=title)]
    if phase.name == "ended":
        if store.mode == "replay":
            remedy = "Space plays it once more, the bar below goes to any moment"
            return [Condition("engine", "info", "The recording is at its end.", remedy, ("open_recording",))]
        return [Condition("engine", "info", "The session has ended.", _line(phase.message), ("start_again",))]
    return _of_silence(store)


def _of_silence(store: ViewStore) -> list[Condition]:
    if store.is_silent:
        text = f"The engine has not answered for {age(store.silent_s)}: nothing shown here is of now."
        remedy = "wait a little: is the computer overloaded? Or start it again"
        return [Condition("silent", "error", text, remedy, ("start_again",), can_be_closed=False)]
    return []


def _of_streams(store: ViewStore) -> list[Condition]:
    return [
        condition for state in store.streams.values() if (condition := _of_stream(state, store)) is not None
    ]


def _of_stream(state: StreamState, store: ViewStore) -> Condition | None:
    name = _line(state.spec.name)
    if state.state == "stale":
        silent = age(store.last_known_time - state.since)
        remedy = "check the device and its program; it is taken up again by itself when it returns"
        text = f"{name} fell silent {silent} ago; its modality is masked"
        return Condition(f"stream {state.spec.key}", "warning", text, remedy)
    if state.state == "refused":
        text = f"{name} is refused: {_line(state.message)}"
        remedy = "give the device its earlier settings, or choose the streams anew"
        return Condition(f"stream {state.spec.key}", "error", text, remedy, ("choose_streams",))
    return None


def _of_failures(store: ViewStore) -> list[Condition]:
    by_stage = {failure.stage: failure for failure in store.failures}
    recording = store.health.recording if store.health is not None else None
    if recording is not None and recording.state == "failed":  # which its own condition says
        said = f"{recording.path.name}: {recording.message}"
        by_stage = {stage: failure for stage, failure in by_stage.items() if failure.error != said}
    return [
        Condition(
            f"failure {stage}",
            "error",
            f"{stage} failed: {_line(failure.error)}",
            _untouched(stage, store),
            ("start_again",) if stage in ("acquisition", "decoding") else (),
        )
        for stage, failure in by_stage.items()
    ]


def _untouched(stage: str, store: ViewStore) -> str:
    """Return what goes on in spite of a failure."""
    if stage != "recording":
        return ""
    recording = store.health.recording if store.health is not None else None
    if recording is not None and recording.state in ("starting", "recording"):
        return f"{recording.path.name} is still being recorded"
    return "the session goes on without the recording"


def _of_recording(store: ViewStore) -> list[Condition]:
    recording = store.health.recording if store.health is not None else None
    if recording is None:
        return []
    if recording.state == "failed":
        ended = "is not recorded any more" if recording.n_bytes else "was not recorded"
        text = f"{recording.path.name} {ended}: {_line(recording.message)}"
        remedy = "what was written can be read" if recording.n_bytes else ""
        return [Condition("recording", "error", text, remedy, ("record",))]
    if recording.state == "recording" and recording.room_s < ROOM_ALARM_S:
        text = f"The disk of {recording.path.name} is full in {age(recording.room_s)}"
        return [Condition("disk", "warning", text, "free some space, or stop and record to another disk")]
    if recording.state == "stopped":
        return [Condition(f"recorded {recording.path}", "info", f"Recorded: {recording.path}")]
    return []


def _of_devices(store: ViewStore) -> list[Condition]:
    """Name devices that a live session runs without."""
    if store.mode != "live" or store.phase.name != "running" or not _has_settled(store):
        return []
    missing = [modality for modality, kind in KIND_OF_MODALITY.items() if store.stream_of(kind) is None]
    if not missing:
        return []
    names = ", ".join(device_of(modality).name for modality in missing)
    remedy = device_of(missing[0]).if_missing if len(missing) == 1 else "look for devices with Streams"
    text = f"No {names}: decoding goes on without"
    return [Condition(f"missing {names}", "info", text, remedy, ("choose_streams",))]


def _of_data(store: ViewStore) -> list[Condition]:
    """Name damage of a recording, which its reader reports as warnings."""
    warnings = [text for _, text, severity in store.events if severity == "warning"]
    damage = [text.removeprefix(DAMAGED) for text in warnings if text.startswith(DAMAGED)]
    if store.mode != "replay" or not damage:
        return []
    more = f" (and {len(damage) - 1} more places)" if len(damage) > 1 else ""
    text = f"The recording is damaged: {_line(damage[0])}{more}"
    remedy = "what can be read is replayed; see: affectscope inspect"
    return [Condition("damage", "warning", text, remedy)]


def _of_model(store: ViewStore) -> list[Condition]:
    found = []
    if store.model is not None and store.model.warning:
        text = f"{_line(store.model.warning[0].upper() + store.model.warning[1:])}."
        found.append(
            Condition(
                "profile", "warning", text, "calibrate anew, or go on without it", ("choose_profile",), False
            )
        )
    if store.model is not None and store.model.is_simulated:
        text = "Trained on simulated data: the output says nothing of a real person."
        if store.is_simulated:
            text = f"{_what_is_simulated(store)}. {text}"
        found.append(Condition("simulated", "info", text, can_be_closed=False))
    elif store.is_simulated:
        text = f"{_what_is_simulated(store)}."
        if not store.real_streams:
            text = f"{text[:-1]}: no real person and no real device is involved."
        found.append(Condition("simulated", "info", text, can_be_closed=False))
    return found


def _what_is_simulated(store: ViewStore) -> str:
    if not store.real_streams:
        return "All data here is simulated"
    return f"All data here but {', '.join(map(one_line, store.real_streams))} is simulated"


def _has_settled(store: ViewStore) -> bool:
    since = [state.since for state in store.streams.values() if state.spec.kind is not Kind.MARKERS]
    return bool(since) and store.last_known_time - min(since) > _SETTLED_S


def _line(text: str) -> str:
    return message_line(text)


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


_STATES = {"stale": "silent", "ended": "ended", "refused": "refused"}


def stream_note(store: ViewStore, kind: Kind, t: float) -> str:
    """Return what a panel of that kind of stream should say at ``t``; empty when all is well.

    Of a moment before the stream fell silent nothing is said: what was there then is shown.
    """
    device = DEVICES[kind]
    stream = store.stream_of(kind)
    if stream is None:
        return _absence(store, device)
    if stream.state == "open" or t < stream.since:
        return ""
    said = f"{device.signal} stream {_STATES[stream.state]}"
    return f"{said}: {message_line(stream.message)}" if stream.message else said


def _absence(store: ViewStore, device: Device) -> str:
    phase, name = store.phase.name, device.signal
    if phase in ("failed", "ended"):
        return f"no {name} stream: the session has {phase}"
    if phase not in ("running", "paused"):
        return f"no {name} stream yet: {phase}"
    if store.mode == "replay":
        return f"this recording has no {name} stream"
    return f"no {name} stream: {device.if_missing}"


MODALITY_WORDS = {"eeg": "EEG", "eye": "eyes", "face": "face", "voice": "voice"}


@dataclass(frozen=True)
class Device:
    """What sends a modality's stream."""

    name: str
    signal: str  # what it sends
    if_missing: str
    if_silent: str


DEVICES = {
    Kind.EEG: Device(
        "EEG",
        "EEG",
        "start the amplifier's LSL app, then Streams",
        "check the amplifier, its battery and its cable",
    ),
    Kind.GAZE: Device(
        "eye tracker",
        "gaze",
        "start the eye tracker's LSL app, then Streams",
        "check the eye tracker and its cable",
    ),
    Kind.VIDEO: Device(
        "camera",
        "webcam",
        "publish a camera under Streams",
        "check the camera's cable, and that no other program holds the camera",
    ),
    Kind.AUDIO: Device(
        "microphone",
        "microphone",
        "publish a microphone under Streams",
        "check the microphone's cable, and that it is not muted",
    ),
}


def device_of(modality: str) -> Device:
    """Return the device of a modality."""
    return DEVICES[KIND_OF_MODALITY[modality]]
