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
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.files import damaged, mat_array, mat_names
from models.datasets.layout import STEP_S, entropy_steps, masked_channels, wanted_subjects
from models.datasets.trials import Excluded, Trial, exclude, note
from models.features.config import FeatureConfig
from models.features.eeg import raw_eeg

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
VIDEO_FPS = 30.0
_EVERY = 6  # of 30 frames a second: 25 of a clip of 5 s, as in the paper
_MEDIA_NAME = re.compile(
    r"(\d{3})_Trial_(\d+)_(Listening|Speaking)_([A-Za-z]+?)(_aud)?\.(mp4|wav)", re.IGNORECASE
)
_MEDIA_REMEDY = "download the file again; the trial is used without it"


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
        """Return every sixth frame, (25, height, width, 3) BGR."""
        import cv2

        if self.video is None:
            raise damaged(f"trial {self.trial} has no video", self.source, "")
        expected = round(self.length_s * VIDEO_FPS / every)
        frames = []
        capture = cv2.VideoCapture(str(self.video))
        try:
            capture.set(cv2.CAP_PROP_POS_FRAMES, round(self.start_s * VIDEO_FPS))
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
            what = f"expected {expected} frames from {self.start_s:g} s on, found {len(frames)}"
            raise damaged(what, self.video, _MEDIA_REMEDY)
        return np.stack(frames).astype(np.uint8, copy=False)

    def sound(self) -> tuple[NDArray[np.float32], float]:
        """Return the voice (n,) in -1..1 and its rate in Hz."""
        if self.audio is None:
            raise damaged(f"trial {self.trial} has no audio", self.source, "")
        wave, sfreq = _read_sound(self.audio)
        start, n = round(self.start_s * sfreq), round(self.length_s * sfreq)
        part = wave[start : start + n]
        if len(part) < 0.9 * n:
            what = f"expected {self.start_s + self.length_s:g} s, found {len(wave) / sfreq:.1f} s"
            raise damaged(what, self.audio, _MEDIA_REMEDY)
        return part, sfreq


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

    def trials_of(recording: _Recording) -> Iterator[Trial]:
        for at in recording.speaking:
            de = recording.masked(entropy_steps(recording.eeg[:, :, at].T, SFREQ, config), at, excluded)
            yield Trial("eav", recording.subject, 1, at + 1, int(recording.label[at]), LABELS, STEP_S,
                        de, None, CH_NAMES, "raw", str(recording.source))  # fmt: skip

    return _read(folder, subjects, trials_of, excluded)


