"""A live run over Lab Streaming Layer: latency of predictions, and what reading costs."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from acquisition.clock import stopwatch
from models.prediction import Prediction
from tests.benchmarks.rows import Row, Say, row
from tests.benchmarks.setting import bench_model, cpu_seconds, in_own_process, simulated_devices

_HOP_S = 0.25
_POLL_S = 0.005  # as `LiveRunner` polls
_SECONDS, _QUICK_SECONDS = 40.0, 20.0


def bench_latency(quick: bool, say: Say) -> list[Row]:
    """Return the rows of latency and processor time of a live run on four simulated streams.

    Every prediction counts, from the first one on.
    """
    seconds = _QUICK_SECONDS if quick else _SECONDS
    with bench_model(_HOP_S) as model, simulated_devices() as streams:
        say(f"{seconds:.0f} s live on four simulated streams")
        measured = in_own_process(run_live, model, streams, seconds)
    return latency_rows(measured)


def latency_rows(measured: dict[str, Any]) -> list[Row]:
    """Return the rows of a run's latencies.

    Parameters
    ----------
    measured : dict
        ``latency_ms``: by name, one value a prediction; ``n_skipped``; ``cpu_ms`` a window;
        ``plain_ms`` and ``plain_cpu_ms``: of the plain MV-SSTMA forward in the same process.
    """
    percentiles = {
        name: {f"p{q}": float(np.nanpercentile(values, q)) for q in (50, 95, 99, 100)}
        for name, values in measured["latency_ms"].items()
        if np.isfinite(values).any()
    }
    total, arrival = percentiles["total"], percentiles["arrival"]
    plain_ms, n_skipped = measured["plain_ms"], measured["n_skipped"]
    detail = {"n_predictions": len(measured["latency_ms"]["total"]), "n_skipped": n_skipped}
    of_total = detail | {"percentiles_ms": percentiles}
    return [
        row("live_cpu", measured["cpu_ms"], measured["plain_cpu_ms"], detail),
        row("latency_p50", total["p50"], plain_ms, of_total),
        row("latency_p99", total["p99"], plain_ms, of_total),
        row("windows_skipped", float(n_skipped), float(detail["n_predictions"]), detail),
        row("latency_arrival", arrival["p50"], _POLL_S * 1e3, detail | {"p99": arrival["p99"]}),
    ]


def bench_read_cost(quick: bool, say: Say) -> list[Row]:
    """Return the row ``read_cost``: CPU of a process that only reads the four streams."""
    seconds = _QUICK_SECONDS if quick else _SECONDS / 2
    with simulated_devices() as streams:
        say(f"{seconds:.0f} s of reading four streams")
        (feeder,) = multiprocessing.active_children()  # the simulated devices' process
        used_s = psutil.Process(feeder.pid).cpu_times
        before, began = used_s(), stopwatch()
        measured = in_own_process(_read_only, streams, seconds)
        after, elapsed_s = used_s(), stopwatch() - began
    feeder_s = after.user + after.system - before.user - before.system
    return [row("read_cost", measured["percent"], 100.0 * feeder_s / elapsed_s, measured)]


class _Latencies:
    """A sink that keeps every prediction's latency."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[float]] = {}
        self.cpu_s: list[float] = []  # of the process, at each prediction

    def write(self, prediction: Prediction) -> None:
        self.cpu_s.append(cpu_seconds())
        for name, value in vars(prediction.latency).items():
            self.by_name.setdefault(name, []).append(value)

    def close(self) -> None:
        """Nothing to finish."""


def run_live(model: Path, streams: str, seconds: float) -> dict[str, Any]:
    """Return latencies and skipped windows of a live run without a window, for a process of its own."""
    from acquisition.errors import InputError
    from app.live import LiveSession
    from app.request import LiveRequest, SessionOptions
    from tests.benchmarks.reference_mv_sstma import plain_forward_ms

    latencies = _Latencies()
    options = SessionOptions(
        model=model, streams=streams, seconds=seconds, headless=True, device="cpu", extra_sinks=(latencies,)
    )
    session = LiveSession(LiveRequest(options))
    session.run(lambda: None)
    if not latencies.by_name:
        raise InputError("the live run gave no prediction", where="bench")
    cpu_s = latencies.cpu_s[len(latencies.cpu_s) // 4 :]  # after what is done once
    plain_ms, plain_cpu_ms = plain_forward_ms()
    return {
        "latency_ms": latencies.by_name,
        "n_skipped": session.telemetry.n_skipped,
        "cpu_ms": 1e3 * (cpu_s[-1] - cpu_s[0]) / max(1, len(cpu_s) - 1),
        "plain_ms": plain_ms,
        "plain_cpu_ms": plain_cpu_ms,
    }


def _read_only(streams: str, seconds: float) -> dict[str, Any]:
    from acquisition.clock import LslClock
    from acquisition.lsl.discovery import discover
    from acquisition.lsl.source import open_live
    from acquisition.types import Chunk

    clock = LslClock()
    source = open_live(discover(2.0), streams)
    n_samples: dict[str, int] = {}
    began, cpu_began = clock.now(), cpu_seconds()
    while (now := clock.now()) < began + seconds:
        for item in source.read(now):
            if isinstance(item, Chunk):
                n_samples[item.stream] = n_samples.get(item.stream, 0) + len(item.times)
        clock.wait_until(now + _POLL_S)
    cpu_s, elapsed_s = cpu_seconds() - cpu_began, clock.now() - began
    source.close()
    return {
        "percent": 100.0 * cpu_s / elapsed_s,
        "samples_per_s": {key: n / elapsed_s for key, n in n_samples.items()},
    }
