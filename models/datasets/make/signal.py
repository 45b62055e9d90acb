"""Raw EEG whose entropy follows given features second by second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from acquisition.simulator.scalp import electrode_positions, spread
from models.datasets.make.person import DE_OF_UNIT
from models.features.config import EEG_BANDS

#: Values are whole multiples of this, as an amplifier's are, only coarser: the files then pack to a sixth.
#: Its noise, 0.3 µV over all frequencies, adds less than 1 % to the power of the weakest band.
RESOLUTION_UV = 1.0
_N_SOURCES = 16
#: Electrodes' offsets; between 512 and 1024 floating-point numbers share their exponent, which packs well.
_OFFSET_UV, _OFFSET_SD_UV = 768.0, 20.0


def signal(
    de: NDArray[np.float64], ch_names: tuple[str, ...], sfreq: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return EEG of a trial.

    Parameters
    ----------
    de : ndarray, (n_seconds, C, n_bands)
        Wanted entropy in nats of each second.
    sfreq : float
        Hz, a whole number.

    Returns
    -------
    ndarray, (C, n_seconds · sfreq), float64
        µV. Each band is Gaussian noise of common sources and of each channel's own, scaled second by second.
    """
    n_seconds, n_channels = de.shape[:2]
    n_a_second = round(sfreq)
    n = n_seconds * n_a_second
    amplitudes = np.exp(de - DE_OF_UNIT)  # (n_seconds, C, n_bands) µV
    places = rng.standard_normal((_N_SOURCES, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    mixing = spread(places, electrode_positions(ch_names), 0.6)  # (16, C)
    mixing /= np.linalg.norm(mixing, axis=0)
    total = np.zeros((n_channels, n_seconds, n_a_second))
    for band, (_, low, high) in enumerate(EEG_BANDS):
        common = _band_noise(rng, _N_SOURCES, n, sfreq, low, high)
        own = _band_noise(rng, n_channels, n, sfreq, low, high)
        wave = 0.8 * mixing.T.astype(np.float32) @ common + 0.6 * own  # unit variance, (C, n)
        total += wave.reshape(n_channels, n_seconds, -1) * amplitudes[:, :, band].T[:, :, None]
    total += rng.normal(_OFFSET_UV, _OFFSET_SD_UV, (n_channels, 1, 1))
    return np.round(total.reshape(n_channels, n) / RESOLUTION_UV) * RESOLUTION_UV


def _band_noise(
    rng: np.random.Generator, n_rows: int, n: int, sfreq: float, low: float, high: float
) -> NDArray[np.float32]:
    """Return Gaussian noise of unit variance between two frequencies, (n_rows, n)."""
    first, last = int(np.ceil(low * n / sfreq)), int(np.ceil(high * n / sfreq))
    spectrum = np.zeros((n_rows, n // 2 + 1), dtype=np.complex64)
    parts = rng.standard_normal((2, n_rows, last - first), dtype=np.float32)
    spectrum[:, first:last] = parts[0] + 1j * parts[1]
    noise = np.fft.irfft(spectrum, n).astype(np.float32)
    # Each of the m bins adds 4 / n² to the variance: two parts of unit variance, doubled by symmetry.
    return noise * np.float32(n / (2 * np.sqrt(last - first)))
