"""A session's own level: what the features of its trials are centred on, in training and test alike.

Subjects differ more from each other, and a subject's sessions, than one session does from trial to trial.
So each trial is centred on the mean of the trial means that may be known of its session. Every trial counts
the same, however long it is, and no label enters.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import ErrorCode, InputError
from models.config import ModelConfig
from models.datasets.splits import by_session
from models.datasets.trials import BASELINE, TRIAL_MODALITIES, Trial, WindowSet
from models.features.covariance import Seconds, Tangent
from models.mixed_part import unfit
from models.normalise import Normaliser

#: Most trials that a level of training rests on: as many as a calibration has.
MOST_TRIALS = 10

TrialKey = tuple[str, int, int]  # subject, session, trial


#: A mean, or weights, (F,) by modality that is read; NaN where nothing is known.
Level = Mapping[str, Tensor]


def rows_of(trial: Trial, config: ModelConfig) -> dict[str, NDArray[np.float64]]:
    """Return a trial's steps (W, F) by modality of a model: EEG of the model's channels, NaN where absent."""
    rows = {}
    if "eeg" in config.modalities and trial.eeg is not None:
        eeg = np.full((len(trial.eeg), len(config.ch_names), trial.eeg.shape[2]), np.nan)
        here = [i for i, name in enumerate(trial.ch_names) if name in config.ch_names]
        eeg[:, [config.ch_names.index(trial.ch_names[i]) for i in here]] = trial.eeg[:, here]
        rows["eeg"] = eeg.reshape(len(eeg), -1)
        if trial.tangent is not None:
            rows["eeg"] = np.concatenate([rows["eeg"], trial.tangent], axis=1)
    if "eye" in config.modalities and trial.eye is not None:
        rows["eye"] = np.asarray(trial.eye, dtype=np.float64)
    return rows


def seconds_of(trial: Trial, config: ModelConfig) -> Seconds:
    """Return the covariances of a trial's steps over the model's channels; `InputError` where it has none."""
    if trial.covariance is None or trial.eeg is None:
        raise unfit("riemann: expected samples of EEG of at most 64 channels in every trial")
    here = [i for i, name in enumerate(trial.ch_names) if name in config.ch_names]
    usable = np.isfinite(trial.eeg[:, here]).all(axis=2)
    at = [config.ch_names.index(trial.ch_names[i]) for i in here]
    return Seconds.of(trial.covariance[:, here][:, :, here], usable, at, len(config.ch_names))


def onto(trials: Sequence[Trial], config: ModelConfig, tangent: Tangent | None) -> list[Trial]:
    """Return the trials, and their baselines, with what their covariances are in a tangent space, if any."""
    if tangent is None:
        return list(trials)
    found = []
    for trial in trials:
        baseline = None if trial.baseline is None else onto([trial.baseline], config, tangent)[0]
        rows = tangent.rows(seconds_of(trial, config))
        found.append(replace(trial, tangent=rows, baseline=baseline))
    return found


def trial_mean(trial: Trial, config: ModelConfig) -> Level:
    """Return the mean over the steps of a trial, or of its baseline, of the model's channels."""
    rows = rows_of(trial.baseline or trial, config)
    return {modality: torch.from_numpy(steps).nanmean(dim=0) for modality, steps in rows.items()}


