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

Fitted in float64 and stored as float32; scored in torch, on the CPU.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from models.features.covariance import Tangent
from models.mixed_fit import Cells, Directions, Effects, Gains, SharedPart, TimeCourse
from models.mixed_part import (
    LabelledTrial,
    LevelPrior,
    Part,
    check_numbers,
    fit_part,
    lda_part,
    linear_part,
    own_level,
    planes_in,
    unfit,
)

_Array = NDArray[np.float64]
_Score = Callable[["_Scorer", Tensor, float], Tensor]

LEVEL_TRIALS = 10.0  # what a level rests on where nobody says so
_MOST_MASKS = 64  # scorers kept, one for each set of features


class MixedDiscriminant:
    """Tells labels by features of any modalities; immutable, see `fit`, `update` and `evidence`."""

    def __init__(
        self, parts: Mapping[str, Part], n_labels: int, session: int, level_trials: float = LEVEL_TRIALS
    ) -> None:
        self._parts = dict(parts)
        self.n_labels, self.session, self.level_trials = n_labels, session, level_trials
        self._posteriors: dict[str, tuple[_Array, _Array]] = {}
        self._scorers: dict[tuple[str, bytes], _Scorer] = {}

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self._parts)

    @classmethod
    def fit(
        cls, trials: Sequence[LabelledTrial], n_labels: int, *, person: str | None = None, n_bands: int = 5
    ) -> Self:
        """Learn from labelled trials of several people, or of one, as they are: levels are taken off here.

        ``person`` is whose labels are to be told, in their last session; without it those of someone unknown,
        whose trials `update` then adds. The covariance of EEG is shrunk to one of channels times one of
        ``n_bands``.

        Raises `InputError` if there are no trials, or none of a modality that has a feature that varies.
        """
        sessions = [trial.session for trial in trials if trial.person == person]
        bands = {"eeg": n_bands}
        parts = _parts_of(trials, lambda t, m, levels: fit_part(t, m, n_labels, person, bands.get(m), levels))
        return cls(parts, n_labels, max(sessions, default=0))

    @classmethod
    def lda(cls, trials: Sequence[LabelledTrial], n_labels: int, shrinkage: float | None = None) -> Self:
        """Return shrinkage LDA of the trials' means about their sessions' levels: see `lda_part`."""
        parts = _parts_of(trials, lambda t, m, levels: lda_part(t, m, n_labels, levels, shrinkage))
        return cls(parts, n_labels, 0)

    @classmethod
    def linear(cls, trials: Sequence[LabelledTrial], n_labels: int, tangent: Tangent | None = None) -> Self:
        """Return a linear classifier of the trials' means about their sessions' levels: `linear_part`.

        With a ``tangent``, whose rows the trials' EEG ends with, that reads EEG, and LDA the eyes.
        """

        def part(held: Sequence[LabelledTrial], modality: str, levels: _Array) -> Part:
            if tangent is not None and modality != "eeg":
                return lda_part(held, modality, n_labels, levels)
            return linear_part(held, modality, n_labels, levels, tangent)

        return cls(_parts_of(trials, part), n_labels, 0)

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
        return type(self)(parts, self.n_labels, trials[-1].session, self.level_trials)

    def aligned(self, trials: Sequence[LabelledTrial]) -> Self:
        """Return the discriminant for someone whose features vary as much as these trials' do.

        Labels do not count. Own trials are dropped: call it before `update`.
        """
        parts = {
            modality: part.aligned([t for t in trials if modality in t.steps], modality)
            for modality, part in self._parts.items()
        }
        return type(self)(parts, self.n_labels, self.session, self.level_trials)

    def restricted(self, labels: Sequence[int], known: Mapping[str, NDArray[np.bool_]]) -> Self:
        """Return the discriminant for some labels and ``known`` features (F,) by modality, no own trials."""
        kept = {m: part for m, part in self._parts.items() if m in known and (part.used & known[m]).any()}
        parts = {m: part.restricted(labels, known[m]) for m, part in kept.items()}
        return type(self)(parts, len(labels), self.session, self.level_trials)

    def part(self, modality: str) -> Part:
        return self._parts[modality]

    def in_session(self, session: int, level_trials: float = LEVEL_TRIALS) -> Self:
        """Return the discriminant for another session, whose unlabelled level rests on so many trials."""
        return type(self)(self._parts, self.n_labels, session, level_trials)

    def evidence(self, modality: str, mean: Tensor, n_steps: Tensor, known: Tensor) -> Tensor:
        """Return log-likelihoods (B, n_labels) of one modality, up to a constant; add those of several.

        ``mean`` (B, F) are means of ``n_steps`` (B,) consecutive steps about the level, anything where not
        ``known`` (B, F). What is unknown is integrated out, never filled in; rows with nothing known get 0.
        """
        return self._by_mask(modality, mean, n_steps, known, self.n_labels, _Scorer.log_likelihood)

    def of_trials(self, trials: Sequence[LabelledTrial]) -> Tensor:
        """Return the evidence (n, n_labels) of trials, as deviations from the level."""
        total = torch.zeros(len(trials), self.n_labels)
        for modality in self.modalities:
            at = [number for number, trial in enumerate(trials) if modality in trial.steps]
            if at:
                means, n_steps = zip(*(trials[number].mean(modality) for number in at), strict=True)
                mean = torch.from_numpy(np.stack(means))
                known = mean.isfinite()
                total[at] += self.evidence(modality, mean.nan_to_num(), torch.tensor(n_steps), known)
        return total

    def distance(self, modality: str, mean: Tensor, n_steps: Tensor, known: Tensor) -> Tensor:
        """Return (B,) the mean squared deviation from the nearest class, by known feature, in variances.

        A Mahalanobis distance squared over its dimension: about 1 for the data of training, see `Part.mark`.
        Arguments as of `evidence`; 0 where nothing is known.
        """
        return self._by_mask(modality, mean, n_steps, known, 1, _Scorer.distance)[:, 0]

    @property
    def tangent(self) -> Tangent | None:
        """Where covariances of EEG become features."""
        return self._parts["eeg"].tangent if "eeg" in self._parts else None

    def class_means(self, modality: str) -> _Array:
        """Return what each label adds to the level, (n_labels, F); 0 for features that never vary."""
        part = self._parts[modality]
        means = np.zeros((self.n_labels, part.used.size))
        means[:, part.used] = self._posterior(modality)[0] @ part.to_features.T
        return means - means.mean(axis=0)

    def _by_mask(
        self, modality: str, mean: Tensor, n_steps: Tensor, known: Tensor, width: int, score: _Score
    ) -> Tensor:
        """Return (B, width): rows are scored together where they know the same features of as many steps."""
        mean = mean.float()
        if modality not in self._parts:
            return mean.new_zeros(len(mean), width)
        masks, steps = known.numpy(), n_steps.tolist()
        if len(mean) == 1 or ((masks == masks[:1]).all() and len(set(steps)) == 1):
            scorer = self._scorer(modality, masks[0])
            return mean.new_zeros(len(mean), width) if scorer is None else score(scorer, mean, steps[0])
        result = mean.new_zeros(len(mean), width)
        groups: dict[tuple[bytes, float], list[int]] = {}
        for row, n in enumerate(steps):
            groups.setdefault((masks[row].tobytes(), n), []).append(row)
        for (_, n), rows in groups.items():
            if scorer := self._scorer(modality, masks[rows[0]]):
                result[rows] = score(scorer, mean[rows], n)
        return result

    def _scorer(self, modality: str, known: NDArray[np.bool_]) -> _Scorer | None:
        key = modality, known.tobytes()
        if key not in self._scorers:
            part = self._parts[modality]
            if known.shape != part.used.shape:
                raise unfit(f"{modality}: expected {part.used.size} features, found {known.size}")
            if not (known & part.used).any():
                return None
            while len(self._scorers) >= _MOST_MASKS:
                del self._scorers[next(iter(self._scorers))]
            posterior = self._posterior(modality)
            self._scorers[key] = _Scorer(part, known & part.used, *posterior)
        return self._scorers[key]

    def _posterior(self, modality: str) -> tuple[_Array, _Array]:
        if modality not in self._posteriors:
            self._posteriors[modality] = self._parts[modality].posterior(self.session, self.level_trials)
        return self._posteriors[modality]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors by name and settings for JSON, of which `from_state` makes the same again."""
        tensors, settings = {}, {}
        for modality, part in self._parts.items():
            arrays: dict[str, NDArray[Any]] = {
                "used": part.used,
                "size": part.effects.size,
                "gain": part.gain,
            }
            for name in _STORED:
                arrays |= {f"{name}.{key}": array for key, array in vars(getattr(part, name)).items()}
            more = {name: array for name in _OPTIONAL if (array := getattr(part, name)) is not None}
            arrays |= more
            for name, array in arrays.items():
                kept = array.astype(np.float32) if array.dtype == np.float64 else array
                tensors[f"{modality}.{name}"] = torch.from_numpy(np.ascontiguousarray(kept))
            settings[modality] = {
                "course": {name: float(value) for name, value in vars(part.course).items()},
                "shared": part.effects.shared,
                "own": part.effects.own,
                "mark": part.mark,
            } | ({"with": list(more)} if more else {})
        return tensors, {
            "n_labels": self.n_labels,
            "session": self.session,
            "level_trials": self.level_trials,
            "modalities": settings,
        }

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Self:
        """Return the discriminant of a `state`; raises `InputError` where it is incomplete or damaged."""
        try:
            n_labels, session = operator.index(settings["n_labels"]), operator.index(settings["session"])
            level_trials = float(settings["level_trials"])
            check_numbers("level_trials", np.array(level_trials), (), 0.0)
            parts = {}
            for modality, of_part in settings["modalities"].items():
                parts[modality] = _part_of(modality, tensors, of_part)
                parts[modality].check(n_labels)
            if not parts or not set(parts) <= set(MODALITIES):
                raise ValueError(f"expected some of {', '.join(MODALITIES)}, found {list(parts)}")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else error
            where = f"{modality}: " if "modality" in locals() else ""
            raise unfit(f"its stored form is damaged: {where}{said}") from error
        return cls(parts, n_labels, session, level_trials)


def _parts_of(
    trials: Sequence[LabelledTrial], fitted: Callable[[Sequence[LabelledTrial], str, _Array], Part]
) -> dict[str, Part]:
    """Return what is fitted to each modality's trials, about the levels (n_groups, F) of their sessions."""
    if not trials:
        raise unfit("expected labelled trials, found none")
    groups: dict[tuple[str, int], list[LabelledTrial]] = {}
    for trial in trials:
        groups.setdefault((trial.person, trial.session), []).append(trial)
    levels = {key: own_level(group) for key, group in groups.items()}
    centred = [trial.minus(levels[trial.person, trial.session]) for trial in trials]
    parts = {}
    for modality in MODALITIES:
        held = [trial for trial in centred if modality in trial.steps]
        if held:
            known = [level[modality] for level in levels.values() if modality in level]
            parts[modality] = fitted(held, modality, np.stack(known))
    if not parts:
        raise unfit("expected features in the trials, found none")
    return parts


