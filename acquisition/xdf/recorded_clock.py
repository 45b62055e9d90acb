"""What a file says of its streams' clocks: a recorded clock map, and rough first and last times."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from acquisition.header import CLOCK_TYPE, stream_identity
from acquisition.types import MapSegment
from acquisition.xdf.format import StreamIndex, XdfIndex
from acquisition.xdf.reader import StreamReader

#: Type of the stream in which the program publishes its clock maps.
_UNIX_EPOCH_S = (1.0e9, 2.6e9)  # stamps of 2001 to 2052
_LONGEST_HOLE_S = 5e8  # 16 years


def read_recorded_segments(index: XdfIndex) -> dict[str, list[MapSegment]]:
    """Return the clock maps an own recording carries, by stream identity; {} in other files."""
    segments: dict[str, list[MapSegment]] = defaultdict(list)
    for stream in index.streams.values():
        if stream.header.type != CLOCK_TYPE or stream.dtype is not None:
            continue
        reader = StreamReader(index.path, stream)
        for block in reader.blocks():
            for row in block.values:
                segment = _parse_segment(row[0])
                if segment is not None:
                    segments[segment.stream].append(segment)
        index.damage.extend(reader.damage)
        reader.close()
    return dict(segments)


def _parse_segment(text: str) -> MapSegment | None:
    """Return a segment, or None where a damaged file holds something else."""
    try:
        content = json.loads(text)
        segment = MapSegment(
            stream=str(content["stream"]),
            raw_start=float(content["raw_start"]),
            t_start=float(content["t_start"]),
            period_s=float(content["period_s"]),
            offset_s=float(content["offset_s"]),
            sfreq=float(content["sfreq"]),
            is_break=bool(content["is_break"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
    numbers = (segment.raw_start, segment.t_start, segment.period_s, segment.offset_s, segment.sfreq)
    return segment if all(math.isfinite(number) for number in numbers) else None


def first_stamp(stream: StreamIndex) -> float:
    """Return the first raw stamp that is written in the file, NaN if there is none."""
    return next((stamp for stamp in stream.first_stamps if not math.isnan(stamp)), math.nan)


def last_stamp(index: XdfIndex, stream: StreamIndex) -> float:
    """Return the last raw stamp, estimated by counting where the last chunks leave it out."""
    for chunk in range(len(stream.starts) - 1, -1, -1):
        stamp = stream.first_stamps[chunk]
        if math.isnan(stamp):
            continue
        if chunk < len(stream.starts) - 1:
            return stamp + (sum(stream.counts[chunk:]) - 1) * stream.deduced_step_s
        reader = StreamReader(index.path, stream, first_chunk=chunk)
        for block in reader.blocks():
            stamp = float(block.stamps[-1])
        reader.close()
        return stamp
    return math.nan


def rough_lsl_time(stream: StreamIndex, stamp: float, recorded: Sequence[MapSegment], newest: bool) -> float:
    """Return the LSL time of the first or (``newest``) last stamp to a fraction of a second."""
    if recorded:
        begun = [segment for segment in recorded if segment.raw_start <= stamp]
        segment = begun[-1] if begun else recorded[0]
        return stamp + (segment.t_start - segment.raw_start if segment.period_s else segment.offset_s)
    if len(stream.offset_values) == 0:
        return stamp
    return stamp + stream.offset_values[-1 if newest else 0]


def unix_stamped(index: XdfIndex, recorded: Mapping[str, Sequence[MapSegment]]) -> set[int]:
    """Return the streams whose stamps count from 1970 while other streams' do not."""
    firsts = {
        stream_id: rough_lsl_time(
            stream, first_stamp(stream), recorded.get(stream_identity(stream.header), ()), newest=False
        )
        for stream_id, stream in index.streams.items()
    }
    known = sorted(time for time in firsts.values() if not math.isnan(time))
    # Between the streams on the LSL clock and those on the Unix clock lies a hole of decades.
    borders = [high for low, high in pairwise(known) if high - low > _LONGEST_HOLE_S]
    return {
        stream_id
        for stream_id, time in firsts.items()
        if borders and time >= borders[-1] and _UNIX_EPOCH_S[0] < time < _UNIX_EPOCH_S[1]
        if stream_identity(index.streams[stream_id].header) not in recorded
    }


def clock_reset_starts(stream: StreamIndex) -> list[int]:
    """Return the entries of the clock offsets at which a new clock begins (pyxdf's rule).

    A reset is a measurement earlier than the one before, or one that is an outlier both in its
    distance in time (5 MAD and 5 s) and in its change of value (10 MAD and 1 s).
    """
    if len(stream.offset_times) < 2:
        return []
    steps = np.diff(stream.offsets, axis=0)
    outlier = _outliers(steps[:, 0], 5.0, 5.0) & _outliers(steps[:, 1], 10.0, 1.0)
    return (np.flatnonzero((steps[:, 0] < 0) | outlier) + 1).tolist()


def _outliers(steps: np.ndarray, n_mads: float, seconds: float) -> np.ndarray:
    away = np.abs(steps - np.median(steps))
    mad = np.median(away) + np.finfo(float).eps
    return (away / mad > n_mads) & (away > seconds)
