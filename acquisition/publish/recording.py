"""A recording played in real time, as the LSL streams that it was recorded from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acquisition.adapters.eeg import bad_spans, mne_channels, trigger_events
from acquisition.clock import Clock, LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.header import CLOCK_TYPE, PREDICTION_TYPE, make_info, stream_identity
from acquisition.intake import StreamIntake
from acquisition.lsl.outlet import open_outlet
from acquisition.publish.capture import Capture, PacedFile, Publishing, publisher_source_id, run_publisher
from acquisition.text import counted
from acquisition.timebase import ClockMapper
from acquisition.types import Chunk, Kind, MapSegment, StreamHeader, StreamSpec
from acquisition.xdf.parts import open_recording
from acquisition.xdf.scan import check_xdf
from acquisition.xdf.source import XdfSource
from acquisition.xdf.write import XdfWriter

_BLOCK_S = 0.04
_MOST_SAID = 5
_OWN_TYPES = (CLOCK_TYPE, PREDICTION_TYPE)  # a live session makes its own


class Played(NamedTuple):
    """Consecutive samples of one of the streams."""

    stream: str
    times: NDArray[np.float64]  # seconds on the recording's clock
    values: NDArray[Any] | Sequence[Any]  # (n_samples, n_channels)


#: A recording's streams by key, and a way to read its samples from the beginning, in the order of time.
Content = tuple[dict[str, StreamHeader], Callable[[], Iterator[Played]]]


class _AsSent:
    """An adapter that leaves values as they were sent."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec

    def convert(self, values: NDArray[Any] | Sequence[Any]) -> Any:
        return values if isinstance(values, np.ndarray) else tuple(values)


def xdf_content(path: Path, say: Callable[[str], None] = lambda text: None) -> Content:
    """Return the streams of an XDF file; `InputError` if it is none, or holds no samples.

    ``say`` is called with a sentence for each damaged place.
    """
    check_xdf(path)
    index = open_recording(path)
    for note in index.notes:
        say(note)
    for place in index.damage[:_MOST_SAID]:
        say(f"{path.name}: damaged at byte {place.position:,}: {place.what}")
    kinds = {
        stream_id: Kind.MARKERS if stream.header.channel_format == "string" else Kind.EEG
        for stream_id, stream in index.streams.items()
        if len(stream.starts) and stream.header.type not in _OWN_TYPES
    }
    if not kinds:
        raise InputError("holds no samples", where=str(path), code=ErrorCode.RECORDING)

    def make_intake(
        header: StreamHeader, key: str, kind: Kind, recorded: Sequence[MapSegment] = ()
    ) -> StreamIntake:
        spec = StreamSpec(key, header.name, kind, (), (), header.nominal_sfreq)
        mapper = ClockMapper(
            stream_identity(header), header.nominal_sfreq, dejitter=False, allow_ties=kind is Kind.MARKERS
        )
        return StreamIntake(key, _AsSent(spec), mapper)

    def read() -> Iterator[Played]:
        source = XdfSource(path, kinds, make_intake, index=index)
        try:
            while not source.exhausted:
                now = -math.inf if source.next_time is None else source.next_time + _BLOCK_S
                for item in source.read(now):
                    if isinstance(item, Chunk):
                        yield Played(item.stream, item.times, item.data)
        finally:
            source.close()

    keys = XdfSource(path, kinds, make_intake, index=index)
    keys.close()
    return {keys.keys[stream_id]: index.streams[stream_id].header for stream_id in kinds}, read


