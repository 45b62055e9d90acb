"""Measures what a recording holds: rates, gaps, clock resets, damage."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters import AdapterOptions
from acquisition.adapters.eeg import by_its_units, described_wrongly
from acquisition.adapters.media import MarkerAdapter
from acquisition.errors import InputError
from acquisition.header import stream_identity
from acquisition.intake import Adapter, make_adapter, make_mapper
from acquisition.quality import AMPLITUDE_S, amplitude_of, without_numbers
from acquisition.select import exclude_unusable, kind_of, select_streams
from acquisition.text import finite
from acquisition.types import MODALITY_OF_KIND, Kind, MapSegment, StreamHeader, StreamLedger
from acquisition.xdf.format import Damage, StreamIndex
from acquisition.xdf.outline import clock_reset_starts, read_recorded_segments, unix_message, unix_stamped
from acquisition.xdf.parts import open_recording
from acquisition.xdf.reader import StreamReader, recut

_MIN_GAP_S = 0.1  # a longer hole in a regular stream is a gap ...
_GAP_PERIODS = 3.0  # ... if it is longer than this many sample periods
_LARGEST_SFREQ = 1e9  # Hz: stamps that are all but equal tell no rate
_BREAK_S = 1.0  # longer holes and steps back do not count in the measured rate


@dataclass(frozen=True)
class ClockSegment:
    """Samples between two clock resets."""

    first_sample: int
    last_sample: int  # inclusive
    first_time: float  # LSL seconds
    last_time: float


@dataclass(frozen=True)
class StreamReport:
    """One stream as it was recorded. Times are LSL seconds (raw stamp + clock offset), NaN if empty."""

    stream_id: int
    header: StreamHeader
    n_samples: int
    measured_sfreq: float  # Hz without breaks; 0 where it cannot be measured
    first_time: float
    last_time: float
    n_gaps: int  # of a regular stream: holes above 0.1 s and 3 periods
    longest_gap_s: float  # between any two samples of a regular stream where it is a gap, else 0
    n_backward: int  # raw stamps before the one before them
    segments: tuple[ClockSegment, ...]  # one, more after clock resets, () if empty
    unix_stamped: bool  # Unix time beside streams on the LSL clock
    placed: tuple[float, float] = (math.nan, math.nan)  # first and last time as a replay places them
    ledger: StreamLedger = field(default_factory=StreamLedger)  # what a replay makes of its timestamps
    refused: str = ""  # why a replay does not use it
    stops: bool = False  # nor goes on without it
    behind_s: float = 0.0  # its stamps behind those of the others beside which they stand in the file
    values: Mapping[str, int] = field(default_factory=dict)  # how often each marker occurs
    notes: tuple[str, ...] = ()  # what a replay has to say of its channels
    units: tuple[str, ...] = ()  # different ones that the header gives, "" where it gives none
    amplitude_uv: float = math.nan  # of EEG: SD of a second without trend, by its unit; without one, as of µV

    @property
    def is_empty(self) -> bool:
        """True where not one sample was recorded."""
        return self.n_samples == 0

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last sample."""
        return 0.0 if self.is_empty else self.last_time - self.first_time


@dataclass(frozen=True)
class XdfReport:
    """What a recording holds."""

    path: Path
    n_bytes: int
    streams: tuple[StreamReport, ...]
    damage: tuple[Damage, ...]
    has_clock_map: bool  # an own recording, which carries its clock maps
    refused: str = ""  # why a replay cannot choose among its streams
    notes: tuple[str, ...] = ()  # on the parts of a recording

    @property
    def duration_s(self) -> float:
        """Seconds from the first sample of any stream to the last of any; Unix-stamped ones left out."""
        placed = [stream for stream in self.streams if not stream.is_empty and not stream.unix_stamped]
        if not placed:
            return 0.0
        return max(stream.last_time for stream in placed) - min(stream.first_time for stream in placed)

    def to_json(self) -> dict[str, Any]:
        """Return the report in types that JSON knows; NaN becomes None."""
        streams = [_stream_json(stream) for stream in self.streams]
        damage = [vars(entry) for entry in self.damage]
        more = {"path": str(self.path), "duration_s": self.duration_s, "streams": streams, "damage": damage}
        return dict(finite(vars(self) | more))


