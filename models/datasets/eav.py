"""EAV: 42 subjects listening and speaking in five emotions; EEG, video and audio.

Layout as published: ``subjectN/EEG/subjectN_eeg.mat`` and ``subjectN_eeg_label.mat``, ``subjectN/Video`` and
``subjectN/Audio`` with files that begin with the trial's three-digit number. Lee et al. 2024, Scientific
Data 11, 1026. Row r of the one-hot labels is emotion r // 2, listening where r is even, speaking where odd.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.files import damaged, mat_array, mat_names
from models.datasets.layout import STEP_S, entropy_steps, masked_channels, wanted_subjects
from models.datasets.trials import Excluded, Trial, exclude
from models.features.config import FeatureConfig

T = TypeVar("T")

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
    config: FeatureConfig | None = None,
    excluded: list[Excluded] | None = None,
) -> Iterator[Trial]:
    """Yield EAV's speaking trials, as the paper has it, with the entropy of their EEG every second.

    Raises `InputError` if the folder is not EAV, a subject is not in it, or a file is damaged and no list of
    ``excluded`` takes that.
    """
    config = config or FeatureConfig()

    def trials_of(recording: EavRecording) -> Iterator[Trial]:
        for at in recording.speaking:
            de = recording.masked(entropy_steps(recording.eeg[:, :, at].T, SFREQ, config), at, excluded)
            yield Trial("eav", recording.subject, 1, at + 1, int(recording.label[at]), LABELS, STEP_S,
                        de, None, CH_NAMES, "raw", str(recording.source))  # fmt: skip

    return read_eav(folder, subjects, trials_of, excluded)


def read_eav(
    folder: Path,
    subjects: Sequence[str | int] | None,
    items_of: Callable[[EavRecording], Iterator[T]],
    excluded: list[Excluded] | None,
) -> Iterator[T]:
    """Yield what each subject's recording gives, or nothing of a subject whose files are damaged."""
    folders = subject_folders(folder)
    for subject in wanted_subjects(folders, subjects, folder):
        try:
            items = list(items_of(EavRecording.read(subject, folders[subject])))
        except InputError as error:
            exclude(excluded, subject, error)
        else:
            yield from items


def subject_folders(folder: Path) -> dict[str, Path]:
    """Return the subjects' folders by number, in the order of the numbers."""
    if not folder.is_dir():
        raise damaged("expected the EAV folder, found none", folder, "")
    found: dict[str, Path] = {}
    for path in folder.iterdir():
        if (match := re.fullmatch(r"subject[ _]?0*(\d+)", path.name, re.IGNORECASE)) and path.is_dir():
            found[match[1]] = path
    if not found:
        what = "expected folders subject1, subject2, ..., found none"
        raise damaged(what, folder, "give the folder that EAV was unpacked to")
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


@dataclass(frozen=True, eq=False)
class EavRecording:
    """One subject's EEG and labels; trials are counted from 0."""

    subject: str
    folder: Path
    source: Path
    eeg: NDArray[np.float64]  # (n_times, 30, n_trials)
    label: NDArray[np.intp]  # (n_trials,)
    task: NDArray[np.intp]  # (n_trials,) index into TASKS

    @classmethod
    def read(cls, subject: str, folder: Path) -> EavRecording:
        source, label_path = (_eeg_file(folder, ending) for ending in ("eeg", "eeg_label"))
        names = mat_names(source)
        key = next((key for key in ("seg1", "seg") if len(names.get(key, ())) == 3), "seg1")
        eeg = mat_array(source, key, (None, len(CH_NAMES), None))
        if eeg.shape[0] % round(SEGMENT_S * SFREQ):
            raise damaged(f"{key}: expected 10000 samples of each trial, found {eeg.shape[0]}", source)
        one_hot = mat_array(label_path, "label", (len(LABELS) * len(TASKS), eeg.shape[2]))
        bad = np.flatnonzero(~((one_hot == 0) | (one_hot == 1)).all(axis=0) | (one_hot.sum(axis=0) != 1))
        if len(bad):
            n_found = len(np.flatnonzero(one_hot[:, bad[0]]))
            raise damaged(f"trial {bad[0] + 1}: expected one label of ten, found {n_found}", label_path)
        rows = one_hot.argmax(axis=0)
        return cls(subject, folder, source, eeg, rows // len(TASKS), rows % len(TASKS))

    @property
    def speaking(self) -> list[int]:
        """The trials in which the subject speaks: they alone have audio."""
        return np.flatnonzero(self.task == TASKS.index("speaking")).tolist()

    def masked(
        self, de: NDArray[np.float32], trial: int, excluded: list[Excluded] | None
    ) -> NDArray[np.float32]:
        return masked_channels(de, CH_NAMES, self.subject, f"{self.source}, trial {trial + 1}", excluded)


def _eeg_file(folder: Path, ending: str) -> Path:
    inside = sorted((folder / "EEG").iterdir()) if (folder / "EEG").is_dir() else []
    pattern = rf"subject\d+_{ending}\.mat"
    path = next((p for p in inside if re.fullmatch(pattern, p.name, re.IGNORECASE)), None)
    if path is None:
        raise damaged(f"expected EEG/{folder.name}_{ending}.mat, found none", folder)
    return path
