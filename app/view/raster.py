"""Ring images that scroll: only the columns that are new are computed, the rest stays where it is.

A window of ``span`` seconds is ``width`` columns wide. Column ``j`` covers ``[j, j + 1) * column_s`` seconds
of the data's own clock and lies at ``x = j mod width``, so scrolling moves no pixel; painting is two blits
(`ColumnRing.pieces`). A column depends on its own data alone, never on when it was drawn: drawing piece by
piece and drawing all at once give the same pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Reads bins: ``(first_bin, end_bin) -> (low, high)``, each (n, C), NaN where missing.
ReadBins = Callable[[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]]

#: Traces are cut off this many rows from their own, so that one loose electrode does not cover the rest.
CLIP_ROWS = 4.0
#: At most this many categories of channels: each has 7 bits of a 32-bit sum, and at most
#: ``2 * CLIP_ROWS + 1`` channels meet at a pixel.
MAX_CATEGORIES = 4
_FIELD_BITS = 7


class ColumnRing:
    """An image of ``width`` columns of which the newest overwrites the oldest.

    Parameters
    ----------
    width, height : int
        Device pixels.
    background : int
        0xffRRGGBB of what is empty.

    Attributes
    ----------
    image : ndarray, (height, width), uint32
        0xffRRGGBB.
    """

    def __init__(self, width: int, height: int, background: int) -> None:
        self.width, self.height = max(1, width), max(1, height)
        self.background = background
        self.image = np.full((self.height, self.width), background, dtype=np.uint32)
        self.end = 0
        self._newest = math.nan
        self._settled = 0
        self._revision: object = None
        self._empty = True

    def advance(self, end: int, newest: float, settled: int, revision: object) -> tuple[int, int]:
        """Return the columns ``[first, end)`` to draw so that ``[end - width, end)`` is shown.

        Parameters
        ----------
        end : int
            One past the newest column to show.
        newest : float
            Time or number of the newest datum, NaN without one; while it stays, so does what is drawn.
        settled : int
            First column that news may still change: the one of the newest datum.
        revision : object
            Changes when everything is void, after a seek or another channel set.
        """
        begin = end - self.width
        if self._empty or revision != self._revision or not self.end <= end < self.end + self.width:
            first = begin
        elif newest != self._newest:
            first = max(min(self._settled, self.end), begin)
        else:
            first = self.end
        self.end, self._newest, self._settled = end, newest, settled
        self._revision, self._empty = revision, False
        return first, end

    def put(self, first: int, columns: NDArray[np.uint32]) -> None:
        """Write ``columns`` (height, n) from column ``first`` on; n is at most the width."""
        x, n = first % self.width, columns.shape[1]
        to_edge = min(n, self.width - x)
        self.image[:, x : x + to_edge] = columns[:, :to_edge]
        self.image[:, : n - to_edge] = columns[:, to_edge:]

    def pieces(self) -> list[tuple[int, int, int]]:
        """Return what to paint as (x in the image, x on the screen, width), oldest first."""
        x = self.end % self.width
        pieces = [(x, 0, self.width - x)]
        return [*pieces, (0, self.width - x, x)] if x else pieces


class TraceRaster:
    """Signals one below the other, each column a stroke from its lowest to its highest value.

    Parameters
    ----------
    width, height : int
        Device pixels.
    bins_per_column : float
        Bins of the signal in one column; below 1 a bin is several columns wide.
    units_per_row : float
        What the distance of two neighbouring channels stands for, in the signal's unit.
    categories : sequence of int, (C,)
        Each channel's kind; where channels overlap the highest is seen.
    colours : sequence of int, (n_categories,)
        0xffRRGGBB of each kind.
    background : int
        0xffRRGGBB.
    thickness : int
        Least height of a stroke in pixels.
    rows : (float, float), optional
        What the picture shows, from its upper to its lower edge: row ``i`` spans ``i`` to ``i + 1``. All
        channels by default.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        bins_per_column: float,
        units_per_row: float,
        categories: Sequence[int],
        colours: Sequence[int],
        background: int,
        thickness: int = 1,
        rows: tuple[float, float] | None = None,
    ) -> None:
        if not 0 < len(colours) <= MAX_CATEGORIES:
            raise ValueError(f"expected 1 to {MAX_CATEGORIES} colours, got {len(colours)}")
        self.ring = ColumnRing(width, height, background)
        self.bins_per_column = bins_per_column
        self.n_channels = len(categories)
        self._thickness = thickness
        self._palette = np.array([background, *colours], dtype=np.uint32)
        self._weights = (1 << (_FIELD_BITS * np.asarray(categories, dtype=np.int64))).astype(np.int32)
        top, bottom = rows or (0.0, float(max(1, self.n_channels)))
        self._row = self.ring.height / (bottom - top)
        self._centres = (np.arange(self.n_channels) + 0.5 - top) * self._row  # (C,) pixels from the top
        self._scale = self._row / units_per_row  # pixels per unit

    def update(self, end: int, newest_bin: int | None, revision: object, read: ReadBins) -> int:
        """Show the columns up to ``end``, drawing those that are new; return how many were drawn."""
        newest = math.nan if newest_bin is None else float(newest_bin)
        first, end = self.ring.advance(end, newest, _settled(newest / self.bins_per_column, end), revision)
        if first < end:
            self.ring.put(first, self.draw(first, end, read))
        return end - first

    def draw(self, first: int, end: int, read: ReadBins) -> NDArray[np.uint32]:
        """Return the pixels (height, end - first) of the columns ``[first, end)``."""
        low, high = self._ranges(first - 1, end, read)  # (n + 1, C): the one before, to join strokes
        joined_low = np.where(np.isnan(low[1:]), np.nan, np.fmin(low[1:], high[:-1]))
        joined_high = np.where(np.isnan(high[1:]), np.nan, np.fmax(high[1:], low[:-1]))
        return self._fill(joined_low, joined_high)

    def _ranges(self, first: int, end: int, read: ReadBins) -> tuple[NDArray, NDArray]:
        """Return lowest and highest value (n, C) of the bins that touch each column."""
        columns = np.arange(first, end)
        starts = np.floor(columns * self.bins_per_column).astype(np.int64)
        ends = np.ceil((columns + 1) * self.bins_per_column).astype(np.int64)
        low, high = read(int(starts[0]), int(ends[-1]) + 1)  # one more: reduceat takes no index past the end
        pairs = np.stack([starts, ends], axis=1).ravel() - starts[0]
        return np.fmin.reduceat(low, pairs, axis=0)[::2], np.fmax.reduceat(high, pairs, axis=0)[::2]

    def _fill(self, low: NDArray, high: NDArray) -> NDArray[np.uint32]:
        """Return pixels (height, n) of strokes from ``low`` to ``high`` (n, C)."""
        n, height = len(low), self.ring.height
        cut = CLIP_ROWS * self._row
        top = self._centres - np.clip(high * self._scale, -cut, cut)
        bottom = self._centres - np.clip(low * self._scale, -cut, cut)
        is_shown = (self._centres >= 0) & (self._centres <= height)  # cut off at the edge; others may leave
        there = ((bottom >= 0) & (top <= height)) | (np.isfinite(top) & np.isfinite(bottom) & is_shown)
        weights = np.where(there, self._weights, np.int32(0))
        first = np.clip(np.where(there, top, 0), 0, height - 1).astype(np.int64)
        last = np.clip(np.where(there, bottom, 0), 0, height - 1).astype(np.int64)
        last = np.minimum(np.maximum(last, first + self._thickness - 1), height - 1)
        # Each stroke adds its weight where it begins and takes it away below its end; the sum down a
        # column then tells which kinds of channel cover a pixel.
        steps = np.zeros((height + 1, n), dtype=np.int32)
        x = np.arange(n)[:, None]
        np.add.at(steps.ravel(), (first * n + x).ravel(), weights.ravel())
        np.add.at(steps.ravel(), ((last + 1) * n + x).ravel(), -weights.ravel())
        covered = np.cumsum(steps[:-1], axis=0, dtype=np.int32)
        kinds = (covered > 0).astype(np.uint8)
        for kind in range(1, len(self._palette) - 1):
            kinds += covered >= 1 << (_FIELD_BITS * kind)
        return self._palette[kinds]