def load_eav_clips(
    folder: Path,
    subjects: Sequence[str | int] | None = None,
    *,
    excluded: list[Excluded] | None = None,
) -> Iterator[EavClip]:
    """Yield clips of 5 s as `load_eav` does trials; missing video or audio is None, and noted."""
    config = FeatureConfig()
    n_segment = round(SEGMENT_S * SFREQ)

    def clips_of(recording: _Recording) -> Iterator[EavClip]:
        media = {at: recording.media(at, excluded) for at in recording.speaking}
        for at, (video, audio) in media.items():
            for segment in range(len(recording.eeg) // n_segment):
                x = recording.eeg[segment * n_segment : (segment + 1) * n_segment, :, at].T  # (30, 2500)
                raw = raw_eeg(torch.from_numpy(np.where(np.isfinite(x), x, 0.0)), SFREQ, config)
                de = recording.masked(entropy_steps(x, SFREQ, config), at, excluded)
                yield EavClip("eav", recording.subject, 1, at + 1, segment, int(recording.label[at]), LABELS,
                              TASKS[recording.task[at]], raw.numpy(), de, CH_NAMES, video, audio,
                              segment * SEGMENT_S, SEGMENT_S, str(recording.source))  # fmt: skip

    return _read(folder, subjects, clips_of, excluded)


def eav_subjects(folder: Path) -> list[str]:
    """Return the subjects' numbers."""
    return list(_folders(folder))


def _read(
    folder: Path,
    subjects: Sequence[str | int] | None,
    items_of: Callable[[_Recording], Iterator[T]],
    excluded: list[Excluded] | None,
) -> Iterator[T]:
    """Yield what each subject's recording gives, or nothing of a subject whose files are damaged."""
    folders = _folders(folder)
    for subject in wanted_subjects(folders, subjects, folder):
        try:
            items = list(items_of(_Recording.read(subject, folders[subject])))
        except InputError as error:
            exclude(excluded, subject, error)
        else:
            yield from items


def _folders(folder: Path) -> dict[str, Path]:
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
class _Recording:
    """One subject's EEG and labels; trials are counted from 0."""

    subject: str
    folder: Path
    source: Path
    eeg: NDArray[np.float64]  # (n_times, 30, n_trials)
    label: NDArray[np.intp]  # (n_trials,)
    task: NDArray[np.intp]  # (n_trials,) index into TASKS

    @classmethod
    def read(cls, subject: str, folder: Path) -> _Recording:
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

    def media(self, trial: int, excluded: list[Excluded] | None) -> tuple[Path | None, Path | None]:
        """Return a trial's video and audio; None, and noted, where missing, damaged or of another class."""
        video = self._media_file("Video", "mp4", trial, excluded)
        return video, self._media_file("Audio", "wav", trial, excluded)

    def _media_file(self, part: str, kind: str, trial: int, excluded: list[Excluded] | None) -> Path | None:
        inside = sorted((self.folder / part).iterdir()) if (self.folder / part).is_dir() else []
        matches = {path: match for path in inside if (match := _MEDIA_NAME.fullmatch(path.name))}
        own = [p for p, m in matches.items() if int(m[1]) == trial + 1 and m[6].lower() == kind]
        if not own:
            note(
                excluded,
                self.subject,
                f"{self.folder}, trial {trial + 1}: expected a {kind} file, found none",
            )
            return None
        path, expected = own[-1], LABELS[self.label[trial]]
        if matches[path][4].lower() != expected:
            note(excluded, self.subject, f"{path}: expected {expected} as the EEG's label says; not used")
        elif why := _why_damaged(path, len(self.eeg) / SFREQ):
            note(excluded, self.subject, f"{path}: {why}; not used")
        else:
            return path
        return None


def _eeg_file(folder: Path, ending: str) -> Path:
    inside = sorted((folder / "EEG").iterdir()) if (folder / "EEG").is_dir() else []
    pattern = rf"subject\d+_{ending}\.mat"
    path = next((p for p in inside if re.fullmatch(pattern, p.name, re.IGNORECASE)), None)
    if path is None:
        raise damaged(f"expected EEG/{folder.name}_{ending}.mat, found none", folder)
    return path


def _why_damaged(path: Path, length_s: float) -> str:
    """Return what is wrong with a media file of a trial, or nothing."""
    if path.suffix.lower() == ".wav":
        try:
            wave, sfreq = _read_sound(path)
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
            return f"cannot read the video ({path.stat().st_size} bytes)"
    return "" if found_s >= 0.95 * length_s else f"expected {length_s:g} s, found {found_s:.1f} s"


def _read_sound(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return a wav file's first channel (n,) in -1..1 and its rate in Hz."""
    from scipy.io import wavfile

    try:
        sfreq, data = wavfile.read(path)
    except Exception as error:  # a damaged file makes SciPy raise whatever its bytes happen to say
        what = f"cannot read the WAV file: {error}"
        raise damaged(what, path, _MEDIA_REMEDY) from error
    wave = data if data.ndim == 1 else data[:, 0]
    full_scale = np.iinfo(wave.dtype).max + 1.0 if wave.dtype.kind == "i" else 1.0
    return (wave / full_scale).astype(np.float32), float(sfreq)
