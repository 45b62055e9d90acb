"""What is left of a window's session for the terminal: one line a failure, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from app.engine.messages import Phase
from app.environment import ExitCode
from app.qt.shell.session import EngineSession
from app.view.plain_text import message_line
from app.view.stopped import LONGEST


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Outcome:
    """Follows the sessions of a window; call `poll` now and then until the window is to close.

    Parameters
    ----------
    session : EngineSession
    say : callable
        Takes the line of a failure; by default it goes to stderr.
    """

    def __init__(self, session: EngineSession[Any], say: Callable[[str], None] = _say) -> None:
        self._session, self._say = session, say
        self._last: Phase | None = None

    def poll(self) -> None:
        """Say a failure once."""
        phase = self._session.store.phase
        if phase is self._last:
            return
        self._last = phase
        if phase.name == "failed":
            self._say(f"error: {message_line(phase.message, LONGEST)}")

    @property
    def code(self) -> int:
        """The exit code: that of the headless commands, by how the last session stood."""
        if self._last is None or self._last.name != "failed":
            return ExitCode.GOOD
        return ExitCode.WRONG_USE if self._last.is_mendable else ExitCode.INTERNAL_ERROR
