"""Rows about the window, from what its meters saw."""

import pytest

from tests.benchmarks.window import slope_per_minute, window_rows

SEEN = {
    "refreshes_per_s": {"now": 29.0, "why": 30.0, "signals": 28.0, "health": 30.0},
    "painted_per_s": {"now": 6.0, "why": 4.0, "signals": 27.0, "health": 2.0},
    "longest_ms": {"now": 20.0, "why": 95.0, "signals": 30.0, "health": 15.0},
    "total_ms": [60.0] * 98 + [120.0, 120.0],
    "n_skipped": 0,
    "n_view_dropped": 0,
    "memory_times": [0.0, 15.0, 30.0, 45.0, 60.0, 75.0],
    "window_mb": [150.0, 180.0, 199.0, 200.0, 200.25, 200.5],  # the first half is start-up
    "engine_mb": [480.0] * 6,
    "frames_mb": 12.0,
    "platform": "offscreen",
}
WITHOUT = [50.0] * 98 + [100.0, 100.0]


def rows(**changes):
    return {one.name: one for one in window_rows(SEEN | changes, WITHOUT)}


def test_a_good_run_passes():
    good = rows()
    assert all(one.ok for one in good.values())
    assert good["window_fps"].ours == 27.0  # what does not move is not painted, and counts by its refreshes
    assert good["window_fps"].detail["slowest"] == "signals painted"
    assert good["window_decode"].ratio == pytest.approx(1.2)
    assert good["window_blocked"].detail["tab"] == "why"
    assert good["window_memory"].ours == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("window_fps", {"refreshes_per_s": {"now": 24.0, "signals": 28.0}}),
        ("window_fps", {"painted_per_s": {"signals": 24.0}}),
        ("window_decode", {"total_ms": [160.0] * 100}),  # 1.6 times
        ("window_decode", {"total_ms": []}),
        ("window_blocked", {"longest_ms": {"now": 101.0}}),
        ("window_memory", {"window_mb": [200.0] * 3 + [200.0, 203.0, 206.0]}),
        ("window_memory", {"engine_mb": [480.0] * 3 + [480.0, 483.0, 486.0]}),
        ("engine_size", {"engine_mb": [501.0] * 6}),
        ("window_size", {"window_mb": [251.0] * 6}),
    ],
)
def test_each_row_misses_for_its_own_reason(name, changes):
    measured = rows(**changes)
    assert [one.name for one in measured.values() if not one.ok] == [name]


def test_slope_leaves_out_what_is_not_known():
    assert slope_per_minute([0.0, 30.0, 60.0, 90.0], [1.0, 2.0, float("nan"), 4.0]) == pytest.approx(2.0)
    assert slope_per_minute([0.0, 1.0], [1.0, 2.0]) != slope_per_minute([0.0, 1.0], [1.0, 2.0])
