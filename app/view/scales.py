"""Scales of plots that change only when needed, places of texts, and means of signals."""

import functools
import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from acquisition.montage import SEED_CH_NAMES, canonical_name, electrode_directions

_LOOK_EVERY_S = 1.0
_CHANGE_EVERY_S = 3.0
_WORTH_A_CHANGE = 1.8  # factor by which the scale must be wrong; the steps lie 2 to 2.5 apart
_ROW_SHARE = 2.5  # a row stands for so many typical amplitudes: it is cut off at half a row


def round_step(value: float) -> float:
    """Return the nearest of 1, 2, 5 times a power of ten, on a logarithmic scale."""
    exponent = math.floor(math.log10(value))
    steps = [m * 10.0**e for e in (exponent, exponent + 1) for m in (1, 2, 5)]
    return min(steps, key=lambda step: abs(math.log(step / value)))


def next_step(value: float, up: bool) -> float:
    """Return the next of 1, 2, 5 times a power of ten above or below a step."""
    factors = (2, 2.5, 5) if up else (1 / 2, 1 / 2.5, 1 / 5)
    return next(
        step
        for step in (round_step(value * f) for f in factors)
        if not math.isclose(step, value, rel_tol=1e-3)
    )


@functools.cache
def channel_type(name: str) -> str:
    """Return the type of a channel by its name, for channels of a type share a gain: EEG, EOG, other..."""
    if canonical_name(name) in {*SEED_CH_NAMES, *electrode_directions()}:
        return "EEG"
    found = re.search("EOG|EMG|ECG|EKG", name.upper())
    return "ECG" if found and found[0] == "EKG" else found[0] if found else "other"


class Gain:
    """What the distance of two traces stands for, chosen from the data until the user chooses."""

    def __init__(self, units_per_row: float = 50.0) -> None:
        self.units_per_row = units_per_row  # in the signal's unit
        self.is_auto = True
        self._looked = self._changed = -math.inf

    def is_due(self, t: float) -> bool:
        """Return whether `look` would do anything at ``t``: only while automatic, and not too often."""
        return self.is_auto and not abs(t - self._looked) < _LOOK_EVERY_S

    def look(self, low: NDArray[np.float32], high: NDArray[np.float32], t: float) -> None:
        """Fit the gain to what is shown, (n, C) each, NaN where missing.

        The typical amplitude is the median over channels of each one's 90th percentile, so that neither
        a loose electrode nor a blink sets it.
        """
        size = np.maximum(np.abs(low), np.abs(high))
        size = size[np.isfinite(size).any(axis=1)]
        if not len(size):
            return
        self._looked = t
        per_channel = np.sort(size, axis=0)[int(0.9 * (len(size) - 1))]  # NaN sorts last
        finite = per_channel[np.isfinite(per_channel) & (per_channel > 0)]
        if not len(finite):
            return
        # A few rows are high enough to show all of theirs.
        wanted = _ROW_SHARE * (1 + 1 / size.shape[1]) * float(np.median(finite))
        is_first = math.isinf(self._changed)
        off = max(wanted / self.units_per_row, self.units_per_row / wanted)
        if is_first or (off > _WORTH_A_CHANGE and abs(t - self._changed) >= _CHANGE_EVERY_S):
            self.units_per_row = round_step(wanted)
            # The first look may have seen a moment only: the next may correct it at once.
            self._changed = t if not is_first or len(size) > 100 else -math.inf

    def step(self, larger: bool) -> None:
        """Make the traces larger or smaller by one step, manually from now on."""
        self.is_auto = False
        self.units_per_row = next_step(self.units_per_row, up=not larger)

    def auto(self) -> None:
        self.is_auto, self._looked, self._changed = True, -math.inf, -math.inf


