"""Scales follow the data in round steps and without fidgeting; blinks are losses as long as a lid takes."""

import math

import numpy as np
import pytest

from app.view.scales import CalmRange, Gain, next_step, round_step
from models.features.gaze_events import find_blinks


@pytest.mark.parametrize(("value", "step"), [(1.2, 1), (37, 50), (0.19, 0.2), (8, 10), (3000, 2000)])
def test_round_steps_are_one_two_five(value, step):
    assert round_step(value) == pytest.approx(step)


def test_steps_lead_through_one_two_five_ten_and_back():
    ups = [1.0]
    for _ in range(3):
        ups.append(next_step(ups[-1], up=True))
    assert ups == pytest.approx([1, 2, 5, 10])
    downs = [10.0]
    for _ in range(3):
        downs.append(next_step(downs[-1], up=False))
    assert downs == pytest.approx([10, 5, 2, 1])


def signal(size, n=400, n_channels=8):
    wave = size * np.sin(np.arange(n) / 3)[:, None] * np.ones(n_channels)
    return wave.astype(np.float32), wave.astype(np.float32)


def test_gain_follows_the_data_but_not_a_loose_electrode_or_a_small_change():
    gain = Gain()
    gain.look(*signal(30.0), t=0.0)
    first = gain.units_per_row
    assert 60 <= first <= 100  # so that it fits its row
    low, high = signal(30.0)
    high[:, 0] = 1e5
    gain.look(low, high, t=10.0)
    gain.look(*signal(40.0), t=20.0)
    assert gain.units_per_row == first
    gain.look(*signal(300.0), t=30.0)
    assert gain.units_per_row == pytest.approx(10 * first)
    gain.look(*signal(30.0), t=31.0)  # too soon after the last change
    assert gain.units_per_row == pytest.approx(10 * first)


def test_gain_by_hand_stays_until_it_is_left_to_the_data():
    gain = Gain(50.0)
    gain.step(larger=True)
    assert gain.units_per_row == pytest.approx(20.0)
    assert not gain.is_due(100.0)
    gain.auto()
    assert gain.is_due(100.0)


def test_gain_bears_missing_and_flat_data():
    gain = Gain(50.0)
    for value in (np.nan, 0.0):
        gain.look(*signal(value), t=0.0)
    assert gain.units_per_row == 50.0


def test_calm_range_grows_at_once_and_keeps_still_otherwise():
    calm = CalmRange(step=5.0, least=10.0)
    assert all(math.isnan(v) for v in calm.fit(np.array([np.nan])))
    assert calm.fit(np.linspace(1, 19, 100)) == (0.0, 20.0)
    assert calm.fit(np.linspace(3, 17, 100)) == (0.0, 20.0)
    assert calm.fit(np.linspace(1, 41, 100)) == (0.0, 45.0)
    assert calm.fit(np.full(10, 22.0)) == (15.0, 30.0)


def test_a_range_that_holds_shrinks_only_when_half_a_minute_left_it_unused():
    calm = CalmRange(step=5.0, least=10.0, hold_s=30.0)
    assert calm.fit(np.linspace(1, 41, 100), t=0.0) == (0.0, 45.0)
    held = {calm.fit(np.linspace(1, 9, 100), t=t) for t in np.arange(0.25, 30.0, 0.25)}
    assert held == {(0.0, 45.0)}
    assert calm.fit(np.linspace(1, 9, 100), t=31.0) == (0.0, 10.0)
    assert calm.fit(np.linspace(1, 19, 100), t=5.0) == (0.0, 20.0)  # a replay went back


def times_and_seen(losses, seconds=10.0, sfreq=100.0):
    times = np.arange(int(seconds * sfreq)) / sfreq
    seen = np.ones(len(times), dtype=bool)
    for t0, t1 in losses:
        seen[(times >= t0 - 1e-9) & (times < t1 - 1e-9)] = False
    return times, seen


def test_losses_as_long_as_a_lid_are_blinks():
    times, seen = times_and_seen([(1.0, 1.15), (2.0, 2.02), (3.0, 4.0), (5.0, 5.4)])
    found = find_blinks(times, seen)
    assert found == [pytest.approx((1.0, 1.15)), pytest.approx((5.0, 5.4))]


def test_losses_at_an_end_or_over_a_hole_have_no_known_length():
    times, seen = times_and_seen([(0.0, 0.2), (5.0, 5.1), (9.9, 10.0)])
    times = np.where(times >= 5.05, times + 0.3, times)
    assert find_blinks(times, seen) == []
    assert find_blinks(np.empty(0), np.empty(0, dtype=bool)) == []


def test_a_single_trace_fits_its_row():
    gain = Gain()
    gain.look(*signal(12.0, n_channels=1), t=0.0)
    assert gain.units_per_row >= 24.0  # it swings 12 up and 12 down
