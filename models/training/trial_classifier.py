"""A classifier of labelled trials: network, normalisation, and what it answers to trials of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from acquisition.types import MODALITIES
from models.config import ModelConfig
from models.datasets.types import Trial
from models.features.normalise import Normaliser
from models.network import FusionNetwork
from models.training.finetune_tokens import ENCODE_BATCH, FrozenTokens
from models.training.scores import Predictions
from models.training.trial_tensors import TrialTensors, cut_for


@dataclass(frozen=True, eq=False)
class TrialClassifier:
    """A network that reads EEG and eye features of trials, and the statistics they are scaled by."""

    config: ModelConfig
    network: FusionNetwork  # on the CPU, prepared for inference
    normaliser: Normaliser

    def predict(
        self,
        trials: Sequence[Trial],
        modalities: Sequence[str] | None = None,
        *,
        mask: float = 0.0,
        max_per_trial: int | None = None,
        seed: int = 1,
        same_channels: bool = False,
    ) -> Predictions:
        """Return the probabilities of all windows of some trials.

        Parameters
        ----------
        trials : sequence of Trial
        modalities : sequence of str, optional
            Take any other for absent.
        mask : float
            Share of the EEG channels hidden in each window.
        max_per_trial : int, optional
            See `models.datasets.windows.cut_windows`.
        seed : int
            Of the hidden channels.
        same_channels : bool
            Hide the same channels in all windows. Where each hides others, a trial's mean has seen nearly
            all of them.
        """
        windows = cut_for(self.config, trials, max_per_trial=max_per_trial)
        tensors = TrialTensors(
            windows,
            trials[0].ch_names,
            self.config,
            self.normaliser,
            mask=mask,
            seed=seed,
            same_channels=same_channels,
        )
        wanted = torch.tensor([modalities is None or m in modalities for m in MODALITIES])
        source, parts = FrozenTokens(self.network, tensors), []
        with torch.no_grad():
            for start in range(0, len(tensors), ENCODE_BATCH):
                tokens, present = source(np.arange(start, min(start + ENCODE_BATCH, len(tensors))))
                logits, _ = self.network.fusion(tokens, present & wanted)
                parts.append(torch.softmax(logits, dim=-1).double().numpy())
        return Predictions.of(np.concatenate(parts), windows)
