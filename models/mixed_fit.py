"""What the mixed discriminant learns from trials: covariances, their time course, and the sizes of effects.

Everything counts trials, never windows: the windows of a trial share what is particular to that trial.
Float64 throughout; D is the number of features in use, C that of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import scipy  # loads its packages when they are used: no session that only decodes waits for them
from numpy.typing import NDArray

_Array = NDArray[np.float64]

#: Shares of the structured target in the covariance between trials, and its ridges, to choose from.
_SHARES, _RIDGES = (0.1, 0.2, 0.4, 0.6, 0.8, 0.9), (0.05, 0.2, 0.5)
_MOST_FOLDS = 5
#: Size of a session's unknown level in the prior, in trial variances: wide, so that it is estimated anew.
LEVEL = 10.0
_N_FLIPS = 8  # of the separable target; it settles within five
_MAX_LAG = 12  # steps
_RHOS = np.linspace(0.0, 0.98, 50)
_EFFECTS = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56)
_N_ROUNDS, _MANY_PEOPLE = 3, 20  # of fewer people, more than one round follows chance
_EXPONENTS = (0.0, 0.5, 1.0)
_FACTORS, _FEW_FACTORS = np.geomspace(1 / 256, 256, 33), np.geomspace(1 / 32, 32, 21)
_LOG_FACTOR_SD = 1.0
_TAIL_DFS = (3.0, 5.0, 8.0, 15.0, 30.0, 100.0, 1e6)
_N_SCALES = 20
_MARGIN = 5.0
_OWN = 0.15  # size of one's own effects where there is nobody to fit it on
_LEAST = 1e-6  # share of the mean variance that every direction has


@dataclass(frozen=True)
class TimeCourse:
    """How variance within a trial averages out: nugget ``w`` and autoregressive part ``v``, w + v = 1."""

    w: float = 1.0
    v: float = 0.0
    rho: float = 0.0  # correlation of the second part from one step to the next

    def of_mean(self, n: _Array | float) -> _Array:
        """Return the variance of a mean of ``n`` consecutive steps, 1 for one step."""
        n = np.maximum(np.asarray(n, dtype=np.float64), 1.0)
        rho = self.rho
        drift = (1 + rho) / (1 - rho) - 2 * rho * (1 - rho**n) / (n * (1 - rho) ** 2)
        return np.asarray(self.w / n + self.v / n * drift)


def time_course(trials: Sequence[_Array]) -> TimeCourse:
    """Fit ``w + v (1 - rho^h)`` to the variogram of steps (n_steps, D), pooled over trials and features.

    Lags up to 12 steps, and half of the longest trial. A variogram needs no mean, so slow drift does not
    bias it. Each feature counts by its own scale; one that is constant within trials does not count.
    """
    n_lags = min(_MAX_LAG, max((len(steps) for steps in trials), default=0) // 2)
    if n_lags < 2:
        return TimeCourse()
    sums = np.zeros((n_lags, trials[0].shape[1]))
    pairs = np.zeros_like(sums)
    for steps in trials:
        for lag in range(1, min(n_lags, len(steps) - 1) + 1):
            squares = (steps[lag:] - steps[:-lag]) ** 2 / 2
            pairs[lag - 1] += np.isfinite(squares).sum(axis=0)
            sums[lag - 1] += np.nansum(squares, axis=0)
    moves = (sums.sum(axis=0) > 0) & (pairs > 0).all(axis=0)
    if not moves.any():
        return TimeCourse()
    gamma = sums[:, moves] / pairs[:, moves]
    variogram = (gamma / gamma.mean(axis=0)).mean(axis=1)
    weight = np.sqrt(pairs[:, moves].mean(axis=1))
    lags = np.arange(1, n_lags + 1)
    fits = []
    for rho in _RHOS:
        curves = np.column_stack([np.ones(n_lags), 1 - rho**lags])
        (w, v), error = scipy.optimize.nnls(curves * weight[:, None], variogram * weight)
        fits.append((error, w, v, rho))
    _, w, v, rho = min(fits)
    return TimeCourse(float(w / (w + v)), float(v / (w + v)), float(rho))


@dataclass(frozen=True, eq=False)
class Gains:
    """How much more or less one person's features vary than others', by group of features; needs no labels.

    The steps of a trial vary about its mean; the log of by how much, against all training people, is averaged
    over trials and drawn to 0 as far as it would be chance.
    """

    group: NDArray[np.int64]  # (D,) group of each feature: EEG bands
    variance: _Array  # (D,) of a step within its trial, of training people; 0 where none
    centre: _Array  # (n_groups,) mean log gain of training people's sessions
    of_people: _Array  # (n_groups,) variance of the log gain from one session of somebody to another's
    of_trials: _Array  # (n_groups,) from trial to trial

    @classmethod
    def fit(
        cls,
        sessions: Sequence[Sequence[_Array]],
        group: NDArray[np.int64],
        variance: _Array,
        course: TimeCourse,
    ) -> Gains:
        """Learn how gains are spread from people's sessions, each a list of trials' steps (n_steps, D)."""
        n_groups = int(group.max()) + 1
        nothing = np.zeros(n_groups)
        plain = cls(group, variance, nothing, nothing, nothing)
        logs = [plain._of_trials(trials, course) for trials in sessions]
        logs = [each for each in logs if len(each) > 1]
        if len(logs) < 2:
            return plain
        means = np.stack([each.mean(axis=0) for each in logs])
        of_trials = np.mean([each.var(axis=0, ddof=1) for each in logs], axis=0)
        chance = of_trials * np.mean([1 / len(each) for each in logs])
        of_people = np.maximum(means.var(axis=0, ddof=1) - chance, 0.0)
        return cls(group, variance, means.mean(axis=0), of_people, of_trials)

    def of(self, trials: Sequence[_Array], course: TimeCourse) -> _Array:
        """Return the gain (D,) of one person's session, to divide deviations from the level by."""
        logs = self._of_trials(trials, course)
        if not len(logs) or not self.of_people.any():
            return np.ones(len(self.group))
        belief = self.of_people / np.maximum(self.of_people + self.of_trials / len(logs), 1e-12)
        return np.asarray(np.exp(belief * (logs.mean(axis=0) - self.centre))[self.group])

    def _of_trials(self, trials: Sequence[_Array], course: TimeCourse) -> _Array:
        """Return log gains (n, n_groups) of the trials in which every group varies."""
        logs, moves = [], self.variance > 0
        for steps in trials:
            known = np.isfinite(steps)
            n_known = known.sum(axis=0)
            mean = np.where(known, steps, 0.0).sum(axis=0) / np.maximum(n_known, 1)
            squares = (np.where(known, steps - mean, 0.0) ** 2).sum(axis=0)
            expected = self.variance * n_known * (1 - course.of_mean(n_known))
            usable = moves & (expected > 0)
            n_groups = len(self.centre)
            sums = np.bincount(self.group[usable], squares[usable] / expected[usable], n_groups)
            counts = np.bincount(self.group[usable], minlength=n_groups)
            if counts.all() and sums.all():
                logs.append(np.log(sums / counts) / 2)
        return np.reshape(logs, (-1, len(self.centre)))


