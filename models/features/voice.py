"""What is measured of a voice: pitch, contours every 10 ms, and a clip's statistics.

A recording's gain says nothing of a voice, and differs between microphones and corpora: a clip is brought to
one loudness before it is measured.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # loads its packages when they are used
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.log_mel import AUDIOSET_MEAN, AUDIOSET_SD, FRAME, HOP, log_mel

SFREQ = 16000

# -- Fundamental frequency ---------------------------------------------------------------------------------

# After Boersma (1993), "Accurate short-term analysis of the fundamental frequency": the autocorrelation of a
# windowed frame divided by the window's own, its peaks as candidates, and the path through candidates and
# "unvoiced" that changes least. The costs are that paper's defaults where it names them.

_WINDOW = 800  # 50 ms: three periods of the lowest voice
_N_FFT = 2048
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 550.0
_N_CANDIDATES = 6
_VOICING_THRESHOLD = 0.45
_SILENCE_THRESHOLD = 0.03  # of the clip's loudest sample
_OCTAVE_COST = 0.02  # per octave: of two equal peaks the higher frequency wins
_JUMP_COST = 0.35  # per octave from frame to frame
_VOICING_COST = 0.14  # for a change between voiced and unvoiced
_NEVER = -1e3


@dataclass(frozen=True, eq=False)
class Pitch:
    """Pitch of each frame of 10 ms."""

    f0_hz: NDArray[Any]  # (n_frames,) 0 where unvoiced
    strength: NDArray[Any]  # (n_frames,) normalised autocorrelation at the period, 0-1, 0 where unvoiced
    voiced: NDArray[Any]  # (n_frames,) bool


def centred_frames(wave: Tensor, n_samples: int, n_frames: int) -> Tensor:
    """Return (n_frames, n_samples) around the middles of `log_mel`'s frames, without their mean."""
    before = (n_samples - FRAME) // 2
    padded = torch.nn.functional.pad(wave.double(), (before, before + 1))
    frames = padded.unfold(-1, n_samples, HOP)[:n_frames]
    return frames - frames.mean(-1, keepdim=True)


def track_pitch(wave: Tensor, n_frames: int) -> Pitch:
    """Return the pitch of a voice (n_samples,) at 16 kHz, of as many frames as `log_mel` makes of it."""
    frames = centred_frames(wave, _WINDOW, n_frames)
    lags, strengths = _candidates(frames)  # (n_frames, candidates)
    loudest = float(wave.abs().max()) + 1e-9
    level = (frames.abs().amax(-1) / loudest).numpy()
    silence = 2 - level / _SILENCE_THRESHOLD / (1 + _VOICING_THRESHOLD)
    unvoiced = _VOICING_THRESHOLD + np.maximum(0, silence)
    octaves = np.log2(SFREQ / lags)
    local = np.where(strengths > 0, strengths + _OCTAVE_COST * (octaves - np.log2(_LOWEST_HZ)), _NEVER)
    path = _best_path(np.concatenate([local, unvoiced[:, None]], axis=1), octaves)
    voiced = path < _N_CANDIDATES
    rows, chosen = np.arange(len(path)), np.minimum(path, _N_CANDIDATES - 1)
    return Pitch(
        np.where(voiced, SFREQ / lags[rows, chosen], 0.0),
        np.where(voiced, strengths[rows, chosen], 0.0),
        voiced,
    )


