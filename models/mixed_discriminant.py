"""A discriminant with two levels: what a person's own labelled trials say, and what other people's say.

In each modality a feature vector x, the mean of n steps less the person's level in the session, is

    x = rest of the level + class effect shared by people + class effect of one's own
        + the trial's offset, variance b, + noise within the trial, variance w · omega(n)

with both variances diagonal in one basis (`models.mixed_fit`). Everything is Gaussian, so the posterior
of the class means is exact, and new trials update it in closed form. The sizes of both effects come from the
marginal likelihood over other people: where people share no pattern the shared part has size 0, and the
person's own trials decide alone. Modalities are independent: their log-likelihoods add, and an absent one
adds nothing. The source of the model is linear mixed models with a common covariance; discriminant analysis
with a shrunk covariance (Friedman 1989) is the case of one person and no prior.

Fitted in float64 and stored as float32; scored in torch, by the same code on CPU and GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES
from models.datasets.trials import TRIAL_MODALITIES, Trial
from models.mixed_fit import (
    LEVEL,
    SHRINKAGE,
    SHRINKAGE_ALONE,
    WITHIN_SHRINKAGE,
    Cells,
    Directions,
    Effects,
    SharedPart,
    TimeCourse,
    filled_in,
    fit_effects,
    gather,
    positive,
    prior_sizes,
    scatter,
    shared_part,
    shrunk,
    time_course,
)

_Array = NDArray[np.float64]

#: Steps of the windows on which the distance's quantile is taken.
_WINDOW_STEPS = 10
_QUANTILE = 0.99
_LEVEL_TRIALS = 10.0  # what a level rests on where nobody says so
_LEAST_BETWEEN = 0.1  # of a direction's variance that trials keep when the noise of their means is taken off
_MOST_MASKS = 64  # scorers kept, one for each set of features


@dataclass(frozen=True, eq=False)
class LabelledTrial:
    """Feature steps of one labelled trial by modality, NaN where unusable."""

    person: str
    session: int
    label: int
    steps: Mapping[str, NDArray[Any]]  # (n_steps, F) by modality; EEG channel-major, C · n_bands
    means_of: Mapping[str, int] = field(default_factory=dict)  # of one row that is a mean: of how many steps

    @classmethod
    def of(cls, trial: Trial) -> LabelledTrial:
        """Take EEG and eye features of a data set's trial."""
        rows = {m: getattr(trial, m) for m in TRIAL_MODALITIES if getattr(trial, m) is not None}
        steps = {m: np.asarray(array, np.float64).reshape(len(array), -1) for m, array in rows.items()}
        return cls(trial.subject, trial.session, trial.label, steps)

    def mean(self, modality: str) -> tuple[_Array, float]:
        """Return the mean (F,) over the steps and their number; NaN where half of the steps have none."""
        steps = np.asarray(self.steps[modality], dtype=np.float64)
        known = np.isfinite(steps)
        n_known = known.sum(axis=0)
        sums = np.where(known, steps, 0.0).sum(axis=0)
        mean = np.where(2 * n_known > len(steps), sums / np.maximum(n_known, 1), np.nan)
        return mean, float(self.means_of.get(modality, known.any(axis=1).sum()))

    def minus(self, level: Mapping[str, _Array]) -> LabelledTrial:
        """Return the trial as deviations from a level, (F,) by modality."""
        return replace(self, steps={m: steps - level[m] for m, steps in self.steps.items() if m in level})


def own_level(trials: Sequence[LabelledTrial]) -> dict[str, _Array]:
    """Return the level of one person's session: the mean of the trials' means, (F,) by modality."""
    levels = {}
    for modality in MODALITIES:
        means = [trial.mean(modality)[0] for trial in trials if modality in trial.steps]
        if means:
            levels[modality] = _nanmean(np.stack(means))
    return levels


