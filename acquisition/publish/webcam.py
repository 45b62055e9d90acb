"""A camera, or a video file in its place, as an LSL stream of JPEG frames."""

import base64
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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

NAME = "Affectscope webcam"
_N_INDICES = 10
_LATE_S = 0.25  # a file's frames that are later than this are dropped, as a camera would
LOST_S = 1.5  # with the polling, a loss is reported within 2 s
_BUFFER = 6  # hundreds of frames kept for a consumer that stalls: 20-40 MB


def import_cv2() -> Any:
    """Return OpenCV with its probing noise silenced; `InputError` if it or a library it needs is missing."""
    try:
        import cv2
    except ImportError as error:
        remedy = "pip install 'opencv-python<5'; on Debian also apt-get install libgl1 libglib2.0-0"
        what = f"OpenCV cannot be loaded: {error}"
        raise InputError(what, where="webcam", remedy=remedy, code=ErrorCode.INSTALLATION) from error
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


@dataclass(frozen=True)
class CameraDevice:
    """A camera that OpenCV can open."""

    index: int
    width: int  # px
    height: int  # px
    fps: float  # as the driver states it; 0 where it does not


def list_cameras() -> list[CameraDevice]:
    """Open the first ten camera indices in turn and return those that answer."""
    cv2 = import_cv2()
    cameras = []
    for index in range(_N_INDICES):
        if sys.platform == "linux" and not Path(f"/dev/video{index}").exists():
            continue  # saves OpenCV's attempts with every backend it has
        camera = cv2.VideoCapture(index)
        if camera.isOpened():
            keys = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)
            width, height, fps = map(camera.get, keys)
            cameras.append(CameraDevice(index, int(width), int(height), float(fps)))
        camera.release()
    return cameras


def camera_from_text(text: str) -> int | Path:
    """Return what ``--webcam TEXT`` means: an index or an existing file; `InputError` for others."""
    if text.isdigit():
        return int(text)
    if not Path(text).is_file():
        what = f"expected a camera's number or a video file, got {text!r}"
        raise InputError(what, where="webcam", remedy="see `affectscope publish webcam --list`")
    return Path(text)


class CameraReader(DeviceReader):
    """Keeps a camera's newest frame.

    ``device`` is OpenCV's index, or the name of anything else it opens; ``fps`` 0 leaves the camera's
    setting.
    """

    def __init__(self, device: int | str, fps: float) -> None:
        self._device, self._fps, self._cv2 = device, fps, import_cv2()
        super().__init__(f"camera {device}", n_kept=1)

    def _capture(self) -> str:
        cv2 = self._cv2
        camera = cv2.VideoCapture(self._device)
        try:
            if not camera.isOpened():
                return "it cannot be opened"
            if self._fps > 0:
                camera.set(cv2.CAP_PROP_FPS, self._fps)
            while not self._closed.is_set():
                if not camera.grab():
                    return "it sends no more frames"
                stamp = self._clock.now()  # before the decoding, which takes milliseconds
                ok, frame = camera.retrieve()
                if ok:
                    self._deliver(Capture(stamp, frame, zlib.crc32(frame[::4, ::4].tobytes())))
        except cv2.error as error:
            return f"OpenCV says: {error}"
        finally:
            camera.release()
        return ""


class VideoFile(PacedFile):
    """A video file paced like a camera: frames that would be late are dropped.

    Raises `InputError` if the file is missing or has no video.
    """

    def __init__(self, path: Path, clock: Clock, loop: bool) -> None:
        super().__init__(clock)
        self._cv2 = import_cv2()
        self._path, self._loop = path, loop
        refused = partial(InputError, where=str(path), code=ErrorCode.FILE)
        if not path.is_file():
            raise refused("there is no such file", remedy="give a device number or a video file")
        self._video = self._cv2.VideoCapture(str(path))
        ok, frame = self._video.read()
        if not ok:
            raise refused("no video can be read from it", remedy="convert it with ffmpeg")
        self.height, self.width = frame.shape[:2]
        fps = float(self._video.get(self._cv2.CAP_PROP_FPS))
        self.fps = fps if 1.0 <= fps <= 240.0 else 25.0  # some containers state none, or nonsense
        self._n_frames = 0
        self._rewind()

    def close(self) -> None:
        self._video.release()

    def _due_s(self) -> float:
        return self._n_frames / self.fps

    def _next(self, start: float, now: float) -> Capture | None:
        due = start + self._due_s()
        self._n_frames += 1
        is_grabbed = self._video.grab()
        if not is_grabbed and self._loop:
            self._rewind()
            is_grabbed = self._video.grab()
        self.ended = not is_grabbed
        if self.ended or now - due >= _LATE_S:
            return None
        ok, frame = self._video.retrieve()
        return Capture(due, frame) if ok else None

    def _rewind(self) -> None:
        # Seeking to frame 0 is inexact in MPEG files; opening again is not.
        self._video.release()
        self._video = self._cv2.VideoCapture(str(self._path))


