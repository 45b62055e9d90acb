"""The detrended Hann spectrum that entropy and spectrogram share.

Both the Hann window and the linear detrend are applied *after* the transform, where they touch the few
bins that are wanted instead of every sample: the periodic Hann window is the convolution
``X[k] / 2 - (X[k-1] + X[k+1]) / 4``, and removing a line is subtracting the line's own spectrum. The
result is that of ``scipy.signal.periodogram(x, window="hann", detrend="linear")``.

Why a line: electrodes drift by tens of microvolts a second, and the Hann window alone leaves a ramp's
power in the lowest bins. The price is that a 1 Hz wave loses up to half its power to the line that fits it.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from acquisition.errors import InputError

#: Rows transformed at once: 1000 rows of 1000 float32 stay in the processor's cache.
BLOCK_ROWS = 1000


def bin_frequencies(sfreq: float, n_times: int) -> list[float]:
    """Return the frequencies in Hz of the usable bins 1, 2, ... of a window.

    Bin 0 is removed with the trend, and the Nyquist bin is left out, whose power is not doubled.
    """
    return [k * sfreq / n_times for k in range(1, n_times // 2)]


def hann_power(x: torch.Tensor, n_bins: int) -> torch.Tensor:
    """Return the unscaled power of the lowest bins, real and imaginary share side by side.

    Parameters
    ----------
    x : Tensor, (n_rows, n_times), float32 or float64
        Signals; a row with a NaN gives NaN.
    n_bins : int
        How many bins to return, from bin 1 on; at most ``n_times // 2 - 1``.

    Returns
    -------
    Tensor, (n_rows, 2 * n_bins), float32
        ``re² , im²`` of bin 1, then bin 2, ...; the sum of a bin's pair times `power_scale` is its
        share of the signal's variance.

    Notes
    -----
    No BLAS call and no reduction across rows is used, so that a row's result does not depend on
    which other rows are in the call (tested): live computes one step at a time, replay several.
    """
    n_times = x.shape[-1]
    ramp, minus_ramp_spectrum = _ramp(n_times, n_bins, x.device)
    # An offset of 300 uV would cost float32 its last digits: take out the first sample in x's own dtype.
    # The rest of the mean sits in bin 0, which is zeroed.
    y = (x - x[:, :1]).to(torch.float32)
    slope = torch.linalg.vecdot(y, ramp).unsqueeze(-1)  # (n_rows, 1)
    bins = torch.fft.rfft(y)[:, : n_bins + 2]
    pairs = torch.view_as_real(bins).flatten(-2)  # (n_rows, 2 * (n_bins + 2)): re, im, re, im, ...
    pairs = torch.addcmul(pairs, slope, minus_ramp_spectrum)
    pairs[:, :2] = 0.0
    windowed = torch.sub(pairs[:, 2:-2], pairs[:, :-4] + pairs[:, 4:], alpha=0.5)
    return windowed.square_()


def power_scale(n_times: int) -> float:
    """Return what turns `hann_power` into variance: one-sided, corrected for the window's power.

    ``2 |W|² / (n_times · Σw²)`` with ``Σw² = 3/8 n_times`` and ``W`` half of what `hann_power` squares.
    """
    return 4.0 / (3.0 * n_times**2)


def check_window(x: torch.Tensor, sfreq: float) -> None:
    """Refuse what cannot be transformed.

    Raises
    ------
    InputError
        If the rate is not positive or the window is too short for a spectrum.
    """
    if not sfreq > 0:
        raise InputError(f"expected a sampling rate above 0 Hz, got {sfreq}", where="EEG features")
    if x.shape[-1] < 8:
        raise InputError(f"expected at least 8 samples in a window, got {x.shape[-1]}", where="EEG features")


@lru_cache(maxsize=32)
def _ramp(n_times: int, n_bins: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a unit-norm line of zero mean, and minus its spectrum as re, im pairs."""
    line = torch.arange(n_times, dtype=torch.float64) - (n_times - 1) / 2
    line /= line.square().sum().sqrt()
    spectrum = torch.view_as_real(torch.fft.rfft(line)[: n_bins + 2]).flatten()
    return line.to(device, torch.float32), -spectrum.to(device, torch.float32)