_OPTIONAL = ("planes", "tangent_mean", "tangent_axes")  # arrays of a `Part` that some kinds have
_STORED: dict[str, Any] = {
    "directions": Directions,
    "shared": SharedPart,
    "own": Cells,
    "level": LevelPrior,
    "gains": Gains,
}


def _part_of(modality: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Any]) -> Part:
    held: dict[str, Any] = {}
    for name, kind in _STORED.items():
        arrays = {}
        for key in (part.name for part in fields(kind)):
            array = tensors[f"{modality}.{name}.{key}"].numpy()
            arrays[key] = (
                array.astype(np.float64) if kind is not LevelPrior and array.dtype == np.float32 else array
            )
        held[name] = kind(**arrays)
    for key in ("size", "gain", *(name for name in _OPTIONAL if name in settings.get("with", ()))):
        held[key] = tensors[f"{modality}.{key}"].numpy().astype(np.float64)
    return Part(
        used=tensors[f"{modality}.used"].numpy(),
        course=TimeCourse(*(settings["course"][part.name] for part in fields(TimeCourse))),
        effects=Effects(settings["shared"], settings["own"], held.pop("size")),
        mark=float(settings["mark"]),
        **held,
    )


def _float32(array: _Array) -> Tensor:
    return torch.tensor(array, dtype=torch.float32)


