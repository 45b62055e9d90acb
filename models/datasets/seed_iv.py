"""SEED-IV: 15 people, three sessions of 24 film clips, four emotions; EEG and eye features.

Layout as published: ``eeg_raw_data``, ``eeg_feature_smooth`` and ``eye_feature_smooth``, in each the folders
1, 2, 3 (sessions) with ``{subject}_{date}.mat``. Zheng et al. 2019, IEEE Trans. Cybernetics 49(3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES
from models.datasets.files import mat_array, mat_names
from models.datasets.layout import (
    check_folder,
    files_by_subject,
    masked_channels,
    masked_eye,
    numbered,
    wanted_subjects,
)
from models.datasets.recordings import STEP_S, entropy_steps
from models.datasets.trials import FETCH_ANEW, Excluded, Trial, exclude
from models.features.config import FeatureConfig

LABELS = ("neutral", "sad", "fear", "happy")
#: Label of each trial, by session.
TRIAL_LABELS = {
    1: (1, 2, 3, 0, 2, 0, 0, 1, 0, 1, 2, 1, 1, 1, 2, 3, 2, 2, 3, 3, 0, 3, 0, 3),
    2: (2, 1, 3, 0, 0, 2, 0, 2, 3, 3, 2, 3, 2, 0, 1, 1, 2, 1, 0, 3, 0, 1, 3, 1),
    3: (1, 2, 2, 1, 3, 3, 3, 1, 1, 2, 1, 0, 2, 3, 3, 0, 2, 3, 0, 0, 2, 0, 1, 0),
}
N_TRIALS = 24
RAW_SFREQ = 200.0
PUBLISHED_STEP_S = 4.0
N_EYE = 31
RAW, SMOOTH, EYE = "eeg_raw_data", "eeg_feature_smooth", "eye_feature_smooth"
FILE_NAME = r"(\d+)_\d+\.mat"


def load_seed_iv(
    folder: Path,
    features: str = "published",
    subjects: Sequence[str | int] | None = None,
    *,
    eye: bool = True,
    eeg_key: str = "de_LDS",
    config: FeatureConfig | None = None,
    excluded: list[Excluded] | None = None,
) -> Iterator[Trial]:
    """Yield SEED-IV's trials, subject by subject and session by session.

    Parameters
    ----------
    folder : Path
        Where the set was unpacked.
    features : str
        ``"published"``: the set's smoothed features every 4 s, which see the future and serve tables only.
        ``"raw"``: entropy of the raw EEG every second by the functions that serve live; no eye features,
        since the published ones are statistics of whole clips.
    subjects : sequence, optional
        Their numbers; all without it.
    eye : bool
        Read the eye features too (published only).
    eeg_key : str
        ``de_LDS`` or ``de_movingAve``.
    config : FeatureConfig, optional
        Of the raw features.
    excluded : list of Excluded, optional
        Takes what cannot be read; without it the first such file raises.

    Raises
    ------
    InputError
        If the folder is not SEED-IV, a subject is not in it, or a file is broken and ``excluded`` is None.
    """
    if features not in ("published", "raw"):
        raise InputError(f"expected raw or published, found {features}", where="--features")
    eeg_folder = folder / (SMOOTH if features == "published" else RAW)
    wanted_folders = [f"{eeg_folder.name}/{session}" for session in TRIAL_LABELS]
    if eye and features == "published":
        wanted_folders += [f"{EYE}/{session}" for session in TRIAL_LABELS]
    other = ("raw", [RAW]) if features == "published" else ("published", [SMOOTH, EYE])
    check_folder(folder, wanted_folders, "SEED-IV", other=other)
    files = {s: files_by_subject(eeg_folder / str(s), FILE_NAME) for s in TRIAL_LABELS}
    known = [subject for of_session in files.values() for subject in of_session]
    for subject in wanted_subjects(known, subjects, eeg_folder):
        for session, of_session in files.items():
            try:
                if subject not in of_session:
                    raise InputError(
                        f"expected a file {subject}_DATE.mat, found none",
                        where=str(eeg_folder / str(session)),
                        remedy="get it from the publisher",
                    )
                path = of_session[subject]
                if features == "published":
                    trials = _published(path, folder if eye else None, subject, session, eeg_key, excluded)
                else:
                    trials = _raw(path, subject, session, config or FeatureConfig(), excluded)
            except InputError as error:
                exclude(excluded, subject, error)
            else:
                yield from trials


def _published(
    path: Path,
    eye_root: Path | None,
    subject: str,
    session: int,
    eeg_key: str,
    excluded: list[Excluded] | None,
) -> list[Trial]:
    """Return a session's trials with published features."""
    keys = numbered(mat_names(path), rf"^{eeg_key}(\d+)$", f"{path}, {eeg_key}", N_TRIALS)
    eye_path = None if eye_root is None else eye_root / EYE / str(session) / path.name
    trials = []
    for number, key in keys.items():
        where = f"{path}, {key}"
        # (62, W, 5) -> (W, 62, 5)
        eeg = mat_array(path, key, (len(SEED_CH_NAMES), None, 5)).transpose(1, 0, 2)
        rows = None
        if eye_path is not None:
            rows = mat_array(eye_path, f"eye_{number}", (N_EYE, None)).T  # (W, 31)
            eeg, rows = same_length(eeg, rows, f"{eye_path}, eye_{number}")
        usable = masked_channels(eeg, SEED_CH_NAMES, subject, where, excluded)
        trials.append(_trial(path, subject, session, number, PUBLISHED_STEP_S, usable, rows, "published"))
    return masked_eye(trials, str(eye_path), excluded)


