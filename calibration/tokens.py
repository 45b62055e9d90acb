"""The subject level of EEG and eye features, by which they are normalised, and the tokens computed from them.

Subjects differ more from each other than one does from trial to trial. So the means are the subject's; the
standard deviations stay those that the base model was trained with: its weights expect their scale. Every
trial counts the same and the baseline counts as one more trial, so that neither a long trial nor a missing
step shifts the level. No label enters.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from acquisition.windowing import EDGE_SLACK_S
from calibration.rows import RowTable, faces_a_second
from calibration.types import SessionRecord, TrialRecord
from models.checkpoint import Checkpoint
from models.config import ModelConfig
from models.features.gaze import LONG_EYE_FEATURES
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.window_batch import (
    NetworkInput,
    Part,
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
        return Normaliser(eeg, eye, ORIGIN)


def _nanmean(values: Tensor) -> Tensor:
    """Return the mean over the first axis in float64, NaN where nothing is known."""
    return torch.nanmean(values.double(), dim=0)


_BATCH = 64  # one size, because it changes the last bits


class _Steps(NamedTuple):
    """Raw features of the steps of n windows, as `models.window_batch.normalised_steps` takes them."""

    values: Tensor
    usable: Tensor
    step_mask: Tensor

    def at(self, windows: Tensor | slice) -> _Steps:
        return _Steps(*(tensor[windows] for tensor in self))


_NORMALISED = ("eeg", "eye")  # their tokens depend on the normaliser


class TrialTokens(NamedTuple):
    """The fusion's input of n windows."""

    tokens: Tensor  # (n, 4, d_model), 0 for a modality that is not encoded
    present: Tensor  # (n, 4) bool
    t_end: NDArray[np.float64]  # (n,) LSL seconds
    trial: NDArray[np.int64]  # (n,) number of the trial


