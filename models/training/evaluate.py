"""How well a model does on simulated subjects it has never seen: together, alone, with one missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from models.checkpoint import Checkpoint
from models.features.normalise import Normaliser
from models.inputs import NetworkInput
from models.network import FusionNetwork
from models.training.batches import Rows
from models.training.encoders import Progress
from models.training.fusion import EncodedRows, encode_rows, replaced_by_noise, window_input
from models.training.simulated import FIRST_EVALUATION_SEED
from models.training.simulated_data import SubjectPlan, load_subject, simulate_subjects

_BATCH = 32
_MIN_SINCE_ONSET_S = 5.0  # earlier windows still hold more of the trial before

#: Smaller caps, each part of the next.
CAPS = {
    "8": ("FP1", "FP2", "C3", "C4", "P7", "P8", "O1", "O2"),
    "16": ("F7", "F8", "F3", "F4", "T7", "T8", "P3", "P4"),
    "32": (
        *("FZ", "CZ", "PZ", "OZ", "FC5", "FC6", "FC1", "FC2"),
        *("CP5", "CP6", "CP1", "CP2", "AF3", "AF4", "PO3", "PO4"),
    ),
}


@dataclass(frozen=True)
class EvaluationOptions:
    """Whom to evaluate on."""

    n_subjects: int = 12
    n_trials: int = 10
    trial_s: float = 24.0
    difficulty: str | float = "default"
    n_jobs: int = 2


def evaluate_simulated(
    checkpoint: Checkpoint, options: EvaluationOptions, progress: Progress
) -> dict[str, Any]:
    """Return accuracies per trial and per window (keys ending in ``_window``), with chance beside them.

    A trial's prediction is the mean of its windows' probabilities, from the fifth second on.

    Returns
    -------
    dict
        ``all``, ``only`` and ``without`` by modality, ``channels`` by cap size, ``chance``, counts,
        Wilson intervals of the accuracies per trial (``interval``), and how each modality's attention
        moves: its SD over windows and its change when the modality is replaced by noise.
    """
    with TemporaryDirectory(prefix="affectscope-evaluate-", ignore_cleanup_errors=True) as folder:
        plans = [
            SubjectPlan(FIRST_EVALUATION_SEED + i, options.n_trials, options.trial_s, options.difficulty)
            for i in range(options.n_subjects)
        ]
        folders = simulate_subjects(
            plans,
            checkpoint.config.features,
            Path(folder),
            n_jobs=options.n_jobs,
            on_done=lambda n_done: progress("simulating", n_done / len(plans), math.nan),
        )
        rows = Rows(
            [load_subject(path) for path in folders], Normaliser.from_dict(checkpoint.normaliser_tensors)
        )
        encoded = encode_rows(checkpoint.network, rows, progress)
        return _Evaluation(checkpoint.network.prepare_inference(), rows, encoded, progress).report()


class _Evaluation:
    """All conditions over the same windows."""

    def __init__(self, network: FusionNetwork, rows: Rows, encoded: EncodedRows, progress: Progress) -> None:
        self._network, self._rows, self._encoded, self._progress = network, rows, encoded, progress
        self._at = rows.where(min_since_onset_s=_MIN_SINCE_ONSET_S)
        self._labels = rows.label[self._at].numpy()
        trial = rows.subject[self._at] * 1_000_000 + rows.trial[self._at]
        _, self._trial_of_window = np.unique(trial, return_inverse=True)
        self._rng = np.random.default_rng(0)

    def report(self) -> dict[str, Any]:
        names = self._network.config.ch_names
        conditions: dict[str, tuple[Sequence[str], list[int] | None]] = {"all": (MODALITIES, None)}
        for modality in MODALITIES:
            conditions[f"only/{modality}"] = ((modality,), None)
            conditions[f"without/{modality}"] = ([m for m in MODALITIES if m != modality], None)
        cap: tuple[str, ...] = ()
        for size, added in CAPS.items():
            cap += added
            picks = sorted(names.index(name) for name in cap if name in names)
            conditions[f"channels/{size}"] = (("eeg",), picks)
            conditions[f"channels_with_all/{size}"] = (MODALITIES, picks)
        probs, attention = {}, np.empty(0)
        for number, (name, (present, channels)) in enumerate(conditions.items(), start=1):
            probs[name], weights = self._predict(present, channels)
            attention = weights if name == "all" else attention
            self._progress("evaluating", number / (len(conditions) + len(MODALITIES)), math.nan)
        return self._table(probs) | {"attention": self._attention(attention)}

    def _predict(
        self, present: Sequence[str], channels: list[int] | None, noise: str = ""
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return probabilities (n, n_labels) and modality attention (n, 4)."""
        chosen = torch.tensor([modality in present for modality in MODALITIES])
        probs, attention = [], []
        for start in range(0, len(self._at), _BATCH):
            batch = self._window(self._at[start : start + _BATCH], channels)
            batch.present = batch.present & chosen
            if noise:
                batch = replaced_by_noise(batch, noise, self._rng)
            with torch.inference_mode():
                output = self._network(batch)
            probs.append(torch.softmax(output.logits, dim=-1))
            attention.append(output.modality_attention)
        return _joined(probs), _joined(attention)

    def _window(self, at: NDArray[np.intp], channels: list[int] | None) -> NetworkInput:
        return window_input(self._network, self._rows, self._encoded, at, None, self._rng, channels)

    def _table(self, probs: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
        n_trials = int(self._trial_of_window.max()) + 1
        table: dict[str, Any] = {
            "chance": 1 / probs["all"].shape[1],
            "n_subjects": len(self._rows.subjects),
            "n_trials": n_trials,
            "n_windows": len(self._at),
            "interval": {},
        }
        for name, p in probs.items():
            group, _, key = name.partition("/")
            per_trial, per_window = self._accuracies(p)
            interval = wilson_interval(per_trial, n_trials)
            if key:
                table.setdefault(group, {})[key] = per_trial
                table.setdefault(f"{group}_window", {})[key] = per_window
                table["interval"].setdefault(group, {})[key] = interval
            else:
                table[group], table[f"{group}_window"] = per_trial, per_window
                table["interval"][group] = interval
        return table

    def _accuracies(self, probs: NDArray[np.float64]) -> tuple[float, float]:
        """Return accuracy per trial and per window of probabilities (n, n_labels)."""
        n_trials = int(self._trial_of_window.max()) + 1
        sums = np.zeros((n_trials, probs.shape[1]))
        np.add.at(sums, self._trial_of_window, probs)
        label_of_trial = np.zeros(n_trials, dtype=np.int64)
        label_of_trial[self._trial_of_window] = self._labels
        return (
            float((sums.argmax(1) == label_of_trial).mean()),
            float((probs.argmax(1) == self._labels).mean()),
        )

    def _attention(self, whole: NDArray[np.float64]) -> dict[str, dict[str, float]]:
        """Return, by modality, the attention's mean, SD over windows and mean change under noise."""
        moved = {}
        for index, modality in enumerate(MODALITIES):
            _, noisy = self._predict(MODALITIES, None, noise=modality)
            moved[modality] = {
                "mean": float(whole[:, index].mean()),
                "sd": float(whole[:, index].std()),
                "change_by_noise": float((noisy - whole)[:, index].mean()),
            }
        return moved


def wilson_interval(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share of ``n`` (Wilson 1927).

    It takes trials as independent; those of one subject are not quite, so the truth is somewhat wider.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def _joined(parts: list[Tensor]) -> NDArray[np.float64]:
    return torch.cat(parts).double().numpy()
