"""The modality tokens of a session's trials, encoded anew for every set of trials that may set the level."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from calibration.normalisation import PersonalLevel
from calibration.rows import RowTable
from calibration.tokens import TrialTokens, TrialWindows, modality_tokens
from calibration.types import SessionRecord, TrialRecord
from models.checkpoint import Checkpoint
from models.features.normalise import Normaliser

#: Neighbouring windows share most of their seconds: twice as many take twice as long and teach nothing.
WINDOWS_A_TRIAL = 8


class SessionTokens:
    """A `calibration.crossvalidation.TokenSource` over the rows of a session.

    Parameters
    ----------
    rows : RowTable
    record : SessionRecord
        For its baseline.
    trials : sequence of TrialRecord
        Those of the fit.
    base : Checkpoint
        Its network is used by this thread alone.
    modalities : collection of str
    windows_a_trial : int
        About so many, evenly spread.
    """

    def __init__(
        self,
        rows: RowTable,
        record: SessionRecord,
        trials: Sequence[TrialRecord],
        base: Checkpoint,
        modalities: Collection[str],
        *,
        windows_a_trial: int = WINDOWS_A_TRIAL,
    ) -> None:
        self._network, self._modalities = base.network.prepare_inference(), tuple(modalities)
        longest_s = max((trial.end - trial.begin for trial in trials), default=0.0)
        every_s = max(1, math.ceil(longest_s / windows_a_trial))
        self._windows = TrialWindows(rows, trials, base.config, every_s=every_s)
        self._level = PersonalLevel(
            rows,
            trials,
            record.baseline,
            Normaliser.from_dict(base.normaliser_tensors),
            base.config,
            baseline_run=record.baseline_run,
        )
        self._known: TrialTokens | None = None
        begin = {trial.number: trial.begin for trial in trials}
        onset = np.array([begin[int(number)] for number in self._windows.trial])
        #: Seconds from the stimulus's onset to each window's end, (n,).
        self.since_onset_s: NDArray[np.float64] = self._windows.t_end - onset

    @property
    def trial(self) -> NDArray[np.int64]:
        """Number of each window's trial, (n,)."""
        return self._windows.trial

    def normaliser(self, without: Collection[int] = ()) -> Normaliser:
        """Return the level of the baseline and all trials but these."""
        return self._level.without(without)

    def without(self, trials: Collection[int]) -> tuple[Tensor, Tensor]:
        """Return tokens (n, 4, d_model) and presence (n, 4), normalised without some trials."""
        found = self.encoded(self.normaliser(trials))
        return found.tokens, found.present

    def encoded(self, normaliser: Normaliser) -> TrialTokens:
        """Return the windows' tokens with any normaliser; faces and voices are pooled once only."""
        found = modality_tokens(self._network, self._windows, normaliser, self._modalities, known=self._known)
        if self._known is None:
            self._known = found
        return found
