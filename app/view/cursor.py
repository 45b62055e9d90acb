"""Which moment the window shows: the newest, or one that is held."""

from __future__ import annotations

import math

from app.view.store import ViewStore


class Cursor:
    """Follows the newest data until it is held; stepping past the newest follows again."""

    def __init__(self) -> None:
        self._held: float | None = None

    @property
    def is_following(self) -> bool:
        """True while the newest data are shown."""
        return self._held is None

    def follow(self) -> None:
        """Show the newest data from now on."""
        self._held = None

    def hold(self, t: float) -> None:
        """Stay at ``t`` (LSL seconds); NaN, where there is no data yet, changes nothing."""
        if math.isfinite(t):
            self._held = t

    def step(self, seconds: float, store: ViewStore) -> None:
        """Go ``seconds`` on, or back where negative, from what is shown now, and hold there."""
        t = self.time(store) + seconds
        if t >= store.newest_time:
            self.follow()
        else:
            self.hold(t)

    def time(self, store: ViewStore) -> float:
        """Return the moment to show, between the oldest and the newest that is kept; NaN without data."""
        newest = store.newest_time
        if self._held is None or math.isnan(newest):
            return newest
        return min(max(self._held, store.oldest_time), newest)