def _raw(
    path: Path, subject: str, session: int, config: FeatureConfig, excluded: list[Excluded] | None
) -> list[Trial]:
    """Return a session's trials with features of its raw EEG, which the set keeps in µV at 200 Hz."""
    keys = numbered(mat_names(path), r"_eeg(\d+)$", str(path), N_TRIALS)
    trials = []
    for number, key in keys.items():
        x = mat_array(path, key, (len(SEED_CH_NAMES), None))  # (62, n_times)
        if x.shape[1] < RAW_SFREQ * STEP_S:
            raise InputError(
                f"{key}: expected at least {RAW_SFREQ * STEP_S:g} samples, found {x.shape[1]}",
                where=str(path),
                remedy=FETCH_ANEW,
            )
        eeg = entropy_steps(x, RAW_SFREQ, config)
        eeg = masked_channels(eeg, SEED_CH_NAMES, subject, f"{path}, {key}", excluded)
        trials.append(_trial(path, subject, session, number, STEP_S, eeg, None, "raw"))
    return trials


def _trial(
    path: Path,
    subject: str,
    session: int,
    number: int,
    step_s: float,
    eeg: NDArray[np.float32],
    eye: NDArray[np.float64] | None,  # becomes float32 where its values are checked
    origin: str,
) -> Trial:
    return Trial(
        dataset="seed-iv",
        subject=subject,
        session=session,
        trial=number,
        label=TRIAL_LABELS[session][number - 1],
        label_names=LABELS,
        step_s=step_s,
        eeg=eeg,
        eye=eye,
        ch_names=SEED_CH_NAMES,
        origin=origin,
        source=str(path),
    )


def same_length(
    eeg: NDArray[np.float64], eye: NDArray[np.float64], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both (W, ...) with the same number of steps; one step more on one side is cut off.

    Raises
    ------
    InputError
        If they differ by more than one step: they are not of the same trial.
    """
    n_eeg, n_eye = len(eeg), len(eye)
    if abs(n_eeg - n_eye) > 1:
        raise InputError(
            f"expected {n_eeg} steps as in the EEG, found {n_eye}",
            where=where,
            remedy=FETCH_ANEW,
        )
    n = min(n_eeg, n_eye)
    return eeg[:n], eye[:n]
