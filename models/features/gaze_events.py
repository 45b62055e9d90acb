"""Fixations, saccades and blinks in a stretch of gaze.

Fixations are pymovements' I-VT (Salvucci & Goldberg 2000), blinks its pupil-loss detector; saccades are the
fast runs between them. pymovements takes whole-number time steps, here microseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.features.config import FeatureConfig

if TYPE_CHECKING:
    from pymovements.events import Events

Spans = NDArray[np.intp]  # (n_events, 2): first and last sample of each event

_NO_SPANS: Spans = np.empty((0, 2), dtype=np.intp)


@dataclass(frozen=True, eq=False)
class GazeEvents:
    """Events by their first and last sample, (n_events, 2) each, in order of time."""

    fixations: Spans
    saccades: Spans
    blinks: Spans


def find_events(
    times: NDArray[np.float64],
    positions: NDArray[np.float64],
    lost: NDArray[np.bool_],
    threshold: float,
    config: FeatureConfig,
) -> GazeEvents:
    """Return the events of gaze at increasing ``times`` (n,) s: positions (n, 2), NaN unknown, ``lost`` (n,).

    The ``threshold`` parts fixations from saccades, in units of ``positions`` per second. A saccade or blink
    that touches the first or last sample is left out, as its length is unknown; so is a saccade next to a
    loss, which is the lid's movement, not the eye's.
    """
    if len(times) < 6:
        return GazeEvents(_NO_SPANS, _NO_SPANS, _NO_SPANS)
    velocity = gaze_velocity(times, positions, config)
    return GazeEvents(
        _fixations(times, velocity, threshold, config),
        _saccades(times, velocity, threshold, config),
        _blinks(times, lost, config),
    )


def gaze_velocity(
    times: NDArray[np.float64], positions: NDArray[np.float64], config: FeatureConfig
) -> NDArray[np.float64]:
    """Return the velocity (n, 2) over ``velocity_window_s`` around each sample; NaN across holes."""
    n = len(times)
    here = np.arange(n)
    half = config.velocity_window_s / 2 - 1e-6
    # Equal timestamps could make a neighbour the sample itself: one step further at least.
    before = np.clip(np.searchsorted(times, times - half, side="right") - 1, 0, np.maximum(here - 1, 0))
    after = np.clip(np.searchsorted(times, times + half), np.minimum(here + 1, n - 1), n - 1)
    elapsed = times[after] - times[before]
    elapsed[(elapsed <= 0) | (elapsed > config.velocity_window_s + config.max_gaze_gap_s)] = np.nan
    velocity = (positions[after] - positions[before]) / elapsed[:, None]
    velocity[np.isnan(positions).any(1)] = np.nan
    return velocity


def runs(mask: NDArray[np.bool_]) -> Spans:
    """Return first and last index of each run of True, (n_runs, 2)."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return edges.reshape(-1, 2) - (0, 1)


_MAX_GAP_S = 0.25  # a longer hole between two samples is the stream's, not the lid's


def find_blinks(times: NDArray[np.float64], seen: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return onset and end of each blink, seconds, by times (n,) and whether the eyes were seen (n,).

    A loss lasts from its first lost sample to the first seen one after it. One that touches either end of
    the stretch, or a hole in the samples, has no known length and is left out.
    """
    edges = np.diff(~seen, prepend=False, append=False)
    onsets, ends = np.flatnonzero(edges).reshape(-1, 2).T
    blinks = []
    for onset, end in zip(onsets, ends, strict=True):
        if onset == 0 or end == len(times):
            continue
        lasts = times[end] - times[onset]
        has_hole = np.diff(times[onset - 1 : end + 1]).max() > _MAX_GAP_S
        if FeatureConfig.min_blink_s <= lasts <= FeatureConfig.max_blink_s and not has_hole:
            blinks.append((float(times[onset]), float(times[end])))
    return blinks


def _microseconds(times: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.round((times - times[0]) * 1e6).astype(np.int64)


def _spans(events: Events, stamps: NDArray[np.int64]) -> Spans:
    """Return pymovements' onsets and offsets as sample indices."""
    first = np.searchsorted(stamps, events.frame["onset"].to_numpy())
    last = np.searchsorted(stamps, events.frame["offset"].to_numpy(), side="right") - 1
    return np.stack([first, last], axis=1).astype(np.intp)


def _fixations(
    times: NDArray[np.float64], velocity: NDArray[np.float64], threshold: float, config: FeatureConfig
) -> Spans:
    from pymovements.events import ivt

    stamps = _microseconds(times)
    found = ivt(
        velocities=velocity,
        timesteps=stamps,
        minimum_duration=round(config.min_fixation_s * 1e6),
        velocity_threshold=threshold,
    )
    return _spans(found, stamps)


def _saccades(
    times: NDArray[np.float64], velocity: NDArray[np.float64], threshold: float, config: FeatureConfig
) -> Spans:
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    fast = runs(speed >= threshold)  # False for NaN
    fast = fast[(fast[:, 0] > 0) & (fast[:, 1] < len(times) - 1)]
    beside_loss = np.isnan(speed[fast[:, 0] - 1]) | np.isnan(speed[fast[:, 1] + 1])
    lasts = times[fast[:, 1]] - times[fast[:, 0]]
    fitting = (lasts >= config.min_saccade_s) & (lasts <= config.max_saccade_s)
    return fast[fitting & ~beside_loss]


def _blinks(times: NDArray[np.float64], lost: NDArray[np.bool_], config: FeatureConfig) -> Spans:
    if not lost.any():
        return _NO_SPANS
    from pymovements.events import blink

    stamps = _microseconds(times)
    found = blink(
        np.where(lost, np.nan, 1.0),
        timesteps=stamps,
        delta=math.inf,  # only losses: a threshold on change, estimated from the stretch, fires on noise
        minimum_duration=round(config.min_blink_s * 1e6),
        maximum_duration=round(config.max_blink_s * 1e6),
        minimum_gap=1,  # samples: a single good one amid a loss is a false detection
    )
    spans = _spans(found, stamps)
    return spans[(spans[:, 0] > 0) & (spans[:, 1] < len(times) - 1)]
