"""What the published folders share: subjects by file name, and values that carry nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.trials import FETCH_ANEW, Excluded, Trial

_log = logging.getLogger(__name__)
_V = TypeVar("_V")


def check_folder(
    folder: Path, expected: Iterable[str], data_set: str, *, other: tuple[str, Sequence[str]] | None = None
) -> None:
    """Refuse a folder that lacks the subfolders of a published data set.

    Parameters
    ----------
    folder : Path
    expected : iterable of str
    data_set : str
        Its name.
    other : tuple of str and sequence of str, optional
        The other kind of features and its subfolders: where the folder holds those, they are offered.
    """
    if not folder.is_dir():
        raise InputError(f"expected the {data_set} folder, found none", where=str(folder))
    missing = [name for name in expected if not (folder / name).is_dir()]
    if missing:
        remedy = f"give the folder that {data_set} was unpacked to"
        if other is not None and all((folder / name).is_dir() for name in other[1]):
            remedy = f"choose --features {other[0]}, which it holds, or {remedy}"
        inside = sorted(path.name for path in folder.iterdir())
        found = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "") or "nothing"
        raise InputError(
            f"expected {', '.join(missing)} in it, found {found}",
            where=str(folder),
            remedy=remedy,
        )


def files_by_subject(folder: Path, pattern: str) -> dict[str, Path]:
    """Return the files whose whole name fits, by the number that the pattern's group 1 catches.

    Raises
    ------
    InputError
        If two files are of one subject.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(pattern, path.name)
        if match is None:
            continue
        subject = str(int(match[1]))
        if subject in found:
            raise InputError(
                f"expected one file of subject {subject}, found {found[subject].name} and {path.name}",
                where=str(folder),
                remedy="move one of them away",
            )
        found[subject] = path
    return by_number(found)


def by_number(found: Mapping[str, _V]) -> dict[str, _V]:
    """Return entries in the order of their subjects' numbers, not of the folder."""
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def wanted_subjects(
    known: Iterable[str], subjects: Sequence[str | int] | None, folder: Path
) -> tuple[str, ...]:
    """Return the subjects to read, all of them without a choice.

    Raises
    ------
    InputError
        If there are none, or a chosen one is not there.
    """
    there = tuple(sorted(set(known), key=int))
    if not there:
        raise InputError("expected files of subjects, found none", where=str(folder))
    if subjects is None:
        return there
    chosen = tuple(str(subject) for subject in subjects)
    if unknown := [subject for subject in chosen if subject not in there]:
        raise InputError(
            f"expected subject {unknown[0]}, found {', '.join(there)}",
            where=str(folder),
            remedy="choose among those",
        )
    return chosen


def numbered(names: Iterable[str], pattern: str, where: str, most: int) -> dict[int, str]:
    """Return names by the trial number that the pattern's group 1 catches, in the order of the numbers.

    Raises
    ------
    InputError
        If there is none, one is missing in between, or a number is beyond ``most``.
    """
    found = {int(match[1]): name for name in names if (match := re.search(pattern, name))}
    expected = set(range(1, len(found) + 1))
    if not found or set(found) != expected or len(found) > most:
        numbers = ", ".join(map(str, sorted(found))) or "none"
        raise InputError(
            f"expected trials 1 to {most}, found {numbers}",
            where=where,
            remedy=FETCH_ANEW,
        )
    return dict(sorted(found.items()))


def masked_channels(
    eeg: NDArray[Any], ch_names: Sequence[str], subject: str, where: str, excluded: list[Excluded] | None
) -> NDArray[np.float32]:
    """Return features (W, C, n_bands) with NaN for channels that are constant or not finite, and note them.

    Raises
    ------
    InputError
        If no channel of the trial carries anything.
    """
    rows = _as_float32(eeg)
    finite = np.asarray(np.isfinite(rows).all(axis=2))  # (W, C)
    constant = (rows == rows[:1]).all(axis=(0, 2)) & (len(rows) > 1)  # (C,)
    usable = finite & ~constant
    if not usable.any():
        raise InputError(
            f"expected {len(ch_names)} channels that vary, found none",
            where=where,
            remedy="the trial was not recorded: leave the session out",
        )
    alive = usable.any(axis=0)
    if not alive.all():
        names = _few(ch_names, ~alive)
        note(excluded, subject, f"{where}: channels constant or not a number are masked: {names}")
    if (partly := alive & ~finite.all(axis=0)).any():
        n_steps = int((~finite[:, partly]).any(axis=1).sum())
        why = f"{where}: {n_steps} of {len(rows)} steps are masked, not finite in channels"
        note(excluded, subject, f"{why} {_few(ch_names, partly)}")
    return np.where(usable[:, :, None], rows, np.nan).astype(np.float32)


def masked_eye(trials: Sequence[Trial], where: str, excluded: list[Excluded] | None) -> list[Trial]:
    """Return a session's trials with NaN for eye features that are constant or not finite, and note them.

    Some features are one number for a whole clip, so a feature counts as constant only if all of the
    session's trials have the same. Trials without eye features are returned as they are.
    """
    read = [trial.eye for trial in trials if trial.eye is not None]
    if not read:
        return list(trials)
    joined = _as_float32(np.concatenate(read))  # (W of all trials, E)
    finite = np.isfinite(joined)
    constant = (joined == joined[:1]).all(axis=0) & (len(read) > 1)
    alive = finite.any(axis=0) & ~constant
    subject, numbers = trials[0].subject, [str(row + 1) for row in range(len(alive))]
    if not alive.all():
        names = _few(numbers, ~alive)
        note(excluded, subject, f"{where}: eye features constant or not a number are masked: {names}")
    if (partly := alive & ~finite.all(axis=0)).any():
        n_steps = int((~finite[:, partly]).any(axis=1).sum())
        why = f"{where}: {n_steps} of {len(joined)} steps are masked, not finite in eye features"
        note(excluded, subject, f"{why} {_few(numbers, partly)}")
    return [
        trial if trial.eye is None else replace(trial, eye=_usable(_as_float32(trial.eye), alive))
        for trial in trials
    ]


def _usable(rows: NDArray[np.float32], alive: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(np.isfinite(rows) & alive, rows, np.nan).astype(np.float32)


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the values as the network takes them; what is too large for that becomes infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _few(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """Return the chosen names, the first five of them."""
    picked = [name for name, wanted in zip(names, chosen, strict=True) if wanted]
    return ", ".join(picked[:5]) + (f" and {len(picked) - 5} more" if len(picked) > 5 else "")


def note(excluded: list[Excluded] | None, subject: str, why: str) -> None:
    """Say that a part of a subject is not used, though the rest is."""
    if excluded is None:
        _log.warning("%s", why)
    else:
        excluded.append(Excluded(subject, why))


def checked_label(label: int, n_labels: int, where: str) -> int:
    """Return the label, or refuse one out of range."""
    if not 0 <= label < n_labels:
        raise InputError(
            f"expected a label from 0 to {n_labels - 1}, found {label}",
            where=where,
            remedy=FETCH_ANEW,
        )
    return label
