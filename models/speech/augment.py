"""Copies of a voice that keep its emotion: another pitch, tempo or speed, and noise."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import resample_poly

COPIES = (
    "original", "pitch 0.9", "pitch 1.1", "tempo 0.9", "tempo 1.1", "speed 0.92", "speed 1.08", "noise 25 dB",
)  # fmt: skip
_N_FFT, _HOP = 1024, 256


def copies(wave: NDArray[Any], rng: np.random.Generator) -> list[NDArray[Any]]:
    """Return the copies that COPIES names, float32, each of its own length."""
    wave = np.asarray(wave, dtype=np.float32)
    noise = rng.standard_normal(len(wave)).astype(np.float32)
    return [
        wave,
        *(change_pitch(wave, factor) for factor in (0.9, 1.1)),
        *(change_tempo(wave, factor) for factor in (0.9, 1.1)),
        *(change_speed(wave, factor) for factor in (0.92, 1.08)),
        wave + noise * np.float32(np.sqrt(np.mean(np.square(wave))) * 10 ** (-25 / 20)),
    ]


def change_speed(wave: NDArray[Any], factor: float) -> NDArray[Any]:
    """Play faster (> 1) or slower: pitch, formants and tempo change together."""
    ratio = Fraction(1 / factor).limit_denominator(40)
    return resample_poly(wave, ratio.numerator, ratio.denominator).astype(np.float32)


def change_pitch(wave: NDArray[Any], factor: float) -> NDArray[Any]:
    """Raise (> 1) or lower pitch and formants, keep the tempo."""
    return change_speed(_stretch(wave, factor), factor)


def change_tempo(wave: NDArray[Any], factor: float) -> NDArray[Any]:
    """Speak faster (> 1) or slower at the same pitch."""
    return _stretch(wave, 1 / factor)


def _stretch(wave: NDArray[Any], factor: float) -> NDArray[Any]:
    """Make a clip ``factor`` times as long with a phase vocoder (Flanagan and Golden 1966)."""
    window = torch.hann_window(_N_FFT)
    samples = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
    spectrum = torch.stft(samples, _N_FFT, _HOP, window=window, return_complex=True)  # (513, n)
    n_frames = spectrum.shape[1]
    where = torch.arange(0, n_frames - 1, 1 / factor)
    before = where.long()
    after, share = (before + 1).clamp(max=n_frames - 1), where - before
    magnitude = (1 - share) * spectrum[:, before].abs() + share * spectrum[:, after].abs()
    expected = torch.linspace(0, math.pi * _HOP, spectrum.shape[0])[:, None]
    advance = spectrum[:, after].angle() - spectrum[:, before].angle() - expected
    advance = advance - 2 * math.pi * torch.round(advance / (2 * math.pi)) + expected
    phase = torch.cumsum(torch.cat([spectrum[:, :1].angle(), advance[:, :-1]], dim=1), dim=1)
    return torch.istft(torch.polar(magnitude, phase), _N_FFT, _HOP, window=window).numpy()
