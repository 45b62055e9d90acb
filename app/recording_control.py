"""A session's recordings, one after the other: started, watched and ended without waiting for any of it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acquisition.errors import InputError
from acquisition.record.files import write_sidecar
from acquisition.record.recorder import MIN_FREE_BYTES, Recorder
from acquisition.record.selection import bytes_per_second
from acquisition.record.supervisor import RecordingStatus
from acquisition.types import StreamHeader
from app.engine.messages import RecordingInfo
from app.new_streams import NewStreams

CONFIRM_TIMEOUT_S = 30.0
_RATE_AFTER_S = 5.0  # what the disk lasts is told by the streams' rates until then


class RecordingControl:
    """Starts and ends recordings of the same streams.

    Parameters
    ----------
    streams : sequence of StreamHeader
        What is recorded.
    own_source_ids : sequence of str
        Streams of this program that are recorded too; their outlets exist.
    on_opened : callable
        Called when a recording has begun to take every stream: state the clock map again, say.
    sidecar : callable
        Returns what the JSON beside a finished recording holds.
    on_notice, on_failure : callable
        Told in a sentence; `on_failure` also what ended a recording early.
    """

    def __init__(
        self,
        streams: Sequence[StreamHeader],
        own_source_ids: Sequence[str],
        *,
        on_opened: Callable[[], None],
        sidecar: Callable[[], Mapping[str, Any]],
        on_notice: Callable[[str], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._streams, self._own_source_ids = list(streams), list(own_source_ids)
        self._on_opened, self._sidecar = on_opened, sidecar
        self._on_notice, self._on_failure = on_notice, on_failure
        self._recorder: Recorder | None = None
        self._look: NewStreams | None = None
        self._state = ""
        self._message = ""
        self._status: RecordingStatus | None = None
        self._failure = ""  # why it failed, where the supervisor does not know
        self._n_notices = 0
        self._started_at = self._opened_at = self._ended_at = float("nan")

    # --- orders ---

    def start(self, path: Path, now: float) -> None:
        """Start a recording; `step` follows how it goes.

        Raises
        ------
        InputError
            If one is running, or it cannot start: the file exists, the disk is full, ...
        """
        if self.is_busy:
            raise InputError(
                "a recording is running already", where=str(path), remedy="stop it first, then start another"
            )
        recorder = Recorder(path, self._streams, self._own_source_ids)
        self._recorder, self._look, self._status = recorder, None, None
        self._n_notices, self._failure = 0, ""
        self._started_at, self._opened_at, self._ended_at = now, float("nan"), float("nan")
        self._state, self._message = "starting", "looking for the streams"
        try:
            recorder.start()
        except InputError as error:
            self._state, self._message = "failed", str(error)
            raise
        for notice in recorder.notices:
            self._on_notice(notice)

    def stop(self) -> None:
        """Ask for the end of the recording; `step` follows it until the file is closed."""
        if self.is_busy and self._recorder is not None and self._state != "stopping":
            self._recorder.request_stop()
            self._state, self._message = "stopping", "closing the file"

    def step(self, now: float) -> None:
        """Look how the recording goes; call it a few times a second."""
        if self._recorder is None or not self.is_busy:
            return
        status = self._status = self._recorder.status()
        self._tell_notices(status)
        if status.over:
            self._end(self._recorder.stop(), now)
        elif self._state == "starting" and status.all_opened:
            self._state, self._opened_at = "recording", now
            self._message = f"{status.n_opened} streams are recorded"
            self._look = NewStreams(self._recorder, self._on_notice)
            self._on_opened()
        elif self._state == "starting":
            self._message = status.message
            if now > self._started_at + CONFIRM_TIMEOUT_S:
                self.stop()
                self._failure = (
                    f"not every stream answered within {CONFIRM_TIMEOUT_S:.0f} s: {status.message}"
                )
        elif self._state == "recording" and self._look is not None:
            self._look(now)

    def finish(self, now: float, timeout_s: float = 75.0) -> None:
        """End the recording and wait for the closed file, at most ``timeout_s``.

        What is not closed by then is closed by its supervisor, a process of its own.
        """
        if self._recorder is None or not self.is_busy:
            return
        self.stop()
        status = self._status = self._recorder.stop(timeout_s)
        if status.over:
            self._end(status, now)
        else:
            self._recorder.leave()
            self._write_sidecar()

    # --- how it goes ---

    @property
    def is_busy(self) -> bool:
        """True from a start until the file is closed."""
        return self._state in ("starting", "recording", "stopping")

    @property
    def state(self) -> str:
        """One of ``starting``, ``recording``, ``stopping``, ``stopped`` and ``failed``; empty before."""
        return self._state

    def info(self, now: float) -> RecordingInfo | None:
        """Return how the newest recording goes or went; None before the first."""
        if self._recorder is None:
            return None
        n_bytes = self._status.n_bytes if self._status is not None else 0
        free = self._free_bytes()
        end = self._ended_at if not self.is_busy else now
        duration_s = end - self._opened_at if math.isfinite(self._opened_at) else 0.0
        rate = n_bytes / duration_s if duration_s > _RATE_AFTER_S else bytes_per_second(self._streams)
        room_s = max(0.0, free - MIN_FREE_BYTES) / max(rate, 1.0)
        return RecordingInfo(
            self._recorder.path, self._state, self._message, duration_s, n_bytes, free, room_s
        )

    def text(self) -> str:
        """Return how it goes in a few words, empty before the first recording."""
        if self._recorder is None:
            return ""
        n_bytes = self._status.n_bytes if self._status is not None else 0
        return f"{self._recorder.path.name}: {self._state} {n_bytes / 1e6:.1f} MB"

    def _free_bytes(self) -> int:
        assert self._recorder is not None
        if self._status is not None and self._status.free_bytes and self.is_busy:
            return self._status.free_bytes
        try:
            return shutil.disk_usage(self._recorder.path.parent).free
        except OSError:  # the drive is gone, and with it all room
            return 0

    def _tell_notices(self, status: RecordingStatus) -> None:
        for notice in status.notices[self._n_notices :]:
            self._on_notice(notice)
        self._n_notices = len(status.notices)

    def _end(self, status: RecordingStatus, now: float) -> None:
        """Settle what became of a recording whose file is closed."""
        self._status = status
        self._state = "failed" if self._failure else status.state
        self._message = self._failure or status.message
        self._ended_at = now
        if self._state == "failed":
            self._on_failure(self._message)
        self._write_sidecar()

    def _write_sidecar(self) -> None:
        assert self._recorder is not None
        if not self._recorder.path.exists():
            return
        try:
            write_sidecar(self._recorder.path, self._sidecar())
        except InputError as error:
            self._on_failure(str(error))
