"""Measures what the pre-flight says of gaze, face and voice, over the newest seconds of the streams."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from acquisition.quality import ChannelQuality
from acquisition.types import Chunk, Kind
from calibration.quality_log import FULL_SCALE
from calibration.signal_checks import Measured

_OVER_S = 10.0
_VALIDITY = 4  # column, see acquisition.adapters.gaze.COLUMNS


class SignalMeter:
    """Takes chunks and what the face finder found; no thread, no clock."""

    def __init__(self) -> None:
        self._gaze = _Sums()
        self._face = _Sums()
        self._voice = _Sums()

    def push(self, kind: Kind, chunk: Chunk) -> None:
        """Take a chunk of gaze (n, 5) or audio (n, 1); others tell nothing here."""
        if not isinstance(chunk.data, np.ndarray) or len(chunk.times) == 0:
            return
        t = float(chunk.times[-1])
        if kind is Kind.GAZE:
            self._gaze.add(t, len(chunk.data), float((chunk.data[:, _VALIDITY] > 0).sum()), 0.0)
        elif kind is Kind.AUDIO:
            wave = np.nan_to_num(np.asarray(chunk.data, dtype=np.float64))
            n_clipped = float((np.abs(wave) >= FULL_SCALE).sum())
            self._voice.add(t, wave.size, n_clipped, float((wave**2).sum()))

    def push_face(self, time: float, is_found: bool) -> None:
        """Take whether a frame, at ``time`` in LSL seconds, shows a face."""
        self._face.add(time, 1, float(is_found), 0.0)

    def measured(self, electrodes: Sequence[ChannelQuality] = ()) -> Measured:
        """Return the figures of the newest ten seconds of each stream."""
        n_voice, n_clipped, energy = self._voice.totals()
        level_db = None
        if n_voice:
            level_db = 10 * math.log10(energy / n_voice) if energy > 0 else -math.inf
        return Measured(
            electrodes=tuple(electrodes),
            gaze_valid=self._gaze.share(),
            face_found=self._face.share(),
            voice_clipped=n_clipped / n_voice if n_voice else None,
            voice_db=level_db,
        )


class _Sums:
    """Counts and sums by time, of the newest seconds."""

    def __init__(self) -> None:
        self._parts: deque[tuple[float, int, float, float]] = deque()

    def add(self, time: float, n: int, n_hits: float, energy: float) -> None:
        self._parts.append((time, n, n_hits, energy))
        while self._parts[0][0] < time - _OVER_S:
            self._parts.popleft()

    def totals(self) -> tuple[int, float, float]:
        return (
            sum(part[1] for part in self._parts),
            sum(part[2] for part in self._parts),
            sum(part[3] for part in self._parts),
        )

    def share(self) -> float | None:
        n, n_hits, _ = self.totals()
        return n_hits / n if n else None
