"""Raw EEG windows: the band passes untouched, the rest is gone, and the phase stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acquisition.errors import ErrorCode, InputError
from models.features.config import FeatureConfig
from models.features.eeg import raw_eeg

CONFIG = FeatureConfig()


def wave(hz: float, sfreq: float) -> np.ndarray:
    return 10 * np.sin(2 * np.pi * hz * np.arange(round(5 * sfreq)) / sfreq)


def filtered(x: np.ndarray, sfreq: float) -> np.ndarray:
    return raw_eeg(torch.from_numpy(np.atleast_2d(x)), sfreq, CONFIG).numpy()


@pytest.mark.parametrize("sfreq", [100.0, 128.0, 250.0, 256.9, 1000.0])
@pytest.mark.parametrize("hz", [3.0, 10.0, 40.0])
def test_the_band_passes_without_delay(hz, sfreq):
    y = filtered(wave(hz, sfreq) + 300, sfreq)
    assert y.shape == (1, 500)
    assert y.dtype == np.float32
    # 256.9 Hz has 1284.5 samples in 5 s: half a sample is stretched over the window.
    late = abs(round(5 * sfreq) - 5 * sfreq) / sfreq
    error = np.abs(y[0] - wave(hz, 100.0))
    assert error[100:-100].max() < 0.2 + 10 * 2 * np.pi * hz * late


@pytest.mark.parametrize("hz", [49.0, 50.0, 60.0, 120.0])
def test_what_is_above_the_band_is_gone_and_does_not_fold_back(hz):
    assert np.abs(filtered(wave(hz, 1000.0), 1000.0))[0, 50:-50].max() < 0.1


def test_offset_and_drift_are_gone():
    x = wave(10.0, 1000.0)
    drift = 300 + np.linspace(0, 200, 5000)
    assert np.abs(filtered(x + drift, 1000.0) - filtered(x, 1000.0)).max() < 1e-2


def test_wrong_lengths_and_rates_are_refused():
    with pytest.raises(InputError) as caught:
        filtered(np.zeros(4000), 1000.0)
    assert (caught.value.code, caught.value.facts) == (ErrorCode.DATA, {"n_times": 4000})
    with pytest.raises(InputError) as caught:
        filtered(np.zeros(400), 80.0)
    assert (caught.value.code, caught.value.facts) == (ErrorCode.DATA, {"least_hz": 90})
