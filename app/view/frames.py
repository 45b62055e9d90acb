"""Video frames of the last ten minutes in bounded bytes: the newest minute whole, the rest thinned."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque

from app.engine.messages import FramePart
from app.view.history import KEEP_S

_WHOLE_S = 60.0  # every frame is kept for so long
_THINNED_S = 0.5  # older frames are at least so far apart
_MAX_BYTES = 64_000_000
_MAX_AGE_S = 1.0  # an older frame is not what the camera shows


class FrameHistory:
    """JPEG frames, found by time."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._old: deque[FramePart] = deque()
        self._recent: deque[FramePart] = deque()

    def __len__(self) -> int:
        return len(self._old) + len(self._recent)

    @property
    def n_bytes(self) -> int:
        """What the kept frames take."""
        return self._n_bytes

    @property
    def newest_time(self) -> float:
        """Time of the newest frame, NaN while empty."""
        kept = self._recent or self._old
        return kept[-1].time if kept else math.nan

    @property
    def oldest_time(self) -> float:
        """Time of the oldest frame that is kept, NaN while empty."""
        kept = self._old or self._recent
        return kept[0].time if kept else math.nan

    def add(self, frame: FramePart) -> None:
        """Add a frame; one that is no newer than the newest voids what is not older than it."""
        if not math.isfinite(frame.time):
            return
        while len(self) and self.newest_time >= frame.time:
            self._drop(self._recent or self._old, newest=True)
        self._recent.append(frame)
        self._n_bytes += len(frame.jpeg)
        while self._recent[0].time < frame.time - _WHOLE_S:
            self._thin()
        while self._old and self._old[0].time < frame.time - KEEP_S:
            self._drop(self._old)
        while self._n_bytes > self._max_bytes and len(self) > 1:
            self._drop(self._old or self._recent)

    def at(self, t: float) -> FramePart | None:
        """Return the newest frame at or before ``t`` that is not older than 1 s."""
        frames = self._recent if self._recent and self._recent[0].time <= t else self._old
        position = bisect_right(frames, t, key=lambda frame: frame.time)
        if position == 0 or frames[position - 1].time < t - _MAX_AGE_S:
            return None
        return frames[position - 1]

    def cut_after(self, t: float) -> None:
        """Drop what is newer than ``t``."""
        while len(self) and self.newest_time > t:
            self._drop(self._recent or self._old, newest=True)

    def _thin(self) -> None:
        """Let the oldest whole frame pass over to the thinned ones, or go."""
        frame = self._recent[0]
        if self._old and frame.time < self._old[-1].time + _THINNED_S:
            self._drop(self._recent)
        else:
            self._old.append(self._recent.popleft())

    def _drop(self, frames: deque[FramePart], newest: bool = False) -> None:
        self._n_bytes -= len((frames.pop() if newest else frames.popleft()).jpeg)
