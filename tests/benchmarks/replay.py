"""Reading XDF files against pyxdf, and how fast a recording is replayed, in how much memory."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acquisition.clock import stopwatch
from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.recording import write_simulated
from tests.benchmarks.rows import Row, Say, Timing, interleaved, row
from tests.benchmarks.setting import (
    bench_model,
    in_own_process,
    peak_resident_bytes,
    resident_bytes,
    scratch,
    write_like_labrecorder,
)

_HOP_S, _HOP_ALL_S = 0.5, 0.25
_KEYS = ("eeg", "gaze")
_ALL_KEYS = (*_KEYS, "video", "audio")
_SPEED_S, _QUICK_SPEED_S = 60.0, 20.0
_MEMORY_S, _QUICK_MEMORY_S = (30.0, 150.0), (15.0, 45.0)
_FILE_BYTES, _QUICK_FILE_BYTES = 50_000_000, 15_000_000
_FLAT_BYTES, _QUICK_FLAT_BYTES = (50_000_000, 200_000_000), (15_000_000, 60_000_000)
_READ_BYTES = 1 << 20  # at a time, of the plain read


def bench_xdf(quick: bool, say: Say) -> list[Row]:
    """Return the row ``xdf_read``: megabytes of a session's file decoded a second.

    Both sides scan the file, and decode every sample and stamp, and nothing else: pyxdf runs without clock
    synchronisation and dejittering, which it does afterwards. The detail has both sides with their clocks,
    and the same for a file of EEG and gaze alone, whose samples are few and wide.

    Raises
    ------
    InputError
        If pyxdf is missing, which nothing else in the program needs.
    """
    _import_pyxdf()  # before the files are written
    n_bytes = _QUICK_FILE_BYTES if quick else _FILE_BYTES
    n_rounds = 1 if quick else 2
    with scratch() as folder:
        path = folder / "session.xdf"
        say("writing an XDF file of four streams")
        write_like_labrecorder(path, _ALL_KEYS, n_bytes)
        megabytes = path.stat().st_size / 1e6
        say("reading it with both readers")
        figures = _speeds(megabytes, interleaved(_plain_readers(path), n_rounds))
        mapped = _speeds(megabytes, interleaved(_mapped_readers(path), 1))
        disk = _speeds_from_disk(path, megabytes, n_rounds)
        say("the same for EEG and gaze alone")
        write_like_labrecorder(path, _KEYS, n_bytes)
        signals = _speeds(path.stat().st_size / 1e6, interleaved(_plain_readers(path), n_rounds))
    detail = {"file_mb": megabytes, "with_clocks": mapped, "eeg_and_gaze_alone": signals}
    return [
        row("xdf_read", figures["ours"], figures["pyxdf"], detail),
        row("xdf_disk", disk["ours"], disk["plain"], {"file_mb": megabytes}),
    ]


def _speeds_from_disk(path: Path, megabytes: float, n_rounds: int) -> dict[str, float]:
    """Return MB/s of reading a file that is not in the page cache, decoded and plainly."""
    decode = _plain_readers(path)["ours"]

    def plain() -> None:
        with path.open("rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                pass

    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(n_rounds):
        for name, read in (("ours", decode), ("plain", plain)):
            _drop_from_cache(path)
            began = stopwatch()
            read()
            seconds[name].append(stopwatch() - began)
    return {name: megabytes / statistics.median(took) for name, took in seconds.items()}


def _drop_from_cache(path: Path) -> None:
    """Ask the system to forget the file's pages, where it can: then both readers wait for the disk."""
    if hasattr(os, "posix_fadvise"):
        with path.open("r+b") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bench_xdf_memory(quick: bool, say: Say) -> list[Row]:
    """Return the row ``xdf_memory``: the peak of decoding a file, and one four times as large."""
    peaks = []
    with scratch() as folder:
        for n_bytes in _QUICK_FLAT_BYTES if quick else _FLAT_BYTES:
            path = folder / "flat.xdf"
            say(f"memory of reading {n_bytes / 1e6:.0f} MB")
            write_like_labrecorder(path, _ALL_KEYS, n_bytes)
            peaks.append(in_own_process(_xdf_memory, path))
    small, large = peaks
    return [row("xdf_memory", large, small, {"peaks_mb": peaks})]


def _xdf_memory(path: Path) -> float:
    """Return the peak of decoding, in MB above what the process had with its imports."""
    from acquisition.xdf.reader import StreamReader
    from acquisition.xdf.scan import scan_xdf

    before = resident_bytes()
    for one in scan_xdf(path).streams.values():
        for _ in StreamReader(path, one).blocks():
            pass
    return (peak_resident_bytes() - before) / 1e6


def _speeds(megabytes: float, took: dict[str, Timing]) -> dict[str, float]:
    figures = {name: megabytes / timing.median_s for name, timing in took.items()}
    return figures | {"ratio": figures["ours"] / figures["pyxdf"]}


