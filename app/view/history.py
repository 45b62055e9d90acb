"""The last ten minutes in bounded memory: sampled signals as arrays, things that have a moment, video frames.

Time that runs back (a replay was sought back) voids what is newer than the new data; what is older stays.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.engine.messages import FramePart

KEEP_S = 600.0
_MAX_BYTES = 64_000_000  # of one history; 62 channels at 125 bins a second take 37 MB
_FULL_SHARE = 0.8  # a buffer fuller than this after old samples left is enlarged


class BinnedHistory:
    """Lowest and highest value of each channel in bins of equal length, NaN where a bin is missing.

    Bin ``i`` spans ``[i * bin_s, (i + 1) * bin_s)`` on the LSL clock.
    """

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self.ch_names: tuple[str, ...] = ()  # empty before the first data
        self.unit = ""
        self.look = ""
        self.bin_s = 1 / 125
        self._keep_s = keep_s
        self._rows = SampleHistory()  # by number of bin: all lowest values, then all highest ones
        self.n_restarts = 0

    @property
    def revision(self) -> tuple[int, int]:
        """Changes when what was read may have become wrong: other channels, or time ran back."""
        return self.n_restarts, self._rows.revision

    @property
    def newest_bin(self) -> int | None:
        """The newest bin, None while empty."""
        return int(self._rows.newest_time) if len(self._rows) else None

    @property
    def newest_time(self) -> float:
        """End of the newest bin, NaN while empty."""
        return (self._rows.newest_time + 1) * self.bin_s

    @property
    def oldest_time(self) -> float:
        """Start of the oldest bin that is kept, NaN while empty."""
        return self._rows.oldest_time * self.bin_s

    def put(
        self,
        bins: NDArray[np.int64],
        low: NDArray[np.float32],
        high: NDArray[np.float32],
        ch_names: tuple[str, ...],
        unit: str,
        bin_s: float,
        look: str = "",
    ) -> None:
        """Add values (n, C) of ascending bins (n,); one at or below `newest_bin` voids all from there on.

        Other channels, or another ``look``, void everything.
        """
        if len(bins) == 0:
            return
        if (ch_names, unit, bin_s, look) != (self.ch_names, self.unit, self.bin_s, self.look):
            self.ch_names, self.unit, self.bin_s, self.look = ch_names, unit, bin_s, look
            self._rows = SampleHistory(keep_s=math.ceil(self._keep_s / bin_s) - 1)
            self.n_restarts += 1
        self._rows.append(bins.astype(np.float64), np.hstack([low, high]))

    def cut_after(self, t: float) -> None:
        """Void the bins that end after ``t``."""
        self._rows.cut_after(math.floor(t / self.bin_s + 1e-6) - 1)

    def read(self, first_bin: int, end_bin: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return copies of ``(low, high)``, each (end_bin - first_bin, C), NaN where nothing is kept."""
        shape = (max(0, end_bin - first_bin), len(self.ch_names))
        low, high = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
        bins, values = self._rows.read(first_bin, end_bin - 1)
        if len(bins):
            at = bins.astype(np.int64) - first_bin
            low[at], high[at] = np.hsplit(values, 2)
        return low, high


class SampleHistory:
    """Samples at irregular times: rows of ``n_columns`` values, which may be known before the first."""

    def __init__(
        self, dtype: type[np.floating] = np.float32, keep_s: float = KEEP_S, n_columns: int = 0
    ) -> None:
        self.revision = 0  # changes when what was read before may have become wrong
        self.n_columns, self._keep_s, self._dtype = n_columns, keep_s, dtype
        self._from = self._to = 0
        self._times = np.empty(0)
        self._values: NDArray[np.floating] = np.empty((0, n_columns), dtype)

    def __len__(self) -> int:
        return self._to - self._from

    @property
    def newest_time(self) -> float:
        """Time of the newest sample, NaN while empty."""
        return float(self._times[self._to - 1]) if len(self) else math.nan

    @property
    def oldest_time(self) -> float:
        """Time of the oldest sample that is kept, NaN while empty."""
        return float(self._times[self._from]) if len(self) else math.nan

    def append(self, times: NDArray[np.float64], values: NDArray[np.floating]) -> None:
        """Add samples (n, n_columns) of ascending times (n,); another number of columns clears all.

        One at or below `newest_time` voids what is not older than it.
        """
        finite = np.isfinite(times)
        times, values = times[finite], values[finite]
        if len(times) == 0:
            return
        if values.shape[1] != self.n_columns:
            self.clear()
            self.n_columns = values.shape[1]
            self._values = np.empty((len(self._times), self.n_columns), self._dtype)
        if len(self) and times[0] <= self.newest_time:
            self._cut(int(np.searchsorted(self._kept, times[0])))
        if self._to + len(times) > len(self._times):
            self._make_room(len(times), float(times[-1]))
        n = min(len(times), len(self._times))  # one huge part may exceed what is kept at all
        self._times[self._to : self._to + n] = times[-n:]
        self._values[self._to : self._to + n] = values[-n:]
        self._to += n
        self._from += int(np.searchsorted(self._kept, self.newest_time - self._keep_s))

    def read(self, t0: float, t1: float) -> tuple[NDArray[np.float64], NDArray[np.floating]]:
        """Return copies of the times (n,) and values (n, n_columns) with ``t0 <= time <= t1``."""
        kept = self._kept
        first, end = int(np.searchsorted(kept, t0)), int(np.searchsorted(kept, t1, side="right"))
        first, end = self._from + first, self._from + max(first, end)
        return self._times[first:end].copy(), self._values[first:end].copy()

    def cut_after(self, t: float) -> None:
        if len(self) and self.newest_time > t:
            self._cut(int(np.searchsorted(self._kept, t, side="right")))

    def clear(self) -> None:
        self._cut(0)

    @property
    def _kept(self) -> NDArray[np.float64]:
        return self._times[self._from : self._to]

    def _cut(self, n_kept: int) -> None:
        self._to = self._from + n_kept
        self.revision += 1

    def _make_room(self, n_new: int, newest_time: float) -> None:
        """Move what is kept to the front, into a larger buffer where it would be nearly full."""
        kept_from = self._from + int(np.searchsorted(self._kept, newest_time - self._keep_s))
        most = _MAX_BYTES // (8 + np.dtype(self._dtype).itemsize * max(1, self.n_columns))
        n_kept = min(self._to - kept_from, max(0, int(most * _FULL_SHARE) - n_new))
        kept_from = self._to - n_kept
        times, values = self._times, self._values
        if n_kept + n_new > _FULL_SHARE * len(times):
            capacity = min(most, max(1024, int(1.5 * (n_kept + n_new))))
            times, values = np.empty(capacity), np.empty((capacity, self.n_columns), self._dtype)
        times[:n_kept] = self._times[kept_from : self._to]
        values[:n_kept] = self._values[kept_from : self._to]
        self._times, self._values, self._from, self._to = times, values, 0, n_kept


