"""Replaces the training statistics by those of a person's own first seconds (``--baseline S``)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from acquisition.errors import InputError
from models.features.normalise import MIN_BASELINE_STEPS, Normaliser, refit_from_baseline


class Baseline:
    """Collects features until ``duration_s`` is over, then gives the refitted normaliser once.

    Parameters
    ----------
    duration_s : float
        Seconds of data, from the first collected step.
    """

    def __init__(self, duration_s: float) -> None:
        self.duration_s = duration_s
        self._start = float("nan")
        self._entropy: list[Tensor] = []
        self._eye: list[Tensor] = []

    def add(self, t_end: float, entropy: Tensor | None = None, eye: Tensor | None = None) -> None:
        """Take a step's DE (n_all_channels, n_bands), NaN where unusable, or its eye features (E,)."""
        if not self._start <= t_end:
            self._start = t_end
        if entropy is not None:
            self._entropy.append(entropy)
        if eye is not None:
            self._eye.append(eye)

    def is_over(self, now: float) -> bool:
        """Tell whether the baseline is complete at data time ``now``."""
        return now - self._start >= self.duration_s

    def refit(self, normaliser: Normaliser) -> Normaliser:
        """Return the normaliser with this baseline in place of the training statistics.

        Raises
        ------
        InputError
            If neither modality has enough steps.
        """
        n_steps = max(len(self._entropy), len(self._eye))
        if n_steps < MIN_BASELINE_STEPS:
            raise InputError(
                f"expected at least {MIN_BASELINE_STEPS} valid steps of EEG or gaze, got {n_steps}",
                where="--baseline",
                remedy="choose a longer one, and check the EEG and eye streams",
            )
        entropy = torch.stack(self._entropy) if len(self._entropy) >= MIN_BASELINE_STEPS else None
        eye = torch.stack(self._eye) if len(self._eye) >= MIN_BASELINE_STEPS else None
        changed = refit_from_baseline(normaliser, entropy=entropy, eye=eye)
        return replace(changed, origin=f"baseline of {self.duration_s:g} s")
