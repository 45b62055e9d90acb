"""One measured figure beside its reference, how functions are timed against each other, and the table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from acquisition.clock import stopwatch

#: Told in a few words what is being measured.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    ``ok`` is the outcome of a measurement, never a wish: False where nothing could be measured.
    """

    name: str
    ours: float | None  # in ``unit``; None where it could not be measured
    reference: float | None
    reference_name: str
    unit: str
    ratio: float | None  # ours / reference
    target: str
    ok: bool
    detail: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Target:
    """What a row's figure has to reach; a limit that is None is none."""

    text: str
    unit: str
    reference: str  # its name
    at_least: float | None = None
    at_most: float | None = None
    ratio_at_least: float | None = None
    ratio_at_most: float | None = None
    remark: str = ""  # for the table, of the row's detail

    def is_met(self, ours: float, ratio: float) -> bool:
        """Tell whether the figure and its ratio are within the limits; NaN is within none."""
        least = ((ours, self.at_least), (ratio, self.ratio_at_least))
        most = ((ours, self.at_most), (ratio, self.ratio_at_most))
        return all(limit is None or value >= limit for value, limit in least) and all(
            limit is None or value <= limit for value, limit in most
        )


_CUDA = Target(
    "within the hop", "ms", "hop", ratio_at_most=1.0, remark="fusion alone {fusion_alone_ms:.1f} ms"
)
_PLAIN = "plain MV-SSTMA forward"
_REAL_TIME = "{speed:.1f} x real time"
_TORCH, _ABOVE = "import torch", "{above_torch_s:+.2f} s to import torch"
_LINEAR = "<= 1.15 x, processor time"
TARGETS = {
    "start_help": Target("<= 0.4 s", "s", _TORCH, at_most=0.4, remark=_ABOVE),
    "start_inspect": Target("<= 1 s", "s", _TORCH, at_most=1.0, remark=_ABOVE),
    "start_streams": Target("<= 1 s + 0.2 s search", "s", _TORCH, at_most=1.2, remark=_ABOVE),
    "start_doctor": Target("<= torch + 1 s", "s", _TORCH, remark=_ABOVE),
    "start_replay": Target("first prediction <= torch + 1.5 s", "s", _TORCH, remark=_ABOVE),
    "start_window": Target("shown <= 1.5 s", "s", _TORCH, at_most=1.5, remark=_ABOVE),
    "log_mel": Target(
        "<= 0.5 x, equal to 1e-4",
        "ms",
        "plain torch, frame by frame",
        ratio_at_most=0.5,
        remark="equal to {max_difference:.0e}; bare rfft: {rfft_share:.2f} of it",
    ),
    "face_crop": Target(
        "<= 1 x", "ms", "cv2.resize and NumPy", ratio_at_most=1.0, remark="equal to {max_difference:.0e}"
    ),
    "de_features": Target(
        ">= 0.75 x scipy rfft, >= 3 x MNE Welch",
        "x real time",
        "scipy.fft.rfft, one a taper, workers=2",
        ratio_at_least=0.75,
        remark="{ratio_to_mne_welch:.1f} x MNE Welch",
    ),
    "mv_sstma_forward": Target(
        "<= 0.5 x, equal to 1e-5",
        "ms",
        "plain PyTorch module",
        ratio_at_most=0.5,
        remark="outputs equal to {max_difference:.0e}",
    ),
    "mv_sstma_tick": Target(
        "<= 0.3 x, equal to 1e-5",
        "ms",
        "the window form",
        ratio_at_most=0.3,
        remark="equal to {max_difference:.0e}; {threads} thread, as live; "
        "on {all_threads}: {ratio_on_all_threads:.2f}",
    ),
    "mv_sstma_train_step": Target(
        "<= 0.5 x, gradients equal to 1e-4",
        "ms",
        "plain PyTorch module",
        ratio_at_most=0.5,
        remark="gradients equal to {max_difference:.0e}; {threads} threads",
    ),
    "xdf_read": Target(
        ">= 3 x pyxdf",
        "MB/s",
        "pyxdf",
        ratio_at_least=3.0,
        remark="EEG and gaze alone: {eeg_and_gaze_alone[ratio]:.1f} x pyxdf",
    ),
    "xdf_disk": Target(">= 0.5 x", "MB/s", "plain read, not in the page cache", ratio_at_least=0.5),
    "xdf_memory": Target("<= 1.2 x a quarter of the file", "MB", "a quarter of the file", ratio_at_most=1.2),
    "replay": Target("EEG, eye: <= 0.17 x", "ms", _PLAIN, ratio_at_most=0.17, remark=_REAL_TIME),
    "replay_all": Target("all four: <= 0.4 x", "ms", _PLAIN, ratio_at_most=0.4, remark=_REAL_TIME),
    "linear_length": Target(_LINEAR, "s", "4 x the shortest", ratio_at_most=1.15),
    "linear_hops": Target(_LINEAR, "s", "4 x the longest hop", ratio_at_most=1.15),
    "linear_channels": Target(_LINEAR, "s", "4 x the fewest", ratio_at_most=1.15),
    "replay_memory": Target(
        "< 600 MB above torch, any length",
        "MB",
        "short recording",
        at_most=600.0,
        remark="{replays[1][recording_s]:.0f} s recording: {replays[1][above_torch_mb]:.0f} MB",
    ),
    "live_cpu": Target("<= 0.5 x, a window", "ms", _PLAIN, ratio_at_most=0.5),
    "latency_p50": Target("<= 0.8 x", "ms", _PLAIN, ratio_at_most=0.8),
    "latency_p99": Target("<= 2 x", "ms", _PLAIN, ratio_at_most=2.0),
    "windows_skipped": Target("0", "windows", "predictions", at_most=0.0),
    "latency_arrival": Target("p50 <= 5 ms", "ms", "poll interval", at_most=5.0),
    "read_cost": Target("<= 0.8 x", "% of a core", "the simulated devices", ratio_at_most=0.8),
    "window_traces": Target(
        "<= 0.25 x 62 PlotCurveItems", "ms", "62 PlotCurveItems of 1,200 points", ratio_at_most=0.25
    ),
    "window_fps": Target(
        ">= 25 a second on every tab",
        "1/s",
        "refresh timer",
        at_least=25.0,
        remark="slowest: {slowest}; Qt platform {platform}",
    ),
    "window_decode": Target(
        "p99 <= 1.5 x without, <= 200 ms",
        "ms",
        "p99 without",
        at_most=200.0,
        ratio_at_most=1.5,
        remark="p50 {p50:.0f} ms, without {p50_without:.0f} ms, {n_skipped} skipped",
    ),
    "window_blocked": Target("<= 100 ms", "ms", "limit", at_most=100.0, remark="on the tab {tab}"),
    "window_memory": Target(
        "<= 5 MB a minute while histories fill",
        "MB/min",
        "limit",
        at_most=5.0,
        remark="engine {engine_mb_per_min:.1f} MB/min, over {seconds:.0f} s",
    ),
    "engine_size": Target("<= 500 MB", "MB", "limit", at_most=500.0),
    "window_size": Target("<= 250 MB without kept frames", "MB", "limit", at_most=250.0),
    "forward_cuda_eager": _CUDA,
    "forward_cuda_graphed": _CUDA,
}


