"""Fundamental frequency of a voice by autocorrelation and a shortest path through its candidates.

After Boersma (1993), "Accurate short-term analysis of the fundamental frequency": the autocorrelation of a
windowed frame divided by the window's own, its peaks as candidates, and the path through candidates and
"unvoiced" that changes least. The costs are that paper's defaults where it names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.features.log_mel import FRAME, HOP

SFREQ = 16000
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
    """Return the pitch of a voice.

    Parameters
    ----------
    wave : Tensor (n_samples,)
        At 16 kHz.
    n_frames : int
        As many as `log_mel` makes of it.
    """
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
    window = torch.hann_window(_WINDOW, periodic=False, dtype=torch.float64)
    shortest, longest = int(SFREQ / _HIGHEST_HZ), int(SFREQ / _LOWEST_HZ)
    r = (_autocorrelation(frames * window) / _autocorrelation(window))[:, : longest + 2].numpy()
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


def _autocorrelation(frames: Tensor) -> Tensor:
    """Return the autocorrelation over lags, 1 at lag 0."""
    spectrum = torch.fft.rfft(frames, _N_FFT)
    r = torch.fft.irfft(spectrum.real.square() + spectrum.imag.square(), _N_FFT)[..., :_WINDOW]
    return r / r[..., :1].clamp_min(1e-12)


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
