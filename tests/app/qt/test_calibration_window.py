"""The window of a guided calibration on a real session, whose time a test sets, driven by its keys."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from PyQt6.QtCore import QPoint, QRect, Qt
from PyQt6.QtGui import QShortcut
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QAbstractButton, QApplication, QLabel, QMessageBox, QWidget
from session_engine import ManualClock, SessionEngine, prepared_with

from acquisition.errors import ErrorCode
from acquisition.simulator.source import SimulatorOptions
from app.calibrate.prepare import Prepared
from app.engine.messages import (
    Answer,
    Drawn,
    GiveConsent,
    HealthPart,
    Note,
    Phase,
    Proceed,
    RecordingInfo,
    RepeatTrial,
    SessionCommand,
    Shown,
)
from app.qt.calibration.screen import Screen
from app.qt.calibration.window import CalibrationWindow
from app.qt.shell.engine_window import Settings
from app.qt.shell.session import EngineSession
from app.qt.theme import LIGHT
from app.request import CalibrationRequest, SessionOptions
from app.telemetry import Failure
from calibration.markers import record_from_markers
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
        request = CalibrationRequest(SessionOptions(), "S01", seed=1, simulated=SimulatorOptions(seed=1))
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

    def command(self, name: str) -> None:
        """Give a command of the operator's window, by its button."""
        self.window.operator.buttons[name].click()
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
        QTest.keyClick(self.window.screens.preflight.go, Qt.Key.Key_Return)
        self.turn()

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
    QTest.keyClick(preflight.go, Qt.Key.Key_Return)
    assert not stage.engine.commands_of(Proceed)
    QTest.keyClick(preflight.override, Qt.Key.Key_Space)
    QTest.keyClick(preflight.go, Qt.Key.Key_Return)
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


def test_an_answer_by_keys_alone_has_no_value_that_was_not_given(stage):
    stage.begin()
    stage.until("stimulus")
    stage.until("report")
    report = stage.window.screens.report
    assert stage.window.focusWidget() is report  # and no answer
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Space):
        stage.press(key)
    assert report.label is None
    stage.press(Qt.Key.Key_2)
    stage.press(Qt.Key.Key_Return)  # there is no value yet: it goes nowhere
    assert [slider.rating for slider in report.sliders.values()] == [None, None]
    assert not report.done.isEnabled()
    for _ in range(4):  # the first gives the middle
        stage.press(Qt.Key.Key_Left)
    stage.press(Qt.Key.Key_Return)
    for _ in range(2):
        stage.press(Qt.Key.Key_Right)
    stage.press(Qt.Key.Key_Return)
    assert not stage.engine.commands_of(Answer)
    stage.press(Qt.Key.Key_Return)
    (answer,) = stage.engine.commands_of(Answer)
    assert answer.report == Report(stage.engine.plan.classes[1], 2, 6)
    assert stage.engine.session.record.trials[-1].report == answer.report


