"""A session's recordings, started, watched and stopped without waiting for any of it; the command record."""

from __future__ import annotations

import math
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from rich.text import Text

from acquisition.clock import LslClock
from acquisition.errors import ErrorCode, InputError, pasteable, printable
from acquisition.lsl.discovery import discover
from acquisition.process import interruptible
from acquisition.record.files import (
    bytes_per_second,
    next_path,
    recorded_identity,
    sample_bytes,
    write_sidecar,
)
from acquisition.record.recorder import (
    MIN_FREE_BYTES,
    MIN_ROOM_S,
    WRITTEN_FORMATS,
    Recorder,
    stop_recording,
)
from acquisition.record.supervisor import BUFFER_BYTES, MAX_HOURS, N_SEARCHES, UNWRITTEN_S, RecordingStatus
from acquisition.select import kind_of, select_streams
from acquisition.text import counted, data_size, duration, say
from acquisition.types import Kind, StreamHeader
from app.engine.messages import RecordingInfo
from app.environment import ExitCode
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
        self._has_looked = self._has_failed = False
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
        try:
            new = self._recorder.new_streams(found.header for found in discover(1.0))
            # What was there at the start was excluded on purpose.
            for header in new if self._has_looked else ():
                if not self._is_told(header):
                    self._tell(header)
            self._has_looked = True
        except Exception as error:  # what strangers send must not end what is only a hint
            if not self._has_failed:
                self._has_failed = True
                self._say(f"a search for new streams has failed: {printable(str(error))}")

    def _tell(self, header: StreamHeader) -> None:
        part = next_path(self._recorder.path, "part")
        part = part.relative_to(Path.cwd()) if part.is_relative_to(Path.cwd()) else part
        name, command = f"{header.name} ({header.type})", record_command(part, header)
        self._say(f"{name} appeared and is not in this file; to record it separately: {command}")


def record_command(path: Path, header: StreamHeader) -> str:
    """Return the command that records a stream, to be pasted: what others name runs nothing in a shell."""
    choice = f"source_id:{header.source_id}" if header.source_id else f"name:{header.name}"
    words = ("affectscope", "record", str(path), "--streams", printable(choice))
    return pasteable(*words)


_RATE_AFTER_S = 5.0  # until then, how long the disk lasts is estimated from the streams' nominal rates


Identity = tuple[str, str, str, str]  # see `recorded_identity`
_PAUSES_S = (0.0, 1.0, 5.0, 20.0, 60.0)  # before each part that follows a failure; then it is given up
_STEADY_S = 15.0  # after which the count of failures begins anew
_STOPPED_S, _STALLED_S = 1.0, 3.0  # without a byte in the file: of a halted process, while live receives
_HALTED_S, _DRAIN_S = 60.0, 3.0  # wait for a halted process to run on, and then for it to write what has come


@dataclass(frozen=True)
class RecordingHooks:
    on_notice: Callable[[str], None]  # called with a sentence
    on_failure: Callable[[str], None] = lambda message: None  # called with what a recording lost
    on_opened: Callable[[], None] = lambda: None  # a recording has begun to take every stream
    sidecar: Callable[[], Mapping[str, Any]] = dict  # content of the JSON file next to a recording
    #: The sidecar has what comes after the beginning, which a killed program could not write at the end.
    is_settled: Callable[[], bool] = lambda: False
    #: The session itself speaks of such streams.
    is_told: Callable[[StreamHeader], bool] = lambda header: False
    #: Samples that the session has received, by `recorded_identity`; what comes must be in the file.
    received: Callable[[], Mapping[Identity, int]] = dict
    confirm_within_s: float = 30.0  # a recording fails unless every stream answers by then
    max_hours: float = MAX_HOURS  # for which it goes on if this program is killed
    may_lack: bool = False  # begins without streams that are not there, and says so


