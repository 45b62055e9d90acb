"""Sessions second by second: level, evidence and reliability, as a live session has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acquisition.types import MODALITIES
from acquisition.windowing import WindowConfig
from models.config import EvidenceConfig
from models.level import AnswerFilter, Evidence, RunningLevel
from models.prediction import Given

#: Raw features (n, F) of a session's seconds by modality, NaN where unknown.
Features = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Course:
    """What is known at each of n seconds."""

    levels: dict[str, Tensor]  # (n, F) by modality, float32
    evidence: Tensor  # (n, 4, n_labels)
    measures: Tensor  # (n, 4, 2) of the signals: `Evidence.measures`
    agreement: Tensor  # (n,) of the modalities: `models.agreement`
    given: Sequence[Mapping[str, Given]]  # what the evidence is about

    @staticmethod
    def joined(courses: Sequence[Course]) -> Course:
        """Return several sessions end to end."""
        levels = {m: torch.cat([course.levels[m] for course in courses]) for m in courses[0].levels}
        evidence, measures, agreement = (
            torch.cat([getattr(course, name) for course in courses])
            for name in ("evidence", "measures", "agreement")
        )
        return Course(levels, evidence, measures, agreement, [g for course in courses for g in course.given])

    def at(self, seconds: Sequence[int]) -> Course:
        """Return some of the seconds."""
        levels = {m: level[seconds] for m, level in self.levels.items()}
        evidence, measures, agreement = (x[seconds] for x in (self.evidence, self.measures, self.agreement))
        return Course(levels, evidence, measures, agreement, [self.given[at] for at in seconds])

    def without(self, hidden: NDArray[np.bool_], evidence: Evidence) -> Tensor:
        """Return what ``evidence`` says (n, 4, n_labels) where some EEG features (n, F) are ``hidden``."""
        pairs = zip(self.given, hidden, strict=True)
        given = [{m: g.without(at) if m == "eeg" else g for m, g in of.items()} for of, at in pairs]
        return torch.stack([evidence.scores(window) for window in given])


def recent_of(features: Features, at: int, windows: WindowConfig) -> dict[str, NDArray[np.floating]]:
    """Return the steps, a second apart, of the window that ends with the second ``at``."""
    n_steps = windows.eeg_n_steps, windows.eye_n_steps, round(windows.face_s), 1
    pairs = zip(MODALITIES, n_steps, strict=True)
    return {m: features[m][max(at + 1 - n, 0) : at + 1] for m, n in pairs if m in features}


def run_session(
    features: Features,
    evidence: Evidence,
    windows: WindowConfig,
    fixed: Mapping[str, NDArray[np.floating]] | None = None,
    step_s: float = 1.0,
    seconds: Sequence[int] | None = None,
) -> Course:
    """Return what a session knows at each second, or step of ``step_s``, about a level that runs.

    About a ``fixed`` level nothing depends on the seconds before: it may be told at some ``seconds`` only.
    """
    level = RunningLevel(evidence.discriminant, evidence.config, fixed)
    n = len(next(iter(features.values())))
    levels: dict[str, list[NDArray[Any]]] = {m: [] for m in evidence.discriminant.modalities}
    given, found, measured, agreed = [], [], [], []
    for at in range(n) if seconds is None else seconds:
        recent = recent_of(features, at, windows)
        for modality, values in levels.items():
            values.append(level.mean(modality).astype(np.float32))
        given.append(evidence.given(recent, level))
        found.append(evidence.scores(given[-1]))
        measured.append(evidence.measures(recent, given[-1], level))
        level.agreement.take(found[-1].numpy(), (found[-1] != 0).any(dim=1).numpy())
        agreed.append(level.agreement.value)
        level.take(recent, found[-1].sum(dim=0).numpy(), step_s)
    stacked = {m: torch.from_numpy(np.stack(values)) for m, values in levels.items()}
    return Course(stacked, torch.stack(found), torch.stack(measured), torch.tensor(agreed), given)


def answers(logits: Tensor, first: NDArray[np.intp], config: EvidenceConfig) -> Tensor:
    """Return the logits (n, n_labels) as they are shown, of sessions that begin at rows ``first`` (n,)."""
    shown = torch.empty_like(logits)
    for begin in np.unique(first):
        keep = AnswerFilter(config, hop_s=1.0)
        for at in np.flatnonzero(first == begin):
            shown[at] = keep(int(at), logits[at])
    return shown
