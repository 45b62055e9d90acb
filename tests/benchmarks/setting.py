"""What benchmarks need around them: processes of their own, devices, recordings and a model."""

from __future__ import annotations

import base64
import multiprocessing
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

import numpy as np

from acquisition.errors import ErrorCode, InputError
from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.process import run_simulator
from acquisition.simulator.recording import Values, write_values
from acquisition.simulator.source import SimulatorOptions
from acquisition.simulator.subject import EMOTIONS
from assets import DEMO_MODEL
from tests.studies.jobs import process_pool

P = ParamSpec("P")
T = TypeVar("T")

_STARTED_TIMEOUT_S = 30.0


def in_own_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the function's answer from a fresh interpreter; its exceptions are raised here."""
    with process_pool(1) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def simulated_devices() -> Iterator[str]:
    """Publish four simulated streams from a process of its own; gives the ``--streams`` that choose them."""
    suffix = f"-bench-{uuid.uuid4().hex[:8]}"  # tells this run's streams from others on the network
    options = SimulatorOptions(
        streams=("eeg", "gaze", "video", "audio"), source_id_suffix=suffix, name_prefix="Bench"
    )
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=run_simulator, args=(options, stop.is_set), daemon=True)
    process.start()
    try:
        specs = options.specs()
        _wait_for([spec.source_id for spec in specs.values()])
        modalities = {"eeg": "eeg", "gaze": "eye", "video": "face", "audio": "voice"}
        chosen = [f"{modalities[key]}=source_id:{spec.source_id}" for key, spec in specs.items()]
        yield ",".join([*chosen, "markers=none"])  # a kind not mentioned would be searched for on the network
    finally:
        stop.set()
        process.join(timeout=5.0)
        if process.is_alive():
            process.kill()


def _wait_for(source_ids: list[str]) -> None:
    from pylsl import resolve_byprop

    for source_id in source_ids:
        if not resolve_byprop("source_id", source_id, 1, _STARTED_TIMEOUT_S):
            raise InputError(
                "the simulated devices were not found over LSL",
                where="bench",
                remedy="see whether a firewall blocks UDP port 16571 and TCP ports 16572 to 16604",
                code=ErrorCode.NO_STREAM,
            )


def resident_bytes() -> int:
    """Return the memory this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """Return the most memory this process has held."""
    import psutil

    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage counts the parent's memory before this process began; this does not.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def cpu_seconds() -> float:
    """Return the CPU time of all threads of this process."""
    return sum(os.times()[:2])


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
    write_values(probe, specs, second, 10.0)
    bytes_per_s = probe.stat().st_size / 10.0
    probe.unlink()
    write_values(path, specs, second, n_bytes / bytes_per_s)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is removed afterwards."""
    with TemporaryDirectory(prefix="affectscope-bench-") as folder:
        yield Path(folder)


@contextmanager
def bench_model(hop_s: float) -> Iterator[Path]:
    """Give the folder of a ``small`` model: the demo's, or random weights where that is not there."""
    from models.checkpoint import load_checkpoint, save_checkpoint
    from models.config import preset
    from models.network import FusionNetwork

    tensors: dict[str, Any] = {}
    evidence = None
    if DEMO_MODEL.is_dir():
        checkpoint = load_checkpoint(DEMO_MODEL)
        config, network, tensors = checkpoint.config, checkpoint.network, checkpoint.normaliser_tensors
        evidence = checkpoint.evidence
    else:
        trained_on = "nothing: random weights"
        config = preset("small", labels=EMOTIONS, ch_names=SEED_CH_NAMES, trained_on=trained_on)
        network = FusionNetwork(config)
    config = replace(config, windows=replace(config.windows, hop_s=hop_s))
    with scratch() as folder:
        save_checkpoint(folder, config, network, tensors, "A model for `affectscope bench`.\n", evidence)
        yield folder
