"""EAV's video and audio: found by the trial's number, read when a clip asks for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.files import mat_array, mat_names
from models.datasets.layout import by_number, masked_channels, note, wanted_subjects
from models.datasets.recordings import STEP_S, entropy_steps
from models.datasets.trials import FETCH_ANEW, Excluded, Trial, exclude
from models.features.config import FeatureConfig
from models.features.raw_eeg import raw_eeg

VIDEO_FPS = 30.0
_EVERY = 6  # of 30 frames a second: 25 of a clip of 5 s, as in the paper
_NAME = re.compile(r"(\d{3})_Trial_(\d+)_(Listening|Speaking)_([A-Za-z]+?)(_aud)?\.(mp4|wav)", re.IGNORECASE)
_REMEDY = "get the file anew from its publisher; the trial is used without it"


@dataclass(frozen=True, eq=False)
class EavClip:
    """Five seconds of one trial, in every modality."""

    dataset: str
    subject: str
    session: int
    trial: int  # from 1: the file names' three digits
    segment: int  # from 0, within the trial
    label: int
    label_names: tuple[str, ...]
    task: str  # listening | speaking
    raw: NDArray[Any]  # (30, 500) float32 µV at 100 Hz, 0.5-45 Hz
    de: NDArray[Any]  # (5, 30, n_bands) float32 nats, NaN where unusable
    ch_names: tuple[str, ...]
    video: Path | None  # of the whole trial
    audio: Path | None  # of the whole trial; listening has none
    start_s: float  # within the trial
    length_s: float
    source: str

    def frames(self, every: int = _EVERY) -> NDArray[np.uint8]:
        """Return every sixth frame, (25, height, width, 3) BGR.

        Raises
        ------
        InputError
            If there is no video, or it ends before the clip does.
        """
        if self.video is None:
            raise InputError(f"trial {self.trial} has no video", where=self.source)
        return read_frames(self.video, self.start_s, self.length_s, every)

    def sound(self) -> tuple[NDArray[np.float32], float]:
        """Return the voice (n,) in -1..1 and its rate in Hz.

        Raises
        ------
        InputError
            If there is no audio, or it ends before the clip does.
        """
        if self.audio is None:
            raise InputError(f"trial {self.trial} has no audio", where=self.source)
        wave, sfreq = read_sound(self.audio)
        start, n = round(self.start_s * sfreq), round(self.length_s * sfreq)
        part = wave[start : start + n]
        if len(part) < 0.9 * n:
            raise InputError(
                f"expected {self.start_s + self.length_s:g} s, found {len(wave) / sfreq:.1f} s",
                where=str(self.audio),
                remedy=_REMEDY,
            )
        return part, sfreq


def read_frames(path: Path, start_s: float, length_s: float, every: int = _EVERY) -> NDArray[np.uint8]:
    """Return every so-manieth frame of a part of a video, (n, height, width, 3) BGR."""
    import cv2

    expected = round(length_s * VIDEO_FPS / every)
    frames = []
    capture = cv2.VideoCapture(str(path))
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, round(start_s * VIDEO_FPS))
        for _ in range(expected):
            is_there, frame = capture.read()
            if not is_there:
                break
            frames.append(frame)
            for _ in range(every - 1):
                capture.grab()
    finally:
        capture.release()
    if len(frames) < expected:
        raise InputError(
            f"expected {expected} frames from {start_s:g} s on, found {len(frames)}",
            where=str(path),
            remedy=_REMEDY,
        )
    return np.stack(frames).astype(np.uint8, copy=False)


def read_sound(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return a wav file's first channel (n,) in -1..1 and its rate in Hz."""
    from scipy.io import wavfile

    try:
        sfreq, data = wavfile.read(path)
    except Exception as error:  # a damaged file makes SciPy raise whatever its bytes happen to say
        raise InputError(
            f"expected a wav file, found what cannot be read: {error}", where=str(path), remedy=_REMEDY
        ) from error
    wave = data if data.ndim == 1 else data[:, 0]
    full_scale = np.iinfo(wave.dtype).max + 1.0 if wave.dtype.kind == "i" else 1.0
    return (wave / full_scale).astype(np.float32), float(sfreq)


