"""The window of a guided calibration on a real session, whose time a test sets, driven by its keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QAbstractButton, QApplication, QMessageBox
from session_engine import ManualClock, SessionEngine, prepared_with

from acquisition.errors import ErrorCode
from acquisition.simulator.source import SimulatorOptions
from app.calibrate.prepare import Prepared
from app.engine.messages import Answer, Drawn, GiveConsent, Phase, Proceed, RepeatTrial, Shown
from app.qt.calibration.window import CalibrationWindow
from app.qt.shell.appearance import Settings
from app.qt.shell.session import EngineSession
from app.qt.theme import LIGHT
from app.request import CalibrationRequest, SessionOptions
from calibration.plan import load_plan
from calibration.protocol import order_of
from calibration.storage import session_place
from calibration.types import Check, Consent, Progress, Report, SessionRecord, TrialRecord

GREEN = Check("EEG", "green", "62 channels at 200 Hz")
RED = Check("Disk", "red", "3 MB free, 800 MB needed", "free some space")


class Stage:
    """A window, the engine behind it, and the time."""

    def __init__(self, qtbot, folder: Path, checks: tuple[Check, ...] = (GREEN,)) -> None:
        self.clock = ManualClock()
        plan = load_plan()
        self.engine = SessionEngine(plan, self.clock, checks)
        request = CalibrationRequest(SessionOptions(), "S01", simulated=SimulatorOptions(seed=1))
        self.window = CalibrationWindow(
            EngineSession(self.engine),
            Settings(None),
            prepared_with(plan, folder, request),
            folder,
            self.clock,
            is_placed=True,
        )
        self.window.appearance.use_theme(LIGHT)
        self.window.resize(1366, 768)
        self.window.open()
        self.window.show()
        qtbot.addWidget(self.window)
        self.turn()

    def turn(self, n: int = 4) -> None:
        """Let the window take news and Qt paint."""
        for _ in range(n):
            self.window.poll()
            QApplication.processEvents()

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key where the focus is."""
        QTest.keyClick(self.window.focusWidget() or self.window, key, modifiers)
        self.turn()

    def agree(self) -> None:
        """Tick everything and agree, by keyboard."""
        for _ in range(4):
            self.press(Qt.Key.Key_Space)
            self.press(Qt.Key.Key_Tab)
            if self.window.focusWidget() in self.window.screens.notice.keeps.values():
                self.press(Qt.Key.Key_Tab)  # past what keeps face and voice as they are
        self.window.screens.notice.agree.setFocus()
        self.press(Qt.Key.Key_Return)

    def begin(self) -> None:
        """Go past the pre-flight."""
        self.agree()
        self.press(Qt.Key.Key_Return)

    def until(self, kind: str) -> None:
        """Let time pass until a step of a kind is shown."""
        for _ in range(1200):
            step = self.engine.view
            if step.step.kind == kind and step.began is not None:
                return
            self.clock.now += 1.0
            self.turn()
        raise AssertionError(f"{kind} never came, {self.engine.view.step}")

    @property
    def name(self) -> str:
        return self.window.screen_name


@pytest.fixture
def stage(qtbot, tmp_path):
    return Stage(qtbot, tmp_path)


def test_nothing_is_opened_before_the_person_agrees_and_nothing_is_ticked_for_them(stage):
    notice = stage.window.screens.notice
    assert stage.name == "notice"
    assert not any(tick.isChecked() for tick in (*notice.ticks.values(), *notice.keeps.values()))
    assert not notice.agree.isEnabled()
    stage.press(Qt.Key.Key_Return)
    assert stage.engine.commands == []


def test_the_consent_holds_what_was_ticked_by_keyboard_and_no_raw_face_or_voice(stage):
    stage.agree()
    (command,) = stage.engine.commands_of(GiveConsent)
    assert command.consent.modalities == ("eeg", "eye", "face", "voice")
    assert not command.consent.keep_face_video
    assert not command.consent.keep_voice
    assert stage.name == "preflight"


def test_a_modality_that_is_not_ticked_cannot_be_kept_raw(stage):
    notice = stage.window.screens.notice
    notice.tick_all()
    notice.keeps["face"].setChecked(True)
    notice.ticks["face"].setChecked(False)
    notice.give()
    (command,) = stage.engine.commands_of(GiveConsent)
    assert command.consent.modalities == ("eeg", "eye", "voice")
    assert not command.consent.keep_face_video


