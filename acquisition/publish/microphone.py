"""Buffers from a microphone, and from a sound file that stands in for one."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import Clock, LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.publish.capture import (
    Capture,
    CaptureSource,
    DeviceFeed,
    DeviceWatchdog,
    publisher_source_id,
    run_publisher,
    wait_for_consumer,
)

_BLOCK_S = 0.02
_VIDEO_SUFFIXES = {".mp4", ".mpg", ".mpeg", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".wmv"}
_MAX_ADC_LAG_S = 1.0  # some hosts give 0 or another clock's time as the time of capture


def import_sounddevice() -> Any:
    """Return sounddevice.

    Raises
    ------
    InputError
        If it or the PortAudio library is missing.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise InputError(
            f"microphones cannot be read: {error}",
            where="microphone",
            remedy="apt-get install libportaudio2 or brew install portaudio; pip install sounddevice",
            code=ErrorCode.INSTALLATION,
        ) from error
    return sounddevice


def find_microphone(device: int | str) -> tuple[str, float]:
    """Return the full name and the sample rate in Hz of an input device.

    Parameters
    ----------
    device : int or str
        Index, ``"default"``, or a part of the name that only one device has.

    Raises
    ------
    InputError
        If there is none, or the name fits several.
    """
    sounddevice = import_sounddevice()
    try:
        found = sounddevice.query_devices(None if device == "default" else device, "input")
    except (ValueError, sounddevice.PortAudioError) as error:
        raise InputError(
            f"no such microphone: {' '.join(str(error).split())}",
            where=f"microphone {device}",
            remedy="see `affectscope publish microphone --list`",
            code=ErrorCode.DEVICE,
        ) from error
    # With its host, a name is unique; an index may mean another device after one was pulled out.
    host = sounddevice.query_hostapis(found["hostapi"])["name"]
    return f"{found['name']}, {host}", float(found["default_samplerate"])


