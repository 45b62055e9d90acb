"""The simulator as a source without LSL, pumped by whoever holds the clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.simulator import face
from acquisition.simulator.behaviour import Behaviour
from acquisition.simulator.face import DrawnFace
from acquisition.simulator.faults import StreamFaults
from acquisition.simulator.schedule import Timeline
from acquisition.simulator.streams import SimulatorOptions, markers_between, signal_buffer
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamSpec

_STALE_S = 1.5
_SUPPORTED_FAULTS = ("drop", "stall")


class _Signal:
    """EEG, gaze or audio."""

    def __init__(self, key: str, behaviour: Behaviour) -> None:
        self._buffer = signal_buffer(key, behaviour)

    def take(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._buffer.take(len(times))


class _Video:
    """Frames are drawn for their time, so leaving some out costs nothing."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._face = DrawnFace(behaviour)

    def take(self, times: NDArray[np.float64]) -> tuple[bytes, ...]:
        return tuple(self._face.jpeg(t) for t in times + self._face.behaviour.begin_s)


class SimulatedSource:
    """Chunks of a simulated person, already in canonical channels and units.

    EEG is float64 microvolts, gaze has five columns, video is JPEG bytes, audio lies in -1..1.
    Sample i of a stream lies at ``start + i / sfreq``. `Chunk.start_index` counts delivered samples.

    Parameters
    ----------
    options : SimulatorOptions
        Of its faults, only drop and stall make sense without senders' clocks and outlets.
    start : float
        LSL time of the first samples.
    video_fps : float
        Frames a second, up to 15. Fewer are a selection of the same frames: at each tick of the slower
        camera the newest frame that the full one has taken by then.
    timeline : Timeline, optional
        Emotions, instead of the options' schedule.
    begin_s : float
        Session time of the first samples: the same person with the same devices, met later.

    Raises
    ------
    InputError
        If a fault or the frame rate is not possible here.
    """

    def __init__(
        self,
        options: SimulatorOptions | None = None,
        *,
        start: float = 0.0,
        video_fps: float = face.FPS,
        timeline: Timeline | None = None,
        begin_s: float = 0.0,
    ) -> None:
        self.options = options or SimulatorOptions()
        self.start = start
        if not 0 < video_fps <= face.FPS:
            raise InputError(f"expected up to {face.FPS:g} frames a second, found {video_fps}", where="video")
        faults = self.options.parsed_faults()
        for fault in faults:
            if fault.kind not in _SUPPORTED_FAULTS:
                raise InputError(
                    f"a simulator without LSL can only {' and '.join(_SUPPORTED_FAULTS)}, found {fault.kind}",
                    where="faults",
                )
        self.behaviour = self.options.person(timeline, begin_s)
        self._waits_for_late = any(fault.kind == "stall" for fault in faults)
        self._streams = [
            _PumpedStream(spec, self.behaviour, StreamFaults(faults, key, self.options.seed), video_fps)
            for key, spec in self.options.specs().items()
        ]
        self._now = -float("inf")

    @property
    def specs(self) -> tuple[StreamSpec, ...]:
        """The streams it will open."""
        return tuple(stream.spec for stream in self._streams)

    def read(self, now: float) -> list[Chunk | StreamEvent]:
        """Return everything that is due at ``now`` (LSL seconds), at most one chunk a stream."""
        self._now = max(self._now, now)
        found: list[Chunk | StreamEvent] = []
        for stream in self._streams:
            found += stream.read(self._now, self.start, self.options.duration_s)
        return found

    def complete_to(self, now: float) -> float | None:
        """Return ``now``, or None where a stall can make samples late."""
        return None if self._waits_for_late else now

    @property
    def next_time(self) -> float | None:
        """Return None: its samples come without holes that were worth passing over."""
        return None

    @property
    def exhausted(self) -> bool:
        """True when the duration is over and everything was read."""
        return self.options.duration_s is not None and all(stream.ended for stream in self._streams)

    def close(self) -> None:
        """Nothing to release."""


