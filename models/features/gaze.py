"""The eye features of SEED-IV (31) and SEED-V (33), computed from the past alone.

The data sets give rows 23 to 31 once per clip; here they look at the last 10 s. Order within rows 1-16 and
the definition of rows 32-33 are not published: rows go statistic by statistic, left (x) before right (y).
"""

import csv
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import assets
from acquisition.errors import InputError
from models.features.config import FeatureConfig
from models.features.gaze_events import GazeEvents, Spans, find_events


@dataclass(frozen=True)
class ScreenGeometry:
    """A flat screen in front of the eyes; its lengths must be positive."""

    width_cm: float
    height_cm: float
    distance_cm: float

    def __post_init__(self) -> None:
        if not all(0 < length < math.inf for length in (self.width_cm, self.height_cm, self.distance_cm)):
            raise InputError(
                f"expected lengths above 0 cm, got {self.width_cm} x {self.height_cm} at {self.distance_cm}",
                where="screen geometry",
                remedy="--screen-cm 53x30 --distance-cm 60",
            )

    def degrees(self, gaze: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return gaze (n, 2), 0 to 1 across the screen, as degrees from its centre."""
        size = np.array([self.width_cm, self.height_cm])
        return np.degrees(np.arctan((gaze - 0.5) * (size / self.distance_cm)))


#: Assumed where the screen's size is not known: a 24-inch screen at arm's length.
NOMINAL_SCREEN = ScreenGeometry(53.0, 30.0, 60.0)


def gaze_positions(
    gaze: NDArray[np.floating], screen: ScreenGeometry | None
) -> tuple[NDArray[np.float64], float]:
    """Return gaze (n, 2), 0 to 1 across the screen, in the eye features' unit, and that unit in degrees.

    The unit is the degree, or without a screen its width, 47.7 degrees: the height is taken as 30/53 of the
    width, and thresholds in degrees are read on the nominal screen.
    """
    if screen is not None:
        return screen.degrees(gaze), 1.0
    widths = np.asarray(gaze, dtype=np.float64) * (1.0, NOMINAL_SCREEN.height_cm / NOMINAL_SCREEN.width_cm)
    return widths, 2 * math.degrees(math.atan(NOMINAL_SCREEN.width_cm / 2 / NOMINAL_SCREEN.distance_cm))


# --- slow waves of the pupil: differential entropy in bands below 1 Hz ---

GRID_HZ = 10.0  # samples are averaged into 0.1 s: ten times the highest band, and no alias of noise


def pupil_entropy(
    times: NDArray[np.float64], pupils: NDArray[np.floating], t_end: float, config: FeatureConfig
) -> NDArray[np.float64]:
    """Return the entropy of each pupil in each of ``pupil_bands``, (n_eyes, n_bands), float64.

    Of diameters (n, n_eyes) at times (n,) in seconds, NaN where not known, those ``eye_context_s`` (10 s)
    before ``t_end`` count. The entropy is ½ ln(2πe σ²) nats, σ² in squared units of ``pupils``; NaN if less
    than ``pupil_min_coverage`` of the context is known, holes of up to ``pupil_max_hole_s`` counted as known.

    Hann window, bins 0.1 Hz apart, without the bin at 0 Hz: the band 0-0.2 Hz is the bin at 0.1 Hz. Only
    the mean is removed, no line: the slow drift is what the lowest band is about.
    """
    grid, known = _on_grid(times, pupils, t_end, config)
    n_grid = grid.shape[1]
    window = np.hanning(n_grid + 1)[:-1]  # periodic
    centred = grid - (grid @ window / window.sum())[:, None]  # so that the windowed mean is 0 exactly
    power = np.abs(np.fft.rfft(centred * window)) ** 2 * (2 / (n_grid * np.sum(window**2)))
    hz = np.fft.rfftfreq(n_grid, 1 / GRID_HZ)
    top = max(hi for _, _, hi in config.pupil_bands)
    slack = 0.1 * hz[1]
    entropy = np.empty((len(grid), len(config.pupil_bands)))
    for i, (_, lo, hi) in enumerate(config.pupil_bands):
        inside = (hz > 0) & (hz >= lo - slack) & ((hz <= hi + slack) if hi == top else (hz < hi - slack))
        variance = np.maximum(power[:, inside].sum(1), config.pupil_variance_floor)
        entropy[:, i] = 0.5 * np.log(2 * math.pi * math.e * variance)
    entropy[known < config.pupil_min_coverage] = np.nan
    return entropy


def _on_grid(
    times: NDArray[np.float64], pupils: NDArray[np.floating], t_end: float, config: FeatureConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means over 0.1 s, (n_eyes, n_grid), without holes, and the share of each row that is known."""
    n_grid = round(config.eye_context_s * GRID_HZ)
    # Counted back from t_end: the newest cell is complete.
    cells = n_grid - 1 - np.floor((t_end - times) * GRID_HZ + 1e-6).astype(np.intp)
    grid = np.zeros((pupils.shape[1], n_grid))
    known = np.zeros(pupils.shape[1])
    everywhere = np.arange(n_grid)
    for eye in range(pupils.shape[1]):
        good = np.isfinite(pupils[:, eye]) & (cells >= 0) & (cells < n_grid)
        counts = np.bincount(cells[good], minlength=n_grid)
        filled = np.flatnonzero(counts)
        if len(filled) == 0:
            continue
        means = np.bincount(cells[good], weights=pupils[good, eye], minlength=n_grid)[filled] / counts[filled]
        grid[eye] = np.interp(everywhere, filled, means)
        holes = np.diff(filled) - 1
        bridged = holes[holes <= config.pupil_max_hole_s * GRID_HZ].sum()
        known[eye] = (len(filled) + bridged) / n_grid
    return grid, known


#: A row for each feature: name, unit, what is measured, ... The unit "pupil" is the tracker's (mm, or
#: arbitrary), "angle" degrees where the screen's geometry is known and screen widths otherwise.
EYE_FEATURES = tuple(csv.DictReader(assets.EYE_FEATURES.read_text("utf-8").splitlines()))

#: Indices of those that look at the last 10 s, further back than the step.
LONG_EYE_FEATURES: tuple[int, ...] = (*range(4, 12), *range(22, 33))

_MIN_SAMPLES = 6  # in a step; fewer are not enough


def eye_features(
    times: NDArray[np.float64],
    gaze: NDArray[np.floating],
    t_end: float,
    config: FeatureConfig,
    screen: ScreenGeometry | None = None,
) -> NDArray[np.float32]:
    """Return the eye features at one moment.

    Parameters
    ----------
    times : ndarray, (n,)
        Seconds, increasing, regular or not.
    gaze : ndarray, (n, 5)
        ``gaze_x, gaze_y`` (0 to 1 across the screen), ``pupil_left, pupil_right``, ``validity`` (0 to 1).
    t_end : float
        The step is the 4 s before it; samples after it are not looked at. Hand over 10 s where there are.
    screen : ScreenGeometry, optional
        Without it angles are in screen widths.

    Returns
    -------
    ndarray, (31 or 33,), float32
        In the order of `EYE_FEATURES`. NaN where there is nothing to measure (the pupil over less
        than 8 of 10 s, the mean duration of no saccade); `Normaliser.apply` puts the training mean there.

    Notes
    -----
    A sample counts if its validity is at least ``min_validity`` and its gaze is finite. A pupil that is not
    positive, or within ``pupil_guard_s`` of a loss, is missing; if one eye is missing throughout, the
    other stands for both. Losses are never filled in, but for the pupil's waves on their grid of 0.1 s.
    """
    inside = (times > t_end - config.eye_context_s + 1e-9) & (times <= t_end + 1e-9)
    times, gaze = times[inside], gaze[inside]
    features = np.full(len(EYE_FEATURES), np.nan)
    step_start = int(np.searchsorted(times, t_end - config.eye_step_s, side="right"))
    if len(times) - step_start >= _MIN_SAMPLES:
        lost, pupils = _losses_and_pupils(times, gaze, config)
        positions, unit_deg = gaze_positions(np.where(lost[:, None], np.nan, gaze[:, :2]), screen)
        threshold = config.saccade_velocity_deg_s / unit_deg
        events = find_events(times, positions, lost, threshold, config)
        features[0:4] = _mean_and_sd(pupils[step_start:])
        features[4:12] = pupil_entropy(times, pupils, t_end, config).T.ravel()
        features[12:22] = _step_features(times, positions, events, step_start, config)
        features[22:33] = _context_features(times, positions, events, t_end, config)
    return features[: config.eye_features].astype(np.float32)


def _losses_and_pupils(
    times: NDArray[np.float64], gaze: NDArray[np.floating], config: FeatureConfig
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return where the eyes are lost (n,), and the pupils (n, 2) with NaN where they cannot be trusted."""
    pupils = np.array(gaze[:, 2:4], dtype=np.float64)
    pupils[~(pupils > 0)] = np.nan
    lost = ~(gaze[:, 4] >= config.min_validity) | ~np.isfinite(gaze[:, :2]).all(1)
    if lost.any():
        lost_times = np.concatenate([[-np.inf], times[lost], [np.inf]])
        after = np.searchsorted(lost_times, times)
        nearest = np.minimum(lost_times[after] - times, times - lost_times[after - 1])
        pupils[(nearest < config.pupil_guard_s) | lost] = np.nan
    missing = np.isnan(pupils).all(0)
    if missing.sum() == 1:
        pupils[:, missing] = pupils[:, ~missing]
    return lost, pupils


def _mean_and_sd(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns' means, then their standard deviations, without NaN; NaN for an empty column."""
    known = np.isfinite(values)
    n = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(0) / n
        sd = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(0) / n)
    return np.concatenate([mean, sd])


def _dispersion(positions: NDArray[np.float64], spans: Spans) -> NDArray[np.float64]:
    """Return the extent of each span in x and y, (n_spans, 2)."""
    extents = [np.ptp(positions[first : last + 1], axis=0) for first, last in spans]
    return np.array(extents).reshape(-1, 2)


def _durations_ms(times: NDArray[np.float64], spans: Spans) -> NDArray[np.float64]:
    return (times[spans[:, 1]] - times[spans[:, 0]]) * 1e3


def _amplitudes(positions: NDArray[np.float64], spans: Spans) -> NDArray[np.float64]:
    moved = positions[spans[:, 1]] - positions[spans[:, 0]]
    return np.hypot(moved[:, 0], moved[:, 1])


def _step_features(
    times: NDArray[np.float64],
    positions: NDArray[np.float64],
    events: GazeEvents,
    step_start: int,
    config: FeatureConfig,
) -> NDArray[np.float64]:
    """Return rows 13 to 22. Of a fixation that began before the step, the part inside it counts."""
    fixations = np.maximum(events.fixations, [step_start, 0])
    fixations = fixations[fixations[:, 1] > fixations[:, 0]]
    fixations = fixations[_durations_ms(times, fixations) >= config.min_fixation_s * 1e3]
    saccades = events.saccades[events.saccades[:, 0] >= step_start]
    fixed = _mean_and_sd(_durations_ms(times, fixations)[:, None])
    moved = _mean_and_sd(
        np.stack([_durations_ms(times, saccades), _amplitudes(positions, saccades)], axis=1)
    )  # duration mean, amplitude mean, duration SD, amplitude SD
    return np.concatenate([_mean_and_sd(_dispersion(positions, fixations)), fixed, moved])


def _context_features(
    times: NDArray[np.float64],
    positions: NDArray[np.float64],
    events: GazeEvents,
    t_end: float,
    config: FeatureConfig,
) -> NDArray[np.float64]:
    """Return rows 23 to 33: rates and extremes over the context."""
    seconds = t_end - times[0]
    fixed_ms = _durations_ms(times, events.fixations)
    spread = _dispersion(positions, events.fixations).sum(1)
    moved = np.stack([_durations_ms(times, events.saccades), _amplitudes(positions, events.saccades)], axis=1)
    duration, amplitude = _mean_and_sd(moved)[:2]
    blink_mean, blink_sd = _mean_and_sd(_durations_ms(times, events.blinks)[:, None])
    return np.array(
        [
            len(events.blinks) / seconds,
            len(events.fixations) / seconds,
            fixed_ms.max(initial=0.0),
            spread.sum() * (config.eye_context_s / seconds),
            spread.max(initial=0.0),
            len(events.saccades) / seconds,
            duration,
            amplitude,
            _mean_latency_ms(times, positions, events.saccades),
            blink_mean,
            blink_sd,
        ]
    )


def _mean_latency_ms(times: NDArray[np.float64], positions: NDArray[np.float64], saccades: Spans) -> float:
    """Return the mean time between saccades with no loss between them; NaN if there is none."""
    if len(saccades) < 2:
        return float("nan")
    n_lost = np.cumsum(np.isnan(positions[:, 0]))
    ends, starts = saccades[:-1, 1], saccades[1:, 0]
    unbroken = n_lost[starts] == n_lost[ends]
    gaps_ms = (times[starts] - times[ends])[unbroken] * 1e3
    return float(gaps_ms.mean()) if len(gaps_ms) else float("nan")
