"""A set of utterances with everything measured of them once, for all folds of a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.datasets.emodb import Utterance
from models.speech.augment import copies
from models.speech.contours import contours
from models.speech.functionals import functionals
from models.speech.network import clip_rows


@dataclass(frozen=True, eq=False)
class SpeechCorpus:
    """Utterances with their augmented copies (the original first), measured."""

    label: NDArray[Any]  # (n,) int64
    speaker: NDArray[Any]  # (n,) str
    functionals: NDArray[Any]  # (n, n_copies, n_features)
    rows: list[list[Tensor]]  # n times n_copies of (n_frames, N_ROWS), for the network


def measure(
    utterances: Sequence[Utterance], seed: int, progress: Callable[[float], None] = lambda share: None
) -> SpeechCorpus:
    """Measure utterances and their copies; ``seed`` is of the copies' noise."""
    statistics, rows = [], []
    for index, utterance in enumerate(utterances):
        rng = np.random.default_rng([seed, index])
        clips = [contours(wave) for wave in copies(utterance.wave, rng)]
        statistics.append([list(functionals(clip).values()) for clip in clips])
        rows.append([clip_rows(clip) for clip in clips])
        progress((index + 1) / len(utterances))
    return SpeechCorpus(
        label=np.array([utterance.label for utterance in utterances], dtype=np.int64),
        speaker=np.array([utterance.speaker for utterance in utterances]),
        functionals=np.array(statistics),
        rows=rows,
    )


def by_own_speaker(values: NDArray[Any], speaker: NDArray[Any]) -> NDArray[Any]:
    """Return features relative to each speaker's own clips, all of them, without their labels.

    Parameters
    ----------
    values : ndarray (n, n_copies, n_features)
        Mean and SD are those of the speaker's originals (copy 0).
    speaker : ndarray (n,)

    Notes
    -----
    A test in which the test speaker's clips are scaled so is transductive: it needs a speaker's other clips,
    and gains from knowing how these are spread over the emotions.
    """
    scaled = np.empty_like(values)
    for name in np.unique(speaker):
        own = speaker == name
        originals = values[own, 0]
        scaled[own] = (values[own] - originals.mean(axis=0)) / (originals.std(axis=0) + 1e-6)
    return scaled
