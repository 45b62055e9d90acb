"""What a whole model, the base or a personal one, says of trials whose rows are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from calibration.rows import RowTable
from calibration.tokens import TrialWindows, modality_tokens
from calibration.types import TrialRecord
from models.checkpoint import Checkpoint
from models.features.normalise import Normaliser


@torch.no_grad()
def window_log_probs(model: Checkpoint, windows: TrialWindows) -> NDArray[np.float64]:
    """Return the log-probabilities (n, n_labels) of the model's own labels for each window."""
    normaliser = Normaliser.from_dict(model.normaliser_tensors)
    given = modality_tokens(model.network, windows, normaliser, model.config.modalities)
    logits, _ = model.network.fusion(given.tokens, given.present)
    return torch.log_softmax(logits.double(), dim=-1).numpy()


def named_trials(
    model: Checkpoint, rows: RowTable, trials: Sequence[TrialRecord]
) -> tuple[list[int], list[int]]:
    """Return the true class of each trial and the one that a model names, as indices of its labels.

    A trial is named by the mean of its windows' log-probabilities; one without a window is left out.
    """
    windows = TrialWindows(rows, trials, model.config)
    log_probs = window_log_probs(model, windows)
    true, said = [], []
    for trial in trials:
        inside = windows.trial == trial.number
        if inside.any():
            true.append(model.config.labels.index(trial.emotion))
            said.append(int(log_probs[inside].mean(axis=0).argmax()))
    return true, said
