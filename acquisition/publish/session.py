"""What both publishers share: when to begin, when to stop, and what a stream is called."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from acquisition.clock import Clock
from acquisition.publish.feed import Capture

_POLL_S = 0.1
_LINGER_S = 1.0


class CaptureSource(Protocol):
    """A device or a file that stands in for one."""

    @property
    def ended(self) -> bool:
        """True when nothing will come again."""

    def take(self, now: float) -> list[Capture]:
        """Return what was captured up to ``now``; never waits."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for a capture, or return False at once if there is nothing to wait for."""

    def close(self) -> None:
        """Let go of the device or file."""


def publisher_source_id(kind: str, device: int | str | Path) -> str:
    """Return the ``source_id`` a publisher gives its stream, the same at every start.

    Parameters
    ----------
    kind : str
        ``"webcam"`` or ``"microphone"``.
    device : int, str or Path
        A device's index or name, or a file.
    """
    text = str(device.resolve()) if isinstance(device, Path) else str(device)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"affectscope-{kind}-{socket.gethostname()}-{digest}"


class IdleLimit:
    """Says when nobody has listened to a stream for too long.

    Parameters
    ----------
    limit_s : float
        Seconds without a consumer; infinity for a publisher that the user ends.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._heard_at: float | None = None

    def reached(self, now: float, has_consumers: bool) -> bool:
        """Return whether the limit is reached at ``now``."""
        if has_consumers or self._heard_at is None:
            self._heard_at = now
        return now - self._heard_at >= self._limit_s


def run_publisher(
    source: CaptureSource,
    outlet: Any,
    push: Callable[[Capture], None],
    clock: Clock,
    *,
    stop: Callable[[], bool],
    report: Callable[[str], None],
    idle_limit_s: float = float("inf"),
) -> None:
    """Push what ``source`` delivers until it ends, ``stop()`` is true or nobody listens any more."""
    idle = IdleLimit(idle_limit_s)
    try:
        while not stop():
            now = clock.now()
            for capture in source.take(now):
                push(capture)
            if source.ended:
                clock.wait_until(now + _LINGER_S)  # an outlet that goes takes unsent samples with it
                report("the file has ended")
                return
            if idle.reached(now, outlet.have_consumers()):
                report(f"nobody has listened for {idle_limit_s / 60:.0f} min: the stream ends")
                return
            if not source.wait(_POLL_S):
                clock.wait_until(now + _POLL_S)
    finally:
        source.close()


def wait_for_consumer(outlet: Any, clock: Clock, stop: Callable[[], bool]) -> None:
    """Return when somebody listens to ``outlet``, or when ``stop()`` is true."""
    while not (stop() or outlet.have_consumers()):
        clock.wait_until(clock.now() + _POLL_S)
