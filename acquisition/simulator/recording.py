"""Writes simulated devices to an XDF file as LabRecorder would have recorded them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError, file_errors
from acquisition.simulator.behaviour import Timeline
from acquisition.simulator.face import FPS
from acquisition.simulator.process import as_sent, outlet_info
from acquisition.simulator.source import SimulatedSource, SimulatorOptions, markers_between
from acquisition.types import Chunk, Kind, StreamSpec
from acquisition.xdf.write import XdfWriter

_PULL_S = 0.5  # LabRecorder writes what it has pulled twice a second
_OFFSET_EVERY_S = 5.0
_FIRST_STAMP = 1000.0
_STAMPED_EVERY = 50  # a stamp is larger than a sample of sound
_LONGEST_MADE_S = 60.0  # a longer recording repeats these seconds

#: A stream's values by sample, numbers (n, n_channels) or rows of text.
Values = NDArray[Any] | Sequence[tuple[str]]


def write_simulated(
    path: Path,
    keys: tuple[str, ...],
    seconds: float,
    *,
    seed: int = 1,
    schedule: str = "random:20",
    eeg_sfreq: float = 1000.0,
    video_fps: float = FPS,
) -> None:
    """Write a recording of simulated devices ``eeg``, ``gaze``, ``video``, ``audio``, ``markers``.

    Beyond a minute the minute is repeated, with its markers. For a smaller file ``eeg_sfreq`` is a whole
    fraction of 1000 Hz (low-pass filtered first), and ``video_fps`` below 15. Raises `InputError` if the EEG
    rate is no such fraction, the frames are too many, the length is not finite, or the file cannot be
    written; what was written is removed then.
    """
    if not math.isfinite(seconds):
        raise InputError(f"expected a finite length, got {seconds:g} s", where="--seconds")
    factor = round(1000.0 / eeg_sfreq) if eeg_sfreq > 0 else 0  # of nan, too
    if factor < 1 or abs(factor * eeg_sfreq - 1000.0) > 1e-6:
        what = f"expected 1000 Hz or a whole fraction of it, got {eeg_sfreq:g}"
        raise InputError(what, where="--eeg-sfreq")
    options = SimulatorOptions(
        seed=seed, schedule=schedule, streams=keys, duration_s=min(seconds, _LONGEST_MADE_S)
    )
    source = SimulatedSource(options, video_fps=video_fps)
    parts: dict[str, list[Any]] = {spec.key: [] for spec in source.specs}
    for now in np.arange(0.0, _LONGEST_MADE_S + 1.0):
        for item in source.read(float(now)):
            if isinstance(item, Chunk):
                parts[item.stream].append(item.data)
    specs = list(source.specs)
    values: dict[str, Values] = {}
    for spec in specs:
        if spec.kind is Kind.VIDEO:
            values[spec.key] = [(text,) for part in parts[spec.key] for text in as_sent(spec.kind, part)]
        elif spec.kind is not Kind.MARKERS:
            values[spec.key] = as_sent(spec.kind, np.concatenate(parts[spec.key]))
    markers = _markers(source.behaviour.timeline, seconds) if "markers" in keys else []
    if factor > 1 and "eeg" in values:
        from scipy.signal import decimate  # zero-phase

        eeg = np.asarray(values["eeg"], dtype=np.float64)
        values["eeg"] = decimate(eeg, factor, ftype="fir", axis=0).astype(np.float32)
        specs = [replace(spec, sfreq=eeg_sfreq) if spec.key == "eeg" else spec for spec in specs]
    with file_errors("cannot write", path, "free some space, or choose another file"):
        try:
            write_values(path, specs, values, seconds, markers)
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _markers(timeline: Timeline, seconds: float) -> list[tuple[float, str]]:
    """Return (time, text) of the emotions shown, each minute's last one closed where the minute ends."""
    found = []
    for begin in np.arange(0.0, seconds, _LONGEST_MADE_S):
        length = min(seconds - begin, _LONGEST_MADE_S)
        found += [(begin + t, text) for t, text in markers_between(timeline, 0.0, length)]
        last = timeline.segment_at(np.nextafter(length, 0.0)).emotion
        found += [(begin + length, f"trial_end/{last}")] if last else []
    return found


def write_values(
    path: Path,
    specs: Sequence[StreamSpec],
    values: dict[str, Values],
    seconds: float,
    markers: Sequence[tuple[float, str]] = (),
) -> None:
    """Write ``seconds`` of the streams, repeating the values, in LabRecorder's order.

    ``markers`` are (seconds since the start, text), of the stream that has no rate.
    """
    with XdfWriter(path) as writer:
        for stream_id, spec in enumerate(specs, start=1):
            writer.add_stream(stream_id, outlet_info(spec).as_xml())
        n_pulls = round(seconds / _PULL_S)
        for pull in range(n_pulls):
            for stream_id, spec in enumerate(specs, start=1):
                if spec.sfreq:
                    first, last = (round(spec.sfreq * _PULL_S * at) for at in (pull, pull + 1))
                    at, made = np.arange(first, last) % len(values[spec.key]), values[spec.key]
                    rows = made[at] if isinstance(made, np.ndarray) else [made[int(i)] for i in at]
                    stamps = _FIRST_STAMP + np.arange(first, last) / spec.sfreq
                    # Most are left out, as LabRecorder does where a steady rate says them.
                    stamps[np.arange(len(stamps)) % _STAMPED_EVERY > 0] = np.nan
                else:
                    due = [m for m in markers if min(int(m[0] / _PULL_S), n_pulls - 1) == pull]
                    stamps, rows = np.array([_FIRST_STAMP + t for t, _ in due]), [(text,) for _, text in due]
                if len(stamps):
                    writer.samples(stream_id, stamps, rows)
                if pull * _PULL_S % _OFFSET_EVERY_S == 0:
                    writer.clock_offset(stream_id, _FIRST_STAMP + pull * _PULL_S, -1e-5)
        for stream_id, spec in enumerate(specs, start=1):
            count = round(spec.sfreq * seconds) if spec.sfreq else len(markers)
            writer.footer(stream_id, f"<info><sample_count>{count}</sample_count></info>")
