"""Moments as hours, minutes and seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from acquisition.clock import LslClock
from app.view.store import ViewStore


def clock_text(store: ViewStore) -> Callable[[float], str]:
    """Return a writer of LSL times as hh:mm:ss: the time of day, in a replay from its beginning."""
    if store.timeline is not None:
        first = store.timeline.first
        return lambda t: _since(t - first)
    unix_offset = LslClock().unix_offset()
    return lambda t: f"{datetime.fromtimestamp(t - unix_offset):%H:%M:%S}" if math.isfinite(t) else "--:--:--"


def _since(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "--:--:--"
    sign, whole = ("\N{MINUS SIGN}" if seconds < 0 else ""), int(abs(seconds))
    return f"{sign}{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
