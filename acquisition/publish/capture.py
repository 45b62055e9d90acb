"""What publishers share: devices that are opened again after a loss, files in their place, and the loop."""

import hashlib
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acquisition.clock import Clock, LslClock
from acquisition.errors import ErrorCode, InputError, real_path

_RETRY_S = 1.0
_MAX_STUCK = 4
_FIRST_WITHIN_S = 20.0  # how long an opened device may take to deliver for the first time
_POLL_S = 0.1
_LINGER_S = 1.0


@dataclass(frozen=True, eq=False)
class Capture:
    """One frame or one buffer of sound."""

    stamp: float  # LSL seconds: a frame's capture, or a buffer's last sample
    data: Any  # (height, width, 3) uint8 BGR, or (n_samples, n_channels) int16
    content: int | None = None  # a hash that shows whether the picture moved; None = not looked at


@dataclass(frozen=True)
class Publishing:
    """How a stream is published, whatever the device."""

    stop: Callable[[], bool]  # asked about ten times a second
    report: Callable[[str], None]  # takes a sentence: what is published, when the device is lost and back
    name: str = ""  # of the stream; empty for the device's usual one
    loop: bool = False  # repeat a file
    await_consumer: bool = False  # begin a file when there is a receiver, so that nothing of it is missed
    idle_limit_s: float = float("inf")  # end when there was no receiver for this long


class DeviceReader:
    """An open device that captures in a thread of its own, because its driver may never return.

    A subclass sets its attributes first, and captures in `_capture`. Of the captures that wait to be taken
    the newest ``n_kept`` are kept.
    """

    def __init__(self, name: str, n_kept: int) -> None:
        self.failure = ""  # why it delivers no more
        self._captures: deque[Capture] = deque(maxlen=n_kept)
        self._fresh, self._closed = threading.Event(), threading.Event()
        self._clock = LslClock()
        # A daemon: a thread that never comes back from the driver must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _capture(self) -> str:
        """Open the device and `_deliver` until `_closed` is set; return what went wrong, if anything."""
        raise NotImplementedError

    def _run(self) -> None:
        self.failure = self._capture()
        self._fresh.set()

    def _deliver(self, capture: Capture) -> None:
        self._captures.append(capture)
        self._fresh.set()

    @property
    def alive(self) -> bool:
        """True while its thread is in the driver's hands."""
        return self._thread.is_alive()

    def take(self) -> list[Capture]:
        """Return what was captured since the last call, oldest first; never waits."""
        self._fresh.clear()
        return [self._captures.popleft() for _ in range(len(self._captures))]

    def wait(self, timeout_s: float) -> None:
        """Return when something was captured, at the latest after ``timeout_s``."""
        self._fresh.wait(timeout_s)

    def close(self) -> None:
        """Let go of the device as soon as the driver returns; never waits long."""
        self._closed.set()
        self._thread.join(0.2)


