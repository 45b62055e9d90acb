"""Leave-one-trial-out cross-validation of the heads, and the permutation test on shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calibration.heads import Directions, Labelled, LdaProblem, fit_fusion, initial_fusion, knows, linear_head
from calibration.profile_summary import HEADS
from calibration.rows import RowTable
from calibration.tokens import TrialWindows, modality_tokens
from calibration.types import TrialRecord
from models.checkpoint import Checkpoint
from models.config import FusionConfig
from models.network import FusionNetwork
from models.normalise import Normaliser
from models.training.scores import balanced_accuracy, best_temperature


@torch.no_grad()
def window_log_probs(model: Checkpoint, windows: TrialWindows) -> NDArray[np.float64]:
    """Return the log-probabilities (n, n_labels) of the model's own labels for each window."""
    normaliser = Normaliser.from_dict(model.normaliser_tensors)
    given = modality_tokens(model.network, windows, normaliser, model.config.modalities)
    logits, _ = model.network.fusion(given.tokens, given.present)
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


#: Called with a stage and the share done, 0 to 1.
OnProgress = Callable[[str, float], None]
_TEMPERATURES = np.logspace(-0.5, 1.0, 31)


class TokenSource(Protocol):
    """Modality tokens of trials' windows, normalised without held-out trials."""

    @property
    def trial(self) -> NDArray[np.int64]:
        """Number of each window's trial, (n,)."""

    def without(self, trials: Collection[int]) -> tuple[Tensor, Tensor]:
        """Return tokens (n, 4, d_model) and presence (n, 4) of all windows.

        Normalised by the baseline and all trials but these.
        """


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Logits of each trial's windows, from models fitted without the trial."""

    logits: Mapping[int, NDArray[np.float64]]  # (n_windows, n_labels) by trial number

    def predicted(self) -> dict[int, int]:
        """Return the top label by trial."""
        return {number: int(trial_probs(logits).argmax()) for number, logits in self.logits.items()}

    def nll(self, label: Mapping[int, int], temperature: float = 1.0) -> float:
        """Return the mean negative log-likelihood in nats; every trial counts the same."""
        by_trial = [
            -log_probs(logits, temperature)[:, label[number]].mean() for number, logits in self.logits.items()
        ]
        return float(np.mean(by_trial))

    def temperature(self, label: Mapping[int, int]) -> float:
        """Return the temperature that minimises `nll`."""
        return best_temperature(lambda t: self.nll(label, t), _TEMPERATURES)[1]


