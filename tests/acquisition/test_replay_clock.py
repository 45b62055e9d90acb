"""The clock of a replay: as fast as it goes or at a rate, and from another moment on."""

from __future__ import annotations

import math

import pytest

from acquisition.clock import ReplayClock


def test_without_a_rate_every_moment_comes_at_once():
    clock = ReplayClock(100.0)
    assert clock.real_s_until(5000.0) == 0.0
    clock.wait_until(1e9)
    assert clock.now() == 1e9


def test_real_seconds_are_those_of_the_recording_over_the_rate():
    clock = ReplayClock(100.0, rate=1000.0)
    assert clock.real_s_until(100.0 + 60_000.0) == pytest.approx(60.0, abs=5.0)
    assert clock.real_s_until(99.0) == 0.0
    clock.wait_until(110.0)  # 10 ms
    assert clock.now() >= 110.0


def test_it_goes_on_from_another_moment_at_the_same_rate_or_another():
    clock = ReplayClock(100.0, rate=0.001)
    clock.restart(50.0)
    assert clock.now() == pytest.approx(50.0, abs=0.1)
    assert clock.real_s_until(51.0) == pytest.approx(1000.0, rel=0.1)
    clock.restart(80.0, math.inf)
    assert clock.real_s_until(90.0) == 0.0
    assert clock.now() == 90.0


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_time_must_go_on(rate):
    with pytest.raises(ValueError, match="rate must be positive"):
        ReplayClock(0.0, rate)
    with pytest.raises(ValueError, match="rate must be positive"):
        ReplayClock(0.0).restart(0.0, rate)
