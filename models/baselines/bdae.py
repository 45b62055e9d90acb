"""Bimodal deep autoencoder: two encoders, one joint code, both modalities reconstructed from it.

In the MMV-SSTMA paper's Table 2, taken from Liu et al. (2021) after Ngiam et al. (2011): the network learns
without labels to rebuild both modalities from the joint code, then a linear SVM learns the labels on the
code. Sizes and optimiser are inferred, and so is that all layers train together: the original stacks
restricted Boltzmann machines first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.baselines.flat import FlatWindows
from models.baselines.protocol import trial_ids
from models.baselines.svm import TunedSvm
from models.datasets.types import WindowSet


@dataclass(frozen=True)
class BdaeConfig:
    """Sizes of the autoencoder and how it trains."""

    n_hidden: int = 100  # of each encoder and decoder
    n_code: int = 50
    epochs: int = 60
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4


class BimodalAutoencoder(nn.Module):
    """Encoders to a joint code and decoders back, one of each a modality."""

    def __init__(self, n_features: Mapping[str, int], config: BdaeConfig) -> None:
        super().__init__()
        hidden, code = config.n_hidden, config.n_code
        self.encoders = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(n, hidden), nn.Tanh()) for m, n in n_features.items()}
        )
        self.joint = nn.Sequential(nn.Linear(hidden * len(n_features), code), nn.Tanh())
        self.decoders = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(code, hidden), nn.Tanh(), nn.Linear(hidden, n))
                for m, n in n_features.items()
            }
        )

    def encode(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the joint code (B, n_code) of features (B, n_features) by modality."""
        return self.joint(torch.cat([self.encoders[m](features[m]) for m in self.encoders], dim=1))

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return every modality rebuilt from the joint code."""
        code = self.encode(features)
        return {m: decoder(code) for m, decoder in self.decoders.items()}

    def loss(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the sum over modalities of the squared error as a share of the features' size."""
        rebuilt = self(features)
        errors = [
            (rebuilt[m] - features[m]).square().mean() / features[m].square().mean().clamp_min(1e-12)
            for m in self.decoders
        ]
        return torch.stack(errors).sum()


class BdaeClassifier:
    """The autoencoder and a `TunedSvm` on its joint code.

    The same seed and thread count give the same weights.
    """

    def __init__(self, n_labels: int, seed: int = 0, config: BdaeConfig | None = None) -> None:
        self._config, self._seed = config or BdaeConfig(), seed
        self._svm = TunedSvm(n_labels, seed)

    def fit(self, train: WindowSet) -> Self:
        """Train the autoencoder, then the SVM; see `models.baselines.protocol.Classifier`."""
        self._flat = FlatWindows(train)
        features = self._features(train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._network = BimodalAutoencoder({m: x.shape[1] for m, x in features.items()}, self._config)
        self._train(features)
        self._svm.fit(self._code(train), train.label, trial_ids(train))
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return probabilities (n, n_labels)."""
        return self._svm.predict_proba(self._code(test))

    def _train(self, features: Mapping[str, Tensor]) -> None:
        config = self._config
        n = len(next(iter(features.values())))
        order = torch.Generator().manual_seed(self._seed)
        optimiser = torch.optim.AdamW(
            self._network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        for _ in range(config.epochs):
            for at in torch.randperm(n, generator=order).split(config.batch_size):
                optimiser.zero_grad()
                self._network.loss({m: x[at] for m, x in features.items()}).backward()
                optimiser.step()

    @torch.no_grad()
    def _code(self, windows: WindowSet) -> NDArray[np.float64]:
        return self._network.encode(self._features(windows)).double().numpy()

    def _features(self, windows: WindowSet) -> dict[str, Tensor]:
        rows = self._flat.rows_by_modality(windows)
        return {m: torch.from_numpy(x).float() for m, x in rows.items()}
