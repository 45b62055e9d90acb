"""Text from outside, made fit for one line of a table."""

from __future__ import annotations

import unicodedata

_LONGEST = 300


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return ``text`` without line breaks, control and direction-changing characters, cut at ``longest``.

    Names of streams and markers are anybody's; a right-to-left override in one would turn the row around.
    """
    kept = "".join(" " if unicodedata.category(c) in _UNPRINTABLE else c for c in text[: 4 * longest])
    kept = " ".join(kept.split())
    return kept if len(kept) <= longest else kept[: longest - 1] + "…"


#: Control, format, surrogate, private use, unassigned; line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
