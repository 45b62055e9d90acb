"""Text from outside, made fit for one line of a table."""

from __future__ import annotations

import unicodedata

_LONGEST = 300


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` without line breaks, control and direction-changing characters, cut at ``longest``.

    Names of streams and markers are anybody's; a right-to-left override in one would turn the row around.
    """
    kept = _printable(text[: 4 * longest])
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


def message_line(text: str, longest: int = _LONGEST) -> str:
    """Return a message in the same way, cut in its middle: what is wrong comes first, the remedy last."""
    most = 4 * longest
    kept = _printable(text if len(text) <= 2 * most else f"{text[:most]} {text[-most:]}")
    if len(kept) <= longest:
        return kept
    n_last = longest // 2
    return f"{kept[: longest - n_last - 3].rstrip()} … {kept[-n_last:].lstrip()}"


def _printable(text: str) -> str:
    kept = "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in text)
    return " ".join(kept.split())


#: Control, format, surrogate, private use, unassigned; line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