def eeg_content(path: Path, raw: Any, unit: str | None = None) -> Content:
    """Return an EEG file as MNE has opened it (``mne.io.Raw``): its channels, and its annotations as markers.

    EEG is sent in µV; what has no known unit, as MNE's ``misc``, is sent as it is, and states ``unit``. What
    is annotated as bad is sent as NaN.
    """
    sfreq, name = float(raw.info["sfreq"]), path.stem
    known = mne_channels(raw)
    in_volts = np.array([channel.unit == "V" and channel.type != "" for channel in known])
    scale = np.where(in_volts, 1e6, 1.0)
    channels = tuple(
        replace(channel, type=channel.type.upper(), unit="microvolts" if is_volts else unit or "")
        for channel, is_volts in zip(known, in_volts, strict=True)
    )
    source_id = publisher_source_id("recording", path)
    eeg = StreamHeader(name, "EEG", source_id, "", "", sfreq, len(channels), "float32", channels)
    streams = {"eeg": eeg}
    notes = sorted(zip(raw.annotations.onset, map(str, raw.annotations.description), strict=True))
    if notes := notes or trigger_events(raw):
        marker = StreamHeader(f"{name} markers", "Markers", f"{source_id}-markers", "", "", 0.0, 1, "string")
        streams["markers"] = marker
    spans = bad_spans(raw)
    breaks = np.array([onset - raw.first_time for onset, text in notes if text == "boundary"])

    def placed(times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Leave a second at each boundary: nothing may span it."""
        return times + np.searchsorted(breaks, times, side="right")

    def read() -> Iterator[Played]:
        block, left = max(1, round(_BLOCK_S * sfreq)), list(notes)
        for start in range(0, raw.n_times, block):
            try:
                values = raw.get_data(start=start, stop=min(start + block, raw.n_times)).T * scale
            except Exception as error:  # a damaged file makes MNE raise whatever its bytes happen to say
                what = f"the samples cannot be read: {error}"
                raise InputError(what, where=str(path), code=ErrorCode.RECORDING) from error
            for begin, end in spans:
                values[max(begin - start, 0) : max(end - start, 0)] = np.nan
            times = np.arange(start, start + len(values)) / sfreq
            while left and left[0][0] - raw.first_time <= times[-1]:
                onset, text = left.pop(0)
                yield Played("markers", placed(np.array([max(onset - raw.first_time, 0.0)])), [(text,)])
            yield Played("eeg", placed(times), values)

    return streams, read


class Player(PacedFile):
    """The samples of a recording, each due when its block is complete; ``data`` of a capture is `Played`."""

    def __init__(self, content: Content, clock: Clock, loop: bool) -> None:
        super().__init__(clock)
        self._read, self._loop = content[1], loop
        self._first = self._last = self._shift = 0.0
        self._begin()

    def _begin(self) -> None:
        self._samples = self._read()
        self._upcoming = next(self._samples, None)
        if self._upcoming is None:
            self.ended = True
            return
        self._first = self._last = float(self._upcoming.times[0])

    def _due_s(self) -> float:
        assert self._upcoming is not None
        return self._shift + float(self._upcoming.times[-1]) - self._first

    def _next(self, start: float, now: float) -> Capture | None:
        played = self._upcoming
        assert played is not None
        stamps = start + self._shift - self._first + played.times
        self._last = max(self._last, float(played.times[-1]))
        self._upcoming = next(self._samples, None)
        if self._upcoming is None and self._loop:
            self._shift += self._last - self._first + _BLOCK_S
            self._begin()
        self.ended = self._upcoming is None
        return Capture(float(stamps[-1]), played._replace(times=stamps))


def write_xdf(content: Content, path: Path) -> None:
    headers, read = content
    ids = {key: at for at, key in enumerate(headers, 1)}
    with XdfWriter(path) as writer:
        for key, header in headers.items():
            writer.add_stream(ids[key], info_of(header, header.source_id).as_xml())
        for played in read():
            writer.samples(ids[played.stream], played.times, played.values)


def info_of(header: StreamHeader, source_id: str) -> Any:
    """Return a ``pylsl.StreamInfo`` that says what a recorded stream said, under another ``source_id``."""
    channels = [
        {
            tag: text
            for tag in ("label", "type", "unit", "eye", "coordinate_system")
            if (text := getattr(c, tag))
        }
        for c in header.channels
    ]
    desc: dict[str, Any] = {"encoding": dict(header.encoding)} if header.encoding else {}
    desc |= {"synchronization": {"can_drop_samples": "true"}} if header.can_drop_samples else {}
    desc |= {"channels": {"channel": channels}} if channels else {}
    for path, text in header.desc.items():
        place = desc
        *above, tag = path.split("/")
        for part in above:  # an element may be said twice, once as a text
            inner = place.get(part)
            place[part] = place = inner if isinstance(inner, dict) else {}
        place.setdefault(tag, text)
    return make_info(
        header.name or source_id, header.type, header.channel_format, source_id,
        n_channels=header.n_channels, sfreq=header.nominal_sfreq, desc=desc,
    )  # fmt: skip


def publish_recording(path: Path, content: Content, publishing: Publishing) -> None:
    """Publish a recording's streams until it is told to stop or the file ends.

    Stamps are those of the recording, moved to now. Raises `InputError` where it cannot be read.
    """
    headers, clock = content[0], LslClock()
    base = publisher_source_id("recording", path)
    outlets = {key: open_outlet(info_of(headers[key], f"{base}-{at}")) for at, key in enumerate(headers)}

    def push(capture: Capture) -> None:
        played: Played = capture.data
        values = played.values if isinstance(played.values, np.ndarray) else [list(r) for r in played.values]
        outlets[played.stream].push_chunk(values, list(played.times))

    for header in headers.values():
        rate = f"{header.nominal_sfreq:g} Hz" if header.nominal_sfreq else "irregular"
        publishing.report(
            f"stream {header.name!r} ({header.type}): {counted(header.n_channels, 'channel')}, {rate}"
        )
    run_publisher(
        Player(content, clock, publishing.loop), next(iter(outlets.values())), push, clock, publishing
    )