def test_a_red_light_stops_the_session_until_it_is_overridden_in_so_many_words(qtbot, tmp_path):
    stage = Stage(qtbot, tmp_path, (GREEN, RED))
    stage.agree()
    preflight = stage.window.screens.preflight
    stage.press(Qt.Key.Key_Return)
    assert not stage.engine.commands_of(Proceed)
    preflight.override.setFocus()
    stage.press(Qt.Key.Key_Space)
    preflight.go.setFocus()
    stage.press(Qt.Key.Key_Return)
    assert stage.engine.commands_of(Proceed)[0].overridden == ("Disk",)
    assert stage.engine.session.record.overridden == ("Disk",)


def test_an_override_is_taken_back_when_another_light_turns_red(qtbot, tmp_path):
    stage = Stage(qtbot, tmp_path, (GREEN, RED))
    stage.agree()
    stage.window.screens.preflight.override.setChecked(True)
    stage.engine.session.show(checks=(replace(GREEN, light="red"), RED))
    stage.turn()
    assert not stage.window.screens.preflight.override.isChecked()
    assert not stage.window.screens.preflight.go.isEnabled()


def test_every_step_is_stamped_when_its_screen_was_drawn_and_only_once(stage):
    stage.begin()
    stage.until("rest")
    shown = stage.engine.commands_of(Shown)
    assert [command.step_id for command in shown] == list(range(1, len(shown) + 1))
    markers = dict(stage.engine.markers)
    stimulus = next(text for text in markers if text.startswith("trial_start/"))
    assert markers[stimulus] in [command.time for command in shown]


def test_a_step_whose_window_is_hidden_waits_until_it_is_seen(stage):
    stage.begin()
    stage.until("hint")
    stage.window.hide()
    stage.clock.now += 6.0
    stage.turn()
    assert stage.engine.view.step.kind == "stimulus"
    assert stage.engine.view.began is None
    stage.window.show()
    stage.turn()
    assert stage.engine.view.began == stage.clock.now


def test_how_steadily_a_stimulus_was_drawn_is_told(stage, qtbot):
    stage.begin()
    stage.until("stimulus")
    meter = stage.window.steps.meter

    def has_frames() -> bool:
        stage.clock.now += 0.001
        return len(meter._drawn) > 5

    qtbot.waitUntil(has_frames)
    stage.until("report")
    timing = stage.engine.commands_of(Drawn)[-1].timing
    assert timing.step.startswith("trial_start/")
    assert timing.n_frames > 5


def test_an_answer_by_keys_alone(stage):
    stage.begin()
    stage.until("stimulus")
    stage.until("report")
    stage.press(Qt.Key.Key_2)
    for _ in range(3):
        stage.press(Qt.Key.Key_Left)
    stage.press(Qt.Key.Key_Return)
    stage.press(Qt.Key.Key_Right)
    stage.press(Qt.Key.Key_Return)
    assert not stage.engine.commands_of(Answer)
    stage.press(Qt.Key.Key_Return)
    (answer,) = stage.engine.commands_of(Answer)
    assert answer.report == Report(stage.engine.plan.classes[1], 2, 6)
    assert stage.engine.session.record.trials[-1].report == answer.report


def test_what_was_chosen_is_sent_when_the_time_is_nearly_over_and_nothing_where_nothing_was(stage):
    stage.begin()
    stage.until("stimulus")
    stage.until("report")
    stage.press(Qt.Key.Key_1)
    stage.clock.now = stage.engine.view.ends - 0.2
    stage.turn()
    assert len(stage.engine.commands_of(Answer)) == 1
    stage.until("stimulus")
    stage.until("report")
    stage.until("rest")
    assert len(stage.engine.commands_of(Answer)) == 1
    assert stage.engine.session.record.trials[-1].report is None


def test_a_tone_ends_the_rest_with_closed_eyes_and_no_other_step(stage):
    stage.begin()
    stage.until("baseline_closed")
    assert stage.window.steps.tone.n_played == 0
    stage.until("practice")
    assert stage.window.steps.tone.n_played == 1
    stage.until("rest")
    assert stage.window.steps.tone.n_played == 1


def test_pausing_in_a_stimulus_by_key_and_going_on_begins_the_trial_anew(stage):
    stage.begin()
    stage.until("stimulus")
    trial = stage.engine.view.step.trial
    stage.press(Qt.Key.Key_P)
    assert stage.name == "pause"
    stage.press(Qt.Key.Key_Return)
    assert stage.name == "hint"
    assert stage.engine.view.step.trial == trial
    assert stage.engine.session.record.trials[-1].state == "repeated"


def test_skipping_a_trial_from_the_pause(stage):
    stage.begin()
    stage.until("stimulus")
    stage.press(Qt.Key.Key_Escape)
    stage.window.screens.pause.skip.setFocus()
    stage.press(Qt.Key.Key_Space)
    assert stage.engine.session.record.trials[-1].state == "skipped"
    assert not stage.engine.view.is_paused


