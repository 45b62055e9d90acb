"""Video for the screen: JPEG of at most 640 pixels' width, about 15 frames a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.engine.messages import FramePart
from models.features.face import decode_frame

MAX_WIDTH = 640
_MIN_STEP_S = 0.8 / 15  # a camera of 15 frames a second comes whole, one of 30 by halves
_MAX_A_STEP = 4  # frames sent at once: a replay faster than time is thinned out
_QUALITY = 80


class VideoDisplay:
    """Thins out a video stream and packs what is left."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def push(self, frames: list[tuple[float, Any]]) -> list[FramePart]:
        """Add (time, JPEG bytes or (h, w, 3) BGR) pairs; return the frames to show."""
        due = []
        for time, frame in frames:
            if time >= self._last + _MIN_STEP_S:
                self._last = time
                due.append((time, frame))
        stride = -(-len(due) // _MAX_A_STEP) or 1
        # Counted from the end: the newest frame is the one to see.
        packed = [(time, pack_frame(frame)) for time, frame in due[::-1][::stride][::-1]]
        return [FramePart(time, jpeg) for time, jpeg in packed if jpeg]


def pack_frame(frame: bytes | np.ndarray) -> bytes:
    """Return a frame as JPEG of at most 640 pixels' width, ``b""`` if it is unreadable."""
    if isinstance(frame, bytes) and 0 < jpeg_width(frame) <= MAX_WIDTH:
        return frame
    image = decode_frame(frame)
    if image is None:
        return b""
    import cv2

    height, width = image.shape[:2]
    if width > MAX_WIDTH:
        size = (MAX_WIDTH, max(1, round(height * MAX_WIDTH / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    done, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes() if done else b""


def jpeg_width(jpeg: bytes) -> int:
    """Return the width a JPEG's frame header states, 0 if there is none (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF:
        code = jpeg[at + 1]
        if code == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # SOF0..15 without DHT, JPG, DAC
            return int.from_bytes(jpeg[at + 7 : at + 9], "big")
        else:
            at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return 0
