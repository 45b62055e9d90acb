"""The causal clock map: known lines, resets, gaps, and indifference to chunk sizes."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.timebase import ClockMapper
from acquisition.types import MapSegment


def map_in_pieces(mapper: ClockMapper, stamps, size):
    times, breaks, n_before = [], [], 0
    for start in range(0, len(stamps), size):
        mapped = mapper.map(stamps[start : start + size])
        times.append(mapped.times)
        breaks += [n_before + at for at in mapped.breaks]
        n_before += len(mapped.times)
    return np.concatenate(times), breaks


def jittered(n=5000, sfreq=250.0, jitter_s=0.004, seed=0):
    rng = np.random.default_rng(seed)
    return 100.0 + np.arange(n) / sfreq + rng.normal(0, jitter_s, n)


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 5000])
def test_chunk_size_changes_no_bit(size):
    stamps = jittered()
    stamps[3000:] += 0.6
    whole, whole_breaks = map_in_pieces(ClockMapper("s", 250.0), stamps, len(stamps))
    pieces, breaks = map_in_pieces(ClockMapper("s", 250.0), stamps, size)
    assert pieces.tobytes() == whole.tobytes()
    assert breaks == whole_breaks


def test_dejitter_settles_on_the_true_line():
    times, _ = map_in_pieces(ClockMapper("s", 250.0), jittered(), 50)
    error = times[2500:] - (100.0 + np.arange(2500, 5000) / 250.0)
    assert np.abs(error).max() < 0.001  # jitter was 4 ms
    assert (np.diff(times) > 0).all()


def test_nominal_rate_seven_percent_off_is_unlearned():
    stamps = 10.0 + np.arange(2000) / 93.0
    times, breaks = map_in_pieces(ClockMapper("s", 100.0), stamps, 40)
    assert breaks == [0]
    assert np.abs(times[500:] - stamps[500:]).max() < 0.005
    assert np.abs(times[1500:] - stamps[1500:]).max() < 0.001


def test_nominal_rate_ten_times_off_is_unlearned():
    stamps = 10.0 + np.arange(1200) / 60.0
    times, breaks = map_in_pieces(ClockMapper("s", 600.0), stamps, 40)
    assert np.abs(times[300:] - stamps[300:]).max() < 0.002
    assert len(breaks) <= 3


def test_gap_is_a_break_and_time_continues_after_it():
    stamps = 5.0 + np.arange(1000) / 100.0
    stamps[500:] += 0.7
    times, breaks = map_in_pieces(ClockMapper("s", 100.0), stamps, 30)
    assert breaks == [0, 500]
    np.testing.assert_allclose(times, stamps, atol=1e-6)


def test_offset_is_added_from_its_measurement_on():
    mapper = ClockMapper("s", 0.0)
    mapper.add_offset(0.0, 5.0)
    mapper.add_offset(10.0, 5.2)
    mapped = mapper.map(np.array([1.0, 9.0, 11.0]))
    np.testing.assert_allclose(mapped.times, [6.0, 14.0, 16.1])  # median of 5.0 and 5.2


def test_clock_reset_switches_to_the_offsets_after_it():
    mapper = ClockMapper("s", 10.0)
    mapper.add_offset(1000.0, -900.0)
    mapper.add_offset(1005.0, -900.0)
    mapper.add_offset(2.0, 148.0)
    before = 1000.0 + np.arange(50) / 10.0
    after = 0.0 + np.arange(50) / 10.0
    times, breaks = map_in_pieces(mapper, np.concatenate([before, after]), 100)
    assert breaks == [0, 50]
    np.testing.assert_allclose(times[:50], before - 900.0, atol=1e-9)
    np.testing.assert_allclose(times[50:], after + 148.0, atol=1e-9)


def test_clock_set_back_drops_samples_until_time_has_caught_up():
    stamps = 50.0 + np.arange(100) / 10.0
    stamps[40:] -= 2.0
    mapper = ClockMapper("s", 0.0)
    mapped = mapper.map(stamps)
    assert (np.diff(mapped.times) > 0).all()
    assert mapper.n_dropped == 20
    assert mapped.keep is not None
    assert mapped.keep.sum() == 80


def test_late_stamps_that_catch_up_never_turn_time_back():
    stamps = 0.0 + np.arange(2000) / 125.0
    stamps[1000:1100] += np.linspace(0.09, 0.0, 100)
    mapped = ClockMapper("s", 125.0).map(stamps)
    assert mapped.keep is None
    assert (np.diff(mapped.times) > 0).all()


@pytest.mark.parametrize("nominal_sfreq", [250.0, 0.0])
def test_recorded_segments_give_the_same_bits_as_the_live_map(nominal_sfreq):
    stamps = jittered() if nominal_sfreq else 100 + np.arange(5000) / 250
    stamps[3000:] += 0.6
    live = ClockMapper("s", nominal_sfreq)
    live.add_offset(99.0, 3.0)
    live.add_offset(104.0, 3.00002)
    expected, expected_breaks = map_in_pieces(live, stamps, 31)
    segments = live.take_segments()
    first = np.flatnonzero(stamps >= segments[3 if nominal_sfreq else 0].raw_start)[0]
    replayed = ClockMapper("s", nominal_sfreq, recorded=segments[3 if nominal_sfreq else 0 :])
    times, breaks = map_in_pieces(replayed, stamps[first:], 64)
    assert times.tobytes() == expected[first:].tobytes()
    assert [at + first for at in breaks if at > 0] == [at for at in expected_breaks if at > first]


def test_device_delay_is_subtracted():
    mapper = ClockMapper("s", 0.0, offset_mean_s=0.03)
    np.testing.assert_allclose(mapper.map(np.array([1.0, 1.1])).times, [0.97, 1.07])


def test_two_markers_at_one_moment_are_both_kept():
    stamps = np.array([1.0, 1.0, 2.0])
    assert len(ClockMapper("m", 0.0, allow_ties=True).map(stamps).times) == 3
    assert len(ClockMapper("m", 0.0).map(stamps).times) == 2


def test_recording_that_begins_between_two_segments_follows_the_next_one():
    stamps = jittered()
    live = ClockMapper("s", 250.0)
    expected, _ = map_in_pieces(live, stamps, 31)
    segments = live.take_segments()
    begin = int(np.flatnonzero(stamps == segments[4].raw_start)[0]) + 10  # its own sample is not recorded
    replayed = ClockMapper("s", 250.0, recorded=segments[4:])
    times, _ = map_in_pieces(replayed, stamps[begin:], 64)
    following = int(np.flatnonzero(stamps == segments[5].raw_start)[0])
    assert len(times) == len(stamps) - begin
    assert times[following - begin :].tobytes() == expected[following:].tobytes()


@pytest.mark.parametrize("n_piece", [1, 7, 500])
def test_chunks_do_not_matter_where_the_sample_a_segment_began_with_is_lost(n_piece):
    stamps = 100 + np.arange(500) / 60
    lost = MapSegment("s", 100.9 + 1e-3, 103.9, 0.0, 3.0, 0.0, False)
    whole, _ = map_in_pieces(ClockMapper("s", 0.0, recorded=[lost]), stamps, 500)
    pieces, _ = map_in_pieces(ClockMapper("s", 0.0, recorded=[lost]), stamps, n_piece)
    assert pieces.tobytes() == whole.tobytes()


def test_map_that_nobody_publishes_takes_bounded_memory():
    mapper = ClockMapper("s", 4.0)
    for begin in range(0, 40_000, 1000):
        mapper.map(np.arange(begin, begin + 1000) / 4.0)
    assert len(mapper.take_segments()) == 10_000
    assert mapper.take_segments() == []


@pytest.mark.parametrize("broken", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_broken_stamp_costs_no_other_sample(broken: float, size: int) -> None:
    stamps = 50 + np.arange(500) / 100
    stamps[[0, 1, 203, 204, 377]] = broken
    mapper = ClockMapper("x", 100.0)
    times = np.concatenate([mapper.map(stamps[at : at + size]).times for at in range(0, 500, size)])
    np.testing.assert_allclose(times, 50 + np.arange(2, 500) / 100, atol=1e-6)
    assert mapper.n_dropped == 2  # they have no sample before them to follow
