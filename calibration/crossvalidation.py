"""Leave-one-trial-out: what a profile of the other trials says of each, for true and for shuffled labels.

The discriminant is linear in the trials' means, and what weighs these depends on no more than how many trials
of each label there are. So a fold, a fold within it, and a hundred labellings cost as many matrix products.
Windows are encoded once, about the level without their own trial.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from calibration.heads import Beginning
from calibration.rows import RowTable
from calibration.tokens import Session, TrialWindows, modality_tokens
from calibration.types import TrialRecord
from models.checkpoint import Checkpoint
from models.fusion import gates_of
from models.level import Evidence, answers
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_fit import Cells, filled_in
from models.mixed_part import Part, mean_of
from models.normalise import Normaliser
from models.training.scores import balanced_accuracy

_Array = NDArray[np.float64]
#: Called with a stage and the share done, 0 to 1.
OnProgress = Callable[[str, float], None]


@torch.no_grad()
def window_log_probs(model: Checkpoint, windows: TrialWindows) -> _Array:
    """Return the log-probabilities (n, n_labels) of the model's own labels for each window, as shown live."""
    config, normaliser = model.config, Normaliser.from_dict(model.normaliser_tensors)
    if model.evidence is None or config.evidence is None or model.evidence.discriminant.tangent is not None:
        logits, _ = model.network.fusion(
            *modality_tokens(model.network, windows, normaliser, config.modalities)
        )
    else:
        fixed = model.level
        level_of = None if fixed is None else (lambda trial: fixed)
        course = windows.course(model.evidence, level_of, config.modalities)
        given = model.network, windows, normaliser, config.modalities, course.levels
        reliability = model.evidence.range.reliability(course.measures)
        logits, _ = model.network.fuse(*modality_tokens(*given), course.evidence, reliability)
        first = np.unique(windows.trial, return_index=True, return_inverse=True)
        logits = answers(logits, first[1][first[2]], config.evidence)
    return torch.log_softmax(logits.double(), dim=-1).numpy()


def named_trials(
    model: Checkpoint, rows: RowTable, trials: Sequence[TrialRecord]
) -> tuple[list[int], list[int]]:
    """Return the true and the predicted class of each trial, as indices of the model's labels.

    A trial is predicted by the mean of its windows' log-probabilities; one without a window is omitted.
    """
    windows = TrialWindows(rows, trials, model.config)
    log_probs = window_log_probs(model, windows)
    true, said = [], []
    for trial in trials:
        inside = windows.trial == trial.number
        if inside.any():
            true.append(model.config.labels.index(trial.emotion))
            said.append(int(log_probs[inside].mean(axis=0).argmax()))
    return true, said


# --- one modality ---


