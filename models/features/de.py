"""Differential entropy of EEG per channel and band, the network's EEG feature.

``DE = ½ ln(2πe σ²)`` nats, with σ² the variance in µV² that lies in the band: the entropy of a Gaussian
signal of that variance (Shi, Jiao & Lu 2013). No filter, hence no state from window to window, and any
chunking of a recording gives the same numbers.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from acquisition.errors import InputError
from models.features.config import FeatureConfig
from models.features.spectrum import BLOCK_ROWS, bin_frequencies, check_window, hann_power, power_scale

#: A bin this share of a bin's width below an edge counts as on it: a measured rate of 257.1 Hz puts
#: bin 4 of a window of 257 samples at 4.0016 Hz, one of 256.9 Hz at 3.9984 Hz, and both are 4 Hz.
EDGE_TOLERANCE = 0.1


@torch.no_grad()
def differential_entropy(x: torch.Tensor, sfreq: float, config: FeatureConfig) -> torch.Tensor:
    """Return the differential entropy of each channel in each band.

    Parameters
    ----------
    x : Tensor, (..., n_ch, n_times), float32 or float64
        EEG in µV on any device. Usually one second.
    sfreq : float
        Sampling rate in Hz.
    config : FeatureConfig
        Bands, line frequency and variance floor.

    Returns
    -------
    Tensor, (..., n_ch, n_bands), float32
        Nats. A channel without power in a band gets ½ ln(2πe · ``variance_floor_uv2``), -3.19 by
        default; a channel with a NaN gets NaN.

    Raises
    ------
    InputError
        If a band holds no bin of this window, because the rate is too low or the window too short.

    Notes
    -----
    The window is detrended by a line and weighted by a Hann window (see `spectrum`), so an offset or a
    steady drift adds nothing. Bins that cannot be used (mains, above Nyquist) are replaced by
    the mean of the band's other bins: the band is scaled by bins total / kept.
    """
    check_window(x, sfreq)
    n_times = x.shape[-1]
    rows = x.reshape(-1, n_times)
    plan = _plan(sfreq, n_times, config, x.device)
    if rows.shape[0] <= BLOCK_ROWS:
        entropy = _entropy(rows, plan, config.variance_floor_uv2)
    else:
        entropy = torch.cat(
            [_entropy(block, plan, config.variance_floor_uv2) for block in rows.split(BLOCK_ROWS)]
        )
    return entropy.reshape(*x.shape[:-1], len(config.bands))


def band_masks(sfreq: float, n_times: int, config: FeatureConfig) -> torch.Tensor:
    """Return which bins each band sums.

    Returns
    -------
    Tensor, (n_bands, n_bins), bool
        Bin ``k`` stands at column ``k - 1``, frequency ``k · sfreq / n_times``; mains bins are False.
    """
    frequencies = torch.tensor(bin_frequencies(sfreq, n_times), dtype=torch.float64)
    masks = _nominal_masks(frequencies, sfreq / n_times, config)
    if config.line_hz is not None:
        masks &= (frequencies - config.line_hz).abs() > config.line_halfwidth_hz + 1e-9
    return masks


def _nominal_masks(frequencies: torch.Tensor, width: float, config: FeatureConfig) -> torch.Tensor:
    """Return the bands' bins with the mains still in."""
    slack = EDGE_TOLERANCE * width
    top = max(hi for _, _, hi in config.bands)
    masks = []
    for _, lo, hi in config.bands:
        below = frequencies <= hi + slack if hi == top else frequencies < hi - slack
        masks.append((frequencies >= lo - slack) & below)
    return torch.stack(masks)


Plan = tuple[int, list[list[tuple[int, int]]], torch.Tensor]


@lru_cache(maxsize=32)
def _plan(sfreq: float, n_times: int, config: FeatureConfig, device: torch.device) -> Plan:
    """Return the number of bins, each band's runs of columns in `hann_power`, and each band's scale."""
    masks = band_masks(sfreq, n_times, config)
    width = sfreq / n_times
    # Counted on an axis without end, so that a band cut by Nyquist is scaled as one cut by the mains is.
    endless = torch.arange(1, math.ceil(max(hi for _, _, hi in config.bands) / width) + 2) * width
    totals = _nominal_masks(endless.double(), width, config).sum(1)
    kept = masks.sum(1)
    for (name, lo, hi), n_kept in zip(config.bands, kept.tolist(), strict=True):
        if n_kept == 0:
            raise InputError(
                f"no usable frequency bin in {name} ({lo:g}-{hi:g} Hz) at {sfreq:g} Hz and {n_times} samples",
                where="EEG features",
                remedy=f"the rate must be above {2 * lo:g} Hz, and the band wider than a bin and the mains",
            )
    scale = power_scale(n_times) * totals.double() / kept.double()
    n_bins = int(masks.any(0).nonzero().max()) + 1
    return n_bins, [_runs(mask) for mask in masks], scale.to(device, torch.float32)


def _runs(mask: torch.Tensor) -> list[tuple[int, int]]:
    """Return the (start, stop) of consecutive True, in columns of re, im pairs."""
    edges = torch.diff(mask.int(), prepend=torch.zeros(1), append=torch.zeros(1)).nonzero().flatten().tolist()
    return [(2 * start, 2 * stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _entropy(rows: torch.Tensor, plan: Plan, floor: float) -> torch.Tensor:
    """Return the entropy of (n_rows, n_times) as (n_rows, n_bands)."""
    n_bins, runs_of_band, scale = plan
    power = hann_power(rows, n_bins)
    # A matrix product would be faster for many rows, but its last bits depend on how many there are.
    sums = [sum(power[:, start:stop].sum(-1) for start, stop in runs) for runs in runs_of_band]
    variance = torch.stack(sums, -1).mul_(scale).clamp_min_(floor)  # type: ignore[arg-type]
    return variance.log_().mul_(0.5).add_(0.5 * math.log(2 * math.pi * math.e))