@dataclass(frozen=True)
class Shrinkage:
    """How far a covariance is drawn to its structured target, and that target's factors to the identity."""

    share: float = 0.8
    ridge: float = 0.05


def separable_target(covariance: _Array, n_bands: int, ridge: float = 0.05) -> _Array:
    """Return the nearest product of channels' and bands' covariance, ridged (flip-flop; Dutilleul 1999)."""
    n_channels = len(covariance) // n_bands
    blocks = covariance.reshape(n_channels, n_bands, n_channels, n_bands)
    bands = np.eye(n_bands)
    for _ in range(_N_FLIPS):
        inverse = np.linalg.inv(bands)
        channels = _ridged(np.einsum("ikjl,kl->ij", blocks, inverse) / n_bands, ridge)
        inverse = np.linalg.inv(channels)
        bands = _ridged(np.einsum("ikjl,ij->kl", blocks, inverse) / n_channels, ridge)
        bands /= np.trace(bands) / n_bands
    return np.asarray(np.kron(channels, bands))


def _ridged(matrix: _Array, share: float) -> _Array:
    mean = max(float(np.trace(matrix)) / len(matrix), 1e-12)
    return (1 - share) * (matrix + matrix.T) / 2 + share * mean * np.eye(len(matrix))


def structured_target(covariance: _Array, n_bands: int | None, ridge: float) -> _Array:
    """Return the separable target of EEG (``n_bands``), or the diagonal."""
    if n_bands is None or len(covariance) % n_bands:
        return np.diag(np.diag(covariance))
    return separable_target(covariance, n_bands, ridge)