def frame_size(width: int, height: int, max_width: int) -> tuple[int, int]:
    """Return the (width, height) at which frames are sent: never wider than ``max_width``."""
    if width <= max_width:
        return width, height
    return max_width, max(1, round(height * max_width / width))


def jpeg_text(frame: Any, size: tuple[int, int], quality: int) -> str:
    """Return a BGR frame, scaled to ``size`` (width, height), as base64 text of a JPEG."""
    cv2 = import_cv2()
    if (frame.shape[1], frame.shape[0]) != size:
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    ok, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise RuntimeError(f"OpenCV could not encode a frame of shape {frame.shape}")
    return base64.b64encode(jpeg).decode("ascii")


class RateLimit:
    """Thins out frames to a rate, evenly; 0 lets all through."""

    def __init__(self, fps: float) -> None:
        self._period_s = 1.0 / fps if fps > 0 else 0.0
        self._next = float("-inf")

    def accepts(self, stamp: float) -> bool:
        # A quarter of a period early still counts, or jitter would cost every second frame.
        if stamp < self._next - 0.25 * self._period_s:
            return False
        late = stamp - self._next > self._period_s
        self._next = (stamp if late else self._next) + self._period_s
        return True


def publish_webcam(
    device: int | Path, publishing: Publishing, *, fps: float = 0.0, max_width: int = 640, quality: int = 85
) -> None:
    """Publish a camera or a video file until it is told to stop or the file ends.

    Parameters
    ----------
    device : int or Path
        OpenCV's device index, or a video file that is played in real time in its place.
    fps : float
        Frames per second to ask for and at most to send; 0 sends what comes.
    max_width : int
        Wider frames are scaled down to this many pixels.
    quality : int
        JPEG quality, 1-100.

    Raises
    ------
    InputError
        If OpenCV is missing, or the camera or file cannot be opened at the start. A camera that is lost
        later is reported and opened again.
    """
    clock = LslClock()
    source: CaptureSource
    if isinstance(device, Path):
        source = file = VideoFile(device, clock, publishing.loop)
        height, width = file.height, file.width
        known_fps = min(fps, file.fps) if fps else file.fps
    else:
        source = DeviceFeed(
            f"camera {device}",
            lambda: CameraReader(device, fps),
            publishing.report,
            remedy="see `affectscope publish webcam --list`; is another program using it?",
            silent_s=LOST_S,
            frozen_s=LOST_S,
        )
        first = _first_frame(source, clock, publishing.stop)
        if first is None:
            return
        height, width = first.data.shape[:2]
        known_fps = fps
    name, size, limit = publishing.name or NAME, frame_size(width, height, max_width), RateLimit(fps)
    encoding = {"codec": "jpeg", "text": "base64", "width": size[0], "height": size[1], "quality": quality}
    desc = {
        "encoding": encoding | ({"fps": f"{known_fps:g}"} if known_fps else {}),
        "synchronization": {"can_drop_samples": "true"},
        "channels": {"channel": {"label": "frame", "type": "VideoCompressed"}},
    }
    source_id = publisher_source_id("webcam", device)
    info = make_info(name, "VideoCompressed", "string", source_id, desc=desc)
    outlet = open_outlet(info, chunk_size=1, max_buffered=_BUFFER)

    def push(capture: Capture) -> None:
        if limit.accepts(capture.stamp):
            outlet.push_sample([jpeg_text(capture.data, size, quality)], capture.stamp)

    publishing.report(f"stream {name!r}: {device} at {size[0]} x {size[1]} px")
    run_publisher(source, outlet, push, clock, publishing)


def _first_frame(source: CaptureSource, clock: Clock, stop: Callable[[], bool]) -> Capture | None:
    while not stop():
        captures = source.take(clock.now())
        if captures:
            return captures[-1]
        source.wait(0.1)
    source.close()
    return None