def row(name: str, ours: float, reference: float, detail: Mapping[str, Any], *, also: bool = True) -> Row:
    """Return a row with its ratio; it passes where its target and ``also`` further conditions are met.

    Figures may be NaN: they are None in the row, which then misses.
    """
    target = TARGETS[name]
    ratio = ours / reference if reference else math.nan
    known = [value if math.isfinite(value) else None for value in (ours, reference, ratio)]
    is_met = also and target.is_met(ours, ratio)
    return Row(
        name, known[0], known[1], target.reference, target.unit, known[2], target.text, is_met, dict(detail)
    )


def failed_row(name: str, reason: str) -> Row:
    """Return the row of something that could not be measured."""
    return Row(name, None, None, "", "", None, "could not be measured", False, {"error": reason})


@dataclass(frozen=True)
class Timing:
    """Seconds a call took."""

    median_s: float
    best_s: float


def interleaved(functions: Mapping[str, Callable[[], Any]], n_rounds: int) -> dict[str, Timing]:
    """Time functions turn by turn, so that other load of the machine hits all of them.

    Every function runs once before the clock does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(n_rounds):
        for name, function in functions.items():
            began = stopwatch()
            function()
            seconds[name].append(stopwatch() - began)
    return {name: Timing(statistics.median(took), min(took)) for name, took in seconds.items()}


def render(machine: Mapping[str, Any], rows: Sequence[Row]) -> RenderableType:
    """Return machine and rows for a terminal of 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column, justify in (("row", "left"), ("ours", "right"), ("reference", "right"), ("ratio", "right")):
        table.add_column(column, justify=justify, no_wrap=column != "reference")  # type: ignore[arg-type]
    table.add_column("target and remarks")
    table.add_column("", no_wrap=True)
    for one in rows:
        remark = "{error}" if "error" in one.detail else TARGETS[one.name].remark
        table.add_row(
            one.name,
            _number(one.ours),
            f"{_number(one.reference)}\n{one.reference_name}" if one.reference is not None else "",
            _number(one.ratio),
            f"{one.target}\n{remark.format_map(one.detail)}".rstrip(),
            Text("PASS", style="green") if one.ok else Text("MISS", style="bold red"),
        )
    load = machine["load_average_before"]
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}\n"
        f"Python {machine['python']}, torch {machine['torch']} with {machine['torch_threads']} threads, "
        f"load before {'unknown' if load is None else f'{load:.1f}'}"
    )
    no_gpu = [] if machine["gpu"] else [Text("no GPU that torch can use: no forward_cuda rows", style="dim")]
    return Group(Text(where, style="dim"), table, *no_gpu)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
