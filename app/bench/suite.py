"""Which benchmarks there are, and running them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from acquisition.errors import InputError
from app.bench.rows import Row, Say, failed_row


@dataclass(frozen=True)
class Benchmark:
    """A function that measures one or more rows; imported when it runs."""

    rows: tuple[str, ...]
    module: str
    function: str
    on_gpu: bool = False  # gives no rows without one

    def run(self, quick: bool, say: Say) -> list[Row]:
        """Measure."""
        measure: Callable[[bool, Say], list[Row]] = getattr(import_module(self.module), self.function)
        return measure(quick, say)


BENCHMARKS = (
    Benchmark(("de_features",), "app.bench.features", "bench_de"),
    Benchmark(("mv_sstma_forward",), "app.bench.network", "bench_mv_sstma"),
    Benchmark(("mv_sstma_tick",), "app.bench.network", "bench_mv_sstma_tick"),
    Benchmark(("mv_sstma_train_step",), "app.bench.training", "bench_mv_sstma_training"),
    Benchmark(("xdf_read",), "app.bench.xdf", "bench_xdf"),
    Benchmark(("replay",), "app.bench.replay", "bench_replay"),
    Benchmark(("replay_memory",), "app.bench.replay", "bench_replay_memory"),
    Benchmark(("latency_total", "latency_arrival"), "app.bench.live", "bench_latency"),
    Benchmark(("read_cost",), "app.bench.live", "bench_read_cost"),
    Benchmark(("window_traces",), "app.bench.window_traces", "bench_window_traces"),
    Benchmark(
        ("window_fps", "window_decode", "window_blocked", "window_memory"), "app.bench.window", "bench_window"
    ),
    Benchmark(("forward_cuda_eager", "forward_cuda_graphed"), "app.bench.network", "bench_cuda", on_gpu=True),
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
        raise InputError(
            f"no benchmark is called {unknown[0]!r}",
            where="--only",
            remedy=f"choose from {', '.join(ROW_NAMES)}",
        )
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
            measured = [failed_row(name, "could not be measured", str(error)) for name in wanted]
        rows += [one for one in measured if one.name in wanted]
    return rows