class MicrophoneReader:
    """Collects a microphone's buffers as PortAudio calls back.

    Parameters
    ----------
    name : str
        The device's full name.
    sfreq : float
        Sample rate in Hz.
    rescan : bool
        Let PortAudio look for devices anew; without it a replugged device is never seen.
    """

    def __init__(self, name: str, sfreq: float, rescan: bool) -> None:
        self._name = name
        self._sfreq = sfreq
        self._rescan = rescan
        self._buffers: deque[Capture] = deque(maxlen=500)
        self._fresh = threading.Event()
        self._end = threading.Event()
        self._failure = ""
        self._clock = LslClock()
        # Opening and closing a device that is gone can block, so a thread does both.
        self._thread = threading.Thread(target=self._run, name=f"microphone {name}", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str:
        """Why it delivers no more, or an empty string."""
        return self._failure

    @property
    def alive(self) -> bool:
        """True while the thread is in the driver's hands."""
        return self._thread.is_alive()

    def take(self) -> list[Capture]:
        """Return the buffers since the last call, oldest first."""
        self._fresh.clear()
        return [self._buffers.popleft() for _ in range(len(self._buffers))]

    def wait(self, timeout_s: float) -> None:
        """Return when there is a buffer, at the latest after ``timeout_s``."""
        self._fresh.wait(timeout_s)

    def close(self) -> None:
        """Let go of the microphone as soon as the driver returns."""
        self._end.set()
        self._thread.join(0.2)

    def _run(self) -> None:
        sounddevice = import_sounddevice()
        try:
            if self._rescan:
                # PortAudio lists devices only when it starts, and sounddevice has no public restart.
                sounddevice._terminate()
                sounddevice._initialize()
            with sounddevice.InputStream(
                device=self._name,
                channels=1,
                dtype="int16",
                samplerate=self._sfreq,
                callback=self._take_buffer,
            ):
                self._end.wait()
        except (ValueError, sounddevice.PortAudioError) as error:
            self._failure = f"PortAudio says: {' '.join(str(error).split())}"
            self._fresh.set()

    def _take_buffer(self, buffer: NDArray[np.int16], n_samples: int, time: Any, status: Any) -> None:
        lag = time.currentTime - time.inputBufferAdcTime  # of the first sample
        if not 0.0 < lag < _MAX_ADC_LAG_S:
            lag = n_samples / self._sfreq
        stamp = self._clock.now() - lag + (n_samples - 1) / self._sfreq
        self._buffers.append(Capture(stamp, buffer.copy()))  # PortAudio uses the buffer again
        self._fresh.set()


def read_sound_file(path: Path) -> tuple[NDArray[np.int16], int]:
    """Return a WAV file's samples, (n_samples, n_channels) int16, and its sample rate in Hz.

    Raises
    ------
    InputError
        If the file is missing, is a video, or is no WAV file that can be read.
    """
    if not path.is_file():
        raise InputError(
            "there is no such file",
            where=str(path),
            remedy="give a device, 'default' or a WAV file",
            code=ErrorCode.FILE,
        )
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        raise InputError(
            "the sound of a video file is not read",
            where=str(path),
            remedy=f"extract it first: ffmpeg -i {path.name} -vn {path.stem}.wav",
            code=ErrorCode.FILE,
        )
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks it does not know
            sfreq, samples = wavfile.read(path)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(
            f"no WAV file: {error}", where=str(path), remedy="convert it with ffmpeg", code=ErrorCode.FILE
        ) from error
    if len(samples) == 0 or sfreq <= 0:
        raise InputError("the file holds no samples", where=str(path), code=ErrorCode.FILE)
    return to_int16(samples if samples.ndim == 2 else samples[:, None]), int(sfreq)


def to_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Convert PCM of 8 to 32 bits or floats of -1 to 1, same shape; floats beyond that are clipped."""
    if samples.dtype == np.int16:
        return samples
    if samples.dtype == np.uint8:
        return ((samples.astype(np.int16) - 128) << 8).astype(np.int16)
    if samples.dtype.kind == "i":  # 24-bit samples come left-justified in 32
        return (samples >> (8 * samples.dtype.itemsize - 16)).astype(np.int16)
    scaled = np.round(np.nan_to_num(samples.astype(np.float64)) * 32767.0)
    return np.clip(scaled, -32768, 32767).astype(np.int16)


class SoundFile:
    """A WAV file paced like a microphone, in buffers of 20 ms; nothing of it is dropped.

    Parameters
    ----------
    path : Path
        The file.
    clock : Clock
        Its first sample is due at the first `take`.
    loop : bool
        Begin again at the end.

    Raises
    ------
    InputError
        As `read_sound_file`.
    """

    def __init__(self, path: Path, clock: Clock, loop: bool) -> None:
        self._samples, self.sfreq = read_sound_file(path)
        self.n_channels = self._samples.shape[1]
        self._clock = clock
        self._loop = loop
        self._block = max(1, round(_BLOCK_S * self.sfreq))
        self._start: float | None = None
        self._n_sent = 0
        self.ended = False

    def take(self, now: float) -> list[Capture]:
        """Return the buffers whose last sample is due, stamped with that sample's moment."""
        if self._start is None:
            self._start = now
        buffers = []
        while not self.ended and self._due() <= now:
            buffers.append(self._next_buffer())
        return buffers

    def wait(self, timeout_s: float) -> bool:
        """Wait until the next buffer is due."""
        self._clock.wait_until(min(self._due(), self._clock.now() + timeout_s))
        return True

    def close(self) -> None:
        """Nothing is open: the samples are in memory."""

    def _due(self) -> float:
        assert self._start is not None
        return self._start + (self._n_sent + self._block) / self.sfreq

    def _next_buffer(self) -> Capture:
        assert self._start is not None
        n_total = len(self._samples)
        first = self._n_sent % n_total if self._loop else self._n_sent
        last = first + self._block
        if self._loop:
            data = np.take(self._samples, np.arange(first, last), axis=0, mode="wrap")
        else:
            data = self._samples[first:last]
            self.ended = last >= n_total
        self._n_sent += len(data)
        return Capture(self._start + (self._n_sent - 1) / self.sfreq, data)


_LOST_S = 1.0


def publish_microphone(
    device: int | str | Path,
    *,
    stop: Callable[[], bool],
    report: Callable[[str], None],
    name: str = "Affectscope microphone",
    loop: bool = False,
    await_consumer: bool = False,
    idle_limit_s: float = float("inf"),
) -> None:
    """Publish a microphone or a WAV file until ``stop()`` is true or the file ends.

    Parameters
    ----------
    device : int, str or Path
        PortAudio's device index, ``"default"`` or a part of a device's name; or a WAV file that is played
        in real time in its place.
    stop : callable
        Asked about ten times a second.
    report : callable
        Takes a sentence for the user: what is published, and when the device is lost and back.
    name : str
        The stream's name.
    loop : bool
        Begin a file again at its end.
    await_consumer : bool
        Begin a file when somebody listens, so that nothing of it is missed.
    idle_limit_s : float
        End when nobody has listened for this long.

    Raises
    ------
    InputError
        If PortAudio is missing, or the microphone or file cannot be opened at the start. A microphone that
        is lost later is reported and opened again.
    """
    clock = LslClock()
    source: CaptureSource
    if isinstance(device, Path):
        source = file = SoundFile(device, clock, loop)
        sfreq, n_channels = float(file.sfreq), file.n_channels
    else:
        full_name, sfreq = find_microphone(device)
        n_channels = 1
        source = _microphone_feed(full_name, sfreq, report)
    outlet = _make_outlet(name, publisher_source_id("microphone", device), sfreq, n_channels)

    def push(capture: Capture) -> None:
        outlet.push_chunk(capture.data, capture.stamp)  # LSL gives the stamp to the last sample

    report(f"stream {name!r}: {device} at {sfreq:g} Hz, {n_channels} channel(s)")
    if await_consumer:
        wait_for_consumer(outlet, clock, stop)
    run_publisher(source, outlet, push, clock, stop=stop, report=report, idle_limit_s=idle_limit_s)


def _microphone_feed(full_name: str, sfreq: float, report: Callable[[str], None]) -> DeviceFeed:
    opened = False

    def open_reader() -> MicrophoneReader:
        nonlocal opened
        rescan, opened = opened, True
        return MicrophoneReader(full_name, sfreq, rescan)

    return DeviceFeed(
        f"microphone {full_name!r}",
        open_reader,
        DeviceWatchdog(silent_s=_LOST_S),  # a silent room is all zeros: content says nothing here
        report,
        remedy="see `affectscope publish microphone --list`; may this program use the microphone?",
    )


def _make_outlet(name: str, source_id: str, sfreq: float, n_channels: int) -> Any:
    from pylsl import StreamInfo, StreamOutlet

    info = StreamInfo(name, "Audio", n_channels, sfreq, "int16", source_id)
    channels = info.desc().append_child("channels")
    for number in range(n_channels):
        channel = channels.append_child("channel")
        channel.append_child_value("label", f"audio{number + 1}")
        channel.append_child_value("type", "Audio")
        channel.append_child_value("unit", "normalized")
    return StreamOutlet(info)
