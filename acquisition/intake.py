"""One stream's way in: raw stamps and raw values become a chunk on the LSL clock.

Every source (live inlet, file, simulator) owns one `StreamIntake` per stream, so live and replay
cannot differ here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters import Adapter, make_adapter
from acquisition.adapters.options import AdapterOptions
from acquisition.header import stream_identity
from acquisition.timebase import ClockMapper
from acquisition.types import Chunk, Kind, MapSegment, StreamHeader, StreamSpec


class StreamIntake:
    """Clock mapper and channel adapter of one stream.

    Parameters
    ----------
    key : str
        The stream's name within its source; becomes ``Chunk.stream``.
    adapter : Adapter
        Turns the stream's values into canonical channels and units.
    mapper : ClockMapper
        Turns the sender's stamps into LSL seconds.
    """

    def __init__(self, key: str, adapter: Adapter, mapper: ClockMapper) -> None:
        self.key = key
        self.adapter = adapter
        self.mapper = mapper
        self._n_samples = 0

    @property
    def spec(self) -> StreamSpec:
        """The stream after its adapter."""
        return self.adapter.spec

    def add_offset(self, raw_time: float, offset_s: float) -> None:
        """Take a clock-offset measurement: LSL time = raw time + ``offset_s`` near ``raw_time``."""
        self.mapper.add_offset(raw_time, offset_s)

    def feed(
        self,
        stamps: NDArray[np.float64],
        values: NDArray[Any] | Sequence[Any],
        arrival: float = float("nan"),
        pushed: float = float("nan"),
    ) -> Chunk | None:
        """Map consecutive samples.

        Parameters
        ----------
        stamps : ndarray, (n_samples,)
            The sender's stamps.
        values : ndarray, (n_samples, n_channels), or sequence of n_samples rows of str
            What the stream sent.

        Returns
        -------
        Chunk or None
            None if no sample could be placed on the LSL clock.
        """
        mapped = self.mapper.map(stamps)
        if mapped.keep is not None:
            values = (
                values[mapped.keep]
                if isinstance(values, np.ndarray)
                else [values[int(i)] for i in np.flatnonzero(mapped.keep)]
            )
        if len(mapped.times) == 0:
            return None
        data = self.adapter.convert(values)
        if isinstance(data, np.ndarray):
            data.setflags(write=False)
        mapped.times.setflags(write=False)
        chunk = Chunk(self.key, self._n_samples, data, mapped.times, mapped.breaks, arrival, pushed)
        self._n_samples += len(mapped.times)
        return chunk

    def take_segments(self) -> list[MapSegment]:
        """Return the map segments that began since the last call, for publishing."""
        return self.mapper.take_segments()


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
        mapper = ClockMapper(
            stream_identity(header),
            header.nominal_sfreq,
            dejitter=kind in (Kind.EEG, Kind.AUDIO) and not header.can_drop_samples,
            max_gap_s=max_gap_s,
            offset_mean_s=header.offset_mean_s,
            recorded=recorded_segments,
            allow_ties=kind is Kind.MARKERS,
        )
        return StreamIntake(key, make_adapter(header, key, kind, options), mapper)

    return make_intake
