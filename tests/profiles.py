"""Discriminants and profiles of noise, and of patterns that people share."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file

from calibration.profile import CalibrationProfile
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import EvidenceConfig
from models.level import Evidence, SignalRange
from models.mixed_discriminant import LabelledTrial, MixedDiscriminant

SIZES = {"eeg": 310, "eye": 33, "face": 128, "voice": 128}


def noise_trials(person: str, n_labels: int, rng: np.random.Generator, effect: float = 0.0, n: int = 6):
    """Return trials of noise about 1.5 (EEG) and 0.4; labels add ``effect`` to some features."""
    found = []
    for number in range(n):
        label = number % n_labels
        steps = {}
        for modality, size in SIZES.items():
            x = (1.5 if modality == "eeg" else 0.4) + 0.1 * rng.normal(size=(8, size))
            x[:, label::n_labels] += effect
            steps[modality] = x + 0.05 * rng.normal(size=size)
        found.append(LabelledTrial(person, 0, label, steps))
    return found


@lru_cache
def noise_discriminant(n_labels: int, effect: float = 0.0) -> MixedDiscriminant:
    """Return what three people's `noise_trials` teach."""
    rng = np.random.default_rng(0)
    trials = [t for person in "abc" for t in noise_trials(person, n_labels, rng, effect, 2 * n_labels)]
    return MixedDiscriminant.fit(trials, n_labels)


def noise_profile(summary, temperature: float = 1.0) -> CalibrationProfile:
    """Return a profile of noise that fits a summary and a model of the small preset."""
    discriminant = noise_discriminant(len(summary.classes))
    known = {m: np.ones(SIZES[m], dtype=bool) for m in summary.modalities}
    labels = range(len(summary.classes))
    level = {m: np.full(SIZES[m], 1.5 if m == "eeg" else 0.4, np.float32) for m in summary.modalities}
    signals = SignalRange({m: np.full(SIZES[m], 0.02, np.float32) for m in summary.modalities})
    return CalibrationProfile(summary, discriminant.restricted(labels, known), signals, level, temperature)


@lru_cache
def eye_discriminant(n_labels: int) -> MixedDiscriminant:
    """Return what three people's eyes teach: quick to fit."""
    rng = np.random.default_rng(0)
    trials = [t for person in "abc" for t in noise_trials(person, n_labels, rng, 0.2, 2 * n_labels)]
    return MixedDiscriminant.fit([replace(t, steps={"eye": t.steps["eye"]}) for t in trials], n_labels)


def model_with_evidence(model: Path, folder: Path) -> Path:
    """Write a model with an `eye_discriminant` beside its network into a folder, and return that."""
    base = load_checkpoint(model)
    config = replace(base.config, evidence=EvidenceConfig())
    signals = SignalRange({"eye": np.full(33, 0.02, np.float32)}, {"eye": (-1.0, 1.0, 2.0)})
    evidence = Evidence(eye_discriminant(len(config.labels)), signals, config.evidence)
    save_checkpoint(folder, config, base.network, base.normaliser_tensors, "card", evidence)
    return folder


def changed_tensors(change):
    """Return what damages a model's or a profile's folder: ``change`` is given its tensors by name."""

    def damage(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return damage
