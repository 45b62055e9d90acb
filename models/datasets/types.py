"""Kinds of labelled data, by the name they have on the command line and in `Trial.dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from acquisition.errors import InputError

#: Data sets, each with a published split into training and test trials.
PUBLISHED = ("seed-iv", "seed-v", "eav")
#: Files of one person; they have no split and are cross-validated.
RECORDINGS = ("xdf", "raw")


#: What to do about a broken file of a published set.
FETCH_ANEW = "get the file anew from its publisher, or leave the subject out"


@dataclass(frozen=True, eq=False)
class Trial:
    """One stimulus of one person in one session, as a sequence of feature steps.

    A trial is the unit of every split: windows of one trial never stand on both sides.
    """

    dataset: str  # seed-iv | seed-v | eav | xdf | raw
    subject: str
    session: int  # from 1
    trial: int  # from 1, within the session, as published
    label: int  # index into label_names
    label_names: tuple[str, ...]
    step_s: float  # seconds from one step to the next
    eeg: NDArray[Any] | None  # (W, C, n_bands) float32, differential entropy in nats, NaN where unusable
    eye: NDArray[Any] | None  # (W, E) float32, in the data set's own units
    ch_names: tuple[str, ...]  # of eeg's C
    origin: str  # "raw": the live feature functions; "published": the data set's own feature files
    source: str  # file name, for messages

    @property
    def n_steps(self) -> int:
        """Number of steps W."""
        rows = self.eeg if self.eeg is not None else self.eye
        return 0 if rows is None else len(rows)


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of T steps, each wholly inside one trial."""

    eeg: NDArray[Any] | None  # (n, C, T, n_bands) float32 nats
    eye: NDArray[Any] | None  # (n, E, T) float32
    label: NDArray[Any]  # (n,) int64
    subject: NDArray[Any]  # (n,) str
    session: NDArray[Any]  # (n,) int64
    trial: NDArray[Any]  # (n,) int64
    end_step: NDArray[Any]  # (n,) int64: index within the trial of the window's last step

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class Excluded:
    """What could not be read, and why; the rest was read without it."""

    subject: str
    why: str  # one sentence: file, expected, found, remedy


def exclude(excluded: list[Excluded] | None, subject: str, error: InputError) -> None:
    """Note an unreadable part of a data set, or raise where nobody keeps notes.

    Parameters
    ----------
    excluded : list of Excluded or None
        Takes the note; None raises ``error`` instead.
    """
    if excluded is None:
        raise error
    excluded.append(Excluded(subject, str(error)))


def label_names_of(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Return the class names that all trials share.

    Raises
    ------
    InputError
        If there are no trials or they name their classes differently.
    """
    if not trials:
        raise InputError("no trials to work on", where="data set", remedy="see what was left out, and why")
    names = {trial.label_names for trial in trials}
    if len(names) > 1:
        raise InputError(
            f"expected one list of classes, found {' and '.join('/'.join(n) for n in sorted(names))}",
            where=", ".join(sorted({trial.dataset for trial in trials})),
            remedy="train on one data set at a time",
        )
    return trials[0].label_names
