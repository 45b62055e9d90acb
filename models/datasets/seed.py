"""SEED-IV and SEED-V: subjects watch film clips in three sessions; EEG and eye features, or raw EEG.

Layouts are those of publication. Zheng et al. 2019, IEEE Trans. Cybernetics 49(3) (SEED-IV); Liu et al. 2022,
IEEE Trans. Cognitive and Developmental Systems 14(2) (SEED-V). No recording of SEED-V was available when
this was written: their reader was tested on recordings made in memory.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from acquisition.montage import SEED_CH_NAMES, canonical_name
from assets import SEED
from models.datasets import layout
from models.datasets.files import damaged, first_line, mat_array, mat_names, read_arrays
from models.datasets.trials import Excluded, Trial, exclude
from models.features.config import FeatureConfig

SESSIONS = (1, 2, 3)
PUBLISHED_STEP_S = 4.0
N_BANDS = 5


@dataclass(frozen=True)
class SeedSet:
    """What distinguishes the two sets, and where their files lie."""

    name: str  # as on the command line
    title: str
    labels: tuple[str, ...]
    trial_labels: Mapping[int, tuple[int, ...]]  # index into labels of each trial, by session
    n_train: int  # of a session's trials, in the published split: the first ones
    n_eye: int
    eeg: str  # folder of the EEG features
    eye: str  # folder of the eye features, in files of the same names
    raw: str  # folder of the recordings
    has_session_folders: bool  # in each of these
    feature_file: str  # path in its folder; group "session" is missing where one file holds all three
    raw_file: str
    clip_times_s: Mapping[int, Sequence[Sequence[float]]]  # begin and end of each clip of a recording

    @property
    def n_trials(self) -> int:
        return len(self.trial_labels[1])

    def folders(self, features: str) -> tuple[str, ...]:
        return (self.raw,) if features == "raw" else (self.eeg, self.eye)


def _known(name: str, entry: Mapping[str, Any]) -> SeedSet:
    lists = {
        "labels": tuple(entry["labels"]),
        "trial_labels": {int(session): tuple(of) for session, of in entry["trial_labels"].items()},
        "clip_times_s": {int(session): of for session, of in entry.get("clip_times_s", {}).items()},
    }
    return SeedSet(name, **{**entry, **lists})


SEED_SETS = {name: _known(name, entry) for name, entry in tomllib.loads(SEED.read_text("utf-8")).items()}
SEED_IV, SEED_V = SEED_SETS["seed-iv"], SEED_SETS["seed-v"]

#: Sampling rate of SEED-IV's raw EEG, which the set keeps in µV.
SEED_IV_SFREQ = 200.0
#: Mastoids and eye electrodes in SEED-V's recordings: not among the 62.
NOT_EEG = ("M1", "M2", "VEO", "HEO")


class _Entry(NamedTuple):
    """One trial as a file holds it."""

    session: int
    trial: int
    label: int
    eeg: NDArray[Any]  # (W, 62, n_bands)
    eye: NDArray[Any] | None  # (W, n_eye); becomes float32 where its values are checked
    where: str  # for messages


def load_seed(
    data_set: SeedSet,
    folder: Path,
    features: str = "published",
    subjects: Sequence[str | int] | None = None,
    *,
    config: FeatureConfig | None = None,
    excluded: list[Excluded] | None = None,
) -> Iterator[Trial]:
    """Yield the trials of SEED-IV or SEED-V, subject by subject and session by session.

    ``features`` are ``"published"``: the set's own every 4 s, smoothed with the future, for tables only; or
    ``"raw"``: entropy of the raw EEG every second by the functions that serve live, without eye features,
    since the published ones are statistics of whole clips.

    Raises `InputError` if the folder is another, a subject is not in it, or a file is damaged and no list of
    ``excluded`` takes that.
    """
    is_raw, other = features == "raw", "published" if features == "raw" else "raw"
    needed = [
        f"{part}/{session}" if data_set.has_session_folders else part
        for part in data_set.folders(features)
        for session in (SESSIONS if data_set.has_session_folders else (0,))
    ]
    layout.check_folder(folder, needed, data_set.title, (other, data_set.folders(other)))
    eeg_folder = folder / (data_set.raw if is_raw else data_set.eeg)
    files = _files(eeg_folder, data_set.raw_file if is_raw else data_set.feature_file)
    sessions = (0,) if all(session == 0 for _, session in files) else SESSIONS
    for subject in layout.wanted_subjects([subject for subject, _ in files], subjects, eeg_folder):
        for session in sessions:
            try:
                if (subject, session) not in files:
                    what = f"expected a file of subject {subject}, session {session}, found none"
                    raise damaged(what, eeg_folder)
                path = files[subject, session]
                eye_path = folder / data_set.eye / path.relative_to(eeg_folder)
                if is_raw:
                    read = _raw_arrays if data_set is SEED_IV else _recording
                    entries = read(path, session, config or FeatureConfig())
                elif data_set is SEED_IV:
                    entries = _feature_arrays(path, eye_path, session)
                else:
                    entries = _feature_pickles(path, eye_path)
                trials = [_trial(data_set, subject, path, features, entry, excluded) for entry in entries]
                by_session = {one.session: [t for t in trials if t.session == one.session] for one in trials}
                masked = [
                    layout.masked_eye(of_session, f"{eye_path}, session {number}", excluded)
                    for number, of_session in by_session.items()
                ]
            except InputError as error:
                exclude(excluded, subject, error)
            else:
                yield from (trial for of_session in masked for trial in of_session)


def _files(folder: Path, pattern: str) -> dict[tuple[str, int], Path]:
    """Return the files by subject and session, 0 where one file holds all sessions."""
    found: dict[tuple[str, int], Path] = {}
    for path in sorted(folder.rglob("*")):
        match = re.fullmatch(pattern, path.relative_to(folder).as_posix(), re.IGNORECASE)
        if match is None:
            continue
        key = str(int(match["subject"])), int(match.groupdict().get("session", 0))
        if key in found:
            what = f"expected one file of subject {key[0]}, found {found[key].name} and {path.name}"
            raise damaged(what, folder, "move one of them away")
        found[key] = path
    return found


def _trial(
    data_set: SeedSet, subject: str, path: Path, features: str, entry: _Entry, excluded: list[Excluded] | None
) -> Trial:
    return Trial(
        dataset=data_set.name,
        subject=subject,
        session=entry.session,
        trial=entry.trial,
        label=entry.label,
        label_names=data_set.labels,
        step_s=PUBLISHED_STEP_S if features == "published" else layout.STEP_S,
        eeg=layout.masked_channels(entry.eeg, SEED_CH_NAMES, subject, entry.where, excluded),
        eye=entry.eye,
        ch_names=SEED_CH_NAMES,
        origin=features,
        source=str(path),
    )


# -- SEED-IV: MATLAB files of a session, an array a trial --------------------------------------------------


def _feature_arrays(path: Path, eye_path: Path, session: int) -> Iterator[_Entry]:
    for number, key in _numbered(path, r"^de_LDS(\d+)$"):
        eeg = mat_array(path, key, (len(SEED_CH_NAMES), None, N_BANDS)).transpose(1, 0, 2)  # (W, 62, 5)
        eye = mat_array(eye_path, f"eye_{number}", (SEED_IV.n_eye, None)).T  # (W, 31)
        eeg, eye = _same_length(eeg, eye, f"{eye_path}, eye_{number}")
        label = SEED_IV.trial_labels[session][number - 1]
        yield _Entry(session, number, label, eeg, eye, f"{path}, {key}")


def _raw_arrays(path: Path, session: int, config: FeatureConfig) -> Iterator[_Entry]:
    for number, key in _numbered(path, r"_eeg(\d+)$"):
        x = mat_array(path, key, (len(SEED_CH_NAMES), None))  # (62, n_times)
        if x.shape[1] < SEED_IV_SFREQ * layout.STEP_S:
            n_least = SEED_IV_SFREQ * layout.STEP_S
            raise damaged(f"{key}: expected at least {n_least:g} samples, found {x.shape[1]}", path)
        label = SEED_IV.trial_labels[session][number - 1]
        eeg = layout.entropy_steps(x, SEED_IV_SFREQ, config)
        yield _Entry(session, number, label, eeg, None, f"{path}, {key}")


def _numbered(path: Path, pattern: str) -> list[tuple[int, str]]:
    """Return a file's variables by the trial number that the pattern's group 1 catches, in order of it."""
    found = sorted((int(match[1]), name) for name in mat_names(path) if (match := re.search(pattern, name)))
    numbers = [number for number, _ in found]
    if not found or numbers != list(range(1, len(found) + 1)) or len(found) > SEED_IV.n_trials:
        what = ", ".join(map(str, numbers)) or "none"
        raise damaged(f"expected trials 1 to {SEED_IV.n_trials}, found {what}", path)
    return found


# -- SEED-V: pickles of a subject's three sessions, and a Neuroscan recording of each ----------------------


def _feature_pickles(path: Path, eye_path: Path) -> Iterator[_Entry]:
    eeg_of, label_of = _pickles(path)
    eye_of = _pickles(eye_path)[0]
    for entry, flat in eeg_of.items():
        eeg = _checked(flat, len(SEED_CH_NAMES) * N_BANDS, f"{path}, entry {entry}")
        eeg = eeg.reshape(len(flat), -1, N_BANDS)  # (W, 310) -> (W, 62, 5): channel by channel
        if entry not in eye_of:
            raise damaged(f"expected an entry {entry} as in the EEG, found none", eye_path)
        eye = _checked(eye_of[entry], SEED_V.n_eye, f"{eye_path}, entry {entry}")  # (W, 33)
        eeg, eye = _same_length(eeg, eye, f"{eye_path}, entry {entry}")
        session, trial = divmod(entry, SEED_V.n_trials)
        label = _one_label(label_of.get(entry, np.zeros(0)), f"{path}, label {entry}")
        yield _Entry(session + 1, trial + 1, label, eeg, eye, f"{path}, entry {entry}")


def _pickles(path: Path) -> tuple[dict[int, NDArray[Any]], dict[int, NDArray[Any]]]:
    """Return a file's data and labels by entry, in the order of the entries."""
    if not path.is_file():
        raise damaged("expected this file, found none", path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            contents = {name: archive[name].tobytes() for name in ("data", "label") if name in archive.files}
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise all sorts of things
        n_bytes = path.stat().st_size
        what = f"cannot read the .npz file ({n_bytes} bytes): {first_line(error)}"
        raise damaged(what, path) from error
    if missing := [name for name in ("data", "label") if name not in contents]:
        raise damaged(f"expected data and label, found no {missing[0]}", path)
    data, label = (read_arrays(content, f"{path}, {name}") for name, content in contents.items())
    n_entries = len(SESSIONS) * SEED_V.n_trials
    beyond = [entry for entry in data if not 0 <= entry < n_entries]
    if beyond or not data:
        found = f"entry {beyond[0]}" if beyond else "none"
        raise damaged(f"expected entries 0 to {n_entries - 1}, found {found}", path)
    return dict(sorted(data.items())), label


def _checked(rows: NDArray[Any], n_columns: int, where: str) -> NDArray[np.float64]:
    if rows.ndim != 2 or rows.shape[1] != n_columns or len(rows) == 0:
        raise damaged(f"expected shape (any, {n_columns}), found {rows.shape}", where)
    return rows.astype(np.float64)


def _one_label(of_windows: NDArray[Any], where: str) -> int:
    labels = np.unique(of_windows)
    if len(labels) != 1 or labels[0] != int(labels[0]):
        found = ", ".join(f"{value:g}" for value in labels[:6]) or "none"
        raise damaged(f"expected one label for the whole trial, found {found}", where)
    label, n_labels = int(labels[0]), len(SEED_V.labels)
    if not 0 <= label < n_labels:
        raise damaged(f"expected a label from 0 to {n_labels - 1}, found {label}", where)
    return label


def _recording(path: Path, session: int, config: FeatureConfig) -> Iterator[_Entry]:
    """Yield the clips of a session's recording, whose channels may be named in any case and order."""
    from mne.io import read_raw_cnt

    try:
        raw = read_raw_cnt(path, verbose="error")
    except Exception as error:  # a damaged file makes MNE raise whatever its bytes say
        what = f"cannot read the Neuroscan recording: {first_line(error)}"
        raise damaged(what, path) from error
    names = {canonical_name(name): name for name in raw.ch_names if canonical_name(name) not in NOT_EEG}
    if missing := [name for name in SEED_CH_NAMES if name not in names]:
        what = f"expected the 62 channels of the SEED cap, found no {', '.join(missing[:5])}"
        raise damaged(what, path, "check that this is a recording of SEED-V")
    picks = [names[name] for name in SEED_CH_NAMES]
    sfreq, length_s = float(raw.info["sfreq"]), raw.n_times / raw.info["sfreq"]
    begins, ends = SEED_V.clip_times_s[session]
    if length_s < ends[-1]:
        what = f"expected at least {ends[-1]} s, found {length_s:.0f} s"
        raise damaged(what, path, "the recording was cut short: exclude the session")
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True), start=1):
        x = raw.get_data(picks=picks, start=round(begin * sfreq), stop=round(end * sfreq)) * 1e6  # V -> µV
        label = SEED_V.trial_labels[session][number - 1]
        yield _Entry(
            session, number, label, layout.entropy_steps(x, sfreq, config), None, f"{path}, clip {number}"
        )


def _same_length(
    eeg: NDArray[np.float64], eye: NDArray[np.float64], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both (W, ...) with the same number of steps; one step more on one side is cut off."""
    if abs(len(eeg) - len(eye)) > 1:  # they are not of the same trial
        raise damaged(f"expected {len(eeg)} steps as in the EEG, found {len(eye)}", where)
    n = min(len(eeg), len(eye))
    return eeg[:n], eye[:n]
