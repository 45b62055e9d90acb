"""SEED-V's recordings: Neuroscan ``.cnt`` files, read through MNE and cut at the published times.

Tested on recordings made in memory; none of the set's own files could be had when this was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES, canonical_name
from models.datasets.files import read_arrays
from models.datasets.layout import (
    check_folder,
    checked_label,
    files_by_subject,
    masked_channels,
    masked_eye,
    wanted_subjects,
)
from models.datasets.recordings import STEP_S, entropy_steps
from models.datasets.seed_iv import same_length
from models.datasets.trials import FETCH_ANEW, Excluded, Trial, exclude
from models.features.config import FeatureConfig

#: Mastoids and eye electrodes of the cap: not among the 62.
NOT_EEG = ("M1", "M2", "VEO", "HEO")

#: Begin and end of each clip in its session's recording, seconds (the set's trial_start_end_timestamp.txt).
CLIP_TIMES_S = {
    1: (
        (30, 132, 287, 555, 773, 982, 1271, 1628, 1730, 2025, 2227, 2435, 2667, 2932, 3204),
        (102, 228, 524, 742, 920, 1240, 1568, 1697, 1994, 2166, 2401, 2607, 2901, 3172, 3359),
    ),
    2: (
        (30, 299, 548, 646, 836, 1000, 1091, 1392, 1657, 1809, 1966, 2186, 2333, 2490, 2741),
        (267, 488, 614, 773, 967, 1059, 1331, 1622, 1777, 1908, 2153, 2302, 2428, 2709, 2817),
    ),
    3: (
        (30, 353, 478, 674, 825, 908, 1200, 1346, 1451, 1711, 2055, 2307, 2457, 2726, 2888),
        (321, 418, 643, 764, 877, 1147, 1284, 1418, 1679, 1996, 2275, 2425, 2664, 2857, 3066),
    ),
}


def load_recordings(
    folder: Path,
    subjects: Sequence[str | int] | None,
    config: FeatureConfig,
    excluded: list[Excluded] | None,
) -> Iterator[Trial]:
    """Yield the trials of ``EEG_raw/{subject}_{session}_{date}.cnt``; as `load_seed_v` says."""
    from mne.io import read_raw_cnt

    check_folder(folder, [RAW], "SEED-V")
    files: dict[tuple[str, int], Path] = {}
    for path in sorted((folder / RAW).iterdir()):
        if match := re.fullmatch(r"(\d+)_([123])_\d+\.cnt", path.name, re.IGNORECASE):
            files[str(int(match[1])), int(match[2])] = path
    for subject in wanted_subjects([key[0] for key in files], subjects, folder / RAW):
        for session in TRIAL_LABELS:
            try:
                if (subject, session) not in files:
                    raise InputError(
                        f"expected a file {subject}_{session}_DATE.cnt, found none",
                        where=str(folder / RAW),
                        remedy="get it from the publisher",
                    )
                path = files[subject, session]
                try:
                    raw = read_raw_cnt(path, verbose="error")
                except Exception as error:  # a damaged file makes MNE raise whatever its bytes say
                    found = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
                    raise InputError(
                        f"expected a Neuroscan recording, found what MNE cannot read: {found}",
                        where=str(path),
                        remedy=FETCH_ANEW,
                    ) from error
                trials = trials_of_recording(raw, str(path), subject, session, config, excluded)
            except InputError as error:
                exclude(excluded, subject, error)
            else:
                yield from trials


def trials_of_recording(
    raw: Any,
    source: str,
    subject: str,
    session: int,
    config: FeatureConfig,
    excluded: list[Excluded] | None = None,
) -> list[Trial]:
    """Return the 15 trials of one session's recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Mastoids and eye channels are dropped; the others may be labelled in any case and order.

    Raises
    ------
    InputError
        If one of the 62 channels is missing, or the recording ends before its last clip.
    """
    labels = {canonical_name(name): name for name in raw.ch_names if canonical_name(name) not in NOT_EEG}
    if missing := [name for name in SEED_CH_NAMES if name not in labels]:
        raise InputError(
            f"expected the 62 channels of the SEED cap, found no {', '.join(missing[:5])}",
            where=source,
            remedy="is this a recording of SEED-V?",
        )
    picks = [labels[name] for name in SEED_CH_NAMES]
    sfreq, length_s = float(raw.info["sfreq"]), raw.n_times / raw.info["sfreq"]
    begins, ends = CLIP_TIMES_S[session]
    if length_s < ends[-1]:
        raise InputError(
            f"expected at least {ends[-1]} s, found {length_s:.0f} s",
            where=source,
            remedy="the recording was cut short: leave the session out",
        )
    trials = []
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True), start=1):
        x = raw.get_data(picks=picks, start=round(begin * sfreq), stop=round(end * sfreq)) * 1e6  # V -> µV
        eeg = entropy_steps(x, sfreq, config)
        trials.append(
            Trial(
                dataset="seed-v",
                subject=subject,
                session=session,
                trial=number,
                label=TRIAL_LABELS[session][number - 1],
                label_names=LABELS,
                step_s=STEP_S,
                eeg=masked_channels(eeg, SEED_CH_NAMES, subject, f"{source}, clip {number}", excluded),
                eye=None,
                ch_names=SEED_CH_NAMES,
                origin="raw",
                source=source,
            )
        )
    return trials


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
    excluded: list[Excluded] | None = None,
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
    excluded : list of Excluded, optional
        Takes what cannot be read; without it the first such file raises.

    Raises
    ------
    InputError
        If the folder is not SEED-V, a subject is not in it, or a file is broken and ``excluded`` is None.
    """
    if features == "raw":
        check_folder(folder, [RAW], "SEED-V", other=("published", [EEG, EYE]))
        yield from load_recordings(folder, subjects, config or FeatureConfig(), excluded)
        return
    if features != "published":
        raise InputError(f"expected raw or published, found {features}", where="--features")
    check_folder(folder, [EEG, EYE] if eye else [EEG], "SEED-V", other=("raw", [RAW]))
    files = files_by_subject(folder / EEG, FILE_NAME)
    for subject in wanted_subjects(files, subjects, folder / EEG):
        try:
            trials = _published(files[subject], folder / EYE if eye else None, subject, excluded)
        except InputError as error:
            exclude(excluded, subject, error)
        else:
            yield from trials


def _published(
    path: Path, eye_folder: Path | None, subject: str, excluded: list[Excluded] | None
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
                eeg=masked_channels(eeg, SEED_CH_NAMES, subject, where, excluded),
                eye=rows,
                ch_names=SEED_CH_NAMES,
                origin="published",
                source=str(path),
            )
        )
    usable: list[Trial] = []
    for session in TRIAL_LABELS:
        of_session = [trial for trial in trials if trial.session == session]
        usable += masked_eye(of_session, f"{eye_path}, session {session}", excluded)
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
