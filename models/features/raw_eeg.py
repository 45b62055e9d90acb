"""Raw EEG for EEGformer: five seconds at 100 Hz, 0.5-45 Hz, filtered inside the window."""

from __future__ import annotations

import torch

from acquisition.errors import InputError
from models.features.config import FeatureConfig

PAD_S = 1.0  # mirrored on each side, so that the ends do not meet at a jump
EDGE_HZ = 1.5  # half the width of the raised-cosine edge at the top; narrower rings for longer


@torch.no_grad()
def raw_eeg(x: torch.Tensor, sfreq: float, config: FeatureConfig) -> torch.Tensor:
    """Return a window band-passed and resampled.

    Parameters
    ----------
    x : Tensor, (..., n_ch, n_times), float32 or float64
        EEG in µV, ``config.raw_s`` seconds of it (5 s).
    sfreq : float
        Sampling rate in Hz, at least twice the band's upper edge (90 Hz).

    Returns
    -------
    Tensor, (..., n_ch, raw_s · raw_sfreq), float32
        µV; 500 samples.

    Raises
    ------
    InputError
        If the rate is too low or the window is not ``raw_s`` long to within 2 %.

    Notes
    -----
    Filter and rate change are one step in the frequency domain on this window alone: zero phase, no
    state, nothing past the window's end. A line is removed first and the ends are mirrored for 1 s; what
    is slower than 0.5 Hz cannot be told from the trend in 5 s anyway. Within the first and last 0.5 s waves
    are off by up to a tenth, and the end samples themselves by more: nothing is known beyond them.
    """
    if sfreq < 2 * config.raw_fmax_hz:
        raise InputError(
            f"expected EEG at {2 * config.raw_fmax_hz:g} Hz or more, got {sfreq:g} Hz", where="raw EEG"
        )
    n_times = x.shape[-1]
    if abs(n_times / sfreq / config.raw_s - 1) > 0.02:
        raise InputError(
            f"expected {config.raw_s:g} s of EEG, got {n_times} samples = {n_times / sfreq:.2f} s",
            where="raw EEG",
        )
    n_out = round(config.raw_s * config.raw_sfreq)
    n_pad_out = round(PAD_S * config.raw_sfreq)
    # The padding holds the same share of both grids, so that sample 0 stays sample 0.
    n_pad = round(n_times * n_pad_out / n_out)
    padded = _mirror(_without_line(x), n_pad)
    n_padded_out = n_out + 2 * n_pad_out
    spectrum = torch.fft.rfft(padded)[..., : n_padded_out // 2 + 1]
    seconds = padded.shape[-1] / sfreq
    spectrum = spectrum * _gain(spectrum.shape[-1], seconds, config).to(spectrum.device)
    filtered = torch.fft.irfft(spectrum, n_padded_out) * (n_padded_out / padded.shape[-1])
    return filtered[..., n_pad_out : n_pad_out + n_out].to(torch.float32)


def _without_line(x: torch.Tensor) -> torch.Tensor:
    """Return x less its least-squares line, in float32."""
    n_times = x.shape[-1]
    line = torch.arange(n_times, dtype=torch.float64, device=x.device) - (n_times - 1) / 2
    line = (line / line.square().sum().sqrt()).to(torch.float32)
    y = (x - x[..., :1]).to(torch.float32)  # a large offset goes in x's own dtype
    y = y - y.mean(-1, keepdim=True)
    return y - torch.linalg.vecdot(y, line).unsqueeze(-1) * line


def _mirror(y: torch.Tensor, n_pad: int) -> torch.Tensor:
    """Return y continued on both sides by its mirror image.

    Even, not odd: an odd reflection would lift the padding by twice the end sample, and the two sides,
    lifted differently, would meet at a jump where the transform wraps around.
    """
    return torch.cat([y[..., 1 : n_pad + 1].flip(-1), y, y[..., -n_pad - 1 : -1].flip(-1)], -1)


def _gain(n_bins: int, seconds: float, config: FeatureConfig) -> torch.Tensor:
    """Return the pass band as (n_bins,): raised-cosine edges, half way at the band's limits."""
    hz = torch.arange(n_bins, dtype=torch.float64) / seconds
    rise = (hz / config.raw_fmin_hz - 0.5).clamp(0, 1)
    fall = ((config.raw_fmax_hz - hz) / (2 * EDGE_HZ) + 0.5).clamp(0, 1)
    gain = torch.sin(rise * torch.pi / 2).square() * torch.sin(fall * torch.pi / 2).square()
    return gain.to(torch.float32)
