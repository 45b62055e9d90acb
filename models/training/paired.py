"""Differences between two results of the same people, and the interval of their mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student


def paired_interval(differences: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Return the t interval of the mean of paired differences (Student 1908); None for fewer than two."""
    n = len(differences)
    if n < 2:
        return None
    mean, sd = float(np.mean(differences)), float(np.std(differences, ddof=1))
    half = float(student.ppf(0.5 + level / 2, n - 1)) * sd / math.sqrt(n)
    return mean - half, mean + half
