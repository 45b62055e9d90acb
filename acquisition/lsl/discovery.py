"""Finds the LSL streams on the network with their full headers, and opens an inlet of each that is chosen."""

import ctypes
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_header
from acquisition.select import is_own
from acquisition.types import Kind, StreamHeader

_USERS_OWN = (Path("lsl_api.cfg"), Path.home() / "lsl_api" / "lsl_api.cfg", Path("/etc/lsl_api/lsl_api.cfg"))


def quiet_liblsl(config: Path) -> None:
    """Have liblsl log errors only, by pointing it to ``config``, unless the user has a file of their own.

    liblsl reads ``LSLAPICFG`` once, when it is loaded: call this first. Processes started later inherit it.
    """
    if "LSLAPICFG" not in os.environ and not any(path.exists() for path in _USERS_OWN):
        os.environ["LSLAPICFG"] = str(config)


_HEADER_TIMEOUT_S = 2.0
_UNIX_TIME_S = 1e9  # an LSL clock that shows more counts from 1970


@dataclass(frozen=True, eq=False)
class FoundStream:
    """One stream that answered."""

    key: str  # its uid
    header: StreamHeader
    problems: tuple[str, ...]  # sentences for the user
    info: Any = field(repr=False)  # the pylsl.StreamInfo that an inlet is made from

    @property
    def is_excessive(self) -> bool:
        """True where it states what no device sends, and no inlet of it is opened."""
        return bool(_excess(self.info))


def discover(timeout_s: float = 1.0) -> list[FoundStream]:
    """Return all streams on the network by name, without this program's own.

    Below ``timeout_s`` of 0.5 s some may be missed.
    """
    infos = [info for info in resolve(timeout_s) if not is_own(_short_header(info))]
    with ThreadPoolExecutor(max_workers=8) as pool:
        headers = list(pool.map(_full_header, infos))
    return describe(infos, headers)


def resolve(timeout_s: float) -> list[Any]:
    """Return a ``pylsl.StreamInfo`` without ``desc`` for every stream that answers, one a uid."""
    from pylsl import resolve_streams

    return list({info.uid(): info for info in resolve_streams(timeout_s)}.values())


def describe(infos: Sequence[Any], headers: Sequence[StreamHeader | None]) -> list[FoundStream]:
    """Join infos with their full headers (None where the sender did not answer) and name problems."""
    known = [header or _short_header(info) for info, header in zip(infos, headers, strict=True)]
    n_same_id = Counter((header.source_id, header.type) for header in known if header.source_id)
    found = [
        FoundStream(
            key=info.uid(),
            header=header,
            problems=_problems(header, _excess(info), full is not None, info.created_at(), n_same_id),
            info=info,
        )
        for info, header, full in zip(infos, known, headers, strict=True)
    ]
    return sorted(found, key=lambda stream: (stream.header.name, stream.header.type, stream.key))


def readable_header(info: Any) -> StreamHeader | None:
    """Return the header in a ``StreamInfo``; None if it cannot be read.

    A control character in a name makes XML that nobody can read; the other streams are listed all the same.
    """
    try:
        return parse_header(info.as_xml())
    except InputError:
        return None


def _short_header(info: Any) -> StreamHeader:
    from pylsl.lib import fmt2string

    sfreq = float(info.nominal_srate())
    return readable_header(info) or StreamHeader(
        info.name(), info.type(), info.source_id(), info.hostname(), info.uid(),
        sfreq if 0 < sfreq < math.inf else 0.0, info.channel_count(),
        fmt2string[info.channel_format()] or "undefined",
    )  # fmt: skip


def no_answer() -> tuple[type[Exception], ...]:
    """Return what pylsl raises where a sender does not answer."""
    from pylsl.util import LostError
    from pylsl.util import TimeoutError as LslTimeoutError

    return LslTimeoutError, LostError


def _full_header(info: Any) -> StreamHeader | None:
    """Return the header with ``desc`` through a short-lived inlet, None if it cannot be read.

    Whatever is wrong with a stranger's stream, it is listed, and the others can be used.
    """
    from pylsl import StreamInlet

    if _excess(info):
        return None
    try:
        return readable_header(StreamInlet(info, max_buflen=1, recover=False).info(_HEADER_TIMEOUT_S))
    except Exception:  # pylsl raises errors of many kinds
        return None


