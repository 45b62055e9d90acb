"""Reads the parts of a recording (``a.xdf``, ``a_part-02.xdf``, ...) as one session.

Where two parts overlap, what the earlier one holds counts; where they do not, every stream has a gap.
"""

import math
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from acquisition.clock_fit import LONGEST_PAUSE_S, RESET_S
from acquisition.header import stream_identity
from acquisition.record.files import recording_parts
from acquisition.text import duration
from acquisition.types import StreamHeader
from acquisition.xdf.format import Damage, FilePart, StreamIndex, XdfIndex
from acquisition.xdf.outline import first_stamp, last_stamp, rough_lsl_time, unix_stamped
from acquisition.xdf.reader import drop_beginning
from acquisition.xdf.scan import scan_xdf

ALONE = "--part-only reads one alone"


def open_recording(path: Path, *, alone: bool = False) -> XdfIndex:
    """Index a recording with all of its parts, whichever of them ``path`` is; ``alone`` that file only.

    Raises `InputError` if one of the files cannot be opened or is not an XDF file.
    """
    parts = (path,) if alone else recording_parts(path)
    return joined([scan_xdf(part) for part in parts])


def joined(parts: Iterable[XdfIndex]) -> XdfIndex:
    """Return one index of all parts, beginning with the first; a note tells of one from another session."""
    whole, *others = parts
    offsets = {
        stream_identity(s.header): s.offset_values[-1] for s in whole.streams.values() if s.offset_values
    }
    first, last = _span(whole, {})
    spans = [(_span(part, offsets), part) for part in others]
    for (begin, end), part in sorted(spans, key=lambda one: one[0]):
        if first <= begin <= last + LONGEST_PAUSE_S:
            _append(whole, part)
            last = max(last, end)
            continue
        apart = "it holds no samples"
        if not math.isnan(begin):
            far, side = abs(begin - last), "after" if begin > last else "before"
            apart = f"it begins {duration(far)} {side} the part before ends, so it is of another session"
        whole.notes.append(f"{part.path.name} is not read with {whole.path.name}: {apart}")
    if len(whole.paths) > 1:
        names = ", ".join(path.name for path in whole.paths)
        whole.notes.insert(0, f"{len(whole.paths)} parts are read as one session: {names}; {ALONE}")
    return whole


def is_continued(before: StreamHeader, after: StreamHeader) -> bool:
    """Tell whether a stream of a later part is one of an earlier part: the same sender, sending the same."""
    settings = [(h.nominal_sfreq, h.n_channels, h.channel_format, h.channels) for h in (before, after)]
    return stream_identity(before) == stream_identity(after) and settings[0] == settings[1]


def _span(index: XdfIndex, offsets: Mapping[str, float]) -> tuple[float, float]:
    """Return about when a file's first and last sample were, LSL seconds; NaN where it has none.

    ``offsets`` are for streams, by identity, whose clock it does not tell: LabRecorder asks after 5 s.
    """
    unix = unix_stamped(index, {})
    streams = [stream for i, stream in index.streams.items() if i not in unix and len(stream.starts)]
    known = [0.0 if s.offset_values else offsets.get(stream_identity(s.header), 0.0) for s in streams]
    first = [rough_lsl_time(stream, first_stamp(stream), (), newest=False) for stream in streams]
    last = [rough_lsl_time(stream, last_stamp(index, stream), (), newest=True) for stream in streams]
    return min(np.add(first, known), default=math.nan), max(np.add(last, known), default=math.nan)


def _append(whole: XdfIndex, part: XdfIndex) -> None:
    base, waiting = whole.n_bytes, list(whole.streams.values())
    for stream in part.streams.values():
        before = next((s for s in waiting if is_continued(s.header, stream.header)), None)
        if before is None:
            new_id = stream.stream_id
            while new_id in whole.streams:
                new_id = whole.unused_id
            known = (s for s in waiting if stream_identity(s.header) == stream_identity(stream.header))
            replaced = next((s.stream_id if s.follows is None else s.follows for s in known), None)
            before = whole.streams[new_id] = StreamIndex(new_id, stream.header, follows=replaced)
        else:
            waiting.remove(before)
            _drop_overlap(whole, before, part, stream)
        before.parts.append(FilePart(len(before.starts), base, part.path))
        before.starts.extend(position + base for position in stream.starts)
        before.ends.extend(position + base for position in stream.ends)
        before.counts.extend(stream.counts)
        before.first_stamps.extend(stream.first_stamps)
        before.offset_times.extend(stream.offset_times)
        before.offset_values.extend(stream.offset_values)
        before.footer = stream.footer
    whole.damage += [Damage(d.position, f"{part.path.name}: {d.what}") for d in part.damage]
    whole.n_bytes += part.n_bytes
    whole.paths = (*whole.paths, part.path)


def _drop_overlap(whole: XdfIndex, before: StreamIndex, part: XdfIndex, stream: StreamIndex) -> None:
    """Drop of a stream what the parts before hold of it."""
    newest = np.array(before.offset_times[-1:]) + before.offset_values[-1:]
    offsets = stream.offsets[stream.offsets.sum(axis=1) > (newest[0] if len(newest) else -math.inf)]
    border = last_stamp(whole, before)
    if len(before.offset_values) and len(stream.offset_values):
        shift = before.offset_values[-1] - stream.offset_values[0]
        border += shift if abs(shift) > RESET_S else 0.0  # the sender has another clock now
    border += min(1e-6, before.deduced_step_s / 2) if before.deduced_step_s else 0.0
    stream.offset_times, stream.offset_values = array("d", offsets[:, 0]), array("d", offsets[:, 1])
    drop_beginning(part.path, stream, border)
