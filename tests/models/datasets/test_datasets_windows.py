"""Windows lie inside their trial."""

from __future__ import annotations

import numpy as np
from refused import refused

from acquisition.errors import ErrorCode
from models.datasets.trials import Trial, cut_windows, steps_that_fit


def trial_of(number: int, n_steps: int, *, eye: bool = True, channels=("CZ", "PZ"), label=0) -> Trial:
    # A value tells the trial, the step and the channel it came from.
    eeg = np.zeros((n_steps, len(channels), 5), dtype=np.float32)
    eeg += 1000 * number + np.arange(n_steps)[:, None, None] + 0.1 * np.arange(len(channels))[:, None]
    rows = np.repeat(eeg[:, :1, 0], 31, axis=1) if eye else None
    return Trial("seed-iv", "7", 2, number, label, ("a", "b"), 4.0, eeg, rows, channels, "raw", "f.mat")


def test_windows_hold_consecutive_steps_of_one_trial():
    windows = cut_windows([trial_of(1, 12), trial_of(2, 10, label=1)], 10)
    assert windows.eeg.shape == (4, 2, 10, 5)
    assert windows.eye.shape == (4, 31, 10)
    assert windows.trial.tolist() == [1, 1, 1, 2]
    assert windows.label.tolist() == [0, 0, 0, 1]
    assert windows.end_step.tolist() == [9, 10, 11, 9]
    np.testing.assert_allclose(windows.eeg[1, 1, :, 3], 1000 + np.arange(1, 11) + 0.1, rtol=1e-6)
    np.testing.assert_array_equal(windows.eye[3, 30], 2000 + np.arange(10))
    assert windows.subject.tolist() == ["7"] * 4


def test_at_most_so_many_windows_are_spread_over_the_trial():
    windows = cut_windows([trial_of(1, 60)], 10, max_per_trial=3)
    assert windows.end_step.tolist() == [9, 34, 59]


def test_a_trial_without_eye_features_gives_windows_without():
    assert cut_windows([trial_of(1, 10, eye=False)], 10).eye is None


def test_a_trial_shorter_than_a_window_is_named():
    error = refused(lambda: cut_windows([trial_of(1, 12), trial_of(3, 5)], 10))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"trial": 3})
    assert error.what == "expected at least 10 steps of 4 s, found 5"
    assert steps_that_fit([trial_of(1, 12), trial_of(3, 5)]) == 5
    assert steps_that_fit([trial_of(1, 12)]) == 10


def test_trials_of_other_channels_are_not_mixed():
    error = refused(lambda: cut_windows([trial_of(1, 12), trial_of(2, 12, channels=("CZ",))], 10))
    assert (error.code, error.facts) == (ErrorCode.DATA, {"trial": 2})
