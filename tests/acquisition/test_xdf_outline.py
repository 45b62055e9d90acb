"""The outline of a recording: gaps, markers and damage are found; bookmarks change no bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acquisition.intake import intake_maker
from acquisition.select import select_streams
from acquisition.simulator.recording import write_simulated
from acquisition.timebase import ClockMapper
from acquisition.types import Chunk, Kind
from acquisition.xdf.outline import outline_xdf
from acquisition.xdf.scan import scan_xdf
from acquisition.xdf.source import XdfSource
from acquisition.xdf.write import XdfWriter

EEG = (
    "<info><name>Amp</name><type>EEG</type><channel_count>2</channel_count><source_id>amp</source_id>"
    "<nominal_srate>{rate}</nominal_srate><channel_format>double64</channel_format><desc><channels>"
    "<channel><label>Fz</label><unit>uV</unit></channel><channel><label>Cz</label><unit>uV</unit></channel>"
    "</channels></desc></info>"
)
MARKERS = (
    "<info><name>Notes</name><type>Markers</type><channel_count>1</channel_count><source_id>n</source_id>"
    "<nominal_srate>0</nominal_srate><channel_format>string</channel_format><desc/></info>"
)


def write_recording(path, stamps, markers=(), rate=100, n_chunk=50):
    """Write EEG with these stamps, whose first channel is the sample's index, and markers."""
    values = np.column_stack([np.arange(len(stamps)), np.zeros(len(stamps))])
    with XdfWriter(path) as writer:
        writer.add_stream(1, EEG.format(rate=rate))
        writer.add_stream(2, MARKERS)
        for raw in np.arange(stamps[0], np.nanmax(stamps), 5.0):
            writer.clock_offset(1, raw, 0.25)
        for at in range(0, len(stamps), n_chunk):
            writer.samples(1, stamps[at : at + n_chunk], values[at : at + n_chunk])
        if markers:
            writer.samples(2, [time for time, _ in markers], [[text] for _, text in markers])
    return path


def opened(path):
    index = scan_xdf(path)
    kinds = select_streams({i: stream.header for i, stream in index.streams.items()})
    return index, kinds, intake_maker()


def samples(source):
    """Return (times, data, breaks as times) of a source's first stream, read to the end."""
    chunks = [item for item in source.read(np.inf) if isinstance(item, Chunk)]
    chunks = [chunk for chunk in chunks if chunk.stream == chunks[0].stream]
    times = np.concatenate([chunk.times for chunk in chunks])
    breaks = [float(chunk.times[at]) for chunk in chunks for at in chunk.breaks]
    source.close()
    return times, np.concatenate([chunk.data for chunk in chunks]), breaks


def test_gaps_and_markers_are_where_they_were_made(tmp_path):
    stamps = 100 + np.arange(3000) / 100
    stamps[1000:] += 2.5  # 2.5 s are missing after 10 s
    markers = [(101.0, "begin"), (120.5, "a note\nof two lines"), (131.0, "x" * 500)]
    path = write_recording(tmp_path / "a.xdf", stamps, markers)
    outline = outline_xdf(*opened(path))
    assert outline.first_time == pytest.approx(100.25, abs=0.01)
    assert outline.last_time == pytest.approx(132.75, abs=0.05)
    assert [(m.text, m.stream) for m in outline.markers] == [
        ("begin", "Notes"),
        ("a note\nof two lines", "Notes"),
        ("x" * 200, "Notes"),
    ]
    np.testing.assert_allclose([m.time for m in outline.markers], [101.0, 120.5, 131.0])
    assert [(g.stream, g.kind) for g in outline.gaps] == [("Amp", Kind.EEG)]
    assert outline.gaps[0].time == pytest.approx(110.24, abs=0.02)
    assert outline.gaps[0].duration_s == pytest.approx(2.51, abs=0.02)
    assert outline.damage == ()


def test_a_stream_that_ends_early_has_a_gap_to_the_end(tmp_path):
    path = tmp_path / "short.xdf"
    with XdfWriter(path) as writer:
        for stream_id, seconds in ((1, 20), (2, 12)):
            writer.add_stream(stream_id, EEG.format(rate=100).replace("Amp", f"Amp{stream_id}"))
            stamps = 50 + np.arange(seconds * 100) / 100
            writer.samples(stream_id, stamps, np.zeros((len(stamps), 2)))
    index = scan_xdf(path)
    outline = outline_xdf(index, {1: Kind.EEG, 2: Kind.EEG}, intake_maker())
    assert [(gap.stream, round(gap.time), round(gap.duration_s)) for gap in outline.gaps] == [("Amp2", 62, 8)]


