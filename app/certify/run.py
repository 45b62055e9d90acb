"""Runs sessions of the real program against device processes, side by side, with faults on a schedule."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from acquisition.clock import LslClock
from acquisition.record.files import status_path
from acquisition.types import MODALITY_OF_KIND, Kind
from app.certify import evidence as read
from app.certify.devices import RATES, Device
from app.certify.judge import PROCESSES, Evidence, Fault

_START_WITHIN_S, _END_WITHIN_S = 90.0, 90.0
_AHEAD_S = 10.0  # a process needs this long to start on a busy machine
_HELD_S = 0.4  # a slow program runs so long, and then as long does not


@dataclass(frozen=True)
class Session:
    """One run of the program, its devices and what goes wrong."""

    name: str
    seconds: float  # from the first prediction on
    faults: tuple[Fault, ...] = ()
    devices: tuple[str, ...] = tuple(RATES)  # kinds; of EEG also "eeg FORMAT RATE CHANNELS"
    command: str = "live"  # or record
    options: tuple[str, ...] = ()
    module: str = "app"  # what runs as the program
    folder: Path | None = None  # of the recording, if not that of the other files


class Child:
    """A process whose lines are kept with the LSL time at which they came."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.lines: list[tuple[float, str]] = []
        pipe, out = subprocess.PIPE, subprocess.STDOUT
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdin=pipe, stdout=pipe, stderr=out, encoding="utf-8",
            errors="replace", env=dict(environment), start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(LslClock(),), daemon=True)
        self._reader.start()

    def _read(self, clock: LslClock) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((clock.now(), line.rstrip()))

    @property
    def code(self) -> int | None:
        return self.process.poll()

    def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """End it, by force where it does not react."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.close()
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(2.0)


class Running:
    """A session under way: `step` it until it is ``over``."""

    def __init__(self, session: Session, folder: Path, environment: Mapping[str, str]) -> None:
        self.session, self._environment, self._reading = session, environment, threading.Thread()
        self.evidence, self.over, self.stage = Evidence(session.name), False, "starting"
        self._clock, self._children = LslClock(), list[Child]()
        self._since, self._measured = self._clock.now(), 0.0
        stem = session.name.replace(" ", "-").replace(",", "")
        self.jsonl = folder / f"{stem}.jsonl"
        self._replayed = folder / f"{stem}.replay.jsonl"
        self._xdf = (session.folder or folder) / f"{stem}.xdf"
        self._program: Child | None = None
        self._slow = self._is_held = False
        self._returns: dict[Fault, Child] = {}
        begins = [(fault.at, fault, True) for fault in session.faults]
        ends = [(fault.until, fault, False) for fault in session.faults]
        self._todo = sorted([*begins, *ends], key=lambda one: one[0])
        tag, self._devices, self._senders = uuid.uuid4().hex[:6], dict[str, Device](), dict[str, Child]()
        for key in session.devices:
            kind, *of_eeg = key.split()
            fmt, sfreq, n_channels = of_eeg or ("float32", str(RATES[kind]), "8")
            ident, start = f"certify-{tag}-{key.replace(' ', '-')}", self._since + 1.0
            self._devices[key] = Device(kind, ident, start, float(sfreq), int(n_channels), fmt, key)
            self._senders[key] = self._device(self._devices[key])
            self._senders[key].tell(open=True)
        self.evidence.names = {key: device.name for key, device in self._devices.items()}

    def _child(self, *arguments: str) -> Child:
        self._children.append(Child(arguments, self._environment))
        return self._children[-1]

    def _device(self, device: Device) -> Child:
        return self._child("app.certify.devices", json.dumps(asdict(device)))

    def step(self) -> None:
        """Do what is due; call it a few times a second."""
        now = self._clock.now()
        if self.stage == "starting":
            if all(any("opened" in line for _, line in child.lines) for child in self._senders.values()):
                self._program, self.stage = self._start(), "waiting"
            elif now > self._since + _START_WITHIN_S:
                self._end()
        elif self.stage == "waiting":
            self._wait_for_first(now)
        elif self.stage == "running":
            self._measure(now)
            self._run_faults(now)
        elif self.stage == "closing":
            self._wait_for_files(now)
        elif not self._reading.is_alive():
            self._end()

    def _start(self) -> Child:
        chosen = {key: f"source_id:{device.source_id}" for key, device in self._devices.items()}
        seconds = ["--seconds", str(self.session.seconds)]
        if self.session.command == "record":
            words = ["record", str(self._xdf), "--streams", ",".join(chosen.values()), *seconds]
        else:
            streams = {m: "none" for m in (*MODALITY_OF_KIND.values(), "markers")}
            for key, choice in chosen.items():
                streams[MODALITY_OF_KIND.get(Kind(key.split()[0]), "markers")] = choice
            listed = ",".join(f"{modality}={choice}" for modality, choice in streams.items())
            words = ["live", "--headless", "--streams", listed, "--record", str(self._xdf)]
            words += ["--jsonl", str(self.jsonl), *seconds]
        return self._child(self.session.module, *words, *self.session.options)

    def _wait_for_first(self, now: float) -> None:
        assert self._program is not None
        # Where the file of predictions fails, the recording tells.
        has_no_jsonl = self.session.command == "record" or bool(self.session.options)
        if (has_no_jsonl and self._state(self._xdf) == "recording") or read.has_prediction(self.jsonl):
            self.evidence.zero, self.stage = now, "running"
        elif self._program.code is not None or now > self._since + _START_WITHIN_S:
            self._end()

    def _measure(self, now: float) -> None:
        if now >= self._measured + 1.0 and self._program is not None:
            self._measured = now
            self.evidence.load.append(psutil.getloadavg()[0] / (psutil.cpu_count() or 1))
            with contextlib.suppress(psutil.Error):
                self.evidence.rss_mb.append(psutil.Process(self._program.process.pid).memory_info().rss / 1e6)

    def _run_faults(self, now: float) -> None:
        assert self._program is not None
        elapsed = now - self.evidence.zero
        if self._slow or self._is_held:
            self._is_held = self._slow and now % (2 * _HELD_S) < _HELD_S
            self._program.process.send_signal(signal.SIGSTOP if self._is_held else signal.SIGCONT)
        for at, fault, begins in self._todo:
            is_return = begins and fault.what in ("gone", "changed", "double")
            if is_return and at < elapsed + _AHEAD_S and fault not in self._returns:
                device = self._devices[fault.target]
                changed = fault.value if isinstance(fault.value, Mapping) else {}
                self._returns[fault] = self._device(replace(device, **changed))
        while self._todo and self._todo[0][0] <= elapsed:
            _, fault, begins = self._todo.pop(0)
            self._do(fault, begins)
            (self.evidence.begun if begins else self.evidence.over)[fault] = self._clock.now()
        is_late = elapsed > self.session.seconds + 30.0
        if is_late:
            self._program.process.send_signal(signal.SIGINT)
        if is_late or (self._program.code is not None and not self._todo):
            self.evidence.ended, self._since, self.stage = now, now, "closing"

    def _do(self, fault: Fault, begins: bool) -> None:
        if fault.target == "disk":
            _fill(self._xdf.parent)
        elif fault.what == "slow":
            self._slow = begins
        elif fault.target in PROCESSES:
            at_begin = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "inject": signal.SIGUSR1}
            number = at_begin[fault.what] if begins else signal.SIGCONT
            for pid in self._pids(fault.target):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        elif fault.what == "double":
            self._returns[fault].tell(open=True) if begins else self._returns[fault].close()
        elif fault not in self._returns:
            self._senders[fault.target].tell(fault=fault.what, value=fault.value if begins else None)
        elif begins:
            self._senders[fault.target].process.kill()
        else:
            self._senders[fault.target] = self._returns[fault]
            self._senders[fault.target].tell(open=True)

    def _pids(self, target: str) -> list[int]:
        found = []
        if target in ("program", "both") and self._program is not None and self._program.code is None:
            found.append(self._program.process.pid)
        if target in ("recorder", "both"):
            found += [process.pid for process in self._recorders() if "LabRecorder" in process.name()]
        return found

    def _recorders(self) -> list[psutil.Process]:
        """Return the supervisors and recorders of this session's files that run."""
        found, stem = [], str(self._xdf.with_suffix(""))
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or [""]
            is_recorder = "LabRecorder" in words[0] or "acquisition.record.supervisor" in words
            if is_recorder and any(word.startswith(stem) and word.endswith(".xdf") for word in words):
                found.append(process)
        return found

    def _state(self, path: Path) -> str:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(status_path(path).read_text(encoding="utf-8")).get("state"))
        return ""

    def _wait_for_files(self, now: float) -> None:
        """Wait until the files are closed, or end a recording as the user of a killed program would."""
        assert self._program is not None
        is_patient = now < self._since + _END_WITHIN_S
        if self._program.code is None and is_patient:
            return
        self._note_end()
        files = self._xdf.parent.glob(f"{self._xdf.stem}*.xdf")
        parts = sorted(files, key=lambda path: (len(path.name), path))
        left = [path for path in parts if self._state(path) in ("starting", "recording")]
        if left and is_patient:
            if now > self._since + 3.0:
                self._program, self._since = self._child("app", "record", str(left[-1]), "--stop"), now
            return
        for child in self._children:
            beats = [line for _, line in child.lines if line.startswith("{") and '"beat"' in line]
            self.evidence.late_ms += [1e3 * json.loads(line)["late_s"] for line in beats]
        for sender in self._senders.values():
            sender.close()
        self.stage, self._program = "replaying", None
        if self.jsonl.is_file() and parts:
            words = ("replay", str(self._xdf), "--headless", "--jsonl", str(self._replayed))
            self._program = self._child("app", *words)
        # In a thread: the faults of the sessions beside this one must not wait.
        self._reading = threading.Thread(target=self._read, args=(parts,), daemon=True)
        self._reading.start()

    def _read(self, parts: Sequence[Path]) -> None:
        read.read_predictions(self.jsonl, self.evidence)
        read.read_parts(parts, self._devices, self.evidence)
        if self._program is not None:
            code = self._program.process.wait()
            if code in (0, 3) and self._replayed.is_file():
                read.compare(self.jsonl, self._replayed, self.evidence)
            else:
                lines = self._program.lines
                self.evidence.replay_problem = lines[-1][1] if lines else str(code)

    def _note_end(self) -> None:
        """Keep the program's exit code, and what it and the devices said, without predictions and totals."""
        if self._program is not None and not self.evidence.messages:
            self.evidence.exit_code = self._program.code
            said = ("- ", "failure", "error", "internal error")
            own = [line for line in self._program.lines if line[1].startswith(said)]
            devices = [line for child in self._children for line in child.lines if '"report"' in line[1]]
            self.evidence.messages = sorted(own + devices)

    def _end(self) -> None:
        self._note_end()
        self.over, self.stage = True, "over"
        self.close()

    def close(self) -> None:
        """End every process of the session, the recorder's too."""
        for child in self._children:
            child.close()
        for process in self._recorders():
            with contextlib.suppress(psutil.Error):
                process.kill()


