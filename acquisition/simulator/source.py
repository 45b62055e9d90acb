"""A simulated subject with four devices and markers, as a source without LSL, for demo, tests and training.

Everything that comes out of here is simulated data and says so.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.header import SIMULATOR_ID
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator import eeg, face, gaze, voice
from acquisition.simulator.behaviour import Behaviour, FollowedTimeline, Schedule, Timeline
from acquisition.simulator.face import DrawnFace
from acquisition.simulator.faults import STREAM_KEYS, Fault, StreamFaults, parse_faults
from acquisition.simulator.subject import SimulatedSubject
from acquisition.types import Change, Chunk, Kind, StreamEvent, StreamLedger, StreamSpec


class BlockBuffer:
    """Hands out consecutive samples of an endless iterator of (n_samples, n_channels) blocks.

    The blocks' sizes never depend on what is asked for, so neither do the samples.
    """

    def __init__(self, blocks: Iterator[NDArray[np.float64]]) -> None:
        self._blocks = blocks
        self._held: list[NDArray[np.float64]] = []

    def take(self, n_samples: int) -> NDArray[np.float64]:
        """Return the next samples, (n_samples, n_channels)."""
        while sum(map(len, self._held)) < n_samples:
            self._held.append(next(self._blocks))
        joined = np.concatenate(self._held)
        self._held = [joined[n_samples:]]
        return joined[:n_samples]


#: What each stream carries: title, channel names, units, Hz.
_STREAMS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], float]] = {
    "eeg": ("EEG", SEED_CH_NAMES, ("microvolts",) * len(SEED_CH_NAMES), eeg.SFREQ),
    "gaze": ("Gaze", gaze.CH_NAMES, gaze.UNITS, gaze.SFREQ),
    "video": ("Video", ("video",), ("",), face.FPS),
    "audio": ("Audio", ("audio",), ("",), voice.SFREQ),
    "markers": ("Markers", ("markers",), ("",), 0.0),
}


@dataclass(frozen=True)
class SimulatorOptions:
    """Everything a user can choose about simulated devices; plain values, so it can be pickled.

    Raises `InputError` if a value cannot be used; the message holds the grammar.
    """

    seed: int = 1  # of the subject, the schedule and the faults
    difficulty: str | float = "default"  # see SimulatedSubject
    schedule: str = "random:20"  # see Schedule.parse
    streams: tuple[str, ...] = STREAM_KEYS
    faults: str = ""  # see the module faults
    duration_s: float | None = None  # None = until stopped
    name_prefix: str = "Simulated"  # stream names are SimulatedEEG, SimulatedGaze, ...
    source_id_suffix: str = ""  # tells two simulators of the same seed apart
    follow: str = ""  # name, type or source_id of a marker stream that sets the emotion

    def __post_init__(self) -> None:
        self.person()
        self.parsed_faults()
        unknown = [key for key in self.streams if key not in STREAM_KEYS]
        if unknown or not self.streams or len(set(self.streams)) < len(self.streams):
            what = f"expected some of {', '.join(STREAM_KEYS)}, each once; found {', '.join(self.streams)}"
            raise InputError(what, where="streams")
        if self.duration_s is not None and not self.duration_s > 0:
            raise InputError(f"expected a positive duration, found {self.duration_s}", where="duration")

    def person(self, timeline: Timeline | None = None, begin_s: float = 0.0) -> Behaviour:
        """Return the simulated subject, on the scheduled timeline or on another one; see `Behaviour`."""
        subject = SimulatedSubject(self.seed, self.difficulty)
        if timeline is None:
            timeline = FollowedTimeline() if self.follow else Schedule.parse(self.schedule, self.seed)
        return Behaviour(subject, timeline, begin_s)

    def parsed_faults(self) -> tuple[Fault, ...]:
        return parse_faults(self.faults)

    def specs(self) -> dict[str, StreamSpec]:
        """Return the chosen streams' descriptions by key."""
        return {
            key: StreamSpec(
                key=key,
                name=f"{self.name_prefix}{title}",
                kind=Kind(key),
                ch_names=ch_names,
                units=units,
                sfreq=sfreq,
                source_id=f"{SIMULATOR_ID}{self.seed}{self.source_id_suffix}-{key}",
                notes=("simulated data",),
                is_simulated=True,
            )
            for key, (title, ch_names, units, sfreq) in _STREAMS.items()
            if key in self.streams
        }


def signal_buffer(key: str, behaviour: Behaviour) -> BlockBuffer:
    """Return the samples of ``eeg``, ``gaze`` or ``audio``."""
    blocks = {"eeg": eeg.eeg_blocks, "gaze": gaze.gaze_blocks, "audio": voice.voice_blocks}
    return BlockBuffer(blocks[key](behaviour))


def markers_between(timeline: Timeline, t_start: float, t_end: float) -> list[tuple[float, str]]:
    """Return (session time, text) of the markers with ``t_start <= time < t_end``.

    ``trial_end/EMOTION`` closes a trial, then ``trial_start/EMOTION`` or ``rest_start`` opens the next.
    """
    found = []
    for segment in timeline.segments_between(t_start, t_end):
        before = timeline.segment_before(segment)
        if before is not None and before.emotion is not None:
            found.append((segment.onset_s, f"trial_end/{before.emotion}"))
        found.append((segment.onset_s, f"trial_start/{segment.emotion}" if segment.emotion else "rest_start"))
    return found


