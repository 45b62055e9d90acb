"""Which markers begin a trial, and of which class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from acquisition.errors import InputError


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
    found = ", ".join(f"{marker} ({n} times)" for marker, n in counts) or "no markers"
    return InputError(
        f"expected markers {', '.join(events)}, found {found}",
        where=where,
        remedy='name those that begin a trial: --events "MARKER=CLASS,..."',
    )