@dataclass(frozen=True)
class SessionLevels:
    """Trial means by subject and session, from which the level of any trial of theirs follows.

    A level of n trials with the mean m is (κ prior + n m) / (κ + n): κ is the variance of trial means within
    a session over that across sessions (empirical Bayes; Efron and Morris 1973), so that a session of which
    nothing is known has the training mean.
    """

    config: ModelConfig
    means: Mapping[tuple[str, int], Mapping[TrialKey, Level]] = field(repr=False)
    prior: Level
    kappa: Level
    tangent: Tangent | None = None  # where covariances are among the features

    @classmethod
    def of(cls, trials: Sequence[Trial], config: ModelConfig, tangent: Tangent | None = None) -> Self:
        """Take the training trials, of one or more sessions."""
        means = _means(onto(trials, config, tangent), config)
        prior, kappa = {}, {}
        for modality in TRIAL_MODALITIES:
            of_session = [_stacked(list(found.values()), modality) for found in means.values()]
            if known := [rows for rows in of_session if rows is not None]:
                prior[modality], kappa[modality] = _prior_and_kappa(known)
        return cls(config, means, prior, kappa, tangent)

    @classmethod
    def unknown(cls, config: ModelConfig, normaliser: Normaliser) -> Self:
        """Return levels of which only the training means are known: those of a model that was loaded."""
        scales = {"eeg": normaliser.eeg, "eye": normaliser.eye}
        prior = {m: scale.mean.double().flatten() for m, scale in scales.items() if scale is not None}
        return cls(config, {}, prior, {m: torch.ones_like(mean) for m, mean in prior.items()})

    def knowing(self, trials: Sequence[Trial]) -> Self:
        """Return the levels with more trials known; those of training keep the prior."""
        more = _means(onto(trials, self.config, self.tangent), self.config)
        joined = {key: {**self.means.get(key, {}), **found} for key, found in more.items()}
        return replace(self, means={**self.means, **joined})

    def exact(self, trials: Sequence[Trial]) -> Self:
        """Return levels that are the mean of all these trials of a session, with nothing of a prior."""
        kappa = {modality: torch.full_like(k, 1e-6) for modality, k in self.kappa.items()}
        return replace(self.knowing(trials), kappa=kappa)

    def known(self, session: tuple[str, int]) -> dict[str, NDArray[np.floating]] | None:
        """Return the level (F,) by modality of a session of which trials are known, else None."""
        if not (trials := self.means.get(session)):
            return None
        return {m: x.numpy() for m, x in self._level(list(trials.values())).items()}

    def levels(
        self, trials: Sequence[Trial], rng: np.random.Generator | None = None
    ) -> dict[TrialKey, Level]:
        """Return the level of each of some trials, by all known trials of its session.

        With ``rng`` each rests on 1 to `MOST_TRIALS` random ones of them, as it will in use. In a session of
        which none is known a trial's level rests on the trials up to it, itself included, as they are given.
        """
        found: dict[TrialKey, Level] = {}
        for session, group in by_session(trials).items():
            known = list(self.means.get(session, {}).values())
            so_far: list[Level] = []
            whole = self._level(known) if known and rng is None else None
            for trial in group if known else onto(group, self.config, self.tangent):
                if not known:
                    so_far.append(trial_mean(trial, self.config))
                    found[trial.key] = self._level(so_far)
                elif rng is not None:
                    n = min(len(known), int(rng.integers(1, MOST_TRIALS + 1)))
                    picks = rng.choice(len(known), n, replace=False)
                    found[trial.key] = self._level([known[at] for at in picks])
                elif whole is not None:
                    found[trial.key] = whole
        return found

    def _level(self, means: Sequence[Level]) -> Level:
        level = {}
        for modality, prior in self.prior.items():
            if (known := _stacked(means, modality)) is not None:
                kappa, n = self.kappa[modality], torch.isfinite(known).sum(dim=0)
                level[modality] = ((kappa * prior + known.nansum(dim=0)) / (kappa + n)).float()
        return level


def about_level(trials: Sequence[Trial], how: str, training: Sequence[Trial]) -> list[Trial]:
    """Return trials about a level from session, `baseline` or ``training``; `InputError` without baseline."""
    if how == "baseline":
        if missing := [trial for trial in trials if trial.baseline is None]:
            raise InputError(
                f"expected a trial labelled {BASELINE} in session {missing[0].session}, found none",
                where=f"subject {missing[0].subject}",
                remedy="add one to the table, or choose another --normalise",
                code=ErrorCode.DATA,
                subject=missing[0].subject,
            )
        return list(trials)
    if how == "subject" and all(trial.baseline is None for trial in trials):
        return list(trials)
    common = None
    if how == "training":
        spreads = [trial.covariance for trial in training if trial.covariance is not None]
        common = replace(
            training[0],
            eeg=_grand_mean([trial.eeg for trial in training]),
            eye=_grand_mean([trial.eye for trial in training]),
            covariance=_grand_mean(spreads) if len(spreads) == len(training) else None,
            baseline=None,
        )
    return [replace(trial, baseline=common) for trial in trials]