class HeatRaster:
    """Rows of values (frequency bands, say) as colours, over time; the first row lies at the bottom.

    Parameters
    ----------
    width, height : int
        Device pixels.
    column_s : float
        Seconds a column covers.
    hold_s : float
        A value is shown until the next one comes, at most so long; then the picture is empty.
    low, high : float
        Values of the first and last colour.
    palette : ndarray, (n, 3), uint8
        Colours.
    background : int
        0xffRRGGBB of what is empty.
    rows : (float, float), optional
        What the picture shows, from its lower to its upper edge: row ``i`` spans ``i`` to ``i + 1``. All by
        default.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        column_s: float,
        hold_s: float,
        low: float,
        high: float,
        palette: NDArray[np.uint8],
        background: int,
        rows: tuple[float, float] | None = None,
    ) -> None:
        self.ring = ColumnRing(width, height, background)
        self.column_s, self.hold_s = column_s, hold_s
        self.low, self.high, self._rows = low, high, rows
        red, green, blue = palette.astype(np.uint32).T
        colours = np.uint32(0xFF000000) | red << np.uint32(16) | green << np.uint32(8) | blue
        self._palette = np.append(colours, np.uint32(background))

    def update(
        self,
        end: int,
        newest: float,
        revision: object,
        read: Callable[[float, float], tuple[NDArray[np.float64], NDArray]],
    ) -> int:
        """Show the columns up to ``end``; ``newest`` is the time of the newest datum, NaN without one.

        ``read(t0, t1)`` gives the times (n,) in ``[t0, t1)``, ascending, and the values (n, F).
        """
        first, end = self.ring.advance(end, newest, _settled(newest / self.column_s, end), revision)
        if first < end:
            times, values = read(first * self.column_s - self.hold_s - self.column_s, end * self.column_s)
            self.ring.put(first, self.draw(first, end, times, values))
        return end - first

    def draw(self, first: int, end: int, times: NDArray, values: NDArray) -> NDArray[np.uint32]:
        """Return the pixels (height, end - first) of the columns ``[first, end)``.

        A column shows the highest of its values, or the last one before it.
        """
        height, n = self.ring.height, end - first
        if not len(times):
            return np.full((height, n), self._palette[-1], dtype=np.uint32)
        edges = np.arange(first, end + 1) * self.column_s
        ends = np.searchsorted(times, edges[1:], side="left")
        starts = np.minimum(np.searchsorted(times, edges[:-1], side="left"), np.maximum(ends - 1, 0))
        there = (ends > 0) & (edges[:-1] - times[np.maximum(ends - 1, 0)] <= self.hold_s)
        pairs = np.stack([starts, np.maximum(ends, starts + 1)], axis=1).ravel()
        padded = np.concatenate([values, values[-1:]]).astype(np.float32)
        shown = np.fmax.reduceat(padded, pairs, axis=0)[::2]  # (n, F)
        n_colours = len(self._palette) - 1
        at = (shown - self.low) / max(self.high - self.low, 1e-12) * n_colours
        at = np.where(np.isfinite(at) & there[:, None], np.clip(at, 0, n_colours - 1), n_colours)
        bottom, top = self._rows or (0.0, float(values.shape[1]))
        rows = bottom + (top - bottom) * (np.arange(height)[::-1] + 0.5) / height  # of each pixel's middle
        rows = np.clip(np.floor(rows), 0, values.shape[1] - 1).astype(np.intp)
        return self._palette[at.astype(np.int64).T[rows]]


def _settled(newest_column: float, end: int) -> int:
    """Return the first column that may still change; one earlier than need be, as products round."""
    return math.floor(newest_column) - 1 if math.isfinite(newest_column) else end
