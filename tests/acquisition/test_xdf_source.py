"""A recording gives the same chunks however it is read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acquisition.errors import ErrorCode, InputError
from acquisition.header import parse_header, stream_identity
from acquisition.intake import StreamIntake
from acquisition.record.files import recording_parts
from acquisition.timebase import ClockMapper
from acquisition.types import Change, Chunk, Fate, Kind, MapSegment, StreamEvent, StreamHeader, StreamSpec
from acquisition.xdf.inspect import inspect_xdf
from acquisition.xdf.outline import outline_xdf
from acquisition.xdf.parts import open_recording
from acquisition.xdf.source import XdfSource
from acquisition.xdf.write import XdfWriter

HEADER = (
    "<info><name>{name}</name><type>{type}</type><channel_count>{n}</channel_count><source_id>{name}-1"
    "</source_id><nominal_srate>{sfreq}</nominal_srate><channel_format>{format}</channel_format></info>"
)
EEG, MARKERS = 1, 2
KINDS = {EEG: Kind.EEG, MARKERS: Kind.MARKERS}


class _AsSent:
    """An adapter that leaves values as they are."""

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec

    def convert(self, values: Any) -> Any:
        return values.astype(np.float64) if isinstance(values, np.ndarray) else tuple(r[0] for r in values)


def _intake(header: StreamHeader, key: str, kind: Kind, recorded: Sequence[MapSegment]) -> StreamIntake:
    names = tuple(f"c{i}" for i in range(header.n_channels))
    spec = StreamSpec(key, header.name, kind, names, ("",) * len(names), header.nominal_sfreq)
    mapper = ClockMapper(
        stream_identity(header), header.nominal_sfreq, dejitter=kind is Kind.EEG, recorded=recorded
    )
    return StreamIntake(key, _AsSent(spec), mapper)


def _write(path: Path, begin: int = 0, end: int = 2000, piece: int = 100, late: str = "") -> Path:
    """Write samples of 20 s of 100 Hz EEG whose value is their index, jittered, 1000 s off; and markers.

    A stream of ``late`` markers comes on top.
    """
    rng = np.random.default_rng(1)
    stamps, offsets = 50 + np.arange(2000) / 100 + rng.normal(0, 1e-3, 2000), rng.normal(0, 1e-4, 4)
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=2, sfreq=100, format="float32"))
        writer.add_stream(MARKERS, HEADER.format(name="Mark", type="Markers", n=1, sfreq=0, format="string"))
        if late:
            writer.add_stream(3, HEADER.format(name=late, type="Markers", n=1, sfreq=0, format="string"))
        for at in range(begin, end, piece):
            index = np.arange(at, min(at + piece, end))
            writer.samples(EEG, stamps[index], np.repeat(index[:, None], 2, axis=1))
            for second in (index[index % 100 == 50] // 100).tolist():
                for stream in (MARKERS, 3)[: 1 + bool(late)]:
                    writer.samples(stream, [1050.5 + second], [[f"m{second}"]])
            for fifth in (index[index % 500 == 0] // 500).tolist():
                writer.clock_offset(EEG, 50.0 + 5 * fifth, 1000 + offsets[fifth])
                writer.clock_offset(MARKERS, 1050.0 + 5 * fifth, 0.0)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return _write(tmp_path / "a.xdf")


def _read(path: Path, hop_s: float, **options: Any) -> tuple[dict[str, tuple], list[StreamEvent]]:
    """Return times, values and breaks of each stream (by name), and the events."""
    source = XdfSource(path, options.pop("kinds", KINDS), _intake, **options)
    chunks: dict[str, list[Chunk]] = {}
    events: list[StreamEvent] = []
    now, newest = source.first_time, -math.inf
    while not source.exhausted:
        for item in source.read(now):
            if isinstance(item, StreamEvent):
                events.append(item)
                continue
            assert newest < item.times[0] <= item.times[-1] <= now
            chunks.setdefault(item.stream.split("|")[0], []).append(item)
        newest, now = now, now + hop_s
    source.close()
    return {name: _join(parts) for name, parts in chunks.items()}, events


def _join(parts: list[Chunk]) -> tuple[np.ndarray, list, list[int]]:
    n_before = 0
    for part in parts:
        assert part.start_index == n_before
        n_before += len(part.times)
    breaks = [part.start_index + at for part in parts for at in part.breaks]
    return np.concatenate([p.times for p in parts]), [row for p in parts for row in p.data], breaks


def test_every_sample_comes_once_and_in_order(recording: Path) -> None:
    streams, events = _read(recording, 0.25)
    times, rows, breaks = streams["Amp"]
    assert [row[0] for row in rows] == list(range(2000))
    assert breaks == [0]
    assert np.abs(times - 1050 - np.arange(2000) / 100).max() < 5e-3
    assert streams["Mark"][1] == [f"m{i}" for i in range(20)]
    assert [event.change for event in events] == [Change.OPENED, Change.OPENED, Change.ENDED, Change.ENDED]


@pytest.mark.parametrize(("hop_s", "chunk"), [(0.25, 1), (0.25, 7), (3.3, 64), (1e6, 10**9), (1e6, None)])
def test_hop_and_chunk_size_change_no_bit(recording: Path, hop_s: float, chunk: int | None) -> None:
    expected, _ = _read(recording, 0.25)
    got, _ = _read(recording, hop_s, chunk=chunk)
    for name in ("Amp", "Mark"):
        assert np.array_equal(got[name][0], expected[name][0])
        assert np.array_equal(got[name][1], expected[name][1])
        assert got[name][2] == expected[name][2]


@pytest.mark.parametrize("chunk", [None, 7])
def test_a_part_has_the_times_of_the_whole(recording: Path, chunk: int | None) -> None:
    whole, _ = _read(recording, 0.25)
    part, _ = _read(recording, 0.25, start=7.123, stop=15.0, chunk=chunk)
    begin = min(times[0] for times, _, _ in whole.values())
    for name in ("Amp", "Mark"):
        inside = (whole[name][0] >= begin + 7.123) & (whole[name][0] <= begin + 15)
        assert np.array_equal(part[name][0], whole[name][0][inside])
        assert len(part[name][1]) == inside.sum()
        first_row = int(np.flatnonzero(inside)[0])
        assert np.array_equal(part[name][1][0], whole[name][1][first_row])


def test_first_and_last_time_frame_the_recording(recording: Path) -> None:
    source = XdfSource(recording, KINDS, _intake)
    assert source.first_time == pytest.approx(1050, abs=0.01)
    assert source.last_time == pytest.approx(1070, abs=0.05)
    assert source.complete_to(1060.0) == 1060.0
    source.close()


def test_the_recorded_clock_map_is_handed_on(tmp_path: Path) -> None:
    path = tmp_path / "own.xdf"
    segment = MapSegment("Amp|EEG|Amp-1", 50.0, 1234.5, 0.01, 0.0, 100.0, True)
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=1, sfreq=100, format="float32"))
        writer.add_stream(
            9, HEADER.format(name="clock", type="AffectscopeClock", n=1, sfreq=0, format="string")
        )
        writer.samples(9, [1.0, 2.0], [[json.dumps(asdict(segment))], ["{broken"]])
        writer.samples(EEG, 50 + np.arange(100) / 100, np.zeros((100, 1)))
    streams, _ = _read(path, 0.25, kinds={EEG: Kind.EEG})
    assert np.array_equal(streams["Amp"][0], 1234.5 + np.arange(100) * 0.01)


def test_a_unix_stamped_stream_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "unix.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=1, sfreq=100, format="float32"))
        writer.add_stream(3, HEADER.format(name="Eye", type="Gaze", n=1, sfreq=100, format="float32"))
        for first in (0.0, 1.0):
            writer.samples(EEG, 500 + first + np.arange(100) / 100, np.zeros((100, 1)))
            writer.samples(3, 1.7e9 + first + np.arange(100) / 100, np.zeros((100, 1)))
    streams, events = _read(path, 0.25, kinds={EEG: Kind.EEG, 3: Kind.GAZE})
    assert list(streams) == ["Amp"]
    refused = [event for event in events if event.change is Change.REFUSED]
    assert len(refused) == 1
    assert "'Eye'" in refused[0].message
    assert "Unix" in refused[0].message
    assert [stream.refused for stream in inspect_xdf(path).streams] == ["", refused[0].message]


@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("leap_s", [-15.0, 200_000.0])
def test_stamps_that_leap_lose_no_sample_and_do_not_move_the_end(
    tmp_path: Path, leap_s: float, chunk: int | None
) -> None:
    path = tmp_path / "leap.xdf"
    stamps = 500 + np.arange(4000) / 100
    stamps[2000:] += leap_s
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=1, sfreq=100, format="float32"))
        for part in np.array_split(stamps, 20):
            writer.samples(EEG, part, np.zeros((len(part), 1)))
    source = XdfSource(path, {EEG: Kind.EEG}, _intake, chunk=chunk)
    assert source.last_time == source.whole_to == pytest.approx(539.99)
    items = source.read(1e9)
    source.close()
    assert sum(len(item.times) for item in items if isinstance(item, Chunk)) == 4000
    warned = [item for item in items if isinstance(item, StreamEvent) and item.change is Change.WARNING]
    assert [round(event.time) for event in warned] == [520]
    (ledger,) = source.ledgers().values()
    assert (ledger.n_received, ledger.n_with[Fate.LEAP]) == (4000, 2000)
    report = inspect_xdf(path).streams[0]
    assert report.ledger.n_with == ledger.n_with  # inspect and replay say the same
    assert report.placed[1] == pytest.approx(539.99)


def test_an_empty_stream_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=1, sfreq=100, format="float32"))
    streams, events = _read(path, 0.25, kinds={EEG: Kind.EEG})
    assert streams == {}
    assert [event.change for event in events] == [Change.WARNING]
    assert "'Amp'" in events[0].message


def test_an_unknown_stream_id_is_an_input_error(recording: Path) -> None:
    with pytest.raises(InputError) as error:
        XdfSource(recording, {77: Kind.EEG}, _intake)
    assert error.value.code is ErrorCode.RECORDING


@pytest.mark.real_data
@pytest.mark.parametrize("chunk", [None, 7, 10**9])
def test_clock_resets_keep_every_sample_and_mark_the_reset(real_data: Path, chunk: int | None) -> None:
    kinds = {1: Kind.MARKERS, 2: Kind.EEG}
    streams, _ = _read(real_data / "xdf" / "clock_resets.xdf", 0.5, kinds=kinds, chunk=chunk)
    times, _, breaks = streams["BioSemi"]
    assert len(times) == 27815
    assert 12876 in breaks
    assert times[12876] - times[12875] == pytest.approx(273.9, abs=0.5)
    assert len(streams["MyMarkerStream"][0]) == 175


def test_a_part_without_samples_is_an_input_error(recording: Path) -> None:
    with pytest.raises(
        InputError, match=r"no samples in the requested range; the recording is \d+\.\d s long"
    ):
        XdfSource(recording, KINDS, _intake, start=1000.0)


@pytest.mark.parametrize("rate", ["nan", "inf", "-5"])
def test_an_impossible_nominal_rate_counts_as_none(rate: str) -> None:
    header = parse_header(HEADER.format(name="Amp", type="EEG", n=2, sfreq=rate, format="float32"))
    assert header.nominal_sfreq == 0.0


@pytest.mark.parametrize(("second_ends_s", "whole_s"), [(9.5, 9.5), (7.0, 10.0)])
def test_a_recording_is_whole_until_the_first_of_the_streams_that_ran_to_its_end(
    tmp_path: Path, second_ends_s: float, whole_s: float
) -> None:
    path, ends = tmp_path / "ragged.xdf", {1: 10.0, 2: second_ends_s}
    with XdfWriter(path) as writer:
        for stream, end_s in ends.items():
            header = HEADER.format(name=f"Amp{stream}", type="EEG", n=1, sfreq=100, format="float32")
            writer.add_stream(stream, header)
            n = round(end_s * 100)
            writer.samples(stream, 50 + np.arange(n) / 100, np.zeros((n, 1)))
            writer.clock_offset(stream, 50.0, 0.0)
    source = XdfSource(path, dict.fromkeys(ends, Kind.EEG), _intake)
    assert source.whole_to - source.first_time == pytest.approx(whole_s, abs=0.02)
    assert source.last_time - source.first_time == pytest.approx(10.0, abs=0.02)
    source.close()


# -- A recording in parts ----------------------------------------------------------------------------------


def _read_parts(path: Path, late: bool = False, **options: Any) -> dict[str, tuple]:
    index = open_recording(path)
    kinds = KINDS | ({3: Kind.MARKERS} if late else {})
    return _read(path, 0.25, kinds=kinds, index=index, **options)[0]


@pytest.mark.parametrize("overlap", [0, 1, 250, 333])
def test_parts_that_overlap_give_the_samples_of_one_file(tmp_path: Path, overlap: int) -> None:
    whole, _ = _read(_write(tmp_path / "whole.xdf"), 0.25)
    first = _write(tmp_path / "a.xdf", end=1200)
    _write(tmp_path / "a_part-02.xdf", begin=1200 - overlap, piece=70, end=1700)
    last = _write(tmp_path / "a_part-03.xdf", begin=1690, late="Late")
    for named in (first, last):
        parts = _read_parts(named, late=True)
        for name, (times, rows, breaks) in whole.items():
            assert np.array_equal(parts[name][0], times)
            assert np.array_equal(parts[name][1], rows)
            assert parts[name][2] == breaks
        assert parts["Late"][1] == ["m17", "m18", "m19"]
    index = open_recording(first)
    assert index.paths == (first, first.with_stem("a_part-02"), last)
    assert "3 parts" in index.notes[0]
    assert len(open_recording(last, alone=True).streams) == 3


def test_a_hole_between_parts_is_a_gap_and_is_reached_by_a_bookmark(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.xdf", end=700)
    _write(tmp_path / "a_part-02.xdf", begin=1000)
    times, rows, breaks = _read_parts(first)["Amp"]
    assert [row[0] for row in rows] == [*range(700), *range(1000, 2000)]
    assert breaks == [0, 700]
    assert np.abs(times[700:] - 1060 - np.arange(1000) / 100).max() < 5e-3
    index = open_recording(first)
    outline = outline_xdf(index, KINDS, _intake)
    sought, _ = _read(first, 0.25, index=index, outline=outline, start=12.0)
    assert np.array_equal(sought["Amp"][0], times[times >= outline.first_time + 12])


def test_a_stream_that_sends_something_else_in_a_later_part_is_another_one(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.xdf", end=700)
    with XdfWriter(tmp_path / "a_part-02.xdf") as writer:
        writer.add_stream(EEG, HEADER.format(name="Amp", type="EEG", n=3, sfreq=100, format="float32"))
        writer.samples(EEG, [1058.0], np.zeros((1, 3)))
    index = open_recording(first)
    assert {i: stream.header.n_channels for i, stream in index.streams.items()} == {EEG: 2, MARKERS: 1, 3: 3}
    assert set(index.headers) == {EEG, MARKERS}
    kinds = index.with_following({EEG: Kind.EEG})
    assert kinds == {EEG: Kind.EEG, 3: Kind.EEG}
    items = XdfSource(first, kinds, _intake, index=index).read(math.inf)
    told = [item.spec and len(item.spec.ch_names) for item in items if isinstance(item, StreamEvent)]
    assert told == [2, None, 3, None]  # opened, ended, opened, ended
    assert [item.data.shape[1] for item in items if isinstance(item, Chunk)][-2:] == [2, 3]


def test_a_part_of_another_day_or_clock_is_not_joined(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.xdf", begin=500)
    _write(tmp_path / "a_part-02.xdf", end=300)
    index = open_recording(first)
    assert index.paths == (first,)
    assert "of another session" in index.notes[0]


def test_sidecars_name_the_parts_and_no_file_elsewhere(tmp_path: Path) -> None:
    elsewhere = _write(tmp_path / "elsewhere.xdf")
    folder = tmp_path / "s"
    folder.mkdir()
    first, later = _write(folder / "a.xdf", end=900), _write(folder / "b.xdf", begin=900)
    assert recording_parts(later) == (later,)
    first.with_suffix(".json").write_text(
        json.dumps({"parts": ["b.xdf", "../elsewhere.xdf", str(elsewhere), 7]})
    )
    later.with_suffix(".json").write_text(json.dumps({"part_of": "a.xdf"}))
    assert recording_parts(first) == recording_parts(later) == (first, later)
    later.with_suffix(".json").write_text(json.dumps({"part_of": "../elsewhere.xdf"}))
    assert recording_parts(later) == (later,)


def _two(path: Path, shift_s: float, stamps_known: bool = True) -> XdfSource:
    """Return 5 s of EEG and of gaze at 100 Hz, the gaze's stamps ``shift_s`` later."""
    stamps = 100 + np.arange(500) / 100
    with XdfWriter(path) as writer:
        for stream_id, (name, shift) in enumerate([("EEG", 0.0), ("Gaze", shift_s)], 1):
            xml = HEADER.format(name=name, type=name, n=1, sfreq=100, format="float32")
            writer.add_stream(stream_id, xml)
            for at in range(0, 500, 50):
                part = stamps[at : at + 50] + shift if stamps_known else np.full(50, np.nan)
                writer.samples(stream_id, part, np.ones((50, 1)))
    return XdfSource(path, {1: Kind.EEG, 2: Kind.GAZE}, _intake)


@pytest.mark.parametrize(("shift_s", "is_told"), [(0.0, False), (4.9, False), (1e7, True), (-1e7, True)])
def test_streams_that_share_no_time_are_named(tmp_path: Path, shift_s: float, is_told: bool) -> None:
    source = _two(tmp_path / "a.xdf", shift_s)
    told = [e.message for e in source.read(math.inf) if isinstance(e, StreamEvent) and e.code == "apart"]
    assert len(told) == is_told
    assert all("EEG" in message and "Gaze" in message for message in told)
    source.close()


def test_a_recording_without_a_timestamp_is_replayed_to_its_end(tmp_path: Path) -> None:
    source = _two(tmp_path / "a.xdf", 0.0, stamps_known=False)
    assert source.last_time - source.first_time == pytest.approx(4.99)
    assert source.whole_to == pytest.approx(source.last_time)
    source.close()
