"""Rows of simulated subjects as network input: windows of steps, with masks as augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.decoder_input import fill_from_other_steps, majority_usable
from models.features.normalise import Normaliser
from models.training.simulated_data import SubjectFeatures


@dataclass(frozen=True)
class Augment:
    """How windows are thinned out in training, so that one checkpoint takes any subset."""

    min_channels: int = 8
    max_channels: int = 28
    p_all_channels: float = 0.1
    min_steps: int = 3
    p_forget_last_trial: float = 0.5  # mask the steps that lie before the trial's onset
    eeg_noise: float = 0.1  # SD added to z-scores
    p_drop_eye_feature: float = 0.15


class Rows:
    """All subjects' rows end to end, addressed by one index; windows never cross subjects.

    Parameters
    ----------
    subjects : sequence of SubjectFeatures
    normaliser : Normaliser
        Fitted on training subjects only.
    """

    def __init__(self, subjects: Sequence[SubjectFeatures], normaliser: Normaliser) -> None:
        self.subjects = subjects
        self.normaliser = normaliser
        lengths = [len(s.t_end) for s in subjects]
        self.first = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)  # first row of a row's subject
        self.subject = np.repeat(np.arange(len(subjects)), lengths)
        self.label = torch.from_numpy(np.concatenate([s.label for s in subjects]))
        self.trial = np.concatenate([s.trial for s in subjects])
        self.since_onset_s = np.concatenate([s.since_onset_s for s in subjects])
        self.has_crop = np.concatenate([s.has_crop for s in subjects])
        self.n_frames = np.concatenate([s.n_frames for s in subjects])
        self._de = torch.from_numpy(np.concatenate([s.de for s in subjects]))  # (n, C, F)
        self._usable = torch.from_numpy(np.concatenate([s.usable for s in subjects]))  # (n, C)
        self._eye = torch.from_numpy(np.concatenate([s.eye for s in subjects]))  # (n, E)

    def __len__(self) -> int:
        return len(self.label)

    def where(self, *, min_since_onset_s: float = 0.0) -> NDArray[np.intp]:
        """Return the rows at least so long into their trial."""
        return np.flatnonzero(self.since_onset_s >= min_since_onset_s)

    def crops(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return stored face crops (n, 3, size, size)."""
        return np.stack([self.subjects[self.subject[r]].crop[r - self.first[r]] for r in rows])

    def log_mel(self, rows: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        """Return log-mel frames (n, F, n_mels) and their mask (n, F)."""
        frames = np.stack([self.subjects[self.subject[r]].log_mel[r - self.first[r]] for r in rows])
        mask = np.arange(frames.shape[1]) < self.n_frames[rows][:, None]
        return torch.from_numpy(frames).float(), torch.from_numpy(mask)

    def steps_back(self, rows: NDArray[np.intp], n_steps: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Return the rows of the last ``n_steps`` seconds (n, T), oldest first, and which exist."""
        back = rows[:, None] - np.arange(n_steps - 1, -1, -1)
        exists = back >= self.first[rows][:, None]
        return np.where(exists, back, rows[:, None]), exists

    def eeg(
        self, rows: NDArray[np.intp], n_steps: int, channels: Sequence[int], *, by_step: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised DE (n, C, T, F), step mask (n, T) and channel mask (n, C).

        ``by_step``, for an encoder that streams: nothing of one step depends on another; mask (n, T, C).
        """
        assert self.normaliser.eeg is not None
        steps, exists = self.steps_back(rows, n_steps)
        de = self._de[steps][:, :, channels]  # (n, T, C, F)
        usable = self._usable[steps][:, :, channels] & torch.from_numpy(exists)[..., None]
        if by_step:
            de = self.normaliser.eeg.select(list(channels)).apply(de).masked_fill(~usable[..., None], 0.0)
            return de.permute(0, 2, 1, 3).contiguous(), usable.any(dim=2), usable
        step_mask = torch.from_numpy(exists)
        mask = torch.stack([majority_usable(u, m) for u, m in zip(usable, step_mask, strict=True)])
        if not usable[step_mask].all():
            de = torch.stack([fill_from_other_steps(d, u) for d, u in zip(de, usable, strict=True)])
        de = self.normaliser.eeg.select(list(channels)).apply(de)
        de = torch.where((step_mask[..., None] & mask[:, None])[..., None], de, 0.0)
        return de.permute(0, 2, 1, 3).contiguous(), step_mask, mask

    def eye(self, rows: NDArray[np.intp], n_steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return scaled eye features (n, E, T), step mask (n, T) and feature mask (n, E)."""
        assert self.normaliser.eye is not None
        steps, exists = self.steps_back(rows, n_steps)
        eye = self._eye[steps]  # (n, T, E)
        finite = torch.isfinite(eye) & torch.from_numpy(exists)[..., None]
        step_mask = finite.any(dim=2)  # an invalid step is NaN throughout
        mask = finite.any(dim=1)
        eye = torch.stack([fill_from_other_steps(e, f) for e, f in zip(eye, finite, strict=True)])
        eye = torch.where(step_mask[..., None] & mask[:, None], self.normaliser.eye.apply(eye), 0.0)
        return eye.permute(0, 2, 1).contiguous(), step_mask, mask

    def before_onset(self, rows: NDArray[np.intp], n_steps: int) -> Tensor:
        """Return which of the last ``n_steps`` steps (n, T) began before the running trial."""
        age = np.arange(n_steps - 1, -1, -1)
        return torch.from_numpy(self.since_onset_s[rows][:, None] - age < 1.0)


def thinned(step_mask: Tensor, before_onset: Tensor, augment: Augment, rng: np.random.Generator) -> Tensor:
    """Return a step mask (n, T) with random old steps masked; the newest three stay."""
    n, n_steps = step_mask.shape
    keep = step_mask.clone()
    lengths = torch.from_numpy(rng.integers(augment.min_steps, n_steps + 1, n))
    keep &= torch.arange(n_steps - 1, -1, -1) < lengths[:, None]
    forget = torch.from_numpy(rng.random(n) < augment.p_forget_last_trial)
    newest = torch.arange(n_steps) >= n_steps - augment.min_steps
    return keep & (~(before_onset & forget[:, None]) | (newest & step_mask))


def random_channels(n_channels: int, augment: Augment, rng: np.random.Generator) -> list[int]:
    """Return a random subset of channel indices, sorted; now and then all of them."""
    if rng.random() < augment.p_all_channels:
        return list(range(n_channels))
    size = int(rng.integers(augment.min_channels, augment.max_channels + 1))
    return sorted(rng.choice(n_channels, size, replace=False).tolist())
