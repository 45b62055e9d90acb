"""The other classifiers of the MMV-SSTMA paper's Table 2, after Liu et al. (2021): MAX, fuzzy integral, BDAE.

MAX and fuzzy integral put the decisions of one linear SVM a modality together by a rule; the SVMs are
`TunedSvm`, whose probabilities are calibrated on training trials, as both rules compare them. The bimodal
deep autoencoder (Ngiam et al. 2011) learns without labels to rebuild both modalities from a joint code, then
a linear SVM learns the labels on the code. Its sizes and optimiser are inferred, and so is that all layers
train together: the original stacks restricted Boltzmann machines first.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor, nn

from models import baselines
from models.datasets.trials import WindowSet
from models.training.loop import train_steps
from models.training.scores import trial_ids

_DENSITY_LIMITS = (0.01, 0.99)


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
        self.encoders = nn.ModuleDict()
        for m, n in n_features.items():
            self.encoders[m] = nn.Sequential(nn.Linear(n, hidden), nn.Tanh())
        self.joint = nn.Sequential(nn.Linear(hidden * len(n_features), code), nn.Tanh())
        self.decoders = nn.ModuleDict()
        for m, n in n_features.items():
            self.decoders[m] = nn.Sequential(nn.Linear(code, hidden), nn.Tanh(), nn.Linear(hidden, n))

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
    """The autoencoder and a `TunedSvm` on its joint code; the same seed gives the same weights."""

    def __init__(self, n_labels: int, seed: int = 0, config: BdaeConfig | None = None) -> None:
        self._config, self._seed = config or BdaeConfig(), seed
        self._svm = baselines.TunedSvm(n_labels, seed)

    def fit(self, train: WindowSet) -> Self:
        """Train the autoencoder, then the SVM; see `models.baselines.Classifier`."""
        self._flat = baselines.FlatWindows(train)
        features = self._features(train)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            self._network = BimodalAutoencoder({m: x.shape[1] for m, x in features.items()}, self._config)
        self._train(features)
        self._svm.fit(self._code(train), train.label, trial_ids(train))
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        return self._svm.predict_proba(self._code(test))

    def _train(self, features: Mapping[str, Tensor]) -> None:
        config, n = self._config, len(next(iter(features.values())))
        order, trained = torch.Generator().manual_seed(self._seed), self._network.parameters()
        optimiser = torch.optim.AdamW(trained, config.learning_rate, weight_decay=config.weight_decay)
        batches = (
            {m: x[at] for m, x in features.items()}
            for _ in range(config.epochs)
            for at in torch.randperm(n, generator=order).split(config.batch_size)
        )
        for _ in train_steps(optimiser, batches, self._network.loss):
            pass

    @torch.no_grad()
    def _code(self, windows: WindowSet) -> NDArray[np.float64]:
        return self._network.encode(self._features(windows)).double().numpy()

    def _features(self, windows: WindowSet) -> dict[str, Tensor]:
        rows = self._flat.rows_by_modality(windows)
        return {m: torch.from_numpy(x).float() for m, x in rows.items()}


class _OnePerModality:
    """A `TunedSvm` on each modality of training."""

    def __init__(self, n_labels: int, seed: int = 0) -> None:
        self._n_labels, self._seed = n_labels, seed

    def fit(self, train: WindowSet) -> Self:
        """Train each modality's classifier."""
        self._flat = baselines.FlatWindows(train)
        self._svms = {
            name: baselines.TunedSvm(self._n_labels, self._seed).fit(rows, train.label, trial_ids(train))
            for name, rows in self._flat.rows_by_modality(train).items()
        }
        return self

    def _scores(self, test: WindowSet) -> NDArray[np.float64]:
        """Return probabilities (modalities, n, n_labels)."""
        rows = self._flat.rows_by_modality(test)
        return np.stack([svm.predict_proba(rows[name]) for name, svm in self._svms.items()])


class MaxClassifier(_OnePerModality):
    """MAX: the class with the largest probability over the modalities' classifiers."""

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return each class's largest probability, made to sum to 1 (n, n_labels)."""
        return _to_one(self._scores(test).max(axis=0))


class FuzzyIntegralClassifier(_OnePerModality):
    """Fuzzy integral: each class's Choquet integral of the modalities' probabilities.

    The measure is a Sugeno λ-measure. The density of a modality is the accuracy of its classifier on training
    held-out training trials [inferred: the accuracy on the very windows it was trained on is 1 with
    more features than windows, and has no meaning].
    """

    def fit(self, train: WindowSet) -> Self:
        """Train the classifiers, take densities from their accuracy and solve for λ."""
        super().fit(train)
        accuracies = [svm.accuracy for svm in self._svms.values()]
        self.densities = [float(np.clip(accuracy, *_DENSITY_LIMITS)) for accuracy in accuracies]
        return self

    def predict_proba(self, test: WindowSet) -> NDArray[np.float64]:
        """Return the integrals, made to sum to 1 (n, n_labels)."""
        return _to_one(choquet(self._scores(test), self.densities))


def choquet(scores: NDArray[np.float64], densities: Sequence[float]) -> NDArray[np.float64]:
    """Return the Choquet integral of scores over their first axis under a λ-measure.

    With scores sorted h(1) ≥ h(2) ≥ ... ≥ 0 and A(i) the sources of the first i, it is the sum of
    (h(i) - h(i+1)) g(A(i)), where g(A ∪ {j}) = g(A) + g_j + λ g(A) g_j, g of all sources is 1, and the
    densities are g_j of each source alone, between 0 and 1.
    """
    lam = sugeno_lambda(densities)
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    steps = ranked - np.concatenate([ranked[1:], np.zeros_like(ranked[:1])])
    density = np.asarray(densities)[order]  # of each rank's source
    measure, total = np.zeros(scores.shape[1:]), np.zeros(scores.shape[1:])
    for rank in range(len(scores)):
        measure = measure + density[rank] + lam * measure * density[rank]
        total += steps[rank] * (measure if rank < len(scores) - 1 else 1.0)
    return total


def sugeno_lambda(densities: Sequence[float]) -> float:
    """Return the λ > -1 with Π (1 + λ g_j) = 1 + λ; 0 where the densities sum to 1."""
    g = np.asarray(densities, dtype=np.float64)
    excess = g.sum() - 1.0
    if len(g) < 2 or abs(excess) < 1e-9:
        return 0.0

    def without_root_at_0(lam: float) -> float:
        return float((np.prod(1 + lam * g) - 1) / lam - 1)

    if excess > 0:
        return float(brentq(without_root_at_0, -1 + 1e-12, -1e-12))
    upper = 1.0
    while without_root_at_0(upper) < 0:
        upper *= 2
    return float(brentq(without_root_at_0, 1e-12, upper))


def _to_one(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores / scores.sum(axis=-1, keepdims=True)


#: (n_labels, seed) -> a classifier to fit. All take EEG, eye features or both, whatever the windows hold; for
#: one modality alone give `dataclasses.replace(windows, eye=None)`.
BASELINES: dict[str, Callable[[int, int], baselines.Classifier]] = {
    "majority": baselines.MajorityClassifier,
    "lda": baselines.LdaClassifier,
    "svm": baselines.SvmClassifier,
    "max": MaxClassifier,
    "fuzzy": FuzzyIntegralClassifier,
    "bdae": BdaeClassifier,
}