def test_a_trial_worth_repeating_is_offered_and_asked_for_once(stage):
    stage.begin()
    stage.until("stimulus")
    stage.until("rest")
    stage.engine.session.show(progress=Progress(4, 2, (0.15, 0.85), 0.2, "sad", 1))
    stage.turn()
    rest = stage.window.screens.rest
    assert "2 of 4" in rest.figures.text()
    assert "20 %" in rest.figures.text()
    stage.press(Qt.Key.Key_R)
    stage.press(Qt.Key.Key_R)
    assert stage.engine.commands_of(RepeatTrial) == [RepeatTrial(1)]


def test_ending_the_session_asks_first(stage):
    stage.begin()
    stage.until("stimulus")
    stage.press(Qt.Key.Key_P)
    stage.window.screens.pause.end.click()
    question = stage.window.findChild(QMessageBox)
    assert not stage.engine.session.is_over
    next(b for b in question.buttons() if "End" in b.text()).click()
    stage.turn()
    assert stage.engine.session.is_aborted


def test_a_whole_session_ends_with_the_verdict_and_the_ways_on(stage, tmp_path):
    stage.begin()
    stage.until("finish")
    stage.engine.session.show(fit_stage="calculating features", fit_share=0.4)
    stage.turn()
    assert "40 %" in stage.window.screens.finish.said.text()
    stage.engine.finish(tmp_path)
    stage.turn()
    finish = stage.window.screens.finish
    assert finish.verdict.text() == "Weak"
    assert finish.live.isVisible()
    assert [name in finish.files.text() for name in ("run-01.xdf", "run-02.xdf")] == [True, True]
    assert "31 % to 83 %" in finish.bar.accessibleDescription()
    assert len(stage.engine.session.record.trials) == 10
    assert stage.window.faults.n_faults == 0


def test_a_failed_engine_is_told_and_the_next_try_resumes_with_what_was_recorded(stage):
    stage.begin()
    stage.engine.unread.append(Phase("failed", "the disk is full; free some space", code=ErrorCode.NO_STREAM))
    stage.engine.session = None
    stage.turn()
    assert stage.name == "failed"
    assert "the disk is full" in stage.window.screens.by_name["failed"].said.text()
    stage.press(Qt.Key.Key_Return)
    assert stage.name == "notice"
    assert stage.engine.request.resume


def test_every_control_of_every_screen_has_a_name(stage):
    from PyQt6.QtWidgets import QAbstractSlider, QProgressBar, QScrollBar

    for screen in stage.window.screens.by_name.values():
        assert screen.accessibleName()
        for kind in (QAbstractButton, QAbstractSlider, QProgressBar):
            for control in screen.findChildren(kind):
                if not isinstance(control, QScrollBar):
                    assert control.accessibleName() or control.text(), (screen.accessibleName(), control)


def test_no_two_buttons_of_a_screen_have_the_same_key(stage):
    for screen in stage.window.screens.by_name.values():
        keys = [b.shortcut().toString() for b in screen.findChildren(QAbstractButton)]
        keys = [key for key in keys if key]
        assert len(keys) == len(set(keys)), (screen.accessibleName(), keys)


def test_the_window_closes_at_once_where_nothing_is_recorded(stage):
    stage.window.close()
    stage.turn()
    assert not stage.window.isVisible()
    assert not stage.engine.is_alive


def unfinished(qtbot, folder: Path) -> CalibrationWindow:
    """Return a window that finds a session broken off after two trials."""
    plan = load_plan()
    engine = SessionEngine(plan, ManualClock(), (GREEN,))
    request = CalibrationRequest(SessionOptions(), "S01", data_dir=folder)
    trials = tuple(TrialRecord(number, "sad", 10.0 * number, 10.0 * number + 5) for number in (1, 2))
    record = SessionRecord("S01", 1, plan.classes, 0, Consent(("eeg",)), trials, order=order_of(plan, 0))
    window = CalibrationWindow(
        EngineSession(engine),
        Settings(None),
        Prepared(request, plan, folder, session_place(folder, "S01", 1), record),
        folder,
        ManualClock(),
        is_placed=True,
    )
    window.engine = engine
    window.open()
    window.show()
    qtbot.addWidget(window)
    return window


@pytest.mark.parametrize("resumes", [True, False])
def test_a_session_that_was_broken_off_is_offered_before_anything_starts(qtbot, tmp_path, resumes):
    window = unfinished(qtbot, tmp_path)
    window.poll()
    assert window.screen_name == "resume"
    assert not window.engine.is_alive
    screen = window.current
    QTest.keyClick(screen.resume if resumes else screen.new, Qt.Key.Key_Return)
    window.poll()
    assert window.screen_name == "notice"
    assert window.engine.request.resume is resumes
