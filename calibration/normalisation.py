"""A person's own level: what their EEG and eye features are measured from.

People differ from each other by more than one person does from trial to trial. So the means are the
person's; the standard deviations stay those that the base model was trained with, whose units its weights
speak. Every trial counts the same and the quiet baseline counts as one trial more, so that neither a long
trial nor a missing step shifts the level. No label enters.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibration.rows import SLACK_S, RowTable
from calibration.types import TrialRecord
from models.config import ModelConfig
from models.features.gaze import LONG_EYE_FEATURES
from models.features.normalise import EegScale, EyeScale, Normaliser

ORIGIN = "profile"


class PersonalLevel:
    """Means by trial, from which the normaliser of any set of trials follows at once.

    Parameters
    ----------
    table : RowTable
    trials : sequence of TrialRecord
        Those that may be fitted to.
    baseline : sequence of (begin, end)
        LSL seconds, eyes open first. Only that one counts: closed eyes have no gaze and another alpha.
    base : Normaliser
        The base model's.
    config : ModelConfig
        Of the base model.
    baseline_run : int
        Of the recording that the baseline is in.
    """

    def __init__(
        self,
        table: RowTable,
        trials: Sequence[TrialRecord],
        baseline: Sequence[tuple[float, float]],
        base: Normaliser,
        config: ModelConfig,
        *,
        baseline_run: int = 1,
    ) -> None:
        self._base, self._config = base, config
        self._numbers = [trial.number for trial in trials]
        spans = [(trial.begin, trial.end, trial.run) for trial in trials]
        spans += [(*span, baseline_run) for span in list(baseline)[:1]]
        self._has_baseline = len(spans) > len(trials)
        self._eeg = torch.stack([self._eeg_mean(table, *span) for span in spans])  # (spans, C, F)
        self._eye = torch.stack([self._eye_mean(table, *span) for span in spans])  # (spans, E)

    def _inside(
        self, table: RowTable, begin: float, end: float, run: int, context_s: float
    ) -> NDArray[np.bool_]:
        """Return which rows look back ``context_s`` without leaving the span."""
        begun = table.t_end - context_s >= begin - SLACK_S
        return begun & (table.t_end <= end + SLACK_S) & (table.run == run)

    def _eeg_mean(self, table: RowTable, begin: float, end: float, run: int) -> Tensor:
        at = self._inside(table, begin, end, run, self._config.windows.eeg_step_s) & table.eeg_there
        values = np.where(table.eeg_usable[at][..., None], table.eeg[at], np.nan)
        return _nanmean(torch.from_numpy(values))

    def _eye_mean(self, table: RowTable, begin: float, end: float, run: int) -> Tensor:
        windows = self._config.windows
        values = table.eye.copy()
        long = [i for i in LONG_EYE_FEATURES if i < values.shape[1]]
        whole = self._inside(table, begin, end, run, windows.pupil_s)
        values[:, long] = np.where(whole[:, None], values[:, long], np.nan)
        at = self._inside(table, begin, end, run, windows.eye_step_s) & table.eye_there
        return _nanmean(torch.from_numpy(values[at]))

    def without(self, trials: Collection[int] = ()) -> Normaliser:
        """Return the normaliser of the baseline and all trials but these."""
        kept = [number not in trials for number in self._numbers]
        at = torch.tensor([*kept, *[True] * self._has_baseline])
        eeg, eye = self._base.eeg, self._base.eye
        if eeg is not None and not self._config.network.takes_raw_eeg:
            mean = _nanmean(self._eeg[at]).float()
            eeg = EegScale(torch.where(torch.isnan(mean), eeg.mean, mean), eeg.sd)
        if eye is not None:
            moved = torch.nan_to_num(_nanmean(self._eye[at]).float() - eye.mean, nan=0.0)
            eye = EyeScale(eye.low + moved, eye.high + moved, eye.mean + moved)
        return Normaliser(eeg, eye, ORIGIN)


def _nanmean(values: Tensor) -> Tensor:
    """Return the mean over the first axis in float64, NaN where nothing is known."""
    return torch.nanmean(values.double(), dim=0)
