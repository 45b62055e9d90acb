"""The causal clock map: known lines, resets, gaps, and indifference to chunk sizes."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.timebase import ClockMapper
from acquisition.types import Fate, MapSegment


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


@pytest.mark.parametrize("nominal_sfreq", [0.0, 30.0, 250.0])
@pytest.mark.parametrize("seed", range(12))
def test_broken_stamps_end_the_same_in_any_chunks_and_their_ledger_too(seed, nominal_sfreq):
    rng = np.random.default_rng(seed)
    stamps = 100.0 + np.arange(1500) / (nominal_sfreq or 30.0)
    for begin in rng.integers(0, 1400, 6):
        piece = stamps[begin : begin + rng.integers(2, 400)]
        fault = rng.integers(0, 4)
        if fault == 0:
            stamps[begin:] += rng.choice([-5, 5, 4000, -1e9, 0.5])
        elif fault == 1:
            piece[:] = piece[0] + np.arange(len(piece)) * 1e-9
        elif fault == 2:
            piece[:] = piece[::-1].copy()
        else:
            piece += rng.choice([-5, 5, 0.3])
    found = []
    for size in (1, 7, len(stamps)):
        mapper = ClockMapper("s", nominal_sfreq)
        times, breaks = map_in_pieces(mapper, stamps, size)
        assert np.isfinite(times).all()
        assert (np.diff(times) > 0).all()
        seconds = [round(mapper.ledger.seconds[fate], 3) for fate in (Fate.GAP, Fate.OVERLAP, Fate.STALL)]
        found.append((times.tobytes(), breaks, dict(mapper.ledger.n_with), seconds))
    assert found[0] == found[1] == found[2]


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


def test_clock_set_back_while_samples_go_on_costs_none():
    stamps = 50.0 + np.arange(100) / 10.0
    stamps[40:] -= 2.0
    mapper = ClockMapper("s", 0.0)
    mapped = mapper.map(stamps)
    np.testing.assert_allclose(mapped.times, 50.0 + np.arange(100) / 10.0, atol=1e-9)
    assert 40 in mapped.breaks
    assert mapper.ledger.n_with[Fate.LEAP] == 60
    assert mapper.ledger.seconds[Fate.LEAP] == pytest.approx(6.0)
    assert [(fate, seconds) for fate, _, seconds, _ in mapper.take_notes()] == [
        (Fate.LEAP, pytest.approx(-1.9))
    ]


@pytest.mark.parametrize("size", [1, 64, 10_000])
@pytest.mark.parametrize("nominal_sfreq", [250.0, 0.0])
@pytest.mark.parametrize("leap_s", [-15.0, -200_000.0, 200_000.0])
def test_a_stretch_of_leapt_stamps_costs_no_sample(leap_s, nominal_sfreq, size):
    expected = 1e6 + np.arange(7500) / 250
    stamps = expected.copy()
    stamps[2500:5000] += leap_s
    mapper = ClockMapper("s", nominal_sfreq)
    times, breaks = map_in_pieces(mapper, stamps, size)
    np.testing.assert_allclose(times, expected, atol=1e-6)
    assert breaks == [0, 2500, 5000]
    assert mapper.ledger.n_with[Fate.LEAP] == 2500
    assert mapper.n_dropped == 0


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_stamps_that_return_from_a_leap_ahead_drop_what_overlaps_and_say_so(size):
    stamps = 100.0 + np.arange(7500) / 250
    stamps[2500:3000] += 5.0
    mapper = ClockMapper("s", 250.0)
    times, _ = map_in_pieces(mapper, stamps, size)
    assert mapper.n_dropped == 7500 - len(times) == mapper.ledger.n_with[Fate.OVERLAP]
    assert mapper.ledger.seconds[Fate.OVERLAP] == pytest.approx(5.0, abs=0.02)
    np.testing.assert_allclose(times[-3000:], stamps[-3000:], atol=1e-3)  # in time again
    assert [note[0] for note in mapper.take_notes()] == [Fate.GAP, Fate.OVERLAP]


@pytest.mark.parametrize("size", [1, 7, 125, 30_000])
def test_a_stall_without_a_lost_sample_costs_its_own_seconds_and_no_rate(size):
    true = 1000 + np.arange(30_000) / 250
    stamps = true + np.interp(true - 1000, [9.5, 12.5, 12.7, 15.7], [0, 1, 1, 0])
    mapper = ClockMapper("s", 250.0)
    times, breaks = map_in_pieces(mapper, stamps, size)
    assert times.tobytes() == map_in_pieces(ClockMapper("s", 250.0), stamps, 999)[0].tobytes()
    assert len(times) == 30_000
    assert (np.diff(times) > 0).all()
    assert all(9.5 < times[at] - 1000 < 16.5 for at in breaks[1:])
    np.testing.assert_allclose(times[4200:], true[4200:], atol=0.02)
    assert mapper.ledger.seconds[Fate.STALL] == pytest.approx(6.2, abs=0.5)


@pytest.mark.parametrize("begin_s", [15, 18.5, 20, 22, 24])
def test_a_stream_opened_shortly_before_or_in_a_stall_runs_when_it_is_over(begin_s):
    true = np.arange(begin_s, 60, 1 / 250)
    stamps = true + np.interp(true, [19.5, 22.5, 22.7, 25.7], [0, 1, 1, 0])
    times, breaks = map_in_pieces(ClockMapper("s", 250.0), stamps, 20)
    assert stamps[breaks[-1]] < 28
    np.testing.assert_allclose(times[-5000:], true[-5000:], atol=0.03)


def test_another_rate_that_stays_is_learned_anew():
    stamps = np.concatenate([100 + np.arange(5000) / 250, 120 + np.arange(12_000) / 150])
    times, breaks = map_in_pieces(ClockMapper("s", 250.0), stamps, 50)
    assert stamps[breaks[-1]] < 140
    np.testing.assert_allclose(times[-6000:], stamps[-6000:], atol=0.005)


@pytest.mark.parametrize("size", [1, 8, 100])
def test_equal_stamps_of_whole_chunks_are_spread_by_the_measured_rate(size):
    stamps = 20.0 + np.repeat(np.arange(200) * 0.128, 8)
    mapper = ClockMapper("s", 0.0)
    times, breaks = map_in_pieces(mapper, stamps, size)
    np.testing.assert_allclose(np.diff(times[10:]), 0.016, atol=1e-6)
    assert times[-1] == pytest.approx(stamps[-1])  # a chunk's stamp is its last sample's, as it was sent
    assert len(times) == 1600 - mapper.n_dropped
    assert mapper.n_dropped == 4 * 7  # of the chunks that showed the rate
    assert mapper.ledger.n_with[Fate.SPREAD] == 195 * 7 + 7
    assert max(breaks) < 8


def test_a_stamp_that_occurs_twice_now_and_then_is_not_spread():
    stamps = 20.0 + np.arange(600) / 60
    stamps[50::100] = stamps[49::100]
    mapper = ClockMapper("s", 0.0)
    mapper.map(stamps)
    assert mapper.n_dropped == 6
    assert mapper.ledger.n_with[Fate.SPREAD] == 0


@pytest.mark.parametrize("density", [0.0, 0.3])
def test_buffers_stamped_too_densely_are_counted_without_a_break(density):
    true = 10 + np.arange(32_000) / 800
    stamps = 10 + np.arange(32_000) // 400 * 0.5 + np.arange(32_000) % 400 / 800 * density
    mapper = ClockMapper("s", 800.0)
    times, breaks = map_in_pieces(mapper, stamps, 100)
    assert breaks == [0]
    np.testing.assert_allclose(times[16_000:], true[16_000:], atol=0.1)
    assert times.tobytes() == map_in_pieces(ClockMapper("s", 800.0), stamps, 401)[0].tobytes()


def test_late_stamps_that_catch_up_never_turn_time_back():
    stamps = 0.0 + np.arange(2000) / 125.0
    stamps[1000:1100] += np.linspace(0.09, 0.0, 100)
    mapped = ClockMapper("s", 125.0).map(stamps)
    assert mapped.keep is None
    assert (np.diff(mapped.times) > 0).all()


@pytest.mark.parametrize("nominal_sfreq", [250.0, 0.0])
def test_what_was_mended_live_is_replayed_to_the_bit(nominal_sfreq):
    true = 100 + np.arange(9000) / 250
    stamps = true + np.interp(true - 100, [9.5, 12.5, 12.7, 15.7], [0, 1, 1, 0]) * (nominal_sfreq > 0)
    stamps[6000:7500] -= 15.0
    live = ClockMapper("s", nominal_sfreq)
    expected, expected_breaks = map_in_pieces(live, stamps, 31)
    replayed = ClockMapper("s", nominal_sfreq, recorded=live.take_segments())
    times, breaks = map_in_pieces(replayed, stamps, 64)
    assert times.tobytes() == expected.tobytes()
    assert breaks == expected_breaks


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


@pytest.mark.parametrize("dejitter", [True, False])
def test_a_chunk_of_nothing_but_repeats_or_of_no_stamps_gives_no_sample(dejitter):
    mapper, stamps = ClockMapper("s", 60.0, dejitter=dejitter), 100 + np.arange(60) / 60
    assert len(mapper.map(np.full(3, np.nan)).times) == 0
    assert len(mapper.map(stamps).times) == 60
    assert len(mapper.map(stamps[-10:]).times) == 0
    assert len(mapper.map(stamps + 1.0).times) == 60


def live_and_recorded(nominal_sfreq, why="refused", was_lost=False):
    """Return what a live run took of 4 s, 3 s and, after an outage, 4 s of stamps: times, and its map.

    Also the stamps that a recorder has: it connected sooner, to a sender that was refused and to the one that
    returned. With ``was_lost`` it lacks what came last before the outage.
    """
    begin = 100 + np.arange(1000) / 250
    back = 110.01 + np.arange(1000) / 250
    live = ClockMapper("s", nominal_sfreq)
    live.add_offset(99.0, 3.0)
    times = [map_in_pieces(live, begin, 31)[0]]
    live.pause("its sender is gone")
    live.pause(why)
    times.append(map_in_pieces(live, back, 31)[0])
    file = [begin[: -50 if was_lost else None], begin[-1] + np.arange(1, 4) / 250]
    file += [105 + np.arange(1500) / 500, 109.9 + np.arange(20) / 250, back]
    return times, live.take_segments(), np.concatenate(file)


@pytest.mark.parametrize("was_lost", [False, True])
@pytest.mark.parametrize("nominal_sfreq", [250.0, 0.0])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_a_live_run_did_not_take_is_left_out_in_any_chunks(nominal_sfreq, was_lost, size):
    (before, after), segments, stamps = live_and_recorded(nominal_sfreq, was_lost=was_lost)
    replayed = ClockMapper("s", nominal_sfreq, recorded=segments)
    replayed.add_offset(99.0, 3.0)
    times, breaks = map_in_pieces(replayed, stamps, size)
    n_lost, n_more = (50, 3) if was_lost else (0, 0)  # what lies right behind is taken for what was lost
    n_before = 1000 - n_lost
    assert times[:n_before].tobytes() == before[:n_before].tobytes()
    assert times[n_before + n_more :].tobytes() == after.tobytes()
    assert n_before + n_more in breaks
    assert replayed.ledger.n_received == len(times)


def test_a_stream_that_was_refused_to_the_end_stays_left_out_from_the_first_sample_on():
    mapper = ClockMapper("s", 250.0)
    mapper.pause("neither LSL nor Unix time")
    replayed = ClockMapper("s", 250.0, recorded=mapper.take_segments())
    assert len(replayed.map(100 + np.arange(100) / 250).times) == 0


def test_a_recording_begun_during_an_outage_knows_of_it():
    mapper = ClockMapper("s", 0.0)
    mapper.map(np.array([1.0, 2.0]))
    mapper.pause("gone")
    mapper.take_segments()
    mapper.restate()
    assert [segment.pause for segment in mapper.take_segments()] == ["gone"]
    mapper.map(np.array([9.0]))
    mapper.restate()
    assert mapper.take_segments()[-1].raw_start == 9.0


def test_samples_that_only_a_recording_lost_shift_nothing_behind_them():
    stamps = 100 + np.arange(5000) / 250
    live = ClockMapper("s", 250.0)
    expected, _ = map_in_pieces(live, stamps, 31)
    kept = np.r_[0:1510, 2520:5000]  # segments of the hole are lost too
    segments = [s for s in live.take_segments() if not stamps[1510] <= s.raw_start <= stamps[2520]]
    replayed = ClockMapper("s", 250.0, recorded=segments)
    times, breaks = map_in_pieces(replayed, stamps[kept], 64)
    np.testing.assert_allclose(times, expected[kept], atol=1e-6)
    assert times[1600:].tobytes() == expected[kept][1600:].tobytes()
    assert breaks == [0, 1510]


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
