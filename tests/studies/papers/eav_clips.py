"""EAV's clips of 5 s with their video and audio, as the paper's table takes them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.eav import CH_NAMES, LABELS, SEGMENT_S, SFREQ, TASKS, EavRecording, read_eav
from models.datasets.files import damaged
from models.datasets.layout import entropy_steps
from models.datasets.trials import Excluded, OfTrial, note
from models.features.config import FeatureConfig
from models.features.eeg import raw_eeg

VIDEO_FPS = 30.0
_EVERY = 6  # of 30 frames a second: 25 of a clip of 5 s, as in the paper
_MEDIA_NAME = re.compile(
    r"(\d{3})_Trial_(\d+)_(Listening|Speaking)_([A-Za-z]+?)(_aud)?\.(mp4|wav)", re.IGNORECASE
)
_MEDIA_REMEDY = "download the file again; the trial is used without it"


@dataclass(frozen=True, eq=False)
class EavClip(OfTrial):
    """Five seconds of one trial, in every modality."""

    segment: int  # from 0, within the trial
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


def load_eav_clips(
    folder: Path,
    subjects: Sequence[str | int] | None = None,
    *,
    excluded: list[Excluded] | None = None,
) -> Iterator[EavClip]:
    """Yield clips of 5 s as `load_eav` does trials; missing video or audio is None, and noted."""
    config = FeatureConfig()
    n_segment = round(SEGMENT_S * SFREQ)

    def clips_of(recording: EavRecording) -> Iterator[EavClip]:
        media = {at: _media(recording, at, excluded) for at in recording.speaking}
        for at, (video, audio) in media.items():
            for segment in range(len(recording.eeg) // n_segment):
                x = recording.eeg[segment * n_segment : (segment + 1) * n_segment, :, at].T  # (30, 2500)
                raw = raw_eeg(torch.from_numpy(np.where(np.isfinite(x), x, 0.0)), SFREQ, config)
                de = recording.masked(entropy_steps(x, SFREQ, config), at, excluded)
                yield EavClip("eav", recording.subject, 1, at + 1, int(recording.label[at]), LABELS, segment,
                              TASKS[recording.task[at]], raw.numpy(), de, CH_NAMES, video, audio,
                              segment * SEGMENT_S, SEGMENT_S, str(recording.source))  # fmt: skip

    return read_eav(folder, subjects, clips_of, excluded)


def _media(
    recording: EavRecording, trial: int, excluded: list[Excluded] | None
) -> tuple[Path | None, Path | None]:
    """Return a trial's video and audio; None, and noted, where missing, damaged or of another class."""
    video = _media_file(recording, "Video", "mp4", trial, excluded)
    return video, _media_file(recording, "Audio", "wav", trial, excluded)


def _media_file(
    recording: EavRecording, part: str, kind: str, trial: int, excluded: list[Excluded] | None
) -> Path | None:
    folder, subject = recording.folder, recording.subject
    inside = sorted((folder / part).iterdir()) if (folder / part).is_dir() else []
    matches = {path: match for path in inside if (match := _MEDIA_NAME.fullmatch(path.name))}
    own = [p for p, m in matches.items() if int(m[1]) == trial + 1 and m[6].lower() == kind]
    if not own:
        note(excluded, subject, f"{folder}, trial {trial + 1}: expected a {kind} file, found none")
        return None
    path, expected = own[-1], LABELS[recording.label[trial]]
    if matches[path][4].lower() != expected:
        note(excluded, subject, f"{path}: expected {expected} as the EEG's label says; not used")
    elif why := _why_damaged(path, len(recording.eeg) / SFREQ):
        note(excluded, subject, f"{path}: {why}; not used")
    else:
        return path
    return None


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