def _fill(folder: Path) -> None:
    """Leave 100 MB of a disk made for it: half of what a recording keeps in reserve."""
    if os.path.ismount(folder):
        with (folder / "ballast").open("wb") as file:
            for _ in range((shutil.disk_usage(folder).free - 100_000_000) >> 20):
                file.write(bytes(1 << 20))


def run_sessions(
    sessions: Sequence[Session],
    folder: Path,
    n_lanes: int,
    interrupted: threading.Event,
    tell: Callable[[str], None],
    done: Callable[[Running], None],
) -> list[Running]:
    """Run sessions in their order, ``n_lanes`` at a time, and return them; an interruption ends all.

    Their streams have an LSL session of their own, which nobody else sees; ``folder`` takes their files.
    """
    config = folder / "lsl_api.cfg"
    config.write_text(f"[lab]\nSessionID = certify-{uuid.uuid4().hex}\n[log]\nlevel = -2\n", encoding="utf-8")
    environment = os.environ | {
        "LSLAPICFG": str(config),
        "AFFECTSCOPE_SETTINGS": str(folder / "window.ini"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "COLUMNS": "400",
    }
    waiting, running, over = list(sessions), list[Running](), list[Running]()
    try:
        while (waiting or running) and not interrupted.is_set():
            while waiting and len(running) < n_lanes:
                running.append(Running(waiting.pop(0), folder, environment))
            for one in list(running):
                one.step()
                if one.over:
                    running.remove(one)
                    over.append(one)
                    done(one)
            tell(", ".join(f"{one.session.name}: {one.stage}" for one in running))
            interrupted.wait(0.1)
    finally:
        for one in running:
            one.close()
    return over