class _Scorer:
    """Class means and variances on one set of known features, diagonal for any number of steps.

    Unknown features are integrated out: covariances of the known ones are diagonalised anew. Where the
    posterior's variance differs between classes, only what of the difference is diagonal there is kept; on
    all features, and where classes have as many trials each, that is exact.
    """

    def __init__(self, part: Part, known: NDArray[np.bool_], mean: _Array, variance: _Array) -> None:
        directions, seen, planes = part.directions, known[part.used], part.planes
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
            planes = planes_in(planes, directions.between + common + directions.within, turned)
        self._mean, self._spread, self._course = mean, spread, part.course  # (C, K)
        self._at = None if known.all() else torch.from_numpy(np.flatnonzero(known))
        self._basis = _float32(basis.T / part.gain[seen][:, None])  # (K, K)
        self._planes = None if planes is None else _float32(planes.T)  # (K + 1, C)
        self._of_steps: dict[float, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def _in_basis(self, mean: Tensor) -> Tensor:
        return (mean if self._at is None else mean[:, self._at]) @ self._basis  # (B, K)

    def _squares(self, mean: Tensor, n_steps: float) -> tuple[Tensor, Tensor]:
        """Return sums over features of squared deviations in variances, and of log variances, (B, C)."""
        if n_steps not in self._of_steps:
            variance = self._spread + self._within * self._course.of_mean(n_steps)  # (C, K)
            inverse = 1 / variance
            self._of_steps[n_steps] = (
                _float32(inverse.T),
                _float32(-2 * (self._mean * inverse).T),
                _float32((self._mean**2 * inverse).sum(axis=1)),
                _float32(np.log(variance).sum(axis=1)),
            )
        square, cross, constant, log_variance = self._of_steps[n_steps]
        z = self._in_basis(mean)
        return (z * z) @ square + z @ cross + constant, log_variance

    def log_likelihood(self, mean: Tensor, n_steps: float) -> Tensor:
        """Return (B, C); of a linear classifier its logits."""
        if self._planes is not None:
            return self._in_basis(mean) @ self._planes[:-1] + self._planes[-1]
        squares, log_variance = self._squares(mean, n_steps)
        return -0.5 * (squares + log_variance)

    def distance(self, mean: Tensor, n_steps: float) -> Tensor:
        """Return (B, 1)."""
        return self._squares(mean, n_steps)[0].amin(dim=1, keepdim=True) / len(self._within)
