"""One open LSL inlet: connected, measured and drained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_header
from acquisition.types import Kind, StreamHeader

FIRST_OFFSET_TIMEOUT_S = 2.0
_BUFFER_S = 60  # what liblsl keeps while nobody reads
_PICTURE_BUFFER_S = 10
_CHUNK_S = 0.005  # a larger network chunk would only add waiting
_PULL_VALUES = 4_000_000  # bounds the array of one pull for streams with a million channels


@dataclass(eq=False)
class OpenInlet:
    """A connected inlet with its full header and the first measurement of its clock offset."""

    inlet: Any = field(repr=False)  # pylsl.StreamInlet
    header: StreamHeader
    offset: tuple[float, float] | None  # (raw time, offset) or None if the sender did not answer


def open_inlet(info: Any, kind: Kind, timeout_s: float) -> OpenInlet:
    """Connect to a stream; takes about a second, so it runs beside the reading.

    liblsl's own recovery is off: it would silently go on with a sender that came back with another
    rate, because it compares name, type, source_id, format and channel count only. Without it a dead
    sender is an error at the next pull, and `acquisition.lsl.reconnect` judges who may take over. Stamps
    stay raw: one causal mapper serves live and replay.

    Raises
    ------
    InputError
        If the sender does not answer within ``timeout_s``.
    """
    from pylsl import StreamInlet
    from pylsl.util import LostError
    from pylsl.util import TimeoutError as LslTimeoutError

    short = parse_header(info.as_xml())
    inlet = StreamInlet(
        info,
        max_buflen=_PICTURE_BUFFER_S if kind is Kind.VIDEO else _BUFFER_S,
        max_chunklen=max(1, int(short.nominal_sfreq * _CHUNK_S)) if kind in (Kind.EEG, Kind.AUDIO) else 1,
        recover=False,
        processing_flags=0,
        as_numpy=True,
    )
    try:
        header = parse_header(inlet.info(timeout_s).as_xml())
        inlet.open_stream(timeout_s)
    except (LslTimeoutError, LostError) as error:
        raise InputError(
            f"announced, but its sender does not answer within {timeout_s:g} s",
            where=f"stream {short.name!r}",
            remedy="restart the sender, or leave it out with --streams",
            code=ErrorCode.WRONG_STREAM,
            stream=short.name,
        ) from error
    return OpenInlet(inlet, header, measure_offset(inlet, FIRST_OFFSET_TIMEOUT_S))


def measure_offset(inlet: Any, timeout_s: float) -> tuple[float, float] | None:
    """Return (raw time, offset) with LSL time = raw + offset, or None without an answer in time."""
    from pylsl import local_clock
    from pylsl.util import LostError
    from pylsl.util import TimeoutError as LslTimeoutError

    try:
        offset_s = float(inlet.time_correction(timeout_s))
    except (LslTimeoutError, LostError):
        return None
    return float(local_clock()) - offset_s, offset_s


def drain(opened: OpenInlet) -> Iterator[tuple[NDArray[np.float64], NDArray[Any]]]:
    """Pull until nothing is left: stamps (n_samples,) and values (n_samples, n_channels) each time.

    Text comes as bytes in an object array.

    Raises
    ------
    pylsl.LostError
        If the sender is gone.
    """
    n_most = max(1, min(1024, _PULL_VALUES // opened.header.n_channels))
    if opened.header.channel_format == "string":
        n_most = min(n_most, 64)  # pylsl clears the whole pointer table at each pull
    while True:
        values, stamps = opened.inlet.pull_chunk(timeout=0.0, max_samples=n_most)
        if len(stamps):
            yield stamps, values
        if len(stamps) < n_most:
            return
