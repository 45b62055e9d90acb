"""EAV's video and audio: found by the trial's number, read when a clip asks for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import InputError
from models.datasets.layout import note
from models.datasets.types import LeftOut

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
    left_out: list[LeftOut] | None,
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
                    note(left_out, subject, f"{folder}, trial {trial}: expected a {kind} file, found none")
                continue
            path, match = found[trial, kind]
            wanted = label_names[labels[trial - 1]]
            if match[4].lower() != wanted:
                note(left_out, subject, f"{path}: expected {wanted} as the EEG's label says; not used")
            elif why := _why_broken(path, length_s):
                note(left_out, subject, f"{path}: {why}; not used")
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
