"""Exceptions of the window's own code: shown and counted, where Qt would end the program.

PyQt aborts on an exception in a slot unless ``sys.excepthook`` is replaced.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """An exception, in words and in full."""

    key: str  # the same for the same exception at the same line
    text: str
    details: str  # the traceback
    count: int  # times it was seen


class Faults:
    """Takes exceptions and passes them on; the same one again only raises its count.

    Parameters
    ----------
    on_fault : callable
        Called in the window's thread for exceptions there; those of other threads wait for `deliver`.
    """

    def __init__(self, on_fault: Callable[[Fault], None]) -> None:
        self._on_fault = on_fault
        self._counts: dict[str, int] = {}
        self._waiting: list[BaseException] = []
        self._hooks = (sys.excepthook, threading.excepthook)

    @property
    def n_faults(self) -> int:
        """Number of exceptions so far."""
        return sum(self._counts.values())

    def install(self) -> None:
        """Take every exception that nobody catches."""
        self._hooks = (sys.excepthook, threading.excepthook)
        sys.excepthook = self._hook
        threading.excepthook = self._thread_hook

    def remove(self) -> None:
        """Give the hooks back."""
        sys.excepthook, threading.excepthook = self._hooks

    def take(self, error: BaseException) -> None:
        """Count an exception and show it."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        key = f"{type(error).__name__} {place}"
        count = self._counts[key] = self._counts.get(key, 0) + 1
        details = "".join(traceback.format_exception(error))
        if count == 1:
            _log.error("%s", details)
        self._on_fault(Fault(key, f"{type(error).__name__}: {error}", details, count))

    def deliver(self) -> None:
        """Take what other threads left."""
        waiting, self._waiting = self._waiting, []
        for error in waiting:
            self.take(error)

    def _hook(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self._hooks[0](kind, error, trace)
            return
        self.take(error.with_traceback(trace))

    def _thread_hook(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self._waiting.append(arguments.exc_value)