def _candidates(frames: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return lags in samples and strengths of the highest peaks; strength 0 where there is none."""
    window = _hann(_WINDOW)
    shortest, longest = int(SFREQ / _HIGHEST_HZ), int(SFREQ / _LOWEST_HZ)
    of_frames, of_window = (_autocorrelation(x, _N_FFT, longest + 2) for x in (frames * window, window))
    r = (of_frames / of_window).numpy()
    before, here, after = r[:, shortest - 1 : longest], r[:, shortest : longest + 1], r[:, shortest + 1 :]
    is_peak = (here > before) & (here >= after) & (here > 0.2)
    lags = np.arange(shortest, longest + 1)
    score = np.where(is_peak, here - _OCTAVE_COST * np.log2(lags), _NEVER)
    best = np.argsort(-score, axis=1, kind="stable")[:, :_N_CANDIDATES]
    rows = np.arange(len(r))[:, None]
    y0, y1, y2 = before[rows, best], here[rows, best], after[rows, best]
    bend = y0 - 2 * y1 + y2  # below 0 at a peak: a parabola through three points
    shift = np.where(is_peak[rows, best], 0.5 * (y0 - y2) / np.where(np.abs(bend) > 1e-9, bend, 1.0), 0.0)
    shift = np.clip(shift, -0.5, 0.5)
    strength = np.clip(y1 - 0.25 * (y0 - y2) * shift, 0.0, 0.999)
    return lags[best] + shift, np.where(is_peak[rows, best], strength, 0.0)


def _autocorrelation(frames: Tensor, n_fft: int, n_lags: int) -> Tensor:
    """Return the autocorrelation over lags, 1 at lag 0."""
    r = torch.fft.irfft(_power(frames, n_fft), n_fft)[..., :n_lags]
    return r / r[..., :1].clamp_min(1e-12)


def _power(frames: Tensor, n_fft: int) -> Tensor:
    spectrum = torch.fft.rfft(frames, n_fft)
    return spectrum.real.square() + spectrum.imag.square()


def _hann(n_samples: int) -> Tensor:
    return torch.hann_window(n_samples, periodic=False, dtype=torch.float64)


def _best_path(local: NDArray[Any], octaves: NDArray[Any]) -> NDArray[Any]:
    """Return the state of each frame (the last state is "unvoiced") on the path of the highest score."""
    n_frames, n_states = local.shape
    cost = np.full((n_states, n_states), _VOICING_COST)
    cost[-1, -1] = 0.0
    score, back = local[0], np.zeros((n_frames, n_states), dtype=np.int64)
    for frame in range(1, n_frames):
        cost[:-1, :-1] = _JUMP_COST * np.abs(octaves[frame - 1][:, None] - octaves[frame][None])
        total = score[:, None] - cost
        back[frame] = total.argmax(axis=0)
        score = total.max(axis=0) + local[frame]
    path = np.empty(n_frames, dtype=np.int64)
    path[-1] = score.argmax()
    for frame in range(n_frames - 1, 0, -1):
        path[frame - 1] = back[frame, path[frame]]
    return path


# -- Contours: those of eGeMAPS (Eyben 2016) in spirit, computed from the program's own frames -------------

N_CEPSTRA = 12
_FRAME_N_FFT = 1024
_FORMANT_ORDER = 18  # poles of the vocal tract at 16 kHz
_TINY = 1e-10
_LOUD_RMS = 0.1


#: Of every frame, and of voiced frames alone (anything elsewhere).
ALWAYS = (
    "level", "flux", "shape_flux", "centroid", "alpha", "hammarberg", "slope_low", "slope_mid", "loudness",
    *(f"cepstrum{k}" for k in range(1, N_CEPSTRA + 1)),
)  # fmt: skip
VOICED_ONLY = ("semitone", "hnr", "formant1", "formant2", "formant3")
N_BANDS = 32  # ln power, of four mel bins each
N_CONTOURS = len(ALWAYS) + len(VOICED_ONLY) + 1 + N_BANDS


@torch.no_grad()
def contours(wave: Tensor) -> Tensor:
    """Measure a clip (n_samples,) at 16 kHz, -1 to 1, at least 25 ms: (n_frames, N_CONTOURS) float32.

    Columns are ALWAYS, VOICED_ONLY, voiced (0 or 1) and N_BANDS bands.
    """
    samples = _at_one_loudness(wave.to("cpu", torch.float32))
    normalised = log_mel(samples)
    n_frames = len(normalised)
    mel_power = (normalised.double() * (2 * AUDIOSET_SD) + AUDIOSET_MEAN).exp().numpy()
    log_bands = np.log(mel_power.reshape(n_frames, N_BANDS, 4).sum(-1))
    pitch = track_pitch(samples, n_frames)
    frames = centred_frames(samples, 640, n_frames) * _hann(640)  # 40 ms
    power = _power(frames, _FRAME_N_FFT).numpy() + _TINY  # (n_frames, 513)
    always = _spectral(power)
    always["loudness"] = (mel_power**0.3).sum(axis=1)  # Zwicker-like compression, as openSMILE's
    for k, cepstrum in enumerate(
        scipy.fft.dct(log_bands, axis=1, norm="ortho").T[1 : N_CEPSTRA + 1], start=1
    ):
        always[f"cepstrum{k}"] = cepstrum
    voiced_only = _harmonic(pitch)
    for k, formant in enumerate(_formants(samples, n_frames).T, start=1):
        voiced_only[f"formant{k}"] = np.nan_to_num(formant)  # 0 where there is none
    columns = [(always | voiced_only)[name] for name in (*ALWAYS, *VOICED_ONLY)]
    table = np.column_stack([*columns, pitch.voiced, log_bands])
    return torch.from_numpy(table.astype(np.float32))


def _at_one_loudness(wave: Tensor) -> Tensor:
    """Return a clip with the same RMS in its loud frames (the 90th percentile of 25 ms)."""
    rms = wave.unfold(-1, FRAME, HOP).square().mean(-1).sqrt()
    return wave * (_LOUD_RMS / rms.quantile(0.9).clamp_min(1e-5))


def _spectral(power: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return level and shape of the spectrum over time."""
    hz = np.arange(power.shape[1]) * SFREQ / _FRAME_N_FFT
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


def _harmonic(pitch: Pitch) -> dict[str, NDArray[Any]]:
    """Return pitch in semitones above 27.5 Hz and the harmonics-to-noise ratio in dB."""
    periodic = np.clip(pitch.strength, 0.01, 0.999)
    return {
        "semitone": 12 * np.log2(np.maximum(pitch.f0_hz, 1.0) / 27.5),
        "hnr": 10 * np.log10(periodic / (1 - periodic)),
    }


def _formants(samples: Tensor, n_frames: int) -> NDArray[Any]:
    """Return three resonances in Hz (n_frames, 3) from a linear predictor's roots, NaN where fewer."""
    frames = centred_frames(samples, 400, n_frames)
    frames = torch.cat([frames[:, :1], frames[:, 1:] - 0.97 * frames[:, :-1]], dim=1)
    r = _autocorrelation(frames * _hann(400), _FRAME_N_FFT, _FORMANT_ORDER + 1)
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


# -- Statistics of a clip's contours: one row of numbers for a sentence of any length ----------------------

_SILENCE_DB = 45.0  # below the clip's loudest frame; cut off at both ends
_ALSO_VOICED = (
    "cepstrum1", "cepstrum2", "cepstrum3", "cepstrum4", "alpha", "hammarberg", "slope_low", "slope_mid",
    "flux", "centroid", "loudness",
)  # fmt: skip
_MODULATION_HZ = ((0.5, 2), (2, 4), (4, 8), (8, 16), (16, 32))
_TRACK_N_FFT = 1024
_FRAMES_PER_S = 100


def functionals(frames: NDArray[Any]) -> dict[str, float]:
    """Return the statistics of contours (n_frames, N_CONTOURS): the same names, in the same order, always.

    Mean, SD, percentiles and movement of each contour; means and SDs of the spectral shape in voiced and
    unvoiced frames apart; rhythm of voiced and unvoiced stretches; the modulation spectrum of 8 bands.
    Silence at both ends is cut off first. Finite for any clip.
    """
    frames = np.asarray(frames, dtype=np.float64)
    loud = np.flatnonzero(frames[:, 0] > frames[:, 0].max() - _SILENCE_DB)
    frames = frames[loud[0] : loud[-1] + 1]
    always = dict(zip(ALWAYS, frames.T, strict=False))
    voice = dict(zip(VOICED_ONLY, frames.T[len(ALWAYS) :], strict=False))
    voiced = frames[:, len(ALWAYS) + len(VOICED_ONLY)] > 0
    found: dict[str, float] = {}
    for name, contour in always.items():
        found |= _statistics(np.convolve(contour, np.ones(3) / 3, "same"), name)
    for name in _ALSO_VOICED:
        contour = always[name]
        found[f"{name}_voiced_mean"], found[f"{name}_voiced_sd"] = _mean_sd(contour[voiced])
        found[f"{name}_unvoiced_mean"], _ = _mean_sd(contour[~voiced])
    for name, contour in voice.items():
        values = contour[voiced]
        found |= _statistics(values[values > 0] if name.startswith("formant") else values, name)
    found |= _trends(voice["semitone"], always["loudness"], voiced)
    found |= _rhythm(always["loudness"], voiced)
    found |= _modulation(frames[:, -N_BANDS:])
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


def _modulation(log_bands: NDArray[Any]) -> dict[str, float]:
    """Return the ln power of 8 bands' envelopes at five rates."""
    found: dict[str, float] = {}
    eighths = log_bands.reshape(len(log_bands), 8, 4).mean(-1)
    envelope = (eighths - eighths.mean(axis=0)) * np.hanning(len(eighths))[:, None]
    power = np.square(np.abs(np.fft.rfft(envelope, _TRACK_N_FFT, axis=0))) / len(eighths)
    hz = np.fft.rfftfreq(_TRACK_N_FFT, 1 / _FRAMES_PER_S)
    for low, high in _MODULATION_HZ:
        mean = power[(hz >= low) & (hz < high)].mean(axis=0)
        for band in range(8):
            found[f"modulation{low:g}_{band}"] = float(np.log(mean[band] + 1e-6))
    return found