def shrunk(covariance: _Array, how: Shrinkage, n_bands: int | None) -> _Array:
    """Return a covariance drawn to its structured target; it has full rank."""
    return _mixed(covariance, structured_target(covariance, n_bands, how.ridge), how.share)


def _mixed(covariance: _Array, target: _Array, share: float) -> _Array:
    mixed = (1 - share) * covariance + share * target
    mixed[np.diag_indices_from(mixed)] += _LEAST * np.trace(mixed) / len(mixed)
    return mixed


def best_shrinkage(residuals: _Array, group: NDArray[np.int64], n_bands: int | None) -> Shrinkage:
    """Return the shrinkage under which residuals (n, D) are likeliest, whole groups (n,) held out."""
    names = np.unique(group)
    n_folds = min(_MOST_FOLDS, len(names))
    if n_folds < 2:
        return Shrinkage()
    fold = np.searchsorted(names, group) % n_folds
    ridges = _RIDGES if n_bands is not None else _RIDGES[:1]
    found = np.zeros((len(ridges), len(_SHARES)))
    for number in range(n_folds):
        held = np.where(np.isfinite(residuals), residuals, 0.0)[fold == number]
        covariance = positive(scatter(residuals[fold != number]) / max((fold != number).sum(), 1))
        if not np.trace(covariance) > 0:
            continue  # cells of one trial each: nothing is left of them
        for at, ridge in enumerate(ridges):
            target = structured_target(covariance, n_bands, ridge)
            for column, share in enumerate(_SHARES):
                factor = np.linalg.cholesky(_mixed(covariance, target, share))
                white = scipy.linalg.solve_triangular(factor, held.T, lower=True)
                found[at, column] -= (white**2).sum() / 2 + len(held) * np.log(np.diag(factor)).sum()
    if not found.any():
        return Shrinkage()
    best = divmod(int(found.argmax()), len(_SHARES))
    return Shrinkage(_SHARES[best[1]], ridges[best[0]])


def scatter(rows: _Array) -> _Array:
    """Return Σ r rᵀ of rows (n, D); a pair of features counts where both are known, scaled up to all rows."""
    known = np.isfinite(rows)
    filled = np.where(known, rows, 0.0)
    total = filled.T @ filled
    if known.all():
        return total
    both = known.T.astype(np.float64) @ known
    return np.where(both > 0, total * len(rows) / np.maximum(both, 1), 0.0)


def positive(matrix: _Array) -> _Array:
    """Return the matrix with negative eigenvalues set to 0: those that pairwise counts can leave."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def filled_in(rows: _Array, covariance: _Array) -> _Array:
    """Return rows (n, D) with each NaN replaced by what the row's known features lead to expect."""
    known = np.isfinite(rows)
    result = np.where(known, rows, 0.0)
    partly = ~known.all(axis=1)
    for mask in np.unique(known[partly], axis=0):
        at = np.flatnonzero(partly & (known == mask).all(axis=1))
        if mask.any():
            weights = np.linalg.solve(covariance[np.ix_(mask, mask)], covariance[np.ix_(mask, ~mask)])
            result[np.ix_(at, ~mask)] = result[np.ix_(at, mask)] @ weights
    return result


@dataclass(frozen=True, eq=False)
class Directions:
    """A basis in which variance between and within trials are both diagonal, and sum to 1."""

    basis: _Array  # (D, D): z = basis @ x
    between: _Array  # (D,) of a trial's own offset
    within: _Array  # (D,) of one step

    @classmethod
    def of(cls, between: _Array, within: _Array) -> Directions:
        """Diagonalise both covariances (D, D); their sum must have full rank, the parts need not.

        The basis that makes within-trial noise white would do the same, but features that are constant
        within a trial have none.
        """
        values, vectors = scipy.linalg.eigh(between, between + within)
        share = np.clip(values, 0.0, 1.0)
        return cls(vectors.T, share, 1.0 - share)


