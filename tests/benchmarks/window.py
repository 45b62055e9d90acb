"""The whole window over a live engine: pictures a second, what it costs decoding, stalls, memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from acquisition.clock import LslClock
from app.request import LiveRequest, SessionOptions
from tests.benchmarks.live import run_live
from tests.benchmarks.rows import Row, Say, row
from tests.benchmarks.setting import bench_model, in_own_process, simulated_devices

_MAX_STALL_MS, _MAX_MB_PER_MIN = 100.0, 5.0
_HOP_S = 0.25
_SECONDS, _QUICK_SECONDS = 75.0, 40.0  # the engine has its memory after the first 45 s or so
_WITHOUT_SECONDS, _QUICK_WITHOUT_SECONDS = 20.0, 16.0  # before and after the window, half each
_SETTLE_ROUNDS = 2  # the first time a tab builds what it shows
_OPEN_WITHIN_S = 60.0
_VISIT_S = 2.5  # a tab is looked at for so long before the next one
_SIZE = (1366, 768)
#: Tabs where something moves in every picture; on the others it changes when a figure does.
_MOVING = ("signals",)


def bench_window(quick: bool, say: Say) -> list[Row]:
    """Return the rows of a window that goes through its tabs while an engine decodes four streams."""
    seconds = _QUICK_SECONDS if quick else _SECONDS
    half_s = (_QUICK_WITHOUT_SECONDS if quick else _WITHOUT_SECONDS) / 2
    with bench_model(_HOP_S) as model, simulated_devices() as streams:
        say(f"{half_s:.0f} s live without a window")
        without = _totals(in_own_process(run_live, model, streams, half_s))
        say(f"{seconds:.0f} s live with the window")
        measured = in_own_process(run_window, model, streams, seconds)
        say(f"{half_s:.0f} s live without a window, again")
        without += _totals(in_own_process(run_live, model, streams, half_s))
    return window_rows(measured, without)


def _totals(measured: dict[str, Any]) -> list[float]:
    return [float(value) for value in measured["latency_ms"]["total"]]


def window_rows(measured: dict[str, Any], without_ms: list[float]) -> list[Row]:
    """Return the rows of a run.

    Parameters
    ----------
    measured : dict
        What `run_window` gives.
    without_ms : list of float
        Latencies of predictions made without a window.
    """
    rates = {f"{name} refreshed": rate for name, rate in measured["refreshes_per_s"].items()}
    rates |= {f"{name} painted": measured["painted_per_s"][name] for name in _MOVING}
    slowest = min(rates, key=lambda name: rates[name])
    stalled = max(measured["longest_ms"], key=lambda name: measured["longest_ms"][name])
    # Allocators take their fill in the first half.
    times, window_mb, engine_mb = (
        measured[name][len(measured[name]) // 2 :] for name in ("memory_times", "window_mb", "engine_mb")
    )
    per_min, engine_per_min = slope_per_minute(times, window_mb), slope_per_minute(times, engine_mb)
    decode = {
        "p50": _percentile(measured["total_ms"], 50),
        "p50_without": _percentile(without_ms, 50),
        "n_predictions": len(measured["total_ms"]),
        "n_skipped": measured["n_skipped"],
        "n_view_dropped": measured["n_view_dropped"],
    }
    memory = {
        "engine_mb_per_min": engine_per_min,
        "window_mb": measured["window_mb"][-1],
        "engine_mb": measured["engine_mb"][-1],
        "frames_mb": measured["frames_mb"],
        "seconds": times[-1] - times[0],
    }
    fps = {"slowest": slowest, "rates": rates, "platform": measured["platform"]}
    longest = measured["longest_ms"]
    p99, p99_without = _percentile(measured["total_ms"], 99), _percentile(without_ms, 99)
    engine_is_flat = engine_per_min <= _MAX_MB_PER_MIN
    return [
        row("window_fps", rates[slowest], 1000.0 / 33.0, fps),
        row("window_decode", p99, p99_without, decode),
        row("window_blocked", longest[stalled], _MAX_STALL_MS, {"tab": stalled, "longest_ms": longest}),
        row("window_memory", per_min, _MAX_MB_PER_MIN, memory, also=engine_is_flat),
        row("window_size", memory["window_mb"], 250.0, {}),
        row("engine_size", memory["engine_mb"], 500.0, {}),
    ]


def slope_per_minute(times_s: list[float], values: list[float]) -> float:
    """Return the slope of a straight line through the values, per minute; NaN from fewer than three."""
    known = [(t, v) for t, v in zip(times_s, values, strict=True) if math.isfinite(v)]
    if len(known) < 3:
        return math.nan
    times, heights = np.array(known).T
    return float(np.polyfit(times - times[0], heights, 1)[0] * 60.0)


def _percentile(values: list[float], q: float) -> float:
    return float(np.nanpercentile(values, q)) if values else math.nan


def run_window(model: Path, streams: str, seconds: float) -> dict[str, Any]:
    """Open the window on a live engine, go through its tabs for ``seconds``, and return what was seen."""
    from app.qt.application import make_application
    from tests.benchmarks.measured_window import MeasuredRun

    application = make_application(1.0)
    request = LiveRequest(SessionOptions(model=model, streams=streams, device="cpu"))
    run = MeasuredRun(request, _SIZE, _VISIT_S)
    try:
        run.wait_for_prediction(_OPEN_WITHIN_S, LslClock())
        run.turn_tabs(_SETTLE_ROUNDS)
        return run.measure(seconds) | {"platform": application.platformName()}
    finally:
        run.close()
