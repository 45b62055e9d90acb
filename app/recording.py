"""Records without decoding, from the choice of streams to the finished file: the command record."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError
from acquisition.lsl.discovery import discover
from acquisition.process import interruptible
from acquisition.record.recorder import Recorder, stop_recording
from acquisition.record.supervisor import RecordingStatus
from acquisition.select import select_streams
from acquisition.types import StreamHeader
from app.recording_control import NewStreams
from app.tables import counted, duration_text, size_text

_POLL_S = 0.25
_LINE_EVERY_S = 10.0  # progress lines where there is no terminal
_FIELDS = ("name", "type", "source_id", "host")
_BY_FIELD = re.compile(rf"\s*(?:{'|'.join(_FIELDS)}):")


def choose(text: str | None, *, take_all: bool, timeout_s: float) -> list[StreamHeader]:
    """Discover streams and return those to record.

    Parameters
    ----------
    text : str or None
        ``eeg=name:Muse,face=none`` chooses by modality as in live, ``source_id:abc,name:Events`` takes
        streams of any kind. Without it, one stream a modality and all markers.
    take_all : bool
        Everything found.

    Raises `InputError` if there are no streams, or the choice is malformed, ambiguous or matches nothing.
    """
    headers = {found.key: found.header for found in discover(timeout_s)}
    if not headers:
        raise InputError(
            "no LSL stream was found",
            where="record",
            remedy="see `affectscope streams`",
            code=ErrorCode.NO_STREAM,
        )
    if take_all:
        return list(headers.values())
    if text and _BY_FIELD.match(text):
        return _by_field(headers, text)
    return [headers[key] for key in select_streams(headers, text)]


def _by_field(headers: Mapping[str, StreamHeader], text: str) -> list[StreamHeader]:
    chosen: dict[str, StreamHeader] = {}
    # A name may hold commas, so cut only before the next field.
    for part in re.split(rf",(?={_BY_FIELD.pattern})", text):
        name, _, value = (piece.strip() for piece in part.partition(":"))
        found = {key: header for key, header in headers.items() if _field(header, name) == value}
        if not found:
            known = ", ".join(sorted({_field(header, name) or "empty" for header in headers.values()}))
            raise InputError(
                f"no stream has {name} {value!r}; found: {known}",
                where="--streams",
                code=ErrorCode.WRONG_STREAM,
            )
        chosen.update(found)
    return list(chosen.values())


def _field(header: StreamHeader, name: str) -> str:
    values = {"name": header.name, "type": header.type, "source_id": header.source_id}
    return values.get(name, header.hostname)


def record(path: Path, headers: list[StreamHeader], seconds: float | None) -> None:
    """Record until ``seconds`` are over, Ctrl-C, or the recording fails.

    Raises `InputError` if the recording cannot start, or ends by itself.
    """
    recorder = Recorder(path, headers)
    with interruptible() as interrupted:
        recorder.start()
        progress = _Progress(recorder, headers)
        try:
            with progress:
                _watch(recorder, progress, seconds, interrupted)
        finally:
            status = recorder.stop()
    if status.state == "failed":
        raise InputError(
            status.message, where=str(path), remedy=f"see {path.name}.log", code=ErrorCode.RECORDING
        )
    progress.say(f"{path.name}: {size_text(status.n_bytes)}, {status.message}")
    progress.say(f"Look into it with: affectscope inspect {path}")


def end_orphan(path: Path) -> None:
    """End a recording that outlived its program.

    Raises `InputError` if none is running, or it failed.
    """
    status = stop_recording(path)
    if status.state == "failed":
        raise InputError(
            status.message,
            where=str(path),
            remedy="the file is readable up to the last complete chunk",
            code=ErrorCode.RECORDING,
        )
    print(f"{path.name}: {size_text(status.n_bytes)}, {status.message}")


def _watch(
    recorder: Recorder, progress: _Progress, seconds: float | None, interrupted: threading.Event
) -> None:
    clock = LslClock()
    look = NewStreams(recorder, lambda message: progress.say(f"- {message}"))
    end = float("inf")
    while not interrupted.is_set() and clock.now() < end:
        status = recorder.status()
        if status.over:
            return
        if status.all_opened:
            if progress.began_at is None:
                progress.began_at = clock.now()
                end = clock.now() + (seconds or float("inf"))
            look(clock.now())
        progress.update(status, clock.now())
        interrupted.wait(max(0.0, min(_POLL_S, end - clock.now())))


class _Progress:
    """A status line that is updated in a terminal; elsewhere a line every ten seconds."""

    def __init__(self, recorder: Recorder, headers: list[StreamHeader]) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, transient=True) if self._console.is_terminal else None
        self._name = recorder.path.name
        self._n_notices = 0
        self._next_line = float("-inf")
        self.began_at: float | None = None
        self.say(f"Recording {counted(len(headers), 'stream')} to {recorder.path}:")
        for header in headers:
            self.say(f"  {header.name} ({header.type}) on {header.hostname}")
        for notice in recorder.notices:
            self.say(f"- {notice}")

    def __enter__(self) -> _Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
        self.say("closing the file")

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def update(self, status: RecordingStatus, now: float) -> None:
        """Show how it goes."""
        for notice in status.notices[self._n_notices :]:
            self.say(f"- {notice}")
        self._n_notices = len(status.notices)
        if self.began_at is None:
            line = f"{status.message} ..."
        else:
            line = (
                f"{duration_text(now - self.began_at)}  {size_text(status.n_bytes)}, "
                f"{size_text(status.free_bytes)} free on the disk"
            )
        if self._live is not None:
            self._live.update(Text(f"{line}   Ctrl-C ends the recording", no_wrap=True, overflow="ellipsis"))
        elif self.began_at is not None and now >= self._next_line:
            self._next_line = now + _LINE_EVERY_S
            self.say(line)