class _Modality:
    """A session's trials and windows in one modality, in the basis of a discriminant's part.

    All are deviations from the whole session's level, so that the level of any of the trials is a mean of
    their deviations. What is unknown is filled by what the known leads to expect.
    """

    def __init__(
        self, session: Session, part: Part, modality: str, level: NDArray[np.floating], n_newest: int
    ) -> None:
        self._part = part
        variance = part.directions.between + part.directions.within
        covariance = (part.to_features * variance) @ part.to_features.T

        def projected(rows: Sequence[_Array]) -> _Array:
            deviations = (np.stack(rows) - level)[:, part.used]
            return np.asarray(filled_in(deviations, covariance) @ part.directions.basis.T)

        means = {n: trial.mean(modality) for n, trial in session.trials.items() if modality in trial.steps}
        self._trials = dict(zip(means, projected([mean for mean, _ in means.values()]), strict=True))
        self._noise = float(np.mean([part.course.of_mean(n) for _, n in means.values()]))
        recent = [session.windows.recent(second, (modality,)) for second in session.windows.ends]
        held = [mean_of(found[modality][-n_newest:]) for found in recent if modality in found]
        self._there = np.array([modality in found for found in recent], dtype=bool)
        self._windows = np.zeros((len(recent), int(part.used.sum())))
        self._n_steps = np.ones(len(recent))
        if held:
            self._windows[self._there] = projected([mean for mean, _ in held])
            self._n_steps[self._there] = [n for _, n in held]
        self._gains: dict[tuple[bool, tuple[int, ...]], tuple[Part, _Array, _Array]] = {}

    def scores(
        self,
        at: NDArray[np.intp],
        level_of: Collection[int],
        trials: Sequence[int],
        labels: NDArray[np.int64],
        *,
        alone: bool,
    ) -> _Array:
        """Return evidence (S, n, C) of windows ``at`` (n,) for S labellings (S, k) of k trials."""
        n_labels = len(self._part.shared.mean)
        found = np.zeros((len(labels), len(at), n_labels))
        at, rows = at[self._there[at]], np.flatnonzero(self._there[at])
        of_level = [self._trials[n] for n in level_of if n in self._trials]
        if not len(at) or not of_level:
            return found
        level = np.mean(of_level, axis=0)
        held = [i for i, number in enumerate(trials) if number in self._trials]
        given, labels = np.array([self._trials[trials[i]] - level for i in held]), labels[:, held]
        z, n_steps = self._windows[at] - level, self._n_steps[at]
        counts = (labels[:, :, None] == np.arange(n_labels)).sum(axis=1)
        for count in np.unique(counts, axis=0):
            same = (counts == count).all(axis=1)
            part, weights, variance = self._gain(alone, count, len(of_level))
            mean = np.repeat(part.shared.mean[None], int(same.sum()), axis=0)  # (s, C, D)
            cells = np.flatnonzero(count)
            if len(cells):
                member = (labels[same][:, None] == cells[:, None]) / count[cells][:, None]  # (s, cells, k)
                surprise = member @ given - part.shared.mean[cells]  # (s, cells, D)
                mean += (weights @ surprise.transpose(2, 1, 0)).transpose(2, 1, 0)
            for n in np.unique(n_steps):
                now = np.flatnonzero(n_steps == n)
                noise = part.directions.within * part.course.of_mean(n)
                spread = part.directions.between + variance + noise  # (C, D)
                squares = (z[now] ** 2) @ (1 / spread).T - 2 * z[now] @ (mean / spread).transpose(0, 2, 1)
                rest = (mean**2 / spread + np.log(spread)).sum(axis=2)  # (s, C)
                found[np.ix_(same, rows[now])] = -0.5 * (squares + rest[:, None])
        return found - found.mean(axis=2, keepdims=True)

    def _gain(self, alone: bool, count: NDArray[np.int64], n_level: int) -> tuple[Part, _Array, _Array]:
        key = alone, tuple(count.tolist())
        if key not in self._gains:
            part, cells = self._part.alone() if alone else self._part, np.flatnonzero(count)
            number, of_each = np.zeros_like(cells), count[cells].astype(np.float64)
            own = Cells(number, number, cells, of_each, np.zeros((len(cells), 0)), of_each * self._noise)
            self._gains[key] = part, *part.weights(own, 0, float(n_level))
        return self._gains[key]


# --- all of them ---


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the network makes of the session's windows, each about the level without its own trial."""

    tokens: Tensor  # (n, 4, d_model)
    present: Tensor  # (n, 4) bool
    reliability: Tensor  # (n, 4)


@torch.no_grad()
def encode(beginning: Beginning, only: Collection[int]) -> Encoded:
    """Encode the windows; ``only`` are the trials of the session that there is a fold for."""
    session, base = beginning.session, beginning.session.base
    levels = {number: session.level((number,)) for number in only}
    evidence = Evidence(beginning.discriminant(), beginning.range, beginning.config)
    course = session.windows.course(evidence, lambda trial: levels[trial], session.modalities)
    means = {m: course.levels[m] for m in course.levels if m in session.modalities}
    normaliser = Normaliser.from_dict(base.normaliser_tensors)
    network = base.network.prepare_inference()
    found = modality_tokens(network, session.windows, normaliser, session.modalities, means)
    return Encoded(*found, evidence.range.reliability(course.measures))


