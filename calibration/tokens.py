"""The subject level of EEG and eye features, by which they are normalised, and the tokens computed from them.

Subjects differ more from each other than one does from trial to trial. So the means are the subject's; the
standard deviations stay those that the base model was trained with: its weights expect their scale. Every
trial counts the same and the baseline counts as one more trial, so that neither a long trial nor a missing
step shifts the level. No label enters.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from acquisition.windowing import EDGE_SLACK_S, holds_enough
from calibration.rows import RowTable, faces_a_second
from calibration.types import SessionRecord, TrialRecord
from models.checkpoint import Checkpoint
from models.config import ModelConfig
from models.features.gaze import LONG_EYE_FEATURES
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.window_batch import (
    NetworkInput,
    StepRows,
    WindowSteps,
    batch_of,
    eeg_part,
    eye_part,
    face_part,
    present_in,
    voice_part,
)

ORIGIN = "profile"


class SubjectLevel:
    """Means by trial, from which the normaliser of any set of trials follows at once.

    ``baseline`` holds (begin, end) in LSL seconds, eyes open first. Only that one counts: closed eyes have no
    gaze and more alpha. ``base`` and ``config`` are the base model's.
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
        begun = table.t_end - context_s >= begin - EDGE_SLACK_S
        return begun & (table.t_end <= end + EDGE_SLACK_S) & (table.run == run)

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
            eeg = eeg.centred_on(_nanmean(self._eeg[at]).float())
        if eye is not None:
            eye = eye.centred_on(_nanmean(self._eye[at]).float())
        return replace(self._base, eeg=eeg, eye=eye, origin=ORIGIN)


def _nanmean(values: Tensor) -> Tensor:
    """Return the mean over the first axis in float64, NaN where nothing is known."""
    return torch.nanmean(values.double(), dim=0)


_BATCH = 64  # one size, because it changes the last bits


_NORMALISED = ("eeg", "eye")  # their tokens depend on the normaliser


class TrialTokens(NamedTuple):
    """The fusion's input of n windows."""

    tokens: Tensor  # (n, 4, d_model), 0 for a modality that is not encoded
    present: Tensor  # (n, 4) bool
    t_end: NDArray[np.float64]  # (n,) LSL seconds
    trial: NDArray[np.int64]  # (n,) number of the trial


class TrialWindows:
    """Windows that end at the whole seconds of some trials, before normalisation.

    Windows of a trial are ``every_s`` seconds apart; the last second always has one. They hold nothing that
    began before their trial.

    Attributes
    ----------
    t_end, trial : ndarray, (n,)
        End of each window and number of its trial. A window without any modality is omitted.
    present : Tensor, (n, 4), bool
        Of all modalities, before any consent.
    """

    def __init__(
        self, table: RowTable, trials: Sequence[TrialRecord], config: ModelConfig, *, every_s: int = 1
    ) -> None:
        self.config, windows = config, config.windows
        seconds = _seconds(table, trials)
        rows = table.select(seconds["row"])
        self._channels = torch.from_numpy(table.positions if len(table.positions) else np.zeros(1, np.int64))
        self._voice_times = torch.from_numpy(table.voice_times)
        self._clip_age = torch.from_numpy(seconds["t_end"] - (seconds["t_end"] - rows.voice_clip_s))
        self._steps = self._step_rows(rows, seconds)
        least_s = windows.min_valid_steps * windows.eeg_shift_s
        ends = np.flatnonzero((seconds["to_end"] % every_s == 0) & (seconds["age"] > least_s - EDGE_SLACK_S))
        cut = self._cut(ends)
        valid = {modality: steps.step_mask.numpy() for modality, steps in cut.items()}
        valid["eeg"] = valid["eeg"][:, -windows.eeg_n_steps :]  # left context does not count
        enough = np.stack([holds_enough(m, valid[m], windows) for m in MODALITIES], axis=1)
        present = torch.from_numpy(enough) & present_in(self._batch(ends, cut, Normaliser()), config)
        kept = present.any(dim=1)
        self.present, self._ends = present[kept], ends[kept.numpy()]
        self.t_end, self.trial = seconds["t_end"][self._ends], seconds["trial"][self._ends]

    def __len__(self) -> int:
        return len(self.trial)

    def _step_rows(self, rows: RowTable, seconds: NDArray[np.void]) -> dict[str, StepRows]:
        """Return the steps by modality; valid are those that began inside their trial."""
        windows, age, channels = self.config.windows, seconds["age"], self._channels.numpy()
        n_faces = faces_a_second(self.config)
        face_age = age[:, None] - windows.face_grid_s * np.arange(n_faces - 1, -1, -1)
        is_long = np.isin(np.arange(rows.eye.shape[1]), LONG_EYE_FEATURES)
        is_whole = (age >= windows.pupil_s - EDGE_SLACK_S)[:, None] | ~is_long
        eeg, eeg_usable = rows.eeg[:, channels], rows.eeg_usable[:, channels]
        eye_usable = np.isfinite(rows.eye) & is_whole
        face, has_face = rows.face.reshape(-1, rows.face.shape[2]), rows.face_found.reshape(-1, 1)
        clip_s = rows.voice_clip_s  # a token depends on all of its clip

        def steps(
            values: NDArray[Any], usable: NDArray[Any], there: NDArray[Any], begun_s: NDArray[Any], n: int = 1
        ) -> StepRows:
            valid = (there & (begun_s >= -EDGE_SLACK_S)).reshape(-1)
            return StepRows(seconds["first"], torch.from_numpy(values), torch.from_numpy(usable), valid, n)

        return {
            "eeg": steps(eeg, eeg_usable, rows.eeg_there, age - windows.eeg_step_s),
            "eye": steps(rows.eye, eye_usable, rows.eye_there, age - windows.eye_step_s),
            "face": steps(face, has_face, rows.face_there, face_age - windows.face_grid_s, n_faces),
            "voice": steps(rows.voice, rows.voice_mask, clip_s > 0, age - clip_s),
        }

    # --- the network's input ---

    def inputs(
        self, normaliser: Normaliser, modalities: Collection[str] = MODALITIES, at: slice = slice(None)
    ) -> NetworkInput:
        """Return windows as the network takes them; a modality not among ``modalities`` is absent."""
        ends = self._ends[at]
        batch = self._batch(ends, self._cut(ends), normaliser)
        allowed = [m in modalities and m in self.config.modalities for m in MODALITIES]
        batch.present = self.present[at] & torch.tensor(allowed)
        return batch

    @property
    def _face_ages(self) -> Tensor:
        """Seconds from each frame of a window to its end, oldest first."""
        windows = self.config.windows
        n_frames = round(windows.face_s / windows.face_grid_s)
        return torch.from_numpy(windows.face_grid_s * np.arange(n_frames - 1, -1, -1)).float()

    def _cut(self, ends: NDArray[np.intp]) -> dict[str, WindowSteps]:
        windows = self.config.windows
        n_steps = self.config.n_eeg_steps, windows.eye_n_steps, len(self._face_ages), 1
        return {m: self._steps[m].cut(ends, n) for m, n in zip(MODALITIES, n_steps, strict=True)}

    def _batch(
        self, ends: NDArray[np.intp], cut: Mapping[str, WindowSteps], normaliser: Normaliser
    ) -> NetworkInput:
        config, n, (eeg, eye, face, voice) = self.config, len(ends), (cut[m] for m in MODALITIES)
        parts = [
            eeg_part(eeg.values, eeg.usable, self._channels, config, normaliser, eeg.step_mask),
            eye_part(eye.values, eye.usable, normaliser, eye.step_mask),
            face_part(face.values, face.usable[..., 0], self._face_ages.repeat(n, 1)),
        ]
        if len(self._voice_times):
            clip = voice.values[:, 0], voice.usable[:, 0]
            parts.append(voice_part(*clip, self._voice_times, self._clip_age[ends]))
        return batch_of(n, config, *parts)


