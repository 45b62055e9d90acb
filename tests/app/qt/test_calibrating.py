"""The dashboard's command that calibrates: ends its session, starts the program, and offers the profile."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from engine_double import Engines
from PyQt6.QtWidgets import QWidget

from acquisition.simulator.streams import SimulatorOptions
from app.command_line import calibrate_arguments, live_arguments
from app.engine.messages import Stop
from app.qt.shell.calibrating import CalibrateCommand
from app.qt.shell.session import Session
from app.qt.shell.settings import Settings
from app.request import CalibrationRequest, LiveRequest, ReplayRequest, SessionOptions

LIVE = LiveRequest(SessionOptions(streams="eeg=name:Muse", line=50), webcam="0")
ENDS_WELL = "print('Recording: a.xdf'); print('Profile: mine/profile'); print('Verdict: weak')"
FAILS = "import sys; print('error: no stream was found'); sys.exit(2)"


class Dashboard:
    """A session, the command, and what they did."""

    def __init__(self, qtbot, program: str, request=LIVE) -> None:
        self.engines = Engines()
        self.session = Session(self.engines)
        self.session.start(request)
        self.run: list[LiveRequest] = []
        self.told: list[str] = []
        self.parent = QWidget()
        self.command = CalibrateCommand(
            self.parent,
            self.session,
            Settings(None),
            self.run.append,
            lambda condition: self.told.append(condition.text),
            [sys.executable, "-c", program],
        )
        qtbot.addWidget(self.parent)
        self._qtbot = qtbot

    def calibrate(self, subject: str = "S01") -> None:
        """Give the code, and wait until the program has ended."""
        dialog = self.command.start()
        dialog.edit.setText(subject)
        dialog.start.click()

        def has_ended() -> bool:
            self.session.poll()
            self.command.poll()
            return not self.command.is_running

        self._qtbot.waitUntil(has_ended, timeout=20000)


def test_the_session_ends_first_and_starts_again_with_the_profile_if_it_is_wanted(qtbot):
    dashboard = Dashboard(qtbot, ENDS_WELL)
    dashboard.calibrate()
    assert dashboard.engines.orders == [Stop()]
    question = dashboard.command.question
    assert "Verdict: weak" in question.text()
    question.buttons()[0].click()
    profile = Path("mine/profile")
    assert dashboard.run == [replace(LIVE, options=replace(LIVE.options, profile=profile))]


def test_without_the_profile_the_session_goes_on_as_it_was(qtbot):
    dashboard = Dashboard(qtbot, ENDS_WELL)
    dashboard.calibrate()
    dashboard.command.question.buttons()[1].click()
    assert dashboard.run == [LIVE]


def test_a_calibration_that_failed_is_told_and_the_session_goes_on(qtbot):
    dashboard = Dashboard(qtbot, FAILS)
    dashboard.calibrate()
    assert dashboard.run == [LIVE]
    assert "no stream was found" in dashboard.told[-1]


@pytest.mark.parametrize("code", ["", "Ada", "../S01", "S 1"])
def test_a_code_that_cannot_be_used_is_not_taken(qtbot, code):
    dialog = Dashboard(qtbot, ENDS_WELL).command.start()
    dialog.edit.setText(code)
    assert not dialog.start.isEnabled()
    assert dialog.fault.text()


def test_a_replay_cannot_be_calibrated_from(qtbot):
    dashboard = Dashboard(qtbot, ENDS_WELL, ReplayRequest(Path("a.xdf"), SessionOptions()))
    assert dashboard.command.start() is None
    assert "needs live streams" in dashboard.told[-1]


def test_the_program_gets_the_streams_and_the_model_of_the_dashboard():
    words = calibrate_arguments("S01", LIVE)
    assert words[:3] == ["calibrate", "--subject", "S01"]
    pairs = dict(zip(words[3::2], words[4::2], strict=True))
    assert pairs["--streams"] == "eeg=name:Muse"
    assert pairs["--webcam"] == "0"
    assert pairs["--line"] == "50"
    assert pairs["--model"] == str(SessionOptions().model)


def test_what_the_two_windows_call_is_understood_by_the_commands():
    import click
    import typer

    from app.cli.main import app

    commands = typer.main.get_command(app).commands
    simulated = SimulatorOptions(seed=3)
    for words in (
        calibrate_arguments("S01", LIVE),
        calibrate_arguments("S01", replace(LIVE, simulated=simulated)),
        live_arguments(CalibrationRequest(SessionOptions(threads=1), "S01", webcam="0"), Path("p")),
        live_arguments(CalibrationRequest(SessionOptions(), "S01", simulated=simulated), Path("p")),
    ):
        command = commands[words[0]]
        assert command.make_parser(click.Context(command)).parse_args(words[1:])
