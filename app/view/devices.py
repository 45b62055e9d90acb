"""What the modalities and their devices are called, and what to do when one is missing or silent."""

from __future__ import annotations

from dataclasses import dataclass

from acquisition.types import KIND_OF_MODALITY, Kind

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
