"""A subject's own level, found while the session runs, and how far each modality's signal can be relied on.

Subjects differ more from each other than one does from trial to trial, so features count as deviations from
the subject's own mean in this session, the *level*. No label enters: it begins at the training mean and moves
to what is seen with the weight ``n / (n + kappa)``, feature by feature, where n are the trials' worth of data
so far and kappa is the variance of trials over that of levels across subjects (empirical Bayes).

A lasting emotion would be taken for the level and vanish. So what the current answer says the emotion adds
is subtracted before a second enters, and n is bounded for each emotion told: a lasting one adds no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from acquisition.windowing import WindowConfig
from models.agreement import Agreement
from models.config import EvidenceConfig
from models.fusion import weighed
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import LARGEST, check_numbers, known_mean, mean_of, unfit
from models.prediction import Given
from models.trust import LEAST_RELIABLE
from models.window_batch import NetworkInput

#: Steps a second apart of a window or a session, oldest first, (n, F) by modality; NaN where unknown.
Recent = Mapping[str, NDArray[np.floating]]

_WORTHS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # trials: evidence knows how much its level rests on
_LEAST_WORTH = 1.0  # trials: before, a level is no measure of what is far from it
_DOUBT = 0.1  # share of the answer that counts as any emotion, so that a wrong one does not confirm itself
_ARTEFACT_S = 30.0  # chosen: movements and loose cables last less
_KNOWN_S = 10.0  # of a reliable signal, before something else is an artefact
_CLEAN = (0.005, 0.995)  # quantiles of clean signals beyond which reliability falls; to 0 at twice as far
_LEAST_RATIO = 1e-6  # a signal that stands still
_FAR = 20.0  # squared, in variances of an unknown subject: a feature 4.5 SD away, in the median over features


class RunningLevel:
    """The level of one session; ``fixed`` means by modality, of a baseline or profile, do not run."""

    def __init__(
        self,
        discriminant: MixedDiscriminant,
        config: EvidenceConfig,
        fixed: Mapping[str, NDArray[np.floating]] | None = None,
    ) -> None:
        self._config = config
        self._prior = {m: discriminant.part(m).level for m in discriminant.modalities}
        self._effects = {m: discriminant.class_means(m) for m in discriminant.modalities}
        shapes = {m: (discriminant.n_labels, len(prior.mean)) for m, prior in self._prior.items()}
        self._sum = {m: np.zeros(shape) for m, shape in shapes.items()}  # by the label that was told
        self._worth = {m: np.zeros(shape) for m, shape in shapes.items()}  # in trials
        self._known_worth: float | None = None
        self._means: dict[str, NDArray[np.float64]] = {}  # until it moves: asked for often
        self._most = max(config.max_trials / discriminant.n_labels, 1.0)
        #: By modality: seconds for which it was reliable, and for which it has been unreliable since.
        self._reliable_s, self._unlike_s = dict.fromkeys(shapes, 0.0), dict.fromkeys(shapes, 0.0)
        self.agreement = Agreement(len(MODALITIES), discriminant.n_labels, config.level_temperature)
        self.fixed = fixed
        self.is_known = fixed is not None  # beforehand, as a profile's: it may lie anywhere

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self._prior)

    @property
    def worth(self) -> float:
        """Trials' worth of data that it rests on: of the modality that has most."""
        if self._known_worth is None:  # asked for often, and it changes once a second
            of_modalities = (float(np.median(worth.sum(axis=0))) for worth in self._worth.values())
            self._known_worth = max(of_modalities, default=0.0)
        return self._known_worth

    def state(self) -> dict[str, dict[str, Any]]:
        """Return what it has seen, for JSON; `restore` continues from there to the bit."""
        seen: dict[str, dict[str, Any]] = {
            m: {"sum": self._sum[m].tolist(), "worth": self._worth[m].tolist()} for m in self.modalities
        }
        for modality, content in seen.items():
            content |= {"reliable_s": self._reliable_s[modality], "unlike_s": self._unlike_s[modality]}
        return seen | {"agreement": self.agreement.state()}

    def restore(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue from a `state`; raises `ValueError` if it does not fit."""
        if "agreement" in state:  # older recordings have none
            self.agreement.restore(state["agreement"])
        for own, name in ((self._sum, "sum"), (self._worth, "worth")):
            for modality in self.modalities:
                values = np.array(state[modality][name], dtype=np.float64)
                least = 0.0 if name == "worth" else -LARGEST
                check_numbers(f"{modality}: {name}", values, own[modality].shape, least)
                own[modality] = values
        for modality in self.modalities:  # older recordings have none
            for seconds, name in ((self._reliable_s, "reliable_s"), (self._unlike_s, "unlike_s")):
                value = np.array(state[modality].get(name, 0.0), dtype=np.float64)
                check_numbers(f"{modality}: {name}", value, (), 0.0)
                seconds[modality] = float(value)
        self._known_worth, self._means = None, {}

    def mean(self, modality: str) -> NDArray[np.float64]:
        """Return the level (F,) of a modality that the discriminant knows."""
        prior = self._prior[modality]
        if self.fixed is not None and modality in self.fixed:
            return np.where(np.isfinite(self.fixed[modality]), self.fixed[modality], prior.mean)
        if modality in self._means:
            return self._means[modality]
        kappa = prior.kappa.astype(np.float64)
        total, worth = (part[modality].sum(axis=0) for part in (self._sum, self._worth))
        weight = worth + kappa
        # A feature that no trial ever moves has no kappa: its first step is its level.
        seen = (total + kappa * prior.mean) / np.where(weight > 0, weight, 1.0)
        self._means[modality] = np.where(weight > 0, seen, prior.mean)
        return self._means[modality]

    def take(
        self,
        recent: Recent,
        evidence: NDArray[np.floating],
        seconds: float = 1.0,
        reliability: Tensor | None = None,
    ) -> None:
        """Take the newest steps in; ``evidence`` (n_labels,) is the sum of the discriminant's about them.

        By ``reliability`` (4,), see `SignalRange`, an artefact leaves no trace: what has become unlike the
        signals of training is not taken for 30 s. What lasts longer is what this subject's signals are.
        """
        logits = evidence / self._config.level_temperature
        probs = np.exp(logits - logits.max())
        probs = (1 - _DOUBT) * probs / probs.sum() + _DOUBT / len(probs)
        share, told = seconds / self._config.trial_s, int(probs.argmax())
        for modality, steps in recent.items():
            if modality not in self._prior or not len(steps):
                continue
            if reliability is not None:
                is_unlike = float(reliability[MODALITIES.index(modality)]) < LEAST_RELIABLE
                self._unlike_s[modality] = self._unlike_s[modality] + seconds if is_unlike else 0.0
                self._reliable_s[modality] += 0.0 if is_unlike else seconds
                is_artefact = is_unlike and self._unlike_s[modality] <= _ARTEFACT_S
                if is_artefact and self._reliable_s[modality] > _KNOWN_S:
                    continue
            step = np.asarray(steps[-1], dtype=np.float64)
            total, worth = self._sum[modality][told], self._worth[modality][told]
            # What lasts says no more once it has had its say.
            known = np.isfinite(step) & (worth < self._most)
            total[known] += share * (step - probs @ self._effects[modality])[known]
            worth[known] += share
        self._known_worth, self._means = None, {}


@dataclass(frozen=True, eq=False)
class SignalRange:
    """What signals are like in training: how steps vary, and how far they lie from the nearest class."""

    #: (F,) mean squared difference of steps a second apart, NaN: unknown.
    steps: Mapping[str, NDArray[np.float32]]
    #: Least and largest log ratio to ``steps``, and distance: of subjects left out in turn, by modality.
    bounds: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    @classmethod
    def fit(cls, steps: Mapping[str, Sequence[NDArray[np.floating]]]) -> SignalRange:
        """Take the steps (n, F) of trials, by modality; `within` adds the bounds."""
        found = {}
        for modality, trials in steps.items():
            squares = np.concatenate([np.diff(trial, axis=0) ** 2 for trial in trials if len(trial) > 1])
            mean = known_mean(squares)
            found[modality] = np.where(mean > 0, mean, np.nan).astype(np.float32)
        return cls(found)

    def within(self, measures: Tensor) -> SignalRange:
        """Return the range with the bounds of `Evidence.measures` (n, 4, 2) of clean signals."""
        bounds = {}
        for at, modality in enumerate(MODALITIES):
            ratio, distance = measures[:, at].double().numpy().T
            ratio, distance = ratio[np.isfinite(ratio)], distance[np.isfinite(distance)]
            low, high = np.quantile(ratio, _CLEAN) if len(ratio) else (-math.inf, math.inf)
            mark = float(np.quantile(distance, _CLEAN[1])) if len(distance) else math.inf
            bounds[modality] = float(low), float(high), mark
        return replace(self, bounds=bounds)

    def stated_bounds(self) -> dict[str, list[float | None]]:
        """Return the bounds for JSON, which knows no infinity: None where there is none."""
        return {m: [b if math.isfinite(b) else None for b in three] for m, three in self.bounds.items()}

    @classmethod
    def of_stored(
        cls, steps: Mapping[str, NDArray[np.float32]], stated: object, sizes: Mapping[str, int]
    ) -> SignalRange:
        """Return the range of arrays and `stated_bounds` for features of such sizes, by modality.

        Raises `InputError` where one is missing, of another size, or not in order.
        """
        nowhere, bounds = (-math.inf, math.inf, math.inf), {}
        try:
            for modality, three in stated.items():  # type: ignore[attr-defined]
                pairs = zip(three, nowhere, strict=True)
                low, high, mark = (end if bound is None else float(bound) for bound, end in pairs)
                if modality not in MODALITIES or not (low <= high and mark > 0):
                    raise ValueError(f"{modality}: {three}")
                bounds[modality] = low, high, mark
        except (AttributeError, TypeError, ValueError) as error:
            raise unfit(f"signal_bounds: expected low, high and mark by modality: {error}") from error
        for modality, array in steps.items():
            expected = sizes.get(modality)
            if array.shape != (expected,) or not (np.isnan(array) | (array > 0) & (array < np.inf)).all():
                raise unfit(f"steps.{modality}: expected {expected} numbers above 0, or NaN where unknown")
        return cls(steps, bounds)

    def log_ratio(self, modality: str, steps: NDArray[np.floating]) -> float:
        """Return the log of the steps' (n, F) variance over that of training, the median over features."""
        if modality not in self.steps or len(steps) < 2:
            return math.nan
        squares = np.diff(steps, axis=0) ** 2
        known = np.isfinite(squares).any(axis=0) & np.isfinite(self.steps[modality])
        ratios = (known_mean(squares) / self.steps[modality])[known]
        return math.log(max(float(np.median(ratios)), _LEAST_RATIO)) if len(ratios) else math.nan

    def reliability(self, measures: Tensor) -> Tensor:
        """Return (..., 4) of `Evidence.measures` (..., 4, 2): 1 within the bounds or unknown, down to 0."""
        found = torch.ones(measures.shape[:-1])
        for at, modality in enumerate(MODALITIES):
            if modality in self.bounds:
                low, high, mark = self.bounds[modality]
                ratio, distance = measures[..., at, 0], measures[..., at, 1]
                outside = torch.maximum(low - ratio, ratio - high).clamp_min(0.0).nan_to_num(0.0)
                far = (distance / mark - 1).clamp_min(0.0).nan_to_num(0.0)
                found[..., at] = (1 - torch.maximum(outside / math.log(2.0), far)).clamp_min(0.0)
        return found


class Evidence:
    """What a discriminant says of windows, beside the network: see `models.config.EvidenceConfig`."""

    def __init__(
        self, discriminant: MixedDiscriminant, of_training: SignalRange, config: EvidenceConfig
    ) -> None:
        self.discriminant, self.range, self.config = discriminant, of_training, config
        self._n = dict(zip(MODALITIES, config.n_steps, strict=True))
        # What rests on a level of little data is less sure: the level's variance is part of the classes'.
        # The training mean, with which it begins, counts as kappa trials.
        kappa = [np.median(discriminant.part(m).level.kappa) for m in discriminant.modalities]
        prior_worth, session = float(np.median(kappa)), discriminant.session
        self._variances: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        self._by_worth = {n: discriminant.in_session(session, n + prior_worth) for n in _WORTHS}

    def given(self, recent: Recent, level: RunningLevel) -> dict[str, Given]:
        """Return the newest seconds' mean about the level, by modality that holds anything."""
        found = {}
        for modality in self.discriminant.modalities:
            if len(recent.get(modality, ())):
                mean, n_steps = mean_of(recent[modality][-self._n[modality] :])
                known = np.isfinite(mean)
                if known.any():
                    deviation = np.where(known, mean - level.mean(modality), 0.0).astype(np.float32)
                    found[modality] = Given(deviation, n_steps, known, self._worth_of(level))
        return found

    def _worth_of(self, level: RunningLevel) -> float:
        """Return the largest of `_WORTHS` that the level reaches, the most where it does not run."""
        if level.fixed is not None:
            return _WORTHS[-1]
        reached = level.worth
        return max((worth for worth in _WORTHS if worth <= reached), default=_WORTHS[0])

    def of_window(self, recent: Recent, level: RunningLevel) -> tuple[Tensor, Tensor]:
        """Return evidence (4, n_labels) and `measures` (4, 2) of a window; of absent modalities 0 and NaN."""
        given = self.given(recent, level)
        return self.scores(given), self.measures(recent, given, level)

    def scores(self, given: Mapping[str, Given]) -> Tensor:
        """Return evidence (4, n_labels), about its mean over the labels; 0 for absent modalities."""
        found = torch.zeros(len(MODALITIES), self.discriminant.n_labels)
        for modality, of_modality in given.items():
            discriminant = self._by_worth[of_modality.level_trials]
            found[MODALITIES.index(modality)] = discriminant.evidence(modality, *of_modality.tensors)[0]
        return found - found.mean(dim=1, keepdim=True)

    def measures(self, recent: Recent, given: Mapping[str, Given], level: RunningLevel) -> Tensor:
        """Return (4, 2): log ratio of the step variance, and distance from the nearest class; or NaN."""
        found = torch.full((len(MODALITIES), 2), torch.nan)
        has_level = level.worth >= _LEAST_WORTH or level.fixed is not None
        for modality, of_modality in given.items():
            at = MODALITIES.index(modality)
            found[at, 0] = self.range.log_ratio(modality, recent[modality])
            if has_level:
                found[at, 1] = self.discriminant.distance(modality, *of_modality.tensors)[0]
            far = 0.0 if level.is_known else self._from_training(modality, of_modality, level) / _FAR
            if far > 1:  # a level of its own must not make noise look like what is to be expected
                mark = self.range.bounds.get(modality, (0.0, 0.0, math.inf))[2]
                if mark < math.inf:
                    found[at, 1] = max(float(found[at, 1].nan_to_num(0.0)), far * mark)
        return found

    def _from_training(self, modality: str, given: Given, level: RunningLevel) -> float:
        """Return how far the newest seconds lie from the training subjects', squared, the median feature's.

        In variances of what an unknown subject's seconds are: of levels across subjects (no less than trials
        vary, since few subjects may be alike by chance), of trials and within them.
        """
        part = self.discriminant.part(modality)
        if modality not in self._variances:
            to_features = (part.gain[:, None] * part.to_features) ** 2
            trial = to_features @ part.directions.between
            kappa = part.level.kappa[part.used]
            # Of a single subject nobody knows how others differ.
            people = math.inf if (kappa == 1).all() else trial / np.clip(kappa, 1e-6, 1.0)
            self._variances[modality] = people + trial, to_features @ part.directions.within
        among, within = self._variances[modality]
        known = given.known[part.used]
        x = (given.deviation + level.mean(modality) - part.level.mean)[part.used]
        squares = x**2 / (among + within * part.course.of_mean(given.n_steps))
        return float(np.median(squares[known])) if known.any() else 0.0


class AnswerFilter:
    """Averages logits over the phases of the hop grid and lets the last answer speak for itself a little.

    Steps are a second long and windows a hop apart, so the windows of one second see the same signal cut
    otherwise. That an emotion lasts longer than a hop is prior knowledge, worth ``persistence`` nats.
    """

    def __init__(self, config: EvidenceConfig, hop_s: float) -> None:
        self._n, self._n_second = (max(1, round(seconds / hop_s)) for seconds in (config.average_s, 1.0))
        self._persistence = config.persistence
        self._logits: dict[int, Tensor] = {}  # by window index
        self._last: int | None = None
        self._at = 0  # index of the newest window

    def __call__(self, index: int, logits: Tensor) -> Tensor:
        """Return the logits (n_labels,) of the answer at a window."""
        if not 0 <= index - self._at <= self._n_second:
            self._last = None  # nothing was said for a second
        self._logits = {k: kept for k, kept in self._logits.items() if index - self._n < k < index}
        self._at = index
        self._logits[index] = logits
        answer = torch.stack(list(self._logits.values())).mean(dim=0)
        if self._last is not None:
            answer[self._last] += self._persistence
        self._last = int(answer.argmax())
        return answer


class Shadow:
    """What the answer would be by other ``evidence``, which may be replaced while the session runs.

    That is a copy which self-reports have updated: `calibration.check` makes and promotes it.
    """

    def __init__(self, evidence: Evidence, hop_s: float) -> None:
        self.evidence, self._hop_s = evidence, hop_s
        self._weights = torch.tensor(evidence.config.weights)
        self.restart()

    def restart(self) -> None:
        """Forget the windows before: what comes next does not continue them."""
        self._filter = AnswerFilter(self.evidence.config, self._hop_s)

    def logits(
        self, index: int, inputs: NetworkInput, output: Mapping[str, Tensor], given: Mapping[str, Given]
    ) -> Tensor:
        """Return the logits (n_labels,) at a window, whose ``output`` is that of the evidence in use."""
        change = self.evidence.scores(given)[None] - inputs.evidence
        gates = output["modality_attention"], inputs.present, inputs.reliability
        return self._filter(index, (output["logits"] + weighed(change, self._weights, *gates))[0])


# --- sessions second by second: level, evidence and reliability, as a live session has them ---


_OF_SECONDS = ("evidence", "measures", "agreement")  # of a `Course`


@dataclass(frozen=True, eq=False)
class Course:
    """What is known at each of n seconds."""

    levels: dict[str, Tensor]  # (n, F) by modality, float32
    evidence: Tensor  # (n, 4, n_labels)
    measures: Tensor  # (n, 4, 2) of the signals: `Evidence.measures`
    agreement: Tensor  # (n,) of the modalities: `models.agreement`
    given: Sequence[Mapping[str, Given]]  # what the evidence is about

    @staticmethod
    def joined(courses: Sequence[Course]) -> Course:
        """Return several sessions end to end."""
        levels = {m: torch.cat([course.levels[m] for course in courses]) for m in courses[0].levels}
        tensors = {name: torch.cat([getattr(course, name) for course in courses]) for name in _OF_SECONDS}
        return Course(levels, **tensors, given=[g for course in courses for g in course.given])

    def at(self, seconds: Sequence[int]) -> Course:
        """Return some of the seconds."""
        levels = {m: level[seconds] for m, level in self.levels.items()}
        tensors = {name: getattr(self, name)[seconds] for name in _OF_SECONDS}
        return Course(levels, **tensors, given=[self.given[at] for at in seconds])

    def without(self, hidden: NDArray[np.bool_], evidence: Evidence) -> Tensor:
        """Return what ``evidence`` says (n, 4, n_labels) where some EEG features (n, F) are ``hidden``."""
        pairs = zip(self.given, hidden, strict=True)
        given = [{m: g.without(at) if m == "eeg" else g for m, g in of.items()} for of, at in pairs]
        return torch.stack([evidence.scores(window) for window in given])


def recent_of(features: Recent, at: int, windows: WindowConfig) -> dict[str, NDArray[np.floating]]:
    """Return the steps, a second apart, of the window that ends with the second ``at``."""
    n_steps = windows.eeg_n_steps, windows.eye_n_steps, round(windows.face_s), 1
    pairs = zip(MODALITIES, n_steps, strict=True)
    return {m: features[m][max(at + 1 - n, 0) : at + 1] for m, n in pairs if m in features}


def run_session(
    features: Recent,
    evidence: Evidence,
    windows: WindowConfig,
    fixed: Mapping[str, NDArray[np.floating]] | None = None,
    step_s: float = 1.0,
    seconds: Sequence[int] | None = None,
) -> Course:
    """Return what a session knows at each second, or step of ``step_s``, about a level that runs.

    About a ``fixed`` level nothing depends on the seconds before: it may be told at some ``seconds`` only.
    """
    level = RunningLevel(evidence.discriminant, evidence.config, fixed)
    n = len(next(iter(features.values())))
    levels: dict[str, list[NDArray[Any]]] = {m: [] for m in evidence.discriminant.modalities}
    given, found, measured, agreed = [], [], [], []
    for at in range(n) if seconds is None else seconds:
        recent = recent_of(features, at, windows)
        for modality, values in levels.items():
            values.append(level.mean(modality).astype(np.float32))
        given.append(evidence.given(recent, level))
        found.append(evidence.scores(given[-1]))
        measured.append(evidence.measures(recent, given[-1], level))
        level.agreement.take(found[-1].numpy(), (found[-1] != 0).any(dim=1).numpy())
        agreed.append(level.agreement.value)
        reliability = evidence.range.reliability(measured[-1])
        level.take(recent, found[-1].sum(dim=0).numpy(), step_s, reliability)
    stacked = {m: torch.from_numpy(np.stack(values)) for m, values in levels.items()}
    return Course(stacked, torch.stack(found), torch.stack(measured), torch.tensor(agreed), given)


def answers(logits: Tensor, first: NDArray[np.intp], config: EvidenceConfig) -> Tensor:
    """Return the logits (n, n_labels) as they are shown, of sessions that begin at rows ``first`` (n,)."""
    shown = torch.empty_like(logits)
    for begin in np.unique(first):
        keep = AnswerFilter(config, hop_s=1.0)
        for at in np.flatnonzero(first == begin):
            shown[at] = keep(int(at), logits[at])
    return shown
