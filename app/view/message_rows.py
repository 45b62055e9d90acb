"""Events and failures of a session as one list, newest first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.view.plain_text import message_line

#: Of a list of ten thousand nobody reads the end.
N_SHOWN = 300
_LONGEST = 1500  # a remedy that is cut helps nobody

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
    events: Iterable[tuple[float, str, str]], *, problems_only: bool = False
) -> list[MessageRow]:
    """Return the messages in order of time, newest first, at most `N_SHOWN`.

    Parameters
    ----------
    events : iterable of (time, text, severity)
        In order of arrival, see `ViewStore.events`; what has no time stands last.
    problems_only : bool
    """
    rows = [
        MessageRow(time, _severity(severity), message_line(text, _LONGEST)) for time, text, severity in events
    ]
    rows = [row for row in reversed(rows) if row.is_problem or not problems_only]
    rows.sort(key=lambda row: math.inf if math.isnan(row.time) else -row.time)
    return rows[:N_SHOWN]


def _severity(word: str) -> str:
    known = _SEVERITY_OF.get(word, word)
    return known if known in _WORDS else "info"
