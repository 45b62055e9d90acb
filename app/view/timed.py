"""Things that have a moment (predictions, markers, quality), kept for ten minutes and found by time."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Generic, TypeVar

from app.view.history import KEEP_S

T = TypeVar("T")


class TimedHistory(Generic[T]):
    """Items in the order of their times.

    Parameters
    ----------
    time_of : callable
        The moment of an item, LSL seconds.
    keep_s : float
        Older items, counted from the newest, are dropped.
    max_items : int
        More are dropped, the oldest first.
    """

    def __init__(self, time_of: Callable[[T], float], keep_s: float = KEEP_S, max_items: int = 6000) -> None:
        self._time_of = time_of
        self._keep_s = keep_s
        self._max_items = max_items
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
        """Drop what is newer than ``t``."""
        at = bisect_right(self._times, t)
        del self._times[at:], self._items[at:]