class CalmRange:
    """Lowest and highest value of an axis or colour scale, multiples of ``step``.

    It grows as soon as data lie outside, and shrinks when they have left a quarter of it unused, for
    ``hold_s`` of the time that `fit` is told.
    """

    def __init__(self, step: float, least: float, hold_s: float = 0.0) -> None:
        self.step, self.least, self._hold_s = step, least, hold_s
        self.low, self.high = math.nan, math.nan
        self._recent: deque[tuple[float, float, float]] = deque()  # time, lowest and highest wanted

    def fit(
        self, values: NDArray, shares: tuple[float, float] = (0.01, 0.99), t: float = 0.0
    ) -> tuple[float, float]:
        """Take the values at ``shares`` of their order into the range, and return it; NaN without any."""
        finite = np.sort(values[np.isfinite(values)], axis=None)
        if not len(finite):
            return self.low, self.high
        low, high = (float(finite[round(share * (len(finite) - 1))]) for share in shares)
        if high - low < self.least:
            low, high = (low + high - self.least) / 2, (low + high + self.least) / 2
        self._recent.append((t, low, high))
        while abs(t - self._recent[0][0]) > self._hold_s or (not self._hold_s and len(self._recent) > 1):
            self._recent.popleft()  # a replay may go back
        low, high = min(r[1] for r in self._recent), max(r[2] for r in self._recent)
        unused = max(low - self.low, 0) + max(self.high - high, 0)
        slack = 0.1 * (self.high - self.low)
        is_held = self.low - slack <= low and high <= self.high + slack
        if not (is_held and unused <= 0.4 * (self.high - self.low)):  # also when NaN
            self.low = math.floor(low / self.step) * self.step
            self.high = math.ceil(high / self.step) * self.step
        return self.low, self.high


_LEAST_SHARE = 0.4  # of a text's width: less of it says nothing


@dataclass(frozen=True)
class MarkerText:
    """Place of a marker's text."""

    index: int  # of the marker
    row: int
    left: float
    width: float  # less than the text's where it must be cut


def marker_texts(
    places: Sequence[float], widths: Sequence[float], left: float, right: float, n_rows: int
) -> list[MarkerText]:
    """Return where texts stand: right of their lines, which ascend, or near the edge left of them.

    Each text begins or ends at its own line, in the first of ``n_rows`` that is free for all of its width.
    Where none is, the text that ends first is cut there, or the new one left out: beside another line it
    would be read as that one's.
    """
    found: list[MarkerText] = []
    ends = [-math.inf] * n_rows
    for index, (x, wanted) in enumerate(zip(places, widths, strict=True)):
        width = min(wanted, right - left)
        start = x
        if x + width > right:
            before = places[index - 1] if index else -math.inf
            if x - width >= left and before <= x - width:
                start = x - width
            else:
                width = right - x
        if width < _LEAST_SHARE * wanted:
            continue
        row = next((i for i, end in enumerate(ends) if end <= start), None)
        if row is None:
            row = min(range(n_rows), key=lambda i: ends[i])
            at, other = next((i, f) for i, f in reversed([*enumerate(found)]) if f.row == row)
            is_left_of_line = other.left < places[other.index]
            if is_left_of_line or start - other.left < _LEAST_SHARE * widths[other.index]:
                continue
            found[at] = replace(other, width=start - other.left)
        found.append(MarkerText(index, row, start, width))
        ends[row] = start + width
    return found


def means_over(
    times: NDArray[np.float64], values: NDArray[np.float64], step_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times and means (n, 2) over steps of a fixed grid, NaN where a step has no value."""
    if not len(times):
        return np.empty(0), np.empty((0, 2))
    steps = np.floor(times / step_s).astype(np.int64)
    starts = np.flatnonzero(np.diff(steps, prepend=steps[0] - 1))
    known = np.isfinite(values)
    n = np.add.reduceat(known.astype(np.int64), starts, axis=0)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    means = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
    grid = (steps[starts].astype(np.float64) + 0.5) * step_s
    # Steps without samples are a gap where the stream's own spacing would have filled them.
    spacing = max(step_s, float(np.median(np.diff(times))) if len(times) > 1 else step_s)
    holes = np.flatnonzero(np.diff(grid) > 4 * spacing)
    grid = np.insert(grid, holes + 1, grid[holes] + step_s)
    return grid, np.insert(means, holes + 1, np.nan, axis=0)