def _import_pyxdf() -> Any:
    try:
        import pyxdf
    except ImportError as error:
        raise InputError(
            "the reader to compare with is not installed",
            where="xdf_read",
            remedy="pip install pyxdf",
            code=ErrorCode.INSTALLATION,
        ) from error
    return pyxdf


def _plain_readers(path: Path) -> dict[str, Callable[[], object]]:
    pyxdf = _import_pyxdf()

    from acquisition.xdf.reader import StreamReader
    from acquisition.xdf.scan import scan_xdf

    def ours() -> int:
        streams = scan_xdf(path).streams.values()
        return sum(len(block.stamps) for one in streams for block in StreamReader(path, one).blocks())

    def theirs() -> object:
        return pyxdf.load_xdf(path, synchronize_clocks=False, dejitter_timestamps=False)

    return {"ours": ours, "pyxdf": theirs}


def _mapped_readers(path: Path) -> dict[str, Callable[[], object]]:
    """Return both readers with clocks; ours also converts to canonical channels and units."""
    pyxdf = _import_pyxdf()

    from acquisition.intake import intake_maker
    from acquisition.select import select_streams
    from acquisition.xdf.scan import scan_xdf
    from acquisition.xdf.source import XdfSource

    def ours() -> int:
        index = scan_xdf(path)
        headers = {stream_id: stream.header for stream_id, stream in index.streams.items()}
        source = XdfSource(path, select_streams(headers), intake_maker(), index=index)
        n_items, now = 0, source.first_time
        while not source.exhausted:
            now += 1.0
            n_items += len(source.read(now))
        source.close()
        return n_items

    return {"ours": ours, "pyxdf": lambda: pyxdf.load_xdf(path)}


def bench_replay(quick: bool, say: Say) -> list[Row]:
    """Return the rows ``replay`` (EEG and eye) and ``replay_all`` of ``small``: ms a window.

    From opening the file to the last prediction. Start-up (imports, loading the model) is not in it; the
    detail has it, and how many times real time that is.
    """
    seconds = _QUICK_SPEED_S if quick else _SPEED_S
    rows = []
    for name, keys, hop_s in (("replay", _KEYS, _HOP_S), ("replay_all", _ALL_KEYS, _HOP_ALL_S)):
        with scratch() as folder, bench_model(hop_s) as model:
            path = folder / "replay.xdf"
            say(f"writing {seconds:.0f} s of {', '.join(keys)}")
            write_simulated(path, keys, seconds)
            say("replaying it")
            measured = in_own_process(_replay_speed, path, model, 1 if quick else 3)
        rows.append(row(name, measured["window_ms"], measured["plain_ms"], measured))
    return rows


def bench_replay_memory(quick: bool, say: Say) -> list[Row]:
    """Return the row ``replay_memory``: the peak above ``import torch`` for a short and a long recording."""
    peaks = []
    with scratch() as folder, bench_model(_HOP_S) as model:
        for seconds in _QUICK_MEMORY_S if quick else _MEMORY_S:
            path = folder / "memory.xdf"
            say(f"memory of a replay of {seconds:.0f} s")
            write_simulated(path, _KEYS, seconds)
            peaks.append(in_own_process(_replay_memory, path, model) | {"recording_s": seconds})
    short, long = (peak["above_torch_mb"] for peak in peaks)
    return [row("replay_memory", max(short, long), short, {"replays": peaks})]


def replay_once(path: Path, model: Path, seconds: float | None = None) -> tuple[float, int]:
    """Replay and return the recording's length in seconds and the number of predictions."""
    from app.replay import ReplaySession
    from app.request import ReplayRequest, SessionOptions

    options = SessionOptions(model=model, device="cpu", seconds=seconds, headless=True)
    session = ReplaySession(ReplayRequest(path, options))
    session.run(lambda share: None)
    return session.duration_s, session.telemetry.n_predictions


def _replay_speed(path: Path, model: Path, n_rounds: int) -> dict[str, Any]:
    from tests.benchmarks.reference_mv_sstma import plain_forward_ms

    began = stopwatch()
    replay_once(path, model, seconds=5.0)  # imports what is imported where it is used
    start_up_s = stopwatch() - began
    speeds, n_predictions, recording_s = [], 0, 0.0
    for _ in range(n_rounds):
        began = stopwatch()
        recording_s, n_predictions = replay_once(path, model)
        speeds.append(recording_s / (stopwatch() - began))
    speed = statistics.median(speeds)
    return {
        "speed": speed,
        "window_ms": 1e3 * recording_s / speed / max(1, n_predictions),
        "plain_ms": plain_forward_ms()[0],
        "best": max(speeds),
        "n_predictions": n_predictions,
        "start_up_s": start_up_s,
    }


def _replay_memory(path: Path, model: Path) -> dict[str, float]:
    import torch  # noqa: F401

    with_torch = resident_bytes()
    replay_once(path, model)
    return {"torch_mb": with_torch / 1e6, "above_torch_mb": (peak_resident_bytes() - with_torch) / 1e6}
