"""What the same fit finds where there is nothing to find: labels shuffled over trials.

The linear head is refitted to every shuffle, in every fold; the windows, the folds' normalisation and the
base model stay. (The fusion takes a thousand times longer to fit.) Ojala and Garriga (2010), test 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.crossvalidation import Fold, HeadFitter, log_probs
from calibration.verdict import balanced_accuracy

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
    """Return the balanced accuracies (n,) of the linear head on shuffled labels, each trial left out in turn.

    Parameters
    ----------
    folds : sequence of Fold
    label : mapping of int to int
        By trial number, in the order of ``folds``; every class at least twice.
    fitter : HeadFitter
    n : int
        Shuffles.
    seed : int
        Of the shuffles.
    progress : callable
        Told the share done.
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
    """Return what each shuffle's model says of the fold's trial, (n,)."""
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
