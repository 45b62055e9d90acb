"""Splits by trial: every function takes trials and gives trials, so no window can stand on both sides.

All work on anything that is an `OfTrial` (a `Trial`, or EAV's clips), within each subject and session for
itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from acquisition.errors import ErrorCode, InputError
from models.datasets.files import FETCH_ANEW
from models.datasets.seed import SEED_SETS
from models.datasets.trials import OfTrial

T = TypeVar("T", bound=OfTrial)

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
        raise InputError("no trials to count", where="split", code=ErrorCode.DATA)
    names = trials[0].label_names
    labels = {t.key: t.label for t in trials}
    return Coverage(tuple(list(labels.values()).count(i) for i in range(len(names))), names)


def published_split(trials: Sequence[T], *, shortened: bool = True) -> tuple[list[T], list[T]]:
    """Return the split that the trials' data set was published with.

    With ``shortened``, sessions may have fewer SEED trials than were published, as those of a generated
    folder: the same share of them then trains. Without it they are refused: the split would be another one.

    Raises `InputError` if the data set has no published split, a side is empty, or a session lacks trials.
    """
    dataset = trials[0].dataset if trials else ""
    if dataset == "eav":
        train, test = list[T](), list[T]()
        for of_class, numbers in _classes(trials):
            first, later = _parted(of_class, numbers[: round(EAV_TRAIN_SHARE * len(numbers))])
            train += first
            test += later
        return _checked(_in_order(train), _in_order(test), trials)
    if dataset not in SEED_SETS:
        what = f"no published split for {dataset or 'no trials'}"
        raise InputError(what, where="split", remedy="cross-validate instead", code=ErrorCode.DATA)
    n_train, n_all = SEED_SETS[dataset].n_train, SEED_SETS[dataset].n_trials
    for group in () if shortened else by_session(trials).values():
        found = {t.trial for t in group}
        if lacking := sorted(set(range(1, n_all + 1)) - found):
            what = f"expected {n_all} trials, found {len(found)} (no {', '.join(map(str, lacking))})"
            raise _unfit(f"{what}: the published split cannot be made of them", group[0], FETCH_ANEW)
    n_here = max(t.trial for t in trials)
    if n_here < n_all:
        n_train = round(n_here * n_train / n_all)
    train, test = [t for t in trials if t.trial <= n_train], [t for t in trials if t.trial > n_train]
    return _checked(train, test, trials)


def first_trials(trials: Sequence[T], k: int, *, per_class: bool = False, at_most: bool = False) -> list[T]:
    """Return the first ``k`` trials of each session, or of each class of it.

    A class that a session lacks altogether gives none; see `coverage`.

    Raises `InputError` if there are trials, but fewer than ``k``; with ``at_most`` they are all taken.
    """
    chosen: list[T] = []
    groups = [of_class for of_class, _ in _classes(trials)] if per_class else by_session(trials).values()
    for group in groups:
        numbers, one = sorted({t.trial for t in group}), group[0]
        if len(numbers) < k and not at_most:
            of = f" of class {one.label_names[one.label]}" if per_class else ""
            what = f"expected at least {k} trials{of}, found {len(numbers)}"
            raise _unfit(what, one, f"choose at most {len(numbers)}")
        chosen += _parted(group, numbers[:k])[0]
    return _in_order(chosen)


def cross_validation(
    trials: Sequence[T], n_folds: int = 5, seed: int = 0
) -> Iterator[tuple[list[T], list[T]]]:
    """Yield (training, test) trials of each fold; every trial is tested once, classes in like shares."""
    by_class: dict[int, list[tuple[str, int, int]]] = {}
    for key, label in {trial.key: trial.label for trial in trials}.items():
        by_class.setdefault(label, []).append(key)
    if sum(len(keys) > 1 for keys in by_class.values()) < 2:
        what = f"expected two trials of each of two classes, found {coverage(trials).words()}"
        raise InputError(what, where="cross-validation", remedy="give more trials", code=ErrorCode.DATA)
    n_folds = min(n_folds, max(len(keys) for keys in by_class.values()))
    rng, dealt = np.random.default_rng(seed), 0
    fold_of: dict[tuple[str, int, int], int] = {}
    for label in sorted(by_class):  # dealt out in turn, class after class
        for at in rng.permutation(len(by_class[label])):
            fold_of[by_class[label][at]] = dealt % n_folds
            dealt += 1
    for fold in range(n_folds):
        test = [t for t in trials if fold_of[t.key] == fold]
        if test:
            yield [t for t in trials if fold_of[t.key] != fold], test


def folds_of_people(trials: Sequence[OfTrial], n_folds: int, seed: int = 0) -> list[set[str]]:
    """Return the people that are left out together, each person once; one a fold where there are few."""
    people = sorted({trial.subject for trial in trials})
    order = np.random.default_rng(seed).permutation(len(people))
    n_folds = min(n_folds, len(people))
    return [{people[at] for at in order[fold::n_folds]} for fold in range(n_folds)]


def folds_by_people(
    trials: Sequence[T], n_folds: int = 5, seed: int = 0, *, least: int = 3
) -> list[tuple[list[T], list[T]]]:
    """Return (training, test) trials of folds that leave people out, or of fewer than ``least`` trials."""
    people = folds_of_people(trials, n_folds, seed)
    if len(people) < least:
        return list(cross_validation(trials, n_folds, seed))
    return [
        ([t for t in trials if t.subject not in o], [t for t in trials if t.subject in o]) for o in people
    ]


def held_out(trials: Sequence[T], share: float = 0.2, seed: int = 0) -> tuple[list[T], list[T]]:
    """Return training trials less about ``share`` of each class of a session, and those, to stop by."""
    kept: list[T] = []
    out: list[T] = []
    for of_class, numbers in _classes(trials):
        one = of_class[0]
        n_out = min(len(numbers) - 1, max(1, round(share * len(numbers))))
        keys = [seed, *one.subject.encode(), one.session, one.label, 1]
        drawn, others = _parted(of_class, np.random.default_rng(keys).permutation(numbers)[:n_out].tolist())
        kept += others
        out += drawn
    return _in_order(kept), _in_order(out)


def _in_order(trials: list[T]) -> list[T]:
    return sorted(trials, key=lambda trial: trial.key)  # stable: the clips of one trial keep their order


def by_session(trials: Sequence[T]) -> dict[tuple[str, int], list[T]]:
    """Return the trials by subject and session, in the order of their first."""
    groups: dict[tuple[str, int], list[T]] = {}
    for trial in trials:
        groups.setdefault((trial.subject, trial.session), []).append(trial)
    return groups


def _classes(trials: Sequence[T]) -> Iterator[tuple[list[T], list[int]]]:
    for group in by_session(trials).values():
        for label in sorted({t.label for t in group}):
            of_class = [t for t in group if t.label == label]
            yield of_class, sorted({t.trial for t in of_class})


def _parted(trials: Sequence[T], numbers: Sequence[int]) -> tuple[list[T], list[T]]:
    chosen = set(numbers)
    return [t for t in trials if t.trial in chosen], [t for t in trials if t.trial not in chosen]


def _checked(train: list[T], test: list[T], trials: Sequence[T]) -> tuple[list[T], list[T]]:
    if not train or not test:
        what = f"expected training and test trials, found {len(train)} and {len(test)} of {len(trials)}"
        remedy = "check that the data set is complete"
        raise InputError(what, where="split", remedy=remedy, code=ErrorCode.DATA)
    return train, test


def _unfit(what: str, trial: OfTrial, remedy: str) -> InputError:
    where = f"{trial.dataset}, subject {trial.subject}, session {trial.session}"
    return InputError(
        what, where=where, remedy=remedy, code=ErrorCode.DATA, subject=trial.subject, session=trial.session
    )
