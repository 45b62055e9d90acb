"""Entropy and spectrogram: known answers, no leaks, the same bits in any batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.signal
import torch

from acquisition.errors import ErrorCode, InputError
from models.features.config import FeatureConfig
from models.features.eeg import band_masks, differential_entropy, eeg_spectrogram

CONFIG = FeatureConfig()
SFREQ = 1000.0
SECOND = np.arange(1000) / SFREQ
DELTA, THETA, ALPHA, BETA, GAMMA = range(5)


def entropy_of(variance: float) -> float:
    return 0.5 * math.log(2 * math.pi * math.e * variance)


def de(x: np.ndarray, sfreq: float = SFREQ, config: FeatureConfig = CONFIG) -> np.ndarray:
    return differential_entropy(torch.from_numpy(np.atleast_2d(x)), sfreq, config).numpy()


def noise(n_ch: int = 62, n_times: int = 1000, sd: float = 20.0, seed: int = 0) -> np.ndarray:
    return sd * np.random.default_rng(seed).standard_normal((n_ch, n_times))


@pytest.mark.parametrize("sfreq", [128.0, 200.0, 250.0, 257.0, 1000.0])
@pytest.mark.parametrize(("hz", "band"), [(6.0, THETA), (10.0, ALPHA), (20.0, BETA), (40.0, GAMMA)])
def test_sine_lands_in_its_band_with_the_entropy_of_its_variance(sfreq, hz, band):
    amplitude = 12.0
    x = amplitude * np.sin(2 * np.pi * hz * np.arange(round(sfreq)) / sfreq + 0.3)
    entropy = de(x, sfreq)[0]
    # Three tapers blur by 2 Hz: theta is 4 Hz wide, and a wave in its middle loses a little over the edges.
    assert entropy[band] == pytest.approx(entropy_of(amplitude**2 / 2), abs=0.04)
    assert np.delete(entropy, band).max() < entropy[band] - (1.3 if band == THETA else 2)


def test_white_noise_spreads_its_variance_over_the_bands():
    sd, n_ch = 20.0, 4000
    variance = np.exp(2 * de(noise(n_ch, sd=sd)).astype(float)) / (2 * math.pi * math.e)
    n_bins = np.array([3, 4, 6, 17, 20])
    # A 1 Hz bin holds sd² / 500. Detrending takes some of the lowest band.
    expected = sd**2 / 500 * n_bins
    assert variance.mean(0)[1:] == pytest.approx(expected[1:], rel=0.04)
    assert 0.6 * expected[0] < variance.mean(0)[0] < expected[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_offset_and_drift_change_nothing(dtype):
    x = noise(sd=5.0)
    shifted = x + 300.0 + np.linspace(0, 150, 1000)
    assert np.abs(de(shifted.astype(dtype)) - de(x)).max() < 1e-3


def test_offset_of_an_unreferenced_amplifier_survives_float32():
    x = noise(sd=5.0)
    assert np.abs(de((x + 30_000.0).astype(np.float32)) - de(x)).max() < 0.01


@pytest.mark.parametrize("n_times", [1000, 257, 128, 102])
def test_equals_the_mean_of_scipys_periodograms_by_sine_taper(n_times):
    x = noise(5, n_times) + 100
    sfreq = float(n_times)
    tapers = [np.sin(np.pi * k * (np.arange(n_times) + 0.5) / n_times) for k in (1, 2, 3)]
    detrended = scipy.signal.detrend(x)
    spectra = [scipy.signal.periodogram(detrended, sfreq, taper, detrend=False) for taper in tapers]
    hz, psd = spectra[0][0], np.mean([spectrum for _, spectrum in spectra], axis=0)
    for i, (_, lo, hi) in enumerate(CONFIG.bands):
        inside = (hz >= lo) & ((hz <= hi) if hi == 50 else (hz < hi)) & (hz < sfreq / 2)
        expected = 0.5 * np.log(2 * math.pi * math.e * psd[:, inside].sum(1))
        assert de(x, sfreq)[:, i] == pytest.approx(expected, abs=1e-4)


def test_gamma_includes_50_hz_and_no_band_overlaps():
    masks = band_masks(SFREQ, 1000, CONFIG)
    assert masks[GAMMA, 49]
    assert not masks[:, 50:].any()
    assert masks.sum(1).tolist() == [3, 4, 6, 17, 20]
    assert masks.sum(0).max() == 1


@pytest.mark.parametrize("sfreq", [256.9, 257.1])
def test_measured_rates_keep_the_bins_of_the_nominal_one(sfreq):
    assert band_masks(sfreq, 257, CONFIG).sum(1).tolist() == [3, 4, 6, 17, 20]


def test_line_option_removes_the_mains_and_keeps_the_level_of_noise():
    with_line = FeatureConfig(line_hz=50)
    x = noise(2000)
    for mains_hz in (50.0, 49.8, 50.2):
        hum = x + 60 * np.sin(2 * np.pi * mains_hz * SECOND + 1.0)
        assert de(hum)[:, GAMMA].mean() > de(x)[:, GAMMA].mean() + 1
        without = de(hum, config=with_line)
        assert without[:, GAMMA].mean() == pytest.approx(de(x)[:, GAMMA].mean(), abs=0.02)
        assert without[:, :GAMMA] == pytest.approx(de(x)[:, :GAMMA], abs=0.1)


def test_step_grids_of_a_second_differ_less_than_with_a_hann_window():
    x = noise(62, 13_000)

    def spread(entropy_of_second):
        phases = [
            np.mean([entropy_of_second(x[:, at : at + 1000]) for at in range(phase, 12_000, 1000)], axis=0)
            for phase in (0, 250, 500, 750)
        ]
        return np.std(phases, axis=0).mean(axis=0)

    def hann(second):
        hz, psd = scipy.signal.periodogram(second, SFREQ, "hann", detrend="linear")
        masks = [(hz >= lo) & (hz < hi) for _, lo, hi in CONFIG.bands]
        return np.stack([0.5 * np.log(psd[:, mask].sum(1)) for mask in masks], axis=1)

    assert (spread(de) < 0.75 * spread(hann)).all()


def test_line_inside_a_band_leaves_two_runs_of_bins():
    wide = FeatureConfig(bands=(("wide", 40.0, 80.0),), line_hz=60)
    masks = band_masks(SFREQ, 1000, wide)
    assert masks.sum() == 41 - 5
    assert not masks[0, 57:62].any()
    x = noise(2000)
    assert de(x, config=wide).mean() == pytest.approx(entropy_of(400 / 500 * 41), abs=0.05)


def test_flat_channel_gets_the_floor_and_nan_stays_in_its_channel():
    x = noise(3)
    x[0] = 7.0
    x[1, 500] = np.nan
    entropy = de(x)
    assert entropy[0] == pytest.approx(np.full(5, entropy_of(CONFIG.variance_floor_uv2)), abs=1e-5)
    assert np.isnan(entropy[1]).all()
    assert np.isfinite(entropy[2]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_has_the_same_bits_in_any_batch(dtype):
    batch = torch.from_numpy(noise(40 * 62).reshape(40, 62, 1000).astype(dtype))
    together = differential_entropy(batch, SFREQ, CONFIG)
    for i in (0, 15, 16, 39):
        assert torch.equal(together[i], differential_entropy(batch[i], SFREQ, CONFIG))


def test_the_signal_is_left_as_it_was():
    x = torch.from_numpy(noise())
    before = x.clone()
    differential_entropy(x, SFREQ, CONFIG)
    assert torch.equal(x, before)


def test_band_cut_by_nyquist_is_scaled_and_a_band_beyond_is_refused():
    assert np.isfinite(de(noise(2, 93), 93.0)).all()
    with pytest.raises(InputError, match="gamma"):
        de(noise(2, 60), 60.0)


def test_spectrogram_has_density_and_frames_that_end_with_the_signal():
    x = np.atleast_2d(8.0 * np.sin(2 * np.pi * 10 * np.arange(3100) / SFREQ))
    shown = eeg_spectrogram(torch.from_numpy(x), SFREQ, CONFIG)
    assert shown.psd.shape == (1, 50, 9)
    assert shown.freqs.tolist() == list(range(1, 51))
    assert shown.times[-1].item() == pytest.approx(3.1)
    assert torch.diff(shown.times).tolist() == pytest.approx([0.25] * 8)
    assert shown.psd[0].sum(0).numpy() == pytest.approx(32.0, rel=0.02)
    assert shown.psd[0].argmax(0).tolist() == [9] * 9


def test_spectrogram_refuses_less_than_a_frame():
    with pytest.raises(InputError) as caught:
        eeg_spectrogram(torch.zeros(2, 900), SFREQ, CONFIG)
    assert caught.value.code == ErrorCode.DATA
