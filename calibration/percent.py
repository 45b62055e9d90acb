"""Shares as a person reads them."""

from __future__ import annotations

import math


def percent(share: float | None, digits: int = 0) -> str:
    """Return a share as per cent, "unknown" where it is none: "62 %"."""
    return "unknown" if share is None or math.isnan(share) else f"{100 * share:.{digits}f} %"
