"""Second-order filters of the EEG that is drawn; `scipy.signal` takes 60 MB of an engine's memory.

Coefficients are those of R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter coefficients",
which for the quality factors used are Butterworth's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Quality factors of the sections of a Butterworth filter, by its order.
BUTTERWORTH = {2: (math.sqrt(0.5),), 4: (0.5 / math.sin(math.pi / 8), 0.5 / math.cos(math.pi / 8))}


class Section:
    """One second-order filter ("highpass", "lowpass" or "notch") of channels side by side.

    Sample by sample, in the transposed direct form II: what is drawn does not depend, to the last bit, on the
    pieces in which the samples come.
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
        self._b = [x / (1 + alpha) for x in b]
        self._a = -2 * cos / (1 + alpha), (1 - alpha) / (1 + alpha)
        self._gain = sum(self._b) / (1 + sum(self._a))  # of a constant input
        self._state: tuple[NDArray[np.float64], NDArray[np.float64]] = (np.zeros(0), np.zeros(0))

    def settle(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take the state of an input that has always been ``x`` (C,); return its output."""
        (b0, _, b2), (_, a2) = self._b, self._a
        self._state = (self._gain - b0) * x, (b2 - a2 * self._gain) * x
        return self._gain * x

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return samples (n, C) filtered."""
        (a1, a2), (first, second) = self._a, self._state
        y, x1, x2 = (b * x for b in self._b)
        for now, late, later in zip(y, x1, x2, strict=True):
            now += first
            first = late - a1 * now + second
            second = later - a2 * now
        self._state = first, second
        return y
