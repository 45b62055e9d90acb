"""Whether cost grows with length, hops and channels as they do: four times as much, four times the cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import torch

from acquisition.simulator.recording import write_simulated
from models.config import MvSstmaConfig
from models.encoders.mv_sstma import MvSstmaEncoder
from models.features.config import FeatureConfig
from models.features.eeg import differential_entropy
from tests.benchmarks.replay import replay_once
from tests.benchmarks.rows import Row, Say, row
from tests.benchmarks.setting import bench_model, in_own_process, scratch

_TIMES = (1, 2, 4)
_LENGTH_S = 10.0  # the shortest
_HOP_S = 0.5  # the longest
_N_CHANNELS = 15  # the fewest


def bench_linear(quick: bool, say: Say) -> list[Row]:
    """Return the rows of processor time over 1, 2 and 4 times the length, hops and channels."""
    with (
        scratch() as folder,
        bench_model(_HOP_S) as coarse,
        bench_model(_HOP_S / 2) as middle,
        bench_model(_HOP_S / 4) as fine,
    ):
        path = folder / "linear.xdf"
        write_simulated(path, ("eeg", "gaze"), max(_TIMES) * _LENGTH_S)
        say("replays of 1, 2 and 4 times the length and the hops")
        measured = in_own_process(_replays, path, (coarse, middle, fine), 1)
    say("1, 2 and 4 times the channels")
    measured["linear_channels"] = in_own_process(_channels, 10 if quick else 60)
    return [
        row(name, took[-1], _TIMES[-1] * took[0], {"cpu_s": took, "times": _TIMES})
        for name, took in measured.items()
    ]


def _replays(path: Path, models: tuple[Path, ...], n_rounds: int) -> dict[str, list[float]]:
    """Return processor seconds by row, for 1, 2 and 4 times."""
    whole_s = max(_TIMES) * _LENGTH_S
    runs: dict[str, list[Callable[[], Any]]] = {
        "linear_length": [
            lambda n=n: replay_once(path, models[1], seconds=n * _LENGTH_S)  # type: ignore[misc]
            for n in _TIMES
        ],
        "linear_hops": [lambda model=model: replay_once(path, model, seconds=whole_s) for model in models],  # type: ignore[misc]
    }
    replay_once(path, models[0], seconds=_LENGTH_S)  # imports
    return {name: _cpu_s(calls, n_rounds, n_idle=0) for name, calls in runs.items()}


def _channels(n_rounds: int) -> list[float]:
    """Return processor seconds of features and EEG encoder for a window of 1, 2 and 4 times the channels."""
    torch.set_num_threads(1)
    config = FeatureConfig()

    def window(n: int) -> Callable[[], object]:
        encoder = MvSstmaEncoder(replace(MvSstmaConfig(), dropout=0.0), n).eval()
        signal = torch.randn(1, n, 1000, dtype=torch.float64)
        features, positions = torch.randn(1, n, 10, 5), torch.arange(n)
        steps, channels = torch.ones(1, 10, dtype=torch.bool), torch.ones(1, n, dtype=torch.bool)

        def run() -> object:
            differential_entropy(signal, 1000.0, config)
            return encoder(features, positions, steps, channels)

        return run

    with torch.inference_mode():
        return _cpu_s([window(n * _N_CHANNELS) for n in _TIMES], n_rounds)


def _cpu_s(calls: list[Callable[[], Any]], n_rounds: int, n_idle: int = 1) -> list[float]:
    """Return the least processor time of each call, in turns, after ``n_idle`` that do not count."""
    took: list[list[float]] = [[] for _ in calls]
    for at in range(n_idle + n_rounds):
        for call, seconds in zip(calls, took, strict=True):
            began = process_time()
            call()
            if at >= n_idle:
                seconds.append(process_time() - began)
    return [min(seconds) for seconds in took]