class RecordingControl:
    """Starts and ends recordings of the same streams, and of this program's own, whose outlets exist.

    A recording may begin while the file of the one before is still being closed, which takes seconds.
    LabRecorder adds no stream to a file that it has begun: when one joins (`use`), the recording continues
    with it in a new part, and the part before ends once the new one has every stream. In the same way it
    continues when LabRecorder or its supervisor dies or halts, or a stream does not come into the file.
    """

    def __init__(
        self, streams: Sequence[StreamHeader], own_source_ids: Sequence[str], hooks: RecordingHooks
    ) -> None:
        self._own_source_ids, self._left_out = list(own_source_ids), set[Identity]()
        self._on_failure, self._hooks = hooks.on_failure, replace(hooks, on_failure=self._fail)
        self._streams = self._writable(streams)
        self._recordings: list[_Recording] = []  # the newest last; before it, those that are being closed
        self._parts: list[_Recording] = []  # of the newest recording
        self._part: _Recording | None = None  # that is to take over from the newest
        self._is_wanted = False  # started, and not stopped
        self._n_restarts, self._restart_at = 0, math.inf
        self.problems: list[str] = []  # why what was to be recorded is not all there

    def start(self, path: Path, now: float) -> None:
        """Start a recording; `step` follows how it goes.

        Raises `InputError` if one is running, or it cannot start: the file exists, the disk is full, ...
        """
        if self.is_running:
            what = "another recording is running"
            raise InputError(what, where=str(path), remedy="stop it first, then start another")
        recording = self._make(path, now)
        self._recordings = [*(one for one in self._recordings if one.is_busy), recording]
        self._parts, self._is_wanted, self._n_restarts = [recording], True, 0
        recording.start()

    def use(self, streams: Sequence[StreamHeader]) -> None:
        self._streams = self._writable(streams)

    def _writable(self, streams: Sequence[StreamHeader]) -> list[StreamHeader]:
        """Leave out markers that LabRecorder cannot write, and say so once: they may be a stranger's."""
        lost = [s for s in streams if kind_of(s) is Kind.MARKERS and s.channel_format not in WRITTEN_FORMATS]
        if len(lost) == len(streams):  # the recorder refuses what there is
            return list(streams)
        for stream in lost:
            if recorded_identity(stream) not in self._left_out:
                self._left_out.add(recorded_identity(stream))
                why = f"LabRecorder cannot write {stream.channel_format}"
                self._hooks.on_notice(f"{stream.name} is not recorded: {why}")
        return [stream for stream in streams if stream not in lost]

    def stop(self, now: float) -> None:
        """Ask for the end of the recording; `step` follows it until the file is closed."""
        self._is_wanted = False
        for recording in self._all[-2:]:
            recording.stop(now)

    def step(self, now: float) -> None:
        """Update the state of the recordings; call it a few times a second."""
        for recording in self._all:
            recording.step(now)
        if self._recordings:
            self._continue(self._recordings[-1], now)
        self._tell_losses()

    def _continue(self, newest: _Recording, now: float) -> None:
        """Start a part where one is needed, and end the part before once that has every stream."""
        part = self._part
        if part is not None and part.state in ("starting", "stopping"):
            return
        self._part = None
        if part is not None and part.state == "recording":
            self._recordings.append(part)
            self._parts.append(part)
            newest.retire(now)
            part.facts["part_of"] = self._parts[0].path.name
            self._parts[0].facts["parts"] = [one.path.name for one in self._parts]
            for one in (self._parts[0], part):
                one.write_sidecar()
            return
        if newest.state == "recording" and (joined := newest.lacking(self._streams)):
            names = ", ".join(header.name for header in joined)
            newest.freeze()  # the level that its sidecar holds belongs to its beginning
            self._begin_part(newest, f"{names} joined", f"{names} is not recorded", now)
        elif newest.trouble and self._is_wanted:
            self._restart(newest, now)
        elif newest.state == "recording" and now > newest.opened_at + _STEADY_S:
            self._n_restarts = 0

    def _restart(self, newest: _Recording, now: float) -> None:
        """Continue in a new part, after a pause that grows; in the end not at all."""
        if self._restart_at == math.inf:
            self._n_restarts += 1
            if self._n_restarts == len(_PAUSES_S) + 1:
                self._hooks.on_failure(f"{newest.path.name}: given up after {len(_PAUSES_S)} new parts")
            if self._has_given_up:
                return
            self._restart_at = now + _PAUSES_S[self._n_restarts - 1]
        if now >= self._restart_at:
            self._restart_at = math.inf
            newest.freeze()
            self._begin_part(newest, newest.trouble, "the recording does not continue yet", now)

    def _begin_part(self, newest: _Recording, why: str, otherwise: str, now: float) -> None:
        path = next_path(newest.path, "part")
        self._part = self._make(path, now, is_first=False)
        self._hooks.on_notice(f"{why}: the recording continues in {path.name}")
        try:
            self._part.start()
        except InputError as error:
            self._hooks.on_failure(f"{otherwise}: {error}")

    def _make(self, path: Path, now: float, *, is_first: bool = True) -> _Recording:
        def is_told(header: StreamHeader) -> bool:  # or in the next part
            is_taken = recorded_identity(header) in map(recorded_identity, self._streams)
            return is_taken or self._hooks.is_told(header)

        recorder = Recorder(
            path,
            self._streams,
            self._own_source_ids,
            min_room_s=MIN_ROOM_S if is_first else 0.0,
            max_hours=self._hooks.max_hours,
            may_lack=not is_first or self._hooks.may_lack,
            n_searches=N_SEARCHES if is_first else 1,  # the time of a part is short
        )
        return _Recording(recorder, self._streams, replace(self._hooks, is_told=is_told), now)

    def _tell_losses(self) -> None:
        """Say once what lies in neither of two parts, as the recorder of the first one died or was halted."""
        for before, after in pairwise(self._parts):
            if not before.trouble or before.is_busy or "lost_before_s" in after.facts:
                continue
            if (lost := after.missing_since(before)) is not None:
                after.facts["lost_before_s"] = round(max(lost.values(), default=0.0), 2)
                after.write_sidecar()
                if lost:
                    each = ", ".join(f"{seconds:.1f} s of {name}" for name, seconds in lost.items())
                    both = f"{before.path.name} and {after.path.name}"
                    self._hooks.on_failure(f"lost between {both}: {each}")

    def _fail(self, message: str) -> None:
        self.problems.append(message)
        self._on_failure(message)

    @property
    def _all(self) -> list[_Recording]:
        return [*self._recordings, *filter(None, [self._part])]

    def finish(self, now: float, timeout_s: float = 75.0) -> None:
        """End every recording and wait for the closed files, at most ``timeout_s`` for each.

        What is not closed by then is closed by its supervisor, a separate process.
        """
        self._is_wanted = False
        for recording in self._all:
            recording.finish(now, timeout_s)
        self._tell_losses()

    @property
    def state(self) -> str:
        """Of the newest recording, see `RecordingInfo`; empty before the first."""
        if not self._recordings:
            return ""
        newest = self._recordings[-1]
        will_continue = newest.trouble and self._is_wanted and not self._has_given_up
        return "starting" if newest.state == "failed" and will_continue else newest.state

    @property
    def _has_given_up(self) -> bool:
        return self._n_restarts > len(_PAUSES_S)

    @property
    def is_running(self) -> bool:
        """True from the start of a recording until it is told to stop, or fails."""
        return self.state in ("starting", "recording")

    def info(self, now: float) -> RecordingInfo | None:
        """Return the state of the newest recording; None before the first."""
        if not self._recordings:
            return None
        newest = self._recordings[-1]
        found = newest.info(now, bytes_per_second(self._streams))
        before_s = newest.opened_at - self._parts[0].opened_at if len(self._parts) > 1 else 0.0
        return replace(found, state=self.state, duration_s=found.duration_s + before_s)

    def text(self) -> str:
        """Return name, state and size of the newest recording and its parts, empty before the first."""
        return "; ".join(part.text() for part in self._parts)


