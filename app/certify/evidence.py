"""Reads what a session left: its recordings, with the project's own reader, and its predictions."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.header import stream_identity
from acquisition.intake import make_mapper
from acquisition.types import Kind
from acquisition.xdf.format import StreamIndex
from acquisition.xdf.outline import read_recorded_segments
from acquisition.xdf.reader import StreamReader
from acquisition.xdf.scan import scan_xdf
from app.certify import devices as sent
from app.certify.devices import EVENT_S, Device
from app.certify.judge import WINDOWS, Evidence, Track
from app.compare import Comparison

_Content = tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.intp]]


def read_parts(paths: Sequence[Path], devices: Mapping[str, Device], evidence: Evidence) -> None:
    """Read the parts of a recording: the streams of known devices. What cannot be read is damage."""
    keys = {device.source_id: key for key, device in devices.items()}
    for path in paths:
        try:
            index = scan_xdf(path)
            segments = read_recorded_segments(index)
            tracks: dict[str, Track] = {}
            for stream in index.streams.values():
                key = keys.get(stream.header.source_id)
                if key is not None and stream.n_samples and key not in tracks:
                    recorded = segments.get(stream_identity(stream.header), ())
                    tracks[key] = _track(path, stream, devices[key], recorded)
        except InputError as error:
            evidence.damage.append(f"{path.name}: {error}")
            continue
        evidence.parts[path.name] = tracks
        # Where a recorder was killed the file may end within a chunk.
        inside = [one.what for one in index.damage if one.position < index.n_bytes - (1 << 20)]
        evidence.damage += [f"{path.name}: {what}" for what in inside]


def _track(path: Path, stream: StreamIndex, device: Device, recorded: Sequence[Any]) -> Track:
    with StreamReader(path, stream) as reader:
        blocks = list(reader.blocks())
    stamps = np.concatenate([block.stamps for block in blocks])
    is_text = not isinstance(blocks[0].values, np.ndarray)
    values: Any = (
        [row[0] for block in blocks for row in block.values]
        if is_text
        else np.concatenate([np.asarray(block.values) for block in blocks])
    )
    index, wrong, events = _content(device, stamps, values)
    mapper = make_mapper(stream.header, Kind(device.kind), recorded)
    for raw, offset in stream.offsets:
        mapper.add_offset(raw, offset)
    live, at = np.full(len(stamps), np.nan), 0
    for block in blocks:
        mapped = mapper.map(block.stamps)
        live[at : at + len(block.stamps)][slice(None) if mapped.keep is None else mapped.keep] = mapped.times
        at += len(block.stamps)
    times = stream.offsets[:, 0]
    by_file = stamps + (np.interp(stamps, times, stream.offsets[:, 1]) if len(times) else 0.0)
    return Track(device.sfreq, index, device.start + index / device.sfreq, live, by_file, events, wrong)


def _content(device: Device, stamps: NDArray[np.float64], values: Any) -> _Content:
    """Return which sample each one is, which hold something else than was sent, and where the events are."""
    if device.kind == "markers":
        numbers = [text.removeprefix("certify/") for text in values]
        index = np.array([int(n) if n.isdigit() else -1 for n in numbers], np.int64)
        return index, index < 0, np.arange(len(index))
    if device.kind == "video":
        frames = [base64.b64decode(text) for text in values]
        index = np.array(list(map(sent.jpeg_index, frames)), np.int64)
        near = np.flatnonzero(index % round(EVENT_S * device.sfreq) <= 1)
        return index, index < 0, np.array([at for at in near if sent.is_flash(frames[at])], np.intp)
    table = sent.table_of(device.kind, device.sfreq, device.n_channels)
    index, none = np.round((stamps - device.start) * device.sfreq).astype(np.int64), np.empty(0, np.intp)
    if device.kind == "audio":
        counted = index[0] + np.arange(len(stamps))
        if _differs(values, table[counted % len(table)]).mean() < 1e-3:  # whatever the stamps say
            index = counted
        return index, _differs(values, table[index % len(table)]), np.flatnonzero(sent.is_click(values))
    if device.kind == "gaze":
        index = np.round(values[:, -1]).astype(np.int64)
        # Gaze goes back to the left at each event.
        steps = np.flatnonzero(np.diff(np.nan_to_num(values[:, 0], posinf=0.0)) < -0.2) + 1
        return index, _differs(values[:, :-1], table[index % len(table)]), steps
    if device.fmt in sent.WIDE_FORMATS:  # the others are too small for the index
        index = np.round(values[:, 0]).astype(np.int64)
    whole = sent.as_sent(np.hstack([index[:, None], table[index % len(table)]]), device.fmt)
    return index, _differs(values, whole), none


def _differs(values: NDArray[Any], sent: NDArray[Any]) -> NDArray[np.bool_]:
    return ~(np.abs(values.astype(np.float64) - sent) <= 1e-3).all(axis=1)


def has_prediction(path: Path) -> bool:
    """Tell whether a JSONL file has begun: a session without one has its ledger alone in it."""
    return path.is_file() and path.open(encoding="utf-8").read(20).startswith('{"t_end"')


def read_predictions(path: Path, evidence: Evidence) -> None:
    """Read the predictions of a JSONL file, as far as it was written."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    contents = [json.loads(line) for line in lines if line.endswith("}")]  # others were cut by a kill
    evidence.predictions += [content for content in contents if "t_end" in content]  # not the ledger


def compare(live: Path, replayed: Path, evidence: Evidence) -> None:
    """Compare a live run with its replay in windows that the recording holds whole."""
    # Of the samples that live took: a recorder may have more.
    ends = [
        [(np.nanmin(t.live), np.nanmax(t.live)) for k, t in part.items() if k != "markers"]
        for part in evidence.parts.values()
    ]
    # A window needs samples past its end, which a killed recorder may not have written.
    begin_s, end_s = WINDOWS.context_s, 2 * WINDOWS.hop_s
    whole = [(max(a for a, _ in one) + begin_s, min(b for _, b in one) - end_s) for one in ends if one]
    kept = [one for one in evidence.predictions if any(a <= one["t_end"] <= b for a, b in whole)]
    target = live.with_suffix(".kept.jsonl")
    target.write_text("".join(json.dumps(one) + "\n" for one in kept), encoding="utf-8")
    try:
        evidence.replayed = Comparison(target, replayed) if kept else None
    except InputError as error:
        evidence.replay_problem = str(error)
