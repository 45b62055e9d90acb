"""Measurements that need a process of their own."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from acquisition.simulator.process import run_simulator
from acquisition.simulator.source import SimulatorOptions
from models.process import process_pool

P = ParamSpec("P")
T = TypeVar("T")

_STARTED_TIMEOUT_S = 30.0


def in_own_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the function's answer from a fresh interpreter; what it raises is raised here."""
    with process_pool(1) as pool:
        return pool.submit(function, *args, **kwargs).result()


@contextmanager
def simulated_devices(suffix: str) -> Iterator[str]:
    """Publish four simulated streams from a process of its own; gives the ``--streams`` that choose them."""
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
        yield ",".join(
            [*chosen, "markers=none"]
        )  # what is not mentioned would be looked for, among everybody's
    finally:
        stop.set()
        process.join(timeout=5.0)
        if process.is_alive():
            process.kill()


def _wait_for(source_ids: list[str]) -> None:
    from pylsl import resolve_byprop

    from acquisition.errors import InputError

    for source_id in source_ids:
        if not resolve_byprop("source_id", source_id, 1, _STARTED_TIMEOUT_S):
            raise InputError(
                "the simulated devices were not found over LSL",
                where="bench",
                remedy="see whether a firewall blocks UDP port 16571 and TCP ports 16572 to 16604",
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
        # getrusage counts what the parent held before this process began; this does not.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def cpu_seconds() -> float:
    """Return the CPU time of all threads of this process."""
    return sum(os.times()[:2])
