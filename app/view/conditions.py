"""Messages with a remedy: the banners, and the notices of signal panels.

Everything here is decided by states and codes; nothing reads a sentence.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from acquisition.errors import ErrorCode
from acquisition.stream_words import DEVICES, offer_words
from acquisition.text import age
from acquisition.types import KIND_OF_MODALITY, Kind
from app.engine.messages import REST_S, Phase
from app.telemetry import STATE_WORDS, StreamState
from app.view.health import ROOM_ALARM_S
from app.view.store import ViewStore
from app.view.text import message_line, one_line
from assets import words
from models.prediction import SHOWN, names_expression

SEVERITIES = ("error", "warning", "info")  # the gravest first
#: Characters of a message; a shorter limit would cut the remedy.
LONGEST = 1500
#: A live session names a missing device only after this: streams open one after the other.
_SETTLED_S = 6.0
_LEVEL_KNOWN_TRIALS = 4.0  # a running level is worth no less than one from a rest then


@dataclass(frozen=True)
class Condition:
    """A message to the user.

    ``actions`` are names in `app.qt.shell.commands`, offered as buttons.
    """

    key: str  # the same condition has the same key
    severity: str  # error | warning | info
    text: str
    remedy: str = ""
    actions: tuple[str, ...] = ()
    can_be_closed: bool = True
    title: str = ""  # stands over the text where that is long
    details: str = ""  # of an internal error: its traceback, to be copied
    close: str = "Close"  # what its closing is called


def conditions(store: ViewStore) -> list[Condition]:
    """Return everything that holds now, the gravest first."""
    of_streams = (_of_streams, _of_failures, _of_recording, _of_unmapped, _of_offers)
    parts = (_of_session, *of_streams, _of_rest, _of_check, _of_devices, _of_damage, _of_model)
    found = (condition for part in parts for condition in part(store))
    return sorted(found, key=lambda condition: SEVERITIES.index(condition.severity))


def calibration_conditions(store: ViewStore) -> list[Condition]:
    """Return what goes wrong during a guided calibration; its own screens say the rest."""
    parts = (_of_silence, _of_streams, _of_failures, _of_recording)
    found = (condition for part in parts for condition in part(store))
    return [replace(condition, actions=()) for condition in found if condition.severity != "info"]


_STOPS = words("stops")
_NUMBERS = {2: "Two", 3: "Three", 4: "Four"}


def stop_title(phase: Phase, mode: str) -> str:
    """Return a title for what stopped a session; its mode is empty if it never started."""
    if phase.code is None:
        return "Internal error: the engine stopped"
    if phase.code is ErrorCode.AMBIGUOUS_STREAM:
        n, modality = phase.facts.get("n_streams", "Several"), str(phase.facts.get("modality", ""))
        name = DEVICES[KIND_OF_MODALITY[modality]].name if modality in KIND_OF_MODALITY else modality
        return f"{_NUMBERS.get(n, n) if isinstance(n, int) else n} {name} streams: choose one"
    if phase.code in _STOPS:
        return str(_STOPS[phase.code]["title"])
    return "The session stopped" if mode else "The session cannot start"


def _of_session(store: ViewStore) -> Iterator[Condition]:
    phase, said = store.phase, message_line(store.phase.message, LONGEST)
    if phase.name == "failed":
        title, helps = stop_title(phase, store.mode), _STOPS.get(phase.code or "", {"actions": ()})["actions"]
        ways = ["choose_streams"] if phase.code is ErrorCode.AMBIGUOUS_STREAM else helps
        actions = (*ways, "start_again")
        yield Condition("engine", "error", said, "", actions, can_be_closed=False, title=title)
    elif phase.name == "ended" and store.mode == "replay":
        remedy = "press Space to play it again, or choose a time in the bar below"
        actions = ("show_summary", "open_recording")
        yield Condition("engine", "info", "End of the recording.", remedy, actions)
    elif phase.name == "ended":
        actions = ("show_summary", "start_again")
        yield Condition("engine", "info", "The session has ended.", message_line(phase.message), actions)
    elif phase.name == "waiting":
        words = message_line(phase.message)
        remedy = "start its LSL app, publish a device, or choose the streams"
        text = f"{words[:1].upper()}{words[1:]}"
        yield Condition("engine", "info", text, remedy, ("choose_streams",), can_be_closed=False)
    else:
        yield from _of_silence(store)


def _of_silence(store: ViewStore) -> Iterator[Condition]:
    if store.is_silent:
        text = f"No response from the engine for {age(store.silent_s)}: the display is out of date."
        remedy = "wait if the computer is busy, or restart the session"
        yield Condition("silent", "error", text, remedy, ("start_again",), can_be_closed=False)


def _of_streams(store: ViewStore) -> Iterator[Condition]:
    for state in store.streams.values():
        name, key = message_line(state.spec.name), f"stream {state.spec.key}"
        if state.state == "stale":
            silent = age(store.last_known_time - state.since)
            remedy = "check the device and its LSL app; it will reconnect automatically"
            text = f"No data from {name} for {silent}: its modality is masked"
            yield Condition(key, "warning", text, remedy)
        elif state.state == "refused":
            text = f"{name} cannot be used: {message_line(state.message)}"
            remedy = "restart it with its original settings, or choose the streams again"
            yield Condition(key, "error", text, remedy, ("choose_streams",))


def _of_failures(store: ViewStore) -> Iterator[Condition]:
    by_stage = {failure.stage: failure for failure in store.failures}
    recording = store.recording
    if recording is not None and recording.state == "failed":
        by_stage.pop("recording", None)  # which its own condition says
    for stage, failure in by_stage.items():
        remedy = ""
        if stage == "recording":
            goes_on = recording is not None and recording.state in ("starting", "recording")
            kept = f"{recording.path.name} is still being recorded" if recording is not None else ""
            remedy = kept if goes_on else "the session continues without recording"
        actions = ("start_again",) if stage in ("acquisition", "decoding") else ()
        text = f"{stage} failed: {message_line(failure.error)}"
        yield Condition(f"failure {stage}", "error", text, remedy, actions)


def _of_recording(store: ViewStore) -> Iterator[Condition]:
    if (recording := store.recording) is None:
        return
    name = recording.path.name
    if recording.state == "failed":
        what, remedy = f"{name} was not recorded", ""
        if recording.n_bytes:
            what, remedy = f"Recording to {name} stopped", "what was written is readable"
        text = f"{what}: {message_line(recording.message)}"
        yield Condition("recording", "error", text, remedy, ("record",))
    elif recording.state == "recording" and recording.room_s < ROOM_ALARM_S:
        text = f"The disk holding {name} will be full in {age(recording.room_s)}"
        yield Condition("disk", "warning", text, "free some space, or record to another disk")
    elif recording.state == "stopped":
        yield Condition(f"recorded {recording.path}", "info", f"Recorded: {recording.path}")


def _of_offers(store: ViewStore) -> Iterator[Condition]:
    """Offer streams that have appeared: to be added, or to be chosen among."""
    for rivals, actions in ((False, ("add_stream",)), (True, ("choose_streams",))):
        offers = [offer for offer in store.offers if bool(offer.n_rivals) is rivals]
        named = (
            (one_line(o.header.name, 60), o.modality, o.n_rivals, one_line(o.replaces, 60)) for o in offers
        )
        text = "; ".join(offer_words(*given, joins=False) for given in named)
        key = f"offers {' '.join(offer.uid for offer in offers)}"
        if offers:
            yield Condition(key, "info", text, "", actions, close="Not now")


def _of_devices(store: ViewStore) -> Iterator[Condition]:
    """Name devices that a live session runs without."""
    since = [state.since for state in store.streams.values() if state.spec.kind is not Kind.MARKERS]
    has_settled = store.last_known_time - min(since, default=math.inf) > _SETTLED_S
    kinds = [KIND_OF_MODALITY[modality] for modality in store.modalities]
    offered = {offer.kind for offer in store.offers}
    missing = [DEVICES[kind] for kind in kinds if store.stream_of(kind) is None and kind not in offered]
    if store.is_live and has_settled and missing:
        names = ", ".join(device.name for device in missing)
        remedy = missing[0].if_missing if len(missing) == 1 else "open Streams to look for devices"
        text = f"No {names}: decoding continues without {'it' if len(missing) == 1 else 'them'}"
        yield Condition(f"missing {names}", "info", text, remedy, ("choose_streams",))


def can_rest(store: ViewStore) -> bool:
    """Tell whether a rest would set the level: live, of EEG or eyes, and without a profile, which has it."""
    if store.model is None or store.model.profile or not {"eeg", "eye"} & {*store.model.modalities}:
        return False
    if store.shown_only is not None and store.stream_of(Kind.GAZE) is None:
        return False  # nothing to rest for
    return store.is_live


def _of_rest(store: ViewStore) -> Iterator[Condition]:
    """Offer a rest at the start of a session with a participant, and say how long one still lasts."""
    if not can_rest(store):
        return
    if left_s := store.health.rest_left_s if store.health is not None else 0.0:
        text = f"Rest: {left_s:.0f} s left. Sit still and look ahead, with open eyes"
        yield Condition("resting", "info", text, actions=("stop_rest",), can_be_closed=False)
        return
    newest = store.predictions.newest
    is_known = newest is not None and (
        newest.normalisation.startswith("baseline") or newest.level_trials > _LEVEL_KNOWN_TRIALS
    )
    if not is_known and (store.real_streams or not store.is_simulated):
        text = f"Rest for {REST_S:.0f} s to set this participant's level: answers are surer with it"
        yield Condition("rest", "info", text, "", ("start_rest",), close="Skip")


def can_report(store: ViewStore) -> bool:
    return store.is_live and store.model is not None


def _of_check(store: ViewStore) -> Iterator[Condition]:
    """Remind of the self-check's next question."""
    if can_report(store) and store.health is not None and store.health.check_due:
        text = "Self-check: what does the participant feel now? Their answer is compared with the one shown"
        yield Condition("self-check", "info", text, "", ("self_report",), close="Later")


