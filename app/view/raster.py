"""Ring images that scroll: only the columns that are new are computed, the rest stays where it is.

A window of ``span`` seconds is ``width`` columns wide. Column ``j`` covers ``[j, j + 1) * column_s`` seconds
of the data's own clock and lies at ``x = j mod width``, so scrolling moves no pixel; painting is two blits
(`ColumnRing.pieces`). A column depends on its own data alone, never on when it was drawn: drawing piece by
piece and drawing all at once give the same pixels.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Reads a history: bins ``(first_bin, end_bin) -> (low, high)``, each (n, C), NaN where missing; or samples
#: ``(t0, t1) -> (times, values)``, times (n,) ascending, values (n, F).
Read = Callable[[Any, Any], tuple[NDArray, NDArray]]


class ColumnRing:
    """An image of ``width`` columns (device pixels) of which the newest overwrites the oldest."""

    def __init__(self, width: int, height: int, background: int) -> None:
        self.width, self.height = max(1, width), max(1, height)
        self.image = np.full((self.height, self.width), background, dtype=np.uint32)  # 0xffRRGGBB
        self.end = 0
        self._newest = math.nan
        self._settled: int | None = None  # None while empty
        self._revision: object = None

    def advance(self, end: int, newest: float, settled: int, revision: object) -> tuple[int, int]:
        """Return the columns ``[first, end)`` to draw so that ``[end - width, end)`` is shown.

        While ``newest`` stays, so does what is drawn; news may change the columns from ``settled`` on.
        Another ``revision`` voids everything, as a seek or another channel set does.
        """
        begin, is_near = end - self.width, self.end <= end < self.end + self.width
        if self._settled is None or revision != self._revision or not is_near:
            first = begin
        elif newest != self._newest:
            first = max(min(self._settled, self.end), begin)
        else:
            first = self.end
        self.end, self._newest, self._settled, self._revision = end, newest, settled, revision
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


class Raster:
    """A picture of a history; `update` draws the columns that are new.

    A column spans ``column`` of the history's own units: bins, or seconds.
    """

    ring: ColumnRing
    column: float

    def update(self, end: int, newest: float, revision: object, read: Read) -> int:
        """Show the columns up to ``end``, drawing those that are new; return how many were drawn.

        ``newest`` is the bin or time of the newest datum, NaN without one.
        """
        # The first column that may still change; one earlier than need be, as products round.
        settled = math.floor(newest / self.column) - 1 if math.isfinite(newest) else end
        first, end = self.ring.advance(end, newest, settled, revision)
        if first < end:
            self.ring.put(first, self.draw(first, end, read))
        return end - first

    def draw(self, first: int, end: int, read: Read) -> NDArray[np.uint32]:
        """Return the pixels (height, end - first) of the columns ``[first, end)``."""
        raise NotImplementedError


class TraceRaster(Raster):
    """Signals one below the other, each column a stroke from its lowest to its highest value.

    Strokes are cut off at the edges of their own row: a loose electrode, or a stream of them, covers no
    neighbour.
    """

    def __init__(
        self,
        width: int,  # device pixels
        height: int,
        *,
        bins_per_column: float,  # below 1 a bin is several columns wide
        units_per_row: float | Sequence[float],  # of the signal, from a channel to the next; or of each (C,)
        categories: Sequence[int],  # (C,) each channel's kind
        colours: Sequence[int],  # 0xffRRGGBB of each kind
        background: int,
        rows: tuple[float, float],  # upper and lower edge, where row i spans i to i + 1
        thickness: int = 1,  # least height of a stroke in pixels
    ) -> None:
        self.ring, self.column = ColumnRing(width, height, background), bins_per_column
        self._thickness = thickness
        self._palette = np.array([background, *colours], dtype=np.uint32)
        self._kinds = np.asarray(categories, dtype=np.int32) + 1
        top, bottom = rows
        self._row = self.ring.height / (bottom - top)
        self._centres = (np.arange(len(categories)) + 0.5 - top) * self._row  # (C,) pixels from the top
        self._scale = self._row / np.asarray(units_per_row)  # pixels per unit

    def draw(self, first: int, end: int, read: Read) -> NDArray[np.uint32]:
        low, high = self._ranges(first - 1, end, read)  # (n + 1, C): the one before, to join strokes
        joined_low = np.where(np.isnan(low[1:]), np.nan, np.fmin(low[1:], high[:-1]))
        joined_high = np.where(np.isnan(high[1:]), np.nan, np.fmax(high[1:], low[:-1]))
        return self._fill(joined_low, joined_high)

    def _ranges(self, first: int, end: int, read: Read) -> tuple[NDArray, NDArray]:
        """Return lowest and highest value (n, C) of the bins that touch each column."""
        columns = np.arange(first, end)
        starts = np.floor(columns * self.column).astype(np.int64)
        ends = np.ceil((columns + 1) * self.column).astype(np.int64)
        low, high = read(int(starts[0]), int(ends[-1]) + 1)  # one more: reduceat takes no index past the end
        pairs = np.stack([starts, ends], axis=1).ravel() - starts[0]
        return np.fmin.reduceat(low, pairs, axis=0)[::2], np.fmax.reduceat(high, pairs, axis=0)[::2]

    def _fill(self, low: NDArray, high: NDArray) -> NDArray[np.uint32]:
        """Return pixels (height, n) of strokes from ``low`` to ``high`` (n, C)."""
        n, height = len(low), self.ring.height
        cut = max((self._row - self._thickness) / 2, 0.0)
        top = self._centres - np.clip(high * self._scale, -cut, cut)
        bottom = self._centres - np.clip(low * self._scale, -cut, cut)
        is_shown = (self._centres >= 0) & (self._centres <= height)  # cut off at the edge; others may leave
        there = ((bottom >= 0) & (top <= height)) | (np.isfinite(top) & np.isfinite(bottom) & is_shown)
        kinds = np.where(there, self._kinds, np.int32(0))
        first = np.clip(np.where(there, top, 0), 0, height - 1).astype(np.int64)
        last = np.clip(np.where(there, bottom, 0), 0, height - 1).astype(np.int64)
        last = np.minimum(np.maximum(last, first + self._thickness - 1), height - 1)
        # Each stroke adds its kind where it begins and takes it away below its end, and the sum down a column
        # tells what covers a pixel: strokes meet only where rows are thinner than they.
        steps = np.zeros((height + 1, n), dtype=np.int32)
        x = np.arange(n)[:, None]
        np.add.at(steps.ravel(), (first * n + x).ravel(), kinds.ravel())
        np.add.at(steps.ravel(), ((last + 1) * n + x).ravel(), -kinds.ravel())
        covered = np.cumsum(steps[:-1], axis=0, dtype=np.int32)
        return self._palette[np.minimum(covered, len(self._palette) - 1)]


class HeatRaster(Raster):
    """Rows of values (frequency bands, say) as colours, over time; the first row lies at the bottom."""

    def __init__(
        self,
        width: int,  # device pixels
        height: int,
        column_s: float,
        hold_s: float,  # a value is shown until the next one comes, at most so long
        scale: tuple[float, float],  # values of the first and last colour
        palette: NDArray[np.uint8],  # (n, 3)
        background: int,
        rows: tuple[float, float],  # lower and upper edge, where row i spans i to i + 1
    ) -> None:
        self.ring, self.column = ColumnRing(width, height, background), column_s
        self._hold_s, self._scale, self._rows = hold_s, scale, rows
        red, green, blue = palette.astype(np.uint32).T
        colours = np.uint32(0xFF000000) | red << np.uint32(16) | green << np.uint32(8) | blue
        self._palette = np.append(colours, np.uint32(background))

    def draw(self, first: int, end: int, read: Read) -> NDArray[np.uint32]:
        """Return the pixels: a column shows the highest of its values, or the last one before it."""
        height, n = self.ring.height, end - first
        times, values = read(first * self.column - self._hold_s - self.column, end * self.column)
        if not len(times):
            return np.full((height, n), self._palette[-1], dtype=np.uint32)
        edges = np.arange(first, end + 1) * self.column
        ends = np.searchsorted(times, edges[1:], side="left")
        starts = np.minimum(np.searchsorted(times, edges[:-1], side="left"), np.maximum(ends - 1, 0))
        there = (ends > 0) & (edges[:-1] - times[np.maximum(ends - 1, 0)] <= self._hold_s)
        pairs = np.stack([starts, np.maximum(ends, starts + 1)], axis=1).ravel()
        padded = np.concatenate([values, values[-1:]]).astype(np.float32)
        shown = np.fmax.reduceat(padded, pairs, axis=0)[::2]  # (n, F)
        n_colours = len(self._palette) - 1
        low, high = self._scale
        at = (shown - low) / max(high - low, 1e-12) * n_colours
        at = np.where(np.isfinite(at) & there[:, None], np.clip(at, 0, n_colours - 1), n_colours)
        bottom, top = self._rows
        rows = bottom + (top - bottom) * (np.arange(height)[::-1] + 0.5) / height  # of each pixel's middle
        rows = np.clip(np.floor(rows), 0, values.shape[1] - 1).astype(np.intp)
        return self._palette[at.astype(np.int64).T[rows]]
