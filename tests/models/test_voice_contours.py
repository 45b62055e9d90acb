"""Known tones through pitch and statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.features.log_mel import n_log_mel_frames
from models.features.voice import ALWAYS, VOICED_ONLY, contours, functionals, track_pitch

SFREQ = 16000


def voice(f0_hz: float, length_s: float = 1.0) -> np.ndarray:
    """Ten harmonics that fall by 6 dB an octave."""
    time = np.arange(int(length_s * SFREQ)) / SFREQ
    return np.sum([np.sin(2 * np.pi * k * f0_hz * time) / k for k in range(1, 11)], axis=0) * 0.1


def statistics(wave: np.ndarray) -> dict[str, float]:
    return functionals(contours(torch.from_numpy(wave)).numpy())


@pytest.mark.parametrize("f0_hz", [80.0, 130.0, 220.0, 410.0])
def test_pitch_of_a_tone_is_found_without_octave_errors(f0_hz: float) -> None:
    wave = torch.from_numpy(voice(f0_hz).astype(np.float32))
    pitch = track_pitch(wave, n_log_mel_frames(len(wave)))
    assert pitch.voiced[5:-5].all()
    assert np.abs(pitch.f0_hz[5:-5] / f0_hz - 1).max() < 0.01


def test_noise_and_silence_are_mostly_unvoiced() -> None:
    noise = np.random.default_rng(0).standard_normal(SFREQ).astype(np.float32) * 0.1
    noise[8000:] = 0
    pitch = track_pitch(torch.from_numpy(noise), n_log_mel_frames(len(noise)))
    assert pitch.voiced.mean() < 0.1
    assert not pitch.f0_hz[~pitch.voiced].any()


def test_a_resonance_is_found_as_a_formant() -> None:
    from scipy.signal import lfilter

    pole = np.exp(-np.pi * 80 / SFREQ + 2j * np.pi * 900 / SFREQ)
    source = np.random.default_rng(1).standard_normal(SFREQ)
    wave = lfilter([1], np.real(np.poly([pole, pole.conj()])), source)
    found = contours(torch.from_numpy(wave / np.abs(wave).max())).numpy()
    at = len(ALWAYS) + VOICED_ONLY.index("formant1")
    assert np.median(np.abs(found[:, at : at + 2] - 900).min(axis=1)) < 60


def test_statistics_have_the_same_names_for_any_clip_and_are_finite() -> None:
    noise = np.random.default_rng(2).standard_normal(6000) * 1e-3
    first, second = statistics(voice(150.0)), statistics(noise)
    assert list(first) == list(second)
    assert np.isfinite(list(first.values())).all()
    assert np.isfinite(list(second.values())).all()
    assert first["semitone_mean"] == pytest.approx(12 * np.log2(150 / 27.5), abs=0.2)
    assert first["voiced_share"] > 0.95


def test_rhythm_counts_voiced_stretches() -> None:
    pause = np.random.default_rng(3).standard_normal(SFREQ // 4) * 1e-2
    wave = np.concatenate([voice(150.0, 0.5), pause, voice(150.0, 0.5), pause, voice(150.0, 0.5)])
    found = statistics(wave)
    assert found["voiced_per_s"] == pytest.approx(3 / 2.0, rel=0.1)
    assert found["voiced_s_mean"] == pytest.approx(0.5, abs=0.06)


def test_the_microphones_gain_changes_nothing() -> None:
    wave = voice(150.0)
    quiet, loud = (np.array(list(statistics(gain * wave).values())) for gain in (0.05, 0.8))
    assert np.allclose(quiet, loud, atol=1e-2)
