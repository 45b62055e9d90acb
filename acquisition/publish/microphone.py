"""A microphone, or a sound file in its place, as an LSL stream of int16 samples.

The layout is that of the AudioCapture program: type ``Audio``, the device's own rate, int16, each
buffer stamped once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from acquisition.clock import LslClock
from acquisition.publish.feed import Capture, DeviceFeed, DeviceWatchdog
from acquisition.publish.session import CaptureSource, publisher_source_id, run_publisher, wait_for_consumer
from acquisition.publish.sound import MicrophoneReader, SoundFile, find_microphone

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
