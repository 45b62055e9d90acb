"""The newest seconds of one stream, addressed by absolute sample index.

Samples lie contiguously in memory: appending moves the kept part to the front of the buffer whenever
its end is reached, so a slice is a view and costs nothing. Memory is bounded by rate and ``keep_s``.
"""

from bisect import bisect_right
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.types import Chunk

_FIRST_CAPACITY = 1024
_FULLEST = 0.75  # after moving, so that moves stay rare


class Ring:
    """Keeps the samples of the last ``keep_s`` seconds; objects where ``n_channels`` is None."""

    def __init__(self, n_channels: int | None, keep_s: float, dtype: type = np.float64) -> None:
        self.keep_s = keep_s
        shape: tuple[int, ...] = (_FIRST_CAPACITY,) if n_channels is None else (_FIRST_CAPACITY, n_channels)
        self._data: NDArray[Any] = np.empty(shape, dtype=object if n_channels is None else dtype)
        self._times = np.empty(_FIRST_CAPACITY)
        self._from = 0  # buffer position of the oldest kept sample
        self._to = 0  # one past the newest
        self._first_index = 0  # absolute index of the sample at _from
        self._breaks: list[int] = []  # absolute indices of samples that continue nothing
        self.first_time = float("nan")  # of the first sample ever

    def append(self, chunk: Chunk) -> None:
        """Add a chunk; the oldest samples make room."""
        n_new = len(chunk.times)
        if n_new == 0:
            return
        if np.isnan(self.first_time):
            self.first_time = float(chunk.times[0])
        if self._to + n_new > len(self._times):
            self._make_room(n_new, float(chunk.times[-1]))
        position = slice(self._to, self._to + n_new)
        if isinstance(chunk.data, tuple):
            for offset, item in enumerate(chunk.data):  # a slice assignment would take an image apart
                self._data[self._to + offset] = item
        else:
            self._data[position] = chunk.data
        self._times[position] = chunk.times
        self._breaks += [self.end_index + at for at in chunk.breaks]
        self._to += n_new

    def _make_room(self, n_new: int, newest_time: float) -> None:
        kept_from = self._from + self.index_at(newest_time - self.keep_s) - self._first_index
        n_kept = self._to - kept_from
        capacity = len(self._times)
        while n_kept + n_new > _FULLEST * capacity:
            capacity += capacity // 2
        data, times = self._data, self._times
        if capacity > len(times):
            data, times = np.empty((capacity, *data.shape[1:]), data.dtype), np.empty(capacity)
        data[:n_kept] = self._data[kept_from : self._to]
        times[:n_kept] = self._times[kept_from : self._to]
        if data.dtype == object:
            data[n_kept:] = None  # let go of frames
        self._first_index += kept_from - self._from
        self._data, self._times, self._from, self._to = data, times, 0, n_kept
        self._breaks = self._breaks[bisect_right(self._breaks, self._first_index) :]

    @property
    def start_index(self) -> int:
        """Absolute index of the oldest kept sample."""
        return self._first_index

    @property
    def end_index(self) -> int:
        """One past the absolute index of the newest sample."""
        return self._first_index + self._to - self._from

    @property
    def newest_time(self) -> float:
        """Time of the newest sample; NaN while empty."""
        return float(self._times[self._to - 1]) if self._to > self._from else float("nan")

    def index_at(self, time: float) -> int:
        """Return the absolute index of the first kept sample at or after ``time``."""
        return self._first_index + int(np.searchsorted(self._times[self._from : self._to], time))

    def times(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return a view of the times of samples start..stop-1 (absolute, both kept)."""
        shift = self._from - self._first_index
        return self._times[start + shift : stop + shift]

    def data(self, start: int, stop: int) -> NDArray[Any]:
        """Return a view of samples start..stop-1, (n, n_channels) or (n,) objects; copy it to keep it."""
        shift = self._from - self._first_index
        return self._data[start + shift : stop + shift]

    def last_break(self, stop: int) -> int:
        """Return the index from which samples run without a gap up to ``stop`` (exclusive)."""
        position = bisect_right(self._breaks, stop - 1) - 1
        return max(self._first_index, self._breaks[position]) if position >= 0 else self._first_index
