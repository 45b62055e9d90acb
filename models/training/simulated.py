"""Trains the encoders side by side, one process each: they share no weights until the fusion."""

from __future__ import annotations

import math
import queue
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITIES
from models.checkpoint import save_checkpoint
from models.config import ModelConfig, preset
from models.network import FusionNetwork
from models.normalise import Normaliser, fit_eeg, fit_eye
from models.process import keep_freed_memory, process_pool
from models.training.encoders import train_encoder
from models.training.fusion import (
    best_temperature,
    encode_rows,
    modality_tokens,
    train_fusion,
    train_token_heads,
)
from models.training.loop import Progress, StageOptions
from models.training.simulated_data import Rows, SubjectFeatures, SubjectPlan, load_subject, simulate_subjects

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


#: Seeds of simulated people: training uses the first ones, evaluation never comes near.
FIRST_TRAINING_SEED = 1000
FIRST_EVALUATION_SEED = 900_000
_MIN_SINCE_ONSET_S = 3.0


@dataclass(frozen=True)
class TrainingOptions:
    """How much to train on, and for how long."""

    n_subjects: int = 40
    n_validation: int = 4  # of the subjects, held out for the temperature
    n_trials: int = 10
    trial_s: float = 24.0
    difficulty: str | float = "default"
    seed: int = 1
    n_jobs: int = 2
    epochs_scale: float = 1.0  # multiplies every stage's passes

    def plans(self) -> list[SubjectPlan]:
        """Return the simulated people to run."""
        return [
            SubjectPlan(FIRST_TRAINING_SEED + i, self.n_trials, self.trial_s, self.difficulty)
            for i in range(self.n_subjects)
        ]

    def stages(self) -> dict[str, StageOptions]:
        """Return the settings of each stage."""
        stages = {
            "eeg": StageOptions(epochs=3, batch_size=64, learning_rate=2e-3),
            "eye": StageOptions(epochs=2.5, batch_size=64, learning_rate=2e-3),
            "face": StageOptions(epochs=4, batch_size=64, learning_rate=1e-3),
            "voice": StageOptions(epochs=3, batch_size=32, learning_rate=8e-4),
            "pooling": StageOptions(epochs=3, batch_size=128, learning_rate=5e-4),
            "fusion": StageOptions(epochs=20, batch_size=256, learning_rate=1e-3),
        }
        return {name: replace(s, epochs=s.epochs * self.epochs_scale) for name, s in stages.items()}


def train_simulated(folder: Path, options: TrainingOptions, progress: Progress) -> str:
    """Simulate subjects, train every stage and write the model folder; returns its SHA-256.

    Parameters
    ----------
    folder : Path
        Of the model, made if needed.
    options : TrainingOptions
    progress : callable
        Told stage, share done and running loss.
    """
    config = preset("small", labels=EMOTIONS, ch_names=SEED_CH_NAMES, trained_on="simulated data only")
    with TemporaryDirectory(prefix="affectscope-train-", ignore_cleanup_errors=True) as scratch:
        folders = simulate_subjects(
            options.plans(),
            config.features,
            Path(scratch),
            n_jobs=options.n_jobs,
            on_done=lambda n_done: progress("simulating", n_done / options.n_subjects, math.nan),
        )
        network, normaliser = fit(config, folders, options, progress)
    return save_checkpoint(folder, config, network, normaliser.to_dict(), model_card(options))


def fit(
    config: ModelConfig, folders: Sequence[Path], options: TrainingOptions, progress: Progress
) -> tuple[FusionNetwork, Normaliser]:
    """Train all stages on the subjects in ``folders``; the last ``n_validation`` only set the temperature."""
    keep_freed_memory()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    subjects = [load_subject(folder) for folder in folders]
    training, validation = subjects[: -options.n_validation], subjects[-options.n_validation :]
    normaliser = fit_normaliser(training)
    network = FusionNetwork(config)
    stages = options.stages()
    train_encoders(
        network,
        folders[: -options.n_validation],
        normaliser,
        stages,
        seed=options.seed,
        n_jobs=options.n_jobs,
        progress=progress,
    )
    rows = Rows(training, normaliser)
    encoded = encode_rows(network, rows, progress)
    usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
    train_token_heads(network, rows, encoded, usable, stages["pooling"], rng, progress)
    tokens, present, noisy = modality_tokens(network, rows, encoded, usable, 3, rng, progress)
    train_fusion(network, tokens, present, noisy, rows.label[usable], stages["fusion"], rng, progress)
    _set_temperature(network, Rows(validation, normaliser), rng, progress)
    return network, normaliser


def fit_normaliser(training: list[SubjectFeatures]) -> Normaliser:
    """Return scales fitted on the training subjects alone; unusable channels and steps are left out."""
    de = np.concatenate([np.where(s.usable[..., None], s.de, np.nan) for s in training])
    eye = np.concatenate([s.eye for s in training])
    return Normaliser(fit_eeg(torch.from_numpy(de)), fit_eye(torch.from_numpy(eye)))


def _set_temperature(
    network: FusionNetwork, rows: Rows, rng: np.random.Generator, progress: Progress
) -> None:
    """Fold the temperature that suits held-out subjects into the last layer."""
    encoded = encode_rows(network, rows, progress)
    usable = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
    tokens, present, _ = modality_tokens(network, rows, encoded, usable, 1, rng, progress)
    temperature = best_temperature(network, tokens[0], present[0], rows.label[usable])
    with torch.no_grad():
        for parameter in list(network.fusion.parameters())[-2:]:  # the last layer's weight and bias
            parameter.div_(temperature)


def model_card(options: TrainingOptions) -> str:
    """Return the card that goes with the model, Markdown."""
    return f"""# Affectscope small, simulated data only

Trained by `affectscope train --simulated` on {options.n_subjects - options.n_validation} simulated subjects
({options.n_trials} trials of {options.trial_s:g} s each, five emotions, difficulty {options.difficulty},
seed {options.seed}); {options.n_validation} more set the softmax temperature. No recording of a person was
used.

- **What it is for:** trying the program, its timing and its displays on simulated devices.
- **What it is not for:** telling anything about a person: it has never seen one. Not for workplace or
  education.
- **Inputs:** any subset of its 62 EEG channels (DE in five bands), 33 eye features, face crops, voice.
- **Outputs:** {", ".join(EMOTIONS)}; attention per modality, EEG channel and time step.
- **Protocol:** each encoder alone, then frozen, then shared attention over modality tokens with modality
  dropout; normalisation fitted on the training subjects. `affectscope evaluate --simulated` gives its
  figures on subjects it has never seen.
- **Licence:** GPL-3.0-or-later.
"""
