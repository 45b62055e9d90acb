"""Histories: what went in comes out, in bounded memory, over gaps, wraps and times that run back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.engine.messages import FramePart, Mark
from app.view.history import BinnedHistory, FrameHistory, SampleHistory, TimedHistory

BIN_S = 0.01


def put(history, bins, ch_names=("CZ", "OZ"), bin_s=BIN_S):
    """Put bins whose lowest value is their number modulo 1000, and the highest one more."""
    bins = np.asarray(bins)
    low = np.repeat((bins % 1000).astype(np.float32)[:, None], len(ch_names), axis=1)
    history.put(bins, low, low + 1, ch_names=ch_names, unit="µV", bin_s=bin_s)


def expect(history, first, end, there):
    low, high = history.read(first, end)
    assert low.shape == high.shape == (end - first, len(history.ch_names))
    for row, number in enumerate(range(first, end)):
        if number in there:
            assert (low[row] == number % 1000).all()
            assert (high[row] == number % 1000 + 1).all()
        else:
            assert np.isnan(low[row]).all()
            assert np.isnan(high[row]).all()


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
def test_bins_come_back_over_many_turns_of_the_ring(size):
    history = BinnedHistory(keep_s=1.0)  # 100 bins
    numbers = np.arange(500_000, 500_730)
    for at in range(0, len(numbers), size):
        put(history, numbers[at : at + size])
    assert history.newest_bin == 500_729
    assert round(history.oldest_time / history.bin_s) == 500_630
    expect(history, 500_600, 500_740, range(500_630, 500_730))
    assert history.newest_time == pytest.approx(5007.30)


def test_a_gap_reads_as_nan_though_the_ring_held_something_there():
    history = BinnedHistory(keep_s=1.0)
    put(history, range(100))
    put(history, range(130, 150))
    expect(history, 0, 150, {*range(50, 100), *range(130, 150)})
    put(history, [5000])  # much longer than the ring
    expect(history, 4890, 5001, {5000})


def test_time_that_runs_back_voids_what_is_newer():
    history = BinnedHistory(keep_s=1.0)
    put(history, range(1000, 1090))
    revision = history.revision
    put(history, range(1030, 1040))
    assert history.revision > revision
    assert history.newest_bin == 1039
    expect(history, 990, 1095, range(1000, 1040))
    put(history, range(200, 210))  # before everything that is kept
    expect(history, 150, 1095, range(200, 210))
    assert round(history.oldest_time / history.bin_s) == 200


def test_other_channels_begin_anew():
    history = BinnedHistory(keep_s=1.0)
    put(history, range(10))
    revision = history.revision
    put(history, range(20, 30), ch_names=("CZ", "OZ", "PZ"))
    assert history.revision > revision
    expect(history, 0, 40, range(20, 30))


def test_an_empty_history_reads_nan():
    history = BinnedHistory()
    assert history.newest_bin is None
    assert math.isnan(history.newest_time)
    assert history.read(0, 5)[0].shape == (5, 0)


def test_many_channels_keep_less_rather_than_more_memory(monkeypatch):
    monkeypatch.setattr("app.view.history._MAX_BYTES", 64_000)
    history = BinnedHistory()
    for number in range(100):
        put(history, [number], ch_names=tuple(map(str, range(512))))
    assert history.newest_bin == 99
    assert 0 < (100 - round(history.oldest_time / history.bin_s)) * 512 * 8 <= 64_000


@pytest.mark.parametrize("size", [1, 10, 777])
def test_samples_are_found_by_time_and_old_ones_go(size):
    history = SampleHistory(keep_s=20.0)
    times = np.cumsum(np.random.default_rng(0).uniform(0.001, 0.03, 6000))
    values = np.column_stack([times, -times])
    for at in range(0, len(times), size):
        history.append(times[at : at + size], values[at : at + size])
    assert history.newest_time == times[-1]
    assert history.oldest_time >= times[-1] - 20.0
    t0, t1 = times[-1] - 15.0, times[-1] - 5.0
    found, read = history.read(t0, t1)
    np.testing.assert_array_equal(found, times[(times >= t0) & (times <= t1)])
    np.testing.assert_allclose(read[:, 1], -found, rtol=1e-6)
    assert len(history._times) < 4 * len(history)
    assert len(history.read(t1, t0)[0]) == 0


def test_samples_that_run_back_replace_and_odd_ones_are_left_out():
    history = SampleHistory()
    history.append(np.arange(10.0), np.zeros((10, 2)))
    history.append(np.array([5.0, np.nan, 6.0]), np.ones((3, 2)))
    times, values = history.read(0, 100)
    np.testing.assert_array_equal(times, [0, 1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(values[:, 0], [0, 0, 0, 0, 0, 1, 1])
    history.append(np.array([7.0]), np.full((1, 3), np.nan))  # another shape
    assert history.read(0, 100)[1].shape == (1, 3)
    history.append(np.empty(0), np.empty((0, 3)))
    assert len(history) == 1


def test_frames_stay_within_their_bytes_and_old_ones_are_thinned():
    history = FrameHistory(max_bytes=2_000_000)
    for k in range(15 * 300):
        history.add(FramePart(1000.0 + k / 15, bytes(1000)))
    assert history.n_bytes <= 2_000_000
    assert history.n_bytes == 1000 * len(history)
    newest = 1000.0 + (15 * 300 - 1) / 15
    assert history.at(newest + 0.5).time == newest
    assert history.at(newest + 1.5) is None
    assert history.at(newest - 30.01).time == pytest.approx(newest - 30.01, abs=1 / 15)
    assert history.at(newest - 200).time == pytest.approx(newest - 200, abs=0.61)
    assert history.at(0.0) is None
    recent = len(history.read(newest - 60.0, newest))
    assert recent == pytest.approx(900, abs=2)
    assert len(history) - recent == pytest.approx(450, abs=5)  # every eighth


def test_too_many_bytes_drop_the_oldest_frames():
    history = FrameHistory(max_bytes=10_000)
    for k in range(100):
        history.add(FramePart(float(k), bytes(1000)))
    assert len(history) == 10
    history.add(FramePart(100.0, bytes(50_000)))  # one that is too large alone is still shown
    assert history.at(100.0) is not None
    assert len(history) == 1


def test_frames_that_run_back_void_the_newer_ones():
    history = FrameHistory()
    for k in range(100):
        history.add(FramePart(k / 10, b"old"))
    history.add(FramePart(5.05, b"new"))
    assert history.newest_time == 5.05
    assert history.at(9.0) is None
    assert history.n_bytes == 3 * len(history)


def test_items_are_found_at_and_between_times():
    history = TimedHistory(lambda marker: marker.time, keep_s=100.0)
    markers = [Mark(float(k), f"m{k}", "Task") for k in range(300)]
    for marker in markers:
        history.add(marker)
    assert history.newest == markers[-1]
    assert history.at(250.5) == markers[250]
    assert history.at(10.0) is None
    assert history.read(250, 252) == markers[250:253]
    assert history.oldest_time == 199.0
    history.add(markers[-1])  # again
    history.add(Mark(math.nan, "lost", "Task"))
    assert len(history) == 101
    history.add(Mark(250.5, "late", "Other"))
    assert [marker.text for marker in history.read(250, 251)] == ["m250", "late", "m251"]
    history.cut_after(249.0)
    assert history.newest_time == 249.0
