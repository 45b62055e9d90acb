"""Trains the encoders side by side, one process each: they share no weights until the fusion."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acquisition.types import MODALITIES
from models.config import ModelConfig
from models.features.normalise import Normaliser
from models.network import FusionNetwork
from models.process_pool import process_pool
from models.training.allocator import keep_freed_memory
from models.training.batches import Rows
from models.training.encoders import Progress, StageOptions, train_encoder
from models.training.simulated_data import load_subject

_POLL_S = 0.2


@dataclass(frozen=True)
class EncoderJob:
    """Everything a process needs to train one encoder; plain values, so it can be pickled."""

    modality: str
    config: dict[str, Any]
    folders: tuple[Path, ...]  # of the training subjects
    normaliser: dict[str, np.ndarray]
    options: StageOptions
    seed: int
    n_threads: int


def train_encoders(
    network: FusionNetwork,
    folders: Sequence[Path],
    normaliser: Normaliser,
    stages: dict[str, StageOptions],
    *,
    seed: int,
    n_jobs: int,
    progress: Progress,
) -> None:
    """Train all four encoders in place; the result does not depend on ``n_jobs``' order of ending."""
    jobs = [
        EncoderJob(
            modality,
            network.config.to_dict(),
            tuple(folders),
            {name: tensor.numpy() for name, tensor in normaliser.to_dict().items()},
            stages[modality],
            seed + index,
            max(1, torch.get_num_threads() // n_jobs),
        )
        for index, modality in enumerate(MODALITIES)
    ]
    with get_context("spawn").Manager() as manager, process_pool(n_jobs) as pool:
        news = manager.Queue()
        # The two image encoders take longest: they go first.
        futures = {pool.submit(_run, job, news): job for job in reversed(jobs)}
        _report(futures, news, progress)
        for future in futures:
            network.load_state_dict(future.result(), strict=False)


def _report(futures: dict[Future[dict[str, Tensor]], EncoderJob], news: Any, progress: Progress) -> None:
    """Pass on the processes' progress until all have ended."""
    while True:
        done, running = wait(futures, timeout=_POLL_S)
        try:
            while True:
                progress(*news.get_nowait())
        except queue.Empty:
            pass
        if not running or any(future.exception() for future in done):
            return


def _run(job: EncoderJob, news: Any) -> dict[str, Tensor]:
    """Train one encoder and return its part of the network's state."""
    keep_freed_memory()
    torch.set_num_threads(job.n_threads)
    torch.manual_seed(job.seed)
    network = FusionNetwork(ModelConfig.from_dict(job.config))
    normaliser = Normaliser.from_dict({name: torch.from_numpy(a) for name, a in job.normaliser.items()})
    rows = Rows([load_subject(folder) for folder in job.folders], normaliser)
    last_share = -1.0

    def progress(stage: str, share: float, loss: float) -> None:
        nonlocal last_share
        if share - last_share >= 0.01 or share >= 1.0:
            last_share = share
            news.put((stage, share, loss))

    train_encoder(network, job.modality, rows, job.options, np.random.default_rng(job.seed), progress)
    prefixes = tuple(f"{owner}{job.modality}" for owner in ("", "tokens.", "heads."))
    state = network.state_dict()
    return {name: t for name, t in state.items() if name.startswith(prefixes)}
