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

from acquisition.errors import InputError
from acquisition.simulator.subject import EMOTIONS
from acquisition.types import MODALITIES
from models.checkpoint import Checkpoint
from models.config import ModelConfig
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.training.fusion import EncodedRows, encode_rows, replaced_by_noise, window_input
from models.training.loop import Progress
from models.training.scores import wilson_interval
from models.training.simulated import FIRST_EVALUATION_SEED
from models.training.simulated_data import Rows, SubjectPlan, load_subject, simulate_subjects

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

    Raises
    ------
    InputError
        See `check_simulated`.
    """
    check_simulated(checkpoint.config)
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


def check_simulated(config: ModelConfig) -> None:
    """Refuse a model that simulated people cannot judge, with the reason.

    Raises
    ------
    InputError
        If it is no classifier, reads features that the simulator does not make or fewer modalities than
        four, or tells other classes apart, or the same in another order.
    """
    for expected, found in (
        ("a classifier", "a classifier" if config.is_classifier else "pre-trained encoders"),
        ("raw features", f"{config.feature_origin} features"),
        (f"modalities {', '.join(MODALITIES)}", f"modalities {', '.join(config.modalities)}"),
        (f"labels {', '.join(EMOTIONS)}", f"labels {', '.join(config.labels)}"),
    ):
        if expected != found:
            raise InputError(
                f"simulated people cannot judge this model: expected {expected}, found {found}",
                where="--model",
                remedy="choose one of affectscope train --simulated, or leave --model out",
            )


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
        picks: dict[str, list[int] | None] = {"": None}
        cap: tuple[str, ...] = ()
        for size, added in CAPS.items():
            cap += added
            picks[size] = sorted(names.index(name) for name in cap if name in names)
        tokens = {}
        for number, (size, channels) in enumerate(picks.items()):
            tokens[size] = self._tokens(channels)
            self._progress("evaluating", (number + 1) / (len(picks) + 1), math.nan)
        conditions: dict[str, tuple[Sequence[str], str]] = {"all": (MODALITIES, "")}
        for modality in MODALITIES:
            conditions[f"only/{modality}"] = ((modality,), "")
            conditions[f"without/{modality}"] = ([m for m in MODALITIES if m != modality], "")
        for size in CAPS:
            conditions[f"channels/{size}"] = (("eeg",), size)
            conditions[f"channels_with_all/{size}"] = (MODALITIES, size)
        probs = {name: self._predict(*tokens[size], chosen)[0] for name, (chosen, size) in conditions.items()}
        noisy, _ = self._tokens(None, noise=True)
        self._progress("evaluating", 1.0, math.nan)
        return self._table(probs) | {"attention": self._attention(*tokens[""], noisy)}

    def _tokens(self, channels: list[int] | None, *, noise: bool = False) -> tuple[Tensor, Tensor]:
        """Return modality tokens (n, 4, d_model) and presence (n, 4) of all windows."""
        tokens, present = [], []
        for start in range(0, len(self._at), _BATCH):
            at = self._at[start : start + _BATCH]
            batch = window_input(self._network, self._rows, self._encoded, at, None, self._rng, channels)
            for modality in MODALITIES if noise else ():
                batch = replaced_by_noise(batch, modality, self._rng)
            with torch.no_grad():
                tokens.append(self._network.modality_tokens(batch))
            present.append(batch.present)
        return torch.cat(tokens), torch.cat(present)

    @torch.no_grad()
    def _predict(
        self, tokens: Tensor, present: Tensor, chosen: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return probabilities (n, n_labels) and modality attention (n, 4) from the chosen modalities."""
        mask = torch.tensor([modality in chosen for modality in MODALITIES])
        logits, attention = self._network.fusion(tokens, present & mask)
        return torch.softmax(logits, dim=-1).double().numpy(), attention.double().numpy()

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

    def _attention(self, tokens: Tensor, present: Tensor, noisy: Tensor) -> dict[str, dict[str, float]]:
        """Return, by modality, the attention's mean, SD over windows and mean change under noise."""
        whole = self._predict(tokens, present, MODALITIES)[1]
        moved = {}
        for index, modality in enumerate(MODALITIES):
            disturbed = tokens.clone()
            disturbed[:, index] = noisy[:, index]
            changed = self._predict(disturbed, present, MODALITIES)[1]
            moved[modality] = {
                "mean": float(whole[:, index].mean()),
                "sd": float(whole[:, index].std()),
                "change_by_noise": float((changed - whole)[:, index].mean()),
            }
        return moved