@dataclass(frozen=True, eq=False)
class Cells:
    """Trials of one person, session and label as sums, in the basis of `Directions`."""

    person: NDArray[np.int64]  # (n,)
    session: NDArray[np.int64]  # (n,) a number for each person's session
    label: NDArray[np.int64]  # (n,)
    count: _Array  # (n,) trials
    total: _Array  # (n, D) of the trials' means
    noise: _Array  # (n,) sum over trials of `TimeCourse.of_mean`

    @classmethod
    def none(cls, n: int) -> Cells:
        """Return no cells of D = ``n``."""
        number = np.zeros(0, dtype=np.int64)
        return cls(number, number, number, np.zeros(0), np.zeros((0, n)), np.zeros(0))

    @property
    def scaled(self) -> _Array:
        """Means times the square root of the counts, so that every cell has the noise of one trial."""
        return self.total / np.sqrt(self.count)[:, None]

    def of_person(self, person: int, *, others: bool = False) -> Cells:
        """Return one person's cells, or all but those."""
        kept = (self.person == person) != others
        return Cells(*(array[kept] for array in vars(self).values()))


def trial_weights(distance: _Array, n_features: int) -> _Array:
    """Return how much each trial counts, 1 on average, by its squared distance (n,) from its cell's mean.

    Trials whose distances are spread as in a t distribution of few degrees of freedom count less the further
    out they lie (Lange, Little and Taylor 1989); where none is likelier than the Gaussian by `_MARGIN` nats,
    all count alike.
    """

    def fit(df: float) -> tuple[float, _Array]:
        scale = distance.mean() / n_features
        for _ in range(_N_SCALES):
            weight = (df + n_features) / (df + distance / scale)
            scale = float((weight * distance).mean()) / n_features
        likelihood = (
            scipy.special.gammaln((df + n_features) / 2)
            - scipy.special.gammaln(df / 2)
            - n_features / 2 * np.log(df * scale)
        )
        likelihood = likelihood - (df + n_features) / 2 * np.log1p(distance / (df * scale))
        return float(likelihood.sum()), weight

    fits = [fit(df) for df in _TAIL_DFS]
    likelihoods = [likelihood for likelihood, _ in fits]
    best = int(np.argmax(likelihoods))
    if likelihoods[best] < likelihoods[-1] + _MARGIN:  # the last is as good as Gaussian
        return np.ones(len(distance))
    return np.asarray(fits[best][1] / fits[best][1].mean())


def gather(
    person: NDArray[np.int64],
    session: NDArray[np.int64],
    label: NDArray[np.int64],
    means: _Array,
    noise: _Array,
    weight: _Array | None = None,
) -> Cells:
    """Return the cells of trials: who, when, which (n,), means (n, D), and variance of each mean (n,).

    A trial of ``weight`` (n,) 2 counts as two.
    """
    weight = np.ones(len(means)) if weight is None else weight
    return summed(Cells(person, session, label, weight, means * weight[:, None], noise * weight))


def summed(cells: Cells) -> Cells:
    """Return the cells with those of the same person, session and label as one, in the order of these."""
    names, at = np.unique(
        np.column_stack([cells.person, cells.session, cells.label]), axis=0, return_inverse=True
    )
    sums = [np.zeros((len(names), *array.shape[1:])) for array in (cells.count, cells.total, cells.noise)]
    for array, values in zip(sums, (cells.count, cells.total, cells.noise), strict=True):
        np.add.at(array, at.ravel(), values)
    return Cells(*names.T.astype(np.int64), *sums)


@dataclass(frozen=True, eq=False)
class Effects:
    """Sizes of the class effects in the prior."""

    shared: float  # of the part that people have in common, in units of ``size``
    own: float  # of the part that each has alone; of many people both add up to 1
    size: _Array  # (D,) variance of an effect of size 1 in each direction


def default_effects(directions: Directions) -> Effects:
    """Return what holds for one person alone: a session has a cell a class, too few to tell sizes by."""
    return Effects(0.0, _OWN, directions.between)


