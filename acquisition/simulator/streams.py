"""Turns a signal made in blocks of its own size into pieces of any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.header import SIMULATOR_ID
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator import eeg, face, gaze, voice
from acquisition.simulator.behaviour import Behaviour
from acquisition.simulator.faults import STREAM_KEYS, Fault, parse_faults
from acquisition.simulator.schedule import FollowedTimeline, Schedule, Timeline
from acquisition.simulator.subject import SimulatedSubject
from acquisition.types import Kind, StreamSpec


class BlockBuffer:
    """Hands out consecutive samples of an endless iterator of (n_samples, n_channels) blocks.

    The blocks' sizes never depend on what is asked for, so neither do the samples.
    """

    def __init__(self, blocks: Iterator[NDArray[np.float64]]) -> None:
        self._blocks = blocks
        self._held: list[NDArray[np.float64]] = []
        self.n_held = 0

    def fill(self, n_samples: int) -> bool:
        """Make one block if fewer samples are held, and say whether one was made."""
        if self.n_held >= n_samples:
            return False
        block = next(self._blocks)
        self._held.append(block)
        self.n_held += len(block)
        return True

    def take(self, n_samples: int) -> NDArray[np.float64]:
        """Return the next samples, (n_samples, n_channels)."""
        while self.fill(n_samples):
            pass
        joined = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        self._held = [joined[n_samples:]]
        self.n_held -= n_samples
        return joined[:n_samples].copy()


_TITLES = {"eeg": "EEG", "gaze": "Gaze", "video": "Video", "audio": "Audio", "markers": "Markers"}


@dataclass(frozen=True)
class SimulatorOptions:
    """Everything a user can choose about simulated devices; plain values, so it can be pickled.

    Raises
    ------
    InputError
        If a value cannot be used; the message holds the grammar.
    """

    seed: int = 1  # of the person, the schedule and the faults
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
            raise InputError(
                f"expected some of {', '.join(STREAM_KEYS)}, each once; found {', '.join(self.streams)}",
                where="streams",
            )
        if self.duration_s is not None and not self.duration_s > 0:
            raise InputError(f"expected a positive duration, found {self.duration_s}", where="duration")

    def person(self, timeline: Timeline | None = None, begin_s: float = 0.0) -> Behaviour:
        """Return the simulated person, on the scheduled timeline unless another is given; see `Behaviour`."""
        subject = SimulatedSubject(self.seed, self.difficulty)
        if timeline is None:
            timeline = FollowedTimeline() if self.follow else Schedule.parse(self.schedule, self.seed)
        return Behaviour(subject, timeline, begin_s)

    def parsed_faults(self) -> tuple[Fault, ...]:
        """Return the faults asked for."""
        return parse_faults(self.faults)

    def specs(self) -> dict[str, StreamSpec]:
        """Return the chosen streams' descriptions by key."""
        specs = (_spec(key, self) for key in STREAM_KEYS if key in self.streams)
        return {spec.key: spec for spec in specs}


def _spec(key: str, options: SimulatorOptions) -> StreamSpec:
    channels: dict[str, tuple[tuple[str, ...], tuple[str, ...], float]] = {
        "eeg": (SEED_CH_NAMES, ("microvolts",) * len(SEED_CH_NAMES), eeg.SFREQ),
        "gaze": (gaze.CH_NAMES, gaze.UNITS, gaze.SFREQ),
        "video": (("video",), ("",), face.FPS),
        "audio": (("audio",), ("",), voice.SFREQ),
        "markers": (("markers",), ("",), 0.0),
    }
    ch_names, units, sfreq = channels[key]
    return StreamSpec(
        key=key,
        name=f"{options.name_prefix}{_TITLES[key]}",
        kind=Kind(key),
        ch_names=ch_names,
        units=units,
        sfreq=sfreq,
        source_id=f"{SIMULATOR_ID}{options.seed}{options.source_id_suffix}-{key}",
        notes=("simulated data",),
    )


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