def test_a_click_on_a_line_rates_what_is_there(stage):
    stage.begin()
    stage.until("report")
    slider = stage.window.screens.report.sliders["valence"]
    for share, rating in ((0.5, 5), (0.02, 1), (0.98, 9)):
        at = QPoint(round(share * slider.width()), slider.height() // 2)
        QTest.mouseClick(slider, Qt.MouseButton.LeftButton, pos=at)
        assert slider.rating == rating
    slider.clear()
    assert slider.rating is None


def test_what_was_chosen_is_sent_when_the_time_is_nearly_over_and_nothing_where_nothing_was(stage):
    stage.begin()
    stage.until("stimulus")
    stage.until("report")
    stage.press(Qt.Key.Key_1)
    stage.clock.now = stage.engine.view.ends - 0.2
    stage.turn()
    (answer,) = stage.engine.commands_of(Answer)
    assert answer.report == Report(stage.engine.plan.classes[0], None, None)  # what was not rated stays open
    text = next(text for text, _ in stage.engine.markers if text.startswith("report/"))
    read = record_from_markers([(time, text) for text, time in stage.engine.markers])
    assert text.endswith("/-/-")
    assert read.trials[0].report == answer.report
    stage.until("stimulus")
    stage.until("report")
    stage.until("rest")
    assert len(stage.engine.commands_of(Answer)) == 1
    assert stage.engine.session.record.trials[-1].report is None


def test_a_tone_ends_the_rest_with_closed_eyes_and_no_other_step(stage, monkeypatch):
    played = []
    monkeypatch.setattr(stage.window.steps.tone, "play", lambda: played.append(stage.window.screen_name))
    stage.begin()
    stage.until("baseline_closed")
    assert played == []
    stage.until("practice")
    stage.until("rest")
    assert played == ["practice"]


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


def test_the_operator_skips_a_trial_also_while_it_is_paused(stage):
    stage.begin()
    stage.until("stimulus")
    stage.press(Qt.Key.Key_Escape)
    stage.command("skip")
    assert stage.engine.session.record.trials[-1].state == "skipped"
    assert not stage.engine.view.is_paused


def test_the_operator_repeats_the_trial_worth_it_or_the_one_selected(stage):
    stage.begin()
    stage.until("stimulus")
    stage.until("rest")
    monitor = stage.window.screens.monitor
    stage.engine.session.show(progress=Progress(4, 2, (0.15, 0.85), 0.2, "sad", 1))
    stage.turn()
    assert "2 of 4" in monitor.figures.text()
    assert "20 %" in monitor.figures.text()
    stage.command("repeat")
    monitor.trials.selectRow(2)
    stage.turn()
    stage.command("repeat")
    assert stage.engine.commands_of(RepeatTrial) == [RepeatTrial(1), RepeatTrial(3)]


def texts(window: QWidget) -> str:
    """Return what can be read in a window, those of its own windows left out."""
    labels = (QLabel, QAbstractButton)
    return "\n".join(
        part.text() for kind in labels for part in window.findChildren(kind) if part.window() is window
    )


def test_the_participant_sees_no_accuracy_and_nothing_to_repeat_skip_or_end(stage):
    stage.begin()
    stage.until("stimulus")
    stage.until("rest")
    stage.engine.session.show(progress=Progress(4, 2, (0.15, 0.85), 0.2, "sad", 1), message="Trial 1 …")
    stage.turn(20)
    stage.press(Qt.Key.Key_P)
    stage.command("end")
    stage.window.findChild(QMessageBox).buttons()[0].click()
    stage.engine.finish(Path("folder"))
    stage.turn(20)
    read = texts(stage.window).lower()
    for word in (
        "accuracy",
        "chance",
        "weak",
        "verdict",
        "worth",
        "skip this",
        "repeat",
        "folder",
        "trial 1 …",
    ):
        assert word not in read
    assert "weak" in texts(stage.window.operator).lower()


def test_ending_the_session_asks_the_operator_first(stage):
    stage.begin()
    stage.until("stimulus")
    stage.command("end")
    question = stage.window.operator.findChild(QMessageBox)
    assert not stage.engine.session.is_over
    next(b for b in question.buttons() if "End" in b.text()).click()
    stage.turn()
    assert stage.engine.session.is_aborted


def test_with_one_screen_the_operator_s_window_comes_on_a_key_and_pauses(stage):
    operator = stage.window.operator
    assert not operator.isVisible()
    stage.agree()
    assert operator.isVisible()  # the signal check is the operator's
    QTest.keyClick(stage.window.screens.preflight.go, Qt.Key.Key_Return)
    stage.turn()
    assert not operator.isVisible()
    stage.until("stimulus")
    stage.press(Qt.Key.Key_F2)
    assert operator.isVisible()
    assert stage.engine.view.is_paused
    stage.command("toggle_pause")
    assert not operator.isVisible()
    assert stage.name == "hint"


def test_with_one_screen_an_error_in_a_stimulus_pauses_and_brings_the_operator_s_window(stage):
    stage.begin()
    stage.until("stimulus")
    stage.engine.unread.append(Failure("recording", "the disk is full", stage.clock.now))
    stage.turn(20)
    assert stage.engine.view.is_paused
    assert "the disk is full" in texts(stage.window.operator)
    assert "disk" not in texts(stage.window)


def test_with_two_screens_both_windows_stay_and_nothing_is_paused(stage):
    stage.window.is_split = True
    stage.window.operator.show()
    stage.begin()
    stage.until("stimulus")
    stage.press(Qt.Key.Key_F2)
    assert stage.window.operator.isVisible()
    assert not stage.engine.view.is_paused
    row = [stage.window.screens.monitor.trials.item(0, column).text() for column in range(4)]
    assert row == ["1", stage.engine.session.record.order[0], "stimulus", ""]
    assert f"({row[1]}): stimulus" in stage.window.operator.state.text()


def test_windows_go_to_screens_of_choice_and_a_screen_that_goes_pauses(stage, monkeypatch):
    from app.qt.calibration import window as module

    places = {"desk": QRect(0, 0, 1600, 900), "booth": QRect(1600, 0, 1280, 1024)}
    screens = [
        SimpleNamespace(name=lambda n=name: n, geometry=lambda r=r: r, availableGeometry=lambda r=r: r)
        for name, r in places.items()
    ]
    monkeypatch.setattr(module, "distinct_screens", lambda: screens)
    stage.window.place()
    operator = stage.window.operator
    assert (stage.window.is_split, operator.isVisible()) == (True, True)
    assert places["desk"].contains(operator.pos())
    operator.screens.setCurrentIndex(0)
    operator.screens.activated.emit(0)
    assert places["booth"].contains(operator.pos())
    stage.begin()
    stage.until("stimulus")
    del screens[1]
    stage.window.place()
    assert not stage.window.is_split
    assert stage.engine.view.is_paused


def test_keys_of_the_operator_do_what_the_list_of_keys_says(stage):
    stage.begin()
    stage.until("stimulus")
    operator = stage.window.operator
    called: list[str] = []
    keys = {s.key().toString(): s for s in operator.findChildren(QShortcut)}
    for name in ("skip", "repeat"):
        operator.buttons[name].clicked.connect(lambda _=False, name=name: called.append(name))
    assert {"P", "S", "R", "N", "E", "F1", "F2"} <= set(keys)
    keys["R"].activated.emit()
    assert stage.engine.commands_of(RepeatTrial) == [RepeatTrial(1)]
    keys["S"].activated.emit()
    assert stage.engine.commands[-1] is SessionCommand.SKIP_TRIAL
    keys["N"].activated.emit()
    operator.note.setText("moved a lot")
    QTest.keyClick(operator.note, Qt.Key.Key_Return)
    assert stage.engine.commands[-1] == Note("moved a lot")


def test_closing_the_participant_s_window_asks_the_operator_and_the_session_survives(stage):
    stage.begin()
    stage.until("stimulus")
    recording = RecordingInfo(Path("run-01.xdf"), "recording", "", 9.0, 10**6, 10**9, 10**4)
    figures = HealthPart(0.0, {}, {}, {}, 0, 0, 0.0, 0.0, "", recording, (), 0)
    stage.engine.unread.append(figures)
    stage.turn()
    assert not stage.window.close()
    stage.turn()
    question = stage.window.operator.findChild(QMessageBox)
    assert stage.engine.view.is_paused
    assert question.defaultButton() is question.buttons()[1]
    question.buttons()[1].click()
    assert stage.window.isVisible()
    stage.command("toggle_pause")
    stage.until("report")


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
    assert "31\N{NO-BREAK SPACE}% to 83\N{NO-BREAK SPACE}%" in finish.verdict_words.text()
    assert len(stage.engine.session.record.trials) == 10
    assert stage.window.faults.n_faults == 0


def test_a_failed_engine_is_told_and_the_next_try_resumes_with_what_was_recorded(stage):
    stage.begin()
    stage.engine.unread.append(Phase("failed", "the disk is full; free some space", code=ErrorCode.NO_STREAM))
    stage.engine.session = None
    stage.turn()
    assert stage.name == "failed"
    assert "the disk is full" in stage.window.screens.failed.said.text()
    QTest.keyClick(stage.window.screens.failed.again, Qt.Key.Key_Return)
    stage.turn()
    assert stage.name == "notice"
    assert stage.engine.request.resume


def every_screen(window: CalibrationWindow) -> list[Screen]:
    screens = window.screens
    return [*screens.by_name.values(), *screens.of_operator.values(), screens.monitor]


def test_every_control_of_every_screen_has_a_name(stage):
    from PyQt6.QtWidgets import QAbstractSlider, QProgressBar, QScrollBar, QTableWidget

    for screen in every_screen(stage.window):
        assert screen.accessibleName()
        for kind in (QAbstractButton, QAbstractSlider, QProgressBar):
            for control in screen.findChildren(kind):
                if not isinstance(control, QScrollBar) and not isinstance(control.parent(), QTableWidget):
                    assert control.accessibleName() or control.text(), (screen.accessibleName(), control)


def test_no_two_buttons_of_a_screen_have_the_same_key(stage):
    for screen in every_screen(stage.window):
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
    screen = window.screens.resume
    QTest.keyClick(screen.resume if resumes else screen.new, Qt.Key.Key_Return)
    window.poll()
    assert window.screen_name == "notice"
    assert window.engine.request.resume is resumes


def test_both_windows_say_that_emotion_is_inferred_and_data_are_simulated(stage: Stage) -> None:
    for text in (stage.window.signs.text(), stage.window.operator.times.text()):
        assert "SIMULATED DATA" in text
        assert "Emotion inference" in text