def inspect_xdf(
    path: Path,
    progress: Callable[[float], None] = lambda share: None,
    options: AdapterOptions | None = None,
    *,
    alone: bool = False,
) -> XdfReport:
    """Read a recording, with all of its parts unless ``alone``, once and report on it, in bounded memory.

    With ``options`` of a replay's adapters, it is told which streams the replay refuses, and its notes.

    Raises `InputError` if the file cannot be opened or is not an XDF file.
    """
    index = open_recording(path, alone=alone)
    recorded = read_recorded_segments(index)
    unix = unix_stamped(index, recorded)
    damage = list(index.damage)
    reports: list[StreamReport] = []
    kinds: dict[int, Kind] = {}
    refused = ""
    try:
        kinds = index.with_following(select_streams(index.headers))
    except InputError as error:
        refused = str(error)
    made: dict[int, Adapter | InputError] = {}
    for i, kind in kinds.items() if options is not None else ():
        try:
            made[i] = make_adapter(index.streams[i].header, "", kind, options)
        except InputError as error:
            made[i] = error
    stopping = _stopping(kinds, made)
    signals = [i for i, kind in kinds.items() if kind in MODALITY_OF_KIND and i not in unix]
    behind = _behind([index.streams[i] for i in signals])
    n_done, n_all = 0, max(1, sum(stream.n_samples for stream in index.streams.values()))
    for stream_id, stream in index.streams.items():
        kind = kinds.get(stream_id, kind_of(stream.header))
        values: Counter[str] = Counter()
        measure = _Measure(stream, kind, recorded.get(stream_identity(stream.header), ()))
        first: list[NDArray[Any]] = []  # of EEG, as much as its amplitude needs
        n_first = AMPLITUDE_S * (stream.header.nominal_sfreq or 1000.0) if kind is Kind.EEG else 0.0
        with StreamReader(index.path, stream) as reader:
            for block in recut(reader.blocks(), _N_AT_A_TIME):  # files of one sample a chunk are slow
                measure.add(block.stamps)
                if n_first > 0 and isinstance(block.values, np.ndarray):
                    first.append(block.values)
                    n_first -= len(block.values)
                if kind is Kind.MARKERS and len(values) < _MOST_VALUES:
                    values.update(MarkerAdapter(stream.header, "").convert(block.values))
                n_done += len(block.stamps)
                progress(min(1.0, n_done / n_all))
        damage.extend(reader.damage)
        report = replace(
            measure.report(stream_id in unix),
            behind_s=behind.get(stream_id, 0.0),
            values=values,
            refused=unix_message(stream) if stream_id in unix else "",
            notes=(wrong,) if (wrong := described_wrongly(stream.header)) else (),
            units=tuple(sorted({channel.unit for channel in stream.header.channels})),
        )
        convert: Callable[[NDArray[Any]], Any] = partial(by_its_units, stream.header)
        adapter = made.get(stream_id)
        if isinstance(adapter, InputError):
            said = report.refused or str(adapter)
            report = replace(report, refused=said, stops=stream_id == stopping)
        elif adapter is not None:
            report, convert = replace(report, notes=adapter.spec.notes), adapter.convert
        if first:
            x = np.asarray(convert(np.concatenate(first)))
            report = replace(report, amplitude_uv=amplitude_of(x, report.measured_sfreq or 250.0))
            known = adapter.spec.ch_names if adapter and not isinstance(adapter, InputError) else ()
            names = known or [c.label or f"#{at}" for at, c in enumerate(stream.header.channels)]
            if lost := without_numbers(x, names or [f"#{at}" for at in range(x.shape[1])]):
                report = replace(report, notes=(*report.notes, lost))
        reports.append(report)
    notes = list(index.notes)
    if n_done and not any(stream.footer for stream in index.streams.values()):
        notes.append("no stream has a footer: the file was not closed; its end may be missing")
    return XdfReport(
        index.path, index.n_bytes, tuple(reports), tuple(damage), bool(recorded), refused, tuple(notes)
    )


def _stopping(kinds: Mapping[int, Kind], made: Mapping[int, Adapter | InputError]) -> int | None:
    """Return the stream without which a replay refuses to begin, as it decides; None if it begins."""
    tried = list[int]()

    def use(stream_id: int, kind: Kind) -> None:
        tried.append(stream_id)
        if isinstance(refusal := made.get(stream_id), InputError):
            raise refusal

    try:
        exclude_unusable(dict(kinds), use)
    except InputError:
        return tried[-1]
    return None


_N_AT_A_TIME = 4096
_FEWEST_CHUNKS = 10
_MOST_VALUES = 10_000  # different markers; free texts may be as many as there are markers


def _behind(streams: Sequence[StreamIndex]) -> dict[int, float]:
    """Return by stream id how far stamps lag behind other streams' at the same place of the file.

    A recorder writes what arrives: there, a stream that came late live stands beside newer stamps. Streams
    written one after the other show no steady lag.
    """
    ends = {}
    for stream in streams:
        stamps = np.array(stream.first_stamps) + (np.array(stream.counts) - 1) * stream.deduced_step_s
        shift_s = stream.offset_values[0] if len(stream.offset_values) else 0.0
        known = ~np.isnan(stamps)
        if known.sum() >= _FEWEST_CHUNKS:
            ends[stream.stream_id] = np.array(stream.starts)[known], stamps[known] + shift_s
    behind = {}
    for stream_id, (places, stamps) in ends.items():
        lags = []
        for other, (there, newest) in ends.items():
            at = np.searchsorted(there, places) - 1
            inside = (at >= 0) & (at < len(there) - 1)
            if other != stream_id and inside.sum() >= _FEWEST_CHUNKS:
                lags.append(np.percentile((newest[at] - stamps)[inside], [25, 50, 75]))
        low, middle, high = max(lags, key=lambda lag: float(lag[1]), default=(0.0, 0.0, 0.0))
        if middle > _BREAK_S and high - low < 0.5 * middle:
            behind[stream_id] = float(middle)
    return behind


