"""The signals of a calibration: signal checks before it begins, quality all the time.

They are analysed in a background thread, so that the one that reads the streams need not wait.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from acquisition.lsl.discovery import discover
from acquisition.types import Change, Chunk, StreamEvent, StreamHeader, StreamHealth, StreamSpec
from app.telemetry import Listener
from calibration.quality import QualityLog
from calibration.signal_checks import preflight, stream_statuses
from calibration.types import Check, Consent

T = TypeVar("T")


class SignalChecks:
    """Watches the streams until the session begins.

    ``headers`` are the streams in use (all others on the network are looked for in a background thread),
    ``recorded`` those of them that the recording takes. The session is kept in ``folder`` and lasts
    ``seconds``. `on_event` comes from one thread, `checks` may come from another.
    """

    def __init__(
        self,
        consent: Consent,
        quality: QualityLog,
        headers: list[StreamHeader],
        recorded: list[StreamHeader],
        folder: Path,
        seconds: float,
    ) -> None:
        self._consent, self._quality, self._folder, self._seconds = consent, quality, folder, seconds
        self._found, self._recorded = headers, recorded
        self._specs: dict[str, StreamSpec] = {}
        self._trouble: dict[str, str] = {}
        self._refused: set[str] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._discover, name="streams", daemon=True).start()

    def on_event(self, event: StreamEvent) -> None:
        with self._lock:
            if event.change is Change.OPENED and event.spec is not None:
                self._specs[event.stream] = event.spec
            elif event.change is Change.REFUSED:
                self._refused.add(event.stream)
            if event.stream and event.change in (Change.WARNING, Change.REFUSED):
                self._trouble[event.stream] = event.message

    def checks(self, health: Mapping[str, StreamHealth]) -> tuple[Check, ...]:
        """Return the checks now; ``health`` is that of each stream, by key."""
        with self._lock:
            statuses = stream_statuses(self._specs, health, self._trouble, self._refused)
            found = self._found
        return preflight(
            self._consent,
            statuses,
            self._quality.newest(),
            found=found,
            folder=self._folder,
            seconds=self._seconds,
            recorded=self._recorded,
        )

    def _discover(self) -> None:
        headers = [stream.header for stream in discover(1.0)]
        with self._lock:
            # The streams in use answered before: one that this search missed is there all the same.
            known = {header.uid for header in headers}
            self._found = headers + [header for header in self._found if header.uid not in known]


class SignalListener(Listener):
    """Listens to telemetry and chunks.

    ``checks`` are the signal checks: None before the streams are open and once the session has begun.
    ``error`` is what ended the background thread.
    """

    def __init__(self, quality: QualityLog) -> None:
        self.checks: SignalChecks | None = None
        self.error: Exception | None = None
        self._quality = quality
        self._background = ThreadPoolExecutor(1, thread_name_prefix="signals")

    def on_event(self, event: StreamEvent) -> None:
        self._background.submit(self._guarded, self._look_at_event, event)

    def on_chunk(self, chunk: Chunk) -> None:
        self._background.submit(self._guarded, self._quality.on_chunk, chunk)

    def close(self) -> None:
        self._background.shutdown(wait=True)
        self._quality.finish()

    def _guarded(self, look: Callable[[T], None], item: T) -> None:
        if self.error is None:
            try:
                look(item)
            except Exception as error:
                self.error = error

    def _look_at_event(self, event: StreamEvent) -> None:
        self._quality.on_event(event)
        if (checks := self.checks) is not None:
            checks.on_event(event)
