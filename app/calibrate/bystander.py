"""A thread that looks at what comes in, so that the one that reads the streams need not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from acquisition.types import Chunk, StreamEvent


class Bystander:
    """Passes events and chunks on in their order, from a thread of its own.

    Parameters
    ----------
    on_event, on_chunk : callable
    """

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