#: Of a trial's whole seconds: the trial's first among all, its number, the row, the end in LSL seconds,
#: seconds since the trial's begin (-inf without a row: nothing counts as inside), and to its last second.
_SECOND = np.dtype("p, q, p, d, d, d")
_SECOND.names = ("first", "trial", "row", "t_end", "age", "to_end")


def _seconds(table: RowTable, trials: Sequence[TrialRecord]) -> NDArray[np.void]:
    """Return the whole seconds of all trials that have rows, one trial after the other."""
    keys = zip(table.run.tolist(), table.t_end.tolist(), strict=True)
    row_at = {key: at for at, key in enumerate(keys)}
    found: list[tuple[float, ...]] = []
    for trial in trials:
        ends = np.arange(np.ceil(trial.begin - EDGE_SLACK_S), np.floor(trial.end + EDGE_SLACK_S) + 1).tolist()
        rows = [row_at.get((trial.run, end), -1) for end in ends]
        if max(rows, default=-1) >= 0:
            of_trial = len(found), trial.number
            for row, end in zip(rows, ends, strict=True):
                age = end - trial.begin if row >= 0 else -math.inf
                found.append((*of_trial, row, end, age, ends[-1] - end))
    return np.array(found, dtype=_SECOND)


@torch.no_grad()
def modality_tokens(
    network: FusionNetwork,
    windows: TrialWindows,
    normaliser: Normaliser,
    modalities: Collection[str] = MODALITIES,
    *,
    known: TrialTokens | None = None,
) -> TrialTokens:
    """Return the frozen encoders' tokens of trials' windows.

    ``modalities`` are those of the consent; others are masked. ``known`` are tokens of the same windows and
    modalities with another normaliser: faces and voice are taken from it. A network after `prepare_inference`
    serves one thread at a time: while a decoder runs it, another thread takes a copy.
    """
    only = [m for m in modalities if known is None or m in _NORMALISED]
    tokens, present = [], []
    for start in range(0, len(windows), _BATCH):
        inputs = windows.inputs(normaliser, modalities, slice(start, start + _BATCH))
        tokens.append(network.modality_tokens(inputs, only))
        present.append(network.presence(inputs))
    if not tokens:
        d_model = network.config.network.fusion.d_model
        none = torch.zeros(0, len(MODALITIES), dtype=torch.bool)
        return TrialTokens(torch.zeros(0, len(MODALITIES), d_model), none, windows.t_end, windows.trial)
    result = torch.cat(tokens)
    if known is not None:
        others = [i for i, modality in enumerate(MODALITIES) if modality not in _NORMALISED]
        result[:, others] = known.tokens[:, others]
    return TrialTokens(result, torch.cat(present), windows.t_end, windows.trial)


#: Neighbouring windows share most of their seconds: twice as many take twice as long and teach nothing.
WINDOWS_A_TRIAL = 8


class SessionTokens:
    """A `calibration.crossvalidation.TokenSource` over the rows of a session.

    Of the record, only the baseline is used. The base model's network is used by this thread alone. A trial
    has about ``windows_a_trial`` windows, evenly spread.
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
        self._level = SubjectLevel(
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
