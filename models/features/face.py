"""Finds the face in a video frame and cuts it out for the vision transformer.

Every function looks at one frame alone: no tracking, so that a frame's crop is the same whether frames
were dropped before it or not.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.features.config import FeatureConfig

#: x, y of the upper left corner, width, height, in pixels of the frame.
Box = tuple[int, int, int, int]

VIT_MEAN = 0.5
VIT_SD = 0.5


def decode_frame(frame: bytes | NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Return JPEG, (h, w, 3) BGR or (h, w) gray as BGR (h, w, 3) uint8; None if it is unreadable."""
    import cv2

    if isinstance(frame, np.ndarray):
        if frame.dtype != np.uint8 or frame.size == 0:
            return None
        if frame.ndim == 2:
            return cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
        return frame if frame.ndim == 3 and frame.shape[2] == 3 else None
    if not frame:
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


def crop_face(image: NDArray[np.uint8], box: Box, config: FeatureConfig | None = None) -> torch.Tensor:
    """Return the face in a BGR image (h, w, 3) as the vision transformer wants it.

    That is (3, face_size, face_size), float32, RGB, (value / 255 - 0.5) / 0.5, as ``ViTImageProcessor``
    normalises. The crop is the square around the box, wider by ``face_margin`` on each side; what lies
    outside the frame repeats the frame's edge.
    """
    import cv2

    config = config or FeatureConfig()
    x, y, w, h = box
    side = max(1, round(max(w, h) * (1 + 2 * config.face_margin)))
    left = x + w // 2 - side // 2
    top = y + h // 2 - side // 2
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