class LeaveOneOut:
    """Each labelled trial as told by a profile of the others; nothing of it enters but what is said.

    ``label`` is by trial number. The network's part is as in the base model; without ``encoded`` windows it
    says nothing and the modalities weigh alike. A profile of the session alone does not see the trial left
    out, with other people's data the discriminant has never seen any.
    """

    def __init__(
        self, beginning: Beginning, label: Mapping[int, int], encoded: Encoded | None = None
    ) -> None:
        self._beginning, self.label, self._encoded = beginning, dict(label), encoded
        self._session, self._n_labels = beginning.session, len(beginning.classes)
        self._found: dict[int, dict[str, _Modality]] = {}
        self._network: dict[Collection[str] | None, tuple[_Array, _Array]] = {}

    @property
    def temperature(self) -> float | None:
        """That of other people's profiles; None where it is not known."""
        answers_of = self._session.base.config.profile_answers
        return None if answers_of is None or not self._beginning.has_others else answers_of.temperature

    def _modalities(self, trial: int) -> dict[str, _Modality]:
        key = 0 if self._beginning.has_others else trial
        if key not in self._found:
            discriminant: MixedDiscriminant = self._beginning.discriminant((trial,))
            level, n_steps = self._session.level(), self._beginning.config.n_steps
            self._found[key] = {
                m: _Modality(self._session, discriminant.part(m), m, level[m], n_steps[MODALITIES.index(m)])
                for m in discriminant.modalities
                if m in level
            }
        return self._found[key]

    @torch.no_grad()
    def _said(self, modalities: Collection[str] | None) -> tuple[_Array, _Array]:
        """Return the network's logits (n, C) and the gates (n, 4) of the evidence, of some modalities."""
        if modalities not in self._network:
            windows = self._session.windows
            allowed = torch.tensor([modalities is None or m in modalities for m in MODALITIES])
            if self._encoded is None:
                present = windows.present & allowed
                logits, gates = torch.zeros(len(windows), self._n_labels), present
            else:
                present, reliability = self._encoded.present & allowed, self._encoded.reliability
                logits, attention = self._beginning.fusion(self._encoded.tokens, present, reliability)
                gates = gates_of(attention, present, reliability)
            self._network[modalities] = logits.double().numpy(), gates.double().numpy()
        return self._network[modalities]

    def labellings(self, trial: int, labels: NDArray[np.int64]) -> _Array:
        """Return logits (S, n, C) of a trial's n windows; labels (S, k) are of all k trials in order."""
        at = list(self.label).index(trial)
        others = [number for number in self.label if number != trial]
        return self._logits(trial, others, np.delete(labels, at, axis=1))

    def logits(
        self,
        trial: int,
        *,
        without: int | None = None,
        first: int | None = None,
        modalities: tuple[str, ...] | None = None,
        alone: bool = False,
    ) -> _Array:
        """Return logits (n, C) of a trial's n windows.

        They know nothing of the trial ``without``, the labels of the ``first`` others only, some of the
        ``modalities``; ``alone`` other people's labels do not count.
        """
        others = [number for number in self.label if number not in (trial, without)]
        labels = np.array([[self.label[number] for number in others[:first]]], dtype=np.int64)
        left_out = [trial] if without is None else [trial, without]
        return self._logits(trial, others[:first], labels, left_out, modalities, alone)[0]

    def _logits(
        self,
        trial: int,
        others: Sequence[int],
        labels: NDArray[np.int64],
        left_out: Sequence[int] = (),
        modalities: tuple[str, ...] | None = None,
        alone: bool = False,
    ) -> _Array:
        config = self._beginning.config
        left_out = left_out or [trial]
        level_of = [number for number in self._session.trials if number not in left_out]
        at = np.flatnonzero(self._session.windows.trial == trial)
        said, gates = self._said(modalities)
        found = np.zeros((len(labels), len(at), self._n_labels))
        if not alone:
            found += config.network_weight * said[at]
        for modality, one in self._modalities(left_out[-1]).items():
            place = MODALITIES.index(modality)
            scores = one.scores(at, level_of, others, labels, alone=alone)
            found += config.weights[place] * gates[at, place][:, None] * scores
        return found

    def shown(self, logits: _Array) -> _Array:
        """Return the logits (n, C) of one trial's windows as they would be shown."""
        first = np.zeros(len(logits), dtype=np.intp)
        return answers(torch.from_numpy(logits), first, self._beginning.config).numpy()

    def predicted(self, *, first: int | None = None, alone: bool = False) -> list[int]:
        """Return the top class of each trial; see `logits`."""
        return [top(self.logits(trial, first=first, alone=alone)) for trial in self.label]