class _PumpedStream:
    """One stream's count of what was delivered."""

    def __init__(
        self, spec: StreamSpec, behaviour: Behaviour, faults: StreamFaults, video_fps: float
    ) -> None:
        self.spec = spec
        self.ended = False
        self._behaviour = behaviour
        self._faults = faults
        self._sfreq = video_fps if spec.kind is Kind.VIDEO else spec.sfreq
        if spec.kind is Kind.VIDEO:
            self.spec = replace(spec, sfreq=video_fps)
        self._maker: _Signal | _Video | None = None
        self._n_made = 0
        self._n_delivered = 0
        self._markers_to = behaviour.begin_s
        self._opened = self._stale = self._gap = False
        self._newest_t = 0.0  # of the last delivery, seconds since the first samples

    def read(self, now: float, start: float, duration_s: float | None) -> list[Chunk | StreamEvent]:
        events: list[Chunk | StreamEvent] = []
        t = now - start
        if self.ended or t < 0:
            return events
        if not self._opened:
            self._opened = True
            events.append(StreamEvent(self.spec.key, Change.OPENED, now, "simulated data", self.spec))
        limit = min(t, duration_s) if duration_s is not None else t
        chunk = None
        if not self._faults.stalled(t):
            chunk = (
                self._markers(limit, start) if self._sfreq == 0 else self._samples(limit, duration_s, start)
            )
        if chunk is not None:
            if self._stale:
                events.append(StreamEvent(self.spec.key, Change.BACK, now, f"{self.spec.name} is back"))
            self._stale, self._newest_t = False, t
            events.append(chunk)
        elif self._sfreq and not self._stale and t - self._newest_t > _STALE_S:
            self._stale = True
            message = f"{self.spec.name} has been silent for {t - self._newest_t:.1f} s"
            events.append(StreamEvent(self.spec.key, Change.STALE, now, message))
        if duration_s is not None and t >= duration_s and not self._faults.stalled(t):
            self.ended = True
            events.append(StreamEvent(self.spec.key, Change.ENDED, now, f"{self.spec.name} has ended"))
        return events

    def _samples(self, limit: float, duration_s: float | None, start: float) -> Chunk | None:
        n_due = int(np.floor(limit * self._sfreq + 1e-6)) + 1
        if duration_s is not None:
            n_due = min(n_due, int(np.ceil(duration_s * self._sfreq - 1e-6)))
        if n_due <= self._n_made:
            return None
        times = np.arange(self._n_made, n_due) / self._sfreq
        if self.spec.kind is Kind.VIDEO:
            times = np.floor(times * face.FPS + 1e-6) / face.FPS
        self._n_made = n_due
        kept = self._faults.kept(times)
        data = self._make(times, kept)
        breaks = tuple(int(i) for i in np.flatnonzero(self._breaks(kept)[kept]))
        return self._chunk(data, times[kept] + start, breaks) if kept.any() else None

    def _breaks(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which samples follow a dropped one, (n_samples,), and remember how it ends."""
        follows_gap = np.concatenate([[self._gap], ~kept[:-1]])
        self._gap = not kept[-1]
        return follows_gap

    def _make(self, times: NDArray[np.float64], kept: NDArray[np.bool_]) -> Any:
        if self._maker is None:
            video = self.spec.kind is Kind.VIDEO
            self._maker = _Video(self._behaviour) if video else _Signal(self.spec.key, self._behaviour)
        if isinstance(self._maker, _Video):
            return self._maker.take(times[kept])
        return self._maker.take(times)[kept]

    def _markers(self, limit: float, start: float) -> Chunk | None:
        begin = self._behaviour.begin_s
        end = float(np.nextafter(begin + limit, np.inf))
        due = markers_between(self._behaviour.timeline, self._markers_to, end)
        self._markers_to = end
        times = np.array([onset - begin for onset, _ in due])
        kept = self._faults.kept(times)
        if not kept.any():
            return None
        texts = tuple(text for (_, text), keep in zip(due, kept, strict=True) if keep)
        return self._chunk(texts, times[kept] + start, ())

    def _chunk(self, data: Any, times: NDArray[np.float64], breaks: tuple[int, ...]) -> Chunk:
        if isinstance(data, np.ndarray):
            data.setflags(write=False)
        times.setflags(write=False)
        chunk = Chunk(self.spec.key, self._n_delivered, data, times, breaks)
        self._n_delivered += len(times)
        return chunk
