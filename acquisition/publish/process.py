"""A publisher as a process that outlives the program."""

import argparse
import contextlib
import getpass
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acquisition.clock import LslClock
from acquisition.errors import InputError
from acquisition.lsl.outlet import is_open_to_network
from acquisition.process import interruptible, start_detached
from acquisition.publish.capture import Publishing, publisher_source_id
from acquisition.publish.microphone import microphone_from_text, publish_microphone
from acquisition.publish.webcam import camera_from_text, publish_webcam
from acquisition.text import parse_json, say

_IDLE_LIMIT_S = 600.0
_POLL_S = 0.05


def control_folder() -> Path:
    """Return the folder of this user's publishers, made if need be."""
    folder = Path(tempfile.gettempdir()) / f"affectscope-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@dataclass
class PublisherProcess:
    """A running publisher, started or taken over.

    Beside ``control``, ``.json`` says which process publishes what, ``.log`` holds its messages, and the
    appearance of ``.stop`` ends it; a normal close of the program makes that file. After a crash the
    publisher continues: the next `start_publisher` of the same device takes it over, `stop_publishers` ends
    it, and it ends by itself after ten minutes without a receiver.
    """

    kind: str
    device: str
    source_id: str
    control: Path  # its files, less their suffix
    process: subprocess.Popen[bytes] | None  # None where it was taken over
    foreign: bool = False  # published by somebody else, who also ends it
    _n_read: int = field(default=0, repr=False)

    @property
    def running(self) -> bool:
        if self.process is not None:
            return self.process.poll() is None
        return self.foreign or self.control.with_suffix(".json").exists()

    @property
    def exit_code(self) -> int | None:
        """0 good, 2 the device cannot be used; None while it runs or where it was taken over."""
        return self.process.poll() if self.process is not None else None

    def messages(self) -> list[str]:
        """Return the sentences it has said since the last call; never waits."""
        try:
            with self.control.with_suffix(".log").open("rb") as log:
                log.seek(self._n_read)
                content = log.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._n_read += len(whole)
        # liblsl logs to the same place; its lines carry a level between bars.
        lines = whole.decode("utf-8", "replace").splitlines()
        return [line for line in lines if line and "|" not in line]

    def stop(self, timeout_s: float = 5.0) -> None:
        """End it, by force where it does not react; a publisher that the user started is left alone."""
        if self.foreign:
            return
        self.control.with_suffix(".stop").touch()
        _wait_while(lambda: self.running, timeout_s)
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        _tidy(self.control)


def start_publisher(kind: str, device: str, *, loop: bool = False) -> PublisherProcess:
    """Start a publisher, or take over the one that already publishes this device. Takes about 1 s.

    Parameters
    ----------
    kind : str
        ``"webcam"`` or ``"microphone"``.
    device : str
        As the user writes it: a number, ``"default"``, a name or a file.
    loop : bool
        Repeat a file.

    Raises
    ------
    InputError
        If ``device`` names nothing possible. What only the device itself can tell (it is not there,
        PortAudio is missing) comes as a message, with ``exit_code`` 2.
    """
    parsed = camera_from_text(device) if kind == "webcam" else microphone_from_text(device)
    source_id = publisher_source_id(kind, parsed)
    control = control_folder() / source_id.replace(".", "_")  # dots would look like suffixes
    from pylsl import resolve_bypred

    if resolve_bypred(f"source_id='{source_id}'", 1, 1.0):  # it is published
        foreign = not control.with_suffix(".json").exists()
        publisher = PublisherProcess(kind, device, source_id, control, None, foreign)
        if foreign or _record(control).get("open_to_network") is is_open_to_network():
            return publisher
        publisher.stop()  # of a session with, or without, --lan
    _tidy(control)
    arguments = [kind, str(parsed.absolute()) if isinstance(parsed, Path) else device, str(control)]
    arguments += ["--loop"] if loop else []
    process = start_detached("acquisition.publish.process", arguments, control.with_suffix(".log"))
    return PublisherProcess(kind, device, source_id, control, process)


def stop_publishers(timeout_s: float = 3.0) -> list[str]:
    """End every detached publisher of this user, and return what they published."""
    records = {record: _record(record.with_suffix("")) for record in control_folder().glob("*.json")}
    for record in records:
        with contextlib.suppress(OSError):
            record.with_suffix(".stop").touch()
    _wait_while(lambda: any(record.exists() for record in records), timeout_s)
    stopped = []
    for record, content in records.items():
        if record.exists():
            _tidy(record.with_suffix(""))  # left by a process that was killed
        elif content:
            stopped.append(f"{content['kind']} {content['device']} (process {content['pid']})")
    return stopped


def _record(control: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        content = parse_json(control.with_suffix(".json").read_bytes())
        return content if isinstance(content, dict) else {}
    return {}


def _wait_while(condition: Callable[[], bool], timeout_s: float) -> None:
    clock = LslClock()
    deadline = clock.now() + timeout_s
    while condition() and clock.now() < deadline:
        clock.wait_until(clock.now() + _POLL_S)


def _tidy(control: Path) -> None:
    for suffix in (".json", ".stop", ".log"):
        with contextlib.suppress(OSError):  # Windows keeps an open log
            control.with_suffix(suffix).unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish until a signal, the control file ``.stop`` or the end of a file; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m acquisition.publish.process", description=__doc__)
    parser.add_argument("kind", choices=["webcam", "microphone"])
    parser.add_argument("device", help="a number, 'default', a device's name, or a file")
    parser.add_argument("control", type=Path, help="the control files of this process, less their suffix")
    parser.add_argument("--loop", action="store_true", help="repeat a file")
    options = parser.parse_args(arguments)
    record_file, stop_file = (options.control.with_suffix(suffix) for suffix in (".json", ".stop"))
    record = {"pid": os.getpid(), "kind": options.kind, "device": options.device}
    record["open_to_network"] = is_open_to_network()
    try:
        with interruptible() as interrupted:
            record_file.write_text(json.dumps(record), encoding="utf-8")

            def stop() -> bool:
                return interrupted.is_set() or stop_file.exists()

            publishing = Publishing(stop, say, loop=options.loop, idle_limit_s=_IDLE_LIMIT_S)
            if options.kind == "webcam":
                publish_webcam(camera_from_text(options.device), publishing)
            else:
                publish_microphone(microphone_from_text(options.device), publishing)
    except InputError as error:
        say(str(error))
        return 2
    finally:
        record_file.unlink(missing_ok=True)
        stop_file.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
