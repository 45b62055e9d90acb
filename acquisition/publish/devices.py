"""Which cameras and microphones there are, and how a user names one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import InputError
from acquisition.publish.camera import import_cv2
from acquisition.publish.sound import import_sounddevice

_N_INDICES = 10


@dataclass(frozen=True)
class CameraDevice:
    """A camera that OpenCV can open."""

    index: int
    width: int  # px
    height: int  # px
    fps: float  # as the driver states it; 0 where it does not


@dataclass(frozen=True)
class MicrophoneDevice:
    """A sound input that PortAudio lists."""

    index: int
    name: str
    host: str  # ALSA, Core Audio, Windows WASAPI, ...
    n_channels: int
    sfreq: float  # Hz, the device's own
    is_default: bool


def list_cameras() -> list[CameraDevice]:
    """Open the first ten camera indices one after the other and return those that answer.

    Raises
    ------
    InputError
        If OpenCV is missing.
    """
    cv2 = import_cv2()
    cameras = []
    for index in range(_N_INDICES):
        if sys.platform == "linux" and not Path(f"/dev/video{index}").exists():
            continue  # saves OpenCV's attempts with every backend it has
        camera = cv2.VideoCapture(index)
        if camera.isOpened():
            width, height = (
                int(camera.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            )
            cameras.append(CameraDevice(index, width, height, float(camera.get(cv2.CAP_PROP_FPS))))
        camera.release()
    return cameras


def list_microphones() -> list[MicrophoneDevice]:
    """Return the sound inputs that PortAudio lists.

    Raises
    ------
    InputError
        If sounddevice or PortAudio is missing.
    """
    sounddevice = import_sounddevice()
    hosts = sounddevice.query_hostapis()
    default = sounddevice.default.device[0]
    return [
        MicrophoneDevice(
            index=index,
            name=device["name"],
            host=hosts[device["hostapi"]]["name"],
            n_channels=int(device["max_input_channels"]),
            sfreq=float(device["default_samplerate"]),
            is_default=index == default,
        )
        for index, device in enumerate(sounddevice.query_devices())
        if device["max_input_channels"] > 0
    ]


def camera_from_text(text: str) -> int | Path:
    """Return what ``--webcam TEXT`` means: a device index or a file.

    Raises
    ------
    InputError
        If it is neither a number nor an existing file.
    """
    if text.isdigit():
        return int(text)
    if not Path(text).is_file():
        raise InputError(
            f"expected a camera's number or a video file, got {text!r}",
            where="webcam",
            remedy="see `affectscope publish webcam --list`",
        )
    return Path(text)


def microphone_from_text(text: str) -> int | str | Path:
    """Return what ``--microphone TEXT`` means: a device index, a file, or a (part of a) device's name."""
    if text.isdigit():
        return int(text)
    path = Path(text)
    # A mistyped file name should be called that, and not an unknown microphone.
    if path.is_file() or path.suffix.lower() == ".wav":
        return path
    return text
