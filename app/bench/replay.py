"""How fast a recording is replayed, and in how much memory."""

from __future__ import annotations

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from acquisition.clock import stopwatch
from acquisition.simulator.recording import write_simulated
from app.bench.process import in_own_process, peak_resident_bytes, resident_bytes
from app.bench.recordings import bench_model
from app.bench.rows import Row, Say, row

TARGET_SPEED = ">= 30 x real time"
TARGET_MEMORY = "< 600 MB above torch, any length"
_MIN_SPEED, _MAX_MB = 30.0, 600.0
_HOP_S = 0.5
_KEYS = ("eeg", "gaze")
_SPEED_S, _QUICK_SPEED_S = 120.0, 30.0
_MEMORY_S, _QUICK_MEMORY_S = (60.0, 600.0), (20.0, 60.0)


def bench_replay(quick: bool, say: Say) -> list[Row]:
    """Return the row ``replay``: EEG and eye, ``small``, from opening the file to the last prediction.

    Start-up (imports, loading the model) is not in it; the detail has it.
    """
    seconds = _QUICK_SPEED_S if quick else _SPEED_S
    with TemporaryDirectory(prefix="affectscope-bench-") as folder, bench_model(_HOP_S) as model:
        path = Path(folder) / "replay.xdf"
        say(f"writing {seconds:.0f} s of EEG and gaze")
        write_simulated(path, _KEYS, seconds)
        say("replaying it")
        measured = in_own_process(_replay_speed, path, model, 1 if quick else 3)
    return [
        row(
            "replay",
            measured["speed"],
            1.0,
            "real time",
            "x real time",
            TARGET_SPEED,
            lambda ours, ratio: ratio >= _MIN_SPEED,
            measured,
        )
    ]


def bench_replay_memory(quick: bool, say: Say) -> list[Row]:
    """Return the row ``replay_memory``: the peak above ``import torch`` for a short and a long recording."""
    lengths = _QUICK_MEMORY_S if quick else _MEMORY_S
    peaks = []
    with TemporaryDirectory(prefix="affectscope-bench-") as folder, bench_model(_HOP_S) as model:
        for seconds in lengths:
            path = Path(folder) / "memory.xdf"
            say(f"memory of a replay of {seconds:.0f} s")
            write_simulated(path, _KEYS, seconds)
            peaks.append(in_own_process(_replay_memory, path, model) | {"recording_s": seconds})
    short, long = (peak["above_torch_mb"] for peak in peaks)
    return [
        row(
            "replay_memory",
            max(short, long),
            short,
            f"{lengths[0]:.0f} s recording",
            "MB",
            TARGET_MEMORY,
            lambda ours, ratio: ours < _MAX_MB,
            {"replays": peaks},
        )
    ]


def _replay(path: Path, model: Path, seconds: float | None = None) -> tuple[float, int]:
    """Replay and return the recording's length in seconds and the number of predictions."""
    from app.replay import ReplaySession
    from app.request import SessionOptions

    session = ReplaySession(path, SessionOptions(model=model, device="cpu", seconds=seconds, headless=True))
    session.run(lambda share: None)
    return session.duration_s, session.telemetry.snapshot().n_predictions


def _replay_speed(path: Path, model: Path, n_rounds: int) -> dict[str, Any]:
    began = stopwatch()
    _replay(path, model, seconds=5.0)  # imports what is imported where it is used
    start_up_s = stopwatch() - began
    speeds, n_predictions = [], 0
    for _ in range(n_rounds):
        began = stopwatch()
        recording_s, n_predictions = _replay(path, model)
        speeds.append(recording_s / (stopwatch() - began))
    return {
        "speed": statistics.median(speeds),
        "best": max(speeds),
        "n_predictions": n_predictions,
        "start_up_s": start_up_s,
    }


def _replay_memory(path: Path, model: Path) -> dict[str, float]:
    import torch  # noqa: F401

    with_torch = resident_bytes()
    _replay(path, model)
    return {
        "torch_mb": with_torch / 1e6,
        "above_torch_mb": (peak_resident_bytes() - with_torch) / 1e6,
    }
