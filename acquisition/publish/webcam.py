"""Frames from a camera, read in a thread, and from a video file that stands in for one."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

_LATE_S = 0.25  # a file's frames that are later than this are dropped, as a camera would


def import_cv2() -> Any:
    """Return OpenCV with its probing noise silenced.

    Raises
    ------
    InputError
        If OpenCV or a library it needs is missing.
    """
    try:
        import cv2
    except ImportError as error:
        raise InputError(
            f"OpenCV cannot be loaded: {error}",
            where="webcam",
            remedy="pip install 'opencv-python<5'; on Debian also apt-get install libgl1 libglib2.0-0",
            code=ErrorCode.INSTALLATION,
        ) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


class CameraReader:
    """Reads a camera in a thread and keeps its newest frame.

    Parameters
    ----------
    device : int or str
        OpenCV's device index, or the name of anything else it opens.
    fps : float
        Frames per second to ask the camera for; 0 leaves its own setting.
    """

    def __init__(self, device: int | str, fps: float) -> None:
        self._device = device
        self._fps = fps
        self._newest: deque[Capture] = deque(maxlen=1)
        self._cv2 = import_cv2()
        self._fresh = threading.Event()
        self._closed = False
        self._failure = ""
        self._clock = LslClock()
        # A daemon: a thread that never comes back from the driver must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"camera {device}", daemon=True)
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
        """Return the newest frame, if there is one since the last call."""
        self._fresh.clear()
        return [self._newest.popleft()] if self._newest else []

    def wait(self, timeout_s: float) -> None:
        """Return when there is a frame, at the latest after ``timeout_s``."""
        self._fresh.wait(timeout_s)

    def close(self) -> None:
        """Let go of the camera as soon as the driver returns."""
        self._closed = True
        self._thread.join(0.2)

    def _run(self) -> None:
        cv2 = self._cv2
        camera = cv2.VideoCapture(self._device)
        try:
            if not camera.isOpened():
                self._failure = "it cannot be opened"
                return
            if self._fps > 0:
                camera.set(cv2.CAP_PROP_FPS, self._fps)
            while not self._closed:
                if not camera.grab():
                    self._failure = "it delivers no more frames"
                    return
                stamp = self._clock.now()  # before the decoding, which takes milliseconds
                ok, frame = camera.retrieve()
                if ok:
                    self._newest.append(Capture(stamp, frame, zlib.crc32(frame[::4, ::4].tobytes())))
                    self._fresh.set()
        except cv2.error as error:
            self._failure = f"OpenCV says: {error}"
        finally:
            camera.release()
            self._fresh.set()


class VideoFile:
    """A video file paced like a camera.

    Parameters
    ----------
    path : Path
        Anything OpenCV can read.
    clock : Clock
        Its first frame is due at the first `take`.
    loop : bool
        Begin again at the end.

    Raises
    ------
    InputError
        If the file is missing or holds no video.
    """

    def __init__(self, path: Path, clock: Clock, loop: bool) -> None:
        self._cv2 = import_cv2()
        self._path = path
        self._clock = clock
        self._loop = loop
        if not path.is_file():
            raise InputError(
                "there is no such file",
                where=str(path),
                remedy="give a device number or a video file",
                code=ErrorCode.FILE,
            )
        self._video = self._cv2.VideoCapture(str(path))
        ok, frame = self._video.read()
        if not ok:
            raise InputError(
                "no video can be read from it",
                where=str(path),
                remedy="convert it with ffmpeg",
                code=ErrorCode.FILE,
            )
        self.height, self.width = frame.shape[:2]
        fps = float(self._video.get(self._cv2.CAP_PROP_FPS))
        self.fps = fps if 1.0 <= fps <= 240.0 else 25.0  # some containers state none, or nonsense
        self.ended = False
        self._rewind()
        self._start: float | None = None
        self._n_frames = 0

    def take(self, now: float) -> list[Capture]:
        """Return the frames that are due, stamped with the moment each was due."""
        if self._start is None:
            self._start = now
        captures = []
        while not self.ended and self._due() <= now:
            due = self._due()
            frame = self._read(wanted=now - due < _LATE_S)
            self._n_frames += 1
            if frame is not None:
                captures.append(Capture(due, frame))
        return captures

    def wait(self, timeout_s: float) -> bool:
        """Wait until the next frame is due."""
        self._clock.wait_until(min(self._due(), self._clock.now() + timeout_s))
        return True

    def close(self) -> None:
        """Close the file."""
        self._video.release()

    def _due(self) -> float:
        assert self._start is not None
        return self._start + self._n_frames / self.fps

    def _read(self, wanted: bool) -> Any | None:
        grabbed = self._video.grab()
        if not grabbed and self._loop:
            self._rewind()
            grabbed = self._video.grab()
        if not grabbed:
            self.ended = True
            return None
        if not wanted:
            return None
        ok, frame = self._video.retrieve()
        return frame if ok else None

    def _rewind(self) -> None:
        # Seeking to frame 0 is inexact in MPEG files; opening again is not.
        self._video.release()
        self._video = self._cv2.VideoCapture(str(self._path))


FrameEncoder = Callable[[Any], str]


def frame_size(width: int, height: int, max_width: int) -> tuple[int, int]:
    """Return the (width, height) at which frames are sent: never wider than ``max_width``."""
    if width <= max_width:
        return width, height
    return max_width, max(1, round(height * max_width / width))


def jpeg_encoder(size: tuple[int, int], quality: int) -> FrameEncoder:
    """Return a function that turns a BGR frame into base64 text of a JPEG of ``size`` (width, height)."""
    import base64

    cv2 = import_cv2()

    def encode(frame: Any) -> str:
        if (frame.shape[1], frame.shape[0]) != size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        ok, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not ok:
            raise RuntimeError(f"OpenCV could not encode a frame of shape {frame.shape}")
        return base64.b64encode(jpeg).decode("ascii")

    return encode


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
