"""Which cameras and microphones there are, and how a user names one."""

from __future__ import annotations

import contextlib
import getpass
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from acquisition.clock import LslClock
from acquisition.errors import InputError
from acquisition.process import start_detached
from acquisition.publish.capture import publisher_source_id
from acquisition.publish.microphone import import_sounddevice
from acquisition.publish.webcam import import_cv2

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


_IDLE_LIMIT_S = 600.0
_POLL_S = 0.05


def control_folder() -> Path:
    """Return the folder of this user's publishers, made if need be."""
    folder = Path(tempfile.gettempdir()) / f"affectscope-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@dataclass
class PublisherProcess:
    """A running publisher, started or taken over."""

    kind: str
    device: str
    source_id: str
    control: Path  # its files, less their suffix
    process: subprocess.Popen[bytes] | None  # None where it was taken over
    foreign: bool = False  # published by somebody else, who also ends it
    _n_read: int = field(default=0, repr=False)

    @property
    def running(self) -> bool:
        """True until it has ended."""
        if self.process is not None:
            return self.process.poll() is None
        return self.foreign or self.control.with_suffix(".json").exists()

    @property
    def exit_code(self) -> int | None:
        """0 good, 2 the device cannot be used; None while it runs or where it was taken over."""
        return self.process.poll() if self.process is not None else None

    def messages(self) -> list[str]:
        """Return the sentences it has said since the last call; never waits."""
        try:
            with self.control.with_suffix(".log").open("rb") as log:
                log.seek(self._n_read)
                content = log.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._n_read += len(whole)
        # liblsl logs to the same place; its lines carry a level between bars.
        lines = whole.decode("utf-8", "replace").splitlines()
        return [line for line in lines if line and "|" not in line]

    def stop(self, timeout_s: float = 5.0) -> None:
        """End it, by force where it does not react; a publisher that the user started is left alone."""
        if self.foreign:
            return
        self.control.with_suffix(".stop").touch()
        clock = LslClock()
        deadline = clock.now() + timeout_s
        while self.running and clock.now() < deadline:
            clock.wait_until(clock.now() + _POLL_S)
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _tidy(self.control)


def start_publisher(
    kind: str,
    device: str,
    *,
    name: str = "",
    fps: float = 0.0,
    loop: bool = False,
    idle_limit_s: float = _IDLE_LIMIT_S,
) -> PublisherProcess:
    """Start a publisher, or take over the one that already publishes this device. Takes about 1 s.

    Parameters
    ----------
    kind : str
        ``"webcam"`` or ``"microphone"``.
    device : str
        As the user writes it: a number, ``"default"``, a name or a file.
    name, fps, loop
        As in `publish_webcam` and `publish_microphone`.
    idle_limit_s : float
        It ends when nobody has listened for this long.

    Raises
    ------
    InputError
        If ``device`` names nothing possible. What only the device itself can tell (it is not there,
        PortAudio is missing) comes as a message, with ``exit_code`` 2.
    """
    parsed = camera_from_text(device) if kind == "webcam" else microphone_from_text(device)
    source_id = publisher_source_id(kind, parsed)
    control = control_folder() / source_id.replace(".", "_")  # dots would look like suffixes
    if _is_published(source_id):
        foreign = not control.with_suffix(".json").exists()
        return PublisherProcess(kind, device, source_id, control, None, foreign)
    _tidy(control)
    arguments = [kind, str(parsed.absolute()) if isinstance(parsed, Path) else device]
    arguments += ["--control", str(control), "--idle-limit", str(idle_limit_s)]
    if name:
        arguments += ["--name", name]
    if fps and kind == "webcam":
        arguments += ["--fps", str(fps)]
    if loop:
        arguments.append("--loop")
    process = start_detached("acquisition.publish", arguments, control.with_suffix(".log"))
    return PublisherProcess(kind, device, source_id, control, process)


def stop_publishers(timeout_s: float = 3.0) -> list[str]:
    """End every detached publisher of this user, and return what they published."""
    records = {}
    for record in control_folder().glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            records[record] = json.loads(record.read_text(encoding="utf-8"))
            record.with_suffix(".stop").touch()
    clock = LslClock()
    deadline = clock.now() + timeout_s
    while any(record.exists() for record in records) and clock.now() < deadline:
        clock.wait_until(clock.now() + _POLL_S)
    stopped = [record for record in records if not record.exists()]
    for record in set(records) - set(stopped):
        _tidy(record.with_suffix(""))  # left by a process that was killed
    return [
        f"{content['kind']} {content['device']} (process {content['pid']})"
        for content in (records[record] for record in stopped)
    ]


def _is_published(source_id: str) -> bool:
    from pylsl import resolve_bypred

    return bool(resolve_bypred(f"source_id='{source_id}'", 1, 1.0))


def _tidy(control: Path) -> None:
    for suffix in (".json", ".stop", ".log"):
        with contextlib.suppress(OSError):  # Windows keeps an open log
            control.with_suffix(suffix).unlink(missing_ok=True)
