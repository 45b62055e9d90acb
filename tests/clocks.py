"""A clock for tests."""


class ManualClock:
    """A clock that tests move by hand; it cannot go back."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def wait_until(self, when: float) -> None:
        self._now = max(self._now, when)

    def advance(self, seconds: float) -> float:
        """Move forward and return the new time; a negative step is a ValueError."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back, got {seconds}")
        self._now += seconds
        return self._now