def test_of_very_many_gaps_the_longest_are_kept_and_all_are_counted(tmp_path):
    stamps = 100 + np.cumsum(np.where(np.arange(12_000) % 4 == 0, 0.3, 0.01))
    stamps[6000:] += 5.0
    outline = outline_xdf(*opened(write_recording(tmp_path / "holes.xdf", stamps)))
    assert outline.n_gaps > 2500
    assert len(outline.gaps) == 500
    assert max(gap.duration_s for gap in outline.gaps) > 5.0
    times = [gap.time for gap in outline.gaps]
    assert times == sorted(times)


def test_very_many_markers_are_counted_and_the_first_are_kept(tmp_path):
    stamps = 100 + np.arange(1000) / 100
    markers = [(100 + 0.001 * i, str(i)) for i in range(3000)]
    outline = outline_xdf(*opened(write_recording(tmp_path / "busy.xdf", stamps, markers)))
    assert outline.n_markers == 3000
    assert [marker.text for marker in outline.markers] == [str(i) for i in range(2000)]


@pytest.mark.parametrize("start_s", [5.0, 33.0, 61.3, 95.0, 118.0])
@pytest.mark.parametrize("chunk", [None, 7])
def test_a_start_from_a_bookmark_gives_the_same_bits(tmp_path, start_s, chunk):
    rng = np.random.default_rng(3)
    stamps = 100 + np.arange(12_000) / 99.7 + np.repeat(rng.normal(0, 0.003, 240), 50)
    stamps[4000:] += 1.5
    stamps = np.maximum.accumulate(stamps)
    stamps[7001::2] = np.nan  # left out, to be deduced
    index, kinds, maker = opened(write_recording(tmp_path / "long.xdf", stamps))
    outline = outline_xdf(index, kinds, maker)
    assert len(outline.bookmarks[1]) >= 3
    plain = XdfSource(index.path, kinds, maker, start=start_s, chunk=chunk, index=index)
    marked = XdfSource(index.path, kinds, maker, start=start_s, chunk=chunk, index=index, outline=outline)
    assert (plain.first_time, plain.last_time) == (marked.first_time, marked.last_time)
    for a, b in zip(samples(plain), samples(marked), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_bookmark_can_be_used_again(tmp_path):
    index, kinds, maker = opened(write_recording(tmp_path / "again.xdf", 100 + np.arange(9000) / 100))
    outline = outline_xdf(index, kinds, maker)
    first, second = (
        samples(XdfSource(index.path, kinds, maker, start=70.0, index=index, outline=outline))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], second[0])


def test_a_mappers_copy_goes_on_like_the_mapper():
    stamps = np.arange(3000) / 250 + np.random.default_rng(0).normal(0, 1e-3, 3000)
    mapper = ClockMapper("amp", 250.0)
    mapper.add_offset(0.0, 5.0)
    mapper.map(stamps[:1111])
    copy = mapper.copy()
    np.testing.assert_array_equal(mapper.map(stamps[1111:]).times, copy.map(stamps[1111:]).times)


def test_damage_is_told_as_the_replay_tells_it(tmp_path):
    whole, cut = tmp_path / "whole.xdf", tmp_path / "cut.xdf"
    write_simulated(whole, ("eeg", "audio"), 6.0)
    cut.write_bytes(whole.read_bytes()[:-100_000])
    index, kinds, maker = opened(cut)
    outline = outline_xdf(index, kinds, maker)
    source = XdfSource(cut, kinds, maker, index=scan_xdf(cut))
    source.read(np.inf)
    assert outline.damage
    assert sorted(outline.damage) == sorted(source.damage)
    source.close()


def test_progress_can_end_the_pass(tmp_path):
    index, kinds, maker = opened(write_recording(tmp_path / "p.xdf", 100 + np.arange(6000) / 100))

    def stop(share):
        assert 0 <= share <= 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outline_xdf(index, kinds, maker, stop)


def test_a_stream_that_is_added_gets_an_id_that_there_is(tmp_path: Path) -> None:
    path = tmp_path / "a.xdf"
    with XdfWriter(path) as writer:
        for stream_id in (1, 2, 2**32 - 1):
            writer.add_stream(
                stream_id,
                f"<info><name>s{stream_id}</name><type>EEG</type><channel_count>1</channel_count>"
                "<channel_format>float32</channel_format></info>",
            )
    assert scan_xdf(path).unused_id == 3
