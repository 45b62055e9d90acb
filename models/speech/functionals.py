"""Statistics of a clip's contours over time: one row of numbers for a sentence of any length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.speech.contours import Contours

_SILENCE_DB = 45.0  # below the clip's loudest frame; cut off at both ends
_ALSO_VOICED = (
    "cepstrum1", "cepstrum2", "cepstrum3", "cepstrum4", "alpha", "hammarberg", "slope_low", "slope_mid",
    "flux", "centroid", "loudness",
)  # fmt: skip
_MODULATION_HZ = ((0.5, 2), (2, 4), (4, 8), (8, 16), (16, 32))
_N_FFT = 1024
_FRAMES_PER_S = 100


def functionals(clip: Contours) -> dict[str, float]:
    """Return the statistics by name: the same names, in the same order, for every clip.

    Mean, SD, percentiles and movement of each contour; means and SDs of the spectral shape in voiced and
    unvoiced frames apart; rhythm of voiced and unvoiced stretches; means and SDs of 16 log-mel bands; the
    modulation spectrum of 8 bands. Silence at both ends is cut off first. Finite for any clip.
    """
    level = clip.always["level"]
    loud = np.flatnonzero(level > level.max() - _SILENCE_DB)
    part = slice(loud[0], loud[-1] + 1)
    voiced = clip.voiced[part]
    found: dict[str, float] = {}
    for name, contour in clip.always.items():
        found |= _statistics(np.convolve(contour[part], np.ones(3) / 3, "same"), name)
    for name in _ALSO_VOICED:
        contour = clip.always[name][part]
        found[f"{name}_voiced_mean"], found[f"{name}_voiced_sd"] = _mean_sd(contour[voiced])
        found[f"{name}_unvoiced_mean"], _ = _mean_sd(contour[~voiced])
    for name, contour in clip.voiced_only.items():
        values = contour[part][voiced]
        found |= _statistics(values[np.isfinite(values)], name)
    found |= _trends(clip.voiced_only["semitone"][part], clip.always["loudness"][part], voiced)
    found |= _rhythm(clip.always["loudness"][part], voiced)
    found |= _bands(clip.log_bands[part])
    return found


def _mean_sd(values: NDArray[Any]) -> tuple[float, float]:
    return (float(values.mean()), float(values.std())) if len(values) else (0.0, 0.0)


def _statistics(values: NDArray[Any], name: str) -> dict[str, float]:
    """Return nine numbers; all 0 for fewer than three values."""
    keys = ("mean", "sd", "p20", "p50", "p80", "range", "movement", "rise", "fall")
    if len(values) < 3:
        return dict.fromkeys((f"{name}_{key}" for key in keys), 0.0)
    p20, p50, p80 = np.percentile(values, [20, 50, 80])
    steps = np.diff(values)
    rise, _ = _mean_sd(steps[steps > 0])
    fall, _ = _mean_sd(steps[steps < 0])
    numbers = (values.mean(), values.std(), p20, p50, p80, p80 - p20, np.abs(steps).mean(), rise, fall)
    return {f"{name}_{key}": float(number) for key, number in zip(keys, numbers, strict=True)}


def _trends(semitone: NDArray[Any], loudness: NDArray[Any], voiced: NDArray[Any]) -> dict[str, float]:
    """Return the straight-line change of pitch and loudness over half the clip."""
    time = np.linspace(-1, 1, len(voiced))
    pitch = np.polyfit(time[voiced], semitone[voiced], 1)[0] if voiced.sum() > 5 else 0.0
    loud = np.polyfit(time, loudness, 1)[0] if len(voiced) > 5 else 0.0
    return {"semitone_trend": float(pitch), "loudness_trend": float(loud)}


def _rhythm(loudness: NDArray[Any], voiced: NDArray[Any]) -> dict[str, float]:
    """Return rate and lengths (s) of voiced and unvoiced stretches, and loudness peaks a second."""
    voiced_s, unvoiced_s = (_run_lengths(state) / _FRAMES_PER_S for state in (voiced, ~voiced))
    length_s = len(voiced) / _FRAMES_PER_S
    smooth = np.convolve(loudness, np.ones(5) / 5, "same")
    middle = smooth[1:-1]
    is_peak = (middle > smooth[:-2]) & (middle >= smooth[2:]) & (middle > smooth.mean())
    voiced_mean, voiced_sd = _mean_sd(voiced_s)
    unvoiced_mean, unvoiced_sd = _mean_sd(unvoiced_s)
    return {
        "voiced_per_s": len(voiced_s) / length_s,
        "voiced_s_mean": voiced_mean,
        "voiced_s_sd": voiced_sd,
        "unvoiced_s_mean": unvoiced_mean,
        "unvoiced_s_sd": unvoiced_sd,
        "voiced_share": float(voiced.mean()),
        "peaks_per_s": float(is_peak.sum()) / length_s,
    }


def _run_lengths(state: NDArray[Any]) -> NDArray[Any]:
    edges = np.diff(np.r_[0, state.astype(int), 0])
    return np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)


def _bands(log_bands: NDArray[Any]) -> dict[str, float]:
    """Return mean and SD of 16 bands, and the ln power of 8 bands' envelopes at five rates."""
    halves = log_bands.reshape(len(log_bands), 16, 2).mean(-1)
    found: dict[str, float] = {}
    for band in range(16):
        found[f"band{band}_mean"], found[f"band{band}_sd"] = _mean_sd(halves[:, band])
    eighths = log_bands.reshape(len(log_bands), 8, 4).mean(-1)
    envelope = (eighths - eighths.mean(axis=0)) * np.hanning(len(eighths))[:, None]
    power = np.square(np.abs(np.fft.rfft(envelope, _N_FFT, axis=0))) / len(eighths)
    hz = np.fft.rfftfreq(_N_FFT, 1 / _FRAMES_PER_S)
    for low, high in _MODULATION_HZ:
        mean = power[(hz >= low) & (hz < high)].mean(axis=0)
        for band in range(8):
            found[f"modulation{low:g}_{band}"] = float(np.log(mean[band] + 1e-6))
    return found
