"""Device processes whose content is known, sample by sample: ``python -m app.certify.devices SPEC``.

Sample i of a stream lies at ``start + i / sfreq`` on the LSL clock whatever happened before, so that a
process that was killed and started again leaves a hole of known length. The samples carry their own index: a
channel of EEG and gaze, a comment in each JPEG, a number in each marker; sound repeats a table whose place is
the index. Every `EVENT_S` a marker, a white frame, a click in the sound and a step of gaze share one time.

Commands come in as lines of JSON: ``{"open": true}`` opens the stream, ``{"fault": NAME, "value": V}`` begins
a fault and with null ends it. The end of the input ends the process: none outlives what started it.
"""

from __future__ import annotations

import base64
import json
import math
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import LslClock
from acquisition.header import make_info
from acquisition.lsl.outlet import open_outlet
from acquisition.publish.capture import Capture, DeviceFeed, DeviceReader
from acquisition.publish.webcam import LOST_S
from acquisition.simulator.source import SEED_CH_NAMES, SimulatorOptions, signal_buffer
from acquisition.text import say_json

_LIMITS = {"silent_s": LOST_S, "frozen_s": LOST_S}
EVENT_S = 2.0
TABLE_S = 4.0  # after which the content, but for the index, repeats
TICK_S = 0.02
FPS = 15.0
_CLICK, _WHITE = 30_000, 200  # of 32,767 and of 255; nothing else in sound or picture reaches them
_GAZE = (  # label, type and unit
    ("gaze_x", "ScreenX", "normalized"), ("gaze_y", "ScreenY", "normalized"),
    ("pupil_left", "Diameter", "mm"), ("pupil_right", "Diameter", "mm"),
    ("validity", "Confidence", "normalized"), ("index", "FrameNumber", ""),
)  # fmt: skip
WIDE_FORMATS = ("float32", "double64", "int32", "int64")  # that hold the index of hours
_DTYPES = {"float32": "f4", "double64": "f8", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8"}
RATES = {"eeg": 250.0, "gaze": 60.0, "video": FPS, "audio": 16_000.0, "markers": 1 / EVENT_S}
TYPES = {"eeg": "EEG", "gaze": "Gaze", "video": "VideoCompressed", "audio": "Audio", "markers": "Markers"}


@dataclass(frozen=True)
class Device:
    """One stream of a device process."""

    kind: str  # eeg | gaze | video | audio | markers
    source_id: str
    start: float  # LSL seconds of its sample 0
    sfreq: float
    n_channels: int = 8  # of EEG, the index among them
    fmt: str = "float32"  # of EEG
    key: str = ""  # where there are several of a kind

    @property
    def name(self) -> str:
        return f"Certify {self.key or self.kind}"


def table_of(kind: str, sfreq: float, n_channels: int = 8) -> NDArray[Any]:
    """Return `TABLE_S` of a stream's content without the index, (n_samples, n_columns); clicks included."""
    n = round(TABLE_S * sfreq)
    if kind == "eeg":
        signals = signal_buffer("eeg", SimulatorOptions(schedule="neutral:3600").person()).take(4000)
        at = np.arange(n) * 4000 // n
        return signals[at][:, np.arange(n_channels - 1) % signals.shape[1]].astype(np.float32)
    behaviour = SimulatorOptions(schedule="neutral:3600").person()
    if kind == "gaze":
        signals = signal_buffer("gaze", behaviour).take(n).astype(np.float32)
        signals[:, 0] = np.where(np.arange(n) % round(EVENT_S * sfreq) < sfreq * EVENT_S / 2, 0.3, 0.7)
        signals[:, 4] = 1.0
        return signals
    sound = np.clip(signal_buffer("audio", behaviour).take(n) * 32767, -20_000, 20_000)
    for event in range(0, n, round(EVENT_S * sfreq)):
        sound[event : event + 32] = _CLICK
    return np.round(sound).astype(np.int16)


def as_sent(values: NDArray[Any], fmt: str) -> NDArray[Any]:
    """Return values in a stream's format; integers too large for it wrap around."""
    dtype = np.dtype(_DTYPES[fmt])
    if dtype.kind == "f":
        return values.astype(dtype)
    return np.round(np.nan_to_num(values)).astype(np.int64).astype(dtype)


def is_click(sound: NDArray[Any]) -> NDArray[np.bool_]:
    loud = np.abs(sound[:, 0].astype(np.int32)) >= _CLICK
    return loud & ~np.concatenate([[False], loud[:-1]])


def jpeg_index(jpeg: bytes) -> int:
    """Return the index in a frame's comment, -1 where there is none."""
    found = re.search(rb"certify (\d{12})", jpeg)
    return int(found[1]) if found else -1


def is_flash(jpeg: bytes) -> bool:
    import cv2

    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    return picture is not None and float(picture.mean()) >= _WHITE


def _frames() -> list[bytes]:
    import cv2

    from acquisition.simulator.face import DrawnFace

    cv2.setNumThreads(1)
    face = DrawnFace(SimulatorOptions(schedule="neutral:3600").person())
    pictures = [face.picture(at / FPS) for at in range(round(TABLE_S * FPS))]
    for at in range(0, len(pictures), round(EVENT_S * FPS)):
        pictures[at] = np.full_like(pictures[at], 255)
    return [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes() for one in pictures]


class _Content:
    """Makes the samples of a stream; ``faults`` are those of the values."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._frames = _frames() if device.kind == "video" else []
        signals = device.kind in ("eeg", "gaze", "audio")
        self._table = table_of(device.kind, device.sfreq, device.n_channels) if signals else np.empty((0, 0))

    def samples(self, index: NDArray[np.int64], faults: dict[str, Any]) -> Any:
        """Return the samples ``index``, as an outlet of the stream's format takes them."""
        kind = self._device.kind
        if kind == "markers":
            return [f"certify/{i}" for i in index]
        if kind == "video":
            return [self._frame(int(i), faults) for i in index]
        values = self._table[index % len(self._table)].astype(np.float64)
        if "constant" in faults or "frozen" in faults:
            values[:] = self._table[0]
        for name, value in (("nan", math.nan), ("inf", math.inf), ("railed", 32_000.0)):
            if name in faults:
                values[:] = value
        if kind == "audio":
            return np.nan_to_num(values, posinf=32_767.0).astype(np.int16)
        columns = [index[:, None], values] if kind == "eeg" else [values, index[:, None]]
        return as_sent(np.hstack(columns), self._device.fmt if kind == "eeg" else "float32")

    def _frame(self, index: int, faults: dict[str, Any]) -> str:
        frame = self._frames[(1 if faults.keys() & {"frozen", "constant"} else index) % len(self._frames)]
        if faults.keys() & {"nan", "inf", "railed"}:  # what a broken camera sends: no picture at all
            frame = frame[:2] + b"\xff\xfe\x00\x04xx"
        comment = b"certify %012d" % index
        length = (len(comment) + 2).to_bytes(2, "big")
        return base64.b64encode(frame[:2] + b"\xff\xfe" + length + comment + frame[2:]).decode("ascii")


def _info(device: Device) -> Any:
    channels: list[tuple[str, str, str]] = []
    if device.kind == "eeg":
        names = (*SEED_CH_NAMES, *(f"X{i}" for i in range(device.n_channels)))[: device.n_channels - 1]
        channels = [("SampleIndex", "counter", "count"), *((name, "EEG", "microvolts") for name in names)]
    elif device.kind == "gaze":
        channels = [*_GAZE]
    fields = ("label", "type", "unit")
    desc: dict[str, Any] = {"manufacturer": "Affectscope certify (simulated data)", "simulated": "true"}
    desc["channels"] = {"channel": [dict(zip(fields, one, strict=True)) for one in channels]}
    if device.kind == "video":
        desc["encoding"] = {"codec": "jpeg", "transfer": "base64", "width": 320, "height": 240}
        desc["synchronization"] = {"can_drop_samples": "true"}
    fmt = {"eeg": device.fmt, "gaze": "float32", "audio": "int16"}.get(device.kind, "string")
    sfreq = 0.0 if device.kind in ("markers", "video") else device.sfreq
    described = (device.name, TYPES[device.kind], fmt, device.source_id)
    return make_info(*described, n_channels=len(channels) or 1, sfreq=sfreq, desc=desc)


class _Reader(DeviceReader):
    """A camera or microphone that delivers what it is handed."""

    def _capture(self) -> str:
        self._closed.wait()
        return ""

    def deliver(self, stamps: NDArray[np.float64], samples: Any, is_same: bool) -> None:
        """Deliver one capture, whose content is that of the one before where ``is_same``."""
        newest = float(stamps[-1])
        self._deliver(Capture(newest, (stamps, samples), 0 if is_same else hash(newest)))


class _Sender:
    """Pushes a stream's samples when they are due, as its faults say; picture and sound as publishers do."""

    def __init__(self, device: Device, content: _Content, tell: Callable[..., None]) -> None:
        self._device, self._content = device, content
        self._outlet = open_outlet(_info(device), max_buffered=60)
        self._clock = LslClock()
        self._rng = np.random.default_rng(1)
        self._since: dict[str, float] = {}
        now = self._clock.now()
        self._n_sent = max(0, math.ceil((now - device.start) * device.sfreq))
        self._feed: DeviceFeed | None = None
        if device.kind in ("video", "audio"):
            self._feed = DeviceFeed(device.name, self._open, lambda words: tell(report=words), "", **_LIMITS)
        tell(did="opened")

    def push_due(self, now: float, faults: dict[str, Any]) -> None:
        for name in faults.keys() - self._since.keys():
            self._since[name] = now
        self._since = {name: at for name, at in self._since.items() if name in faults}
        due = now - float(faults.get("late", 0.0)) - self._device.start
        stop = math.floor(due * self._device.sfreq) + 1
        if self._feed is not None:
            for capture in self._feed.take(now):
                self._push(capture.data[1], capture.data[0])
        if stop <= self._n_sent:
            return
        index = np.arange(self._n_sent, stop)
        self._n_sent = stop
        if "silent" in faults:
            return
        stamps = self._device.start + index / self._device.sfreq
        samples = self._content.samples(index, faults)
        if "disorder" in faults and len(index) > 3:
            order = np.concatenate([[1, 0], np.arange(2, len(index))])
            stamps, samples = stamps[order], [samples[i] for i in order]
        stamps = self._stamped(stamps, faults)
        for _ in range(2 if "duplicate" in faults else 1):
            if self._feed is None:
                self._push(samples, stamps)
            else:
                self._reader.deliver(stamps, samples, "frozen" in faults)

    def _open(self) -> _Reader:
        self._reader = _Reader(self._device.name, n_kept=1000)
        return self._reader

    def _stamped(self, stamps: NDArray[np.float64], faults: dict[str, Any]) -> NDArray[np.float64]:
        stamps = stamps + float(faults.get("step", 0.0))
        if "drift" in faults:
            stamps += (stamps - self._since["drift"]) * float(faults["drift"]) * 1e-6
        if "jitter" in faults:
            stamps += self._rng.normal(0.0, float(faults["jitter"]), len(stamps))
        if "unix" in faults:
            stamps -= self._clock.unix_offset()
        return np.full_like(stamps, np.nan) if "nan_stamps" in faults else stamps

    def _push(self, samples: Any, stamps: NDArray[np.float64]) -> None:
        if isinstance(samples, list) and samples and isinstance(samples[0], str):
            for text, stamp in zip(samples, stamps, strict=True):
                self._outlet.push_sample([text], float(stamp))
        else:
            self._outlet.push_chunk(np.ascontiguousarray(samples), list(map(float, stamps)))


def main(text: str) -> None:
    """Send a stream, of a `Device` record, from the command to open it until the input ends."""
    device = Device(**json.loads(text))
    content, clock = _Content(device), LslClock()
    faults: dict[str, Any] = {}
    opened, ended = threading.Event(), threading.Event()

    def tell(**facts: Any) -> None:
        say_json({"t": clock.now(), **facts})

    def listen() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if "open" in command:
                opened.set()
            elif command["value"] is None:
                faults.pop(command["fault"], None)
            else:
                faults[command["fault"]] = command["value"]
        ended.set()
        opened.set()

    threading.Thread(target=listen, daemon=True).start()
    opened.wait()
    sender, due, late = _Sender(device, content, tell), clock.now(), list[float]()
    while not ended.is_set():
        due += TICK_S
        clock.wait_until(due)
        now = clock.now()
        late.append(now - due)
        due = max(due, now - TICK_S)
        sender.push_due(now, dict(faults))
        if len(late) >= 50:  # a second
            tell(did="beat", late_s=max(late))
            late = []


def run_with_lost_device(arguments: list[str]) -> None:
    """Run the program, whose network's device fails from SIGUSR1 on as a GPU without memory does.

    Only the failure is made up. What answers it, `models.forward.Forward.run`, is the program's own.
    """
    import torch

    from app.__main__ import main as program
    from models.forward import Forward

    made: list[Any] = []
    begin: Callable[..., None] = Forward.__init__

    def note(self: Any, *given: Any) -> None:
        begin(self, *given)
        made.append(self)

    def fail(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory (injected by certify)")

    lost = type("Lost", (), {"__call__": fail, "encode_face": fail, "encode_voice": fail})

    def lose(*_: Any) -> None:
        for one in made:
            # A device that is never there: "meta" would have torch import its compiler.
            one.device, one._network = torch.device("xla"), lost()

    Forward.__init__ = note  # type: ignore[method-assign,assignment]
    signal.signal(signal.SIGUSR1, lose)
    program(arguments)


if __name__ == "__main__":
    run_with_lost_device(sys.argv[1:]) if sys.argv[1] == "live" else main(sys.argv[1])
