"""Features of EEG: entropy by band, the spectrogram on the screen, filtered samples for EEGformer.

Entropy and spectrogram share one spectrum: that of a detrended second, averaged over K sine tapers (Riedel
and Sidorenko 1995), which weight all of the second alike. A Hann window looks at its middle half alone: steps
a quarter of a second apart then carry nearly independent noise, and predictions swing between four answers.

Why a line is removed: electrodes drift by tens of microvolts a second, and a taper alone leaves a ramp's
power in the lowest bins. The price is that a 1 Hz wave loses up to half its power to the line that fits it.

``DE = ½ ln(2πe σ²)`` nats, with σ² the variance in µV² that lies in the band: the entropy of a Gaussian
signal of that variance (Shi, Jiao & Lu 2013). No filter, hence no state from window to window, and any
chunking of a recording gives the same numbers.
"""

import cmath
import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from acquisition.errors import ErrorCode, InputError
from models.features.config import FeatureConfig

#: Rows transformed at once: 1000 rows of 1000 float32 stay in the processor's cache.
BLOCK_ROWS = 1000


def bin_frequencies(sfreq: float, n_times: int) -> list[float]:
    """Return the frequencies in Hz of the usable bins 1, 2, ... of a window.

    Bin 0 is removed with the trend, and the Nyquist bin is left out, whose power is not doubled.
    """
    return [k * sfreq / n_times for k in range(1, n_times // 2)]


def sine_taper_power(x: torch.Tensor, n_bins: int, n_tapers: int, mains: float = 0.0) -> torch.Tensor:
    """Return the power of the lowest bins, real and imaginary share side by side, summed over K sine tapers.

    Of signals (n_rows, n_times), float32 or float64, less their least-squares line, that is
    (n_rows, 2 * n_bins), float32: ``re², im²`` of bin 1, then bin 2, ...; the sum of a bin's pair times
    `power_scale` is its share of the signal's variance. ``n_bins`` is at most ``n_times // 2 - 1``. A row
    with a NaN gives NaN. A wave of ``mains`` cycles a sample is removed too: these tapers leak more than a
    Hann window does, and the mains are strong.

    Taper k is ``sin(πk(n + ½) / N)``, k from 1: the difference of two waves k half bins apart. So one
    transform X of the signal padded to 2N has all tapers: ``|Y_k[j]| = |X[2j-k] - e^(-iπk/N) X[2j+k]| / 2``.
    The line is removed after the transform too, where it touches the few bins that are wanted.

    No BLAS call and no reduction across rows is used, so that a row's result does not depend on
    which other rows are in the call (tested): live computes one step at a time, replay several.
    """
    n_times = x.shape[-1]
    n_wanted = 2 * n_bins + n_tapers + 1
    n_used = min(n_wanted, n_times + 1)
    removed = _removed(n_times, n_used, mains, x.device)
    # An offset of 300 uV would cost float32 its last digits: take out the first sample in x's own dtype.
    y = (x - x[:, :1]).to(torch.float32)
    pairs = torch.view_as_real(torch.fft.rfft(y, 2 * n_times)[:, :n_used]).flatten(-2)  # re, im, re, im, ...
    for part, minus_spectrum in removed:
        pairs = pairs.addcmul(torch.linalg.vecdot(y, part).unsqueeze(-1), minus_spectrum)
    bins = torch.view_as_complex(pairs.unflatten(-1, (n_used, 2)))
    # From bin -n_tapers on, and mirrored beyond the Nyquist frequency where a band reaches so far.
    beyond = (
        bins[:, 2 * n_times - n_wanted + 1 : n_times].conj().flip(1) if n_wanted > n_used else bins[:, :0]
    )
    bins = torch.cat([bins[:, 1 : n_tapers + 1].conj().flip(1), bins, beyond], dim=1)
    total = pairs.new_zeros(len(x), 2 * n_bins)
    for k in range(1, n_tapers + 1):
        lower, upper = (bins[:, n_tapers + 2 + shift :][:, : 2 * n_bins : 2] for shift in (-k, k))
        turn = cmath.exp(-1j * cmath.pi * k / n_times)
        total += torch.view_as_real(lower - turn * upper).square_().flatten(-2)
    return total


def power_scale(n_times: int, n_tapers: int) -> float:
    """Return what turns `sine_taper_power` into variance: one-sided, over the tapers' power and number.

    ``2 |Y|² / (N · Σw²)`` with ``Σw² = N / 2`` and ``Y`` half of what is squared.
    """
    return 1.0 / (n_tapers * n_times**2)


def check_window(x: torch.Tensor, sfreq: float) -> None:
    """Refuse a rate that is not positive, and a window too short for a spectrum."""
    if not sfreq > 0:
        raise _refused(f"expected a sampling rate above 0 Hz, got {sfreq}")
    if x.shape[-1] < 8:
        raise _refused(f"expected at least 8 samples in a window, got {x.shape[-1]}")


def _refused(what: str, where: str = "EEG features", remedy: str = "", **facts: int) -> InputError:
    return InputError(what, where=where, remedy=remedy, code=ErrorCode.DATA, **facts)


@lru_cache(maxsize=32)
def _removed(
    n_times: int, n_bins: int, mains: float, device: torch.device
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return a basis of line and drifting ``mains`` wave, each (n_times,), and minus its padded spectrum."""
    t = torch.arange(n_times, dtype=torch.float64)
    line = [torch.ones_like(t), t - t.mean()]
    phase = 2 * torch.pi * mains * t
    waves = [wave * part for wave in (phase.cos(), phase.sin()) for part in line] if mains else []
    basis = torch.linalg.qr(torch.stack([*line, *waves], dim=1))[0].T
    pairs = []
    for part in basis:
        spectrum = torch.view_as_real(torch.fft.rfft(part, 2 * n_times)[:n_bins]).flatten()
        pairs.append((part.to(device, torch.float32), -spectrum.to(device, torch.float32)))
    return pairs


def _unit_line(n_times: int) -> torch.Tensor:
    """Return a rising line (n_times,) of zero mean and unit norm, float64."""
    line = torch.arange(n_times, dtype=torch.float64) - (n_times - 1) / 2
    return line / line.square().sum().sqrt()


#: A bin this share of a bin's width below an edge counts as on it: a measured rate of 257.1 Hz puts
#: bin 4 of a window of 257 samples at 4.0016 Hz, one of 256.9 Hz at 3.9984 Hz, and both are 4 Hz.
EDGE_TOLERANCE = 0.1


@torch.no_grad()
def differential_entropy(x: torch.Tensor, sfreq: float, config: FeatureConfig) -> torch.Tensor:
    """Return the differential entropy of each channel in each band, (..., n_ch, n_bands), float32.

    Of EEG (..., n_ch, n_times) in µV, float32 or float64, on any device, usually one second; in nats. A
    channel without power in a band gets ½ ln(2πe · ``variance_floor_uv2``), -3.19 by default; a channel with
    a NaN gets NaN.

    The window is detrended by a line and weighted by ``n_tapers`` sine tapers, so an offset or a steady drift
    adds nothing; a band blurs by ``(n_tapers + 1) / 2`` Hz in a second. Bins that cannot be used (mains,
    above Nyquist) are replaced by the mean of the band's other bins: the band is scaled by bins total / kept.
    Raises `InputError` if a band holds no bin, because the rate is too low or the window too short.
    """
    check_window(x, sfreq)
    n_times = x.shape[-1]
    plan = _plan(sfreq, n_times, config, x.device)
    blocks = x.reshape(-1, n_times).split(BLOCK_ROWS)
    entropy = torch.cat([_entropy(block, plan, config) for block in blocks])
    return entropy.reshape(*x.shape[:-1], len(config.bands))


def band_masks(sfreq: float, n_times: int, config: FeatureConfig) -> torch.Tensor:
    """Return which bins each band sums, (n_bands, n_bins), bool.

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


Plan = tuple[int, list[list[tuple[int, int]]], torch.Tensor, float]


@lru_cache(maxsize=32)
def _plan(sfreq: float, n_times: int, config: FeatureConfig, device: torch.device) -> Plan:
    """Return the number of bins, each band's runs of columns and scale, and the mains in cycles a sample."""
    masks = band_masks(sfreq, n_times, config)
    width = sfreq / n_times
    # Counted on an axis without end, so that a band cut by Nyquist is scaled as one cut by the mains is.
    endless = torch.arange(1, math.ceil(max(hi for _, _, hi in config.bands) / width) + 2) * width
    totals = _nominal_masks(endless.double(), width, config).sum(1)
    kept = masks.sum(1)
    for (name, lo, hi), n_kept in zip(config.bands, kept.tolist(), strict=True):
        if n_kept == 0:
            what = (
                f"no usable frequency bin in {name} ({lo:g}-{hi:g} Hz) at {sfreq:g} Hz and {n_times} samples"
            )
            remedy = f"the rate must be above {2 * lo:g} Hz, and the band wider than a bin and the mains"
            raise _refused(what, remedy=remedy)
    scale = power_scale(n_times, config.n_tapers) * totals.double() / kept.double()
    n_bins = int(masks.any(0).nonzero().max()) + 1
    mains = 0.0 if config.line_hz is None else config.line_hz / sfreq
    return n_bins, [_runs(mask) for mask in masks], scale.to(device, torch.float32), mains


def _runs(mask: torch.Tensor) -> list[tuple[int, int]]:
    """Return the (start, stop) of consecutive True, in columns of re, im pairs."""
    edges = torch.diff(mask.int(), prepend=torch.zeros(1), append=torch.zeros(1)).nonzero().flatten().tolist()
    return [(2 * start, 2 * stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _entropy(rows: torch.Tensor, plan: Plan, config: FeatureConfig) -> torch.Tensor:
    """Return the entropy of (n_rows, n_times) as (n_rows, n_bands)."""
    n_bins, runs_of_band, scale, mains = plan
    power = sine_taper_power(rows, n_bins, config.n_tapers, mains)
    # A matrix product would be faster for many rows, but its last bits depend on how many there are.
    sums = [sum(power[:, start:stop].sum(-1) for start, stop in runs) for runs in runs_of_band]
    variance = torch.stack(sums, -1).mul_(scale).clamp_min_(config.variance_floor_uv2)  # type: ignore[arg-type]
    return variance.log_().mul_(0.5).add_(0.5 * math.log(2 * math.pi * math.e))


# --- the spectrogram that the screen shows; the network does not see it ---


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Power over time and frequency."""

    psd: torch.Tensor  # (..., n_freqs, n_frames), float32, one-sided power spectral density in µV²/Hz
    freqs: torch.Tensor  # (n_freqs,), float64, Hz
    times: torch.Tensor  # (n_frames,), float64, where each frame *ends*, in seconds from the first sample


@torch.no_grad()
def eeg_spectrogram(x: torch.Tensor, sfreq: float, config: FeatureConfig) -> Spectrogram:
    """Return the power spectral density of frames (1 s) that slide over EEG (..., n_times) in µV.

    Each frame is detrended by a line and weighted by the sine tapers of the entropy. The last frame ends with
    the last sample; samples at the start that fill no whole step are left out. Raises `InputError` if the
    signal is shorter than a frame.
    """
    check_window(x, sfreq)
    n_frame = round(config.spectrogram_window_s * sfreq)
    n_step = max(1, round(config.spectrogram_step_s * sfreq))
    n_times = x.shape[-1]
    if n_times < n_frame:
        raise _refused(f"expected at least {n_frame} samples, got {n_times}", "spectrogram")
    first = (n_times - n_frame) % n_step
    frames = x[..., first:].unfold(-1, n_frame, n_step)  # (..., n_frames, n_frame)
    width = sfreq / n_frame
    slack = EDGE_TOLERANCE * width
    freqs = torch.tensor(bin_frequencies(sfreq, n_frame), dtype=torch.float64)
    shown = (freqs >= config.spectrogram_fmin_hz - slack) & (freqs <= config.spectrogram_fmax_hz + slack)
    n_bins = int(shown.nonzero().max()) + 1
    power = sine_taper_power(frames.reshape(-1, n_frame), n_bins, config.n_tapers)
    density = power.unflatten(-1, (n_bins, 2)).sum(-1)[:, shown[:n_bins].to(x.device)]
    density = density * (power_scale(n_frame, config.n_tapers) / width)
    psd = density.reshape(*frames.shape[:-1], -1).transpose(-1, -2)
    ends = (torch.arange(frames.shape[-2], dtype=torch.float64) * n_step + first + n_frame) / sfreq
    return Spectrogram(psd, freqs[shown], ends)


# --- samples for EEGformer: five seconds at 100 Hz, 0.5-45 Hz, filtered inside the window ---

PAD_S = 1.0  # mirrored on each side, so that the ends do not meet at a jump
EDGE_HZ = 1.5  # half the width of the raised-cosine edge at the top; narrower rings for longer


@torch.no_grad()
def raw_eeg(x: torch.Tensor, sfreq: float, config: FeatureConfig) -> torch.Tensor:
    """Return a window band-passed and resampled: 5 s at 100 Hz, (..., n_ch, raw_s · raw_sfreq), float32, µV.

    Of EEG (..., n_ch, n_times) in µV. Filter and rate change are one step in the frequency domain on this
    window alone: zero phase, no state, nothing past the window's end. A line is removed first and the ends
    are mirrored for 1 s; what is slower than 0.5 Hz cannot be told from the trend in 5 s anyway. Within the
    first and last 0.5 s waves are off by up to a tenth, and the end samples themselves by more: nothing is
    known beyond them. Raises `InputError` if the rate is below twice the band's upper edge (90 Hz), or the
    window is not ``raw_s`` long to within 2 %.
    """
    least_hz = 2 * config.raw_fmax_hz
    if sfreq < least_hz:
        what = f"expected EEG at {least_hz:g} Hz or more, got {sfreq:g} Hz"
        raise _refused(what, "raw EEG", least_hz=round(least_hz))
    n_times = x.shape[-1]
    if abs(n_times / sfreq / config.raw_s - 1) > 0.02:
        what = f"expected {config.raw_s:g} s of EEG, got {n_times} samples = {n_times / sfreq:.2f} s"
        raise _refused(what, "raw EEG", n_times=n_times)
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
    line = _unit_line(x.shape[-1]).to(x.device, torch.float32)
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
