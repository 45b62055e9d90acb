"""The engine's process without any stream: that it is heard, obeys, and cannot be lost or left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from acquisition.errors import ErrorCode
from app.engine.main import engine_process
from app.engine.messages import Mask, Phase, SessionCommand
from app.engine.pipe import CommandQueue
from app.engine.process import EngineProcess
from app.request import LiveRequest, ReplayRequest, Request, SessionOptions
from assets import DEMO_RECORDING

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
PROJECT = Path(__file__).parent.parent.parent.parent


def news_until(engine: EngineProcess, has: Callable[[list[object]], bool], seconds: float) -> list[object]:
    """Collect news until they are enough."""
    deadline, collected = monotonic() + seconds, list[object]()
    while not has(collected):
        assert monotonic() < deadline, f"not within {seconds} s: {collected}"
        collected += engine.receive()
        threading.Event().wait(0.02)
    return collected


def has_ended(news: list[object]) -> bool:
    return any(isinstance(piece, Phase) and piece.name in ("ended", "failed") for piece in news)


@pytest.fixture
def start(tmp_path: Path):
    """Give a function that starts an engine, which is ended after the test."""
    engines = []

    def run(request: Request) -> EngineProcess:
        engines.append(EngineProcess(request))
        engines[-1].start()
        return engines[-1]

    yield run
    for engine in engines:
        engine.stop(0.0)


@pytest.fixture
def searching() -> LiveRequest:
    """A session that never finds a stream."""
    return LiveRequest(SessionOptions(streams="eeg=name:nothing is called so"), discovery_s=600.0)


def test_a_model_that_is_not_there_is_told_with_its_remedy(start, tmp_path: Path) -> None:
    engine = start(LiveRequest(SessionOptions(model=tmp_path / "none")))
    news = news_until(engine, has_ended, 60.0)
    assert news[0] == Phase("loading", "loading the program")
    assert (news[-1].name, news[-1].code) == ("failed", ErrorCode.MODEL)
    assert "--model" in news[-1].message
    engine.stop()
    assert engine.receive() == []


@posix
def test_a_killed_engine_is_reported_with_its_signal(start, searching) -> None:
    engine = start(searching)
    news_until(engine, lambda news: bool(news), 60.0)
    os.kill(engine.pid, signal.SIGKILL)
    last = news_until(engine, has_ended, 10.0)[-1]
    assert last.name == "failed"
    assert "signal 9 (SIGKILL)" in last.message
    assert not engine.is_alive
    engine.send(Mask("eeg", True))
    assert engine.receive() == []


@posix
def test_a_replay_that_dies_after_its_end_is_reported_too(start) -> None:
    request = ReplayRequest(DEMO_RECORDING, SessionOptions(), stop_s=2.0, speed=float("inf"))
    engine = start(request)
    news_until(engine, has_ended, 60.0)
    assert engine.is_alive
    os.kill(engine.pid, signal.SIGKILL)
    assert news_until(engine, has_ended, 10.0)[-1].name == "failed"


@posix
def test_an_engine_that_does_not_react_is_killed_within_its_time(start, searching) -> None:
    engine = start(searching)
    news_until(engine, lambda news: bool(news), 60.0)
    os.kill(engine.pid, signal.SIGSTOP)
    began = monotonic()
    engine.stop(0.3)
    assert not engine.is_alive
    assert monotonic() - began < 3.0


def test_stopping_before_the_start_and_twice_is_harmless(searching) -> None:
    engine = EngineProcess(searching)
    engine.stop()
    assert engine.receive() == []
    assert not engine.is_alive


def test_the_end_of_the_window_ends_the_engine() -> None:
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    request = LiveRequest(SessionOptions(streams="eeg=none"))
    engine = context.Process(target=engine_process, args=(far, request))
    engine.start()
    far.close()
    assert near.poll(60.0)
    near.close()
    engine.join(60.0)
    assert engine.exitcode == 0


def test_a_program_that_forgets_its_engine_ends_all_the_same(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from app.engine.process import EngineProcess
from app.request import LiveRequest
from app.request import SessionOptions
from assets import DEMO_RECORDING
engine = EngineProcess(LiveRequest(SessionOptions(model=Path({str(tmp_path / "none")!r}))))
engine.start()
print("started")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "started\n"
    assert done.stderr == ""


@posix
def test_ctrl_c_in_the_terminal_prints_no_traceback_of_the_engine(tmp_path: Path) -> None:
    # A shell that starts the tests in the background has Ctrl-C ignored, and children inherit it.
    code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from app.engine.process import EngineProcess
from app.request import LiveRequest
from app.request import SessionOptions
from assets import DEMO_RECORDING
engine = EngineProcess(LiveRequest(SessionOptions(streams="eeg=name:nothing is called so")))
engine.start()
try:
    print("started", flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    engine.stop()
    print("stopped", flush=True)
"""
    window = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert window.stdout is not None
    assert window.stdout.readline() == "started\n"
    os.killpg(window.pid, signal.SIGINT)
    out, err = window.communicate(timeout=60)
    assert out == "stopped\n"
    assert err == ""


def test_orders_come_in_order_and_a_closed_pipe_is_an_order_to_stop() -> None:
    near, far = multiprocessing.Pipe()
    box = CommandQueue(far)
    near.send(Mask("eeg", True))
    assert box.wait(10.0)
    assert box.take() == [Mask("eeg", True)]
    assert not box.must_stop
    near.send(Mask("eeg", False))
    near.close()
    commands: list[object] = []
    while SessionCommand.STOP not in commands:
        assert box.wait(10.0)
        commands += box.take()
    assert commands == [Mask("eeg", False), SessionCommand.STOP]


def test_a_request_to_terminate_is_a_command_to_stop() -> None:
    near, far = multiprocessing.Pipe()
    box = CommandQueue(far)
    box.terminate()
    assert box.must_stop
    assert box.take() == [SessionCommand.STOP]
    assert box.take() == []
    near.close()
