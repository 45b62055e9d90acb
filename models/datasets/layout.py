"""What the readers of data sets share: subjects, entropy step by step, and values that carry nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.datasets.files import damaged
from models.datasets.trials import Excluded, Trial, note
from models.features.config import FeatureConfig
from models.features.covariance import COVARIANCE_HZ, covariances
from models.features.eeg import differential_entropy
from models.features.smoothing import smoothed
from models.steps import usable_channels

STEP_S = 1.0


def check_folder(
    folder: Path, expected: Sequence[str], data_set: str, other: tuple[str, Sequence[str]] | None = None
) -> None:
    """Refuse a folder without the expected subfolders; offer the ``other`` kind (name, subfolders) it has."""
    if not folder.is_dir():
        raise damaged(f"expected the {data_set} folder, found none", folder, "")
    missing = [name for name in expected if not (folder / name).is_dir()]
    if missing:
        remedy = f"give the folder that {data_set} was unpacked to"
        if other is not None and all((folder / name).is_dir() for name in other[1]):
            remedy = f"choose --features {other[0]}, which it holds, or {remedy}"
        inside = sorted(path.name for path in folder.iterdir())
        found = ", ".join(inside[:6]) + (", ..." if len(inside) > 6 else "") or "nothing"
        raise damaged(f"expected {', '.join(missing)} in it, found {found}", folder, remedy)


def wanted_subjects(
    known: Iterable[str], subjects: Sequence[str | int] | None, folder: Path
) -> tuple[str, ...]:
    """Return the subjects to read, by number; all of them without a choice."""
    there = tuple(sorted(set(known), key=int))
    if not there:
        raise damaged("expected files of subjects, found none", folder, "")
    if subjects is None:
        return there
    chosen = tuple(str(subject) for subject in subjects)
    if unknown := [subject for subject in chosen if subject not in there]:
        what = f"expected subject {unknown[0]}, found {', '.join(there)}"
        remedy = "choose among those"
        raise InputError(what, where=str(folder), remedy=remedy, code=ErrorCode.SUBJECT, subject=unknown[0])
    return chosen


def entropy_steps(x: NDArray[np.floating], sfreq: float, config: FeatureConfig) -> NDArray[np.float32]:
    """Return the entropy (W, C, n_bands), nats, float32, of EEG (C, n_times) in µV, by the live functions.

    Samples after the last whole step are not used; NaN is where a channel is flat, at its rails or not finite
    in a step. Raises `InputError` if the rate is too low for a band.
    """
    steps, usable = _steps(x, sfreq)
    if len(steps) == 0:
        return np.zeros((0, len(x), len(config.bands)), dtype=np.float32)
    de = differential_entropy(torch.from_numpy(steps), sfreq, config).numpy()  # (W, C, n_bands)
    return smoothed(np.where(usable, de, np.nan).astype(np.float32), config.smoothing, STEP_S)


def covariance_steps(
    x: NDArray[np.floating], sfreq: float, config: FeatureConfig
) -> NDArray[np.float32] | None:
    """Return covariances (W, C, C) of the same steps, 0 where entropy is NaN; None of too many channels."""
    return covariances(_steps(x, sfreq)[0], sfreq, config.covariance_hz or COVARIANCE_HZ, config.n_tapers)


def _steps(x: NDArray[np.floating], sfreq: float) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return whole steps (W, C, n), 0 where a channel is not usable (W, C, 1)."""
    n_step = round(STEP_S * sfreq)
    steps = x[:, : x.shape[1] // n_step * n_step].reshape(len(x), -1, n_step).transpose(1, 0, 2)
    usable = np.array([usable_channels(step) for step in steps], dtype=bool).reshape(*steps.shape[:2], 1)
    return np.where(usable, steps, 0.0), usable


def masked_channels(
    eeg: NDArray[Any], ch_names: Sequence[str], subject: str, where: str, excluded: list[Excluded] | None
) -> NDArray[np.float32]:
    """Return features (W, C, n_bands), NaN in dead channels, which are noted; `InputError` if all are."""
    rows = _as_float32(eeg)
    finite = np.asarray(np.isfinite(rows).all(axis=2))  # (W, C)
    constant = (rows == rows[:1]).all(axis=(0, 2)) & (len(rows) > 1)  # (C,)
    usable = finite & ~constant
    if not usable.any():
        what = f"expected {len(ch_names)} channels that vary, found none"
        raise damaged(what, where, "the trial was not recorded: exclude the session")
    _note_masked(excluded, subject, where, "channels", ch_names, finite, usable.any(axis=0))
    return np.where(usable[:, :, None], rows, np.nan).astype(np.float32)


def masked_eye(trials: Sequence[Trial], where: str, excluded: list[Excluded] | None) -> list[Trial]:
    """Return a session's trials, NaN in eye features that are dead in all of them, which are noted."""
    read = [trial.eye for trial in trials if trial.eye is not None]
    if not read:
        return list(trials)
    joined = _as_float32(np.concatenate(read))  # (W of all trials, E)
    finite = np.isfinite(joined)
    alive = finite.any(axis=0) & ~((joined == joined[:1]).all(axis=0) & (len(read) > 1))
    numbers = [str(row + 1) for row in range(len(alive))]
    _note_masked(excluded, trials[0].subject, where, "eye features", numbers, finite, alive)
    masked = []
    for trial in trials:
        eye = trial.eye
        if eye is not None:
            rows = _as_float32(eye)
            eye = np.where(np.isfinite(rows) & alive, rows, np.nan).astype(np.float32)
        masked.append(replace(trial, eye=eye))
    return masked


def _note_masked(
    excluded: list[Excluded] | None,
    subject: str,
    where: str,
    kind: str,
    names: Sequence[str],
    finite: NDArray[np.bool_],  # (W, n)
    alive: NDArray[np.bool_],  # (n,)
) -> None:
    """Note which channels or eye features carry nothing at all, and which do not at times."""
    if not alive.all():
        why = f"{where}: {kind} constant or not a number are masked: {_few(names, ~alive)}"
        note(excluded, subject, why)
    if (partly := alive & ~finite.all(axis=0)).any():
        n_steps = int((~finite[:, partly]).any(axis=1).sum())
        why = f"{where}: {n_steps} of {len(finite)} steps are masked, not finite in {kind}"
        note(excluded, subject, f"{why} {_few(names, partly)}")


def _as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the values as the network takes them; values too large for that become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _few(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    picked = [name for name, wanted in zip(names, chosen, strict=True) if wanted]
    return ", ".join(picked[:5]) + (f" and {len(picked) - 5} more" if len(picked) > 5 else "")
