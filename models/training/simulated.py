"""Trains the ``small`` model on simulated subjects only: the model the demo ships with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from acquisition.montage import SEED_CH_NAMES
from acquisition.simulator.subject import EMOTIONS
from models.checkpoint import save_checkpoint
from models.config import ModelConfig, preset
from models.features.normalise import Normaliser, fit_eeg, fit_eye
from models.network import FusionNetwork
from models.training.allocator import keep_freed_memory
from models.training.batches import Rows
from models.training.encoders import Progress, StageOptions
from models.training.fusion import (
    best_temperature,
    encode_rows,
    modality_tokens,
    train_fusion,
    train_token_heads,
)
from models.training.parallel import train_encoders
from models.training.simulated_data import SubjectFeatures, SubjectPlan, load_subject, simulate_subjects

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
