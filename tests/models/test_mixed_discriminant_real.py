"""Rest against mental arithmetic of people the discriminant has never seen: EEGMAT, real EEG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.baselines import LdaClassifier
from models.datasets.recordings import raw_file_sequence
from models.datasets.trials import WindowSet
from models.mixed_discriminant import MixedDiscriminant
from models.mixed_part import LabelledTrial, own_level

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
REST, ARITHMETIC = 1, 2


@pytest.fixture(scope="module")
def recordings(real_data: Path) -> list[LabelledTrial]:
    """A recording a trial, as deviations from the mean of its person's two; labels have no part in that."""
    trials = []
    for file in sorted((real_data / "eegmat").glob("*.edf")):
        eeg = raw_file_sequence(file).eeg
        assert eeg is not None
        eeg = eeg[:, np.isfinite(eeg).any(axis=(0, 2))]
        label = (REST, ARITHMETIC).index(int(file.stem[-1]))
        trials.append(LabelledTrial(file.stem[:-2], 1, label, {"eeg": eeg.reshape(len(eeg), -1)}))
    if not trials:
        pytest.skip("no EEGMAT among the real recordings")
    people = {trial.person for trial in trials}
    levels = {person: own_level([t for t in trials if t.person == person]) for person in people}
    return [trial.minus(levels[trial.person]) for trial in trials]


Told = Callable[[list[LabelledTrial], list[LabelledTrial]], list[int]]


def accuracy(recordings: list[LabelledTrial], told: Told) -> float:
    """Leave each person out."""
    right = []
    for person in sorted({trial.person for trial in recordings}):
        others, mine = ([t for t in recordings if (t.person == person) == own] for own in (False, True))
        right += [label == t.label for label, t in zip(told(others, mine), mine, strict=True)]
    return float(np.mean(right))


def by_discriminant(others: list[LabelledTrial], mine: list[LabelledTrial]) -> list[int]:
    model = MixedDiscriminant.fit(others, 2).in_session(9, level_trials=2).aligned(mine)
    pairs = [trial.mean("eeg") for trial in mine]
    x = torch.tensor(np.stack([mean for mean, _ in pairs]), dtype=torch.float32)
    found = model.evidence("eeg", x, torch.tensor([n for _, n in pairs]), x.isfinite())
    return found.argmax(dim=1).tolist()


def by_lda(others: list[LabelledTrial], mine: list[LabelledTrial]) -> list[int]:
    def windows(trials: list[LabelledTrial]) -> WindowSet:
        rows = np.stack([trial.mean("eeg")[0] for trial in trials])[:, :, None, None]
        n = np.arange(len(trials))
        label = np.array([trial.label for trial in trials])
        return WindowSet(rows, None, label, np.array([trial.person for trial in trials]), n, n, n)

    return LdaClassifier(2).fit(windows(others)).predict_proba(windows(mine)).argmax(axis=1).tolist()


def test_rest_and_arithmetic_of_strangers_are_told_about_as_well_as_by_lda(recordings):
    assert len(recordings) == 24
    discriminant, lda = (accuracy(recordings, told) for told in (by_discriminant, by_lda))
    print(f"of 24 recordings: discriminant {discriminant:.1%}, LDA {lda:.1%}; chance 50 %")
    assert lda >= 0.9
    assert discriminant >= lda - 2 / 24


def test_labels_of_strangers_that_mean_nothing_lead_to_chance(recordings):
    """Each person's two labels are swapped or not by a coin: nothing is shared any more."""
    rng = np.random.default_rng(0)
    people = sorted({trial.person for trial in recordings})
    swapped = dict(zip(people, rng.permutation(np.arange(len(people)) % 2).tolist(), strict=True))
    shuffled = [replace(t, label=t.label ^ swapped[t.person]) for t in recordings]
    assert accuracy(shuffled, by_discriminant) <= 0.75
