"""A device's channels: how they look, and the mapping that is kept for its name and channel list.

A kept mapping is a montage file (``--montage``) beside the window's settings, for terminal and window.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters import AdapterOptions
from acquisition.errors import ErrorCode, InputError, printable
from acquisition.lsl.discovery import FoundStream
from acquisition.montage import Montage, load_montage
from acquisition.quality import COUNTS_FROM, amplitude_of, share_of_equal_steps
from acquisition.select import kind_of, select_streams
from acquisition.types import Kind, StreamHeader
from acquisition.xdf.inspect import StreamReport, inspect_xdf
from acquisition.xdf.reader import StreamReader
from acquisition.xdf.scan import scan_xdf
from app.environment import settings_path

_LOOK_S = 30.0  # of a file
_LISTEN_S = 3.0  # to a live stream
_DISCOVER_S = 1.5

K = TypeVar("K", int, str)


def mapping_path(header: StreamHeader) -> Path:
    """Return where the mapping of a device is kept: one file a stream name and list of channels."""
    channels = [channel.label for channel in header.channels] or [str(header.n_channels)]
    device = "" if header.source_id.startswith("affectscope-recording-") else header.name  # a file's own name
    digest = hashlib.sha256("\n".join([device, *channels]).encode()).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9]+", "-", device or "EEG file")[:40].strip("-")
    return settings_path().parent / "montages" / f"{name}-{digest}.toml"


def kept_montage(header: StreamHeader) -> Montage | None:
    """Return the mapping kept for a device, None without one; raises `InputError` if it cannot be read."""
    path = mapping_path(header)
    return replace(load_montage(str(path)), name=str(path)) if path.is_file() else None


def keep_montage(header: StreamHeader, electrodes: Mapping[int, str], unit: str = "") -> Path:
    """Keep a mapping, 10-20 names by channel index, and a unit ("": as the stream says); return its file."""
    labels = [printable(channel.label) for channel in header.channels] or [""] * header.n_channels
    lines = [f"# Channels of {printable(header.name)}, as mapped in the window.", "near = true"]
    lines += [f"unit = {json.dumps(unit)}"] if unit else []
    lines += ["[indices]", *(f'{i} = "{name}"  # {labels[i]}' for i, name in sorted(electrodes.items()))]
    path = mapping_path(header)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True, eq=False)
class RecordedStream(FoundStream):
    """A stream of a file; its ``problems`` say what a replay makes of it."""

    seconds: float = 0.0
    measured: float = 0.0  # Hz


def streams_of_file(path: Path, options: AdapterOptions) -> list[RecordedStream]:
    """Return the streams of an XDF file, with what a replay with ``options`` makes of each."""
    return [
        RecordedStream(
            str(stream.stream_id),
            stream.header,
            _made_of(stream),
            None,
            stream.duration_s,
            stream.measured_sfreq,
        )
        for stream in inspect_xdf(path, options=replace(options, shows_unmapped=False)).streams
    ]


def _made_of(stream: StreamReport) -> tuple[str, ...]:
    if stream.is_empty:
        return ("empty: not used",)
    if kind_of(stream.header) is Kind.OTHER:
        return ("no EEG, eye, face or voice by its type: not used",)
    return (f"not decoded: {stream.refused}",) if stream.refused else stream.notes or ("used",)


@dataclass(frozen=True, eq=False)
class Look:
    header: StreamHeader
    sfreq: float  # measured, Hz; NaN where nothing was measured
    spread: NDArray[np.float64]  # (C,) median SD of a detrended second, in the unit that is sent; NaN
    counters: tuple[int, ...]  # channels that count samples


def look_of(header: StreamHeader, stamps: NDArray[np.float64], x: NDArray[np.float64]) -> Look:
    """Measure samples (n, C) by their stamps (n,) in seconds."""
    span = float(stamps[-1] - stamps[0]) if len(stamps) > 1 else 0.0
    sfreq = (len(stamps) - 1) / span if span > 0 else float("nan")
    second = sfreq if span > 0 else header.nominal_sfreq or float(len(x))
    spread = np.array([amplitude_of(x[:, [i]], min(second, len(x))) for i in range(header.n_channels)])
    spread[spread == 0] = np.nan  # what is flat tells no unit
    counts = np.flatnonzero(share_of_equal_steps(x) >= COUNTS_FROM)
    return Look(header, sfreq, spread, tuple(counts.tolist()))


def look_in_file(path: Path, streams: str | None) -> Look:
    """Look at the EEG of an XDF file; raises `InputError` without one, as `select_streams` does."""
    index = scan_xdf(path)
    stream = index.streams[_eeg_of({i: stream.header for i, stream in index.streams.items()}, streams)]
    stamps, values, n = [], [], 0
    with StreamReader(path, stream) as reader:
        for block in reader.blocks():
            stamps.append(block.stamps)
            values.append(np.asarray(block.values))
            n += len(block.stamps)
            if n >= _LOOK_S * (stream.header.nominal_sfreq or 1000.0):
                break
    return _joined(stream.header, stamps, values)


def look_at_network(streams: str | None) -> Look:
    """Listen to the EEG on the network for some seconds; raises `InputError` as `look_in_file` does."""
    from acquisition.lsl.discovery import discover, drain, open_inlet

    found = {stream.key: stream for stream in discover(_DISCOVER_S)}
    key = _eeg_of({key: stream.header for key, stream in found.items()}, streams)
    opened = open_inlet(found[key].info, Kind.EEG, 3.0)
    sleep(_LISTEN_S)
    stamps, values = zip(*drain(opened), strict=True) if opened.inlet.samples_available() else ((), ())
    return _joined(opened.header, stamps, values)


def _joined(header: StreamHeader, stamps: Sequence[Any], values: Sequence[Any]) -> Look:
    x = np.concatenate([np.empty((0, header.n_channels)), *values]).astype(np.float64)
    return look_of(header, np.concatenate([np.empty(0), *stamps]), x)


def _eeg_of(headers: Mapping[K, StreamHeader], streams: str | None) -> K:
    for key in select_streams(headers, streams, (Kind.EEG,)):
        if headers[key].channel_format != "string":
            return key
    what = "no EEG stream to map: no stream has the type EEG, and none was chosen as EEG"
    raise InputError(what, where="streams", remedy="choose one under Streams", code=ErrorCode.NO_STREAM)
