"""Events and failures of a session as one list, newest first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.failure import Failure
from app.view.plain_text import one_line

#: Of a list of ten thousand nobody reads the end.
N_SHOWN = 300

_WORDS = {"good": "● good", "info": "○ note", "suspect": "▲ warning", "bad": "■ problem"}
_SEVERITY_OF = {"warning": "suspect"}


@dataclass(frozen=True)
class MessageRow:
    """One message."""

    time: float  # LSL seconds
    severity: str  # good | info | suspect | bad
    text: str

    @property
    def is_problem(self) -> bool:
        """True for what the filter "problems" leaves."""
        return self.severity in ("suspect", "bad")

    def line(self, clock_text: Callable[[float], str]) -> str:
        """Return time, severity in words and text."""
        return f"{clock_text(self.time)}  {_WORDS[self.severity]}  {self.text}"


def message_rows(
    events: Iterable[tuple[float, str, str]],
    failures: Iterable[Failure],
    *,
    problems_only: bool = False,
) -> list[MessageRow]:
    """Return the newest messages, newest first, at most `N_SHOWN`.

    Parameters
    ----------
    events : iterable of (time, text, severity)
        Oldest first.
    failures : iterable of Failure
        Oldest first.
    problems_only : bool
    """
    failed = [(f.time, f.error, f"{f.stage}: {f.error}") for f in failures]
    also_failures = {(time, error) for time, error, _ in failed}  # told once, with their stage
    told = [
        MessageRow(time, _severity(severity), one_line(text))
        for time, text, severity in events
        if (time, text) not in also_failures
    ]
    failed_rows = [MessageRow(time, "bad", one_line(text)) for time, _, text in failed]
    merged = heapq.merge(reversed(told), reversed(failed_rows), key=lambda row: -row.time)
    return list(itertools.islice((row for row in merged if row.is_problem or not problems_only), N_SHOWN))


def _severity(word: str) -> str:
    known = _SEVERITY_OF.get(word, word)
    return known if known in _WORDS else "info"