_MAX_SFREQ = 400_000.0  # Hz: twice the fastest sound cards
_MAX_BYTES_A_SECOND = 250e6  # raw video of 1920 x 1080 in colour at 40 frames a second


def _excess(info: Any) -> str:
    """Return what a stream states that no inlet is to be opened for, empty if nothing.

    liblsl allocates for the samples of five seconds as soon as an inlet is opened, whatever comes.
    """
    from pylsl.lib import fmt2type

    sfreq, type_ = float(info.nominal_srate()), fmt2type[info.channel_format()]
    if not type_ or info.channel_count() < 1:  # of a header that cannot be read liblsl makes such a stream
        return "it states no sample format that there is, or no channel"
    n_bytes = info.channel_count() * ctypes.sizeof(type_)
    if not (math.isfinite(sfreq) and sfreq <= _MAX_SFREQ):
        return f"its nominal rate is {sfreq:g} Hz, expected at most {_MAX_SFREQ:,.0f} Hz"
    if sfreq * n_bytes > _MAX_BYTES_A_SECOND:
        n_most = _MAX_BYTES_A_SECOND / 1e6
        return f"it states {sfreq * n_bytes / 1e6:,.0f} MB a second, expected at most {n_most:.0f} MB"
    return ""


def _problems(
    header: StreamHeader,
    excess: str,
    is_complete: bool,
    created_at: float,
    n_same_id: Counter[tuple[str, str]],
) -> tuple[str, ...]:
    problems = []
    if excess:
        problems.append(f"it cannot be used: {excess}")
    elif not is_complete:
        problems.append("its full header could not be read")
    if not header.source_id:
        problems.append("empty source_id: after a restart it can be recognised only by name and type")
    elif n_same_id[header.source_id, header.type] > 1:
        problems.append(f"source_id {header.source_id!r} is used by several streams of this type")
    if created_at > _UNIX_TIME_S:
        problems.append("its clock counts from 1970: its timestamps are probably Unix time")
    return tuple(problems)


# --- one inlet: connected, measured and drained ---

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
    """Connect to a stream; takes about a second, so it runs in a background thread.

    liblsl's own recovery is off: it would silently continue with a sender that came back with another rate,
    because it compares name, type, source_id, format and channel count only. Without it a dead sender is an
    error at the next pull, and `acquisition.lsl.reconnect` judges who may take over. Stamps stay raw: one
    causal mapper serves live and replay. Raises `InputError` if the sender does not answer within
    ``timeout_s``, or states more than any device sends.
    """
    from pylsl import StreamInlet

    short = parse_header(info.as_xml())
    if excess := _excess(info):
        where = f"stream {short.name!r}"
        remedy = "correct the rate that the sender states, or exclude it with --streams"
        raise InputError(excess, where=where, remedy=remedy, code=ErrorCode.WRONG_STREAM, stream=short.name)
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
    except no_answer() as error:
        raise InputError(
            f"its sender does not answer within {timeout_s:g} s",
            where=f"stream {short.name!r}",
            remedy="restart the sender, or exclude it with --streams",
            code=ErrorCode.WRONG_STREAM,
            stream=short.name,
            waited_s=round(timeout_s),  # it may have gone since it was found, and return
        ) from error
    return OpenInlet(inlet, header, measure_offset(inlet, FIRST_OFFSET_TIMEOUT_S))


def measure_offset(inlet: Any, timeout_s: float) -> tuple[float, float] | None:
    """Return (raw time, offset) with LSL time = raw + offset, or None without an answer in time."""
    from pylsl import local_clock

    try:
        offset_s = float(inlet.time_correction(timeout_s))
    except no_answer():
        return None
    return float(local_clock()) - offset_s, offset_s


def drain(opened: OpenInlet) -> Iterator[tuple[NDArray[np.float64], NDArray[Any]]]:
    """Pull until nothing is left: stamps (n_samples,) and values (n_samples, n_channels) each time.

    Text comes as bytes in an object array. Raises `pylsl.LostError` if the sender is gone.
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
