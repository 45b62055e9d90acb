"""A session's trials as discriminant and network take them: features, the subject's level, windows, tokens.

Subjects differ more from each other than one does from trial to trial, so features count as deviations from
the subject's own level. Every trial counts the same in it and the baseline counts as one more trial, so that
neither a long trial nor a missing step shifts it. No label enters.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

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
from models.level import Course, Evidence, RunningLevel
from models.mixed_part import LabelledTrial
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

#: Means (F,) by modality.
Level = Mapping[str, NDArray[np.floating]]

_BATCH = 64  # one size, because it changes the last bits


class TrialWindows:
    """Windows that end at the whole seconds of some trials, before normalisation.

    Windows of a trial are ``every_s`` seconds apart; the last second always has one. They hold nothing that
    began before their trial. Trials with numbers below 1, such as a baseline, have features alone.

    Attributes
    ----------
    features : dict of ndarray, (n_seconds, F) by modality
        Raw step features at every whole second, NaN where unknown: what `models.level` takes.
    t_end, trial : ndarray, (n,)
        End of each window and number of its trial. A window without any modality is omitted.
    ends : ndarray, (n,)
        The second that each window ends at, by its index among all.
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
        self._steps, self._seconds = self._step_rows(rows, seconds), seconds
        self.features = self._raw_features(rows)
        least_s = windows.min_valid_steps * windows.eeg_shift_s
        is_whole = (seconds["age"] > least_s - EDGE_SLACK_S) & (seconds["trial"] > 0)
        ends = np.flatnonzero((seconds["to_end"] % every_s == 0) & is_whole)
        cut = self._cut(ends)
        valid = {modality: steps.step_mask.numpy() for modality, steps in cut.items()}
        valid["eeg"] = valid["eeg"][:, -windows.eeg_n_steps :]  # left context does not count
        enough = np.stack([holds_enough(m, valid[m], windows) for m in MODALITIES], axis=1)
        present = torch.from_numpy(enough) & present_in(self._batch(ends, cut, Normaliser()), config)
        kept = present.any(dim=1)
        self.present, self.ends = present[kept], ends[kept.numpy()]
        self.t_end, self.trial = seconds["t_end"][self.ends], seconds["trial"][self.ends]

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

    def _raw_features(self, rows: RowTable) -> dict[str, NDArray[np.float32]]:
        found: dict[str, NDArray[Any]] = {}
        if not self.config.network.takes_raw_eeg:
            eeg = np.full((len(rows), *rows.eeg.shape[1:]), np.nan, dtype=np.float32)
            steps = self._steps["eeg"]
            known = steps.usable.numpy() & steps.valid[:, None]
            eeg[:, self._channels.numpy()] = np.where(known[..., None], steps.values.numpy(), np.nan)
            found["eeg"] = eeg.reshape(len(eeg), math.prod(eeg.shape[1:]))
        eye, face, voice = (self._steps[m] for m in ("eye", "face", "voice"))
        found["eye"] = np.where(eye.usable.numpy() & eye.valid[:, None], eye.values.numpy(), np.nan)
        there = (face.usable.numpy()[:, 0] & face.valid).reshape(len(rows), rows.face.shape[1])
        found["face"] = np.where(there[:, -1:], rows.face[:, -1], np.nan)  # the newest frame
        mask = rows.voice_mask[..., None] & voice.valid[:, None, None]
        mean = np.where(mask, rows.voice, 0.0).sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
        found["voice"] = np.where(mask.any(axis=1), mean, np.nan)
        return {m: x.astype(np.float32) for m, x in found.items() if m in self.config.modalities}

    def steps_of(self, trial: int) -> dict[str, NDArray[np.float32]]:
        """Return a trial's features (n, F) by modality, without seconds that hold nothing."""
        at = self._seconds["trial"] == trial
        kept = {m: x[at & np.isfinite(x).any(axis=1)] for m, x in self.features.items()}
        return {m: x for m, x in kept.items() if len(x)}

    def recent(
        self, second: int, modalities: Collection[str] = MODALITIES
    ) -> dict[str, NDArray[np.floating]]:
        """Return the steps a second apart of a window that ends at a second, given by its index."""
        windows, first = self.config.windows, self._seconds["first"][second]
        n_steps = windows.eeg_n_steps, windows.eye_n_steps, round(windows.face_s), 1
        found: dict[str, NDArray[np.floating]] = {}
        for modality, n in zip(MODALITIES, n_steps, strict=True):
            if modality in modalities and modality in self.features:
                steps = self.features[modality][max(first, second + 1 - n) : second + 1]
                known = np.atleast_1d(np.isfinite(steps).any(axis=1))
                if known[-1]:
                    found[modality] = steps[known]
        return found

    def course(
        self,
        evidence: Evidence,
        level_of: Callable[[int], Level] | None = None,
        modalities: Collection[str] = MODALITIES,
    ) -> Course:
        """Return what is known at each window.

        ``level_of`` gives the fixed level of a trial by its number; without it the level runs.
        """
        level = RunningLevel(evidence.discriminant, evidence.config)
        ends = set(self.ends.tolist())
        means: dict[str, list[NDArray[np.float64]]] = {m: [] for m in level.modalities}
        found = []
        for second in range(len(self._seconds)) if level_of is None else self.ends.tolist():
            if level_of is not None:
                level.fixed = level_of(int(self._seconds["trial"][second]))
            recent = self.recent(second, modalities)
            of_window, measures = evidence.of_window(recent, level)
            if second in ends:
                found.append((of_window, measures))
                for modality, rows in means.items():
                    rows.append(level.mean(modality))
            if level_of is None:
                reliability = evidence.range.reliability(measures)
                level.take(recent, of_window.sum(dim=0).numpy(), reliability=reliability)
        levels = {m: torch.from_numpy(np.stack(rows)).float() for m, rows in means.items()}
        unknown = torch.full((len(found),), torch.nan)  # agreement is of a running session
        scores, measures = (torch.stack(parts) for parts in zip(*found, strict=True))
        return Course(levels, scores, measures, unknown, ())

    def inputs(
        self,
        normaliser: Normaliser,
        modalities: Collection[str] = MODALITIES,
        at: slice = slice(None),
        levels: Mapping[str, Tensor] | None = None,
    ) -> NetworkInput:
        """Return windows as the network takes them; a modality not among ``modalities`` is absent.

        ``levels`` (n, F) by modality are what each window is centred on in place of the normaliser's means.
        """
        ends = self.ends[at]
        if levels:
            normaliser = normaliser.about({m: level[at] for m, level in levels.items()})
        batch = self._batch(ends, self._cut(ends), normaliser)
        allowed = [m in modalities and m in self.config.modalities for m in MODALITIES]
        batch.present = self.present[at] & torch.tensor(allowed)
        return batch

    @property
    def _face_ages(self) -> Tensor:
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
            face_part(face.values, face.usable[..., 0], self._face_ages.repeat(n, 1), normaliser.face),
        ]
        if len(self._voice_times):
            clip = voice.values[:, 0], voice.usable[:, 0]
            parts.append(voice_part(*clip, self._voice_times, self._clip_age[ends], normaliser.voice))
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
    levels: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the frozen encoders' tokens (n, 4, d_model) of trials' windows, and presence (n, 4).

    ``modalities`` are those of the consent; others are masked. Of ``levels`` see `TrialWindows.inputs`. A
    network after `prepare_inference` serves one thread at a time: while a decoder runs it, another thread
    takes a copy.
    """
    tokens = [torch.zeros(0, len(MODALITIES), network.config.network.fusion.d_model)]
    present = [torch.zeros(0, len(MODALITIES), dtype=torch.bool)]
    for start in range(0, len(windows), _BATCH):
        inputs = windows.inputs(normaliser, modalities, slice(start, start + _BATCH), levels)
        tokens.append(network.modality_tokens(inputs, modalities))
        present.append(network.presence(inputs))
    return torch.cat(tokens), torch.cat(present)


#: Neighbouring windows share most of their seconds: twice as many take twice as long and teach nothing.
WINDOWS_A_TRIAL = 6
_BASELINE = 0  # its number among the trials


class Session:
    """The features of a session's trials, and its level; of the record, only the baseline is used.

    Of the baseline only open eyes count: closed eyes have no gaze and more alpha. A trial has about
    `WINDOWS_A_TRIAL` windows, evenly spread.

    Attributes
    ----------
    trials : dict of LabelledTrial
        By number, with what is of the modalities; labels are those of `labelled`.
    """

    def __init__(
        self,
        rows: RowTable,
        record: SessionRecord,
        trials: Sequence[TrialRecord],
        base: Checkpoint,
        modalities: Collection[str],
    ) -> None:
        self.base, self.modalities, self.positions = base, tuple(modalities), rows.positions
        longest_s = max((trial.end - trial.begin for trial in trials), default=0.0)
        spans = [TrialRecord(_BASELINE, "", *span, run=record.baseline_run) for span in record.baseline[:1]]
        spans = [*trials, *spans]
        every_s = max(1, math.ceil(longest_s / WINDOWS_A_TRIAL))
        self.windows = TrialWindows(rows, spans, base.config, every_s=every_s)
        begin = {trial.number: trial.begin for trial in trials}
        onset = np.array([begin[int(number)] for number in self.windows.trial])
        #: Seconds from the stimulus's onset to each window's end, (n,).
        self.since_onset_s: NDArray[np.float64] = self.windows.t_end - onset
        self.trials = {}
        for span in spans:
            steps = {m: x for m, x in self.windows.steps_of(span.number).items() if m in modalities}
            self.trials[span.number] = LabelledTrial(record.subject, record.session, 0, steps)
        self._means = {n: {m: one.mean(m)[0] for m in one.steps} for n, one in self.trials.items()}

    def level(self, without: Collection[int] = ()) -> dict[str, NDArray[np.float64]]:
        """Return the mean (F,) by modality of the baseline and all trials but these, NaN where unknown."""
        found = {}
        for modality in self.modalities:
            rows = [x[modality] for n, x in self._means.items() if n not in without and modality in x]
            if rows:
                known = np.isfinite(rows)
                total = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
                found[modality] = np.where(known.any(axis=0), total, np.nan)
        return found

    def labelled(self, label: Mapping[int, int], level: Level) -> list[LabelledTrial]:
        return [replace(self.trials[n], label=one).minus(level) for n, one in label.items()]