def _as_recorded(header: StreamHeader) -> tuple[object, ...]:
    """Return what a file cannot hold two of in one stream: LabRecorder goes on under the header it has."""
    layout = header.n_channels, header.nominal_sfreq, header.channel_format, header.channels
    return recorded_identity(header), *layout


@dataclass
class _Flow:
    """Compares what the session has received of a stream with what has come into the file."""

    n_received: int
    n_written: int
    ahead: int  # samples that were received and not written, when this began
    since: float = math.inf  # when the first one came that is not in the file
    at: int = 0  # the file's size then
    came: float = -math.inf  # when the newest one came

    def is_late(self, n_received: int, n_written: int, n_bytes: int, now: float) -> bool:
        """Tell whether samples come, and none into the file.

        The last one of a sender that is gone may have reached the session alone; one that returns is waited
        for anew.
        """
        if n_written > self.n_written or now > self.came + UNWRITTEN_S / 2:
            self.since = math.inf
        if n_received > self.n_received:
            self.came = now
            if self.since == math.inf and n_received - n_written > self.ahead:
                self.since, self.at = now, n_bytes
        self.n_received, self.n_written = n_received, n_written
        return now > self.since + UNWRITTEN_S and n_bytes > self.at + BUFFER_BYTES


class _Recording:
    def __init__(
        self, recorder: Recorder, streams: Sequence[StreamHeader], hooks: RecordingHooks, now: float
    ) -> None:
        self._recorder, self._hooks, self.path = recorder, hooks, recorder.path
        self._known = {_as_recorded(stream) for stream in streams}
        self._headers = {recorded_identity(stream): stream for stream in streams}
        self._content: Mapping[str, Any] | None = None  # of the sidecar, once it is not to change any more
        self.facts: dict[str, Any] = {}  # what else the sidecar says: of parts
        self._is_settled = False  # and was written since
        self.state, self._message = "starting", "looking for the streams"
        self.trouble = ""  # why another part must continue
        self._status = RecordingStatus(str(recorder.path))
        self._failure = ""  # why it failed, where the supervisor does not know
        self._look: NewStreams | None = None
        self._n_notices = 0
        self._started_at, self.opened_at, self._stopped_at = now, math.nan, math.nan
        self._retired_at, self._running_at = math.nan, now
        self.grown_at, self._n_waiting_bytes = now, 0  # of the file, and what was received since
        self._flows: dict[Identity, _Flow] = {}
        self._begun: Mapping[Identity, int] = {}  # what had been received before
        self._is_counted = False  # what it holds at its end

    @property
    def is_busy(self) -> bool:
        return self.state in ("starting", "recording", "stopping")

    def lacking(self, streams: Sequence[StreamHeader]) -> list[StreamHeader]:
        """Return the streams that it does not record, each one once."""
        found = [stream for stream in streams if _as_recorded(stream) not in self._known]
        self._known |= {_as_recorded(stream) for stream in found}
        return found

    def freeze(self) -> None:
        """Write the sidecar at the end as it would be now."""
        self._content = self._content or self._hooks.sidecar()

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

    def retire(self, now: float) -> None:
        """End it, as another part has taken over; one that was halted first writes what has come since."""
        self._retired_at = now
        if not self.trouble:
            self.stop(now)

    def missing_since(self, before: _Recording) -> dict[str, float] | None:
        """Return how many seconds of each stream lie in neither of two parts; None if it is not known yet."""
        ours = {recorded_identity(stream): stream for stream in self._status.streams}
        found = {}
        for stream in before._status.streams:
            key = recorded_identity(stream)
            if stream.last is None or not stream.nominal_sfreq or key not in self._headers:
                continue
            next_one = ours.get(key)
            if next_one is None or next_one.first is None:
                if self.is_busy:
                    return None
                continue
            # What was silent before was not lost by the recorder, which had written all but the last second.
            lost_s = min(next_one.first - stream.last, self.opened_at - before.grown_at + 1.0)
            if lost_s > 2 / stream.nominal_sfreq:
                found[stream.name] = lost_s
        return found

    def step(self, now: float) -> None:
        if not self.is_busy:
            return
        before, status = self._status, self._recorder.status()
        self._status = status
        for notice in status.notices[self._n_notices :] if math.isnan(self._retired_at) else ():
            self._hooks.on_notice(notice)
        self._n_notices = len(status.notices)
        if status.n_bytes > before.n_bytes and not self.trouble:
            self.grown_at, self._n_waiting_bytes = now, 0
        if status.over:
            self._end(self._recorder.stop(), now)
        elif self.state == "starting":
            self._wait_for_streams(status, now)
        elif self.state == "recording" and not math.isnan(self._retired_at):
            if self._halted() and now < self._retired_at + _HALTED_S:
                self._running_at = now
            elif now > max(self._retired_at, self._running_at) + _DRAIN_S:
                self.stop(now)
        elif self.state == "recording" and self._look is not None:
            self._look(now)
            self._compare(now)
            if not self._is_settled and self._hooks.is_settled():
                self._is_settled = True
                self.write_sidecar()

    def finish(self, now: float, timeout_s: float) -> None:
        """End it and wait for the closed file, or leave it to its supervisor."""
        if not self.is_busy:
            return
        for process in self._halted():
            process.resume()
        self.stop(now)
        if (status := self._recorder.stop(timeout_s)).over:
            self._end(status, now)
            return
        self._recorder.leave()
        self._message = "a separate process is closing the file"
        self.write_sidecar()

    def info(self, now: float, expected_rate: float) -> RecordingInfo:
        """Return its state; ``expected_rate`` in bytes a second is used until it can be measured."""
        n_bytes, free = self._status.n_bytes, self._free_bytes()
        end = now if math.isnan(self._stopped_at) else self._stopped_at
        duration_s = 0.0 if math.isnan(self.opened_at) else end - self.opened_at
        rate = n_bytes / duration_s if duration_s > _RATE_AFTER_S else expected_rate
        room_s = max(0.0, free - MIN_FREE_BYTES) / max(rate, 1.0)
        return RecordingInfo(self.path, self.state, self._message, duration_s, n_bytes, free, room_s)

    def text(self) -> str:
        n_samples = counted(sum(stream.n_samples for stream in self._status.streams), "sample")
        return f"{self.path.name}: {data_size(self._status.n_bytes)}, {n_samples}, {self._message}"

    def _wait_for_streams(self, status: RecordingStatus, now: float) -> None:
        self._message = status.message
        if status.all_opened:
            self.state, self.opened_at, self.grown_at = "recording", now, now
            self._begun = dict(self._hooks.received())
            self._message = f"{status.n_opened} streams are recorded"
            self._look = NewStreams(self._recorder, self._hooks.on_notice, self._hooks.is_told)
            self.write_sidecar()  # again at the end; this one is there if the program is killed
            self._hooks.on_opened()
        elif now > self._started_at + self._hooks.confirm_within_s:
            self.stop(now)
            limit = f"{self._hooks.confirm_within_s:.0f} s"
            self._failure = f"not every stream answered within {limit}: {status.message}"

    def _compare(self, now: float) -> None:
        """Find out whether what the session receives comes into the file."""
        if self.trouble or self._status.state == "stopping":  # by itself, as the disk is full
            return
        received, late = self._hooks.received(), []
        written = {recorded_identity(stream): stream.n_samples for stream in self._status.streams}
        for key, header in self._headers.items():
            n, m = received.get(key, 0), written.get(key, 0)
            flow = self._flows.setdefault(key, _Flow(n, m, n - m))
            self._n_waiting_bytes += max(0, n - flow.n_received) * sample_bytes(header)
            if flow.is_late(n, m, self._status.n_bytes, now):
                late.append(f"{header.name!r} ({n - flow.ahead - m:,} samples)")
        waiting_s = now - self.grown_at
        if late:
            self.trouble = f"what comes of {', '.join(late)} is not in {self.path.name}"
            self._hooks.on_failure(self.trouble)
        elif waiting_s > _STOPPED_S and self._halted():
            self.trouble = f"the recorder of {self.path.name} has been halted"
        elif waiting_s > _STALLED_S and self._n_waiting_bytes > BUFFER_BYTES:
            self.trouble = f"{self.path.name} has not grown for {waiting_s:.0f} s, while samples come"

    def _halted(self) -> list[psutil.Process]:
        """Return which of LabRecorder and its supervisor somebody has stopped, to be continued."""
        found = []
        for pid in filter(None, (self._status.pid, self._status.labrecorder_pid)):
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                found += [process] * (process.status() == psutil.STATUS_STOPPED)
        return found

    def _end(self, status: RecordingStatus, now: float) -> None:
        """Note how it ended; the file is closed."""
        was_opened = self.state == "recording"
        self._status = status
        self.state = "failed" if self._failure else status.state
        self._message = self._failure or status.message
        if math.isnan(self._stopped_at):
            self._stopped_at = now
        self.freeze()
        if self.state == "failed":
            self._hooks.on_failure(f"{self.path.name}: {self._message}")
            if was_opened and status.reason != "low_disk":
                self.trouble = f"the recorder of {self.path.name} has died"
            with suppress(OSError):  # it holds nothing
                if self.path.stat().st_size == 0:
                    self.path.unlink()
        elif not self.trouble and now > self.opened_at + UNWRITTEN_S and (empty := self._empty(status)):
            self._hooks.on_failure(f"{self.path.name}: no sample of {', '.join(empty)} is in the file")
        self.write_sidecar()

    def _empty(self, status: RecordingStatus) -> list[str]:
        """Return the names of streams of a rate that are not in the file, though they may have sent."""
        received = self._hooks.received()
        full = {recorded_identity(stream) for stream in status.streams if stream.n_samples}
        return [
            repr(header.name)
            for key, header in self._headers.items()
            if header.nominal_sfreq and key not in full and received.get(key, 1) > self._begun.get(key, 0)
        ]

    def write_sidecar(self) -> None:
        """Write what the session says of the recording, its parts, and the samples that are in the file."""
        content = dict(self._content or self._hooks.sidecar())
        if (not content and not self.facts) or not self.path.exists():
            return
        if not self._is_counted:
            self._is_counted = not self.is_busy
            received = self._hooks.received()
            self.facts["in_file"] = [
                asdict(stream) | {"n_received": received[key] - self._begun.get(key, 0)}
                for stream in self._status.streams
                if (key := recorded_identity(stream)) in received
            ]
        content |= self.facts
        try:
            write_sidecar(self.path, content)
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
    streams = discover(timeout_s)
    headers = {found.key: found.header for found in streams}
    if not headers:
        remedy = "see `affectscope streams`"
        raise InputError("no LSL stream was found", where="record", remedy=remedy, code=ErrorCode.NO_STREAM)
    if take_all:
        # LabRecorder would make room for what a stream states, as any inlet.
        return [found.header for found in streams if not found.is_excessive] or list(headers.values())
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


