"""The clock map an own recording carries, followed instead of estimated again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from acquisition.types import MapSegment


class RecordedMap:
    """Follows the segments an own recording carries.

    A segment begins at the very sample it was made for, found by its stamp; samples before the first such
    sample are estimated. Segments whose sample is not in the file (it was made before the recording began)
    are passed over.
    """

    _SAME_STAMP_S = 1e-6  # two inlets deduce a stamp by the same sums, and text keeps every digit

    def __init__(self, segments: Sequence[MapSegment]) -> None:
        self._segments = list(segments)
        raw_starts = np.array([segment.raw_start for segment in segments])
        self._order = np.argsort(raw_starts, kind="stable")
        self._raw_starts = raw_starts[self._order]
        self._has_begun = False  # a sample was mapped
        self._running = -1  # index of the segment in force; -1: none yet, times are estimated
        self._count = 0  # samples since the running segment began

    def map(
        self,
        stamps: NDArray[np.float64],
        estimate: Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.bool_]]],
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return times and break flags."""
        times = np.empty(len(stamps))
        breaks = np.zeros(len(stamps), dtype=bool)
        begins = self._begins(stamps)
        if not self._has_begun:
            self._has_begun = True
            self._take_offset_from_before(stamps[0])
        for at, end, segment in zip(
            [0, *(at for at, _ in begins)],
            [*(at for at, _ in begins), len(stamps)],
            [None, *(index for _, index in begins)],
            strict=True,
        ):
            if segment is not None:
                self._running, self._count = segment, 0
                breaks[at] = self._segments[segment].is_break
            if end == at:
                continue
            if self._running < 0:
                times[at:end], breaks[at:end] = estimate(stamps[at:end])
            else:
                times[at:end] = self._piece(stamps[at:end])
        return times, breaks

    def _piece(self, stamps: NDArray[np.float64]) -> NDArray[np.float64]:
        segment = self._segments[self._running]
        if segment.period_s == 0:
            return stamps + segment.offset_s
        counts = np.arange(self._count, self._count + len(stamps), dtype=np.float64)
        self._count += len(stamps)
        times: NDArray[np.float64] = segment.t_start + counts * segment.period_s
        return times

    def _begins(self, stamps: NDArray[np.float64]) -> list[tuple[int, int]]:
        """Return (position, segment) wherever a later segment begins in ``stamps``."""
        nearest = np.searchsorted(self._raw_starts, stamps - self._SAME_STAMP_S)
        nearest = np.minimum(nearest, len(self._raw_starts) - 1)
        same = np.abs(self._raw_starts[nearest] - stamps) <= self._SAME_STAMP_S
        found, newest = [], self._running
        for at in np.flatnonzero(same):
            segment = int(self._order[nearest[at]])
            if segment > newest:
                found.append((int(at), segment))
                newest = segment
        return found

    def _take_offset_from_before(self, stamp: float) -> None:
        """Let an offset that was in force when the recording began hold from its first sample."""
        before = np.flatnonzero(self._raw_starts <= stamp)
        if len(before) and self._segments[int(self._order[before[-1]])].period_s == 0:
            self._running = int(self._order[before[-1]])
