"""Variants of the generated subjects break what they say, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acquisition.errors import InputError
from models.datasets.make.generator import FILE_NAME, GeneratedSubject, structure
from models.datasets.make.options import MakeOptions
from models.datasets.make.seed import make_seed_iv
from models.datasets.make.variants import SHIFT_SD, VARIANTS, generated_subject

EMOTIONS = ("neutral", "sad", "fear", "happy")


def subject(variant: str, number: int = 1) -> GeneratedSubject:
    return generated_subject(variant, 3, number, structure(), "default")


def effects(variant: str, number: int) -> np.ndarray:
    one = subject(variant, number)
    return np.array([one.effect("eeg", emotion) for emotion in EMOTIONS])  # (4, 6)


def test_without_a_shared_pattern_emotions_stay_as_far_apart():
    for number in (1, 2):
        usual, turned = effects("default", number), effects("no-shared-pattern", number)
        np.testing.assert_allclose(turned @ turned.T, usual @ usual.T, atol=1e-9)
    alike = [
        np.corrcoef(effects(variant, 1).ravel(), effects(variant, 2).ravel())[0, 1]
        for variant in ("default", "no-shared-pattern")
    ]
    assert alike[0] > 0.5
    assert abs(alike[1]) < 0.4


def test_heavy_tails_keep_the_mean_and_stretch_single_trials():
    usual, heavy = subject("default"), subject("heavy-tails")
    mean = usual.eeg_mean(1, "sad")
    np.testing.assert_array_equal(heavy.eeg_mean(1, "sad"), mean)
    factors = []
    for trial in range(1, 41):
        plain = usual.eeg_trial(1, trial, "sad", 4) - mean
        stretched = heavy.eeg_trial(1, trial, "sad", 4) - mean
        factors.append(stretched[0, 0] / plain[0, 0])
        np.testing.assert_allclose(stretched, factors[-1] * plain, rtol=1e-6, atol=1e-9)
    assert max(factors) > 2
    assert 0.3 < np.mean(np.square(factors)) < 3


def test_session_shifts_move_the_level_by_the_same_from_trial_to_trial():
    usual, shifted = subject("default"), subject("session-shifts")
    moved = [shifted.eeg_trial(2, t, "fear", 4) - usual.eeg_trial(2, t, "fear", 4) for t in (1, 12, 24)]
    np.testing.assert_allclose(moved[0], -moved[2], atol=1e-9)
    assert 0.3 * SHIFT_SD < np.abs(moved[2]).max() < 4 * SHIFT_SD
    eye = shifted.eye_trial(2, 24, "fear", 4) - usual.eye_trial(2, 24, "fear", 4)
    np.testing.assert_allclose(eye, eye[:1].repeat(4, axis=0), atol=1e-9)


def test_person_gains_scale_what_a_subject_shows():
    gains = set()
    for number in (1, 2):
        usual, scaled = subject("default", number), subject("person-gains", number)
        base = structure().eye_mean
        ratio = (scaled.eye_trial(1, 1, "sad", 4) - base) / (usual.eye_trial(1, 1, "sad", 4) - base)
        np.testing.assert_allclose(ratio, ratio[0, 0])
        gains.add(round(float(ratio[0, 0]), 6))
    assert len(gains) == 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_folder_says_of_which_variant_it_is(tmp_path: Path, variant):
    make_seed_iv(
        MakeOptions(tmp_path / "s", subjects=1, seed=3, trials=6, trial_s=8, jobs=1, variant=variant)
    )
    words = f"--variant {variant}"
    assert (words in (tmp_path / "s" / "README.md").read_text()) == (variant != "default")
    assert (tmp_path / "s" / FILE_NAME).exists() == (variant == "default")  # nobody knows another's best


def test_an_unknown_variant_is_refused():
    with pytest.raises(InputError) as refused:
        subject("light-tails")
    assert refused.value.where == "--variant"
