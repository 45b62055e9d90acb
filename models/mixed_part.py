"""What the mixed discriminant keeps of one modality: how it is fitted to trials, and its posterior."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from acquisition.types import MODALITIES
from models.features.covariance import Tangent
from models.mixed_fit import (
    LEVEL,
    Cells,
    Directions,
    Effects,
    Gains,
    SharedPart,
    Shrinkage,
    TimeCourse,
    best_shrinkage,
    default_effects,
    filled_in,
    fit_effects,
    gather,
    positive,
    scatter,
    shared_part,
    shrunk,
    summed,
    time_course,
    trial_weights,
)

_Array = NDArray[np.float64]

#: Steps of the windows on which the distance's quantile is taken.
_WINDOW_STEPS = 10
_QUANTILE = 0.99
_N_WEIGHINGS = 3  # of trials by how far out they lie
_LDA_RIDGE = 1e-4  # of the mean variance: with few trials nothing is shrunk, and directions have none
_LEAST_BETWEEN = 0.1  # of a direction's variance that trials keep when the noise of their means is taken off


def mean_of(steps: NDArray[np.floating]) -> tuple[NDArray[np.float64], int]:
    """Return the mean (F,) of steps (n, F) and how many hold anything; NaN where half or less is known."""
    known = np.isfinite(steps)
    n_known = known.sum(axis=0)
    sums = np.where(known, steps, 0.0).sum(axis=0, dtype=np.float64)
    mean = np.where(2 * n_known > len(steps), sums / np.maximum(n_known, 1), np.nan)
    return mean, int(known.any(axis=1).sum())


@dataclass(frozen=True, eq=False)
class LabelledTrial:
    """Feature steps of one labelled trial by modality, NaN where unusable."""

    person: str
    session: int
    label: int
    steps: Mapping[str, NDArray[Any]]  # (n_steps, F) by modality; EEG channel-major, C · n_bands
    baseline: LabelledTrial | None = None  # its level's; None: its session's trials are
    trial: int = 0  # its number, where one is told from another

    def mean(self, modality: str) -> tuple[_Array, float]:
        """Return the mean (F,) over the steps and their number; NaN where half of the steps have none."""
        mean, n_steps = mean_of(np.asarray(self.steps[modality], dtype=np.float64))
        return mean, float(n_steps)

    def minus(self, level: Mapping[str, NDArray[np.floating]]) -> LabelledTrial:
        """Return the trial as deviations from a level, (F,) by modality."""
        return replace(self, steps={m: steps - level[m] for m, steps in self.steps.items() if m in level})


def own_level(trials: Sequence[LabelledTrial]) -> dict[str, _Array]:
    """Return a session's level (F,) by modality: the mean of the trials' means, or of their baselines'."""
    levels, trials = {}, [trial.baseline or trial for trial in trials]
    for modality in MODALITIES:
        means = [trial.mean(modality)[0] for trial in trials if modality in trial.steps]
        if means:
            levels[modality] = known_mean(np.stack(means))
    return levels


def known_mean(rows: _Array) -> _Array:
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


#: What is stored is within these; a scorer in float32 gives finite numbers for them.
LARGEST, _LEAST_VARIANCE, _MOST_LOG, _MOST_RHO, _WORST_BASIS = 1e9, 1e-12, 10.0, 0.999, 1e9


def check_numbers(
    name: str, array: NDArray[Any], shape: tuple[int, ...], low: float = -LARGEST, high: float = LARGEST
) -> None:
    """Raise `ValueError` unless an array has the shape, and its values lie from ``low`` to ``high``."""
    if array.shape != shape:
        raise ValueError(f"{name}: expected {shape} numbers, found {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, found {array.dtype}")
    wide = array.astype(np.float64)  # in 16 bits a limit may be infinite
    outside = ~((wide >= low) & (wide <= high))  # NaN is
    if outside.any():
        raise ValueError(f"{name}: expected {low:g} to {high:g}, found {array[outside].flat[0]}")


