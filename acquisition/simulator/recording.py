"""Writes simulated devices to an XDF file as LabRecorder would have recorded them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError, file_errors
from acquisition.simulator.process import as_sent, outlet_info
from acquisition.simulator.source import SimulatedSource, SimulatorOptions
from acquisition.types import Chunk, Kind, StreamSpec
from acquisition.xdf.write import XdfWriter

_PULL_S = 0.5  # LabRecorder writes what it has pulled twice a second
_OFFSET_EVERY_S = 5.0
_FIRST_STAMP = 1000.0
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
) -> None:
    """Write a recording of simulated devices ``eeg``, ``gaze``, ``video``, ``audio``.

    Beyond a minute the minute is repeated. ``eeg_sfreq`` is 1000 Hz, or a whole fraction of it for a smaller
    file (low-pass filtered first).

    Raises `InputError` if the rate is not a whole fraction of 1000 Hz, the length is not finite, or the file
    cannot be written; what was written is removed then.
    """
    if not math.isfinite(seconds):
        raise InputError(f"expected a finite length, got {seconds:g} s", where="--seconds")
    factor = round(1000.0 / eeg_sfreq) if eeg_sfreq > 0 else 0  # of nan, too
    if factor < 1 or abs(factor * eeg_sfreq - 1000.0) > 1e-6:
        raise InputError(
            f"expected 1000 Hz or a whole fraction of it, got {eeg_sfreq:g}", where="--eeg-sfreq"
        )
    options = SimulatorOptions(
        seed=seed, schedule=schedule, streams=keys, duration_s=min(seconds, _LONGEST_MADE_S)
    )
    source = SimulatedSource(options)
    parts: dict[str, list[Any]] = {spec.key: [] for spec in source.specs}
    for now in np.arange(0.0, _LONGEST_MADE_S + 1.0):
        for item in source.read(float(now)):
            if isinstance(item, Chunk):
                parts[item.stream].append(item.data)
    values = {spec.key: _as_sent(spec, parts[spec.key]) for spec in source.specs}
    specs = list(options.specs().values())
    if factor > 1 and "eeg" in values:
        values["eeg"] = _decimated(values["eeg"], factor)
        specs = [replace(spec, sfreq=eeg_sfreq) if spec.key == "eeg" else spec for spec in specs]
    with file_errors("cannot write", path, "free some space, or choose another file"):
        try:
            write_values(path, specs, values, seconds)
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _decimated(values: Values, factor: int) -> NDArray[np.float32]:
    """Return every ``factor``-th sample after a zero-phase low-pass filter."""
    from scipy.signal import decimate

    return decimate(np.asarray(values, dtype=np.float64), factor, ftype="fir", axis=0).astype(np.float32)


def _as_sent(spec: StreamSpec, parts: list[Any]) -> Values:
    """Return values as the simulator's outlets send them."""
    if spec.kind is Kind.VIDEO:
        return [(text,) for part in parts for text in as_sent(spec.kind, part)]
    return as_sent(spec.kind, np.concatenate(parts))


def write_values(path: Path, specs: Sequence[StreamSpec], values: dict[str, Values], seconds: float) -> None:
    """Write ``seconds`` of the streams, repeating the values, in LabRecorder's order."""
    with XdfWriter(path) as writer:
        for stream_id, spec in enumerate(specs, start=1):
            writer.add_stream(stream_id, outlet_info(spec).as_xml())
        for pull in range(round(seconds / _PULL_S)):
            for stream_id, spec in enumerate(specs, start=1):
                first, last = (round(spec.sfreq * _PULL_S * at) for at in (pull, pull + 1))
                writer.samples(
                    stream_id, _stamps(spec, first, last), _repeated(values[spec.key], first, last)
                )
                if pull * _PULL_S % _OFFSET_EVERY_S == 0:
                    writer.clock_offset(stream_id, _FIRST_STAMP + pull * _PULL_S, -1e-5)
        for stream_id, spec in enumerate(specs, start=1):
            count = round(spec.sfreq * seconds)
            writer.footer(stream_id, f"<info><sample_count>{count}</sample_count></info>")


def _stamps(spec: StreamSpec, first: int, last: int) -> NDArray[np.float64]:
    """Return stamps with every other one left out, which is what LabRecorder makes of steady streams."""
    stamps = _FIRST_STAMP + np.arange(first, last) / spec.sfreq
    stamps[1::2] = np.nan
    return stamps


def _repeated(values: Values, first: int, last: int) -> Values:
    at = np.arange(first, last) % len(values)
    return values[at] if isinstance(values, np.ndarray) else [values[int(i)] for i in at]