_STALE_S = 1.5


class SimulatedSource:
    """Chunks of a simulated subject, already in canonical channels and units.

    EEG is float64 microvolts, gaze has five columns, video is JPEG bytes, audio lies in -1..1.
    Sample i of a stream lies at ``start + i / sfreq``. `Chunk.start_index` counts delivered samples.

    Parameters
    ----------
    video_fps : float
        Frames a second, up to 15. Fewer are a selection of the same frames: at each tick of the slower
        camera the newest frame that the full one has taken by then.
    timeline : Timeline, optional
        Emotions, instead of the options' schedule.
    begin_s : float
        Session time of the first samples: the same subject with the same devices, later.
    possible_faults : collection of str
        Only drop and stall happen here; the others need a sender's clock and an outlet.
    longest_s : float
        Made at most of a stream at one `read`, so that no stream starves the others after a stall.

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
        possible_faults: Collection[str] = ("drop", "stall"),
        longest_s: float = float("inf"),
    ) -> None:
        self.options = options or SimulatorOptions()
        self.start = start
        if not 0 < video_fps <= face.FPS:
            raise InputError(f"expected up to {face.FPS:g} frames a second, found {video_fps}", where="video")
        faults = self.options.parsed_faults()
        for fault in faults:
            if fault.kind not in possible_faults:
                what = f"a simulator without LSL can only {' and '.join(possible_faults)}, found {fault.kind}"
                raise InputError(what, where="faults")
        self.behaviour = self.options.person(timeline, begin_s)
        self._waits_for_late = any(fault.kind == "stall" for fault in faults)
        seed, specs = self.options.seed, self.options.specs()
        self._streams = [
            _PumpedStream(spec, self.behaviour, StreamFaults(faults, key, seed), video_fps, longest_s)
            for key, spec in specs.items()
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
        return self.options.duration_s is not None and all(stream.ended for stream in self._streams)

    def ledgers(self) -> dict[str, StreamLedger]:
        """Return nothing: all of its samples are used."""
        return {}

    def close(self) -> None:
        """Nothing to release."""


class _PumpedStream:
    """One stream's count of what was delivered."""

    def __init__(
        self, spec: StreamSpec, behaviour: Behaviour, faults: StreamFaults, video_fps: float, longest_s: float
    ) -> None:
        self.spec = replace(spec, sfreq=video_fps) if spec.kind is Kind.VIDEO else spec
        self.ended = False
        self._behaviour, self._faults, self._longest_s = behaviour, faults, longest_s
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
        if not self._faults.active("stall", t):
            has_rate = self.spec.sfreq > 0
            chunk = self._samples(limit, duration_s, start) if has_rate else self._markers(limit, start)
        if chunk is not None:
            if self._stale:
                events.append(StreamEvent(self.spec.key, Change.BACK, now, f"{self.spec.name} is back"))
            self._stale, self._newest_t = False, t
            events.append(chunk)
        elif self.spec.sfreq and not self._stale and t - self._newest_t > _STALE_S:
            self._stale = True
            message = f"{self.spec.name} has been silent for {t - self._newest_t:.1f} s"
            events.append(StreamEvent(self.spec.key, Change.STALE, now, message))
        if duration_s is not None and t >= duration_s and not self._faults.active("stall", t):
            self.ended = True
            events.append(StreamEvent(self.spec.key, Change.ENDED, now, f"{self.spec.name} has ended"))
        return events

    def _samples(self, limit: float, duration_s: float | None, start: float) -> Chunk | None:
        n_due = int(np.floor(limit * self.spec.sfreq + 1e-6)) + 1
        if duration_s is not None:
            n_due = min(n_due, int(np.ceil(duration_s * self.spec.sfreq - 1e-6)))
        if n_due <= self._n_made:
            return None
        if n_due - self._n_made > self._longest_s * self.spec.sfreq:
            n_due = self._n_made + int(np.ceil(self._longest_s * self.spec.sfreq))
        times = np.arange(self._n_made, n_due) / self.spec.sfreq
        if self.spec.kind is Kind.VIDEO:
            times = np.floor(times * face.FPS + 1e-6) / face.FPS
        self._n_made = n_due
        kept = self._faults.kept(times)
        data = self._make(times, kept)
        follows_gap = np.concatenate([[self._gap], ~kept[:-1]])
        self._gap = not kept[-1]
        breaks = tuple(np.flatnonzero(follows_gap[kept]).tolist())
        return self._chunk(data, times[kept] + start, breaks) if kept.any() else None

    @cached_property
    def _device(self) -> DrawnFace | BlockBuffer:
        is_video = self.spec.kind is Kind.VIDEO
        return DrawnFace(self._behaviour) if is_video else signal_buffer(self.spec.key, self._behaviour)

    def _make(self, times: NDArray[np.float64], kept: NDArray[np.bool_]) -> Any:
        if isinstance(self._device, BlockBuffer):
            return self._device.take(len(times))[kept]
        # Drawn for its time, so a frame that is skipped costs nothing.
        return tuple(map(self._device.jpeg, times[kept] + self._behaviour.begin_s))

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