@dataclass(frozen=True, eq=False)
class Part:
    """What is known in one modality; arrays hold float32 values in float64."""

    used: NDArray[np.bool_]  # (F,) features that vary in training
    directions: Directions  # of the D used ones
    course: TimeCourse
    effects: Effects
    shared: SharedPart
    own: Cells  # of this person
    level: LevelPrior
    mark: float  # 99 % quantile of the distance, of training people as strangers
    gains: Gains
    gain: _Array  # (D,) this person's
    planes: _Array | None = None  # (C, D + 1) weights and bias of a linear classifier, which then tells
    tangent_mean: _Array | None = None  # of a `Tangent`, whose q rows are the last of the F features
    tangent_axes: _Array | None = None

    def check(self, n_labels: int) -> None:
        """Raise `ValueError` unless sizes fit each other and all is a number that can be computed with."""
        used, own, directions, gains = self.used, self.own, self.directions, self.gains
        if used.ndim != 1 or used.dtype != np.bool_ or not used.any():
            raise ValueError("used: expected truth values, one of them true")
        d, n, n_groups = int(used.sum()), len(own.count), gains.centre.size
        for name, array, shape, low, high in (
            ("basis", directions.basis, (d, d), -LARGEST, LARGEST),
            ("between", directions.between, (d,), _LEAST_VARIANCE, LARGEST),
            ("within", directions.within, (d,), 0.0, LARGEST),
            ("size", self.effects.size, (d,), 0.0, LARGEST),
            ("shared, own", np.array([self.effects.shared, self.effects.own]), (2,), 0.0, LARGEST),
            ("course", np.array(list(vars(self.course).values())), (3,), 0.0, 1.0),
            ("rho", np.array(self.course.rho), (), 0.0, _MOST_RHO),
            ("shared.mean", self.shared.mean, (n_labels, d), -LARGEST, LARGEST),
            ("shared.covariance", self.shared.covariance, (d, n_labels, n_labels), -LARGEST, LARGEST),
            ("own.count", own.count, (n,), _LEAST_VARIANCE, LARGEST),
            ("own.noise", own.noise, (n,), 0.0, LARGEST),
            ("own.total", own.total, (n, d), -LARGEST, LARGEST),
            ("own.label", own.label, (n,), 0, n_labels - 1),
            ("own.session", own.session, (n,), -LARGEST, LARGEST),
            ("own.person", own.person, (n,), -LARGEST, LARGEST),
            ("level.mean", self.level.mean, used.shape, -LARGEST, LARGEST),
            ("level.kappa", self.level.kappa, used.shape, 0.0, LARGEST),
            ("gains.group", gains.group, (d,), 0, n_groups - 1),
            ("gains.variance", gains.variance, (d,), 0.0, LARGEST),
            ("gains.centre", gains.centre, (n_groups,), -_MOST_LOG, _MOST_LOG),
            ("gains.of_people", gains.of_people, (n_groups,), 0.0, LARGEST),
            ("gains.of_trials", gains.of_trials, (n_groups,), 0.0, LARGEST),
            ("gain", self.gain, (d,), math.exp(-_MOST_LOG), math.exp(_MOST_LOG)),
        ):
            check_numbers(name, array, shape, low, high)
        if self.planes is not None:
            check_numbers("planes", self.planes, (n_labels, d + 1))
        if self.tangent is not None:
            mean, axes = self.tangent.mean, self.tangent.axes
            check_numbers("tangent_mean", mean, (len(mean),) * 2)
            check_numbers("tangent_axes", axes, (len(axes), len(mean) * (len(mean) + 1) // 2), -1.01, 1.01)
            if not np.allclose(mean, mean.T) or np.linalg.eigvalsh(mean)[0] <= 0:
                raise ValueError("tangent_mean: expected a covariance of full rank")
        if not self.mark > 0:
            raise ValueError(f"mark: expected more than 0, found {self.mark}")
        for name in ("person", "session", "label"):
            if getattr(own, name).dtype != np.int64:
                raise ValueError(f"own.{name}: expected whole numbers")
        covariance = self.shared.covariance
        scale = np.abs(covariance).max(axis=(1, 2), initial=0.0) + _LEAST_VARIANCE
        if (np.abs(covariance - covariance.transpose(0, 2, 1)).max(axis=(1, 2)) > 1e-3 * scale).any():
            raise ValueError("shared.covariance: expected symmetric matrices")
        if (np.linalg.eigvalsh(covariance)[:, 0] < -1e-3 * scale).any():
            raise ValueError("shared.covariance: expected no negative variance")
        if np.linalg.cond(directions.basis) > _WORST_BASIS:
            raise ValueError("basis: expected independent directions")

    def posterior(self, session: int, level_trials: float) -> tuple[_Array, _Array]:
        """Return mean and variance (C, D) of the classes' means in one session of this person."""
        own, mean = self.own, self.shared.mean
        weights, variance = self.weights(own, session, level_trials)
        if not len(own.count):
            return mean, variance
        surprise = own.total / own.count[:, None] - mean[own.label]  # (n, D)
        return mean + np.einsum("dcn,nd->cd", weights, surprise), variance

    def weights(self, own: Cells, session: int, level_trials: float) -> tuple[_Array, _Array]:
        """Return how classes' means follow the n cells of one's own trials, and their variance (C, D).

        The weights (D, C, n) are of the cells' means less what other people lead to expect; what the cells
        are in ``total`` does not enter, so they serve any trials of as many of each label.
        """
        size = self.effects.size
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
        variance = joint[:, :n_labels, :n_labels].diagonal(axis1=1, axis2=2).T
        if not len(own.count):
            return np.zeros((len(size), n_labels, 0)), variance
        noise = (between[:, None] + within[:, None] * own.noise / own.count) / own.count  # (D, n)
        among = joint[:, n_labels:, n_labels:] + noise[:, :, None] * np.eye(len(own.count))
        across = joint[:, :n_labels, n_labels:]  # (D, C, n)
        weights = np.linalg.solve(among, across.transpose(0, 2, 1)).transpose(0, 2, 1)
        return weights, variance - np.einsum("dcn,dcn->cd", weights, across)

    def added(self, trials: Sequence[LabelledTrial], modality: str) -> Part:
        """Return the part with further trials of this person, as deviations from their level."""
        rows, n_steps = _means(trials, modality)
        cells = gather(
            np.zeros(len(trials), np.int64),
            np.array([trial.session for trial in trials]),
            np.array([trial.label for trial in trials]),
            self.own_rows(rows),
            self.course.of_mean(n_steps),
        )
        return replace(self, own=_joined(self.own, cells))

    def aligned(self, trials: Sequence[LabelledTrial], modality: str) -> Part:
        """Return the part for someone whose features vary as these trials' do; own trials are dropped."""
        steps = [np.asarray(trial.steps[modality], dtype=np.float64)[:, self.used] for trial in trials]
        gain = _stored(self.gains.of(steps, self.course)).astype(np.float64)
        return replace(self, gain=gain, own=Cells.none(len(gain)))

    def restricted(self, labels: Sequence[int], known: NDArray[np.bool_]) -> Part:
        """Return the part for some of the labels and of the features (F,), before any own trial.

        Where features go, covariances of the others are diagonalised anew, and what is diagonal there is
        kept of the sizes and of the shared effects.
        """
        at, shared = list(labels), self.shared
        mean, covariance, size = shared.mean[at], shared.covariance[:, at][:, :, at], self.effects.size
        planes = None if self.planes is None else self.planes[at]
        directions, seen = self.directions, known[self.used]
        if not seen.all():
            to_features = self.to_features[seen]  # (K, D)
            directions = Directions.of(
                (to_features * directions.between) @ to_features.T,
                (to_features * directions.within) @ to_features.T,
            )
            turned = directions.basis @ to_features  # (K, D)
            mean, size = mean @ turned.T, turned**2 @ size
            planes = planes_in(planes, self.directions.between + self.directions.within, turned)
            covariance = np.tensordot(turned**2, covariance, axes=1)
        return replace(
            self,
            used=self.used & known,
            directions=as_stored(directions),
            effects=replace(self.effects, size=_stored(size).astype(np.float64)),
            shared=as_stored(SharedPart(mean, covariance)),
            own=Cells.none(int(seen.sum())),
            gains=replace(self.gains, group=self.gains.group[seen], variance=self.gains.variance[seen]),
            gain=np.ones(int(seen.sum())),
            planes=None if planes is None else _stored(planes).astype(np.float64),
        )

    def alone(self) -> Part:
        """Return the part without what other people's labels say of the classes; their covariances stay."""
        effects = replace(self.effects, shared=0.0, own=self.effects.shared + self.effects.own)
        nothing = SharedPart(np.zeros_like(self.shared.mean), np.zeros_like(self.shared.covariance))
        return replace(self, effects=effects, shared=nothing, planes=None)

    @cached_property
    def tangent(self) -> Tangent | None:
        """Where covariances become features, None where they do not."""
        if self.tangent_mean is None or self.tangent_axes is None:
            return None
        return Tangent(self.tangent_mean, self.tangent_axes)

    @cached_property
    def to_features(self) -> _Array:
        return np.asarray(np.linalg.inv(self.directions.basis))

    def projected(self, rows: _Array) -> _Array:
        """Return rows (n, D) of the used features in the basis; NaN is what the known lead to expect."""
        if not np.isfinite(rows).all():
            variance = self.directions.between + self.directions.within
            rows = filled_in(rows, (self.to_features * variance) @ self.to_features.T)
        return rows @ self.directions.basis.T

    def own_rows(self, rows: _Array) -> _Array:
        """Return `projected` of rows (n, F) of this person."""
        return self.projected(rows[:, self.used] / self.gain)


def planes_in(planes: _Array | None, variance: _Array, turned: _Array) -> _Array | None:
    """Return planes (C, D + 1) for fewer features, ``turned`` (K, D) to a basis of their own, white in it.

    What is unknown is what the known lead to expect, by the ``variance`` (D,) of the directions.
    """
    if planes is None:
        return None
    return np.column_stack([planes[:, :-1] * variance @ turned.T, planes[:, -1]])


def _means(trials: Sequence[LabelledTrial], modality: str) -> tuple[_Array, _Array]:
    pairs = [trial.mean(modality) for trial in trials]
    return np.stack([mean for mean, _ in pairs]), np.array([n for _, n in pairs])


def _joined(one: Cells, other: Cells) -> Cells:
    """Return the sums of both, cell by cell, as float32 would keep them."""
    both = (np.concatenate([getattr(cells, name) for cells in (one, other)]) for name in vars(one))
    result: Cells = as_stored(summed(Cells(*both)))
    return result


def fit_part(
    trials: Sequence[LabelledTrial],
    modality: str,
    n_labels: int,
    person: str | None,
    n_bands: int | None,
    levels: _Array,
) -> Part:
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
        raise unfit(f"{modality}: no feature varies from trial to trial")
    if (
        n_bands is not None
        and not used.reshape(-1, n_bands).all(axis=1)[used.reshape(-1, n_bands).any(axis=1)].all()
    ):
        n_bands = None  # channels lack bands: no product of two covariances
    rows, steps = means[:, used], [each[:, used] for each in steps]
    course = time_course(steps)
    omega = course.of_mean(n_steps)
    alone = len(people) == 1
    keys = np.column_stack([who, session, label])
    expected = float((n_steps * (1 - omega)).sum())

    def pooled(root: _Array) -> _Array:
        """Return the covariance of a step within its trial, which counts root² times; 0 without steps."""
        deviations = np.concatenate(
            [by * (each - known_mean(each)) for each, by in zip(steps, root, strict=True)]
        )
        return positive(scatter(deviations) / expected) if expected > 1 else np.zeros((rows.shape[1],) * 2)

    group = np.arange(rows.shape[1]) % n_bands if n_bands else np.zeros(rows.shape[1], dtype=np.int64)
    sessions = np.unique(keys[:, :2], axis=0, return_inverse=True)[1].ravel()
    of_session = [[steps[at] for at in np.flatnonzero(sessions == k)] for k in range(sessions.max() + 1)]
    gains = Gains.fit(of_session, group, np.diag(pooled(np.ones(len(trials)))).copy(), course)
    gain = np.stack([gains.of(each, course) for each in of_session])[sessions]  # (n, D)
    rows, steps = rows / gain, [each / by for each, by in zip(steps, gain, strict=True)]

    residuals, df = _residuals(rows, keys)
    if not residuals.any():
        raise unfit(f"{modality}: no label has two trials that differ")
    groups = np.unique(keys, axis=0, return_inverse=True)[1].ravel() if alone else who
    how = best_shrinkage(residuals, groups, n_bands)
    weight = np.ones(len(trials))
    for _ in range(1 if alone else _N_WEIGHINGS):
        root = np.sqrt(weight)
        between = shrunk(positive(scatter(residuals * root[:, None]) / df), how, n_bands)
        within = pooled(root)
        if within.any():
            within = shrunk(within, Shrinkage(ridge=how.ridge), n_bands)
        found = Directions.of(between, within)
        spread = found.between + found.within * omega[:, None]
        distance = ((filled_in(residuals, between) @ found.basis.T) ** 2 / spread).sum(axis=1)
        weight = weight if alone else trial_weights(distance, rows.shape[1])
    noise = found.within * float(omega.mean())  # which trial means contain
    directions = as_stored(
        Directions(
            found.basis, np.maximum(found.between - noise, _LEAST_BETWEEN * found.between), found.within
        )
    )
    nothing = Cells.none(int(used.sum()))
    part = Part(
        used, directions, course, default_effects(directions),
        SharedPart(np.zeros((n_labels, 0)), np.zeros((0, 0, 0))), nothing, level, math.inf,
        as_stored(gains), np.ones(rows.shape[1]),
    )  # fmt: skip
    cells = gather(who, session, label, part.projected(filled_in(rows, between)), omega, weight)
    own = people.index(person) if person in people else -1
    others = cells.of_person(own, others=True)
    effects = fit_effects(others, directions)
    effects = replace(effects, size=_stored(effects.size).astype(np.float64))
    part = replace(part, effects=effects)

    def without(excluded: int) -> Part:
        shared = shared_part(others.of_person(excluded, others=True), directions, effects, n_labels)
        return replace(part, shared=as_stored(shared))

    quantile = _distance_quantile(trials, modality, who, gain, part, cells, without, alone)
    mine = cells.of_person(own)
    mine = replace(mine, person=np.zeros_like(mine.person))
    last = gain[np.flatnonzero(who == own)[-1]] if own >= 0 else part.gain
    return replace(without(-1), own=as_stored(mine), mark=quantile, gain=_stored(last).astype(np.float64))


def lda_part(
    trials: Sequence[LabelledTrial],
    modality: str,
    n_labels: int,
    levels: _Array,
    shrinkage: float | None = None,
    n_last: int | None = None,
) -> Part:
    """Return shrinkage LDA of trial means, as deviations from their levels (n_groups, F), as a part.

    It is the case of one covariance, that of trials about the mean of their class, of class means that people
    share and that are known, and of no own effects, so that own labels change nothing. The shrinkage is that
    of `models.baselines.LdaClassifier` where none is given; classes are equally likely. With ``n_last`` it
    reads the last features alone.
    """
    from models.baselines import shrunk_covariance

    means, label, used, centre, sd, z = _standardised(trials, modality, n_last)
    of_class = np.stack([known_mean(z[label == k]) for k in range(n_labels)])
    covariance = shrunk_covariance(z - of_class[label], z.shape[1], share=shrinkage)
    covariance += _LDA_RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    covariance *= np.outer(sd, sd)
    directions, n = as_stored(Directions.of(covariance, np.zeros_like(covariance))), z.shape[1]
    nothing, one = np.zeros(1), np.zeros(n)
    shared = SharedPart((of_class * sd + centre) @ directions.basis.T, np.zeros((n, n_labels, n_labels)))
    part = Part(
        used, directions, TimeCourse(), Effects(1.0, 0.0, one), as_stored(shared), Cells.none(n),
        _level_prior(levels, means, len(levels)), math.inf,
        Gains(one.astype(np.int64), one, nothing, nothing, nothing), one + 1,
    )  # fmt: skip
    distance = ((part.own_rows(means) - part.shared.mean[:, None]) ** 2).mean(axis=2).min(axis=0)
    return replace(part, mark=max(float(np.quantile(distance, _QUANTILE)), 1e-3))


def _standardised(
    trials: Sequence[LabelledTrial], modality: str, n_last: int | None
) -> tuple[_Array, NDArray[np.int64], NDArray[np.bool_], _Array, _Array, _Array]:
    """Return trial means (n, F), labels, the D features used, their mean and SD, and (n, D) z-scores."""
    means, _ = _means(trials, modality)
    used = np.nanvar(np.where(np.isfinite(means).any(axis=0), means, 0.0), axis=0) > 0
    used[: 0 if n_last is None else -n_last] = False
    if not used.any():
        raise unfit(f"{modality}: no feature varies from trial to trial")
    rows = means[:, used]
    centre, sd = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    label = np.array([trial.label for trial in trials])
    return means, label, used, centre, sd, np.nan_to_num((rows - centre) / sd)


def linear_part(
    trials: Sequence[LabelledTrial],
    modality: str,
    n_labels: int,
    levels: _Array,
    tangent: Tangent | None = None,
) -> Part:
    """Return a linear classifier of trial means, as deviations from their levels (n_groups, F), as a part.

    `models.baselines.TunedSvm`, or with a ``tangent`` `logistic_planes` of its features alone. Levels,
    distances and what the classes add to the level are those of `lda_part`.
    """
    from models.baselines import TunedSvm, logistic_planes

    n_last = None if tangent is None else len(tangent.axes)
    part = lda_part(trials, modality, n_labels, levels, n_last=n_last)
    _, label, _, centre, sd, z = _standardised(trials, modality, n_last)
    if tangent is None:
        planes = TunedSvm(n_labels).fit(z, label, np.arange(len(z))).planes()
    else:  # lengths in the tangent space mean something: nothing is scaled
        planes, sd = logistic_planes(z * sd, label, n_labels), np.ones_like(sd)
        part = replace(part, tangent_mean=tangent.mean, tangent_axes=tangent.axes)
    weights, bias = planes[:, :-1] / sd, planes[:, -1]
    in_basis = np.column_stack([weights @ part.to_features, bias - weights @ centre])
    return replace(part, planes=_stored(in_basis).astype(np.float64))


def as_stored(arrays: Any) -> Any:
    """Return the arrays rounded to float32, so that what is stored and read again gives the same."""
    rounded = {
        name: _stored(array).astype(np.float64) if array.dtype == np.float64 else array
        for name, array in vars(arrays).items()
    }
    return type(arrays)(**rounded)


def _residuals(rows: _Array, keys: NDArray[np.int64]) -> tuple[_Array, int]:
    """Return rows less the means of their cells, person by session by label, and the degrees of freedom.

    Where every cell has one row, rows are deviations from their session's level, less the labels' means over
    several people; of one person alone nothing tells what labels do from what trials do. Where every session
    has one row, what differs between people has to do for what differs between trials.
    """
    residuals, n_means = _less_means(rows, keys)
    if len(rows) > n_means:
        return residuals, len(rows) - n_means
    if len(np.unique(keys[:, :2], axis=0)) == len(rows):
        residuals, n_means = _less_means(rows, keys[:, 2:])
        return residuals, max(len(rows) - n_means, 1)
    residuals, n_means = _less_means(rows, keys[:, :2])
    if len(np.unique(keys[:, 0])) > 1:
        residuals, n_labels = _less_means(residuals, keys[:, 2:])
        n_means += n_labels - 1
    return residuals, max(len(rows) - n_means, 1)


def _less_means(rows: _Array, keys: NDArray[np.int64]) -> tuple[_Array, int]:
    """Return rows less the mean of those of the same key, and the number of keys."""
    names, at = np.unique(keys, axis=0, return_inverse=True)
    residuals = rows.copy()
    for number in range(len(names)):
        group = at.ravel() == number
        residuals[group] -= known_mean(rows[group])
    return residuals, len(names)


def _distance_quantile(
    trials: Sequence[LabelledTrial],
    modality: str,
    who: NDArray[np.int64],
    gain: _Array,
    part: Part,
    cells: Cells,
    without: Callable[[int], Part],
    alone: bool,
) -> float:
    """Return the 99 % quantile of windows' distances: from the other people, or from oneself if alone."""
    found = []
    for person in range(who.max() + 1):
        stranger = without(person)
        if alone:
            stranger = replace(stranger, own=replace(cells, person=np.zeros_like(cells.person)))
        of_person = [trial for trial, number in zip(trials, who, strict=True) if number == person]
        stranger = replace(stranger, gain=gain[np.flatnonzero(who == person)[0]])
        for session in sorted({trial.session for trial in of_person}):
            held = [trial for trial in of_person if trial.session == session]
            # As live, the level a window is held against has not seen its trial.
            rest = max(len(held) - 1, 1)
            mean, variance = stranger.posterior(session, float(rest))
            moved = [
                trial.minus({modality: -np.nan_to_num(trial.mean(modality)[0]) / rest}) for trial in held
            ]
            windows, n_steps = _windows(moved, modality)
            z = stranger.own_rows(windows)
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


def unfit(what: str) -> InputError:
    return InputError(what, where="discriminant", remedy="fit it again", code=ErrorCode.DATA)