def fit_effects(cells: Cells, directions: Directions) -> Effects:
    """Return the sizes of greatest marginal likelihood over several people's cells.

    First one size for all directions, which follow the variance between trials, or within, or both; then
    each direction's own factor, averaged over its likelihood times a log-normal prior about 1; and of many
    people both anew, since few directions carry what labels do, and the others say that there is nothing.
    """
    if len(np.unique(cells.person)) < 2:
        return default_effects(directions)
    noise = directions.between + directions.within * (cells.noise.sum() / cells.count.sum())
    total = directions.between.sum()
    sizes = []
    for exponent in _EXPONENTS:
        size = directions.between**exponent * directions.within ** (1 - exponent)
        sizes.append(size * total / max(size.sum(), 1e-12))

    def spectrum(shared: float, own: float) -> tuple[_Array, _Array]:
        values, vectors = np.linalg.eigh(cell_covariance(cells, shared, own))
        return np.maximum(values, 0)[:, None], (vectors.T @ cells.scaled) ** 2  # (n, 1) and (n, D)

    spectra, begun = {pair: spectrum(*pair) for pair in product(_EFFECTS, _EFFECTS)}, None
    many = len(np.unique(cells.person)) >= _MANY_PEOPLE
    n_rounds, factors = (_N_ROUNDS, _FACTORS) if many else (1, _FEW_FACTORS)
    for _ in range(n_rounds):
        best, found = -np.inf, default_effects(directions)
        for (shared, own), (values, turned) in spectra.items():
            for size in sizes:
                likelihood = float(_log_likelihood(values * size + noise, turned).sum())
                if likelihood > best:
                    best, found = likelihood, Effects(shared, own, size)
        if found.shared + found.own == 0:
            return found
        unit = found.shared + found.own if many else 1.0
        found = Effects(found.shared / unit, found.own / unit, found.size * unit)
        begun = found.size if begun is None else begun * unit
        values, turned = spectrum(found.shared, found.own)
        log_weight = (
            np.stack([_log_likelihood(values * begun * factor + noise, turned) for factor in factors])
            - 0.5 * (np.log(factors)[:, None] / _LOG_FACTOR_SD) ** 2
        )
        weight = np.exp(log_weight - log_weight.max(axis=0))
        sizes = [begun * (weight * factors[:, None]).sum(axis=0) / weight.sum(axis=0)]
    return replace(found, size=sizes[0])


def _log_likelihood(variance: _Array, squares: _Array) -> _Array:
    """Return (D,) the log-likelihood of Gaussian coordinates (n, D), without its constant."""
    return np.asarray(-0.5 * (np.log(variance) + squares / variance).sum(axis=0))


def cell_covariance(cells: Cells, shared: float, own: float) -> _Array:
    """Return K (n, n) of `Cells.scaled` in the prior, without noise, in trial variances."""
    person = cells.person[:, None] == cells.person
    label = cells.label[:, None] == cells.label
    session = person & (cells.session[:, None] == cells.session)
    root = np.sqrt(cells.count)
    return (shared * label + own * (label & person) + LEVEL * session) * root[:, None] * root


@dataclass(frozen=True, eq=False)
class SharedPart:
    """Posterior of the class effects that people share: all that a new person takes from the others."""

    mean: _Array  # (C, D)
    covariance: _Array  # (D, C, C)


def shared_part(cells: Cells, directions: Directions, effects: Effects, n_labels: int) -> SharedPart:
    """Return the exact posterior given other people's cells; the prior where there are none."""
    size = effects.size * effects.shared
    prior = np.eye(n_labels) * size[:, None, None]
    if not len(cells.count) or effects.shared == 0:
        return SharedPart(np.zeros((n_labels, size.size)), prior)
    values, vectors = np.linalg.eigh(cell_covariance(cells, effects.shared, effects.own))
    noise = directions.between + directions.within * (cells.noise.sum() / cells.count.sum())
    inverse = 1 / (np.maximum(values, 0)[:, None] * effects.size + noise)  # (n_cells, D)
    has = np.sqrt(cells.count) * (cells.label == np.arange(n_labels)[:, None])  # (C, n_cells)
    turned = has @ vectors
    mean = size * (turned @ (inverse * (vectors.T @ cells.scaled)))
    explained = np.einsum("ci,id,ei->dce", turned, inverse, turned) * (size**2)[:, None, None]
    return SharedPart(mean, prior - explained)
