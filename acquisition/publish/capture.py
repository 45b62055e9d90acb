"""Keeps a capture device delivering: notices that it stopped, says so, and opens it again.

A device that is pulled out reports an error, or repeats its last frame for ever, or never returns from
the call that reads it. So a reader works in a thread of its own, and `DeviceFeed`, which waits for
nothing, judges it by the age and the content of what arrives.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from acquisition.clock import Clock
from acquisition.errors import ErrorCode, InputError

_RETRY_S = 1.0
_MAX_STUCK = 4


@dataclass(frozen=True, eq=False)
class Capture:
    """One frame or one buffer of sound."""

    stamp: float  # LSL seconds: a frame's capture, or a buffer's last sample
    data: Any  # (height, width, 3) uint8 BGR, or (n_samples, n_channels) int16
    content: int | None = None  # a hash that shows whether the picture moved; None = not looked at


class Reader(Protocol):
    """An open device that captures in a thread of its own."""

    @property
    def failure(self) -> str:
        """Why it delivers no more, or an empty string."""

    @property
    def alive(self) -> bool:
        """True while its thread is in the driver's hands."""

    def take(self) -> list[Capture]:
        """Return what was captured since the last call; never waits."""

    def wait(self, timeout_s: float) -> None:
        """Return when something was captured, at the latest after ``timeout_s``."""

    def close(self) -> None:
        """Let go of the device as soon as the driver returns; never waits long."""


class DeviceWatchdog:
    """Judges a device by the age and the content of what it delivers.

    Parameters
    ----------
    silent_s : float
        It is lost when nothing arrived for this long.
    frozen_s : float
        It is lost when the same picture arrived for this long; infinity turns this off.
    open_s : float
        How long an opened device may take to deliver for the first time.
    """

    def __init__(self, silent_s: float, frozen_s: float = float("inf"), open_s: float = 20.0) -> None:
        self._silent_s = silent_s
        self._frozen_s = frozen_s
        self._open_s = open_s
        self._content: int | None = None
        self.opened(0.0)

    def opened(self, now: float) -> None:
        """Begin to judge a device that was opened at ``now``."""
        self._opened_at = now
        self._seen_at: float | None = None
        self._moved_at = now

    def saw(self, now: float, content: int | None) -> bool:
        """Take note of a delivery and return whether it differs from the one before."""
        first = self._seen_at is None
        self._seen_at = now
        moved = content is None or content != self._content
        self._content = content
        if moved or first:
            self._moved_at = now
        return moved

    def verdict(self, now: float) -> str:
        """Return what is wrong, or an empty string."""
        if self._seen_at is None:
            late = now - self._opened_at >= self._open_s
            return f"it has delivered nothing for {self._open_s:.0f} s" if late else ""
        if now - self._seen_at >= self._silent_s:
            return f"it has delivered nothing for {now - self._seen_at:.1f} s"
        if now - self._moved_at >= self._frozen_s:
            return f"it has repeated one picture for {now - self._moved_at:.1f} s"
        return ""


class DeviceFeed:
    """What one device delivers, across losses.

    Parameters
    ----------
    what : str
        The device in words, for messages: ``"camera 0"``.
    open_reader : callable
        Opens the device; called again after a loss. It must return at once and never raise: what goes
        wrong is the reader's ``failure``.
    watchdog : DeviceWatchdog
        When to call the device lost.
    report : callable
        Takes a sentence for the user whenever the state changes.
    remedy : str
        What to do if the device cannot be opened in the first place.
    """

    ended = False  # a device has no end

    def __init__(
        self,
        what: str,
        open_reader: Callable[[], Reader],
        watchdog: DeviceWatchdog,
        report: Callable[[str], None],
        remedy: str,
    ) -> None:
        self._what = what
        self._open_reader = open_reader
        self._watchdog = watchdog
        self._report = report
        self._remedy = remedy
        self._reader: Reader | None = None
        self._stuck: list[Reader] = []
        self._next_try = float("-inf")
        self._worked = False  # it has delivered once: from then on a loss is retried
        self._lost = False

    def take(self, now: float) -> list[Capture]:
        """Return what was captured since the last call; notice a loss, and try again when it is time.

        Raises
        ------
        InputError
            If the device never delivered anything.
        """
        if self._reader is None:
            self._try_open(now)
        if self._reader is None:
            return []
        captures = self._reader.take()
        for capture in captures:
            moved = self._watchdog.saw(now, capture.content)
            if self._lost and moved:
                self._lost = False
                self._report(f"{self._what} delivers again")
        self._worked = self._worked or bool(captures)
        trouble = self._reader.failure or self._watchdog.verdict(now)
        if trouble:
            self._lose(now, trouble)
        return captures

    def wait(self, timeout_s: float) -> bool:
        """Wait for a capture; return False at once where no device is open."""
        if self._reader is None:
            return False
        self._reader.wait(timeout_s)
        return True

    def close(self) -> None:
        """Let go of the device."""
        if self._reader is not None:
            self._reader.close()

    def _try_open(self, now: float) -> None:
        if now < self._next_try:
            return
        self._stuck = [reader for reader in self._stuck if reader.alive]
        if len(self._stuck) >= _MAX_STUCK:
            return  # every further attempt would only leave one more thread in the driver
        self._watchdog.opened(now)
        self._reader = self._open_reader()

    def _lose(self, now: float, trouble: str) -> None:
        assert self._reader is not None
        self._reader.close()
        if not self._worked:
            raise InputError(trouble, where=self._what, remedy=self._remedy, code=ErrorCode.DEVICE)
        self._stuck.append(self._reader)
        self._reader = None
        self._next_try = now + _RETRY_S
        if not self._lost:
            self._lost = True
            self._report(f"{self._what} is lost: {trouble}; trying again every second")


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
