"""EAV: 42 people listening and speaking in five emotions; EEG, video and audio.

Layout as published: ``subjectN/EEG/subjectN_eeg.mat`` and ``subjectN_eeg_label.mat``, ``subjectN/Video`` and
``subjectN/Audio`` with files that begin with the trial's three-digit number. Lee et al. 2024, Scientific
Data 11, 1026. Row r of the one-hot labels is emotion r // 2, listening where r is even, speaking where odd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.eav_media import EavClip, media_of_trials
from models.datasets.entropy_steps import STEP_S, entropy_steps
from models.datasets.layout import by_number, masked_channels, wanted_subjects
from models.datasets.mat_file import mat_array, mat_names
from models.datasets.types import FETCH_ANEW, LeftOut, Trial, leave_out
from models.features.config import FeatureConfig
from models.features.raw_eeg import raw_eeg

LABELS = ("neutral", "sadness", "anger", "happiness", "calmness")
TASKS = ("listening", "speaking")
# fmt: off
#: The order of the channels is not in the set's own description; this is a third party's.
CH_NAMES = (
    "FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "FC5", "FC1", "FC2", "FC6", "T7", "C3", "CZ", "C4", "T8",
    "CP5", "CP1", "CP2", "CP6", "P7", "P3", "PZ", "P4", "P8", "PO9", "O1", "OZ", "O2", "PO10",
)
# fmt: on
SFREQ = 500.0
SEGMENT_S = 5.0


def load_eav(
    folder: Path,
    subjects: Sequence[str | int] | None = None,
    *,
    tasks: Sequence[str] = ("speaking",),
    config: FeatureConfig | None = None,
    left_out: list[LeftOut] | None = None,
) -> Iterator[Trial]:
    """Yield EAV's trials with the entropy of their EEG every second, 20 steps a trial.

    Parameters
    ----------
    folder : Path
        Where the set was unpacked: it holds subject1 (or subject01), subject2, ...
    subjects : sequence, optional
        Their numbers; all without it.
    tasks : sequence of str
        ``listening``, ``speaking`` or both. The paper takes speaking, which alone has audio.
    config : FeatureConfig, optional
        Of the entropy.
    left_out : list of LeftOut, optional
        Takes what cannot be read; without it the first such file raises.

    Raises
    ------
    InputError
        If the folder is not EAV, a subject is not in it, or a file is broken and ``left_out`` is None.
    """
    config = config or FeatureConfig()
    for subject, path in _subjects(folder, subjects):
        try:
            source, eeg, labels, task = _recording(path)
            trials = []
            for at in _wanted(task, tasks):
                de = entropy_steps(eeg[:, :, at].T, SFREQ, config)
                de = masked_channels(de, CH_NAMES, subject, f"{source}, trial {at + 1}", left_out)
                trials.append(
                    Trial("eav", subject, 1, at + 1, int(labels[at]), LABELS, STEP_S,
                          de, None, CH_NAMES, "raw", str(source))
                )  # fmt: skip
        except InputError as error:
            leave_out(left_out, subject, error)
        else:
            yield from trials


def load_eav_clips(
    folder: Path,
    subjects: Sequence[str | int] | None = None,
    *,
    tasks: Sequence[str] = ("speaking",),
    config: FeatureConfig | None = None,
    left_out: list[LeftOut] | None = None,
) -> Iterator[EavClip]:
    """Yield EAV's clips of 5 s, four of a trial of 20 s, with filtered EEG and where video and audio lie.

    As `load_eav`. A video or audio file that is missing or broken is None in its clips and noted in
    ``left_out``; the trial's EEG is used all the same.
    """
    config = config or FeatureConfig()
    for subject, path in _subjects(folder, subjects):
        try:
            source, eeg, labels, task = _recording(path)
            numbers = _wanted(task, tasks)
            length_s = eeg.shape[0] / SFREQ
            media = media_of_trials(
                path,
                [at + 1 for at in numbers],
                _speaks(task),
                labels,
                LABELS,
                length_s,
                left_out,
            )
            clips = []
            for at in numbers:
                video, audio = media[at + 1]
                for segment, (raw, de) in enumerate(_segments(eeg[:, :, at].T, config)):
                    de = masked_channels(de, CH_NAMES, subject, f"{source}, trial {at + 1}", left_out)
                    clips.append(
                        EavClip("eav", subject, 1, at + 1, segment, int(labels[at]), LABELS,
                                TASKS[task[at]], raw, de, CH_NAMES, video, audio,
                                segment * SEGMENT_S, SEGMENT_S, str(source))
                    )  # fmt: skip
        except InputError as error:
            leave_out(left_out, subject, error)
        else:
            yield from clips


def eav_subjects(folder: Path) -> list[str]:
    """Return the subjects' numbers.

    Raises
    ------
    InputError
        If the folder is not EAV.
    """
    return [subject for subject, _ in _subjects(folder, None)]


def _subjects(folder: Path, subjects: Sequence[str | int] | None) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise InputError("expected the EAV folder, found none", where=str(folder))
    found: dict[str, Path] = {}
    for path in folder.iterdir():
        if (match := re.fullmatch(r"subject[ _]?0*(\d+)", path.name, re.IGNORECASE)) and path.is_dir():
            found[match[1]] = path
    if not found:
        raise InputError(
            "expected folders subject1, subject2, ..., found none",
            where=str(folder),
            remedy="give the folder that EAV was unpacked to",
        )
    found = by_number(found)
    return [(subject, found[subject]) for subject in wanted_subjects(found, subjects, folder)]


def _recording(path: Path) -> tuple[Path, NDArray[np.float64], NDArray[np.intp], NDArray[np.intp]]:
    """Return a subject's file, EEG (n_times, 30, n_trials), and label and task of each trial (n_trials,)."""
    inside = sorted((path / "EEG").iterdir()) if (path / "EEG").is_dir() else []
    eeg_path, label_path = (
        next((p for p in inside if re.fullmatch(pattern, p.name, re.IGNORECASE)), None)
        for pattern in (r"subject\d+_eeg\.mat", r"subject\d+_eeg_label\.mat")
    )
    for file, name in ((eeg_path, "eeg.mat"), (label_path, "eeg_label.mat")):
        if file is None:
            raise InputError(
                f"expected EEG/{path.name}_{name}, found none", where=str(path), remedy=FETCH_ANEW
            )
    assert eeg_path is not None
    assert label_path is not None
    names = mat_names(eeg_path)
    key = next((key for key in ("seg1", "seg") if len(names.get(key, ())) == 3), "seg1")
    eeg = mat_array(eeg_path, key, (None, len(CH_NAMES), None))
    n_segment = round(SEGMENT_S * SFREQ)
    if eeg.shape[0] % n_segment:
        raise InputError(
            f"{key}: expected 10000 samples of each trial, found {eeg.shape[0]}",
            where=str(eeg_path),
            remedy=FETCH_ANEW,
        )
    one_hot = mat_array(label_path, "label", (len(LABELS) * len(TASKS), eeg.shape[2]))
    bad = np.flatnonzero(~((one_hot == 0) | (one_hot == 1)).all(axis=0) | (one_hot.sum(axis=0) != 1))
    if len(bad):
        found = np.flatnonzero(one_hot[:, bad[0]])
        raise InputError(
            f"trial {bad[0] + 1}: expected one label of ten, found {len(found)}",
            where=str(label_path),
            remedy=FETCH_ANEW,
        )
    rows = one_hot.argmax(axis=0)
    return eeg_path, eeg, rows // len(TASKS), rows % len(TASKS)


def _wanted(task: NDArray[np.intp], tasks: Sequence[str]) -> list[int]:
    """Return the indices of the trials of these tasks."""
    unknown = [name for name in tasks if name not in TASKS]
    if unknown or not tasks:
        raise InputError(
            f"expected {' or '.join(TASKS)}, found {', '.join(unknown) or 'none'}", where="tasks"
        )
    return [at for at, number in enumerate(task.tolist()) if TASKS[number] in tasks]


def _speaks(task: NDArray[np.intp]) -> Callable[[int], bool]:
    return lambda trial: TASKS[task[trial - 1]] == "speaking"


def _segments(
    x: NDArray[np.float64], config: FeatureConfig
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield filtered EEG (30, 500) at 100 Hz and entropy (5, 30, n_bands) of each 5 s of (30, n_times)."""
    n_segment = round(SEGMENT_S * SFREQ)
    for start in range(0, x.shape[1], n_segment):
        part = x[:, start : start + n_segment]
        filtered = raw_eeg(torch.from_numpy(np.where(np.isfinite(part), part, 0.0)), SFREQ, config)
        yield filtered.numpy(), entropy_steps(part, SFREQ, config)
