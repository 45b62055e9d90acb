"""Second-order filters of the EEG that is drawn; `scipy.signal` takes 60 MB of an engine's memory.

Coefficients are those of R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients",
which for the quality factors used are Butterworth's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64  # samples that one product of matrices filters

#: Quality factors of the sections of a Butterworth filter, by its order.
BUTTERWORTH = {2: (math.sqrt(0.5),), 4: (0.5 / math.sin(math.pi / 8), 0.5 / math.cos(math.pi / 8))}


class Section:
    """One second-order filter ("highpass", "lowpass" or "notch") of channels side by side.

    It is held as a state space (A, B, C = (1, 0), D): a block's output is what its samples and the state
    before it add up to.
    """

    def __init__(self, kind: str, hz: float, q: float, sfreq: float) -> None:
        w = 2 * math.pi * hz / sfreq
        # Of a notch the width is that of the analogue filter, as SciPy's.
        cos, alpha = math.cos(w), math.tan(w / (2 * q)) if kind == "notch" else math.sin(w) / (2 * q)
        b = {
            "highpass": ((1 + cos) / 2, -(1 + cos), (1 + cos) / 2),
            "lowpass": ((1 - cos) / 2, 1 - cos, (1 - cos) / 2),
            "notch": (1.0, -2 * cos, 1.0),
        }[kind]
        (b0, b1, b2), a1, a2 = (x / (1 + alpha) for x in b), -2 * cos / (1 + alpha), (1 - alpha) / (1 + alpha)
        a, into = np.array([[-a1, 1.0], [-a2, 0.0]]), np.array([b1 - a1 * b0, b2 - a2 * b0])
        powers = [np.eye(2)]
        for _ in range(_BLOCK):
            powers.append(a @ powers[-1])
        self._powers, self._into = powers, np.array([power @ into for power in powers])  # (n, 2)
        response = np.concatenate([[b0], self._into[: _BLOCK - 1, 0]])
        at = np.arange(_BLOCK)[:, None] - np.arange(_BLOCK)
        self._response = np.where(at >= 0, response[at], 0.0)  # (n, n)
        self._from_state = np.array([power[0] for power in powers[:_BLOCK]])  # (n, 2)
        self._steady = np.linalg.solve(np.eye(2) - a, into)  # of a constant input of 1
        self._gain = b0 + self._steady[0]
        self._state = np.zeros((2, 0))

    def settle(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the state of an input that has always been ``x`` (C,); return its output."""
        self._state = self._steady[:, None] * x
        return self._gain * x

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return samples (n, C) filtered."""
        y = np.empty_like(x)
        for start in range(0, len(x), _BLOCK):
            block = x[start : start + _BLOCK]
            n = len(block)
            y[start : start + n] = self._response[:n, :n] @ block + self._from_state[:n] @ self._state
            self._state = self._powers[n] @ self._state + self._into[n - 1 :: -1].T @ block
        return y
