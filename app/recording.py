"""A session's recordings, started, watched and stopped without waiting for any of it; the command record."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError, printable
from acquisition.lsl.discovery import discover
from acquisition.process import interruptible
from acquisition.record.files import bytes_per_second, next_part_path, recorded_identity, write_sidecar
from acquisition.record.recorder import MIN_FREE_BYTES, Recorder, stop_recording
from acquisition.record.supervisor import RecordingStatus
from acquisition.select import select_streams
from acquisition.text import counted, data_size, duration, say
from acquisition.types import StreamHeader
from app.engine.messages import RecordingInfo
from app.tables import make_console, say_on

_LOOK_FOR_NEW_S = 5.0


class NewStreams:
    """Looks every few seconds, in a background thread, for streams that a running recording lacks.

    LabRecorder never adds streams to a recording that has begun. ``say`` is called once for each new stream,
    with the command that records it to a separate file.
    """

    def __init__(
        self, recorder: Recorder, say: Callable[[str], None], is_told: Callable[[StreamHeader], bool]
    ) -> None:
        self._recorder, self._say, self._is_told = recorder, say, is_told
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
        if not self._has_looked:  # what was there at the start was excluded on purpose
            self._has_looked = True
            return
        for header in new:
            if self._is_told(header):
                continue
            part = next_part_path(self._recorder.path)
            part = part.relative_to(Path.cwd()) if part.is_relative_to(Path.cwd()) else part
            self._say(
                f"{header.name} ({header.type}) appeared and is not in this file; to record it separately: "
                f"{record_command(part, header)}"
            )


def record_command(path: Path, header: StreamHeader) -> str:
    """Return the command that records a stream, to be pasted: what others name runs nothing in a shell."""
    choice = f"source_id:{header.source_id}" if header.source_id else f"name:{header.name}"
    words = ("affectscope", "record", str(path), "--streams", printable(choice))
    return " ".join(map(shlex.quote, words))


_RATE_AFTER_S = 5.0  # until then, how long the disk lasts is estimated from the streams' nominal rates


@dataclass(frozen=True)
class RecordingHooks:
    """What a session does for its recordings."""

    on_notice: Callable[[str], None]  # called with a sentence
    on_failure: Callable[[str], None] = lambda message: None  # called with what ended a recording early
    on_opened: Callable[[], None] = lambda: None  # a recording has begun to take every stream
    sidecar: Callable[[], Mapping[str, Any]] | None = None  # content of the JSON file next to a recording
    #: The session itself speaks of such streams.
    is_told: Callable[[StreamHeader], bool] = lambda header: False
    confirm_within_s: float = 30.0  # a recording fails unless every stream answers by then


class RecordingControl:
    """Starts and ends recordings of the same streams, and of this program's own, whose outlets exist.

    A recording may begin while the file of the one before is still being closed, which takes seconds.
    LabRecorder adds no stream to a file that it has begun: when one joins (`use`), the recording continues
    with it in a new part, and the part before ends once the new one has every stream.
    """

    def __init__(
        self, streams: Sequence[StreamHeader], own_source_ids: Sequence[str], hooks: RecordingHooks
    ) -> None:
        self._streams, self._own_source_ids = list(streams), list(own_source_ids)
        self._hooks = hooks
        self._recordings: list[_Recording] = []  # the newest last; before it, those that are being closed
        self._part: _Recording | None = None  # that is to take over from the newest

    def start(self, path: Path, now: float) -> None:
        """Start a recording; `step` follows how it goes.

        Raises `InputError` if one is running, or it cannot start: the file exists, the disk is full, ...
        """
        if self.is_running:
            what = "another recording is running"
            raise InputError(what, where=str(path), remedy="stop it first, then start another")
        recording = self._make(path, now)
        self._recordings = [*(one for one in self._recordings if one.is_busy), recording]
        recording.start()

    def use(self, streams: Sequence[StreamHeader]) -> None:
        """Record these streams from now on."""
        self._streams = list(streams)

    def stop(self, now: float) -> None:
        """Ask for the end of the recording; `step` follows it until the file is closed."""
        for recording in self._all[-2:]:
            recording.stop(now)

    def step(self, now: float) -> None:
        """Update the state of the recordings; call it a few times a second."""
        for recording in self._all:
            recording.step(now)
        if self._recordings:
            self._continue(self._recordings[-1], now)

    def _continue(self, newest: _Recording, now: float) -> None:
        """Start a part where a stream has joined, and end the part before once that has every stream."""
        part = self._part
        if part is None and newest.state == "recording" and (joined := newest.lacking(self._streams)):
            path, names = next_part_path(newest.path), ", ".join(header.name for header in joined)
            newest.freeze()  # the level that its sidecar holds belongs to its beginning
            self._part = self._make(path, now)
            self._hooks.on_notice(f"{names} joined: the recording continues with it in {path.name}")
            try:
                self._part.start()
            except InputError as error:
                self._hooks.on_failure(f"{names} is not recorded: {error}")
        elif part is not None and part.state != "starting":
            self._part = None
            if part.state == "recording":
                self._recordings.append(part)
                newest.stop(now)

    def _make(self, path: Path, now: float) -> _Recording:
        hooks = replace(
            self._hooks, is_told=lambda header: self._takes(header) or self._hooks.is_told(header)
        )
        return _Recording(Recorder(path, self._streams, self._own_source_ids), self._streams, hooks, now)

    def _takes(self, header: StreamHeader) -> bool:
        """Tell whether the next part has a stream that the one before lacks."""
        return recorded_identity(header) in map(recorded_identity, self._streams)

    @property
    def _all(self) -> list[_Recording]:
        return [*self._recordings, *filter(None, [self._part])]

    def finish(self, now: float, timeout_s: float = 75.0) -> None:
        """End every recording and wait for the closed files, at most ``timeout_s`` for each.

        What is not closed by then is closed by its supervisor, a separate process.
        """
        for recording in self._all:
            recording.finish(now, timeout_s)

    @property
    def state(self) -> str:
        """Of the newest recording, see `RecordingInfo`; empty before the first."""
        return self._recordings[-1].state if self._recordings else ""

    @property
    def is_running(self) -> bool:
        """True from the start of a recording until it is told to stop, or fails."""
        return self.state in ("starting", "recording")

    def info(self, now: float) -> RecordingInfo | None:
        """Return the state of the newest recording; None before the first."""
        if not self._recordings:
            return None
        return self._recordings[-1].info(now, bytes_per_second(self._streams))

    def text(self) -> str:
        """Return name, state and size of the newest recording, empty before the first."""
        return self._recordings[-1].text() if self._recordings else ""


def _as_recorded(header: StreamHeader) -> tuple[object, ...]:
    """Return what a file cannot hold two of in one stream."""
    return recorded_identity(header), header.n_channels, header.nominal_sfreq, header.channel_format


class _Recording:
    """One recording and how far it is."""

    def __init__(
        self, recorder: Recorder, streams: Sequence[StreamHeader], hooks: RecordingHooks, now: float
    ) -> None:
        self._recorder, self._hooks, self.path = recorder, hooks, recorder.path
        self._known = {_as_recorded(stream) for stream in streams}
        self._content: Mapping[str, Any] | None = None  # of the sidecar, once it is not to change any more
        self.state, self._message = "starting", "looking for the streams"
        self._status = RecordingStatus(str(recorder.path))
        self._failure = ""  # why it failed, where the supervisor does not know
        self._look: NewStreams | None = None
        self._n_notices = 0
        self._started_at, self._opened_at, self._stopped_at = now, math.nan, math.nan

    @property
    def is_busy(self) -> bool:
        """True until the file is closed."""
        return self.state in ("starting", "recording", "stopping")

    def lacking(self, streams: Sequence[StreamHeader]) -> list[StreamHeader]:
        """Return the streams that it does not record, each one once."""
        found = [stream for stream in streams if _as_recorded(stream) not in self._known]
        self._known |= {_as_recorded(stream) for stream in found}
        return found

    def freeze(self) -> None:
        """Write the sidecar at the end as it would be now."""
        self._content = None if self._hooks.sidecar is None else self._hooks.sidecar()

    def start(self) -> None:
        try:
            self._recorder.start()
        except InputError as error:
            self.state, self._message = "failed", str(error)
            raise
        for notice in self._recorder.notices:
            self._hooks.on_notice(notice)

    def stop(self, now: float) -> None:
        """Have the supervisor close the file."""
        if self.is_busy and self.state != "stopping":
            self._recorder.request_stop()
            self.state, self._message, self._stopped_at = "stopping", "closing the file", now

    def step(self, now: float) -> None:
        if not self.is_busy:
            return
        status = self._status = self._recorder.status()
        for notice in status.notices[self._n_notices :]:
            self._hooks.on_notice(notice)
        self._n_notices = len(status.notices)
        if status.over:
            self._end(self._recorder.stop(), now)
        elif self.state == "starting":
            self._wait_for_streams(status, now)
        elif self.state == "recording" and self._look is not None:
            self._look(now)

    def finish(self, now: float, timeout_s: float) -> None:
        """End it and wait for the closed file, or leave it to its supervisor."""
        if not self.is_busy:
            return
        self.stop(now)
        status = self._recorder.stop(timeout_s)
        if status.over:
            self._end(status, now)
            return
        self._recorder.leave()
        self._message = "a separate process is closing the file"
        self._write_sidecar()

    def info(self, now: float, expected_rate: float) -> RecordingInfo:
        """Return its state; ``expected_rate`` in bytes a second is used until it can be measured."""
        n_bytes, free = self._status.n_bytes, self._free_bytes()
        end = now if math.isnan(self._stopped_at) else self._stopped_at
        duration_s = 0.0 if math.isnan(self._opened_at) else end - self._opened_at
        rate = n_bytes / duration_s if duration_s > _RATE_AFTER_S else expected_rate
        room_s = max(0.0, free - MIN_FREE_BYTES) / max(rate, 1.0)
        return RecordingInfo(self.path, self.state, self._message, duration_s, n_bytes, free, room_s)

    def text(self) -> str:
        return f"{self.path.name}: {self.state} {self._status.n_bytes / 1e6:.1f} MB"

    def _wait_for_streams(self, status: RecordingStatus, now: float) -> None:
        self._message = status.message
        if status.all_opened:
            self.state, self._opened_at = "recording", now
            self._message = f"{status.n_opened} streams are recorded"
            self._look = NewStreams(self._recorder, self._hooks.on_notice, self._hooks.is_told)
            self._write_sidecar()  # again at the end; this one is there if the program is killed
            self._hooks.on_opened()
        elif now > self._started_at + self._hooks.confirm_within_s:
            self.stop(now)
            limit = f"{self._hooks.confirm_within_s:.0f} s"
            self._failure = f"not every stream answered within {limit}: {status.message}"

    def _end(self, status: RecordingStatus, now: float) -> None:
        """Note how it ended; the file is closed."""
        self._status = status
        self.state = "failed" if self._failure else status.state
        self._message = self._failure or status.message
        if math.isnan(self._stopped_at):
            self._stopped_at = now
        if self.state == "failed":
            self._hooks.on_failure(f"{self.path.name}: {self._message}")
        self._write_sidecar()

    def _write_sidecar(self) -> None:
        if self._hooks.sidecar is None or not self.path.exists():
            return
        try:
            write_sidecar(self.path, self._content or self._hooks.sidecar())
        except InputError as error:
            self._hooks.on_failure(str(error))

    def _free_bytes(self) -> int:
        if self.is_busy and self._status.free_bytes:
            return self._status.free_bytes
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError:  # the drive is gone, and with it all room
            return 0


_POLL_S = 0.25
_LINE_EVERY_S = 10.0  # progress lines where there is no terminal
_BY_FIELD = re.compile(r"\s*(?:name|type|source_id|host):")


def choose(text: str | None, *, take_all: bool, timeout_s: float) -> list[StreamHeader]:
    """Discover streams and return those to record, or everything found.

    The text chooses by modality as in live, ``eeg=name:Muse,face=none``, or takes streams of any kind,
    ``source_id:abc,name:Events``. Without it, one stream a modality and all markers are recorded. Raises
    `InputError` if there are no streams, or the choice is malformed, ambiguous or matches nothing.
    """
    headers = {found.key: found.header for found in discover(timeout_s)}
    if not headers:
        remedy = "see `affectscope streams`"
        raise InputError("no LSL stream was found", where="record", remedy=remedy, code=ErrorCode.NO_STREAM)
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
        values = {key: getattr(h, "hostname" if name == "host" else name) for key, h in headers.items()}
        found = {key: headers[key] for key, there in values.items() if there == value}
        if not found:
            known = ", ".join(sorted({there or "empty" for there in values.values()}))
            what = f"no stream has {name} {value!r}; found: {known}"
            raise InputError(what, where="--streams", code=ErrorCode.WRONG_STREAM)
        chosen.update(found)
    return list(chosen.values())


def record(path: Path, headers: list[StreamHeader], seconds: float | None) -> None:
    """Record until ``seconds`` are over, Ctrl-C, or the recording fails.

    In a terminal a status line is updated; elsewhere a line is printed every ten seconds. Raises `InputError`
    if the recording cannot start, or ends by itself.
    """
    console, clock = make_console(), LslClock()
    notices: list[str] = []
    recording = RecordingControl(headers, (), RecordingHooks(notices.append, confirm_within_s=math.inf))

    with interruptible() as interrupted:
        recording.start(path, clock.now())
        say_on(console, f"Recording {counted(len(headers), 'stream')} to {path.absolute()}:")
        for header in headers:
            say_on(console, f"  {header.name} ({header.type}) on {header.hostname}")
        next_line_s, seconds = 0.0, seconds or math.inf
        try:
            with console.status("") as status_line:
                while recording.is_running and not interrupted.is_set():
                    recording.step(clock.now())
                    while notices:
                        say_on(console, f"- {notices.pop(0)}")
                    info = recording.info(clock.now())
                    assert info is not None
                    if info.duration_s >= seconds:
                        break
                    shown = f"{_progress(info)}   Ctrl-C ends the recording"
                    status_line.update(Text(shown, no_wrap=True, overflow="ellipsis"))
                    is_due = info.state == "recording" and info.duration_s >= next_line_s
                    if is_due and not console.is_terminal:
                        next_line_s = info.duration_s + _LINE_EVERY_S
                        say_on(console, _progress(info))
                    interrupted.wait(max(0.0, min(_POLL_S, seconds - info.duration_s)))
            say_on(console, "closing the file")
        finally:
            recording.finish(clock.now())
    info = recording.info(clock.now())
    assert info is not None
    if info.state == "failed":
        remedy = f"see {path.name}.log"
        raise InputError(info.message, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)
    say_on(console, f"{path.name}: {data_size(info.n_bytes)}, {info.message}")
    say_on(console, f"Inspect it with: affectscope inspect {shlex.quote(str(path))}")


def _progress(info: RecordingInfo) -> str:
    if info.state == "starting":
        return f"{printable(info.message)} ..."
    size, free = data_size(info.n_bytes), data_size(info.free_bytes)
    return f"{duration(info.duration_s, 1)}  {size}, {free} free on the disk"


def end_orphan(path: Path) -> None:
    """Stop a recording that was left running by a crash.

    Raises `InputError` if none is running, or it failed.
    """
    status = stop_recording(path)
    if status.state == "failed":
        remedy = "the file is readable up to the last complete chunk"
        raise InputError(status.message, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)
    say(f"{path.name}: {data_size(status.n_bytes)}, {status.message}")
