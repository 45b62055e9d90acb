"""What the terminal gets of a window: a line a failure, and the exit code of the headless commands."""

from __future__ import annotations

import pytest
from engine_double import Engines

from acquisition.errors import ErrorCode
from app.engine.messages import Opened, Phase
from app.qt.application import Outcome
from app.qt.shell.session import Session
from app.request import LiveRequest, SessionOptions


@pytest.mark.parametrize(
    ("phase", "code", "lines"),
    [
        (Phase("running"), 0, []),
        (Phase("ended"), 0, []),
        (
            Phase("failed", "streams:\n2 streams fit eeg", code=ErrorCode.NO_STREAM),
            2,
            ["error: streams: 2 streams fit eeg"],
        ),
        (Phase("failed", "a fault of the program"), 1, ["error: a fault of the program"]),
    ],
)
def test_the_exit_code_is_that_of_the_headless_commands_and_a_failure_one_line(phase, code, lines):
    said: list[str] = []
    engines = Engines([phase])
    session = Session(engines)
    outcome = Outcome(session, said.append)
    session.start(LiveRequest(SessionOptions()))
    for _ in range(3):
        session.poll()
        outcome.poll()
    assert said == lines
    assert outcome.code == code


@pytest.mark.parametrize(
    ("said_by_engine", "reasons"),
    [
        ([Phase("waiting", "waiting for a stream of EEG")], ["waiting for a stream of EEG"]),
        ([Opened("live", None, None), Phase("running")], ["EEG: no stream"]),
        ([Opened("replay", None, None), Phase("ended")], ["EEG: no stream"]),
    ],
)
def test_a_window_without_a_prediction_says_why_and_ends_with_its_own_code(said_by_engine, reasons):
    said: list[str] = []
    session = Session(Engines(said_by_engine))
    outcome = Outcome(session, said.append)
    session.start(LiveRequest(SessionOptions()))
    session.poll()
    outcome.poll()
    outcome.say_end()
    assert outcome.code == 3
    assert said[0] == f"no prediction: {reasons[0]}"


def test_a_session_that_follows_a_failed_one_decides():
    engines = Engines([Phase("failed", "no stream", code=ErrorCode.NO_STREAM)])
    session = Session(engines)
    outcome = Outcome(session, lambda _: None)
    for engines.messages in ([Phase("failed", "no stream", code=ErrorCode.NO_STREAM)], [Phase("running")]):
        session.start(LiveRequest(SessionOptions()))
        engines.newest.is_alive = True
        session.poll()
        outcome.poll()
        engines.newest.is_alive = False
        session.poll()
        session.poll()
        outcome.poll()
    assert outcome.code == 0