def why_shown_only(shown: StreamState) -> str:
    name = one_line(shown.spec.name, 40)
    if shown.spec.kind is Kind.EEG:
        return f"the channels of {name} are not mapped to electrodes"
    return f"no EEG, eye, face or voice stream is used; the signals of {name} are shown"


def _of_unmapped(store: ViewStore) -> Iterator[Condition]:
    """Say which stream is shown and not decoded, and offer to map its channels."""
    shown = store.shown_only
    if shown is not None and store.phase.name != "failed":
        is_eeg = shown.spec.kind is Kind.EEG
        text = f"Not decoded, shown only: {why_shown_only(shown)}"
        ways = ("map_channels",) if is_eeg else ("choose_streams",)
        yield Condition("unmapped", "warning" if is_eeg else "info", text, "", ways)


def _of_damage(store: ViewStore) -> Iterator[Condition]:
    if damage := store.timeline.damage if store.timeline is not None else ():
        more = f" (and {len(damage) - 1} more places)" if len(damage) > 1 else ""
        text = f"The recording is damaged: {message_line(damage[0])}{more}"
        remedy = "the readable parts are replayed; for details: affectscope inspect FILE"
        yield Condition("damage", "warning", text, remedy)


def simulated_names(store: ViewStore) -> list[str]:
    return [one_line(stream.spec.name, 40) for stream in store.streams.values() if stream.spec.is_simulated]


