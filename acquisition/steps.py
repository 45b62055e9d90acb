"""What one step of a modality may be made of: which samples, how many, and no gap between them.

Every function cuts the step that ends at ``index * hop_s`` from a ring. A step whose samples the caller
has already (``known``) comes without them.
"""

from __future__ import annotations

import math

import numpy as np

from acquisition.ring import Ring
from acquisition.types import Step
from acquisition.windows import WindowConfig

#: A gaze sample counts as seen from this validity on.
MIN_VALIDITY = 0.5

_RATE_TOLERANCE = 0.02  # a measured rate this close to the nominal one is the nominal one
_RATE_GRID = 0.005  # other rates are rounded to half a percent, so that they hold still


def cut_eeg(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Cut the samples of ``eeg_step_s`` before the grid time, (n_channels, n_times)."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    sfreq = _rate(ring, stop, nominal_sfreq)
    n_times = round(sfreq * config.eeg_step_s)
    if n_times == 0 or stop == ring.start_index:
        return Step(index, t_end, False, 0.0, sfreq)
    n_inside = stop - ring.index_at(t_end - config.eeg_step_s)
    coverage = min(1.0, n_inside / n_times)
    start = stop - n_times
    is_valid = bool(coverage >= config.min_coverage and start >= ring.last_break(stop))
    if not is_valid or known:
        return Step(index, t_end, is_valid, coverage, sfreq, known=is_valid and known)
    return Step(index, t_end, True, coverage, sfreq, ring.data(start, stop).T.copy())


def cut_eye(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Cut gaze samples of the step and, for the pupil's DE, up to ``pupil_s`` before its end."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    sfreq = _rate(ring, stop, nominal_sfreq, irregular=True)
    if stop == ring.start_index or sfreq == 0:
        return Step(index, t_end, False, 0.0, sfreq)
    begin = ring.index_at(t_end - config.eye_step_s)
    unbroken = ring.last_break(stop)
    coverage = min(1.0, (stop - max(begin, unbroken)) / (sfreq * config.eye_step_s))
    validity = ring.data(begin, stop)[:, 4]
    is_valid = bool(
        coverage >= config.min_coverage
        and ring.times(unbroken, unbroken + 1)[0] <= t_end - config.eye_step_s + config.max_gap_s
        and (validity >= MIN_VALIDITY).mean() >= config.min_valid_gaze
    )
    if not is_valid or known:
        return Step(index, t_end, is_valid, coverage, sfreq, known=is_valid and known)
    start = max(unbroken, ring.index_at(t_end - config.pupil_s))
    return Step(
        index, t_end, True, coverage, sfreq, ring.data(start, stop).copy(), ring.times(start, stop).copy()
    )


def cut_voice(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Cut whole grid steps of unbroken sound up to ``voice_s`` before the grid time, (n_times,)."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    sfreq = _rate(ring, stop, nominal_sfreq)
    if stop == ring.start_index or sfreq == 0:
        return Step(index, t_end, False, 0.0, sfreq)
    is_newest_there = ring.times(stop - 1, stop)[0] >= t_end - config.max_gap_s
    unbroken_s = (stop - ring.last_break(stop)) / sfreq if is_newest_there else 0.0
    n_grid = min(round(config.voice_s / config.voice_grid_s), int(unbroken_s / config.voice_grid_s + 1e-6))
    clip_s = n_grid * config.voice_grid_s
    coverage = clip_s / config.voice_s
    if clip_s < config.voice_min_s:
        return Step(index, t_end, False, coverage, sfreq)
    if known:
        return Step(index, t_end, True, coverage, sfreq, known=True)
    start = max(ring.last_break(stop), stop - round(clip_s * sfreq))
    clip = ring.data(start, stop)[:, 0].copy()
    if not np.isfinite(clip).all():  # one NaN would spread over the whole clip
        return Step(index, t_end, False, coverage, sfreq)
    return Step(index, t_end, True, coverage, sfreq, clip)


def cut_face(ring: Ring, nominal_sfreq: float, config: WindowConfig, index: int, known: bool) -> Step:
    """Take the newest frame before the grid time, if it is no older than the grid is wide."""
    t_end = index * config.hop_s
    stop = ring.index_at(t_end)
    if stop == ring.start_index or ring.times(stop - 1, stop)[0] < t_end - config.face_grid_s:
        return Step(index, t_end, False, 0.0, 0.0)
    if known:
        return Step(index, t_end, True, 1.0, 0.0, known=True)
    return Step(index, t_end, True, 1.0, 0.0, ring.data(stop - 1, stop)[0], ring.times(stop - 1, stop).copy())


def _rate(ring: Ring, stop: int, nominal: float, *, irregular: bool = False) -> float:
    """Return the sampling rate features may assume, Hz, from up to 10 s before ``stop``.

    The median interval serves irregular streams, which may drop samples; 0 if there is nothing to
    measure and no nominal rate.
    """
    start = max(ring.last_break(stop), ring.start_index)
    if stop - start < 3:
        return nominal
    start = max(start, ring.index_at(ring.times(stop - 1, stop)[0] - 10.0))
    times = ring.times(start, stop)
    span = float(times[-1] - times[0])
    if span < 1.0 and nominal > 0:
        return nominal
    measured = 1.0 / float(np.median(np.diff(times))) if irregular else (len(times) - 1) / span
    if nominal > 0 and abs(measured / nominal - 1) <= _RATE_TOLERANCE:
        return nominal
    return math.exp(round(math.log(measured) / _RATE_GRID) * _RATE_GRID)


#: How each modality's steps are cut: (ring, nominal sfreq, config, index, known) -> Step.
CUTTERS = {"eeg": cut_eeg, "eye": cut_eye, "face": cut_face, "voice": cut_voice}
