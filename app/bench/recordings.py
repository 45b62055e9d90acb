"""What the benchmarks read: simulated recordings, files as LabRecorder writes them, and a model."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.effects import EMOTIONS
from acquisition.simulator.faults import StreamFaults
from acquisition.simulator.outlets import OUTLET_CLASSES
from acquisition.simulator.source import SimulatedSource
from acquisition.simulator.streams import SimulatorOptions
from acquisition.types import Chunk, StreamSpec
from acquisition.xdf.write import XdfWriter
from assets import DEMO_MODEL

_PULL_S = 0.5  # LabRecorder writes what it has pulled twice a second
_OFFSET_EVERY_S = 5.0
_FIRST_STAMP = 1000.0
_SIMULATED_S = 60.0  # a longer recording repeats these seconds

#: A stream's values by sample, numbers (n, n_channels) or rows of text.
Values = NDArray[Any] | Sequence[tuple[str]]


def write_simulated(path: Path, keys: tuple[str, ...], seconds: float) -> None:
    """Write a recording of simulated devices as LabRecorder would.

    Parameters
    ----------
    keys : tuple of str
        ``eeg``, ``gaze``, ``video``, ``audio``.
    seconds : float
        Beyond a minute the minute is repeated; memory and time do not depend on what the samples hold.
    """
    options = SimulatorOptions(streams=keys, duration_s=min(seconds, _SIMULATED_S))
    source = SimulatedSource(options)
    parts: dict[str, list[Any]] = {spec.key: [] for spec in source.specs}
    for now in np.arange(0.0, _SIMULATED_S + 1.0):
        for item in source.read(float(now)):
            if isinstance(item, Chunk):
                parts[item.stream].append(item.data)
    values = {spec.key: _as_sent(spec, parts[spec.key]) for spec in source.specs}
    _write(path, options, values, seconds)


def write_like_labrecorder(path: Path, keys: tuple[str, ...], n_bytes: int) -> None:
    """Write a file of about ``n_bytes`` with a session's streams, filled with random samples."""
    options = SimulatorOptions(streams=keys)
    rng = np.random.default_rng(0)
    second: dict[str, Values] = {}
    for spec in options.specs().values():
        n = round(spec.sfreq)
        if spec.key == "video":
            second["video"] = [(base64.b64encode(rng.bytes(7000)).decode(),) for _ in range(n)]
        elif spec.key == "audio":
            second["audio"] = rng.integers(-9000, 9000, (n, 1)).astype(np.int16)
        else:
            second[spec.key] = rng.standard_normal((n, len(spec.ch_names))).astype(np.float32)
    probe = path.with_suffix(".probe")
    _write(probe, options, second, 10.0)
    bytes_per_s = probe.stat().st_size / 10.0
    probe.unlink()
    _write(path, options, second, n_bytes / bytes_per_s)


@contextmanager
def bench_model(hop_s: float) -> Iterator[Path]:
    """Give the folder of a ``small`` model: the demo's, or random weights where that is not there."""
    from models.checkpoint import load_checkpoint, save_checkpoint
    from models.config import preset
    from models.network import FusionNetwork

    tensors: dict[str, Any] = {}
    if DEMO_MODEL.is_dir():
        checkpoint = load_checkpoint(DEMO_MODEL)
        config, network, tensors = checkpoint.config, checkpoint.network, checkpoint.normaliser_tensors
    else:
        config = preset(
            "small", labels=EMOTIONS, ch_names=SEED_CH_NAMES, trained_on="nothing: random weights"
        )
        network = FusionNetwork(config)
    config = replace(config, windows=replace(config.windows, hop_s=hop_s))
    with TemporaryDirectory(prefix="affectscope-bench-") as folder:
        save_checkpoint(folder, config, network, tensors, "A model for `affectscope bench`.\n")
        yield Path(folder)


def _as_sent(spec: StreamSpec, parts: list[Any]) -> Values:
    """Return values as the simulator's outlets send them."""
    if spec.key == "video":
        return [(base64.b64encode(frame).decode("ascii"),) for part in parts for frame in part]
    data = np.concatenate(parts)
    return np.round(data * 32767.0).astype(np.int16) if spec.key == "audio" else data.astype(np.float32)


def _write(path: Path, options: SimulatorOptions, values: dict[str, Values], seconds: float) -> None:
    """Write ``seconds`` of the streams, repeating the values, in LabRecorder's order."""
    specs = list(options.specs().values())
    with XdfWriter(path) as writer:
        for stream_id, spec in enumerate(specs, start=1):
            writer.add_stream(stream_id, _header_xml(spec, options))
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


def _header_xml(spec: StreamSpec, options: SimulatorOptions) -> str:
    """Return the very header that the simulator's outlet of this stream has."""
    from pylsl import StreamInfo

    faults = StreamFaults((), spec.key, options.seed)
    outlet = OUTLET_CLASSES[spec.key](spec, faults, 0.0, 0.0, options.person())
    type_ = {"eeg": "EEG", "gaze": "Gaze", "video": "VideoCompressed", "audio": "Audio"}[spec.key]
    channel_format = outlet.channel_format
    info = StreamInfo(spec.name, type_, len(spec.ch_names), spec.sfreq, channel_format, spec.source_id)
    outlet.describe(info.desc())
    return info.as_xml()
