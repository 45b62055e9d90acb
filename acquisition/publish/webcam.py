"""A webcam, or a video file in its place, as an LSL stream of JPEG frames.

One string channel carries each frame as base64 text, because the C string of LSL cannot hold raw
bytes. The rate is declared irregular: a camera drops frames, and a stream that states a rate would be
put on an even grid by many readers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from acquisition.clock import Clock, LslClock
from acquisition.errors import InputError
from acquisition.publish.camera import CameraReader, VideoFile, frame_size, jpeg_encoder
from acquisition.publish.feed import Capture, DeviceFeed, DeviceWatchdog
from acquisition.publish.session import CaptureSource, publisher_source_id, run_publisher, wait_for_consumer

_LOST_S = 1.5  # with the polling, a loss is reported within 2 s
_BUFFER = 6  # hundreds of frames kept for a consumer that stalls: 20-40 MB


class RateLimit:
    """Thins out frames to a rate, evenly; 0 lets all through."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps if fps > 0 else 0.0
        self._next = float("-inf")

    def accepts(self, stamp: float) -> bool:
        """Return whether the frame captured at ``stamp`` is sent."""
        # A quarter of a period early still counts, or jitter would cost every second frame.
        if stamp < self._next - 0.25 * self._period_s:
            return False
        late = stamp - self._next > self._period_s
        self._next = (stamp if late else self._next) + self._period_s
        return True


def publish_webcam(
    device: int | Path,
    *,
    stop: Callable[[], bool],
    report: Callable[[str], None],
    name: str = "Affectscope webcam",
    fps: float = 0.0,
    loop: bool = False,
    max_width: int = 640,
    quality: int = 85,
    await_consumer: bool = False,
    idle_limit_s: float = float("inf"),
) -> None:
    """Publish a camera or a video file until ``stop()`` is true or the file ends.

    Parameters
    ----------
    device : int or Path
        OpenCV's device index, or a video file that is played in real time in its place.
    stop : callable
        Asked about ten times a second.
    report : callable
        Takes a sentence for the user: what is published, and when the device is lost and back.
    name : str
        The stream's name.
    fps : float
        Frames per second to ask for and at most to send; 0 sends what comes.
    loop : bool
        Begin a file again at its end.
    max_width : int
        Wider frames are scaled down to this many pixels.
    quality : int
        JPEG quality, 1-100.
    await_consumer : bool
        Begin a file when somebody listens, so that nothing of it is missed.
    idle_limit_s : float
        End when nobody has listened for this long.

    Raises
    ------
    InputError
        If OpenCV is missing, or the camera or file cannot be opened at the start. A camera that is lost
        later is reported and opened again.
    """
    if not 1 <= quality <= 100:
        raise InputError(f"expected a JPEG quality of 1-100, got {quality}", where="webcam")
    if not fps >= 0:
        raise InputError(f"expected frames per second, 0 or more, got {fps}", where="webcam")
    clock = LslClock()
    source: CaptureSource
    if isinstance(device, Path):
        source = file = VideoFile(device, clock, loop)
        first, height, width = None, file.height, file.width
        known_fps = min(fps, file.fps) if fps else file.fps
    else:
        source = _camera_feed(device, fps, report)
        first = _first_frame(source, clock, stop)
        if first is None:
            return
        height, width = first.data.shape[:2]
        known_fps = fps
    size = frame_size(width, height, max_width)
    outlet = _make_outlet(name, publisher_source_id("webcam", device), size, quality, known_fps)
    encode, limit = jpeg_encoder(size, quality), RateLimit(fps)

    def push(capture: Capture) -> None:
        if limit.accepts(capture.stamp):
            outlet.push_sample([encode(capture.data)], capture.stamp)

    report(f"stream {name!r}: {device} at {size[0]} x {size[1]} px")
    if await_consumer:
        wait_for_consumer(outlet, clock, stop)
    run_publisher(source, outlet, push, clock, stop=stop, report=report, idle_limit_s=idle_limit_s)


def _camera_feed(index: int, fps: float, report: Callable[[str], None]) -> DeviceFeed:
    return DeviceFeed(
        f"camera {index}",
        lambda: CameraReader(index, fps),
        DeviceWatchdog(silent_s=_LOST_S, frozen_s=_LOST_S),
        report,
        remedy="see `affectscope publish webcam --list`; is another program using it?",
    )


def _first_frame(source: CaptureSource, clock: Clock, stop: Callable[[], bool]) -> Capture | None:
    while not stop():
        captures = source.take(clock.now())
        if captures:
            return captures[-1]
        source.wait(0.1)
    source.close()
    return None


def _make_outlet(name: str, source_id: str, size: tuple[int, int], quality: int, fps: float) -> Any:
    from pylsl import IRREGULAR_RATE, StreamInfo, StreamOutlet

    info = StreamInfo(name, "VideoCompressed", 1, IRREGULAR_RATE, "string", source_id)
    desc = info.desc()
    encoding = desc.append_child("encoding")
    for key, value in (("codec", "jpeg"), ("text", "base64"), ("width", size[0]), ("height", size[1])):
        encoding.append_child_value(key, str(value))
    encoding.append_child_value("quality", str(quality))
    if fps:
        encoding.append_child_value("fps", f"{fps:g}")
    desc.append_child("synchronization").append_child_value("can_drop_samples", "true")
    channel = desc.append_child("channels").append_child("channel")
    channel.append_child_value("label", "frame")
    channel.append_child_value("type", "VideoCompressed")
    return StreamOutlet(info, chunk_size=1, max_buffered=_BUFFER)
