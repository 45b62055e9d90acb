"""Splits by trial: every function takes trials and gives trials, so no window can stand on both sides.

All work on anything that has a subject, a session, a trial number, a label and label names (a `Trial`, or
EAV's clips), within each subject and session for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from acquisition.errors import InputError
from models.datasets.trials import FETCH_ANEW


class OfTrial(Protocol):
    """What a split needs to know."""

    @property
    def dataset(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def session(self) -> int: ...
    @property
    def trial(self) -> int: ...
    @property
    def label(self) -> int: ...
    @property
    def label_names(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=OfTrial)

#: Training trials of a session, of how many: the papers' protocols.
SEED_IV_TRAIN, SEED_IV_TRIALS = 16, 24
SEED_V_TRAIN, SEED_V_TRIALS = 9, 15
_SEED_SHARE = {"seed-iv": (SEED_IV_TRAIN, SEED_IV_TRIALS), "seed-v": (SEED_V_TRAIN, SEED_V_TRIALS)}
#: Share of a class's trials that trains in EAV: 56 of 80 segments of 5 s are 14 of 20 trials of 20 s.
EAV_TRAIN_SHARE = 0.7


@dataclass(frozen=True)
class Coverage:
    """How often each class stands in a set of trials."""

    counts: tuple[int, ...]  # by label
    label_names: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the classes without a trial."""
        return tuple(n for n, count in zip(self.label_names, self.counts, strict=True) if count == 0)

    def words(self) -> str:
        """Return for example ``10 trials, 3 of 4 classes (no sad): neutral 4, sad 0, fear 3, happy 3``."""
        n_seen = len(self.counts) - len(self.missing)
        lacking = f" (no {', no '.join(self.missing)})" if self.missing else ""
        each = ", ".join(f"{name} {n}" for name, n in zip(self.label_names, self.counts, strict=True))
        return f"{sum(self.counts)} trials, {n_seen} of {len(self.counts)} classes{lacking}: {each}"


def coverage(trials: Sequence[OfTrial]) -> Coverage:
    """Count the trials of each class (EAV's clips of one trial count once)."""
    if not trials:
        raise InputError("no trials to count", where="split")
    names = trials[0].label_names
    labels = {(t.subject, t.session, t.trial): t.label for t in trials}
    return Coverage(tuple(list(labels.values()).count(i) for i in range(len(names))), names)


def seed_iv_split(trials: Sequence[T]) -> tuple[list[T], list[T]]:
    """Return the first 16 trials of each session and the last 8, as published."""
    return split_at(trials, SEED_IV_TRAIN)


def seed_v_split(trials: Sequence[T]) -> tuple[list[T], list[T]]:
    """Return the first 9 trials of each session and the last 6, as published."""
    return split_at(trials, SEED_V_TRAIN)


def eav_split(trials: Sequence[T]) -> tuple[list[T], list[T]]:
    """Return the first 70 % of each class's trials and the rest: 56 and 24 of 80 segments when complete.

    The paper takes the first 56 segments of 5 s of a class; 14 whole trials of 4 segments are the same
    ones, and no trial is split.
    """
    train: list[T] = []
    test: list[T] = []
    for group in _sessions(trials).values():
        for label in sorted({t.label for t in group}):
            of_class = [t for t in group if t.label == label]
            numbers = sorted({t.trial for t in of_class})
            kept = set(numbers[: round(EAV_TRAIN_SHARE * len(numbers))])
            train += [t for t in of_class if t.trial in kept]
            test += [t for t in of_class if t.trial not in kept]
    return _checked(_in_order(train), _in_order(test), trials)


def published_split(trials: Sequence[T], *, shortened: bool = True) -> tuple[list[T], list[T]]:
    """Return the split that the trials' data set was published with.

    Parameters
    ----------
    trials : sequence
    shortened : bool
        Take sessions with fewer SEED trials than were published, as a generated folder may hold: the same
        share of them then trains. Without it they are refused, since the split would be another one.

    Raises
    ------
    InputError
        If the data set has no published split, a side is empty, or a session lacks trials.
    """
    dataset = trials[0].dataset if trials else ""
    if dataset == "eav":
        return eav_split(trials)
    if dataset not in _SEED_SHARE:
        raise InputError(
            f"no published split for {dataset or 'no trials'}", where="split", remedy="cross-validate instead"
        )
    n_train, n_all = _SEED_SHARE[dataset]
    if not shortened:
        _check_complete(trials, n_all)
    n_here = max(t.trial for t in trials)
    return split_at(trials, n_train if n_here >= n_all else round(n_here * n_train / n_all))


def _check_complete(trials: Sequence[T], n_all: int) -> None:
    for (subject, session), group in _sessions(trials).items():
        found = {t.trial for t in group}
        if lacking := sorted(set(range(1, n_all + 1)) - found):
            raise InputError(
                f"expected {n_all} trials, found {len(found)} (no {', '.join(map(str, lacking))}): the "
                "published split cannot be made of them",
                where=f"{group[0].dataset}, subject {subject}, session {session}",
                remedy=FETCH_ANEW,
            )


def split_at(trials: Sequence[T], n_train: int) -> tuple[list[T], list[T]]:
    """Return the trials numbered up to ``n_train`` in each session, and the later ones."""
    train = [t for t in trials if t.trial <= n_train]
    test = [t for t in trials if t.trial > n_train]
    return _checked(train, test, trials)


