"""The one place that reads a clock. Everything else is handed ``now`` in LSL seconds."""

import time
from typing import Protocol


class Clock(Protocol):
    """Gives the time and waits for it."""

    def now(self) -> float:
        """Return LSL seconds."""

    def wait_until(self, when: float) -> None:
        """Return at ``when`` or later."""


class LslClock:
    """The LSL clock of this computer; pylsl is loaded when the first clock is made."""

    def __init__(self) -> None:
        from pylsl import local_clock

        self._read = local_clock

    def now(self) -> float:
        return float(self._read())

    def wait_until(self, when: float) -> None:
        remaining = when - self.now()
        if remaining > 0:
            time.sleep(remaining)

    def unix_offset(self) -> float:
        """Return what must be added to a Unix time stamp of this computer to get LSL seconds."""
        return self.now() - time.time()


class ReplayClock:
    """A recording's own time, running at ``rate`` times real time from ``start`` (LSL seconds).

    A rate of infinity jumps straight to whatever is waited for.
    """

    def __init__(self, start: float, rate: float = float("inf")) -> None:
        self._rate, self._recording_s = rate, start
        self.restart(start, rate)

    def now(self) -> float:
        if self._rate == float("inf"):
            return self._recording_s
        return self._recording_s + (time.perf_counter() - self._real_s) * self._rate

    def wait_until(self, when: float) -> None:
        remaining = self.real_s_until(when)
        if remaining > 0:
            time.sleep(remaining)

    def real_s_until(self, when: float) -> float:
        """Return the real seconds until ``when``, 0 once it has come; without a rate it comes at once."""
        if self._rate == float("inf"):
            self._recording_s = max(self._recording_s, when)
            return 0.0
        return max(0.0, (when - self.now()) / self._rate)

    def restart(self, time_s: float, rate: float | None = None) -> None:
        """Continue from ``time_s`` (LSL seconds), before or after now, at another rate if one is given."""
        self._rate = self._rate if rate is None else rate
        if not self._rate > 0:
            raise ValueError(f"rate must be positive, got {rate}")
        self._recording_s, self._real_s = time_s, time.perf_counter()


def stopwatch() -> float:
    """Return seconds of a clock for durations only; it has nothing to do with any sample's time."""
    return time.perf_counter()
