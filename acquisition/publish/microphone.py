"""A microphone, or a WAV file in its place, as an LSL stream of int16 samples."""

import warnings
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.clock import Clock, LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.header import make_info
from acquisition.lsl.outlet import open_outlet
from acquisition.publish.capture import (
    Capture,
    CaptureSource,
    DeviceFeed,
    DeviceReader,
    PacedFile,
    Publishing,
    publisher_source_id,
    run_publisher,
)

NAME = "Affectscope microphone"
_LOST_S = 1.0
_BLOCK_S = 0.02
_VIDEO_SUFFIXES = {".mp4", ".mpg", ".mpeg", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".wmv"}
_MAX_ADC_LAG_S = 1.0  # some hosts give 0 or another clock's time as the time of capture


def import_sounddevice() -> Any:
    """Return sounddevice; `InputError` if it or the PortAudio library is missing."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        what = f"microphones cannot be read: {error}"
        remedy = "apt-get install libportaudio2 or brew install portaudio; pip install sounddevice"
        raise InputError(what, where="microphone", remedy=remedy, code=ErrorCode.INSTALLATION) from error
    return sounddevice


@dataclass(frozen=True)
class MicrophoneDevice:
    """A sound input that PortAudio lists."""

    index: int
    name: str
    host: str  # ALSA, Core Audio, Windows WASAPI, ...
    n_channels: int
    sfreq: float  # Hz, the device's own
    is_default: bool


def list_microphones() -> list[MicrophoneDevice]:
    """Return the sound inputs that PortAudio lists; `InputError` if it is missing."""
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


def microphone_from_text(text: str) -> int | str | Path:
    """Return what ``--microphone TEXT`` means: a device index, a file, or a (part of a) device's name."""
    if text.isdigit():
        return int(text)
    path = Path(text)
    # A mistyped file name should be called that, and not an unknown microphone.
    return path if path.is_file() or path.suffix.lower() == ".wav" else text


def find_microphone(device: int | str) -> tuple[str, float]:
    """Return the full name and the sample rate in Hz of an input device.

    ``device`` is an index, ``"default"``, or a part of the name that only one device has. Raises `InputError`
    if there is none, or the name fits several.
    """
    sounddevice = import_sounddevice()
    try:
        found = sounddevice.query_devices(None if device == "default" else device, "input")
    except (ValueError, sounddevice.PortAudioError) as error:
        what = f"no such microphone: {' '.join(str(error).split())}"
        remedy = "see `affectscope publish microphone --list`"
        raise InputError(what, where=f"microphone {device}", remedy=remedy, code=ErrorCode.DEVICE) from error
    # With its host, a name is unique; an index may mean another device after one was pulled out.
    host = sounddevice.query_hostapis(found["hostapi"])["name"]
    return f"{found['name']}, {host}", float(found["default_samplerate"])


class MicrophoneReader(DeviceReader):
    """Collects a microphone's buffers as PortAudio calls back.

    ``rescan`` lets PortAudio search for devices again; without it a replugged device is never seen.
    """

    def __init__(self, name: str, sfreq: float, rescan: bool) -> None:
        self._name, self._sfreq, self._rescan = name, sfreq, rescan
        super().__init__(f"microphone {name}", n_kept=500)

    def _capture(self) -> str:
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
                self._closed.wait()
        except (ValueError, sounddevice.PortAudioError) as error:
            return f"PortAudio says: {' '.join(str(error).split())}"
        return ""

    def _take_buffer(self, buffer: NDArray[np.int16], n_samples: int, time: Any, status: Any) -> None:
        lag = time.currentTime - time.inputBufferAdcTime  # of the first sample
        if not 0.0 < lag < _MAX_ADC_LAG_S:
            lag = n_samples / self._sfreq
        stamp = self._clock.now() - lag + (n_samples - 1) / self._sfreq
        self._deliver(Capture(stamp, buffer.copy()))  # PortAudio uses the buffer again