class DeviceFeed:
    """What one device delivers, across losses.

    A device that is pulled out reports an error, or repeats its last frame for ever, or delivers nothing.
    So it is judged by the age and the content of what arrives; a lost one is opened again every second.

    Parameters
    ----------
    what : str
        The device in words, for messages: ``"camera 0"``.
    open_reader : callable
        Opens the device; called again after a loss. It must return at once and never raise: what goes
        wrong is the reader's ``failure``.
    report : callable
        Takes a sentence for the user whenever the state changes.
    remedy : str
        What to do if the device cannot be opened in the first place.
    silent_s, frozen_s : float
        It is lost when nothing, or the same picture, arrived for this long.
    """

    ended = False  # a device has no end

    def __init__(
        self,
        what: str,
        open_reader: Callable[[], DeviceReader],
        report: Callable[[str], None],
        remedy: str,
        *,
        silent_s: float,
        frozen_s: float = float("inf"),
    ) -> None:
        self._what, self._open_reader = what, open_reader
        self._report, self._remedy = report, remedy
        self._silent_s, self._frozen_s = silent_s, frozen_s
        self._reader: DeviceReader | None = None
        self._stuck: list[DeviceReader] = []
        self._next_try = float("-inf")
        self._worked = False  # it has delivered once: from then on a loss is retried
        self._lost = False
        self._opened_at = self._moved_at = 0.0
        self._seen_at: float | None = None  # since it was opened
        self._content: int | None = None

    def take(self, now: float) -> list[Capture]:
        """Return what was captured since the last call; notice a loss, and try again when it is time.

        Raises `InputError` if the device never delivered anything.
        """
        if self._reader is None:
            self._try_open(now)
        if self._reader is None:
            return []
        captures = self._reader.take()
        for capture in captures:
            self._see(now, capture.content)
        self._worked = self._worked or bool(captures)
        trouble = self._reader.failure or self._trouble(now)
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
        if self._reader is not None:
            self._reader.close()

    def _try_open(self, now: float) -> None:
        if now < self._next_try:
            return
        self._stuck = [reader for reader in self._stuck if reader.alive]
        if len(self._stuck) >= _MAX_STUCK:
            return  # every further attempt would only leave one more thread in the driver
        self._opened_at, self._seen_at = now, None
        self._reader = self._open_reader()

    def _see(self, now: float, content: int | None) -> None:
        has_moved = content is None or content != self._content
        if has_moved or self._seen_at is None:
            self._moved_at = now
        self._seen_at, self._content = now, content
        if self._lost and has_moved:
            self._lost = False
            self._report(f"{self._what} is sending again")

    def _trouble(self, now: float) -> str:
        if self._seen_at is None:
            late = now - self._opened_at >= _FIRST_WITHIN_S
            return f"no data for {_FIRST_WITHIN_S:.0f} s" if late else ""
        if now - self._seen_at >= self._silent_s:
            return f"no data for {now - self._seen_at:.1f} s"
        if now - self._moved_at >= self._frozen_s:
            return f"the same frame for {now - self._moved_at:.1f} s"
        return ""

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
            self._report(f"lost {self._what}: {trouble}; retrying every second")


class PacedFile:
    """A file played in real time; it begins at the first `take`.

    A subclass says when its next capture is due, `_due_s` after the beginning, and makes it in `_next`.
    """

    def __init__(self, clock: Clock) -> None:
        self.ended = False
        self._clock = clock
        self._start: float | None = None

    def _due_s(self) -> float:
        raise NotImplementedError

    def _next(self, start: float, now: float) -> Capture | None:
        """Return the next capture, or None where it is dropped; set ``ended`` at the end."""
        raise NotImplementedError

    def take(self, now: float) -> list[Capture]:
        """Return the captures that are due, stamped with the moment each was due."""
        if self._start is None:
            self._start = now
        captures = []
        while not self.ended and self._start + self._due_s() <= now:
            captures.append(self._next(self._start, now))
        return [capture for capture in captures if capture is not None]

    def wait(self, timeout_s: float) -> bool:
        assert self._start is not None, "take() comes first"
        self._clock.wait_until(min(self._start + self._due_s(), self._clock.now() + timeout_s))
        return True

    def close(self) -> None:
        """Let go of the file."""


def publisher_source_id(kind: str, device: int | str | Path) -> str:
    """Return the ``source_id`` of a webcam's or microphone's stream, the same at every start."""
    text = str(real_path(device)) if isinstance(device, Path) else str(device)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"affectscope-{kind}-{socket.gethostname()}-{digest}"


#: A device, or a file that stands in for one.
CaptureSource = DeviceFeed | PacedFile


def run_publisher(
    source: CaptureSource, outlet: Any, push: Callable[[Capture], None], clock: Clock, publishing: Publishing
) -> None:
    """Push what ``source`` delivers until it ends, it is told to stop, or there is no receiver left."""
    if publishing.await_consumer:
        while not (publishing.stop() or outlet.have_consumers()):
            clock.wait_until(clock.now() + _POLL_S)
    heard_at = clock.now()
    try:
        while not publishing.stop():
            now = clock.now()
            for capture in source.take(now):
                push(capture)
            if source.ended:
                clock.wait_until(now + _LINGER_S)  # an outlet that goes takes unsent samples with it
                publishing.report("the file has ended")
                return
            heard_at = now if outlet.have_consumers() else heard_at
            if now - heard_at >= publishing.idle_limit_s:
                minutes = publishing.idle_limit_s / 60
                publishing.report(f"no receiver for {minutes:.0f} min: stream closed")
                return
            if not source.wait(_POLL_S):
                clock.wait_until(now + _POLL_S)
    finally:
        source.close()
