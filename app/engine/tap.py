"""Takes data for display off the pipeline without delaying it.

The acquire thread only appends chunks to a bounded queue; another thread turns them into parts for display
about 30 times a second. Where that is too slow, the oldest chunks are dropped and counted; dropped video is
not counted, since it is thinned out for display anyway.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from acquisition.clock import LslClock
from acquisition.quality import LEAST_SFREQ, QualityMeter
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamSpec
from app.engine.display import (
    LEAST_UNSCALED,
    EegDisplay,
    LogMelStream,
    Piece,
    RateGate,
    SpectrogramDisplay,
    VideoDisplay,
    VoiceLevel,
    joined,
)
from app.engine.messages import EegLook, GazePart, Mark, QualityPart
from app.telemetry import Failure, Listener
from models.config import ModelConfig
from models.features.config import FeatureConfig
from models.prediction import Prediction

_QUALITY_S = 1.0


#: Takes consecutive chunks of one stream, from its opening on; returns the display parts they complete.
Line = Callable[[list[Chunk]], Sequence[object]]


class EegLine:
    """Traces, spectrogram and quality of one EEG stream."""

    def __init__(self, spec: StreamSpec, config: FeatureConfig, ch_name: str, look: EegLook) -> None:
        self._spec, self._config, self._ch_name, self._look = spec, config, ch_name, look
        self._unit = spec.units[0] if len(set(spec.units)) == 1 else "unscaled"
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
        return _made(self.spectrogram.push(empty))

    def show_as(self, look: EegLook) -> list[object]:
        """Filter otherwise from now on; return the last half minute anew."""
        self._look = look
        if self.spectrogram is None or not len((kept := self.spectrogram.kept()).times):
            return []
        self._display = EegDisplay(self._spec.ch_names, self._unit, self._gate.sfreq, look)
        return _made(self._display.push(kept))

    def __call__(self, chunks: list[Chunk]) -> list[object]:
        """Add chunks of (n, C) µV."""
        piece = self._gate.pass_on(joined(chunks))
        if piece is None:
            return []
        if self._display is None or self._meter is None:
            names, sfreq = self._spec.ch_names, self._gate.sfreq
            self._display = EegDisplay(names, self._unit, sfreq, self._look)
            if sfreq >= LEAST_SFREQ:
                least = {} if self._unit == "µV" else {"least_density": LEAST_UNSCALED}
                self.spectrogram = SpectrogramDisplay(names, sfreq, self._config, self._ch_name, **least)
            self._meter = QualityMeter(names, sfreq, self._config.line_hz)
        columns = self.spectrogram and self.spectrogram.push(piece)
        return _made(self._display.push(piece), columns) + self._quality(self._meter, piece)

    def _quality(self, meter: QualityMeter, piece: Piece) -> list[object]:
        """Return the quality at each whole second that the samples reach."""
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
            channels = () if self._spec.is_shown_only else meter.assess(t)
            if self._unit != "µV":  # figures in µV would be made up
                channels = tuple(
                    replace(c, reason=c.cause if "µV" in c.reason else c.reason) for c in channels
                )
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

    def __call__(self, chunks: list[Chunk]) -> list[object]:
        """Add chunks of (n, 1) in -1..1."""
        piece = self._gate.pass_on(joined(chunks))
        if piece is None:
            return []
        if self._log_mel is None:
            self._log_mel = LogMelStream(self._gate.sfreq, self._config)
        return _made(self._level.push(piece), self._log_mel.push(piece))


def _made(*parts: object) -> list[object]:
    return [part for part in parts if part is not None]


def _samples(chunks: list[Chunk]) -> Iterator[tuple[float, Any]]:
    return ((float(t), x) for chunk in chunks for t, x in zip(chunk.times, chunk.data, strict=True))


def make_line(spec: StreamSpec, config: FeatureConfig, ch_name: str, look: EegLook) -> Line | None:
    """Return the line for a stream, None for kinds that are not displayed."""
    if spec.kind is Kind.EEG or spec.is_shown_only:
        return EegLine(spec, config, ch_name, look)
    if spec.kind is Kind.AUDIO:
        return VoiceLine(spec, config)
    if spec.kind is Kind.VIDEO:
        display = VideoDisplay()
        return lambda chunks: display.push(list(_samples(chunks)))
    if spec.kind is Kind.MARKERS:
        return lambda chunks: [Mark(t, str(x), spec.name) for t, x in _samples(chunks)]
    return partial(_gaze, spec) if spec.kind is Kind.GAZE else None


def _gaze(spec: StreamSpec, chunks: list[Chunk]) -> list[GazePart]:
    """Return gaze and pupils (n, 5) as they come."""
    piece, unit = joined(chunks), next((unit for unit in spec.units[2:4] if unit != "absent"), "")
    data = piece.data.astype(np.float32)
    return [GazePart(piece.times, data[:, :2], data[:, 2:4], data[:, 4], unit)]


_PERIOD_S = 1 / 30
#: Of queued chunks; holds the half minute that a replay reads at once after a seek.
_MAX_BYTES = 64_000_000
_MAX_FRAME_BYTES = 32_000_000  # of queued video
_N_MESSAGES = 2000


class Tap(Listener):
    """Turns chunks, events, predictions and failures into messages for the window.

    ``tell`` sends one message, from the tap's thread alone. It may block, and raises OSError when the window
    has gone, which ends the thread.
    """

    def __init__(self, tell: Callable[[object], None], model_config: ModelConfig) -> None:
        self.n_dropped = 0  # chunks of signals dropped because sending was too slow
        self._tell = tell
        self._config = model_config.features
        self._lock = threading.Lock()
        self._queue: list[tuple[StreamSpec, Chunk]] = []  # with the spec as of its arrival
        self._n_bytes = {True: 0, False: 0}  # queued, of video and of the other signals
        self._lost: set[str] = set()  # streams of which chunks were dropped since the last step
        self._messages: deque[object] = deque(maxlen=_N_MESSAGES)
        self._specs: dict[str, StreamSpec] = {}
        self._lines: dict[str, tuple[StreamSpec, Line]] = {}
        self._newest: dict[str, float] = {}
        self._broken: set[str] = set()  # streams whose display failed and was reported
        self._ch_name = ""
        self._wanted = ""
        self._look = self._wanted_look = EegLook()
        self._has_failed = False  # and that was reported
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="tap", daemon=True)

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk; costs microseconds."""
        spec = self._specs.get(chunk.stream)
        if spec is None:
            return
        is_video = spec.kind is Kind.VIDEO
        with self._lock:
            self._queue.append((spec, chunk))
            self._n_bytes[is_video] += _size(chunk)
            while self._n_bytes[is_video] > (_MAX_FRAME_BYTES if is_video else _MAX_BYTES):
                alike = (at for at, (of, _) in enumerate(self._queue) if (of.kind is Kind.VIDEO) is is_video)
                if (oldest := next(alike)) == len(self._queue) - 1:
                    break  # a single one, however large
                _, dropped = self._queue.pop(oldest)
                self._n_bytes[is_video] -= _size(dropped)
                self._lost.add(dropped.stream)
                self.n_dropped += not is_video

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state, before the stream's first chunk."""
        if event.change is Change.OPENED and event.spec is not None:
            self._specs[event.stream] = event.spec
        self.put(event)

    def on_prediction(self, prediction: Prediction) -> None:
        """Take a prediction, without what network and discriminant were given: nobody looks at it again."""
        self.put(replace(prediction, inputs=None, given={}))

    def on_failure(self, failure: Failure) -> None:
        self.put(failure)

    def put(self, message: object) -> None:
        self._messages.append(message)

    def choose_spectrogram(self, ch_name: str) -> None:
        """Show another EEG channel's spectrogram, its last half minute at once."""
        self._wanted = ch_name

    def show_eeg_as(self, look: EegLook) -> None:
        """Filter the EEG on the screen otherwise, its last half minute at once."""
        self._wanted_look = look

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what is queued and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _loop(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._stop.wait(_PERIOD_S)
            try:
                self.step()
            except OSError:
                return  # the window has gone; the owner of the pipe handles that
            except Exception as error:  # a window without messages would show no problem
                if not self._has_failed:
                    self._has_failed = True
                    self.put(Failure("display", f"some data cannot be shown: {error}", LslClock().now()))

    def step(self) -> None:
        """Send everything that has come since the last step."""
        while self._messages:
            self._tell(self._messages.popleft())
        self._choose()
        with self._lock:
            waiting, self._queue, self._n_bytes = self._queue, [], {True: 0, False: 0}
            lost, self._lost = self._lost, set()
        gathered: dict[str, tuple[StreamSpec, list[Chunk]]] = {}
        for spec, chunk in waiting:
            key = chunk.stream
            if key in lost:
                lost.discard(key)
                chunk = replace(chunk, breaks=(0, *(at for at in chunk.breaks if at != 0)))
            if self._restarts(spec, chunk):
                self._send(gathered)
                self._lines.pop(key, None)
            self._newest[key] = float(chunk.times[-1]) if len(chunk.times) else self._newest.get(key, np.nan)
            gathered.setdefault(key, (spec, []))[1].append(chunk)
        self._send(gathered)

    def _restarts(self, spec: StreamSpec, chunk: Chunk) -> bool:
        """Tell whether the stream was opened again or a replay sought back: its line must restart."""
        known = self._lines.get(chunk.stream)
        is_other = known is not None and known[0] is not spec
        return is_other or bool(len(chunk.times) and chunk.times[0] < self._newest.get(chunk.stream, -np.inf))

    def _send(self, gathered: dict[str, tuple[StreamSpec, list[Chunk]]]) -> None:
        for key, (spec, chunks) in gathered.items():
            for part in self._parts(key, spec, [chunk for chunk in chunks if len(chunk.times)]):
                self._tell(part)
        gathered.clear()

    def _parts(self, key: str, spec: StreamSpec, chunks: list[Chunk]) -> list[object]:
        """Return a stream's parts; a line that fails restarts and is reported once."""
        if not chunks:
            return []
        if key not in self._lines:
            line = make_line(spec, self._config, self._ch_name, self._look)
            if line is None:
                return []
            self._lines[key] = spec, line
        try:
            return list(self._lines[key][1](chunks))
        except Exception as error:  # a display error must not stop decoding
            del self._lines[key]
            if key in self._broken:
                return []
            self._broken.add(key)
            return [Failure("display", f"{spec.name} cannot be shown: {error}", float(chunks[-1].times[-1]))]

    def _choose(self) -> None:
        is_other_look, is_other_channel = self._wanted_look != self._look, self._wanted != self._ch_name
        self._ch_name, self._look = self._wanted, self._wanted_look
        for _, line in self._lines.values():
            if isinstance(line, EegLine):
                parts = line.show_as(self._look) if is_other_look else []
                for part in parts + (line.choose(self._ch_name) if is_other_channel else []):
                    self._tell(part)


def _size(chunk: Chunk) -> int:
    if isinstance(chunk.data, tuple):
        return 200 + sum(len(x) if isinstance(x, (bytes, str)) else x.nbytes for x in chunk.data)
    return 200 + chunk.data.nbytes