def log_probs(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return log-probabilities (n, n_labels)."""
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))


def trial_probs(logits: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return a trial's probabilities (n_labels,): the mean of its windows' log-probabilities, normalised."""
    mean = log_probs(logits, temperature).mean(axis=0)
    probs = np.exp(mean - mean.max())
    return probs / probs.sum()


class HeadFitter:
    """Fits either head to labelled windows, on top of one base model and one set of classes.

    ``knows_classes`` is true where the base model can already predict them.
    """

    def __init__(self, base: FusionNetwork, classes: Sequence[str]) -> None:
        self._base, self._classes = base, classes
        self._start = initial_fusion(base, classes)
        self.knows_classes = knows(base.config, classes)

    def problem(self, data: Labelled) -> LdaProblem:
        """Return the windows as LDA sees them."""
        directions = Directions.of(self._base, self._classes, data.tokens, data.present)
        return LdaProblem(data.tokens, data.present, data.trial, directions)

    def fit(self, head: str, data: Labelled) -> nn.Module:
        """Return one of `calibration.profile_summary.HEADS`, fitted."""
        if head == "fusion":
            return fit_fusion(self._start, data, is_new=not self.knows_classes)
        first = np.unique(data.trial, return_index=True)[1]
        return linear_head(self.problem(data), data.label[first], len(self._classes), self.config(head))

    def config(self, head: str) -> FusionConfig:
        """Return what builds a head's module by `models.fusion.FUSIONS`."""
        base = self._base.config.network.fusion
        return base if head == "fusion" else replace(base, variant="linear")


@dataclass(frozen=True, eq=False)
class Fold:
    """One held-out trial, with the head and temperature that were chosen without it."""

    trial: int
    data: Labelled  # of all trials, normalised without this one
    models: Mapping[str, nn.Module]
    head: str  # chosen without this trial
    temperature: float  # of that head

    def logits(self, head: str = "", present: Tensor | None = None) -> NDArray[np.float64]:
        """Return a head's logits (by default the chosen head's) of the trial's windows.

        Modalities that are False in ``present`` (4,) are masked.
        """
        own = self.data.of(self.data.trial == self.trial)
        return logits_of(self.models[head or self.head], own, present)


@torch.no_grad()
def logits_of(model: nn.Module, data: Labelled, present: Tensor | None = None) -> NDArray[np.float64]:
    """Return a head's logits (n, n_labels) of windows; modalities False in ``present`` (4,) are masked."""
    there = data.present if present is None else data.present & present
    logits: Tensor = model(data.tokens, there)[0]
    return logits.double().numpy()


def held_out_folds(
    source: TokenSource, label: Mapping[int, int], fitter: HeadFitter, progress: OnProgress
) -> list[Fold]:
    """Return a fold for every trial, in the order of ``label``."""
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        # One fold is fitted while the next one is encoded: the encoders serve one thread at a time.
        waiting = []
        for number, trial in enumerate(label, start=1):
            data = labelled(source, label, without=(trial,))
            waiting.append(pool.submit(_fold, trial, data, label, fitter))
            progress("leaving out each trial", number / (2 * len(label)))
        folds = []
        for future in waiting:
            folds.append(future.result())
            progress("leaving out each trial", 0.5 + len(folds) / (2 * len(label)))
    return folds


def _fold(trial: int, data: Labelled, label: Mapping[int, int], fitter: HeadFitter) -> Fold:
    rest = data.of(data.trial != trial)
    models = {head: fitter.fit(head, rest) for head in HEADS}
    inner = {head: leave_one_out(rest, fitter, head) for head in HEADS}
    head = better(inner, label)
    return Fold(trial, data, models, head, inner[head].temperature(label))


def leave_one_out(data: Labelled, fitter: HeadFitter, head: str) -> HeldOut:
    """Return the logits of each trial by models of one kind fitted to the others, with one normalisation.

    The only trial of a class is omitted: without it the class cannot be learned.
    """
    logits = {}
    for trial in np.unique(data.trial):
        own = data.trial == trial
        if data.label[own][0] not in data.label[~own]:
            continue
        logits[int(trial)] = logits_of(fitter.fit(head, data.of(~own)), data.of(own))
    return HeldOut(logits)


def better(held_out: Mapping[str, HeldOut], label: Mapping[int, int]) -> str:
    """Return the head with more correct trials; ties go to the higher likelihood at its best temperature."""

    def rank(head: str) -> tuple[float, float]:
        found = held_out[head]
        right = sum(found_label == label[trial] for trial, found_label in found.predicted().items())
        return right, -found.nll(label, found.temperature(label))

    return max(HEADS, key=rank)


def labelled(source: TokenSource, label: Mapping[int, int], without: Collection[int] = ()) -> Labelled:
    """Return the windows of the labelled trials, normalised without some of them."""
    tokens, present = source.without(without)
    kept = np.isin(source.trial, list(label))
    at = torch.from_numpy(np.flatnonzero(kept))
    trial = source.trial[kept]
    return Labelled(tokens[at], present[at], trial, np.array([label[int(number)] for number in trial]))


N_SHUFFLES = 500


def shuffled_results(
    folds: Sequence[Fold],
    label: Mapping[int, int],
    fitter: HeadFitter,
    *,
    n: int = N_SHUFFLES,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[float, ...]:
    """Return the balanced accuracies (n,) of the linear head on shuffled labels, each trial held out in turn.

    ``label`` is by trial number, in the order of ``folds``, with every class at least twice; ``n`` is the
    number of shuffles, and ``progress`` is called with the share done.
    """
    rng = np.random.default_rng(seed)
    true = np.array([label[fold.trial] for fold in folds])
    shuffles = np.array([rng.permutation(true) for _ in range(n)]).reshape(n, len(true))
    said = np.empty_like(shuffles)
    for at, fold in enumerate(folds):
        said[:, at] = _predicted(fold, at, folds, shuffles, fitter)
        progress((at + 1) / len(folds))
    pairs = zip(shuffles.tolist(), said.tolist(), strict=True)
    return tuple(balanced_accuracy(row, found) for row, found in pairs)


def _predicted(
    fold: Fold, at: int, folds: Sequence[Fold], shuffles: NDArray[np.int64], fitter: HeadFitter
) -> NDArray[np.int64]:
    """Return each shuffle's prediction of the fold's trial, (n,)."""
    own = fold.data.trial == fold.trial
    problem = fitter.problem(fold.data.of(~own))
    held = fold.data.of(own)
    centred = held.tokens.double().numpy() - problem.mean
    x = np.where(held.present.numpy()[..., None], centred, 0.0).reshape(len(centred), -1)
    numbers = np.array([other.trial for other in folds])
    rest = np.delete(np.arange(len(folds)), at)
    rest = rest[np.argsort(numbers[rest])]  # ascending numbers
    n_labels = int(shuffles.max()) + 1
    found = np.empty(len(shuffles), dtype=np.int64)
    for number, shuffle in enumerate(shuffles):
        weight, bias = problem.solve(shuffle[rest], n_labels)
        logits = x @ weight.reshape(n_labels, -1).T + bias
        found[number] = log_probs(logits).mean(axis=0).argmax()
    return found
