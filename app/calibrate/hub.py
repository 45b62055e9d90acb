"""A thread that looks at what comes in, so that the one that reads the streams need not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from acquisition.types import Chunk, StreamEvent
from app.calibrate.lights import Lights
from app.telemetry import Failure, Listener
from calibration.quality import QualityLog
from models.prediction import Prediction


class Bystander:
    """Passes events and chunks on in their order, from a thread of its own."""

    def __init__(self, on_event: Callable[[StreamEvent], None], on_chunk: Callable[[Chunk], None]) -> None:
        self._on_event, self._on_chunk = on_event, on_chunk
        self._queue: SimpleQueue[StreamEvent | Chunk | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="bystander", daemon=True)
        self._error: Exception | None = None

    def start(self) -> None:
        """Begin to pass on; what was put before comes first."""
        self._thread.start()

    def put(self, item: StreamEvent | Chunk) -> None:
        """Take an event or a chunk; returns at once."""
        if self._error is None:
            self._queue.put(item)

    def stop(self) -> None:
        """Pass on what waits, and end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def error(self) -> Exception | None:
        """What ended the thread early; None while all is well."""
        return self._error

    def _loop(self) -> None:
        try:
            while (item := self._queue.get()) is not None:
                if isinstance(item, Chunk):
                    self._on_chunk(item)
                else:
                    self._on_event(item)
        except Exception as error:
            self._error = error


class Hub:
    """Listens to telemetry and chunks; the signals' quality is worked out in a thread of its own.

    Parameters
    ----------
    listener : Listener, optional
        Hears of everything, too.

    Attributes
    ----------
    lights : Lights or None
        Of the pre-flight; None before the streams are open and once the session has begun.
    """

    def __init__(self, quality: QualityLog, listener: Listener | None) -> None:
        self.lights: Lights | None = None
        self._quality, self._listener = quality, listener
        self._aside = Bystander(self._look_at_event, self._look_at_chunk)
        self._aside.start()

    def on_event(self, event: StreamEvent) -> None:
        """Take a change of a stream's state."""
        self._aside.put(event)
        if self._listener is not None:
            self._listener.on_event(event)

    def on_chunk(self, chunk: Chunk) -> None:
        """Take a chunk."""
        self._aside.put(chunk)

    def on_prediction(self, prediction: Prediction) -> None:
        """Take a prediction."""
        if self.lights is not None:
            self.lights.on_prediction(prediction)
        if self._listener is not None:
            self._listener.on_prediction(prediction)

    def on_failure(self, failure: Failure) -> None:
        """Take a dead or degraded stage."""
        if self._listener is not None:
            self._listener.on_failure(failure)

    @property
    def error(self) -> Exception | None:
        """What ended the thread that looks at the signals; None while all is well."""
        return self._aside.error

    def close(self) -> None:
        """Look at what waits, and end."""
        self._aside.stop()
        self._quality.finish()

    def _look_at_event(self, event: StreamEvent) -> None:
        self._quality.on_event(event)
        if self.lights is not None:
            self.lights.on_event(event)

    def _look_at_chunk(self, chunk: Chunk) -> None:
        self._quality.on_chunk(chunk)
        if self.lights is not None:
            self.lights.on_chunk(chunk)