T = TypeVar("T")


class TimedHistory(Generic[T]):
    """Items in the order of their times, LSL seconds.

    Those older than ``keep_s``, counted from the newest, are dropped, and the oldest beyond ``max_items``.
    """

    def __init__(self, time_of: Callable[[T], float], keep_s: float = KEEP_S, max_items: int = 6000) -> None:
        self._time_of, self._keep_s, self._max_items = time_of, keep_s, max_items
        self._items: list[T] = []
        self._times: list[float] = []

    def __len__(self) -> int:
        return len(self._items)

    @property
    def newest(self) -> T | None:
        """The item with the latest time."""
        return self._items[-1] if self._items else None

    @property
    def newest_time(self) -> float:
        """Its time, NaN while empty."""
        return self._times[-1] if self._times else math.nan

    @property
    def oldest_time(self) -> float:
        """Time of the oldest item that is kept, NaN while empty."""
        return self._times[0] if self._times else math.nan

    def add(self, item: T) -> None:
        """Put an item in its place; one that is there already, or has no time, is left out."""
        time = self._time_of(item)
        if not math.isfinite(time):
            return
        at = bisect_right(self._times, time)
        if item in self._items[bisect_left(self._times, time) : at]:
            return
        self._times.insert(at, time)
        self._items.insert(at, item)
        n_old = max(bisect_left(self._times, self._times[-1] - self._keep_s), len(self) - self._max_items)
        if n_old > 0:
            del self._times[:n_old], self._items[:n_old]

    def at(self, t: float) -> T | None:
        """Return the newest item at or before ``t``."""
        at = bisect_right(self._times, t)
        return self._items[at - 1] if at else None

    def read(self, t0: float, t1: float) -> list[T]:
        """Return the items with ``t0 <= time <= t1``, oldest first."""
        return self._items[bisect_left(self._times, t0) : bisect_right(self._times, t1)]

    def cut_after(self, t: float) -> None:
        at = bisect_right(self._times, t)
        del self._times[at:], self._items[at:]


_WHOLE_S = 60.0  # every frame is kept for so long
_THINNED_S = 0.5  # older frames are at least so far apart
_MAX_AGE_S = 1.0  # an older frame is not what the camera shows


class FrameHistory(TimedHistory[FramePart]):
    """JPEG frames within ``max_bytes``: all of the last minute, the older ones thinned."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        super().__init__(lambda frame: frame.time)
        self._max_bytes = max_bytes
        self._n_thinned = 0  # of the oldest frames
        self.n_bytes = 0  # what the kept frames take

    def add(self, item: FramePart) -> None:
        """Add a frame; one that is no newer than the newest voids what is not older than it."""
        if not math.isfinite(item.time):
            return
        self._drop(bisect_left(self._times, item.time), len(self))
        self._times.append(item.time)
        self._items.append(item)
        self.n_bytes += len(item.jpeg)
        while self._times[self._n_thinned] < item.time - _WHOLE_S:
            at = self._n_thinned
            if at and self._times[at] < self._times[at - 1] + _THINNED_S:
                self._drop(at, at + 1)
            else:
                self._n_thinned += 1
        self._drop(0, bisect_left(self._times, item.time - KEEP_S))
        while self.n_bytes > self._max_bytes and len(self) > 1:
            self._drop(0, 1)

    def at(self, t: float) -> FramePart | None:
        """Return the newest frame at or before ``t`` that is not older than 1 s."""
        frame = super().at(t)
        return None if frame is None or frame.time < t - _MAX_AGE_S else frame

    def cut_after(self, t: float) -> None:
        self._drop(bisect_right(self._times, t), len(self))

    def _drop(self, first: int, end: int) -> None:
        """Drop the frames ``[first, end)``, counted from the oldest."""
        self.n_bytes -= sum(len(frame.jpeg) for frame in self._items[first:end])
        self._n_thinned -= max(0, min(end, self._n_thinned) - first)
        del self._times[first:end], self._items[first:end]
