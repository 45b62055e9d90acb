"""Whether the modalities change together: the only sign, without labels, that anybody shows anything.

Of someone who shows none of the emotions a classifier still has answers, and sure ones. But what each
modality says then follows its own chance, while a shown emotion moves them all. So the probabilities that the
evidence of two modalities gives are correlated over the session's seconds, each about its own mean; a single
emotion that lasts does not correlate them, and nothing is known then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.mixed_part import check_numbers
from models.trust import AGREEMENT_S


class Agreement:
    """Correlation of what modalities say, over a session's seconds."""

    def __init__(self, n_modalities: int, n_labels: int, temperature: float) -> None:
        pairs = n_modalities, n_modalities
        self._temperature = temperature
        # Of each pair, over the seconds in which both are present: how many, and sums of the first's
        # probabilities, of their squares and of products with the other's.
        self._sums = {
            "n": np.zeros(pairs),
            "sum": np.zeros((*pairs, n_labels)),
            "square": np.zeros(pairs),
            "product": np.zeros(pairs),
        }

    def take(self, evidence: NDArray[np.floating], present: NDArray[np.bool_]) -> None:
        """Take a second's evidence (n_modalities, n_labels) in."""
        logits = np.asarray(evidence, dtype=np.float64) / self._temperature
        q = np.exp(logits - logits.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
        both = np.outer(present, present).astype(np.float64)
        self._sums["n"] += both
        self._sums["sum"] += both[:, :, None] * q[:, None]
        self._sums["square"] += both * (q**2).sum(axis=1)[:, None]
        self._sums["product"] += both * (q @ q.T)

    @property
    def value(self) -> float:
        """The correlation over all pairs of modalities, by their spread; NaN before `AGREEMENT_S`."""
        is_known = np.triu(self._sums["n"] >= AGREEMENT_S, 1)
        n = np.maximum(self._sums["n"], 1)
        total = self._sums["sum"]
        variance = self._sums["square"] / n - (total**2).sum(axis=2) / n**2
        covariance = self._sums["product"] / n - np.einsum("abl,bal->ab", total, total) / n**2
        spread = np.sqrt(np.maximum(variance * variance.T, 0.0))[is_known].sum()
        return float(covariance[is_known].sum() / spread) if spread > 0 else math.nan

    def state(self) -> dict[str, Any]:
        """Return the sums, for JSON."""
        return {name: array.tolist() for name, array in self._sums.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`; raises `ValueError` if it does not fit."""
        for name, own in self._sums.items():
            values = np.array(state[name], dtype=np.float64)
            check_numbers(f"agreement: {name}", values, own.shape, 0.0)
            self._sums[name] = values
