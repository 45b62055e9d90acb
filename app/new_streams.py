"""Announces streams that appear after a recording began: LabRecorder never picks them up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from acquisition.discovery import discover
from acquisition.record.files import next_part_path
from acquisition.record.recorder import Recorder

_LOOK_FOR_NEW_S = 5.0


class NewStreams:
    """Looks now and then, in a thread beside, for streams that a recording does not have.

    Parameters
    ----------
    recorder : Recorder
    say : callable
        Told of each new stream once, with the command that records it into a part of its own.
    """

    def __init__(self, recorder: Recorder, say: Callable[[str], None]) -> None:
        self._recorder, self._say = recorder, say
        self._has_looked = False
        self._next = float("-inf")
        self._thread: threading.Thread | None = None

    def __call__(self, now: float) -> None:
        """Look again if the last time was long enough ago; never waits."""
        if now < self._next or (self._thread is not None and self._thread.is_alive()):
            return
        self._next = now + _LOOK_FOR_NEW_S
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        new = self._recorder.new_streams(found.header for found in discover(1.0))
        if not self._has_looked:  # what was there at the start was left out on purpose
            self._has_looked = True
            return
        for header in new:
            part = next_part_path(self._recorder.path)
            part = part.relative_to(Path.cwd()) if part.is_relative_to(Path.cwd()) else part
            choice = f"source_id:{header.source_id}" if header.source_id else f"name:{header.name}"
            self._say(
                f"{header.name} ({header.type}) appeared and is not in this file; to record it beside: "
                f'affectscope record "{part}" --streams "{choice}"'
            )
