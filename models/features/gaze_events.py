"""Fixations, saccades and blinks in a stretch of gaze.

Fixations are those of I-VT (Salvucci & Goldberg 2000), saccades the fast runs between them, blinks losses of
a blink's length. Tests compare fixations and blinks with pymovements'.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.features.config import FeatureConfig

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
    speed = np.linalg.norm(velocity, axis=1)  # NaN is neither slow nor fast
    fixations = _lasting(times, runs(speed < threshold), config.min_fixation_s, np.inf)
    return GazeEvents(fixations, _saccades(times, speed, threshold, config), _blinks(times, lost, config))


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


def _lasting(times: NDArray[np.float64], spans: Spans, shortest_s: float, longest_s: float) -> Spans:
    """Return the spans from first to last sample that last so long, to the microsecond."""
    stamps = np.round((times - times[0]) * 1e6)
    lasts = stamps[spans[:, 1]] - stamps[spans[:, 0]]
    return spans[(lasts >= round(shortest_s * 1e6)) & (lasts <= longest_s * 1e6)]


def _saccades(
    times: NDArray[np.float64], speed: NDArray[np.float64], threshold: float, config: FeatureConfig
) -> Spans:
    fast = runs(speed >= threshold)
    fast = fast[(fast[:, 0] > 0) & (fast[:, 1] < len(times) - 1)]
    beside_loss = np.isnan(speed[fast[:, 0] - 1]) | np.isnan(speed[fast[:, 1] + 1])
    lasts = times[fast[:, 1]] - times[fast[:, 0]]
    fitting = (lasts >= config.min_saccade_s) & (lasts <= config.max_saccade_s)
    return fast[fitting & ~beside_loss]


def _blinks(times: NDArray[np.float64], lost: NDArray[np.bool_], config: FeatureConfig) -> Spans:
    # A single good sample between two lost ones on each side is a false detection.
    lost = lost | np.pad(lost[:-4] & lost[1:-3] & lost[3:-1] & lost[4:], 2)
    spans = _lasting(times, runs(lost), config.min_blink_s, config.max_blink_s)
    return spans[(spans[:, 0] > 0) & (spans[:, 1] < len(times) - 1)]
