"""Which markers begin a trial, and of which class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from acquisition.errors import InputError

_MOST_OVERLAP_S = 0.5


def parse_events(text: str) -> dict[str, str]:
    """Return the class by marker text from ``1=left,2=right,3=idle``.

    Raises
    ------
    InputError
        If the text is no such list, or a marker stands in it twice.
    """
    events: dict[str, str] = {}
    for part in text.split(","):
        marker, equals, name = (piece.strip() for piece in part.partition("="))
        if not (marker and equals and name) or marker in events:
            raise InputError(
                f"expected MARKER=CLASS separated by commas, found {part.strip()!r}",
                where="--events",
                remedy='write for example --events "1=left,2=right,3=idle"',
            )
        events[marker] = name
    return events


def class_names(events: Mapping[str, str]) -> tuple[str, ...]:
    """Return the classes in the order of their first mention."""
    return tuple(dict.fromkeys(events.values()))


def no_trials(events: Mapping[str, str], markers: Iterable[str], where: str) -> InputError:
    """Return what to say when no marker begins a trial."""
    counts = Counter(markers).most_common(12)
    expected = f"markers {', '.join(events)}" if events else "markers that begin trials"
    if not counts:
        remedy = "give a recording with markers"
        return InputError(f"expected {expected}, found no markers", where=where, remedy=remedy)
    return InputError(
        f"expected {expected}, found {', '.join(f'{marker} ({n} times)' for marker, n in counts)}",
        where=where,
        remedy='name those that begin a trial: --events "MARKER=CLASS,..."',
    )


def end_to_end(spans: Sequence[tuple[float, float]], where: str) -> list[tuple[float, float]]:
    """Return (begin, end) of trials by their begin, none longer than until the next one begins.

    Two trials that share samples would stand in training and test at once. A little is cut off, as times and
    lengths are rounded; more than that means other lengths or other markers.

    Raises
    ------
    InputError
        If one trial reaches half a second or more into the next.
    """
    cut = []
    for at, (begin, end) in enumerate(spans):
        following = spans[at + 1][0] if at + 1 < len(spans) else math.inf
        if end - following >= _MOST_OVERLAP_S:
            raise InputError(
                f"trial {at + 1} lasts {end - begin:.2f} s, and trial {at + 2} begins "
                f"{following - begin:.2f} s after it: expected trials that do not overlap",
                where=where,
                remedy="give a shorter --trial-s, or --events that name fewer markers",
            )
        cut.append((begin, min(end, following)))
    return cut
