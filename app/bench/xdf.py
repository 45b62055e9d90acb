"""Reading an XDF file against pyxdf."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from acquisition.errors import ErrorCode, InputError
from app.bench.recordings import write_like_labrecorder
from app.bench.rows import Row, Say, Timing, interleaved, row

TARGET = ">= 3 x pyxdf"
_MIN_RATIO = 3.0
_FILE_BYTES, _QUICK_FILE_BYTES = 150_000_000, 15_000_000
_ALL = ("eeg", "gaze", "video", "audio")


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
    n_rounds = 1 if quick else 3
    with TemporaryDirectory(prefix="affectscope-bench-") as folder:
        path = Path(folder) / "session.xdf"
        say("writing an XDF file of four streams")
        write_like_labrecorder(path, _ALL, n_bytes)
        megabytes = path.stat().st_size / 1e6
        say("reading it with both readers")
        plain = interleaved(_plain_readers(path), n_rounds)
        mapped = interleaved(_mapped_readers(path), 1)
        say("the same for EEG and gaze alone")
        write_like_labrecorder(path, ("eeg", "gaze"), n_bytes)
        megabytes_signals = path.stat().st_size / 1e6
        signals = interleaved(_plain_readers(path), n_rounds)
    figures = _speeds(megabytes, plain)
    detail: dict[str, Any] = {
        "file_mb": megabytes,
        "with_clocks": _speeds(megabytes, mapped),
        "eeg_and_gaze_alone": _speeds(megabytes_signals, signals),
    }
    return [
        row(
            "xdf_read",
            figures["ours"],
            figures["pyxdf"],
            "pyxdf",
            "MB/s",
            TARGET,
            lambda ours, ratio: ratio >= _MIN_RATIO,
            detail,
        )
    ]


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
        index = scan_xdf(path)
        return sum(
            len(block.stamps)
            for stream in index.streams.values()
            for block in StreamReader(path, stream).blocks()
        )

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
        source = XdfSource(path, select_streams(headers).kinds, intake_maker(), index=index)
        n_items, now = 0, source.first_time
        while not source.exhausted:
            now += 1.0
            n_items += len(source.read(now))
        source.close()
        return n_items

    return {"ours": ours, "pyxdf": lambda: pyxdf.load_xdf(path)}
