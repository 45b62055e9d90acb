"""Finds the face in a video frame and cuts it out for the network, and measures blinks and head pose.

Every function looks at one frame alone: no tracking, so that a frame's crop is the same whether frames
were dropped before it or not. Only `FaceMeter` compares an eye with itself of the seconds before.
"""

import math
import re
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.clock import stopwatch
from acquisition.errors import ErrorCode, InputError
from models.encoders.expression import LandmarkNet
from models.features.config import FeatureConfig
from models.features.gaze_events import find_blinks
from models.prediction import FaceMeasures

#: x, y of the upper left corner, width, height, in pixels of the frame.
Box = tuple[int, int, int, int]

VIT_MEAN = 0.5
VIT_SD = 0.5

_MAX_PIXELS = 50_000_000  # of a frame; a JPEG of 100 kB can state 4e9
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_MAX_SEGMENTS = 1000  # before a JPEG's frame header; a picture of a camera has ten


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Return the width and height a JPEG's frame header states, 0 if there is none (ITU-T T.81, B.2.2)."""
    at = 2 if jpeg.startswith(b"\xff\xd8") else len(jpeg)
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(jpeg, at)
        if marker is None or marker.end() + 7 > len(jpeg):
            break
        code, at = jpeg[marker.end() - 1], marker.end()
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # SOF0..15 without DHT, JPG, DAC
            return int.from_bytes(jpeg[at + 5 : at + 7], "big"), int.from_bytes(jpeg[at + 3 : at + 5], "big")
        if code != 0x01 and not 0xD0 <= code <= 0xD7:  # TEM and RST stand alone
            at += int.from_bytes(jpeg[at : at + 2], "big")
    return 0, 0


