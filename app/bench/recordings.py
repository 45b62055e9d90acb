"""What the benchmarks read: files as LabRecorder writes them, and a model."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.recording import Values, write_values
from acquisition.simulator.source import SimulatorOptions
from acquisition.simulator.subject import EMOTIONS
from assets import DEMO_MODEL


def write_like_labrecorder(path: Path, keys: tuple[str, ...], n_bytes: int) -> None:
    """Write a file of about ``n_bytes`` with a session's streams, filled with random samples."""
    options = SimulatorOptions(streams=keys)
    specs = list(options.specs().values())
    rng = np.random.default_rng(0)
    second: dict[str, Values] = {}
    for spec in specs:
        n = round(spec.sfreq)
        if spec.key == "video":
            second["video"] = [(base64.b64encode(rng.bytes(7000)).decode(),) for _ in range(n)]
        elif spec.key == "audio":
            second["audio"] = rng.integers(-9000, 9000, (n, 1)).astype(np.int16)
        else:
            second[spec.key] = rng.standard_normal((n, len(spec.ch_names))).astype(np.float32)
    probe = path.with_suffix(".probe")
    write_values(probe, options, specs, second, 10.0)
    bytes_per_s = probe.stat().st_size / 10.0
    probe.unlink()
    write_values(path, options, specs, second, n_bytes / bytes_per_s)


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
