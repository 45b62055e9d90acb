"""Log-mel frames for the audio spectrogram transformer, equal to ``transformers.ASTFeatureExtractor``.

Kaldi's filter-bank recipe as that class computes it without torchaudio, for all frames at once: 25 ms
frames every 10 ms, mean removed, pre-emphasis 0.97, symmetric Hann window, 512-point transform, power,
triangular filters on Kaldi's mel scale from 20 Hz to 8 kHz, natural logarithm, AudioSet's mean and SD.
"""

from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from acquisition.errors import ErrorCode, InputError
from models.features.config import FeatureConfig

FRAME = 400  # samples, 25 ms
HOP = 160  # samples, 10 ms
N_FFT = 512
PREEMPHASIS = 0.97
LOWEST_HZ = 20.0
POWER_FLOOR = 1.192092955078125e-07  # as the reference has it
AUDIOSET_MEAN = -4.2677393
AUDIOSET_SD = 4.5689974


def n_log_mel_frames(n_samples: int) -> int:
    """Return how many frames `log_mel` makes of ``n_samples`` at 16 kHz."""
    return max(0, 1 + (n_samples - FRAME) // HOP)


@torch.no_grad()
def log_mel(wave: torch.Tensor, config: FeatureConfig | None = None) -> torch.Tensor:
    """Return normalised log-mel frames (..., n_frames, n_mels), float32; 498 frames for 5 s.

    The wave (..., n_samples) is voice at 16 kHz, -1 to 1 (the extractor does not scale to 16-bit numbers
    either), of at least one frame of 25 ms. A frame is ``(ln power + 4.2677393) / (2 · 4.5689974)``.

    Computed in float64: float32 differs from the reference by 2e-4 in quiet frames. Nothing is padded;
    the reference pads its answer with zeros to 1024 frames *before* it normalises.
    """
    if wave.shape[-1] < FRAME:
        what = f"expected at least {FRAME} samples of voice, got {wave.shape[-1]}"
        raise InputError(what, where="log-mel", code=ErrorCode.DATA)
    n_mels = (config or FeatureConfig()).n_mels
    window, filters = mel_filters(n_mels, wave.device)
    frames = wave.to(torch.float64).unfold(-1, FRAME, HOP)  # (..., n_frames, 400)
    frames = frames - frames.mean(-1, keepdim=True)
    before = torch.cat([frames[..., :1], frames[..., :-1]], -1)
    frames = (frames - PREEMPHASIS * before) * window
    spectrum = torch.fft.rfft(frames, N_FFT)  # (..., n_frames, 257)
    power = spectrum.real.square() + spectrum.imag.square()
    mel = (power @ filters).clamp_min(POWER_FLOOR).log().to(torch.float32)
    return (mel - AUDIOSET_MEAN) / (2 * AUDIOSET_SD)


def resample(wave: NDArray[Any], sfreq: float, config: FeatureConfig | None = None) -> torch.Tensor:
    """Return a window (..., n_samples) of voice at 16 kHz as float32, -1 to 1.

    Integers are taken as full scale of their type (int16: 32768) and scaled; floats stay. A device's rate
    within 0.1 % of 16 kHz is left alone: nobody hears it. By `scipy.signal.resample_poly` on this window
    alone: no filter state passes from window to window.
    """
    wave = np.asarray(wave)
    ratio = resample_ratio(sfreq, config)
    if np.issubdtype(wave.dtype, np.signedinteger):
        samples = wave.astype(np.float64) / -float(np.iinfo(wave.dtype).min)
    else:
        samples = wave.astype(np.float64)
    if ratio != 1:
        samples = scipy.signal.resample_poly(samples, ratio.numerator, ratio.denominator, axis=-1)
    return torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))


def resample_ratio(sfreq: float, config: FeatureConfig | None = None) -> Fraction:
    """Return by how much `resample` changes the number of samples; 1 within 0.1 % of 16 kHz."""
    if not sfreq > 0:
        what = f"expected a sampling rate above 0 Hz, got {sfreq}"
        raise InputError(what, where="voice", code=ErrorCode.DATA)
    target = (config or FeatureConfig()).voice_sfreq
    if abs(sfreq / target - 1) <= 1e-3:
        return Fraction(1)
    # A measured rate has many digits; a ratio of small numbers keeps the filter short.
    return Fraction(target / sfreq).limit_denominator(500)


@lru_cache(maxsize=8)
def mel_filters(n_mels: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the window (400,) and the triangular filters (257, n_mels), float64."""
    window = torch.hann_window(FRAME, periodic=False, dtype=torch.float64)
    sfreq = 16000

    def mel(hz: torch.Tensor) -> torch.Tensor:
        return 1127.0 * torch.log(1.0 + hz / 700.0)

    edges = torch.tensor([LOWEST_HZ, sfreq / 2], dtype=torch.float64)
    low, high = mel(edges).tolist()
    corners = torch.linspace(low, high, n_mels + 2, dtype=torch.float64)
    bins = mel(torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * (sfreq / N_FFT)).unsqueeze(-1)  # (257, 1)
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    return window.to(device), filters.to(device)
