"""SEED-V: 16 people, three sessions of 15 film clips, five emotions; EEG and eye features.

Layout as published: ``EEG_DE_features/{n}_123.npz`` and ``Eye_movement_features/{n}_123.npz`` hold pickles of
all three sessions, ``EEG_raw/{subject}_{session}_{date}.cnt`` the recordings at 1000 Hz. Liu et al. 2022,
IEEE Trans. Cognitive and Developmental Systems 14(2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from models.datasets.layout import (
    check_folder,
    checked_label,
    files_by_subject,
    masked_channels,
    masked_eye,
    wanted_subjects,
)
from models.datasets.plain_pickle import read_arrays
from models.datasets.seed_iv import same_length
from models.datasets.types import FETCH_ANEW, LeftOut, Trial, leave_out
from models.features.config import FeatureConfig

LABELS = ("disgust", "fear", "sad", "neutral", "happy")
#: Label of each trial, by session.
TRIAL_LABELS = {
    1: (4, 1, 3, 2, 0) * 3,
    2: (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
    3: (2, 1, 3, 0, 4, 4, 0, 3, 2, 1, 3, 4, 1, 2, 0),
}
N_TRIALS = 15  # of a session; entry k of a file is trial k % 15 + 1 of session k // 15 + 1
N_EYE = 33
N_BANDS = 5
PUBLISHED_STEP_S = 4.0
EEG, EYE, RAW = "EEG_DE_features", "Eye_movement_features", "EEG_raw"
FILE_NAME = r"(\d+)_123\.npz"


def load_seed_v(
    folder: Path,
    features: str = "published",
    subjects: Sequence[str | int] | None = None,
    *,
    eye: bool = True,
    config: FeatureConfig | None = None,
    left_out: list[LeftOut] | None = None,
) -> Iterator[Trial]:
    """Yield SEED-V's trials, subject by subject and session by session.

    Parameters
    ----------
    folder : Path
        Where the set was unpacked.
    features : str
        ``"published"``: the set's features every 4 s, which serve tables only. ``"raw"``: entropy of the
        recordings every second by the functions that serve live, without eye features.
    subjects : sequence, optional
        Their numbers; all without it.
    eye : bool
        Read the eye features too (published only).
    config : FeatureConfig, optional
        Of the raw features.
    left_out : list of LeftOut, optional
        Takes what cannot be read; without it the first such file raises.

    Raises
    ------
    InputError
        If the folder is not SEED-V, a subject is not in it, or a file is broken and ``left_out`` is None.
    """
    if features == "raw":
        from models.datasets.seed_v_raw import load_recordings

        check_folder(folder, [RAW], "SEED-V", other=("published", [EEG, EYE]))
        yield from load_recordings(folder, subjects, config or FeatureConfig(), left_out)
        return
    if features != "published":
        raise InputError(f"expected raw or published, found {features}", where="--features")
    check_folder(folder, [EEG, EYE] if eye else [EEG], "SEED-V", other=("raw", [RAW]))
    files = files_by_subject(folder / EEG, FILE_NAME)
    for subject in wanted_subjects(files, subjects, folder / EEG):
        try:
            trials = _published(files[subject], folder / EYE if eye else None, subject, left_out)
        except InputError as error:
            leave_out(left_out, subject, error)
        else:
            yield from trials


def _published(
    path: Path, eye_folder: Path | None, subject: str, left_out: list[LeftOut] | None
) -> list[Trial]:
    """Return the trials of a subject's three sessions."""
    eeg_of, label_of = _entries(path)
    eye_path = None if eye_folder is None else eye_folder / path.name
    eye_of = {} if eye_path is None else _entries(eye_path)[0]
    trials = []
    for entry, flat in eeg_of.items():
        where = f"{path}, entry {entry}"
        # (W, 310) -> (W, 62, 5): channel by channel
        eeg = _checked(flat, len(SEED_CH_NAMES) * N_BANDS, where).reshape(len(flat), -1, N_BANDS)
        rows = None
        if eye_path is not None:
            if entry not in eye_of:
                raise InputError(
                    f"expected an entry {entry} as in the EEG, found none",
                    where=str(eye_path),
                    remedy=FETCH_ANEW,
                )
            rows = _checked(eye_of[entry], N_EYE, f"{eye_path}, entry {entry}")  # (W, 33)
            eeg, rows = same_length(eeg, rows, f"{eye_path}, entry {entry}")
        trials.append(
            Trial(
                dataset="seed-v",
                subject=subject,
                session=entry // N_TRIALS + 1,
                trial=entry % N_TRIALS + 1,
                label=_label(label_of, entry, path),
                label_names=LABELS,
                step_s=PUBLISHED_STEP_S,
                eeg=masked_channels(eeg, SEED_CH_NAMES, subject, where, left_out),
                eye=rows,
                ch_names=SEED_CH_NAMES,
                origin="published",
                source=str(path),
            )
        )
    usable: list[Trial] = []
    for session in TRIAL_LABELS:
        of_session = [trial for trial in trials if trial.session == session]
        usable += masked_eye(of_session, f"{eye_path}, session {session}", left_out)
    return usable


def _entries(path: Path) -> tuple[dict[int, NDArray[Any]], dict[int, NDArray[Any]]]:
    """Return a file's data and labels by entry, in the order of the numbers."""
    if not path.is_file():
        raise InputError("expected this file, found none", where=str(path), remedy=FETCH_ANEW)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in ("data", "label") if name not in archive.files]
            contents = {} if missing else {name: archive[name].tobytes() for name in ("data", "label")}
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise all sorts of things
        found = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise InputError(
            f"expected a whole .npz file, found {path.stat().st_size} bytes that cannot be read: {found}",
            where=str(path),
            remedy=FETCH_ANEW,
        ) from error
    if missing:
        raise InputError(
            f"expected data and label, found no {missing[0]}", where=str(path), remedy=FETCH_ANEW
        )
    data, label = (read_arrays(contents[name], f"{path}, {name}") for name in ("data", "label"))
    beyond = [entry for entry in data if not 0 <= entry < 3 * N_TRIALS]
    if beyond or not data:
        found = f"entry {beyond[0]}" if beyond else "none"
        raise InputError(f"expected entries 0 to 44, found {found}", where=str(path), remedy=FETCH_ANEW)
    return dict(sorted(data.items())), label


def _checked(rows: NDArray[Any], n_columns: int, where: str) -> NDArray[np.float64]:
    if rows.ndim != 2 or rows.shape[1] != n_columns or len(rows) == 0:
        raise InputError(
            f"expected shape (any, {n_columns}), found {rows.shape}", where=where, remedy=FETCH_ANEW
        )
    return rows.astype(np.float64)


def _label(label_of: dict[int, NDArray[Any]], entry: int, path: Path) -> int:
    """Return the one label of an entry's windows."""
    where = f"{path}, label {entry}"
    labels = np.unique(label_of.get(entry, np.zeros(0)))
    if len(labels) != 1 or labels[0] != int(labels[0]):
        found = ", ".join(f"{value:g}" for value in labels[:6]) or "none"
        raise InputError(
            f"expected one label for the whole trial, found {found}", where=where, remedy=FETCH_ANEW
        )
    return checked_label(int(labels[0]), len(LABELS), where)
