"""Half an hour of the whole window over a live engine; not part of the ordinary run."""

import os

import pytest

from tests.benchmarks.setting import bench_model, in_own_process, simulated_devices
from tests.benchmarks.window import run_window, slope_per_minute

_MINUTES = float(os.environ.get("AFFECTSCOPE_ENDURANCE_MINUTES", "30"))
_HISTORY_MIN = 18.0  # ten until the histories are full, and what the allocator needs to find its shape
_MAX_MB_PER_MIN = 1.0


@pytest.mark.endurance
@pytest.mark.lsl
@pytest.mark.timeout((_MINUTES + 5) * 60)
def test_memory_of_window_and_engine_is_flat_once_the_histories_are_full():
    with bench_model(0.25) as model, simulated_devices() as streams:
        seen = in_own_process(run_window, model, streams, _MINUTES * 60)
    start = seen["memory_times"][0] + _HISTORY_MIN * 60
    full = [i for i, t in enumerate(seen["memory_times"]) if t >= start]
    assert len(full) > 60, "the run was too short to fill the histories"
    for name in ("window_mb", "engine_mb"):
        times, values = ([seen[key][i] for i in full] for key in ("memory_times", name))
        slope = slope_per_minute(times, values)
        print(f"{name}: {values[0]:.0f} to {values[-1]:.0f} MB, {slope:+.2f} MB a minute")
        assert slope < _MAX_MB_PER_MIN, name
