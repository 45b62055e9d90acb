"""Our rows of EAV's table: the mixed discriminant and LDA on features that nothing was trained for.

Tokens of a subject's own encoders know the labels of the clips that trained them, and would tell a
discriminant that trials never differ. So it reads the entropy of each second of EEG, each frame's face as
8 x 8 grey values, and each second's mean and SD of 16 bands of the log-mel spectrogram.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.baselines import LdaClassifier
from models.datasets import eav
from models.datasets.trials import WindowSet
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import LabelledTrial, own_level
from models.training.scores import Predictions
from models.training.tables import Entry
from tests.studies.label_protocols import adapted
from tests.studies.papers.eav_clips import EavClip
from tests.studies.papers.eav_network import ClipArrays

#: What of a clip each row reads, by the name of the paper's row.
READ = {
    "Vision": ("face",),
    "Audio": ("voice",),
    "EEG": ("eeg",),
    "Multimodal": ("eeg", "face", "voice"),
}
OTHERS_TOO = ", other subjects' labels too"
#: The rows in order: model, what it reads, whose labels train.
ROWS = tuple(
    f"{model}, {read}{theirs}"
    for theirs in ("", OTHERS_TOO)
    for model in ("shrinkage LDA", "mixed discriminant")
    for read in READ
)
DIFFERS = (
    "Rows of the mixed discriminant and of LDA are ours: on the EEG's entropy, 8 x 8 grey values of each "
    "face and 16 bands of the log-mel spectrogram, as deviations from the level of the subject's training "
    "trials; no encoder. With other subjects' labels, all their speaking trials train too."
)
_GRID, _N_BANDS, _FRAMES_PER_S = 8, 16, 100


def features_of(clips: Sequence[EavClip], arrays: ClipArrays) -> list[LabelledTrial]:
    """Return the features of clips and of their faces and voices, which ``arrays`` hold in the same order."""
    found = []
    for at, clip in enumerate(clips):
        steps = {"eeg": clip.de.reshape(len(clip.de), -1)}
        if arrays.has_crops[at]:
            steps["face"] = _grey(arrays.crops[at])
        if n := int(arrays.n_mel[at]):
            steps["voice"] = _bands(arrays.mel[at, :n])
        found.append(LabelledTrial(clip.subject, clip.session, clip.label, steps, trial=clip.trial))
    return found


def _grey(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (frames, 64) of crops (frames, 3, size, size)."""
    grey = torch.from_numpy(crops).float().mean(dim=1, keepdim=True)
    return torch.nn.functional.adaptive_avg_pool2d(grey, _GRID).flatten(1).numpy()


def _bands(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (seconds, 32) of log-mel frames (n, n_mels), 100 a second."""
    pooled = np.stack([part.mean(axis=1) for part in np.array_split(mel, _N_BANDS, axis=1)], axis=1)
    seconds = np.array_split(pooled, max(1, round(len(pooled) / _FRAMES_PER_S)))
    return np.stack([np.concatenate([part.mean(axis=0), part.std(axis=0)]) for part in seconds])


def trials_of(clips: Sequence[LabelledTrial]) -> list[LabelledTrial]:
    """Return whole trials, the steps of their clips one after the other."""
    groups: dict[int, list[LabelledTrial]] = {}
    for one in clips:
        groups.setdefault(one.trial, []).append(one)
    return [
        replace(
            group[0],
            steps={
                m: np.concatenate([clip.steps[m] for clip in group if m in clip.steps])
                for m in dict.fromkeys(m for clip in group for m in clip.steps)
            },
        )
        for group in groups.values()
    ]


class SubjectClips(NamedTuple):
    """One subject's clips that train and those that are tested."""

    train: list[LabelledTrial]
    test: list[LabelledTrial]


def our_entries(subjects: Sequence[SubjectClips]) -> Iterator[tuple[str, Entry]]:
    """Yield (row, scores) of each subject: by own labels, and with those of all the others."""
    levels = [own_level(trials_of(one.train)) for one in subjects]
    for one, level in zip(subjects, levels, strict=True):
        theirs = [
            [clip.minus(its) for clip in other.train + other.test]
            for other, its in zip(subjects, levels, strict=True)
            if other is not one
        ]
        yield from _entries(one, level, [], "")
        if theirs:
            yield from _entries(one, level, theirs, OTHERS_TOO)


def _entries(
    one: SubjectClips,
    level: Mapping[str, NDArray[np.float64]],
    of_others: list[list[LabelledTrial]],
    words: str,
) -> Iterator[tuple[str, Entry]]:
    n_labels, theirs = len(eav.LABELS), [clip for clips in of_others for clip in clips]
    own, test = ([clip.minus(level) for clip in part] for part in (one.train, one.test))
    whole = [trial for clips in of_others for trial in trials_of(clips)]
    base = MixedDiscriminant.fit(whole, n_labels) if whole else None
    model = adapted(base, trials_of(one.train), level, n_labels)
    for read, modalities in READ.items():
        read_alone = (replace(c, steps={m: c.steps[m] for m in modalities if m in c.steps}) for c in test)
        rows = [c for c in read_alone if c.steps]
        if not rows or not set(modalities) & set(model.modalities):
            continue
        trained = [c for c in (*theirs, *own) if set(modalities) & set(c.steps)]
        widths = {m: c.steps[m].shape[1] for c in trained for m in modalities if m in c.steps}
        lda = LdaClassifier(n_labels, count_trials=bool(theirs)).fit(_windows(trained, widths))
        answers = {
            "shrinkage LDA": lda.predict_proba(_windows(rows, widths)),
            "mixed discriminant": torch.softmax(model.of_trials(rows), dim=1).double().numpy(),
        }
        for name, probs in answers.items():
            predictions = Predictions.of(probs, _windows(rows, widths))
            yield f"{name}, {read}{words}", Entry.of(predictions, len({c.label for c in own}))


def _windows(clips: Sequence[LabelledTrial], widths: dict[str, int]) -> WindowSet:
    """Return the clips' means side by side, standing where eye features do: a classifier takes any rows."""
    rows = [
        np.concatenate([
            c.mean(m)[0] if m in c.steps else np.full(width, np.nan) for m, width in widths.items()
        ])
        for c in clips
    ]  # fmt: skip
    label, subject, session, trial = (
        np.array(column)
        for column in zip(*((c.label, c.person, c.session, c.trial) for c in clips), strict=True)
    )
    no_step = np.zeros(len(clips), dtype=np.int64)
    return WindowSet(None, np.stack(rows)[:, :, None], label, subject, session, trial, no_step)