def _nanmean(rows: _Array) -> _Array:
    """Return the mean (F,) of the known; 0 where none is, which leaves all its deviations NaN."""
    known = np.isfinite(rows)
    return np.where(known, rows, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


@dataclass(frozen=True, eq=False)
class LevelPrior:
    """What a running level begins with: n trials with mean m lead to (n m + kappa · mean) / (n + kappa)."""

    mean: NDArray[np.float32]  # (F,) of the training people's levels
    kappa: NDArray[np.float32]  # (F,) variance of trials, of any class, over that of levels across people


def _stored(array: _Array) -> NDArray[np.float32]:
    return np.asarray(array, dtype=np.float32)


def _level_prior(levels: _Array, deviations: _Array, n_groups: int) -> LevelPrior:
    """Return the prior from levels (n_groups, F) and trials' deviations from them (n, F)."""
    known = np.isfinite(deviations)
    squares = np.where(known, deviations, 0.0) ** 2
    trial = squares.sum(axis=0) / np.maximum(known.sum(axis=0) - n_groups, 1)
    if n_groups < 2:
        return LevelPrior(_stored(levels[0]), np.ones(levels.shape[1], np.float32))
    per_group = len(deviations) / n_groups
    people = np.maximum(levels.var(axis=0, ddof=1) - trial / per_group, 0.01 * trial)
    kappa = np.where(people > 0, trial / np.where(people > 0, people, 1.0), 1.0)
    return LevelPrior(_stored(levels.mean(axis=0)), _stored(kappa))


@dataclass(frozen=True, eq=False)
class _Part:
    """What is known in one modality; arrays hold float32 values in float64."""

    used: NDArray[np.bool_]  # (F,) features that vary in training
    directions: Directions  # of the D used ones
    course: TimeCourse
    effects: Effects
    shared: SharedPart
    own: Cells  # of this person
    level: LevelPrior
    mark: float  # 99 % quantile of the distance, of training people as strangers

    def posterior(self, session: int, level_trials: float) -> tuple[_Array, _Array]:
        """Return mean and variance (C, D) of the classes' means in one session of this person."""
        own, size = self.own, prior_sizes(self.directions, self.effects.exponent)
        between, within = self.directions.between, self.directions.within
        n_labels = len(self.shared.mean)
        labels = np.concatenate([np.arange(n_labels), own.label])
        sessions = np.concatenate([np.full(n_labels, session), own.session])
        same_label = labels[:, None] == labels
        same_session = sessions[:, None] == sessions
        level = size * LEVEL
        if not (own.session == session).any():  # no label says where it is: the running level does
            level = np.minimum(level, between / level_trials)
        this = (sessions == session)[:, None] & same_session
        joint = self.shared.covariance[:, labels[:, None], labels]  # (D, C + n, C + n)
        joint = joint + (self.effects.own * size)[:, None, None] * same_label
        joint += np.where(this, level[:, None, None], (size * LEVEL)[:, None, None]) * same_session
        mean, variance = self.shared.mean, joint[:, :n_labels, :n_labels].diagonal(axis1=1, axis2=2).T
        if not len(own.count):
            return mean, variance
        noise = (between[:, None] + within[:, None] * own.noise / own.count) / own.count  # (D, n)
        among = joint[:, n_labels:, n_labels:] + noise[:, :, None] * np.eye(len(own.count))
        across = joint[:, :n_labels, n_labels:]  # (D, C, n)
        weights = np.linalg.solve(among, across.transpose(0, 2, 1)).transpose(0, 2, 1)
        surprise = own.total / own.count[:, None] - mean[own.label]  # (n, D)
        gained = np.einsum("dcn,nd->cd", weights, surprise)
        return mean + gained, variance - np.einsum("dcn,dcn->cd", weights, across)

    def added(self, trials: Sequence[LabelledTrial], modality: str) -> _Part:
        """Return the part with further trials of this person, as deviations from their level."""
        rows, n_steps = _means(trials, modality)
        projected = self.projected(rows[:, self.used])
        cells = gather(
            np.zeros(len(trials), np.int64),
            np.array([trial.session for trial in trials]),
            np.array([trial.label for trial in trials]),
            projected,
            self.course.of_mean(n_steps),
        )
        return replace(self, own=_joined(self.own, cells))

    @cached_property
    def to_features(self) -> _Array:
        """The inverse of the basis (D, D)."""
        return np.asarray(np.linalg.inv(self.directions.basis))

    def projected(self, rows: _Array) -> _Array:
        """Return rows (n, D) of the used features in the basis; NaN is what the known lead to expect."""
        if not np.isfinite(rows).all():
            variance = self.directions.between + self.directions.within
            rows = filled_in(rows, (self.to_features * variance) @ self.to_features.T)
        return rows @ self.directions.basis.T


def _means(trials: Sequence[LabelledTrial], modality: str) -> tuple[_Array, _Array]:
    pairs = [trial.mean(modality) for trial in trials]
    return np.stack([mean for mean, _ in pairs]), np.array([n for _, n in pairs])


def _joined(one: Cells, other: Cells) -> Cells:
    """Return the sums of both, cell by cell, as float32 would keep them."""
    parts = [np.concatenate([getattr(cells, name) for cells in (one, other)]) for name in vars(one)]
    person, session, label, count, total, noise = parts
    keys, at = np.unique(np.column_stack([person, session, label]), axis=0, return_inverse=True)
    sums = [np.zeros((len(keys), *array.shape[1:])) for array in (count, total, noise)]
    for array, values in zip(sums, (count, total, noise), strict=True):
        np.add.at(array, at.ravel(), values)
    person, session, label = keys.T.astype(np.int64)
    count, total, noise = sums
    result: Cells = _as_stored(Cells(person, session, label, count, total, noise))
    return result


_Score = Callable[["_Scorer", Tensor, float], Tensor]


class MixedDiscriminant:
    """Tells labels by features of any modalities; immutable, see `fit`, `update` and `evidence`."""

    def __init__(
        self, parts: Mapping[str, _Part], n_labels: int, session: int, level_trials: float = _LEVEL_TRIALS
    ) -> None:
        self._parts = dict(parts)
        self.n_labels = n_labels
        self.session = session
        self.level_trials = level_trials
        self.device = torch.device("cpu")
        self._posteriors: dict[str, tuple[_Array, _Array]] = {}
        self._scorers: dict[tuple[str, bytes], _Scorer] = {}

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it was fitted on."""
        return tuple(self._parts)

    @classmethod
    def fit(
        cls,
        trials: Sequence[LabelledTrial],
        n_labels: int,
        *,
        person: str | None = None,
        n_bands: int = 5,
    ) -> Self:
        """Learn from labelled trials of several people, or of one.

        Parameters
        ----------
        trials : sequence of LabelledTrial
            Features as they are; the level of each person's session is taken off here.
        person : str, optional
            Whose labels are to be told: the last session of those that this person has. Without it, those
            of someone unknown; `update` then adds that person's trials.
        n_bands : int
            Of the EEG features: its covariance is shrunk to one of channels times one of bands.

        Raises `InputError` if there are no trials, or none of a modality that has a feature that varies.
        """
        if not trials:
            raise _unfit("expected labelled trials, found none")
        groups: dict[tuple[str, int], list[LabelledTrial]] = {}
        for trial in trials:
            groups.setdefault((trial.person, trial.session), []).append(trial)
        levels = {key: own_level(group) for key, group in groups.items()}
        centred = [trial.minus(levels[trial.person, trial.session]) for trial in trials]
        parts = {}
        for modality in MODALITIES:
            of_modality = [trial for trial in centred if modality in trial.steps]
            if of_modality:
                known = [level[modality] for level in levels.values() if modality in level]
                bands = n_bands if modality == "eeg" else None
                parts[modality] = _fit_part(of_modality, modality, n_labels, person, bands, np.stack(known))
        if not parts:
            raise _unfit("expected features in the trials, found none")
        sessions = [trial.session for trial in trials if trial.person == person]
        return cls(parts, n_labels, max(sessions, default=0))

    def update(self, trials: Iterable[LabelledTrial]) -> Self:
        """Return the discriminant with further labelled trials of this person, in closed form.

        Covariances and sizes of effects stay. ``trials`` are deviations from the level that what is to be
        told will be given with; the session of the last one becomes the current one.
        """
        trials = list(trials)
        if not trials:
            return self
        parts = {}
        for modality, part in self._parts.items():
            held = [trial for trial in trials if modality in trial.steps]
            held = [trial for trial in held if np.isfinite(trial.mean(modality)[0]).any()]
            parts[modality] = part.added(held, modality) if held else part
        return self._with(parts, trials[-1].session, self.level_trials)

    def in_session(self, session: int, level_trials: float = _LEVEL_TRIALS) -> Self:
        """Return the discriminant for another session, whose unlabelled level rests on so many trials."""
        return self._with(self._parts, session, level_trials)

    def to(self, device: torch.device | str) -> Self:
        """Return the discriminant that scores on a device."""
        other = self._with(self._parts, self.session, self.level_trials)
        other.device = torch.device(device)
        return other

    def _with(self, parts: Mapping[str, _Part], session: int, level_trials: float) -> Self:
        other = type(self)(parts, self.n_labels, session, level_trials)
        other.device = self.device
        return other

    def evidence(self, modality: str, mean: Tensor, n_steps: Tensor, known: Tensor) -> Tensor:
        """Return log-likelihoods (B, n_labels) of one modality, up to a constant; add those of several.

        What is unknown is integrated out, never filled in. Rows without anything known get 0.

        Parameters
        ----------
        mean : Tensor, (B, F)
            Means of steps, as deviations from the level; anything where unknown.
        n_steps : Tensor, (B,)
            Of how many consecutive steps.
        known : Tensor, (B, F), bool
            Which features count; on the CPU, it need not be fetched from a GPU. Rows may differ.
        """
        return self._by_mask(modality, mean, n_steps, known, self.n_labels, _Scorer.log_likelihood)

    def distance(self, modality: str, mean: Tensor, n_steps: Tensor, known: Tensor) -> Tensor:
        """Return (B,) the mean squared deviation from the nearest class, by known feature, in variances.

        A Mahalanobis distance squared over its dimension: about 1 for the data of training, see `mark`.
        Arguments as of `evidence`; 0 where nothing is known.
        """
        return self._by_mask(modality, mean, n_steps, known, 1, _Scorer.distance)[:, 0]

    def mark(self, modality: str) -> float:
        """Return the 99 % quantile of `distance` of training people, each left out and told as a stranger."""
        return self._parts[modality].mark

    def level_prior(self, modality: str) -> LevelPrior:
        """Return what a running level of the modality begins with."""
        return self._parts[modality].level

    def effects(self, modality: str) -> Effects:
        """Return the sizes of the class effects; ``shared`` is 0 where people have no pattern in common."""
        return self._parts[modality].effects

    def _by_mask(
        self, modality: str, mean: Tensor, n_steps: Tensor, known: Tensor, width: int, score: _Score
    ) -> Tensor:
        """Return (B, width): rows are scored together where they know the same features of as many steps."""
        mean = mean.to(self.device, torch.float32)
        if modality not in self._parts:
            return mean.new_zeros(len(mean), width)
        masks, steps = known.cpu().numpy(), n_steps.tolist()
        if len(mean) == 1 or ((masks == masks[:1]).all() and len(set(steps)) == 1):
            scorer = self._scorer(modality, masks[0])
            return mean.new_zeros(len(mean), width) if scorer is None else score(scorer, mean, steps[0])
        result = mean.new_zeros(len(mean), width)
        groups: dict[tuple[bytes, float], list[int]] = {}
        for row, n in enumerate(steps):
            groups.setdefault((masks[row].tobytes(), n), []).append(row)
        for (_, n), rows in groups.items():
            if scorer := self._scorer(modality, masks[rows[0]]):
                at = torch.tensor(rows, device=self.device)
                result[at] = score(scorer, mean[at], n)
        return result

    def _scorer(self, modality: str, known: NDArray[np.bool_]) -> _Scorer | None:
        key = modality, known.tobytes()
        if key not in self._scorers:
            part = self._parts[modality]
            if known.shape != part.used.shape:
                raise _unfit(f"{modality}: expected {part.used.size} features, found {known.size}")
            if not (known & part.used).any():
                return None
            if modality not in self._posteriors:
                self._posteriors[modality] = part.posterior(self.session, self.level_trials)
            while len(self._scorers) >= _MOST_MASKS:
                del self._scorers[next(iter(self._scorers))]
            posterior = self._posteriors[modality]
            self._scorers[key] = _Scorer(part, known & part.used, *posterior, self.device)
        return self._scorers[key]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors by name and settings for JSON, of which `from_state` makes the same again."""
        tensors, settings = {}, {}
        for modality, part in self._parts.items():
            arrays: dict[str, NDArray[Any]] = {"used": part.used}
            for name in _STORED:
                arrays |= {f"{name}.{key}": array for key, array in vars(getattr(part, name)).items()}
            for name, array in arrays.items():
                kept = array.astype(np.float32) if array.dtype == np.float64 else array
                tensors[f"{modality}.{name}"] = torch.from_numpy(np.ascontiguousarray(kept))
            settings[modality] = {
                "course": vars(part.course), "effects": vars(part.effects), "mark": part.mark,
            }  # fmt: skip
        return tensors, {
            "n_labels": self.n_labels,
            "session": self.session,
            "level_trials": self.level_trials,
            "modalities": settings,
        }

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Self:
        """Return the discriminant of a `state`.

        Raises `InputError` where tensors or settings are missing or do not fit each other.
        """
        try:
            parts = {m: _part_of(m, tensors, part) for m, part in settings["modalities"].items()}
            numbers = int(settings["n_labels"]), int(settings["session"]), float(settings["level_trials"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unfit(f"its stored form is incomplete: {error}") from error
        return cls(parts, *numbers)


_STORED: dict[str, Any] = {"directions": Directions, "shared": SharedPart, "own": Cells, "level": LevelPrior}


def _part_of(modality: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> _Part:
    held: dict[str, Any] = {}
    for name, kind in _STORED.items():
        arrays = {}
        for key in (part.name for part in fields(kind)):
            array = tensors[f"{modality}.{name}.{key}"].cpu().numpy()
            arrays[key] = (
                array.astype(np.float64) if kind is not LevelPrior and array.dtype == np.float32 else array
            )
        held[name] = kind(**arrays)
    return _Part(
        used=tensors[f"{modality}.used"].cpu().numpy(),
        course=TimeCourse(**settings["course"]),
        effects=Effects(**settings["effects"]),
        mark=float(settings["mark"]),
        **held,
    )


def _unfit(what: str) -> InputError:
    return InputError(what, where="discriminant", remedy="fit it again", code=ErrorCode.DATA)


class _Scorer:
    """Class means and variances on one set of known features, diagonal for any number of steps.

    Unknown features are integrated out: covariances of the known ones are diagonalised anew. Where the
    posterior's variance differs between classes, only what of the difference is diagonal there is kept; on
    all features, and where classes have as many trials each, that is exact.
    """

    def __init__(
        self, part: _Part, known: NDArray[np.bool_], mean: _Array, variance: _Array, device: torch.device
    ) -> None:
        directions, seen = part.directions, known[part.used]
        if seen.all():
            basis, spread, self._within = directions.basis, directions.between + variance, directions.within
        else:
            to_features = part.to_features[seen]  # (K, D)
            common = variance.mean(axis=0)
            found = Directions.of(
                (to_features * (directions.between + common)) @ to_features.T,
                (to_features * directions.within) @ to_features.T,
            )
            turned = found.basis @ to_features  # (K, D)
            spread = np.maximum(found.between + (variance - common) @ (turned**2).T, 1e-6)
            basis, mean, self._within = found.basis, mean @ turned.T, found.within
        self._mean, self._spread, self._course = mean, spread, part.course  # (C, K)
        self._device = device
        self._at = None if known.all() else torch.from_numpy(np.flatnonzero(known)).to(device)
        self._basis = self._tensor(basis.T)  # (K, K)
        self._of_steps: dict[float, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def _tensor(self, array: _Array) -> Tensor:
        return torch.tensor(array, dtype=torch.float32, device=self._device)

    def _squares(self, mean: Tensor, n_steps: float) -> tuple[Tensor, Tensor]:
        """Return sums over features of squared deviations in variances, and of log variances, (B, C)."""
        if n_steps not in self._of_steps:
            variance = self._spread + self._within * self._course.of_mean(n_steps)  # (C, K)
            inverse = 1 / variance
            self._of_steps[n_steps] = (
                self._tensor(inverse.T),
                self._tensor(-2 * (self._mean * inverse).T),
                self._tensor((self._mean**2 * inverse).sum(axis=1)),
                self._tensor(np.log(variance).sum(axis=1)),
            )
        square, cross, constant, log_variance = self._of_steps[n_steps]
        z = (mean if self._at is None else mean[:, self._at]) @ self._basis  # (B, K)
        return (z * z) @ square + z @ cross + constant, log_variance

    def log_likelihood(self, mean: Tensor, n_steps: float) -> Tensor:
        """Return (B, C)."""
        squares, log_variance = self._squares(mean, n_steps)
        return -0.5 * (squares + log_variance)

    def distance(self, mean: Tensor, n_steps: float) -> Tensor:
        """Return (B, 1)."""
        return self._squares(mean, n_steps)[0].amin(dim=1, keepdim=True) / len(self._within)


def _fit_part(
    trials: Sequence[LabelledTrial],
    modality: str,
    n_labels: int,
    person: str | None,
    n_bands: int | None,
    levels: _Array,
) -> _Part:
    """Learn one modality from trials as deviations from their levels (n_groups, F)."""
    people = sorted({trial.person for trial in trials})
    who = np.array([people.index(trial.person) for trial in trials])
    session = np.array([trial.session for trial in trials])
    label = np.array([trial.label for trial in trials])
    steps = [np.asarray(trial.steps[modality], dtype=np.float64) for trial in trials]
    means, n_steps = _means(trials, modality)
    level = _level_prior(levels, means, len(levels))
    used = np.nanvar(np.where(np.isfinite(means).any(axis=0), means, 0.0), axis=0) > 0
    if not used.any():
        raise _unfit(f"{modality}: no feature varies from trial to trial")
    if (
        n_bands is not None
        and not used.reshape(-1, n_bands).all(axis=1)[used.reshape(-1, n_bands).any(axis=1)].all()
    ):
        n_bands = None  # channels lack bands: no product of two covariances
    rows, steps = means[:, used], [each[:, used] for each in steps]
    course = time_course(steps)
    omega = course.of_mean(n_steps)

    alone = len(people) == 1
    residuals, df = _residuals(rows, np.column_stack([who, session, label]))
    between = shrunk(positive(scatter(residuals) / df), SHRINKAGE_ALONE if alone else SHRINKAGE, n_bands)
    deviations = np.concatenate([each - _nanmean(each) for each in steps])
    expected = float((n_steps * (1 - omega)).sum())
    within = np.zeros_like(between)
    if expected > 1 and np.nansum(deviations**2) > 0:
        within = shrunk(positive(scatter(deviations) / expected), WITHIN_SHRINKAGE, n_bands)
    found = Directions.of(between, within)
    noise = found.within * float(omega.mean())  # which trial means contain
    directions = _as_stored(
        Directions(
            found.basis, np.maximum(found.between - noise, _LEAST_BETWEEN * found.between), found.within
        )
    )
    nothing = Cells.none(int(used.sum()))
    part = _Part(
        used, directions, course, Effects(),
        SharedPart(np.zeros((n_labels, 0)), np.zeros((0, 0, 0))), nothing, level, math.inf,
    )  # fmt: skip
    cells = gather(who, session, label, part.projected(filled_in(rows, between)), omega)
    own = people.index(person) if person in people else -1
    others = cells.of_person(own, others=True)
    effects = fit_effects(others, directions)
    part = replace(part, effects=effects)

    def without(excluded: int) -> _Part:
        shared = shared_part(others.of_person(excluded, others=True), directions, effects, n_labels)
        return replace(part, shared=_as_stored(shared))

    quantile = _distance_quantile(trials, modality, who, part, cells, without, alone)
    mine = cells.of_person(own)
    mine = replace(mine, person=np.zeros_like(mine.person))
    return replace(without(-1), own=_as_stored(mine), mark=quantile)


def _as_stored(arrays: Any) -> Any:
    """Return the arrays rounded to float32, so that what is stored and read again gives the same."""
    rounded = {
        name: _stored(array).astype(np.float64) if array.dtype == np.float64 else array
        for name, array in vars(arrays).items()
    }
    return type(arrays)(**rounded)


def _residuals(rows: _Array, keys: NDArray[np.int64]) -> tuple[_Array, int]:
    """Return rows less the means of those with the same key, and the degrees of freedom.

    Where every key has one row there are none; then it is what rows deviate from the session's level.
    """
    for columns in (3, 2):
        names, at = np.unique(keys[:, :columns], axis=0, return_inverse=True)
        if len(rows) > len(names):
            break
    residuals = rows.copy()
    for number in range(len(names)):
        group = at.ravel() == number
        residuals[group] -= _nanmean(rows[group])
    return residuals, max(len(rows) - len(names), 1)


def _distance_quantile(
    trials: Sequence[LabelledTrial],
    modality: str,
    who: NDArray[np.int64],
    part: _Part,
    cells: Cells,
    without: Callable[[int], _Part],
    alone: bool,
) -> float:
    """Return the 99 % quantile of windows' distances: from the other people, or from oneself if alone."""
    found = []
    for person in range(who.max() + 1):
        stranger = without(person)
        if alone:
            stranger = replace(stranger, own=replace(cells, person=np.zeros_like(cells.person)))
        of_person = [trial for trial, number in zip(trials, who, strict=True) if number == person]
        for session in sorted({trial.session for trial in of_person}):
            held = [trial for trial in of_person if trial.session == session]
            mean, variance = stranger.posterior(session, float(len(held)))
            windows, n_steps = _windows(held, modality)
            z = part.projected(windows[:, part.used])
            noise = part.course.of_mean(n_steps)[:, None] * part.directions.within
            spread = part.directions.between + variance[:, None] + noise  # (C, n, D)
            found.append(((z - mean[:, None]) ** 2 / spread).mean(axis=2).min(axis=0))
    return float(np.quantile(np.concatenate(found), _QUANTILE))


def _windows(trials: Sequence[LabelledTrial], modality: str) -> tuple[_Array, _Array]:
    """Return means of windows side by side (n, F) and their steps; a trial shorter than two is whole."""
    pieces = []
    for trial in trials:
        n = max(len(trial.steps[modality]) // _WINDOW_STEPS, 1)
        parts = np.array_split(trial.steps[modality], n)
        pieces += [replace(trial, steps={modality: rows}).mean(modality) for rows in parts]
    kept = [(mean, n) for mean, n in pieces if np.isfinite(mean).any()]
    return np.stack([mean for mean, _ in kept]), np.array([n for _, n in kept])
