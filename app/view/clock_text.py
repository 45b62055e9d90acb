"""Moments and durations as on a clock, wherever the window writes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

from acquisition.clock import LslClock
from app.view.figures import UNKNOWN
from app.view.store import ViewStore


def clock_text(seconds: float, digits: int = 0) -> str:
    """Return seconds as minutes and seconds, 1:05, with hours from an hour on."""
    if not math.isfinite(seconds):
        return UNKNOWN
    scale = 10**digits
    whole, part = divmod(math.floor(max(0.0, seconds) * scale + 1e-6), scale)
    text = f"{whole // 60 % 60}:{whole % 60:02d}" if whole < 3600 else ""
    if whole >= 3600:
        text = f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return text + (f".{part}" if digits else "")


def moment_text(store: ViewStore) -> Callable[[float], str]:
    """Return a writer of LSL times: the time of day live, in a replay the time since its beginning."""
    if store.timeline is not None:
        first = store.timeline.first
        return lambda t: clock_text(t - first)
    unix_offset = LslClock().unix_offset()
    return lambda t: f"{datetime.fromtimestamp(t - unix_offset):%H:%M:%S}" if math.isfinite(t) else UNKNOWN
