"""Video and voice for display: JPEG at most 640 pixels wide, level, and log-mel frames."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.quality import decibel
from app.engine.eeg_display import BinSplitter, Piece
from app.engine.messages import FramePart, LogMelPart, VoicePart
from models.features.config import FeatureConfig
from models.features.face import decode_frame, jpeg_size
from models.features.log_mel import FRAME, HOP, log_mel, n_log_mel_frames, resample, resample_ratio

MAX_WIDTH = 640
_MIN_STEP_S = 0.8 / 15  # all frames of a camera at 15 fps, half of those at 30 fps
_MAX_A_STEP = 4  # frames sent at once; thins out a fast replay
_QUALITY = 80


class VideoDisplay:
    """Thins out a video stream and packs its frames."""

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
        # Counted from the end, to keep the newest frame.
        packed = [(time, pack_frame(frame)) for time, frame in due[::-1][::stride][::-1]]
        return [FramePart(time, jpeg) for time, jpeg in packed if jpeg]


def pack_frame(frame: bytes | np.ndarray) -> bytes:
    """Return a frame as JPEG at most 640 pixels wide and 1280 high, ``b""`` if it is unreadable."""
    if isinstance(frame, bytes):
        width, height = jpeg_size(frame)
        if 0 < max(width, height / 2) <= MAX_WIDTH:
            return frame
    image = decode_frame(frame)
    if image is None:
        return b""
    import cv2

    height, width = image.shape[:2]
    scale = MAX_WIDTH / max(width, height / 2)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    done, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return packed.tobytes() if done else b""


LEVEL_BIN_S = 0.02
_MIN_FRAMES = 8  # of a batch: one call costs as much as ten frames


class VoiceLevel:
    """Root mean square and peak of each 20 ms, dB relative to full scale."""

    def __init__(self) -> None:
        self._splitter = BinSplitter(LEVEL_BIN_S)

    def push(self, piece: Piece) -> VoicePart | None:
        """Add samples (n, 1) in -1..1; return the bins they complete."""
        split = self._splitter.split(piece)
        if split is None:
            return None
        whole, bins, starts = split
        wave = whole.data[:, 0].astype(np.float64)
        is_finite = np.isfinite(wave)
        wave = np.where(is_finite, wave, 0.0)
        n = np.add.reduceat(is_finite.astype(np.float64), starts)
        with np.errstate(divide="ignore", invalid="ignore"):
            rms = np.sqrt(np.add.reduceat(wave * wave, starts) / n)  # NaN where no sample is finite
        peak = np.where(n > 0, np.maximum.reduceat(np.abs(wave), starts), np.nan)
        return VoicePart(LEVEL_BIN_S, bins, _decibels(rms), _decibels(peak))


def _decibels(amplitudes: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.array([decibel(amplitude) for amplitude in amplitudes], np.float32)


class LogMelStream:
    """Log-mel frames every 10 ms as the sound comes in, equal to those of the whole sound at once."""

    def __init__(self, sfreq: float, config: FeatureConfig) -> None:
        self._sfreq, self._config = sfreq, config
        ratio = resample_ratio(sfreq, config)
        self._up, self._down = ratio.numerator, ratio.denominator
        # scipy's resample_poly looks 10 * max(up, down) steps of the common rate to either side.
        reach = 0 if ratio == 1 else math.ceil(10 * max(self._up, self._down) / self._up) + 1
        self._margin = math.ceil(reach / self._down) * self._down  # whole periods keep the phase
        self._restart()

    def _restart(self) -> None:
        self._raw = np.empty(0, np.float32)
        self._times = np.empty(0)
        self._n_past = 0  # raw samples at the front, already resampled, kept as context
        self._wave = torch.empty(0)  # at 16 kHz, from the next frame's first sample on
        self._wave_times = np.empty(0)

    def push(self, piece: Piece) -> LogMelPart | None:
        """Add samples (n, 1) in -1..1; return the frames they complete, or None."""
        parts: list[LogMelPart] = []
        for begins, run in piece.runs():
            if begins:  # no frame spans a gap
                parts += self._frames(1)
                self._restart()
            self._raw = np.concatenate([self._raw, run.data[:, 0].astype(np.float32)])
            self._times = np.concatenate([self._times, run.times])
            self._resample_new()
            parts += self._frames(_MIN_FRAMES)
        if len(parts) < 2:
            return parts[0] if parts else None
        return LogMelPart(
            np.concatenate([part.times for part in parts]), np.concatenate([part.values for part in parts])
        )

    def _frames(self, n_least: int) -> list[LogMelPart]:
        """Return the complete frames, if there are enough of them."""
        n = n_log_mel_frames(len(self._wave))
        if n < n_least:
            return []
        # Half precision reaches 65504; normalised frames lie within -2 and 3, only broken sound goes beyond.
        values = log_mel(self._wave, self._config).clamp(-6e4, 6e4).numpy().astype(np.float16)
        times = self._wave_times[FRAME // 2 :: HOP][:n].copy()
        self._wave, self._wave_times = self._wave[n * HOP :], self._wave_times[n * HOP :]
        return [LogMelPart(times, values)]

    def _resample_new(self) -> None:
        """Resample the samples with context on both sides to 16 kHz."""
        n_new = (len(self._raw) - self._n_past - self._margin) // self._down * self._down
        if n_new <= 0:
            return
        end = self._n_past + n_new
        first = self._n_past // self._down * self._up
        n_out = n_new // self._down * self._up
        wave = resample(self._raw[: end + self._margin], self._sfreq, self._config)[first : first + n_out]
        self._wave = torch.cat([self._wave, wave])
        at = np.arange(n_out) * (self._down / self._up)
        times = np.interp(at, np.arange(n_new), self._times[self._n_past : end])
        self._wave_times = np.concatenate([self._wave_times, times])
        self._n_past = min(end, self._margin)
        self._raw, self._times = self._raw[end - self._n_past :], self._times[end - self._n_past :]