def decode_frame(frame: bytes | NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return JPEG, (h, w, 3) BGR or (h, w) gray as BGR (h, w, 3) uint8; None if it is unreadable.

    So is a frame of more than 50 million pixels, which would take seconds and gigabytes.
    """
    import cv2

    if isinstance(frame, np.ndarray):
        if frame.dtype != np.uint8 or frame.size == 0 or math.prod(frame.shape[:2]) > _MAX_PIXELS:
            return None
        if frame.ndim == 2:
            return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
        return frame if frame.ndim == 3 and frame.shape[2] == 3 else None
    if not 0 < math.prod(jpeg_size(frame)) <= _MAX_PIXELS:
        return None
    try:
        image = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return image  # type: ignore[return-value]


class FaceFinder:
    """OpenCV's frontal Haar cascade, the largest box; `InputError` where OpenCV has none (version 5)."""

    def __init__(self, config: FeatureConfig | None = None) -> None:
        import cv2

        self._width = (config or FeatureConfig()).face_detect_width
        folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
        path = Path(folder) / "haarcascade_frontalface_default.xml"
        if not hasattr(cv2, "CascadeClassifier") or not path.is_file():
            what = f"OpenCV {cv2.__version__} has no Haar cascade"
            remedy = 'pip install "opencv-python>=4.10,<5"'
            raise InputError(what, where="face detection", remedy=remedy, code=ErrorCode.INSTALLATION)
        self._cascade: Any = cv2.CascadeClassifier(str(path))

    def find(self, image: NDArray[np.uint8]) -> Box | None:
        """Return the largest face in a BGR image (h, w, 3), or None.

        The frame is searched in gray at a width of ``face_detect_width`` pixels: 4-7 ms a frame whatever the
        camera's size. The smallest face it finds is 15 % of the frame's width.
        """
        import cv2

        height, width = image.shape[:2]
        scale = self._width / width
        small = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if scale < 1:
            size = (self._width, max(1, round(height * scale)))
            small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        else:
            scale = 1.0
        smallest = max(20, round(0.15 * small.shape[1]))
        found = self._cascade.detectMultiScale(small, 1.1, 4, minSize=(smallest, smallest))
        if len(found) == 0:
            return None
        # Ties go to the upper left, so that the order in which the cascade lists boxes does not matter.
        x, y, w, h = max(found.tolist(), key=lambda box: (box[2] * box[3], -box[1], -box[0]))
        return round(x / scale), round(y / scale), round(w / scale), round(h / scale)


def square_around(box: Box, margin: float) -> tuple[int, int, int]:
    """Return left, top and side of the square around a box, wider by ``margin`` of its side on each side."""
    x, y, w, h = box
    side = max(1, round(max(w, h) * (1 + 2 * margin)))
    return x + w // 2 - side // 2, y + h // 2 - side // 2, side


def crop_face(image: NDArray[np.uint8], box: Box, config: FeatureConfig | None = None) -> torch.Tensor:
    """Return the face in a BGR image (h, w, 3) as the vision transformer wants it.

    That is (3, face_size, face_size), float32, RGB, (value / 255 - 0.5) / 0.5, as ``ViTImageProcessor``
    normalises. The crop is the square around the box, wider by ``face_margin`` on each side; what lies
    outside the frame repeats the frame's edge.
    """
    import cv2

    config = config or FeatureConfig()
    left, top, side = square_around(box, config.face_margin)
    height, width = image.shape[:2]
    inside = image[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if inside.size == 0:
        what = f"the box {box} lies outside the {width}x{height} frame"
        raise InputError(what, where="face crop", code=ErrorCode.DATA)
    outside = (max(0, -top), max(0, top + side - height), max(0, -left), max(0, left + side - width))
    if any(outside):
        inside = cv2.copyMakeBorder(inside, *outside, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    size = config.face_size
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    square = cv2.cvtColor(cv2.resize(inside, (size, size), interpolation=how), cv2.COLOR_BGR2RGB)
    pixels = torch.from_numpy(square).permute(2, 0, 1).to(torch.float32)  # (3, size, size)
    return ((pixels / 255.0 - VIT_MEAN) / VIT_SD).contiguous()


# --- blinks and head pose, of landmarks ---

_RIGHT_EYE, _LEFT_EYE = slice(36, 42), slice(42, 48)  # of the 68 landmarks; sides are the participant's
#: Corners of brows, eyes, nose and mouth of a mean face (the anthropometric model of Martins and Batista, ISR
#: Coimbra), cm: x to the right of the picture, y down, z away from the camera; then the landmarks they are.
_HALF = np.array([(6.826, -6.761, -4.402), (1.330, -7.122, -6.904), (5.311, -5.485, -3.988),
                  (1.790, -5.394, -4.413), (2.006, -1.410, -6.166), (2.774, 2.081, -5.049)])  # fmt: skip
_HEAD = np.concatenate([_HALF, _HALF * (-1, 1, 1)]) - _HALF.mean(axis=0) * (0, 1, 1)
_HEAD_POINTS = [26, 22, 45, 42, 35, 54, 17, 21, 36, 39, 31, 48]


def eye_aspect_ratio(eye: NDArray[np.floating]) -> float:
    """Return height over width of an eye of six landmarks (6, 2), from its corner on around it.

    (|p2 - p6| + |p3 - p5|) / (2 |p1 - p4|): Soukupova and Cech 2016, "Real-time eye blink detection using
    facial landmarks", equation 1. NaN for an eye without width.
    """
    width, *heights = np.linalg.norm(eye[:3] - eye[[3, 5, 4]], axis=1).tolist()
    return sum(heights) / (2 * width) if width > 0 else math.nan


def head_pose(points: NDArray[np.floating]) -> tuple[float, float, float]:
    """Return yaw, pitch and roll in degrees of 68 landmarks (68, 2) in pixels.

    0, 0, 0 faces the camera; positive is to the right of the picture, up, and clockwise in it. Pose from
    orthography and scaling (DeMenthon and Davis 1995, without iterations) of a mean head without its chin,
    which the crop may cut. Changes mean more than values: a participant's head is another one.
    """
    rows = np.linalg.lstsq(_HEAD, points[_HEAD_POINTS] - points[_HEAD_POINTS].mean(axis=0))[0].T  # (2, 3)
    x, y = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    u, _, v = np.linalg.svd(np.stack([x, y, np.cross(x, y)]))
    right, _, back = (u @ v).T  # of the nearest rotation: the head's axes in the camera's
    yaw, roll = math.atan2(-back[0], back[2]), math.atan2(right[1], right[0])
    return math.degrees(yaw), math.degrees(math.asin(np.clip(back[1], -1, 1))), math.degrees(roll)


_MOST_WAITING = {True: 8, False: 64}  # frames, live and in a replay: then the oldest are dropped
_KEPT_S, _MOST_KEPT = 60.0, 4000  # rows, of one frame each
_LEAST_S, _LEAST_FPS = 10.0, 10.0  # with a face, for a rate: at fewer frames a blink may lie between two
_NEWEST_S = 1.0  # an older row is not of now
_LEVEL_S = 3.0  # an eye is compared with its median over so long around it
_CLOSED = 0.97  # of that median; chosen on four simulated subjects, judged on others


class FaceMeter:
    """Measures blinks and head pose from every frame of a webcam, beside the model, which reads none of it.

    `take`, `measure` and `at` may be called from three threads. Few frames wait, so that a slow computer
    measures fewer of them instead of late ones, and a minute of measured rows is kept. Eyes are closed while
    their mean eye aspect ratio lies below `_CLOSED` of its median over three seconds around: the net hardly
    closes an eye, so that a fixed ratio finds nothing.
    """

    def __init__(self, net: LandmarkNet, *, is_live: bool = False) -> None:
        self._net, self._finder = net, FaceFinder()
        self._config = FeatureConfig(face_size=net.image_size, face_margin=net.margin)
        self._waiting: deque[tuple[float, Any]] = deque(maxlen=_MOST_WAITING[is_live])
        # Time, eye aspect ratios left and right, yaw, pitch, roll.
        self._rows: deque[tuple[float, ...]] = deque(maxlen=_MOST_KEPT)
        self._lock = threading.Lock()  # of the rows
        self._spent_s, self._n = 0.0, 0

    def take(self, times: Iterable[float], frames: Iterable[Any]) -> None:
        """Put frames, JPEG or (h, w, 3) BGR, and their LSL seconds in the queue."""
        self._waiting.extend(zip(map(float, times), frames, strict=True))

    def measure(self, until: float = math.inf, n_most: int | None = None) -> bool:
        """Measure the frames that wait, up to time ``until``; tell whether there were any."""
        n = 0
        while self._waiting and self._waiting[0][0] <= until and n != n_most:
            time, frame = self._waiting.popleft()
            started = stopwatch()
            self._append(time, self._measured(frame))
            self._spent_s, self._n, n = self._spent_s + stopwatch() - started, self._n + 1, n + 1
        return n > 0

    def _measured(self, frame: Any) -> tuple[float, ...]:
        """Return eye aspect ratios, left and right, and yaw, pitch, roll of a frame; NaN without a face."""
        image = decode_frame(frame)
        box = None if image is None else self._finder.find(image)
        if image is None or box is None:
            return (math.nan,) * 5
        left, top, side = square_around(box, self._config.face_margin)
        points = self._net(crop_face(image, box, self._config)[None])[0].numpy() * side + (left, top)
        eyes = eye_aspect_ratio(points[_LEFT_EYE]), eye_aspect_ratio(points[_RIGHT_EYE])
        return *eyes, *head_pose(points)

    def _append(self, time: float, values: tuple[float, ...]) -> None:
        if self._rows and time <= self._rows[-1][0]:
            return  # a frame out of order has no place between the others
        with self._lock:
            while self._rows and self._rows[0][0] < time - _KEPT_S - _NEWEST_S:
                self._rows.popleft()
            self._rows.append((time, *values))

    def blinks(self, t: float) -> list[tuple[float, float]]:
        """Return onset and end of each blink of the minute before ``t``, LSL seconds."""
        rows, closed = self._closed(t)
        return find_blinks(rows[:, 0], ~closed)

    def _closed(self, t: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the rows (n, 6) of the minute before ``t``, and whether the eyes are closed in each."""
        from scipy.ndimage import median_filter

        with self._lock:
            rows = np.array([row for row in self._rows if t - _KEPT_S < row[0] <= t]).reshape(-1, 6)
        opening = rows[:, 1:3].mean(axis=1)
        opening = opening[np.isfinite(opening)]
        if len(opening) < 2:
            return rows, np.zeros(len(rows), dtype=bool)
        size = round(_LEVEL_S / float(np.median(np.diff(rows[:, 0])))) | 1
        closed = np.zeros(len(rows), dtype=bool)
        closed[np.isfinite(rows[:, 1])] = opening < _CLOSED * median_filter(opening, size, mode="reflect")
        return rows, closed

    def at(self, t: float) -> FaceMeasures | None:
        """Return what was measured up to ``t`` (LSL seconds), None without a frame in the second before."""
        rows, closed = self._closed(t)
        if not len(rows) or rows[-1, 0] < t - _NEWEST_S:
            return None
        times, has_face = rows[:, 0], np.isfinite(rows[:, 1])
        lasts_s = float(times[-1] - times[0])
        fps, covered_s = (len(times) - 1) / max(lasts_s, 1e-9), lasts_s * float(has_face.mean())
        is_known = covered_s >= _LEAST_S and fps >= _LEAST_FPS
        rate = 60 * len(find_blinks(times, ~closed)) / covered_s if is_known else math.nan
        time, left, right, yaw, pitch, roll = rows[-1].tolist()
        is_blinking = bool(closed[-1]) if has_face[-1] else None
        ms = 1e3 * self._spent_s / max(self._n, 1)
        return FaceMeasures(time, left, right, is_blinking, rate, yaw, pitch, roll, fps, ms)
