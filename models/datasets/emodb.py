"""EMO-DB (Burkhardt 2005): acted German sentences, one emotion each, spoken by known speakers.

A file is named after what it holds: speaker (2 digits), sentence (letter and 2 digits), emotion (a letter
of the German word), version: ``03a01Wa.wav`` is speaker 03, sentence a01, anger (Wut).
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.datasets.files import damaged
from models.datasets.trials import Excluded, exclude
from models.features.log_mel import resample

EMOTIONS = ("angry", "happy", "neutral", "sad")
_LETTERS = {"W": 0, "F": 1, "N": 2, "T": 3}  # Wut, Freude, neutral, Trauer
_NAME = re.compile(r"(\d\d)([ab]\d\d)([WFNTLEA])([a-z])\.wav", re.IGNORECASE)
_SHORTEST_S = 0.3


@dataclass(frozen=True, eq=False)
class Utterance:
    """One spoken sentence."""

    speaker: str
    sentence: str
    label: int  # index into EMOTIONS
    wave: NDArray[Any]  # (n_samples,) float32 at 16 kHz, -1 to 1
    source: str  # file name, for messages


def load_emodb(folder: Path, excluded: list[Excluded] | None = None) -> list[Utterance]:
    """Read the utterances of four emotions, in the order of their file names.

    Raises `InputError`: there is no such folder, or none of its files is named like those of EMO-DB.

    Parameters
    ----------
    folder : Path
        Holds the files at any depth: flat as published (``wav``), or sorted into a folder an emotion. The
        label is the file name's. Boredom, disgust and fear are not read.
    excluded : list of Excluded, optional
        Takes what could not be read; without it the first such file raises.
    """
    if not folder.is_dir():
        raise damaged("expected the EMO-DB folder, found none", folder, "")
    named = [(path, _NAME.fullmatch(path.name)) for path in folder.rglob("*") if path.is_file()]
    utterances = []
    for path, match in sorted(named, key=lambda pair: pair[0].name):
        if match is None or match[3].upper() not in _LETTERS:
            continue
        try:
            wave = _read_wave(path)
        except InputError as error:
            exclude(excluded, match[1], error)
            continue
        utterances.append(Utterance(match[1], match[2], _LETTERS[match[3].upper()], wave, path.name))
    if not utterances:
        what = f"expected files named like 03a01Wa.wav, but none of the {len(named)} files can be used"
        raise damaged(what, folder, "give the folder that EMO-DB was unpacked to")
    _check_distinct(utterances, folder)
    return utterances


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


def _check_distinct(utterances: list[Utterance], folder: Path) -> None:
    """Refuse a file that is there twice: one copy could train what the other tests."""
    names = [utterance.source.lower() for utterance in utterances]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        what = f"expected each recording once, found {twice[0]} {names.count(twice[0])} times"
        raise InputError(what, where=str(folder), code=ErrorCode.DATA)
