"""What inspection finds in recordings whose contents are known."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from acquisition.xdf.inspect import StreamReport, inspect_xdf
from acquisition.xdf.write import XdfWriter

HEADER = (
    "<info><name>Amp</name><type>EEG</type><channel_count>1</channel_count>"
    "<nominal_srate>100</nominal_srate><channel_format>float32</channel_format></info>"
)


def _inspect(tmp_path: Path, stamps: np.ndarray, offsets: list[tuple[float, float]]) -> StreamReport:
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(1, HEADER)
        for part in np.array_split(stamps, 7):
            writer.samples(1, part, np.zeros((len(part), 1)))
        for raw_time, offset_s in offsets:
            writer.clock_offset(1, raw_time, offset_s)
    return inspect_xdf(path).streams[0]


def test_gap_backward_stamp_and_rate_are_measured(tmp_path: Path) -> None:
    stamps = 10 + np.arange(1000) / 93.0
    stamps[500:] += 2.5
    stamps[100] -= 0.02
    stream = _inspect(tmp_path, stamps, [(10.0, 5.0), (15.0, 5.0)])
    assert stream.n_samples == 1000
    assert stream.n_gaps == 1
    assert stream.longest_gap_s == pytest.approx(2.5 + 1 / 93)
    assert stream.n_backward == 1
    assert stream.measured_sfreq == pytest.approx(93, rel=1e-6)
    assert stream.first_time == pytest.approx(15.0)
    assert len(stream.segments) == 1


def test_a_clock_reset_splits_the_stream(tmp_path: Path) -> None:
    stamps = np.concatenate([1000 + np.arange(600) / 100, 3 + np.arange(400) / 100])
    offsets = [(1000.0, 0.0), (1002.0, 0.0), (1004.0, 0.0), (3.0, 1004.0), (5.0, 1004.0)]
    stream = _inspect(tmp_path, stamps, offsets)
    assert [(part.first_sample, part.last_sample) for part in stream.segments] == [(0, 599), (600, 999)]
    assert stream.duration_s == pytest.approx(10.99, abs=0.05)


def test_stamps_that_are_no_numbers_are_damage(tmp_path: Path) -> None:
    stamps = 10 + np.arange(1000) / 100
    _inspect(tmp_path, stamps, [])
    path, content = tmp_path / "a.xdf", (tmp_path / "a.xdf").read_bytes()
    for at in (100, 101, 500):
        content = content.replace(struct.pack("<d", stamps[at]), struct.pack("<d", math.nan))
    path.write_bytes(content)
    report = inspect_xdf(path)
    assert len(report.damage) == 2  # chunks
    assert report.streams[0].n_samples == 1000
    assert report.streams[0].last_time == pytest.approx(19.99)


@pytest.mark.parametrize(("late_s", "expected"), [(0.0, 0.0), (3.0, 3.0)])
def test_a_stream_that_arrived_late_is_told_from_where_it_stands(
    tmp_path: Path, late_s: float, expected: float
) -> None:
    path = tmp_path / "late.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(1, HEADER)
        writer.add_stream(2, HEADER.replace("EEG", "Gaze"))
        for half in range(80):
            times = 100 + half / 2 + np.arange(50) / 100
            writer.samples(1, times, np.zeros((50, 1)))
            writer.samples(2, times - late_s, np.zeros((50, 1)))
    behind = [stream.behind_s for stream in inspect_xdf(path).streams]
    assert behind == [0.0, pytest.approx(expected, abs=0.5)]


def test_streams_written_one_after_the_other_are_not_called_late(tmp_path: Path) -> None:
    path = tmp_path / "apart.xdf"
    with XdfWriter(path) as writer:
        for number in (1, 2):
            writer.add_stream(number, HEADER.replace("EEG", ("", "EEG", "Gaze")[number]))
        for number in (1, 2):
            for part in np.array_split(100 + np.arange(4000) / 100, 80):
                writer.samples(number, part, np.zeros((len(part), 1)))
    assert [stream.behind_s for stream in inspect_xdf(path).streams] == [0.0, 0.0]


@pytest.mark.real_data
def test_clock_resets_recording(real_data: Path) -> None:
    report = inspect_xdf(real_data / "xdf" / "clock_resets.xdf")
    eeg = next(stream for stream in report.streams if stream.header.type == "EEG")
    assert [(part.first_sample, part.last_sample) for part in eeg.segments] == [(0, 12875), (12876, 27814)]
    assert eeg.longest_gap_s == pytest.approx(273.9, abs=0.5)
    assert eeg.measured_sfreq == pytest.approx(93, abs=0.5)
    assert report.damage == ()


@pytest.mark.real_data
def test_empty_streams_are_flagged(real_data: Path) -> None:
    report = inspect_xdf(real_data / "xdf" / "empty_streams.xdf")
    assert sum(stream.is_empty for stream in report.streams) == 2


@pytest.mark.real_data
def test_openbci_recording_steps_back_1115_times(real_data: Path) -> None:
    report = inspect_xdf(real_data / "xdf" / "openbci_Sub2011001.xdf")
    eeg = next(stream for stream in report.streams if stream.header.type == "EEG")
    assert eeg.n_backward == 1115
    assert eeg.longest_gap_s == pytest.approx(0.63, abs=0.01)


@pytest.mark.real_data
def test_every_report_is_json(real_data: Path) -> None:
    for path in sorted((real_data / "xdf").glob("*.xdf")):
        json.dumps(inspect_xdf(path).to_json(), allow_nan=False)


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_file_that_was_never_closed_is_said_to_be(tmp_path, is_closed):
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as writer:
        writer.add_stream(
            1,
            "<info><name>m</name><type>Markers</type><channel_count>1</channel_count>"
            "<channel_format>string</channel_format></info>",
        )
        writer.samples(1, [1.0], [("a",)])
        if is_closed:
            writer.footer(1, "<info><sample_count>1</sample_count></info>")
    assert len(inspect_xdf(path).notes) == (not is_closed)


def test_stamps_that_are_all_but_equal_tell_no_rate(tmp_path: Path) -> None:
    stream = _inspect(tmp_path, np.arange(1000) * 5e-324, [])
    assert (stream.n_samples, stream.measured_sfreq, stream.amplitude_uv) == (1000, 0.0, 0.0)
