"""Foreign text and times of day as the windows write them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

from acquisition.clock import LslClock
from acquisition.errors import printable
from acquisition.text import UNKNOWN

if TYPE_CHECKING:
    from app.view.store import ViewStore

# --- foreign text: names of streams and markers are anybody's ---

_LONGEST = 300


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` without line breaks, control and direction-changing characters, cut at ``longest``."""
    kept = printable(text[: 4 * longest])
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def message_line(text: str, longest: int = _LONGEST) -> str:
    """Return a message in the same way, cut in its middle: the problem comes first, the remedy last."""
    most = 4 * longest
    kept = printable(text if len(text) <= 2 * most else f"{text[:most]} {text[-most:]}")
    if len(kept) <= longest:
        return kept
    n_last = longest // 2
    return f"{kept[: longest - n_last - 3].rstrip()} … {kept[-n_last:].lstrip()}"


def tooltip(*paragraphs: str) -> str:
    """Return plain text as Qt's rich text: otherwise Qt guesses, and takes names with "<" for markup."""
    return "".join(f"<p>{escape(message_line(paragraph, 4 * _LONGEST))}</p>" for paragraph in paragraphs)


def clock_text(seconds: float, digits: int = 0) -> str:
    """Return seconds as minutes and seconds, 1:05, with hours from an hour on."""
    if not math.isfinite(seconds):
        return UNKNOWN
    scale = 10**digits
    whole, part = divmod(math.floor(max(0.0, seconds) * scale + 1e-6), scale)
    hours, minutes = divmod(whole // 60, 60)
    text = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{text}:{whole % 60:02d}" + (f".{part}" if digits else "")


def moment_text(store: ViewStore) -> Callable[[float], str]:
    """Return a writer of LSL times: the time of day live, in a replay the time since its beginning."""
    if store.timeline is not None:
        first = store.timeline.first
        return lambda t: clock_text(t - first)
    unix_offset = LslClock().unix_offset()
    return lambda t: f"{datetime.fromtimestamp(t - unix_offset):%H:%M:%S}" if math.isfinite(t) else UNKNOWN
