"""Acted speech: published sets whose file names tell speaker and emotion, listed in `assets.VOICES`."""

import re
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from assets import VOICES
from models.datasets.files import damaged
from models.datasets.trials import Excluded, exclude
from models.features.log_mel import resample

EMOTIONS = ("angry", "happy", "neutral", "sad")
_LAYOUTS = tomllib.loads(VOICES.read_text("utf-8"))
_NAMES = {name: re.compile(rf"{of_set['file']}\.wav", re.IGNORECASE) for name, of_set in _LAYOUTS.items()}
_SHORTEST_S = 0.3


@dataclass(frozen=True, eq=False)
class Utterance:
    """One spoken sentence."""

    speaker: str  # with the set's name, but for EMO-DB's numbers
    sentence: str
    label: int  # index into EMOTIONS
    wave: NDArray[Any]  # (n_samples,) float32 at 16 kHz, -1 to 1
    source: str  # file name, for messages


def load_voices(folders: Sequence[Path], excluded: list[Excluded] | None = None) -> list[Utterance]:
    """Read the utterances of four emotions in folders of any depth, each in the order of its files' names.

    Raises `InputError`: a folder does not exist or holds no file with a name of `_LAYOUTS`, a file is there
    twice (one copy could train what the other tests), or cannot be read and no list of ``excluded`` takes it.
    """
    utterances: list[Utterance] = []
    for folder in folders:
        if not folder.is_dir():
            raise damaged("expected a folder of voices, found none", folder, "")
        before, paths = len(utterances), [path for path in folder.rglob("*") if path.is_file()]
        for path in sorted(paths, key=lambda path: path.name):
            found = _told(path.name)
            if found is None:
                continue
            try:
                utterances.append(Utterance(*found, _read_wave(path), path.name))
            except InputError as error:
                exclude(excluded, found[0], error)
        if len(utterances) == before:
            what = f"none of the {len(paths)} files has a known name that tells speaker and emotion"
            raise damaged(what, folder, f"give the folder of one of {', '.join(_LAYOUTS)}, as published")
        names = [utterance.source.lower() for utterance in utterances]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            what = f"expected each recording once, found {twice[0]} {names.count(twice[0])} times"
            raise InputError(what, where=str(folder), code=ErrorCode.DATA)
    return utterances


def _told(name: str) -> tuple[str, str, int] | None:
    """Return speaker, sentence and label that a file name tells, None where it tells none of ours."""
    for kind, pattern in _NAMES.items():
        match = pattern.fullmatch(name)
        words = _LAYOUTS[kind]["emotions"]
        if match is not None and match["emotion"].lower() in words:
            speaker = match["speaker"] if kind == "EMO-DB" else f"{kind} {match['speaker'].upper()}"
            return speaker, match["sentence"], words.index(match["emotion"].lower())
    return None


def _read_wave(path: Path) -> NDArray[Any]:
    """Return a mono recording at 16 kHz as float32."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks beside the sound
            sfreq, samples = wavfile.read(path)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise damaged(f"not a readable .wav file: {error}", path, "") from error
    if samples.ndim == 2:
        samples = samples.astype(np.float32).mean(axis=1).astype(samples.dtype)
    wave = resample(samples, float(sfreq)).numpy()
    if len(wave) < _SHORTEST_S * 16000:
        found_s = len(wave) / 16000
        raise damaged(f"expected at least {_SHORTEST_S} s of voice, found {found_s:.2f} s", path, "")
    if not np.isfinite(wave).all() or np.ptp(wave) == 0:
        raise damaged("expected a voice, found silence or numbers that are not finite", path, "")
    return wave
