"""The spectrogram of EEG that the screen shows; the network does not see it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from acquisition.errors import InputError
from models.features.config import FeatureConfig
from models.features.de import EDGE_TOLERANCE
from models.features.spectrum import bin_frequencies, check_window, hann_power, power_scale


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Power over time and frequency.

    Attributes
    ----------
    psd : Tensor, (..., n_freqs, n_frames), float32
        One-sided power spectral density in µV²/Hz.
    freqs : Tensor, (n_freqs,), float64
        Hz.
    times : Tensor, (n_frames,), float64
        Where each frame *ends*, in seconds from the first sample: a frame knows nothing later.
    """

    psd: torch.Tensor
    freqs: torch.Tensor
    times: torch.Tensor


@torch.no_grad()
def eeg_spectrogram(x: torch.Tensor, sfreq: float, config: FeatureConfig) -> Spectrogram:
    """Return the power spectral density of frames that slide over the signal.

    Parameters
    ----------
    x : Tensor, (..., n_times), float32 or float64
        EEG in µV, at least one frame (1 s) long.
    sfreq : float
        Sampling rate in Hz.
    config : FeatureConfig
        Frame length and step, lowest and highest frequency.

    Raises
    ------
    InputError
        If the signal is shorter than a frame.

    Notes
    -----
    Each frame is detrended by a line and weighted by a Hann window. The last frame ends with the last
    sample; samples at the start that fill no whole step are left out.
    """
    check_window(x, sfreq)
    n_frame = round(config.spectrogram_window_s * sfreq)
    n_step = max(1, round(config.spectrogram_step_s * sfreq))
    n_times = x.shape[-1]
    if n_times < n_frame:
        raise InputError(
            f"expected at least {n_frame} samples for a spectrogram, got {n_times}", where="spectrogram"
        )
    first = (n_times - n_frame) % n_step
    frames = x[..., first:].unfold(-1, n_frame, n_step)  # (..., n_frames, n_frame)
    width = sfreq / n_frame
    slack = EDGE_TOLERANCE * width
    freqs = torch.tensor(bin_frequencies(sfreq, n_frame), dtype=torch.float64)
    shown = (freqs >= config.spectrogram_fmin_hz - slack) & (freqs <= config.spectrogram_fmax_hz + slack)
    n_bins = int(shown.nonzero().max()) + 1
    power = hann_power(frames.reshape(-1, n_frame), n_bins)
    density = power.unflatten(-1, (n_bins, 2)).sum(-1)[:, shown[:n_bins].to(x.device)]
    density = density * (power_scale(n_frame) / width)
    psd = density.reshape(*frames.shape[:-1], -1).transpose(-1, -2)
    ends = (torch.arange(frames.shape[-2], dtype=torch.float64) * n_step + first + n_frame) / sfreq
    return Spectrogram(psd, freqs[shown], ends)