def top(logits: _Array) -> int:
    """Return the class that a trial's windows (n, C) name together."""
    return int(log_probs(logits).mean(axis=0).argmax())


def log_probs(logits: _Array, temperature: float = 1.0) -> _Array:
    return np.asarray(scipy.special.log_softmax(logits / temperature, axis=-1))


def trial_probs(logits: _Array, temperature: float = 1.0) -> _Array:
    """Return a trial's probabilities (C,): the mean of its windows' log-probabilities, normalised."""
    return np.exp(log_probs(log_probs(logits, temperature).mean(axis=0)))


# --- temperature ---

_TEMPERATURES = np.geomspace(0.5, 8.0, 57)
#: What is known of a profile's temperature beforehand: log-normal, this wide, about that of other people's.
_LOG_SD = 0.35


def temperature_of(held_out: Sequence[_Array], label: Sequence[int], others: float | None = None) -> float:
    """Return the temperature of greatest posterior by shown logits (n, C) of held-out trials.

    Windows of a trial are nearly one observation: every trial counts once. Ten trials hold little, so the
    temperature stays near that of ``others``' profiles. Where that is not known, it stays near 1, and the
    mean probability of the top emotion may not exceed what as many trials justify, ``(right + 1) / (n + 2)``
    (Laplace's rule of succession).
    """
    n, expected = len(held_out), others or 1.0
    if not n:
        return expected
    right = sum(top(logits) == one for logits, one in zip(held_out, label, strict=True))
    most, found = (right + 1) / (n + 2) if others is None else 1.0, (np.inf, expected)
    for temperature in _TEMPERATURES:
        probs = [log_probs(logits, temperature) for logits in held_out]
        loss = -sum(float(p[:, one].mean()) for p, one in zip(probs, label, strict=True))
        loss += 0.5 * (np.log(temperature / expected) / _LOG_SD) ** 2
        claimed = float(np.mean([np.exp(p).max(axis=1).mean() for p in probs]))
        if claimed > most:
            loss += 1e3 * (claimed - most)
        found = min(found, (loss, float(temperature)))
    return found[1]


# --- shuffled labels ---

#: p values are multiples of 1/200; one that is .05 among all labellings is found within ±.03 (95 %).
N_SHUFFLES = 199


def shuffled_results(held_out: LeaveOneOut, *, n: int = N_SHUFFLES, seed: int = 0) -> tuple[float, ...]:
    """Return the balanced accuracies (n,) of the same fit on shuffled labels, each trial held out in turn."""
    rng = np.random.default_rng(seed)
    true = np.array(list(held_out.label.values()))
    shuffles = np.array([rng.permutation(true) for _ in range(n)], dtype=np.int64).reshape(n, len(true))
    said = np.empty_like(shuffles)
    for at, trial in enumerate(held_out.label):
        said[:, at] = log_probs(held_out.labellings(trial, shuffles)).mean(axis=1).argmax(axis=1)
    pairs = zip(shuffles.tolist(), said.tolist(), strict=True)
    return tuple(balanced_accuracy(row, found) for row, found in pairs)
