"""The dashboard's command that calibrates: its session rests, a calibration opens, a profile results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine_double import Engines
from PyQt6.QtWidgets import QMainWindow
from session_engine import ManualClock, SessionEngine, prepared_with

from acquisition.errors import ErrorCode, InputError
from acquisition.simulator.source import SimulatorOptions
from app.engine.messages import Phase, SessionCommand
from app.qt.calibration.window import CalibrationWindow
from app.qt.shell.calibrating import CalibrateCommand
from app.qt.shell.engine_window import Appearance, Settings
from app.qt.shell.session import EngineSession, Session
from app.qt.theme import LIGHT
from app.request import CalibrationRequest, LiveRequest, ReplayRequest, SessionOptions
from calibration.plan import load_plan
from calibration.types import Check, Consent

LIVE = LiveRequest(SessionOptions(streams="eeg=name:Muse", line=50), webcam="0")


class Dashboard:
    """A session, the command, the calibration's engine, and what they did."""

    def __init__(self, qtbot, folder: Path, request=LIVE) -> None:
        self.engines = Engines()
        self.session = Session(self.engines)
        self.session.start(request)
        self.run: list[LiveRequest] = []
        self.told: list[str] = []
        self.profile = folder / "profile"
        self.refusal: InputError | None = None
        parent, settings = QMainWindow(), Settings(None)
        self.appearance = Appearance(parent, settings, lambda theme: None, lambda condition: None)
        self.appearance.use_theme(LIGHT)
        self.command = CalibrateCommand(
            parent,
            self.session,
            settings,
            self.appearance,
            self.run.append,
            lambda condition: self.told.append(condition.text),
            self._open,
        )
        qtbot.addWidget(parent)
        self._qtbot, self._folder, self._clock = qtbot, folder, ManualClock()
        self.engine = SessionEngine(load_plan(), self._clock, (Check("EEG", "green", "62 channels"),))

    def _open(self, request: CalibrationRequest, settings: Settings) -> CalibrationWindow:
        if self.refusal is not None:
            raise self.refusal
        prepared = prepared_with(self.engine.plan, self._folder, request)
        session = EngineSession(self.engine)
        return CalibrationWindow(session, settings, prepared, self._folder, self._clock, is_placed=True)

    def calibrate(self, subject: str = "S01") -> CalibrationWindow | None:
        """Give the code, and wait until the live session has ended."""
        dialog = self.command.start()
        dialog.edit.setText(subject)
        dialog.start.click()
        self.session.poll()
        self.command.poll()
        return self.command.window

    def finish(self, window: CalibrationWindow) -> None:
        """Have the person agree and the model fitted."""
        self.engine._open(Consent(("eeg",)))
        window.agree()
        self.engine.session.abort(self._clock())
        self.engine.finish(self._folder)
        self._qtbot.waitUntil(lambda: window.result is not None)

    def close(self, window: CalibrationWindow) -> None:
        """Close the calibration's window."""
        window.close()
        self._qtbot.waitUntil(lambda: not self.command.is_running)


@pytest.fixture
def dashboard(qtbot, tmp_path):
    return Dashboard(qtbot, tmp_path)


def with_profile(dashboard: Dashboard) -> LiveRequest:
    return replace(LIVE, options=replace(LIVE.options, profile=dashboard.profile))


def test_the_session_ends_before_the_calibration_opens_with_its_devices_and_its_colours(dashboard):
    window = dashboard.calibrate("S07")
    assert dashboard.engines.commands == [SessionCommand.STOP]
    assert dashboard.session.is_over
    assert window.isVisible()
    assert window.appearance.theme == LIGHT
    assert dashboard.engine.request == LIVE.calibration("S07")
    dashboard.close(window)


def test_the_profile_is_offered_with_its_verdict_and_used_if_it_is_wanted(dashboard):
    window = dashboard.calibrate()
    dashboard.finish(window)
    dashboard.close(window)
    question = dashboard.command.question
    assert "weak" in question.text()
    assert dashboard.run == []
    question.buttons()[0].click()
    assert dashboard.run == [with_profile(dashboard)]


def test_without_the_profile_the_session_goes_on_as_it_was(dashboard):
    window = dashboard.calibrate()
    dashboard.finish(window)
    dashboard.close(window)
    dashboard.command.question.buttons()[1].click()
    assert dashboard.run == [LIVE]


def test_use_it_live_changes_the_session_without_another_question(dashboard, qtbot):
    window = dashboard.calibrate()
    dashboard.finish(window)
    window.screens.finish.live.click()
    qtbot.waitUntil(lambda: not dashboard.command.is_running)
    assert dashboard.command.question is None
    assert dashboard.run == [with_profile(dashboard)]


