"""What devices and the faults of streams are called, and what to do, for windows, commands and reports."""

import math
from dataclasses import dataclass

from acquisition.quality import StreamFault, StreamFinding
from acquisition.text import age
from acquisition.types import Kind


@dataclass(frozen=True)
class Device:
    """What sends a modality's stream."""

    name: str
    if_missing: str
    if_silent: str


DEVICES = {
    Kind.EEG: Device(
        "EEG",
        "start the amplifier's LSL app, then open Streams or restart",
        "check the amplifier's battery, cable and LSL app",
    ),
    Kind.GAZE: Device(
        "eye tracker",
        "start the eye tracker's LSL app, then open Streams or restart",
        "check the eye tracker's cable and LSL app",
    ),
    Kind.VIDEO: Device(
        "webcam",
        "publish a webcam under Streams, or with affectscope publish webcam",
        "check the webcam's cable, and that no other program uses it",
    ),
    Kind.AUDIO: Device(
        "microphone",
        "publish a microphone under Streams, or with affectscope publish microphone",
        "check the microphone's cable, and that it is not muted",
    ),
}


@dataclass(frozen=True)
class FaultWords:
    """A finding of `judge_stream` in words."""

    state: str  # a word or two, for a table
    finding: str  # a clause with its figure
    remedy: str


#: State, clause and remedy; silent streams take the remedy of their device.
_WORDS = {
    StreamFault.DISCONNECTED: ("silent", "disconnected, no sample{since}", ""),
    StreamFault.SILENT: ("silent", "no sample{since}", ""),
    StreamFault.STANDS_STILL: ("silent", "samples arrive, but timestamps do not advance", ""),
    StreamFault.NO_SAMPLE: ("no data yet", "no sample yet, {seconds} after it opened", "wait a moment"),
    StreamFault.BEHIND: (
        "behind",
        "{seconds} of samples behind",
        "close other programs, or check the network",
    ),
    StreamFault.OFF_RATE: (
        "off rate",
        "{percent:.0f} % {side} its nominal rate",
        "check the device's sampling rate and its link",
    ),
    StreamFault.LOSSES: (
        "losses",
        "{percent:.1f} % of its samples are missing",
        "use a cable, or move closer",
    ),
    StreamFault.OTHER_CLOCK: (
        "other clock",
        "its timestamps are {figure:.2g} s from LSL time; they may be Unix time",
        "set the LSL app to LSL timestamps",
    ),
    StreamFault.STEPS_BACK: (
        "steps back",
        "{percent:.1f} % of its samples have timestamps that step back",
        "restart the LSL app",
    ),
}


def fault_words(finding: StreamFinding, kind: Kind) -> FaultWords:
    """Return a finding in words, for a stream of that kind."""
    state, clause, remedy = _WORDS[finding.fault]
    figure = finding.figure
    said = clause.format(
        figure=figure,
        seconds=age(figure),
        since=f" for {age(figure)}" if math.isfinite(figure) else "",
        percent=100 * abs(figure),
        side="below" if figure < 0 else "above",
    )
    if not remedy:
        look_at = DEVICES[kind].if_silent if kind in DEVICES else "check the sending LSL app"
        remedy = f"{look_at}; it will reconnect automatically"
    return FaultWords(state, said, remedy)
