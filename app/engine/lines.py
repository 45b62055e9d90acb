"""One stream's line from chunks to what the screen shows of it, by kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from acquisition.quality import QualityMeter
from acquisition.types import Chunk, Kind, StreamSpec
from app.engine.eeg_display import EegDisplay
from app.engine.messages import GazePart, MarkerPart, QualityPart
from app.engine.pieces import Piece, RateGate, joined
from app.engine.spectrogram_display import SpectrogramDisplay
from app.engine.video_display import VideoDisplay
from app.engine.voice_display import LogMelStream, VoiceLevel
from models.features.config import FeatureConfig

_QUALITY_S = 1.0


class Line(Protocol):
    """What every kind of stream can do; a line serves one stream from when it was opened."""

    def push(self, chunks: list[Chunk]) -> Sequence[object]:
        """Add consecutive chunks; return the parts they complete."""


class EegLine:
    """Traces, spectrogram and quality of one EEG stream."""

    def __init__(self, spec: StreamSpec, config: FeatureConfig, ch_name: str) -> None:
        self._spec = spec
        self._config = config
        self._ch_name = ch_name
        self._gate = RateGate(spec.sfreq)
        self._display: EegDisplay | None = None
        self.spectrogram: SpectrogramDisplay | None = None
        self._meter: QualityMeter | None = None
        self._next_quality: int | None = None

    def choose(self, ch_name: str) -> list[object]:
        """Show another channel's spectrogram; return its last half minute."""
        self._ch_name = ch_name
        if self.spectrogram is None:
            return []
        self.spectrogram.choose(ch_name)
        empty = Piece(np.empty((0, len(self._spec.ch_names))), np.empty(0))
        part = self.spectrogram.push(empty)
        return [] if part is None else [part]

    def push(self, chunks: list[Chunk]) -> list[object]:
        """Add chunks of (n, C) µV."""
        piece = self._gate.pass_on(joined(chunks))
        if piece is None:
            return []
        if self._display is None or self.spectrogram is None or self._meter is None:
            names, sfreq = self._spec.ch_names, self._gate.sfreq
            unit = "µV" if all(unit == "µV" for unit in self._spec.units) else "unscaled"
            self._display = EegDisplay(names, unit, sfreq)
            self.spectrogram = SpectrogramDisplay(names, sfreq, self._config, self._ch_name)
            self._meter = QualityMeter(names, sfreq, self._config.line_hz)
        parts = [self._display.push(piece), self.spectrogram.push(piece)]
        return [part for part in parts if part is not None] + self._quality(self._meter, piece)

    def _quality(self, meter: QualityMeter, piece: Piece) -> list[object]:
        """Return the quality as of each whole second that the samples reach."""
        parts: list[object] = []
        start = 0
        while start < len(piece.times):
            if self._next_quality is None:
                self._next_quality = math.floor(piece.times[start] / _QUALITY_S) + 1
            t = self._next_quality * _QUALITY_S
            stop = int(np.searchsorted(piece.times, t))
            part = piece.part(start, stop)
            meter.push(part.data, part.breaks)
            if stop == len(piece.times):
                break
            channels = meter.assess(t)
            parts += [QualityPart(t, channels)] if channels else []
            self._next_quality = math.floor(piece.times[stop] / _QUALITY_S) + 1  # passes over a gap
            start = stop
        return parts


class VoiceLine:
    """Level and log-mel of one audio stream."""

    def __init__(self, spec: StreamSpec, config: FeatureConfig) -> None:
        self._config = config
        self._gate = RateGate(spec.sfreq)
        self._level = VoiceLevel()
        self._log_mel: LogMelStream | None = None

    def push(self, chunks: list[Chunk]) -> list[object]:
        """Add chunks of (n, 1) in -1..1."""
        piece = self._gate.pass_on(joined(chunks))
        if piece is None:
            return []
        if self._log_mel is None:
            self._log_mel = LogMelStream(self._gate.sfreq, self._config)
        parts = [self._level.push(piece), self._log_mel.push(piece)]
        return [part for part in parts if part is not None]


class GazeLine:
    """Gaze and pupils as they come."""

    def __init__(self, spec: StreamSpec) -> None:
        units = [unit for unit in spec.units[2:4] if unit != "absent"]
        self._pupil_unit = units[0] if units else ""

    def push(self, chunks: list[Chunk]) -> list[object]:
        """Add chunks of (n, 5)."""
        piece = joined(chunks)
        data = piece.data.astype(np.float32)
        return [GazePart(piece.times, data[:, :2], data[:, 2:4], data[:, 4], self._pupil_unit)]


class VideoLine:
    """Frames."""

    def __init__(self) -> None:
        self._display = VideoDisplay()

    def push(self, chunks: list[Chunk]) -> Sequence[object]:
        """Add chunks of frames."""
        frames: list[tuple[float, Any]] = [
            (float(t), x) for c in chunks for t, x in zip(c.times, c.data, strict=True)
        ]
        return self._display.push(frames)


class MarkerLine:
    """Markers as they come."""

    def __init__(self, spec: StreamSpec) -> None:
        self._name = spec.name

    def push(self, chunks: list[Chunk]) -> list[object]:
        """Add chunks of texts."""
        return [
            MarkerPart(float(t), str(x), self._name)
            for c in chunks
            for t, x in zip(c.times, c.data, strict=True)
        ]


def make_line(spec: StreamSpec, config: FeatureConfig, ch_name: str) -> Line | None:
    """Return the line of a stream's kind, None where the screen has no place for it."""
    if spec.kind is Kind.EEG:
        return EegLine(spec, config, ch_name)
    if spec.kind is Kind.AUDIO:
        return VoiceLine(spec, config)
    if spec.kind is Kind.GAZE:
        return GazeLine(spec)
    if spec.kind is Kind.VIDEO:
        return VideoLine()
    return MarkerLine(spec) if spec.kind is Kind.MARKERS else None