def record(
    path: Path,
    headers: list[StreamHeader],
    seconds: float | None,
    max_hours: float,
    *,
    may_lack: bool = False,
) -> int:
    """Record until ``seconds`` are over, Ctrl-C, or the recording fails; return the exit code.

    With ``may_lack`` it begins without streams that LabRecorder cannot write or no longer finds, and says so.
    In a terminal a status line is updated; elsewhere a line is printed every ten seconds. Raises `InputError`
    if the recording cannot start.
    """
    console, clock = make_console(), LslClock()
    notices: list[str] = []
    left_out = [h for h in headers if may_lack and h.channel_format not in WRITTEN_FORMATS]
    headers = [h for h in headers if h not in left_out] or headers
    hooks = RecordingHooks(
        notices.append, notices.append, confirm_within_s=math.inf, max_hours=max_hours, may_lack=may_lack
    )
    recording = RecordingControl(headers, (), hooks)

    with interruptible() as interrupted:
        recording.start(path, clock.now())
        say_on(console, f"Recording {counted(len(headers), 'stream')} to {path.absolute()}:")
        for header in headers:
            say_on(console, f"  {header.name} ({header.type}) on {header.hostname}")
        for header in left_out:
            say_on(console, f"- {header.name} is left out: LabRecorder cannot write {header.channel_format}")
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
    if (info := recording.info(clock.now())) and info.state == "failed" and not info.n_bytes:
        remedy = f"see {path.name}.log"
        raise InputError(info.message, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)
    say_on(console, recording.text())
    for problem in recording.problems:
        say_on(console, f"error: {problem}")
    say_on(console, f"Inspect it with: affectscope inspect {pasteable(path)}")
    return ExitCode.after([*recording.problems, *left_out])


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
        raise InputError(status.message, where=str(path), remedy=remedy, code=ErrorCode.LOST)
    say(f"{path.name}: {data_size(status.n_bytes)}, {status.message}")