def _of_model(store: ViewStore) -> Iterator[Condition]:
    model = store.model
    if model is not None and model.warning:
        text = f"{message_line(model.warning[0].upper() + model.warning[1:])}."
        remedy, actions = "calibrate again, or continue without the profile", ("choose_profile",)
        yield Condition("profile", "warning", text, remedy, actions, can_be_closed=False)
    words = []
    if store.is_simulated and store.real_streams:
        real = f"not simulated: {', '.join(map(one_line, store.real_streams))}"
        words.append(f"Simulated: {', '.join(simulated_names(store)) or 'all other data'}; {real}.")
    elif store.is_simulated:
        words.append("All data are simulated: no real participant or device is involved.")
    if model is not None and model.is_simulated:
        words.append("Model trained on simulated data: the output is not valid for real people.")
    if words:
        yield Condition("simulated", "info", " ".join(words), can_be_closed=False)
    if model is not None and names_expression(model.modalities):
        yield Condition("expression", "info", SHOWN, can_be_closed=False)


def stream_note(store: ViewStore, kind: Kind, t: float) -> str:
    """Return what a panel of that kind of stream should say at ``t``; empty when all is well.

    Nothing is said of a time before the stream fell silent: its data are shown.
    """
    device = DEVICES[kind]
    stream = store.stream_of(kind) or (store.shown_only if kind is Kind.EEG else None)
    if stream is None:
        phase, name = store.phase.name, device.name
        if store.is_over:
            return f"no {name} stream: the session has {phase}"
        if phase not in ("running", "paused"):
            return f"no {name} stream yet: {message_line(store.phase.message) or phase}"
        is_replay = store.mode == "replay"
        return (
            f"this recording has no {name} stream" if is_replay else f"no {name} stream: {device.if_missing}"
        )
    last = stream.since + (store.eeg.bin_s if kind is Kind.EEG else 0.0)  # as drawn
    if stream.state == "open" or t <= last:
        return ""
    said = f"{device.name} stream {STATE_WORDS[stream.state]}"
    return f"{said}: {message_line(stream.message)}" if stream.message else said