def test_a_calibration_closed_before_its_end_leaves_the_session_as_it_was(dashboard):
    dashboard.close(dashboard.calibrate())
    assert dashboard.run == [LIVE]


def test_a_calibration_that_failed_is_told_and_the_session_goes_on(dashboard, qtbot):
    window = dashboard.calibrate()
    dashboard.engine.unread.append(Phase("failed", "no stream was found", code=ErrorCode.NO_STREAM))
    dashboard.engine.is_alive = False
    qtbot.waitUntil(lambda: window.screen_name == "failed")
    dashboard.close(window)
    assert dashboard.run == [LIVE]
    assert "no stream was found" in dashboard.told[-1]


def test_a_calibration_that_cannot_begin_is_told_and_the_session_goes_on(dashboard):
    dashboard.refusal = InputError("3 MB free", where="disk", remedy="free some space")
    assert dashboard.calibrate() is None
    assert dashboard.run == [LIVE]
    assert "3 MB free" in dashboard.told[-1]


def test_a_dashboard_that_closes_ends_the_calibration_and_starts_nothing(dashboard, qtbot):
    dashboard.calibrate()
    dashboard.command.close()
    qtbot.waitUntil(lambda: not dashboard.command.is_running)
    assert not dashboard.engine.is_alive
    assert dashboard.run == []


@pytest.mark.parametrize("code", ["", "Ada", "../S01", "S 1"])
def test_a_code_that_cannot_be_used_is_not_taken(dashboard, code):
    dialog = dashboard.command.start()
    dialog.edit.setText(code)
    assert not dialog.start.isEnabled()
    assert dialog.words.text()


def test_a_replay_cannot_be_calibrated_from(qtbot, tmp_path):
    dashboard = Dashboard(qtbot, tmp_path, ReplayRequest(Path("a.xdf"), SessionOptions()))
    assert dashboard.command.start() is None
    assert len(dashboard.told) == 1


def test_a_calibration_gets_the_devices_and_the_model_of_the_dashboard_and_none_of_its_outputs():
    options = replace(LIVE.options, record=Path("a.xdf"), jsonl=Path("a.jsonl"), profile=Path("p"), threads=2)
    request = replace(LIVE, options=options, microphone="default").calibration("S01")
    assert request.options == replace(LIVE.options, threads=2)
    assert (request.subject, request.webcam, request.microphone) == ("S01", "0", "default")


def test_a_profile_runs_live_with_the_devices_of_its_calibration():
    request = CalibrationRequest(LIVE.options, "S01", webcam="0", n_trials=20)
    with_profile = replace(LIVE.options, profile=Path("p"))
    assert request.live(Path("p")) == replace(LIVE, options=with_profile, newcomers="offer")


def test_a_simulated_person_stays_the_same_one():
    demo = LiveRequest(SessionOptions(streams="eeg=name:x"), simulated=SimulatorOptions(seed=3))
    calibration = demo.calibration("S01")
    assert calibration.options.streams is None  # they get names of their own
    assert (calibration.seed, calibration.simulated.seed) == (3, 3)
    assert calibration.live(Path("p")).simulated.seed == 3
    assert calibration.simulated.source_id_suffix != calibration.live(Path("p")).simulated.source_id_suffix


def test_use_it_live_of_a_calibration_of_its_own_opens_the_dashboard_in_the_same_application(
    qtbot, tmp_path, monkeypatch
):
    from PyQt6.QtCore import QTimer
    from PyQt6.QtWidgets import QApplication

    from app.display import WindowOptions
    from app.qt.calibration import window as application

    clock = ManualClock()
    engine = SessionEngine(load_plan(), clock, (Check("EEG", "green", "62 channels"),))
    ran: list[LiveRequest] = []
    monkeypatch.setattr(application, "EngineProcess", engine)
    monkeypatch.setattr("app.qt.application.settings_path", lambda: None)
    monkeypatch.setattr(application, "run_window", lambda request, options: ran.append(request) or 0)

    def use_live() -> None:
        (window,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, CalibrationWindow)]
        engine._open(Consent(("eeg",)))
        window.agree()
        engine.session.abort(clock())
        engine.finish(tmp_path)
        window.poll()
        window.screens.finish.live.click()

    QTimer.singleShot(200, use_live)
    request = CalibrationRequest(LIVE.options, "S01", data_dir=tmp_path)
    assert application.run_calibration_window(request, WindowOptions(size=(1366, 768))) == 0
    assert ran == [request.live(tmp_path / "profile")]
