"""Contours of a voice, one value each 10 ms: pitch, loudness, spectral shape, voice quality, formants.

The descriptors are those of eGeMAPS (Eyben 2016) in spirit, computed from the program's own frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch import Tensor

from models.features.log_mel import AUDIOSET_MEAN, AUDIOSET_SD, log_mel
from models.speech.pitch import SFREQ, Pitch, centred_frames, track_pitch

N_CEPSTRA = 12
_N_FFT = 1024
_FORMANT_ORDER = 18  # poles of the vocal tract at 16 kHz
_TINY = 1e-10


@dataclass(frozen=True, eq=False)
class Contours:
    """What is measured of a clip, all on the same frames."""

    log_mel: NDArray[Any]  # (n_frames, 128) normalised as the audio spectrogram transformer takes it
    log_bands: NDArray[Any]  # (n_frames, 32) ln power, four mel bins each
    always: dict[str, NDArray[Any]]  # (n_frames,) each
    voiced_only: dict[str, NDArray[Any]]  # (n_frames,) each; anything where not voiced, NaN where not found
    voiced: NDArray[Any]  # (n_frames,) bool

    def rows(self) -> NDArray[Any]:
        """Return the contours that a network sees beside log-mel, (n_frames, 16) float32; 0 if unvoiced."""
        always = [self.always[name] for name in ("level", "loudness", "flux", "shape_flux", "centroid")]
        tilt = [self.always[name] for name in ("alpha", "hammarberg", "slope_low", "slope_mid")]
        names = ("semitone", "hnr", "h1_h2", "h1_a3", "formant1", "formant2")
        voice = [np.where(self.voiced, np.nan_to_num(self.voiced_only[name]), 0.0) for name in names]
        return np.stack([*always, *tilt, *voice, self.voiced], axis=1).astype(np.float32)


def contours(wave: NDArray[Any]) -> Contours:
    """Measure a clip.

    Parameters
    ----------
    wave : ndarray (n_samples,)
        At 16 kHz, -1 to 1, at least 25 ms.
    """
    samples = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
    normalised = log_mel(samples)
    n_frames = len(normalised)
    mel_power = (normalised.double() * (2 * AUDIOSET_SD) + AUDIOSET_MEAN).exp().numpy()
    log_bands = np.log(mel_power.reshape(n_frames, 32, 4).sum(-1))
    pitch = track_pitch(samples, n_frames)
    power = _power(samples, n_frames)
    always = _spectral(power)
    always["loudness"] = (mel_power**0.3).sum(axis=1)  # Zwicker-like compression, as openSMILE's
    for k, cepstrum in enumerate(dct(log_bands, axis=1, norm="ortho").T[1 : N_CEPSTRA + 1], start=1):
        always[f"cepstrum{k}"] = cepstrum
    voiced_only = _harmonic(power, pitch)
    for k, formant in enumerate(_formants(samples, n_frames).T, start=1):
        voiced_only[f"formant{k}"] = formant
    return Contours(normalised.numpy(), log_bands, always, voiced_only, pitch.voiced)


def _power(samples: Tensor, n_frames: int) -> NDArray[Any]:
    """Return the power spectrum of 40 ms frames, (n_frames, 513)."""
    frames = centred_frames(samples, 640, n_frames)
    spectrum = torch.fft.rfft(frames * torch.hann_window(640, periodic=False, dtype=torch.float64), _N_FFT)
    return (spectrum.real.square() + spectrum.imag.square()).numpy() + _TINY


def _spectral(power: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return level and shape of the spectrum over time."""
    hz = np.arange(power.shape[1]) * SFREQ / _N_FFT
    decibel = 10 * np.log10(power)
    amplitude = np.sqrt(power)
    shape = amplitude / amplitude.sum(axis=1, keepdims=True)

    def within(low: float, high: float) -> NDArray[Any]:
        return (hz >= low) & (hz < high)

    def slope(low: float, high: float) -> NDArray[Any]:
        part = within(low, high)
        x = hz[part] - hz[part].mean()
        return 1000 * (decibel[:, part] @ x) / (x @ x)  # dB per kHz

    def flux(rows: NDArray[Any]) -> NDArray[Any]:
        return np.r_[0.0, np.sqrt(np.square(np.diff(rows, axis=0)).sum(axis=1))]

    low_high = power[:, within(50, 1000)].sum(axis=1) / power[:, within(1000, 5000)].sum(axis=1)
    return {
        "level": 10 * np.log10(power.sum(axis=1)),
        "flux": flux(amplitude),
        "shape_flux": flux(shape),
        "centroid": (power @ hz) / power.sum(axis=1),
        "alpha": 10 * np.log10(low_high),
        "hammarberg": decibel[:, within(0, 2000)].max(axis=1) - decibel[:, within(2000, 5000)].max(axis=1),
        "slope_low": slope(30, 500),
        "slope_mid": slope(500, 1500),
    }


