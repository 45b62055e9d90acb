"""One stream's way in: raw stamps and raw values become a chunk on the LSL clock.

Live inlets and files own one `StreamIntake` per stream, so live and replay cannot differ here.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters import AdapterOptions
from acquisition.adapters.eeg import EegAdapter, ShownAdapter
from acquisition.adapters.gaze import GazeAdapter
from acquisition.adapters.media import AudioAdapter, MarkerAdapter, VideoAdapter
from acquisition.errors import ErrorCode, InputError
from acquisition.header import stream_identity
from acquisition.timebase import ClockMapper
from acquisition.types import MODALITY_OF_KIND, Chunk, Kind, MapSegment, StreamHeader, StreamSpec


class Adapter(Protocol):
    """Converts one stream's values to canonical channels and units; it never drops or adds a sample."""

    @property
    def spec(self) -> StreamSpec:
        """The stream after conversion."""

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> NDArray[np.floating] | tuple[Any, ...]:
        """Return (n_samples, n_channels) canonical values, or a tuple of n_samples objects."""


_BY_OPTIONS: dict[Kind, Callable[..., Adapter]] = {Kind.EEG: EegAdapter, Kind.GAZE: GazeAdapter}
_BY_HEADER: dict[Kind, Callable[..., Adapter]] = {
    Kind.AUDIO: AudioAdapter,
    Kind.VIDEO: VideoAdapter,
    Kind.MARKERS: MarkerAdapter,
}


def make_adapter(
    header: StreamHeader, key: str, kind: Kind, options: AdapterOptions | None = None
) -> Adapter:
    """Return the adapter for a stream that carries ``kind``; ``key`` becomes `StreamSpec.key`.

    Raises `InputError` if the stream cannot be used as it is; the message says what was expected and what was
    found. With ``options.shows_unmapped``, numbers that cannot be decoded are shown instead.
    """
    options = options or AdapterOptions()
    try:
        if kind in _BY_OPTIONS:
            return _BY_OPTIONS[kind](header, key, options)
        if kind in _BY_HEADER:
            return _BY_HEADER[kind](header, key)
        what, where = f"stream type {header.type!r} is not supported", f"stream {header.name!r}"
        raise InputError(what, where=where, code=ErrorCode.WRONG_STREAM, stream=header.name)
    except InputError as error:
        is_eeg = kind is Kind.EEG and error.code is ErrorCode.CHANNELS
        if options.shows_unmapped and header.channel_format != "string" and (is_eeg or kind is Kind.OTHER):
            return ShownAdapter(header, key, kind, str(error))
        raise


def kept_rows(values: NDArray[Any] | Sequence[Any], keep: NDArray[np.bool_]) -> NDArray[Any] | Sequence[Any]:
    """Return the samples that a mask keeps, of an array or of rows of text."""
    if isinstance(values, np.ndarray):
        return values[keep]
    return [values[int(i)] for i in np.flatnonzero(keep)]


class StreamIntake:
    """Clock mapper and channel adapter of one stream; ``key`` becomes ``Chunk.stream``."""

    def __init__(self, key: str, adapter: Adapter, mapper: ClockMapper) -> None:
        self.key, self.adapter, self.mapper = key, adapter, mapper
        mapper.ledger.name = adapter.spec.name
        mapper.ledger.modality = MODALITY_OF_KIND.get(adapter.spec.kind, "")
        self._n_samples = 0

    @property
    def spec(self) -> StreamSpec:
        """The stream after its adapter."""
        return self.adapter.spec

    def feed(
        self,
        stamps: NDArray[np.float64],
        values: NDArray[Any] | Sequence[Any],
        arrival: float = float("nan"),
        pushed: float = float("nan"),
    ) -> Chunk | None:
        """Map consecutive samples; None if none could be placed on the LSL clock.

        Parameters
        ----------
        stamps : ndarray, (n_samples,)
            The sender's stamps.
        values : ndarray, (n_samples, n_channels), or sequence of n_samples rows of str
            What the stream sent.
        """
        mapped = self.mapper.map(stamps, arrival)
        if mapped.keep is not None:
            values = kept_rows(values, mapped.keep)
        if len(mapped.times) == 0:
            return None
        data = self.adapter.convert(values)
        if isinstance(data, np.ndarray):
            data.setflags(write=False)
        mapped.times.setflags(write=False)
        pushed += self.mapper.shift_s  # it is of a stamp, so of a clock that may have leapt
        chunk = Chunk(self.key, self._n_samples, data, mapped.times, mapped.breaks, arrival, pushed)
        self._n_samples += len(mapped.times)
        return chunk


#: (header, key, kind, recorded segments) -> intake; the same callable serves live and replay.
MakeIntake = Callable[[StreamHeader, str, Kind, Sequence[MapSegment]], StreamIntake]


def intake_maker(options: AdapterOptions | None = None, max_gap_s: float = 0.1) -> MakeIntake:
    """Return what builds adapter and clock mapper of a stream.

    Only EEG and audio are dejittered by counting: their devices sample evenly and send all they sample,
    unless the header says otherwise. Cameras and eye trackers drop samples.
    """

    def make_intake(
        header: StreamHeader, key: str, kind: Kind, recorded_segments: Sequence[MapSegment] = ()
    ) -> StreamIntake:
        mapper = make_mapper(header, kind, recorded_segments, max_gap_s)
        return StreamIntake(key, make_adapter(header, key, kind, options), mapper)

    return make_intake


#: The line through the stamps needs a few samples in each quarter of a second.
_SLOWEST_COUNTED_HZ = 16


def make_mapper(
    header: StreamHeader, kind: Kind, recorded: Sequence[MapSegment] = (), max_gap_s: float = 0.1
) -> ClockMapper:
    """Return the clock mapper of a stream that carries ``kind``."""
    if kind is Kind.OTHER and header.nominal_sfreq > 0:  # as slow as one a second
        max_gap_s = max(max_gap_s, 3 / header.nominal_sfreq)
    # The same stream may have been taken with other settings too, after it was refused and joined anew.
    recorded = [segment for segment in recorded if segment.sfreq in (0.0, header.nominal_sfreq)]
    return ClockMapper(
        stream_identity(header),
        header.nominal_sfreq,
        dejitter=kind in (Kind.EEG, Kind.AUDIO)
        and header.nominal_sfreq >= _SLOWEST_COUNTED_HZ
        and not header.can_drop_samples,
        max_gap_s=max_gap_s,
        offset_mean_s=header.offset_mean_s,
        recorded=recorded,
        allow_ties=kind is Kind.MARKERS,
    )