def read_sound_file(path: Path) -> tuple[NDArray[np.int16], int]:
    """Return a WAV file's samples, (n_samples, n_channels) int16, and its sample rate in Hz.

    Raises `InputError` if the file is missing, is a video, or is not a readable WAV file.
    """
    refused = partial(InputError, where=str(path), code=ErrorCode.FILE)
    if not path.is_file():
        raise refused("there is no such file", remedy="give a device, 'default' or a WAV file")
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        remedy = f"extract it first: ffmpeg -i {path.name} -vn {path.stem}.wav"
        raise refused("the sound of a video file cannot be read directly", remedy=remedy)
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks it does not know
            sfreq, samples = wavfile.read(path)
    except (ValueError, EOFError, OSError) as error:
        raise refused(f"is not a WAV file: {error}", remedy="convert it with ffmpeg") from error
    if len(samples) == 0 or sfreq <= 0:
        raise refused("the file has no samples")
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


class SoundFile(PacedFile):
    """A WAV file paced like a microphone, in buffers of 20 ms; nothing of it is dropped."""

    def __init__(self, path: Path, clock: Clock, loop: bool) -> None:
        super().__init__(clock)
        self._samples, self.sfreq = read_sound_file(path)
        self.n_channels = self._samples.shape[1]
        self._loop = loop
        self._n_block = max(1, round(_BLOCK_S * self.sfreq))
        self._n_sent = 0

    def _due_s(self) -> float:
        return (self._n_sent + self._n_block) / self.sfreq

    def _next(self, start: float, now: float) -> Capture:
        n_total = len(self._samples)
        first = self._n_sent % n_total if self._loop else self._n_sent
        last = first + self._n_block
        if self._loop:
            data = np.take(self._samples, np.arange(first, last), axis=0, mode="wrap")
        else:
            data = self._samples[first:last]
            self.ended = last >= n_total
        self._n_sent += len(data)
        return Capture(start + (self._n_sent - 1) / self.sfreq, data)  # the moment of its last sample


def publish_microphone(device: int | str | Path, publishing: Publishing) -> None:
    """Publish a microphone or a WAV file until it is told to stop or the file ends.

    Parameters
    ----------
    device : int, str or Path
        PortAudio's device index, ``"default"`` or a part of a device's name; or a WAV file that is played
        in real time in its place.

    Raises
    ------
    InputError
        If PortAudio is missing, or the microphone or file cannot be opened at the start. A microphone that
        is lost later is reported and opened again.
    """
    clock = LslClock()
    source: CaptureSource
    if isinstance(device, Path):
        source = file = SoundFile(device, clock, publishing.loop)
        sfreq, n_channels = float(file.sfreq), file.n_channels
    else:
        full_name, sfreq = find_microphone(device)
        n_channels = 1
        rescans = chain([False], repeat(True))  # every time but the first
        source = DeviceFeed(
            f"microphone {full_name!r}",
            lambda: MicrophoneReader(full_name, sfreq, next(rescans)),
            publishing.report,
            remedy="see `affectscope publish microphone --list`; may this program use the microphone?",
            silent_s=_LOST_S,  # a silent room is all zeros: the content says nothing here
        )
    name, source_id = publishing.name or NAME, publisher_source_id("microphone", device)
    channels = [{"label": f"audio{i + 1}", "type": "Audio", "unit": "normalized"} for i in range(n_channels)]
    desc = {"channels": {"channel": channels}}
    info = make_info(name, "Audio", "int16", source_id, n_channels=n_channels, sfreq=sfreq, desc=desc)
    outlet = open_outlet(info)

    def push(capture: Capture) -> None:
        outlet.push_chunk(capture.data, capture.stamp)  # LSL gives the stamp to the last sample

    publishing.report(f"stream {name!r}: {device} at {sfreq:g} Hz, {n_channels} channel(s)")
    run_publisher(source, outlet, push, clock, publishing)