def _harmonic(power: NDArray[Any], pitch: Pitch) -> dict[str, NDArray[Any]]:
    """Return pitch in semitones above 27.5 Hz, harmonics-to-noise ratio and harmonic differences in dB."""
    decibel = 10 * np.log10(power)
    hz = np.arange(power.shape[1]) * SFREQ / _N_FFT
    rows = np.arange(len(power))

    def at(f_hz: NDArray[Any]) -> NDArray[Any]:
        middle = np.clip(np.round(f_hz * _N_FFT / SFREQ).astype(int), 1, power.shape[1] - 2)
        return np.maximum.reduce([decibel[rows, middle + offset] for offset in (-1, 0, 1)])

    def loudest(low: float, high: float) -> NDArray[Any]:
        return decibel[:, (hz >= low) & (hz < high)].max(axis=1)

    periodic = np.clip(pitch.strength, 0.01, 0.999)
    first = at(pitch.f0_hz)
    return {
        "semitone": 12 * np.log2(np.maximum(pitch.f0_hz, 1.0) / 27.5),
        "hnr": 10 * np.log10(periodic / (1 - periodic)),
        "h1_h2": first - at(2 * pitch.f0_hz),
        "h1_a1": first - loudest(300, 1000),
        "h1_a2": first - loudest(1000, 2200),
        "h1_a3": first - loudest(2200, 3500),
    }


def _formants(samples: Tensor, n_frames: int) -> NDArray[Any]:
    """Return the three lowest resonances in Hz, (n_frames, 3), NaN where there are fewer.

    Roots of a linear predictor (autocorrelation method) between 150 and 5500 Hz, narrower than 700 Hz.
    """
    frames = centred_frames(samples, 400, n_frames)
    frames = torch.cat([frames[:, :1], frames[:, 1:] - 0.97 * frames[:, :-1]], dim=1)
    spectrum = torch.fft.rfft(frames * torch.hann_window(400, periodic=False, dtype=torch.float64), _N_FFT)
    r = torch.fft.irfft(spectrum.real.square() + spectrum.imag.square(), _N_FFT)[:, : _FORMANT_ORDER + 1]
    r = r / r[:, :1].clamp_min(1e-12)
    r[:, 0] += 1e-4  # a pause has no predictor
    lag = torch.arange(_FORMANT_ORDER)
    predictor = torch.linalg.solve(r[:, (lag[:, None] - lag[None]).abs()], r[:, 1:])
    companion = torch.zeros(len(r), _FORMANT_ORDER, _FORMANT_ORDER, dtype=torch.float64)
    companion[:, 0] = predictor
    companion[:, 1:, :-1] = torch.eye(_FORMANT_ORDER - 1, dtype=torch.float64)
    roots = np.linalg.eigvals(companion.numpy())  # (n_frames, order)
    hz = np.angle(roots) * SFREQ / (2 * np.pi)
    width = -np.log(np.abs(roots) + 1e-9) * SFREQ / np.pi
    return np.sort(np.where((hz > 150) & (hz < 5500) & (width < 700), hz, np.nan), axis=1)[:, :3]