def media_of_trials(
    folder: Path,
    trials: Sequence[int],
    speaks: Callable[[int], bool],
    labels: NDArray[np.intp],
    label_names: Sequence[str],
    length_s: float,
    excluded: list[Excluded] | None,
) -> dict[int, tuple[Path | None, Path | None]]:
    """Return video and audio by trial; what is missing, broken or of another class is None and noted.

    Parameters
    ----------
    speaks : callable
        Tells whether a trial has a voice: the others need no audio.
    labels : ndarray, (n_trials,)
        Of all trials of the subject, from the EEG's label file.
    length_s : float
        Of a trial.
    """
    subject = re.sub(r"\D+0*", "", folder.name)
    found: dict[tuple[int, str], tuple[Path, re.Match[str]]] = {}
    for part in ("Video", "Audio"):
        for path in (folder / part).iterdir() if (folder / part).is_dir() else ():
            if match := _NAME.fullmatch(path.name):
                found[int(match[1]), match[6].lower()] = path, match
    media: dict[int, tuple[Path | None, Path | None]] = {}
    for trial in trials:
        usable: dict[str, Path | None] = {"mp4": None, "wav": None}
        for kind in usable:
            if (trial, kind) not in found:
                if kind == "mp4" or speaks(trial):
                    note(excluded, subject, f"{folder}, trial {trial}: expected a {kind} file, found none")
                continue
            path, match = found[trial, kind]
            wanted = label_names[labels[trial - 1]]
            if match[4].lower() != wanted:
                note(excluded, subject, f"{path}: expected {wanted} as the EEG's label says; not used")
            elif why := _why_broken(path, length_s):
                note(excluded, subject, f"{path}: {why}; not used")
            else:
                usable[kind] = path
        media[trial] = usable["mp4"], usable["wav"]
    return media


def _why_broken(path: Path, length_s: float) -> str:
    """Return what is wrong with a media file, or nothing."""
    if path.suffix.lower() == ".wav":
        try:
            wave, sfreq = read_sound(path)
        except InputError as error:
            return error.what
        found_s = len(wave) / sfreq
    else:
        import cv2

        capture = cv2.VideoCapture(str(path))
        found_s = float(capture.get(cv2.CAP_PROP_FRAME_COUNT)) / VIDEO_FPS
        is_open = capture.isOpened()
        capture.release()
        if not is_open:
            return f"expected a video, found {path.stat().st_size} bytes that cannot be read"
    return "" if found_s >= 0.95 * length_s else f"expected {length_s:g} s, found {found_s:.1f} s"


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
    excluded: list[Excluded] | None = None,
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
    excluded : list of Excluded, optional
        Takes what cannot be read; without it the first such file raises.

    Raises
    ------
    InputError
        If the folder is not EAV, a subject is not in it, or a file is broken and ``excluded`` is None.
    """
    config = config or FeatureConfig()
    for subject, path in _subjects(folder, subjects):
        try:
            source, eeg, labels, task = _recording(path)
            trials = []
            for at in _wanted(task, tasks):
                de = entropy_steps(eeg[:, :, at].T, SFREQ, config)
                de = masked_channels(de, CH_NAMES, subject, f"{source}, trial {at + 1}", excluded)
                trials.append(
                    Trial("eav", subject, 1, at + 1, int(labels[at]), LABELS, STEP_S,
                          de, None, CH_NAMES, "raw", str(source))
                )  # fmt: skip
        except InputError as error:
            exclude(excluded, subject, error)
        else:
            yield from trials


def load_eav_clips(
    folder: Path,
    subjects: Sequence[str | int] | None = None,
    *,
    tasks: Sequence[str] = ("speaking",),
    config: FeatureConfig | None = None,
    excluded: list[Excluded] | None = None,
) -> Iterator[EavClip]:
    """Yield EAV's clips of 5 s, four of a trial of 20 s, with filtered EEG and where video and audio lie.

    As `load_eav`. A video or audio file that is missing or broken is None in its clips and noted in
    ``excluded``; the trial's EEG is used all the same.
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
                excluded,
            )
            clips = []
            for at in numbers:
                video, audio = media[at + 1]
                for segment, (raw, de) in enumerate(_segments(eeg[:, :, at].T, config)):
                    de = masked_channels(de, CH_NAMES, subject, f"{source}, trial {at + 1}", excluded)
                    clips.append(
                        EavClip("eav", subject, 1, at + 1, segment, int(labels[at]), LABELS,
                                TASKS[task[at]], raw, de, CH_NAMES, video, audio,
                                segment * SEGMENT_S, SEGMENT_S, str(source))
                    )  # fmt: skip
        except InputError as error:
            exclude(excluded, subject, error)
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