class _Measure:
    """Statistics of one stream's stamps, taken block by block."""

    def __init__(self, stream: StreamIndex, kind: Kind, recorded: Sequence[MapSegment]) -> None:
        self._stream = stream
        self._mapper = make_mapper(stream.header, kind, recorded)
        for raw_time, offset_s in zip(stream.offset_times, stream.offset_values, strict=True):
            self._mapper.add_offset(raw_time, offset_s)
        sfreq = stream.header.nominal_sfreq
        self._placed = (math.nan, math.nan)
        self._is_regular = sfreq > 0
        period = stream.deduced_step_s
        self._gap_s = max(_MIN_GAP_S, _GAP_PERIODS * period)
        self._break_s = max(_BREAK_S, _GAP_PERIODS * period)
        starts = clock_reset_starts(stream)
        self._epochs = np.split(stream.offsets, starts)
        self._epoch = 0
        self._n_samples = self._n_gaps = self._n_backward = self._n_steps = 0
        self._longest_gap_s = self._steps_s = 0.0
        self._last_raw = self._last_time = math.nan
        self._segments: list[ClockSegment] = []
        self._is_new_segment = True

    def add(self, stamps: NDArray[np.float64]) -> None:
        times = self._mapper.map(stamps).times
        if len(times):
            self._placed = (float(np.fmin(self._placed[0], times[0])), float(times[-1]))
        self._mapper.take_segments()
        while len(stamps):
            n_here = self._n_before_reset(stamps)
            if n_here:
                self._add_within_epoch(stamps[:n_here])
                stamps = stamps[n_here:]
            if len(stamps):
                self._epoch += 1
                self._is_new_segment = True

    def _n_before_reset(self, stamps: NDArray[np.float64]) -> int:
        """Return how many samples precede the first that lies nearer to the next clock's offsets."""
        if self._epoch + 1 >= len(self._epochs):
            return len(stamps)
        to_this = np.abs(stamps - self._epochs[self._epoch][-1, 0])
        to_next = np.abs(stamps - self._epochs[self._epoch + 1][0, 0])
        beyond = np.flatnonzero(to_this >= to_next)
        return int(beyond[0]) if len(beyond) else len(stamps)

    def _add_within_epoch(self, stamps: NDArray[np.float64]) -> None:
        offsets = self._epochs[self._epoch]
        times = stamps + np.interp(stamps, offsets[:, 0], offsets[:, 1]) if len(offsets) else stamps
        self._n_backward += int((np.diff(stamps, prepend=self._last_raw) < 0).sum())
        steps = np.diff(times, prepend=self._last_time)[int(self._n_samples == 0) :]
        if self._is_regular:
            gaps = steps[steps > self._gap_s]
            self._n_gaps += len(gaps)
            self._longest_gap_s = float(gaps.max(initial=self._longest_gap_s))
            steps = steps[np.abs(steps) <= self._break_s]
        self._n_steps += len(steps)
        self._steps_s += float(steps.sum())
        if self._is_new_segment:
            self._segments.append(ClockSegment(self._n_samples, -1, float(times[0]), math.nan))
            self._is_new_segment = False
        self._n_samples += len(stamps)
        self._last_raw, self._last_time = float(stamps[-1]), float(times[-1])
        self._segments[-1] = replace(
            self._segments[-1], last_sample=self._n_samples - 1, last_time=self._last_time
        )

    def report(self, unix_stamped: bool) -> StreamReport:
        segments = tuple(self._segments)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            sfreq = float(np.float64(self._n_steps) / self._steps_s)  # NaN compares False
        return StreamReport(
            stream_id=self._stream.stream_id,
            header=self._stream.header,
            n_samples=self._n_samples,
            measured_sfreq=sfreq if 0 < sfreq < _LARGEST_SFREQ else 0.0,
            first_time=segments[0].first_time if segments else math.nan,
            last_time=segments[-1].last_time if segments else math.nan,
            n_gaps=self._n_gaps,
            longest_gap_s=self._longest_gap_s,
            n_backward=self._n_backward,
            segments=segments,
            unix_stamped=unix_stamped,
            placed=self._placed,
            ledger=self._mapper.ledger,
        )


def _stream_json(stream: StreamReport) -> dict[str, Any]:
    header = stream.header
    content = {
        **vars(stream),
        "segments": [vars(part) for part in stream.segments],
        "ledger": {"n": stream.ledger.n_with, "seconds": stream.ledger.seconds},
        "name": header.name,
        "type": header.type,
        "source_id": header.source_id,
        "format": header.channel_format,
        "n_channels": header.n_channels,
        "ch_names": [channel.label for channel in header.channels],
        "nominal_sfreq": header.nominal_sfreq,
        "is_empty": stream.is_empty,
        "duration_s": stream.duration_s,
    }
    del content["header"]
    return content
