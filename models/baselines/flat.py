"""Windows as rows of numbers: standardised on the training windows, and turned into few columns."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.baselines.protocol import modality_arrays
from models.datasets.types import WindowSet

_MIN_SD = 1e-6


class FlatRows:
    """Flattened features, each with mean 0 and SD 1 over the training windows; what is NaN becomes 0.

    There are more features (3100 of EEG) than windows. All that a linear model, or the first layer of a
    network, can learn lies in the span of the training rows, so they are rotated into it: lengths and angles
    stay, and what stands perpendicular to every training row, which such a model ignores, is left out.

    Attributes
    ----------
    n_features : int
        Before the rotation.
    """

    n_features: int

    def fit(self, array: NDArray[Any]) -> Self:
        """Take scales and span from training windows (n, ...)."""
        self._shape = array.shape[1:]
        rows = _flat(array)
        known = np.isfinite(rows)
        n_known = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, rows, 0.0)
        self._mean = filled.sum(axis=0) / n_known
        variance = (np.where(known, rows - self._mean, 0.0) ** 2).sum(axis=0) / n_known
        sd = np.sqrt(variance)
        self._sd = np.where(sd > _MIN_SD, sd, np.inf)  # a constant feature becomes 0
        self.n_features = rows.shape[1]
        self._basis = None
        if len(rows) < self.n_features:
            self._basis = np.linalg.qr(self._standardised(array).T)[0]  # (n_features, n)
        return self

    def transform(self, array: NDArray[Any]) -> NDArray[np.float64]:
        """Return (n, q) of windows of the training's shape.

        Raises
        ------
        InputError
            The shape is another.
        """
        if array.shape[1:] != self._shape:
            raise InputError(
                f"expected windows of shape {self._shape} as in training, found {array.shape[1:]}",
                where="baseline",
                remedy="cut training and test windows with the same channels, features and length",
            )
        rows = self._standardised(array)
        return rows if self._basis is None else rows @ self._basis

    def _standardised(self, array: NDArray[Any]) -> NDArray[np.float64]:
        rows = _flat(array)
        return np.where(np.isfinite(rows), (rows - self._mean) / self._sd, 0.0)


def _flat(array: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(array, dtype=np.float64).reshape(len(array), -1)


class FlatWindows:
    """`FlatRows` of every modality that the training windows hold, side by side."""

    def __init__(self, train: WindowSet) -> None:
        self._flat = {name: FlatRows().fit(array) for name, array in modality_arrays(train).items()}
        self.n_features = sum(flat.n_features for flat in self._flat.values())

    def rows(self, windows: WindowSet) -> NDArray[np.float64]:
        """Return (n, q) of windows that hold what the training's held.

        Raises
        ------
        InputError
            A modality of training is missing, or a shape is another.
        """
        return np.concatenate(list(self.rows_by_modality(windows).values()), axis=1)

    def rows_by_modality(self, windows: WindowSet) -> dict[str, NDArray[np.float64]]:
        """Return (n, q) of each modality; see `rows`."""
        arrays = modality_arrays(windows)
        if missing := [name for name in self._flat if name not in arrays]:
            raise InputError(
                f"expected windows with {' and '.join(self._flat)} as in training, "
                f"found none of {' and '.join(missing)}",
                where="baseline",
                remedy="train and test on the same modalities",
            )
        return {name: flat.transform(arrays[name]) for name, flat in self._flat.items()}