class TrialWindows:
    """Windows that end at the whole seconds of some trials, before normalisation.

    Windows of a trial are ``every_s`` seconds apart; the last second always has one.

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
        self.config = config
        self._table = table
        keys = zip(table.run.tolist(), table.t_end.tolist(), strict=True)
        self._row_at = {key: at for at, key in enumerate(keys)}
        rows, self._begin, self.trial = self._windows(trials, every_s)
        self._run, self.t_end = table.run[rows], table.t_end[rows]
        self._positions = torch.from_numpy(table.positions if len(table.positions) else np.zeros(1, np.int64))
        self._eeg, self._eye = self._eeg_steps(), self._eye_steps()
        self._face, has_frames = self._face_tokens()
        self._voice, has_clip = self._voice_tokens(rows)
        enough = (self._enough(self._eeg), self._enough(self._eye), has_frames, has_clip)
        present = torch.stack(enough, dim=1) & present_in(self._batch(Normaliser(), slice(None)), config)
        kept = present.any(dim=1)
        self.present, self._eeg, self._eye = present[kept], self._eeg.at(kept), self._eye.at(kept)
        self.trial, self.t_end = self.trial[kept.numpy()], self.t_end[kept.numpy()]
        self._face, self._voice = (
            {name: values[kept] for name, values in part.items()} for part in (self._face, self._voice)
        )

    def __len__(self) -> int:
        return len(self.trial)

    def _windows(
        self, trials: Sequence[TrialRecord], every_s: int
    ) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.int64]]:
        """Return row, onset and trial of each window: those with the least number of steps behind them."""
        found = []
        least_s = self.config.windows.min_valid_steps * self.config.windows.eeg_shift_s
        for trial in trials:
            ends = np.arange(
                np.floor(trial.end + EDGE_SLACK_S), trial.begin + least_s - EDGE_SLACK_S, -every_s
            )
            at = [self._row_at.get((trial.run, float(end)), -1) for end in ends[::-1]]
            found += [(row, trial.begin, trial.number) for row in at if row >= 0]
        columns = list(zip(*found, strict=True)) if found else [(), (), ()]
        return (
            np.array(columns[0], dtype=np.intp),
            np.array(columns[1], dtype=np.float64),
            np.array(columns[2], dtype=np.int64),
        )

    def _back(self, n_steps: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return rows (n, T) of the last seconds, oldest first, -1 for none, and where they end."""
        ends = self.t_end[:, None] - np.arange(n_steps - 1, -1, -1)
        at = [
            [self._row_at.get((run, end), -1) for end in row]
            for run, row in zip(self._run.tolist(), ends.tolist(), strict=True)
        ]
        return np.array(at, dtype=np.intp).reshape(ends.shape), ends

    # --- by modality: what the windows hold, and for faces and voice where that is enough (n,) ---

    def _eeg_steps(self) -> _Steps:
        table, config = self._table, self.config
        positions = self._positions.numpy()  # NumPy takes a tensor of one for a number, and drops the axis
        back, ends = self._back(config.n_eeg_steps)
        inside = ends - config.windows.eeg_step_s >= self._begin[:, None] - EDGE_SLACK_S
        steps = torch.from_numpy((back >= 0) & table.eeg_there[back] & inside)  # (n, T)
        values = torch.from_numpy(table.eeg[back][:, :, positions])  # (n, T, C, F)
        usable = torch.from_numpy(table.eeg_usable[back][:, :, positions]) & steps[..., None]
        return _Steps(values, usable, steps)

    def _eye_steps(self) -> _Steps:
        table, config = self._table, self.config
        back, ends = self._back(config.windows.eye_n_steps)
        age = ends - self._begin[:, None]
        inside = age >= config.windows.eye_step_s - EDGE_SLACK_S
        steps = torch.from_numpy((back >= 0) & table.eye_there[back] & inside)
        values = torch.from_numpy(table.eye[back])  # (n, T, E)
        is_long = torch.zeros(values.shape[2], dtype=torch.bool)
        is_long[[i for i in LONG_EYE_FEATURES if i < values.shape[2]]] = True
        is_whole = torch.from_numpy(age >= config.windows.pupil_s - EDGE_SLACK_S)
        usable = torch.isfinite(values) & steps[..., None] & (is_whole[..., None] | ~is_long)
        return _Steps(values, usable, steps)

    def _enough(self, steps: _Steps) -> Tensor:
        """Return the windows (n,) whose newest step and enough others are valid, left context apart."""
        n_steps = self.config.windows.eeg_n_steps if steps is self._eeg else steps.step_mask.shape[1]
        valid = steps.step_mask[:, -n_steps:]
        return (valid.sum(dim=1) >= min(self.config.windows.min_valid_steps, n_steps)) & valid[:, -1]

    def _face_tokens(self) -> tuple[Part, Tensor]:
        table, windows = self._table, self.config.windows
        n_frames, a_second = round(windows.face_s / windows.face_grid_s), faces_a_second(self.config)
        back, _ = self._back(-(-n_frames // a_second))
        ages = windows.face_grid_s * np.arange(n_frames - 1, -1, -1)
        begun = self.t_end[:, None] - ages - windows.face_grid_s
        inside = (begun >= self._begin[:, None] - EDGE_SLACK_S) & np.repeat(back >= 0, a_second, axis=1)[
            :, -n_frames:
        ]
        n = len(back)
        n_cut = back.shape[1] * a_second
        there = torch.from_numpy(table.face_there[back].reshape(n, n_cut)[:, -n_frames:] & inside)
        mask = torch.from_numpy(table.face_found[back].reshape(n, n_cut)[:, -n_frames:] & inside)
        tokens = torch.from_numpy(table.face[back].reshape(n, n_cut, table.face.shape[2])[:, -n_frames:])
        part = face_part(tokens, mask, torch.from_numpy(ages).float().repeat(n, 1))
        return part, (there.sum(dim=1) >= windows.face_min_frames) & there[:, -1]

    def _voice_tokens(self, rows: NDArray[np.intp]) -> tuple[Part, Tensor]:
        """Return the clips' tokens; a token depends on all of its clip, so the whole clip must be inside."""
        table, clip_s = self._table, self._table.voice_clip_s[rows]
        start = self.t_end - clip_s
        there = torch.from_numpy((clip_s > 0) & (start >= self._begin - EDGE_SLACK_S))
        if not table.voice.shape[1]:
            return {}, there
        mask = torch.from_numpy(table.voice_mask[rows]) & there[:, None]
        tokens, times = torch.from_numpy(table.voice[rows]), torch.from_numpy(table.voice_times)
        return voice_part(tokens, mask, times, torch.from_numpy(self.t_end - start)), there

    # --- the network's input ---

    def inputs(
        self, normaliser: Normaliser, modalities: Collection[str] = MODALITIES, at: slice = slice(None)
    ) -> NetworkInput:
        """Return windows as the network takes them; a modality not among ``modalities`` is absent."""
        batch = self._batch(normaliser, at)
        allowed = [m in modalities and m in self.config.modalities for m in MODALITIES]
        batch.present = self.present[at] & torch.tensor(allowed)
        return batch

    def _batch(self, normaliser: Normaliser, at: slice) -> NetworkInput:
        eeg, eye = self._eeg.at(at), self._eye.at(at)
        return batch_of(
            len(eeg.values),
            self.config,
            eeg_part(eeg.values, eeg.usable, self._positions, self.config, normaliser, eeg.step_mask),
            eye_part(eye.values, eye.usable, normaliser, eye.step_mask),
            {name: values[at] for name, values in self._face.items()},
            {name: values[at] for name, values in self._voice.items()},
        )


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