def first_trials(trials: Sequence[T], k: int, *, at_most: bool = False) -> list[T]:
    """Return each session's first ``k`` trials, as they were recorded; a class may be missing.

    Raises
    ------
    InputError
        If a session has fewer than ``k`` trials; with ``at_most`` they are all taken.
    """
    chosen: list[T] = []
    for group in _sessions(trials).values():
        numbers = sorted({t.trial for t in group})
        if len(numbers) < k and not at_most:
            raise _too_few(group[0], k, len(numbers), "trials")
        chosen += [t for t in group if t.trial in set(numbers[:k])]
    return chosen


def trials_per_class(
    trials: Sequence[T], k: int, seed: int | None = None, *, at_most: bool = False
) -> list[T]:
    """Return ``k`` trials of each class of each session: the first ones, or drawn with ``seed``.

    A class that a session lacks altogether is left out; `coverage` tells it.

    Raises
    ------
    InputError
        If a class has trials, but fewer than ``k``; with ``at_most`` they are all taken.
    """
    chosen: list[T] = []
    for (subject, session), group in _sessions(trials).items():
        for label in sorted({t.label for t in group}):
            numbers = sorted({t.trial for t in group if t.label == label})
            if len(numbers) < k and not at_most:
                name = group[0].label_names[label]
                raise _too_few(group[0], k, len(numbers), f"trials of class {name}")
            if seed is not None:
                keys = [seed, *subject.encode(), session, label]
                numbers = np.random.default_rng(keys).permutation(numbers).tolist()
            taken = set(numbers[:k])
            chosen += [t for t in group if t.trial in taken]
    return _in_order(chosen)


def leave_one_trial_out(trials: Sequence[T]) -> Iterator[tuple[list[T], list[T]]]:
    """Yield (all other trials, one trial), every trial once."""
    for key in sorted({_key(t) for t in trials}):
        yield [t for t in trials if _key(t) != key], [t for t in trials if _key(t) == key]


def cross_validation(
    trials: Sequence[T], n_folds: int = 5, seed: int = 0
) -> Iterator[tuple[list[T], list[T]]]:
    """Yield (training, test) trials of each fold; every trial is tested once, classes in like shares.

    Raises
    ------
    InputError
        If there are fewer than two trials of each of two classes.
    """
    by_class: dict[int, list[tuple[str, int, int]]] = {}
    for trial in trials:
        if _key(trial) not in by_class.setdefault(trial.label, []):
            by_class[trial.label].append(_key(trial))
    if sum(len(keys) > 1 for keys in by_class.values()) < 2:
        raise InputError(
            f"expected two trials of each of two classes, found {coverage(trials).words()}",
            where="cross-validation",
            remedy="give more trials",
        )
    n_folds = min(n_folds, max(len(keys) for keys in by_class.values()))
    rng, dealt = np.random.default_rng(seed), 0
    fold_of: dict[tuple[str, int, int], int] = {}
    for label in sorted(by_class):  # dealt out in turn, class after class
        for at in rng.permutation(len(by_class[label])):
            fold_of[by_class[label][at]] = dealt % n_folds
            dealt += 1
    for fold in range(n_folds):
        test = [t for t in trials if fold_of[_key(t)] == fold]
        if test:
            yield [t for t in trials if fold_of[_key(t)] != fold], test


def held_out(trials: Sequence[T], share: float = 0.2, seed: int = 0) -> tuple[list[T], list[T]]:
    """Return training trials less a part of them, and that part, for early stopping.

    Of each class of a session about ``share`` of the trials is held out, at least one where there are two.
    """
    kept: list[T] = []
    out: list[T] = []
    for (subject, session), group in _sessions(trials).items():
        for label in sorted({t.label for t in group}):
            numbers = sorted({t.trial for t in group if t.label == label})
            n_out = min(len(numbers) - 1, max(1, round(share * len(numbers))))
            keys = [seed, *subject.encode(), session, label, 1]
            drawn = set(np.random.default_rng(keys).permutation(numbers)[:n_out].tolist())
            of_class = [t for t in group if t.label == label]
            kept += [t for t in of_class if t.trial not in drawn]
            out += [t for t in of_class if t.trial in drawn]
    return _in_order(kept), _in_order(out)


def _key(trial: OfTrial) -> tuple[str, int, int]:
    return trial.subject, trial.session, trial.trial


def _in_order(trials: list[T]) -> list[T]:
    return sorted(trials, key=_key)  # stable: the clips of one trial keep their order


def _sessions(trials: Sequence[T]) -> dict[tuple[str, int], list[T]]:
    groups: dict[tuple[str, int], list[T]] = {}
    for trial in trials:
        groups.setdefault((trial.subject, trial.session), []).append(trial)
    return groups


def _checked(train: list[T], test: list[T], trials: Sequence[T]) -> tuple[list[T], list[T]]:
    if not train or not test:
        raise InputError(
            f"expected training and test trials, found {len(train)} and {len(test)} of {len(trials)}",
            where="split",
            remedy="is the data set complete?",
        )
    return train, test


def _too_few(trial: OfTrial, k: int, found: int, what: str) -> InputError:
    return InputError(
        f"expected at least {k} {what}, found {found}",
        where=f"{trial.dataset}, subject {trial.subject}, session {trial.session}",
        remedy=f"choose at most {found}",
    )
