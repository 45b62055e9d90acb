"""Benchmark rows as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.bench.rows import Row

_NOTES = {
    "de_features": "{ratio_to_mne_welch:.1f} x MNE Welch",
    "xdf_read": "EEG and gaze alone: {eeg_and_gaze_alone[ratio]:.1f} x pyxdf",
    "latency_total": "p99 {p99:.0f} ms, {n_skipped} skipped",
    "mv_sstma_forward": "outputs equal to {max_difference:.0e}",
    "mv_sstma_tick": "equal to {max_difference:.0e}; {threads} thread, as live; "
    "on {all_threads}: {ratio_on_all_threads:.2f}",
    "mv_sstma_train_step": "gradients equal to {max_difference:.0e}; {threads} threads",
    "replay_memory": "{replays[1][recording_s]:.0f} s recording: {replays[1][above_torch_mb]:.0f} MB",
    "window_fps": "slowest: {slowest}; Qt platform {platform}",
    "window_decode": "p50 {p50:.0f} ms, without {p50_without:.0f} ms, {n_skipped} skipped",
    "window_blocked": "on the tab {tab}",
    "window_memory": "engine {engine_mb_per_min:.1f} MB/min, over {seconds:.0f} s",
    "forward_cuda_eager": "fusion alone {fusion_alone_ms:.1f} ms",
    "forward_cuda_graphed": "fusion alone {fusion_alone_ms:.1f} ms",
}


def render(machine: Mapping[str, Any], rows: Sequence[Row]) -> RenderableType:
    """Return machine and rows for a terminal of 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column, justify in (("row", "left"), ("ours", "right"), ("reference", "right"), ("ratio", "right")):
        table.add_column(column, justify=justify, no_wrap=column != "reference")  # type: ignore[arg-type]
    table.add_column("target and remarks")
    table.add_column("", no_wrap=True)
    for one in rows:
        table.add_row(
            one.name,
            _number(one.ours),
            f"{_number(one.reference)}\n{one.reference_name}" if one.reference is not None else "",
            _number(one.ratio),
            "\n".join([one.target, *_remarks(one)]),
            Text("PASS", style="green") if one.ok else Text("MISS", style="bold red"),
        )
    return Group(Text(_machine(machine), style="dim"), table, *_missing_gpu(machine))


def _remarks(one: Row) -> list[str]:
    if "error" in one.detail:
        return [str(one.detail["error"])]
    return [_NOTES[one.name].format_map(one.detail)] if one.name in _NOTES else []


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machine(machine: Mapping[str, Any]) -> str:
    load = machine["load_average_before"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}\n"
        f"Python {machine['python']}, torch {machine['torch']} with {machine['torch_threads']} threads, "
        f"load before {'unknown' if load is None else f'{load:.1f}'}"
    )


def _missing_gpu(machine: Mapping[str, Any]) -> list[Text]:
    return [] if machine["gpu"] else [Text("no GPU that torch can use: no forward_cuda rows", style="dim")]