def _grand_mean(trials: Sequence[NDArray[np.floating] | None]) -> NDArray[np.floating] | None:
    """Return one step, the mean over trials of their means; None where a trial has none."""
    if any(rows is None for rows in trials):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what nobody has stays NaN
        means = [np.nanmean(rows, axis=0) for rows in trials if rows is not None]
        return np.nanmean(means, axis=0)[None]


def _means(trials: Sequence[Trial], config: ModelConfig) -> dict[tuple[str, int], dict[TrialKey, Level]]:
    groups = by_session(trials).items()
    return {session: {t.key: trial_mean(t, config) for t in group} for session, group in groups}


def _stacked(levels: Sequence[Level], modality: str) -> Tensor | None:
    """Return the levels (n, F) of those that have the modality; None where none has."""
    rows = [level[modality] for level in levels if modality in level]
    return torch.stack(rows) if rows else None


_LEAST_KAPPA = 1e-3  # of one session alone nothing is known of how sessions differ: its own mean


def _prior_and_kappa(sessions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return prior mean and κ from the trial means (n, ...) of each session."""
    levels = torch.stack([trials.nanmean(dim=0) for trials in sessions])
    prior = levels.nanmean(dim=0)
    inside = torch.cat([trials - level for trials, level in zip(sessions, levels, strict=True)])
    n_inside = (torch.isfinite(inside).sum(dim=0) - len(sessions)).clamp(min=1)
    within = inside.square().nansum(dim=0) / n_inside
    across = (levels - prior).square().nansum(dim=0) / max(1, len(sessions) - 1)
    kappa = within / (across - within * len(sessions) / len(inside)).clamp_min(1e-12)
    if len(sessions) == 1:
        kappa = torch.zeros_like(kappa)
    return prior, kappa.nan_to_num(nan=0.0, posinf=1e3).clamp(_LEAST_KAPPA, 1e3)


def means_of(levels: Mapping[TrialKey, Level], windows: WindowSet) -> dict[str, Tensor]:
    """Return each window's level, that of its trial, as `TrialTensors` takes it."""
    keys = list(zip(windows.subject.tolist(), windows.session.tolist(), windows.trial.tolist(), strict=True))
    unique = list(dict.fromkeys(keys))
    row = {key: at for at, key in enumerate(unique)}
    at = torch.tensor([row[key] for key in keys])
    of_key = [levels[key] for key in unique]
    stacked = {modality: _stacked(of_key, modality) for modality in TRIAL_MODALITIES}
    return {modality: mean[at] for modality, mean in stacked.items() if mean is not None}


def centred(trials: Sequence[Trial], levels: SessionLevels) -> list[Trial]:
    """Return the trials moved from their levels to the prior mean: what scales are fitted on."""
    found, ch_names, moved = levels.levels(trials), levels.config.ch_names, []
    for trial in trials:
        by = {m: (x - levels.prior[m]).nan_to_num(nan=0.0).numpy() for m, x in found[trial.key].items()}
        eeg, eye = trial.eeg, trial.eye
        if eeg is not None and "eeg" in by:
            rows = by["eeg"][: len(ch_names) * eeg.shape[2]].reshape(len(ch_names), -1)
            of_name = dict(zip(ch_names, rows, strict=True))
            eeg = eeg - np.stack([of_name.get(name, 0.0 * rows[0]) for name in trial.ch_names])
        if eye is not None and "eye" in by:
            eye = eye - by["eye"]
        moved.append(replace(trial, eeg=eeg, eye=eye))
    return moved
