"""Numbers, times and foreign text as the windows write them; what is not known is "-"."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

from acquisition.clock import LslClock
from acquisition.errors import printable

if TYPE_CHECKING:
    from app.view.store import ViewStore


UNKNOWN = "-"


def number(value: float, digits: int = 0, unit: str = "") -> str:
    """Return ``value`` with thousands separated, or "-" if it is not finite."""
    if not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.{digits}f} {unit}".rstrip()


def percent(share: float) -> str:
    """Return a share from 0 to 1 as whole percents: "62 %"."""
    return number(100 * share, 0, "%")


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: "1 window", "2,000 windows"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: "4 s", "12 min 5 s", "3 h 20 min", "2 d 4 h"."""
    if not math.isfinite(seconds):
        return UNKNOWN
    whole = round(max(0.0, seconds))
    for size, unit, part_size, part in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"


def age(seconds: float) -> str:
    """Return how long ago something was, with tenths below ten seconds."""
    return number(seconds, 1, "s") if seconds < 10 else duration(seconds)


def signed_time(seconds: float) -> str:
    """Return a clock offset: milliseconds below a second, else seconds."""
    if not math.isfinite(seconds):
        return UNKNOWN
    if abs(seconds) < 1:
        return f"{round(seconds * 1e3, 1) + 0.0:+.1f} ms"  # + 0.0: no minus zero
    return f"{seconds:+,.1f} s"


def data_size(n_bytes: float) -> str:
    """Return bytes in decimal units: "812 kB", "4.2 MB", "1.35 TB"."""
    if not math.isfinite(n_bytes):
        return UNKNOWN
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(n_bytes) >= size:
            return (
                f"{n_bytes / size:.3g} {unit}" if n_bytes < 999.5 * size else f"{n_bytes / size:,.0f} {unit}"
            )
    return f"{n_bytes:.0f} B"


# --- foreign text: names of streams and markers are anybody's ---

_LONGEST = 300


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` without line breaks, control and direction-changing characters, cut at ``longest``."""
    kept = printable(text[: 4 * longest])
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def message_line(text: str, longest: int = _LONGEST) -> str:
    """Return a message in the same way, cut in its middle: what is wrong comes first, the remedy last."""
    most = 4 * longest
    kept = printable(text if len(text) <= 2 * most else f"{text[:most]} {text[-most:]}")
    if len(kept) <= longest:
        return kept
    n_last = longest // 2
    return f"{kept[: longest - n_last - 3].rstrip()} … {kept[-n_last:].lstrip()}"


def tooltip(*paragraphs: str) -> str:
    """Return plain text as Qt's rich text: otherwise Qt guesses, and takes names with "<" for markup."""
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in paragraphs)


# --- times ---


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
