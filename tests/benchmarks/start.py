"""How long a command takes before it shows something, against ``import torch`` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from acquisition.errors import InputError
from acquisition.simulator.recording import write_simulated
from tests.benchmarks.rows import Row, Say, interleaved, row
from tests.benchmarks.setting import bench_model, scratch

_HOP_S = 0.5
_SECONDS = 15.0  # of the recording: the first prediction is early in it
_TIMEOUT_S = 120.0
#: Both need torch: a replay in its own process, doctor in a child that it examines.
_MAX_ABOVE_TORCH_S = {"start_replay": 1.5, "start_doctor": 1.0}

_FIRST_PREDICTION = """
import os, sys
from pathlib import Path
import app.cli.main
from app.replay import ReplaySession
from app.request import ReplayRequest, SessionOptions

class First:
    def write(self, prediction): os._exit(0)
    def close(self): os._exit(2)

options = SessionOptions(model=Path(sys.argv[2]), device="cpu", headless=True, extra_sinks=(First(),))
ReplaySession(ReplayRequest(Path(sys.argv[1]), options)).run(lambda share: None)
"""
_WINDOW = """
import os
import app.cli.main
from app.qt.application import make_application
application = make_application(1.0)
from app.engine.process import EngineProcess
from app.qt.shell.engine_window import Settings
from app.qt.shell.session import Session
from app.qt.shell.window import MainWindow
window = MainWindow(Session(EngineProcess), Settings(None))
window.show()
application.processEvents()
os._exit(0 if window.isVisible() else 2)
"""


def bench_start(quick: bool, say: Say) -> list[Row]:
    """Return the rows of cold start; the files are in the page cache after the first round."""
    with scratch() as folder, bench_model(_HOP_S) as model:
        path = folder / "start.xdf"
        write_simulated(path, ("eeg", "gaze"), _SECONDS)
        say("starting commands")
        took = interleaved(_commands(path, model), n_rounds=1 if quick else 2)
    torch_s = took.pop("torch").median_s
    rows = []
    for name, timing in took.items():
        above_s = timing.median_s - torch_s
        in_time = above_s <= _MAX_ABOVE_TORCH_S.get(name, above_s)
        rows.append(row(name, timing.median_s, torch_s, {"above_torch_s": above_s}, also=in_time))
    return rows


def _commands(path: Path, model: Path) -> dict[str, Callable[[], None]]:
    app = ["-m", "app"]
    arguments = {
        "torch": ["-c", "import torch"],
        "start_help": [*app, "--help"],
        "start_inspect": [*app, "inspect", str(path)],
        "start_streams": [*app, "streams", "--timeout", "0.2"],
        "start_doctor": [*app, "doctor"],
        "start_replay": ["-c", _FIRST_PREDICTION, str(path), str(model)],
        "start_window": ["-c", _WINDOW],
    }
    return {name: lambda words=words: _run(words) for name, words in arguments.items()}  # type: ignore[misc]


def _run(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode not in (0, 1):  # doctor ends with 1 where something is missing
        raise InputError(f"a command that was to be timed ended with {done.returncode}", where="bench start")
