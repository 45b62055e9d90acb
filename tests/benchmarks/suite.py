"""The benchmarks by row, and the machine they run on: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from tests.benchmarks.rows import Row, Say, failed_row


@dataclass(frozen=True)
class Benchmark:
    """A function that measures one or more rows; imported when it runs."""

    rows: tuple[str, ...]
    module: str  # of this package
    function: str

    def run(self, quick: bool, say: Say) -> list[Row]:
        """Measure."""
        module = import_module(f"tests.benchmarks.{self.module}")
        measure: Callable[[bool, Say], list[Row]] = getattr(module, self.function)
        return measure(quick, say)


_START = (
    "start_help",
    "start_inspect",
    "start_streams",
    "start_doctor",
    "start_replay",
    "start_window",
)
BENCHMARKS = (
    Benchmark(_START, "start", "bench_start"),
    Benchmark(("de_features",), "compute", "bench_de"),
    Benchmark(("log_mel",), "media", "bench_log_mel"),
    Benchmark(("face_crop",), "media", "bench_face_crop"),
    Benchmark(("mv_sstma_forward",), "compute", "bench_mv_sstma"),
    Benchmark(("mv_sstma_tick",), "compute", "bench_mv_sstma_tick"),
    Benchmark(("mv_sstma_train_step",), "compute", "bench_mv_sstma_training"),
    Benchmark(("xdf_read", "xdf_disk"), "replay", "bench_xdf"),
    Benchmark(("xdf_memory",), "replay", "bench_xdf_memory"),
    Benchmark(("replay", "replay_all"), "replay", "bench_replay"),
    Benchmark(("replay_memory",), "replay", "bench_replay_memory"),
    Benchmark(("linear_length", "linear_hops", "linear_channels"), "linear", "bench_linear"),
    Benchmark(
        ("live_cpu", "latency_p50", "latency_p99", "windows_skipped", "latency_arrival"),
        "live",
        "bench_latency",
    ),
    Benchmark(("read_cost",), "live", "bench_read_cost"),
    Benchmark(("window_traces",), "traces", "bench_window_traces"),
    Benchmark(
        ("window_fps", "window_decode", "window_blocked", "window_memory", "window_size", "engine_size"),
        "window",
        "bench_window",
    ),
    Benchmark(("forward_cuda_eager", "forward_cuda_graphed"), "compute", "bench_cuda"),
)

ROW_NAMES = tuple(name for benchmark in BENCHMARKS for name in benchmark.rows)


def chosen_rows(only: Sequence[str]) -> tuple[str, ...]:
    """Return the names asked for; all of them if none is.

    Raises
    ------
    InputError
        A name is unknown.
    """
    names = [name for text in only for name in text.split(",") if name]
    if unknown := [name for name in names if name not in ROW_NAMES]:
        what = f"no benchmark is called {unknown[0]!r}"
        raise InputError(what, where="--only", remedy=f"choose from {', '.join(ROW_NAMES)}")
    return tuple(names) or ROW_NAMES


def run_suite(names: Sequence[str], *, quick: bool, say: Say) -> list[Row]:
    """Run the benchmarks that give the named rows, and return those rows."""
    rows: list[Row] = []
    for benchmark in BENCHMARKS:
        wanted = [name for name in benchmark.rows if name in names]
        if not wanted:
            continue
        try:
            measured = benchmark.run(quick, say)
        except InputError as error:  # a network without LSL, say, must not take the other rows along
            measured = [failed_row(name, str(error)) for name in wanted]
        rows += [one for one in measured if one.name in wanted]
    return rows


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, versions, threads and the load right now."""
    import scipy
    import torch

    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    has_affinity = hasattr(os, "sched_getaffinity")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", ""),
        "scipy": scipy.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load_average_before": None if load is None else load[0],
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
