"""One live stream: its inlet, intake, watchdog and figures."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acquisition.intake import StreamIntake
from acquisition.lsl.discovery import OpenInlet, drain
from acquisition.lsl.reconnect import STALE_S, Placement, Watchdog, place
from acquisition.quality import RATE_OVER_S
from acquisition.types import Change, Chunk, Kind, StreamEvent

_RATE_BIN_S = 0.25
_HOLE_S = 0.1  # a longer hole between stamps counts as dropped samples


@dataclass(frozen=True)
class StreamHealth:
    """Figures of a live stream for the screen."""

    n_samples: int  # since the start
    rate_hz: float  # samples that arrived a second, over the last 5 s
    age_s: float  # since the last sample arrived
    offset_s: float  # LSL time minus the sender's stamps
    backlog: int  # samples that waited at the last read
    is_stale: bool
    is_connected: bool
    n_missing: int  # samples that holes in the stamps suggest were lost on the way
    n_dropped: int  # samples left out because they went back in time
    stands_still: bool = False  # samples come, but their stamps do not advance


class LiveStream:
    """Reads one stream and keeps account of it; its intake is kept across reconnections."""

    def __init__(self, key: str, kind: Kind, opened: OpenInlet, intake: StreamIntake, now: float) -> None:
        self.key = key
        self.kind = kind
        self.header = opened.header  # as first opened: what a returning stream is compared with
        self.intake = intake
        self.watchdog = Watchdog(now, float("inf") if kind is Kind.MARKERS else STALE_S)
        self.opened: OpenInlet | None = opened
        self.is_lost = False
        # A stamp is the push time only where the sender says so. This program's own senders push a
        # sample when its time has come, so there the stamp is at most one push interval too early.
        desc = opened.header.desc
        self._stamps_at_push = desc.get("stamped_at") == "push" or desc.get("manufacturer", "").startswith(
            "Affectscope"
        )
        self._placement: Placement | None = None  # None until the first samples show the sender's clock
        self._n_samples = 0
        self._n_missing = 0
        self._stands_still = False  # its newest samples had no place after the ones before
        self._backlog = 0
        self._last_stamp = float("nan")
        self._bins: deque[tuple[float, int]] = deque()  # (start, samples) of 0.25 s each

    def install(self, opened: OpenInlet) -> None:
        """Go on with another inlet of the same stream; its clock is looked at afresh."""
        self.opened = opened
        self.is_lost = False
        self._placement = None
        self._last_stamp = float("nan")

    def take_offset(self, uid: str, measured: tuple[float, float]) -> None:
        """Use an offset measured on the running inlet, unless its stamps are from another clock."""
        if self.opened is None or uid != self.opened.header.uid:
            return
        self.opened.offset = measured
        placement = self._placement
        if placement is not None and not (placement.is_unix or placement.by_arrival):
            self._placement = Placement(measured[1])
            self.intake.add_offset(*measured)

    def read(self, now: float, unix_offset_s: float) -> list[Chunk | StreamEvent]:
        """Return everything that has arrived, and what changed."""
        from pylsl.util import LostError

        out: list[Chunk | StreamEvent] = []
        n_read = 0
        n_dropped = self.intake.mapper.n_dropped
        try:
            if self.opened is not None:
                for stamps, values in drain(self.opened):
                    n_read += len(stamps)
                    out += self._take(stamps, values, now, unix_offset_s)
                    if self.opened is None:  # refused
                        break
        except LostError:
            self.opened, self.is_lost = None, True
            if self.watchdog.declare():
                out.append(self._event(Change.STALE, now, "the sender is gone"))
        self._backlog = n_read
        if n_read and not self.is_lost and self.opened is not None:
            self._count(n_read, now)
            n_placed = n_read - (self.intake.mapper.n_dropped - n_dropped)
            self._stands_still = n_placed <= 0  # as good as silent, whatever it sends
            if not self._stands_still and self.watchdog.hear(now):
                out.insert(0, self._event(Change.BACK, now, "data again"))
        if self.watchdog.check(now):
            silent_s = self.watchdog.silent_s(now)
            reason = "samples come, but their stamps do not advance" if self._stands_still else "no sample"
            out.append(self._event(Change.STALE, now, f"{reason} for {silent_s:.1f} s"))
        return out

    def health(self, now: float) -> StreamHealth:
        """Return the figures as of ``now``."""
        while self._bins and self._bins[0][0] < now - RATE_OVER_S:
            self._bins.popleft()
        span = min(RATE_OVER_S, max(_RATE_BIN_S, now - self._bins[0][0])) if self._bins else RATE_OVER_S
        return StreamHealth(
            n_samples=self._n_samples,
            rate_hz=sum(n for _, n in self._bins) / span,
            age_s=self.watchdog.silent_s(now),
            offset_s=self._placement.offset_s if self._placement else 0.0,
            backlog=self._backlog,
            is_stale=self.watchdog.is_stale,
            is_connected=self.opened is not None,
            n_missing=self._n_missing,
            n_dropped=self.intake.mapper.n_dropped,
            stands_still=self._stands_still,
        )

    def _take(
        self, stamps: NDArray[np.float64], values: NDArray[Any], now: float, unix_offset_s: float
    ) -> list[Chunk | StreamEvent]:
        from pylsl import local_clock

        arrival = float(local_clock())
        out: list[Chunk | StreamEvent] = []
        known = stamps[np.isfinite(stamps)]
        if len(known) == 0:
            known = np.array([self._last_stamp])
        if self._placement is None or not self._placement.fits(float(known[-1]), now):
            out += self._place(known, now, unix_offset_s)
            if self._placement is None:
                return out
        self._estimate_missing(stamps)
        pushed = float(stamps[-1]) + self._placement.offset_s if self._stamps_at_push else float("nan")
        chunk = self.intake.feed(stamps, values, arrival, pushed)
        return [*out, chunk] if chunk is not None else out

    def _place(
        self, stamps: NDArray[np.float64], now: float, unix_offset_s: float
    ) -> list[Chunk | StreamEvent]:
        """Decide the offset from the first samples of an inlet, and again when the clock jumps far."""
        assert self.opened is not None
        measured = self.opened.offset
        placement = place(float(stamps[-1]), measured[1] if measured else None, now, unix_offset_s)
        if placement.is_refused:
            self._placement, self.opened = None, None
            self.watchdog.declare()
            return [self._event(Change.REFUSED, now, placement.message)]
        self._placement = placement
        is_measured = measured is not None and not (placement.is_unix or placement.by_arrival)
        raw_time = measured[0] if measured is not None and is_measured else float(stamps[0])
        self.intake.add_offset(raw_time, placement.offset_s)
        return [self._event(Change.WARNING, now, placement.message)] if placement.message else []

    def _estimate_missing(self, stamps: NDArray[np.float64]) -> None:
        """Count samples that holes suggest; a sender's own pauses count too, it cannot be told apart."""
        rate = self.header.nominal_sfreq
        if rate > 0 and self.kind is not Kind.MARKERS:
            steps = np.diff(stamps, prepend=self._last_stamp)
            holes = steps[(steps > _HOLE_S) & (steps < 1e6)]
            self._n_missing += int(np.round(holes * rate - 1).clip(0).sum())
        self._last_stamp = float(stamps[-1])

    def _count(self, n_read: int, now: float) -> None:
        self._n_samples += n_read
        if self._n_samples == n_read:  # the first ones waited until somebody read: they have no rate
            self._bins.append((now, 0))
        elif self._bins and now - self._bins[-1][0] < _RATE_BIN_S:
            self._bins[-1] = (self._bins[-1][0], self._bins[-1][1] + n_read)
        else:
            self._bins.append((now, n_read))
            while self._bins[0][0] < now - RATE_OVER_S:
                self._bins.popleft()

    def _event(self, change: Change, now: float, message: str) -> StreamEvent:
        return StreamEvent(self.key, change, now, f"{self.header.name}: {message}")
