"""The window on news of a real recording: what it shows, survives and sends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from engine_double import Engines
from filled_store import news
from PyQt6.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from PyQt6.QtGui import QDropEvent, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QDialog, QMenu, QMessageBox, QPushButton, QTableWidget

from acquisition.clock import LslClock
from acquisition.types import Change, ChannelInfo, Kind, Offer, StreamEvent, StreamHeader
from app.display import WindowOptions
from app.engine.messages import (
    AddStream,
    HealthPart,
    Mask,
    Note,
    Opened,
    Phase,
    RecordingInfo,
    SessionCommand,
    StartRecording,
)
from app.qt.application import place
from app.qt.dialogs.forms import SettingsDialog, SummaryDialog
from app.qt.dialogs.streams import StreamChoice
from app.qt.shell.choosers import with_kept
from app.qt.shell.commands import COMMANDS
from app.qt.shell.engine_window import Banner, Settings
from app.qt.shell.session import Session
from app.qt.shell.tab_set import INFERENCE_SIGN, NO_INFERENCE_SIGN, state_words
from app.qt.shell.window import MainWindow, shortcuts_dialog
from app.qt.theme import DARK, LIGHT
from app.request import LiveRequest, SessionOptions
from app.view.conditions import conditions
from assets import DEMO_RECORDING
from models.trust import ModelFacts, SignalFacts, judge

REQUEST = LiveRequest(SessionOptions())


class Opener:
    """Opens windows, each on an engine that says what a test wants."""

    def __init__(self, qtbot, tmp_path: Path) -> None:
        self._qtbot, self._tmp_path = qtbot, tmp_path

    def __call__(self, said: list[object], settings: Settings | None = None) -> tuple[MainWindow, Engines]:
        engines = Engines(said)
        window = MainWindow(Session(engines), settings or Settings(self._tmp_path / "window.ini"))
        window.appearance.use_theme(DARK)
        window.resize(1366, 768)
        self._qtbot.addWidget(window, before_close_func=lambda w: w.session.kill())
        window.open(REQUEST)
        window.show()
        window.poll()
        return window, engines


@pytest.fixture
def opened(qtbot, tmp_path: Path) -> Opener:
    return Opener(qtbot, tmp_path)


def live_news() -> list[object]:
    return [replace(p, mode="live", timeline=None) if isinstance(p, Opened) else p for p in news(20.0)]


def recording(state: str) -> HealthPart:
    info = RecordingInfo(Path("session.xdf"), state, "", 12.0, 3_000_000, 10**9, 3600.0)
    return HealthPart(0.0, {}, {}, {}, 0, 0, 0.0, 0.0, "", info, (), 0)


def settle(window: MainWindow) -> None:
    """Let what is refreshed seldom come round."""
    for _ in range(9):
        window.poll()


def press(window: MainWindow, text: str) -> None:
    """Press a button of the messages."""
    button = next(b for b in window.banners.findChildren(QPushButton) if b.text() == text)
    button.click()


def answer(qtbot, dialog: QMessageBox | None, text: str) -> None:
    assert dialog is not None
    qtbot.mouseClick(next(b for b in dialog.buttons() if text in b.text()), Qt.MouseButton.LeftButton)


def judged(prediction):
    return replace(prediction, verdict=judge(prediction, ModelFacts(), SignalFacts()))


def test_the_model_s_size_and_training_are_told_as_plain_text(opened):
    window, engines = opened(news(5.0))
    model = window.session.store.model
    odd = replace(model, trained_on="<b>people</b>", n_parameters=1234567)
    engines.newest.unread.append(Opened("live", odd, None))
    window.poll()
    words = window.header.model.toolTip()
    assert "Trained on &lt;b&gt;people&lt;/b&gt;; preset small, 1,234,567 parameters; runs on " in words


def test_a_prediction_s_display_is_timed_when_the_window_has_been_painted(opened, qtbot):
    window, engines = opened(news(10.0))
    newest = window.session.store.predictions.newest
    now = LslClock().now()
    live = replace(newest.latency, arrival=1.0, wait=1.0, total=9.0, age=10.0)
    fresh = replace(newest, index=newest.index + 1, t_end=now - 0.010, latency=live)
    engines.newest.unread.append(fresh)
    display = window.tabs.health.latency.display
    window.poll()
    assert math.isnan(display.of(fresh))  # what was drawn anew waits for Qt to paint it
    qtbot.waitUntil(lambda: not math.isnan(display.of(fresh)))
    assert 0 < display.of(fresh) < 1e3 * (LslClock().now() - now)
    window.open(REQUEST)  # another engine: another account
    window.poll()
    window.poll()
    assert math.isnan(display.percentiles_ms(50)[0])


def test_the_sign_of_inference_is_always_there_and_says_when_nothing_is_inferred(opened, qtbot):
    window, engines = opened([Phase("loading")])
    settle(window)
    assert window.header.sign.text() == NO_INFERENCE_SIGN
    engines.newest.unread = live_news()
    settle(window)
    assert window.header.sign.isVisible()
    assert window.header.sign.text() == INFERENCE_SIGN
    engines.newest.end(Phase("failed", "lost"))
    settle(window)
    assert window.header.sign.isVisible()
    assert window.header.sign.text() == NO_INFERENCE_SIGN


def test_each_tab_shows_the_emotion_with_its_probability_and_a_replay_its_file(opened):
    window, engines = opened(news(20.0))
    newest = window.session.store.predictions.at(window.playback.time)
    probs = dict.fromkeys(newest.probs, 0.12) | {"disgust": 0.52}
    engines.newest.unread = [judged(replace(newest, probs=probs, warm_up=False))]
    for name in ("now", "why", "signals", "health"):
        window.tabs.show_tab(name)
        settle(window)
        assert window.header.answer.isVisible()
        assert window.header.answer.text() == "uncertain: disgust 52 %"
    assert window.header.file.text() == "simulated-60s.xdf"
    assert window.header.file.isVisible()


@pytest.mark.parametrize("name", ["now", "why", "signals", "health"])
def test_each_tab_draws_a_recording_in_both_themes_without_a_fault(opened, name):
    window, _ = opened(live_news())
    window.tabs.show_tab(name)
    for theme in (DARK, LIGHT):
        window.appearance.use_theme(theme)
        settle(window)
        assert not window.grab().isNull()
    assert window.faults.n_faults == 0


def test_a_model_of_simulated_data_is_said_and_cannot_be_closed(opened):
    window, _ = opened(live_news())
    settle(window)
    said = [b for b in window.banners.findChildren(Banner) if "imulated" in b.accessibleName()]
    assert len(said) == 1
    assert not [b for b in said[0].findChildren(QPushButton) if b.text() == "Close"]


def test_an_engine_that_fails_is_said_and_can_be_started_again(opened):
    window, engines = opened(live_news())
    engines.newest.end(Phase("failed", "CUDA is lost: restart the engine"))
    settle(window)
    assert any("CUDA is lost" in text for text in window.banners.texts)
    press(window, "Restart")
    assert len(engines.made) == 2
    assert engines.newest.is_alive


def test_a_changed_request_that_does_not_open_is_refused_and_what_ran_before_goes_on(opened):
    window, engines = opened(live_news())
    engines.messages = [Phase("loading"), Phase("failed", "expected 62 channels, got 8: pass --montage")]
    changed = replace(REQUEST, options=replace(REQUEST.options, montage="biosemi64"))
    window.change_to(changed)
    window.poll()
    engines.messages = live_news()
    settle(window)
    assert engines.newest.request.options.montage is None
    assert "expected 62 channels" in window.banners.conditions["refused"].text
    assert window.session.store.phase.name == "running"
    engines.messages = [Phase("loading")]
    window.change_to(replace(REQUEST, options=SessionOptions(montage="biosemi32")))
    settle(window)
    assert "refused" not in window.banners.conditions  # that was about the choice before
    bar = window.replay_bar.timeline
    assert bar.maximum() == 0  # nor is the session before still in the time bar


def header(name: str, type_: str, source_id: str) -> StreamHeader:
    channels = tuple(ChannelInfo(label, type_, "microvolts") for label in ("C3", "CZ", "C4", "PZ"))
    return StreamHeader(name, type_, source_id, "host", f"uid-{source_id}", 100.0, 4, "float32", channels)


def running_on(*headers: StreamHeader) -> list[object]:
    return [replace(p, headers=headers) if isinstance(p, Opened) else p for p in live_news()]


@pytest.mark.parametrize("change", ["model", "montage", "channels"])
def test_a_change_that_cannot_run_is_refused_before_the_session_is_touched(opened, tmp_path, change):
    """Channels: the stream has none that the montage names."""
    window, engines = opened(running_on(header("Amp", "EEG", "amp-1")))
    settle(window)
    (tmp_path / "cap.toml").write_text('[labels]\nA1 = "C3"\n')
    options = {
        "model": replace(REQUEST.options, model=tmp_path / "none"),
        "montage": replace(REQUEST.options, montage=str(tmp_path / "none.toml")),
        "channels": replace(REQUEST.options, montage=str(tmp_path / "cap.toml")),
    }[change]
    n_shown = window.replay_bar.timeline.maximum()
    window.change_to(replace(REQUEST, options=options))
    settle(window)
    assert len(engines.made) == 1
    assert engines.commands == []
    assert window.banners.conditions["refused"].severity == "error"
    assert window.replay_bar.timeline.maximum() == n_shown > 0
    window.change_to(REQUEST)
    settle(window)
    assert "refused" not in window.banners.conditions


def test_what_ran_is_taken_again_by_its_source_id_now_and_at_the_next_start(opened, tmp_path):
    settings = Settings(tmp_path / "kept.ini")
    window, engines = opened(running_on(header("Amp", "EEG", "amp-1"), header("Eyes", "Gaze", "")), settings)
    settle(window)
    window.start_again()
    settle(window)
    assert engines.newest.request.preferred == ("amp-1",)
    settings.save()
    again, _ = opened([], Settings(tmp_path / "kept.ini"))
    assert again.as_last_time(REQUEST).preferred == ("amp-1",)


def test_streams_that_appear_are_offered_and_added_without_another_engine(opened):
    window, engines = opened(live_news())
    offers = tuple(
        Offer(f"uid-{name}", header(name, "", name), kind, n_rivals)
        for name, kind, n_rivals in (("Eyes", Kind.GAZE, 0), ("Mic", Kind.AUDIO, 1), ("Mic 2", Kind.AUDIO, 1))
    )
    engines.newest.unread.append(replace(recording("stopped"), offers=offers))
    settle(window)
    told = [found for found in conditions(window.session.store) if found.key.startswith("offers")]
    assert [condition.actions for condition in told] == [("add_stream",), ("choose_streams",)]
    window.actions_by_name["add_stream"].trigger()
    assert engines.commands == [AddStream("uid-Eyes")]
    window.choosers._use_streams(window.session.request, StreamChoice("voice=name:Mic 2"))
    assert engines.commands[1:] == [AddStream("uid-Mic 2")]
    assert len(engines.made) == 1
    engines.newest.unread.append(recording("stopped"))
    settle(window)
    assert not window.actions_by_name["add_stream"].isEnabled()


def test_a_request_that_fails_again_and_again_is_not_started_for_ever(opened):
    window, engines = opened([Phase("failed", "no stream was found")])
    window.start_again()
    settle(window)
    assert len(engines.made) == 2


def test_a_stream_that_vanishes_and_one_refused_are_said_with_a_remedy(opened):
    window, engines = opened(live_news())
    keys = [p for p in live_news() if isinstance(p, StreamEvent) and p.change is Change.OPENED]
    gone, refused = keys[0], keys[1]
    engines.newest.unread = [
        replace(gone, change=Change.STALE, spec=None, message="no sample for 2.1 s"),
        replace(refused, change=Change.REFUSED, spec=None, message="returned with 8 channels, had 62"),
    ]
    settle(window)
    silent, refused = (c for key, c in window.banners.conditions.items() if key.startswith("stream "))
    assert {silent.severity, refused.severity} == {"warning", "error"}
    assert silent.remedy
    assert refused.remedy
    assert any("had 62" in text for text in window.banners.texts)


def test_names_of_streams_are_never_markup(opened):
    window, engines = opened(live_news())
    event = next(p for p in live_news() if isinstance(p, StreamEvent) and p.spec is not None)
    assert event.spec is not None
    evil = replace(event.spec, name="<b>EEG</b>")
    engines.newest.unread = [replace(event, spec=evil), replace(event, spec=None, change=Change.STALE)]
    settle(window)
    assert any("<b>EEG</b>" in text for text in window.banners.texts)


@pytest.mark.qt_no_exception_capture
def test_an_exception_in_a_slot_becomes_a_message_counted_and_the_window_goes_on(opened):
    window, _ = opened(live_news())
    window.faults.install()
    try:

        def broken() -> None:
            raise RuntimeError("a slot broke")

        window.actions_by_name["show_now"].triggered.connect(broken)
        for _ in range(3):
            window.actions_by_name["show_now"].trigger()
        settle(window)
    finally:
        window.faults.remove()
    said = [text for text in window.banners.texts if "a slot broke" in text]
    assert len(said) == 1
    assert "3 times" in said[0]
    press(window, "Copy details")


def test_a_panel_that_breaks_leaves_clock_and_messages_alive(opened, monkeypatch):
    window, _ = opened(live_news())

    def broken(*_: object) -> None:
        raise ValueError("broken panel")

    monkeypatch.setattr(window.tabs.by_name["now"], "refresh", broken)
    settle(window)
    assert any("broken panel" in text for text in window.banners.texts)
    assert "kept" in window.replay_bar.words.text()


def test_space_holds_and_releases_the_view(opened, qtbot):
    window, engines = opened(live_news())
    page = window.centralWidget()
    qtbot.keyClick(page, Qt.Key.Key_Space)
    window.poll()
    assert "PAUSED" in window.header.state.text()
    qtbot.keyClick(page, Qt.Key.Key_End)
    window.poll()
    assert "LIVE" in window.header.state.text()
    assert engines.commands == []


def test_keys_in_the_time_course_step_from_prediction_to_prediction(opened, qtbot):
    window, _ = opened(live_news())
    plot, newest = window.tabs.now.course.plot, window.session.store.predictions.newest.t_end
    for key, moved_s in ((Qt.Key.Key_Left, 0.25), (Qt.Key.Key_Left, 0.5), (Qt.Key.Key_Right, 0.25)):
        qtbot.keyClick(plot, key)
        assert window.playback.time == pytest.approx(newest - moved_s)
    qtbot.keyClick(plot, Qt.Key.Key_End)
    assert window.playback.is_playing


def test_space_in_the_note_is_a_blank_and_enter_sends_it(opened, qtbot):
    window, engines = opened(live_news())
    settle(window)
    window.toolbar.note.setFocus()
    qtbot.keyClicks(window.toolbar.note, "eyes closed")
    qtbot.keyClick(window.toolbar.note, Qt.Key.Key_Return)
    assert engines.commands == [Note("eyes closed")]
    assert window.playback.is_playing


@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Escape])
def test_enter_and_escape_give_the_keys_from_the_note_back_to_the_view(opened, qtbot, key):
    window, engines = opened(live_news())
    window.activateWindow()
    settle(window)
    window.toolbar.note.setFocus()
    qtbot.keyClicks(window.toolbar.note, "hands moved")
    qtbot.keyClick(window.toolbar.note, key)
    assert window.focusWidget() is window.centralWidget()
    is_sent = key is Qt.Key.Key_Return
    assert (engines.commands == [Note("hands moved")]) is is_sent
    assert ("Sent: hands moved" in window.toolbar.note.placeholderText()) is is_sent


@pytest.mark.parametrize("keys", ["Ctrl+E", "Ctrl+K", "Ctrl+P", "Ctrl+O", "F1"])
def test_keys_of_commands_are_theirs_also_while_a_note_is_typed(opened, keys):
    window, _ = opened(live_news())
    settle(window)
    combination = QKeySequence(keys)[0]
    event = QKeyEvent(QEvent.Type.ShortcutOverride, combination.key(), combination.keyboardModifiers())
    event.ignore()
    window.toolbar.note.event(event)
    assert not event.isAccepted()


def test_a_replay_says_why_no_note_can_be_typed(opened):
    window, _ = opened(news(10.0))
    settle(window)
    assert not window.toolbar.note.isEnabled()
    assert window.toolbar.note.placeholderText() == window.toolbar.note.toolTip()


def test_the_view_has_the_keys_back_after_a_dialog(opened, qtbot):
    window, _ = opened(live_news())
    window.activateWindow()
    window.actions_by_name["show_shortcuts"].trigger()
    dialog = next(d for d in window.findChildren(QDialog) if d.isVisible())
    dialog.reject()
    qtbot.waitUntil(window.isActiveWindow)
    qtbot.waitUntil(lambda: window.focusWidget() is window.centralWidget())


def test_the_time_bar_hatches_what_is_no_answer(opened):
    window, engines = opened(live_news())
    newest = window.session.store.predictions.at(window.playback.time - 1)
    probs = dict.fromkeys(newest.probs, 0.12) | {"disgust": 0.52}
    engines.newest.unread = [judged(replace(newest, probs=probs, label="disgust", warm_up=False))]
    settle(window)
    window.resize(1300, 700)  # draws it anew
    settle(window)
    words = window.replay_bar.timeline.words_at(newest.t_end)
    assert "no answer (hatched): uncertain" in words


def test_masking_a_modality_and_shows_what_the_engine_says(opened):
    window, engines = opened(live_news())
    settle(window)
    action = window.actions_by_name["mask_face"]
    action.trigger()
    assert engines.commands == [Mask("face", True)]
    engines.newest.unread = [replace(recording("stopped"), recording=None, masked=())]
    settle(window)
    assert not action.isChecked()


def test_recording_starts_from_its_dialog_and_stops_by_the_same_command(opened, tmp_path, monkeypatch):
    window, engines = opened(live_news())
    window.settings.keep("record to", str(tmp_path))
    settle(window)
    dialog = window.recording.toggle()
    assert dialog is not None
    dialog.accept()
    (command,) = engines.commands
    assert isinstance(command, StartRecording)
    assert command.path.parent == tmp_path
    engines.newest.unread = [recording("recording")]
    settle(window)
    assert "REC 0:12" in window.header.recording.text()
    assert "Stop" in window.actions_by_name["record"].text()


def test_closing_ends_the_engine_first(opened, qtbot):
    window, engines = opened(live_news())
    window.close()
    assert window.isVisible()
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=2000)
    assert engines.commands == [SessionCommand.STOP]
    assert not engines.newest.is_alive


def test_closing_while_recording_asks(opened, qtbot):
    window, engines = opened([*live_news(), recording("recording")])
    window.close()
    qtbot.keyClick(window.closing.question, Qt.Key.Key_Return)  # the recording goes on
    assert window.closing.question is None
    assert engines.commands == []
    window.close()
    answer(qtbot, window.closing.question, "Keep")
    assert window.isVisible()
    assert engines.commands == []
    window.close()
    answer(qtbot, window.closing.question, "Stop")
    qtbot.waitUntil(lambda: not window.isVisible(), timeout=2000)
    assert engines.commands == [SessionCommand.STOP]


def test_choices_are_kept_between_runs(opened, tmp_path):
    settings = Settings(tmp_path / "kept.ini")
    window, _ = opened(live_news(), settings)
    window.appearance.switch_theme()
    window.appearance.change_scale(1)
    window.closing.begin()
    again = Settings(tmp_path / "kept.ini")
    assert again.text("theme") == "light"
    assert again.number("scale", 1.0) == 1.25
    assert again.state("geometry") is not None


def test_every_command_of_the_table_can_be_done(opened, qtbot):
    window, _ = opened(live_news())
    settle(window)
    for command in COMMANDS:
        if command.name in ("quit", "stop", "start_again", "choose_streams"):
            continue  # end the session, or look for streams on the network: tested with real ones
        window.actions_by_name[command.name].trigger()
        settle(window)
        for dialog in window.findChildren(QDialog):
            dialog.close()
    assert window.faults.n_faults == 0


def test_a_click_on_the_timeline_goes_to_that_moment(opened, qtbot):
    window, _ = opened(live_news())
    settle(window)
    bar = window.replay_bar.timeline
    qtbot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=QPoint(bar.width() // 2, 5))
    store = window.session.store
    middle = (store.oldest_time + store.newest_time) / 2
    assert window.playback.time == pytest.approx(middle, abs=0.2)
    time, answer = bar.words_at(middle).splitlines()[:2]
    assert ":" in time
    assert "predicted" in answer or "no answer" in answer


def test_live_is_green_only_while_predictions_come(opened):
    window, _ = opened(live_news())
    store = window.session.store
    assert state_words(store, window.playback) == ("● LIVE", "good")
    store.take(replace(recording("stopped"), time=store.predictions.newest.t_end + 125.0))
    words, colour = state_words(store, window.playback)
    assert (words, colour) == ("▲ LIVE, no prediction for 2 min 5 s", "suspect")
    window.header.refresh(store, window.playback)
    assert window.header.answer.text().startswith("stale")  # though the moment shown has not moved


def test_the_header_names_the_profile_and_its_verdict(opened):
    said = {"profile": "S01, session 1", "verdict": "weak"}
    window, _ = opened(
        [replace(p, model=replace(p.model, **said)) if isinstance(p, Opened) else p for p in live_news()]
    )
    settle(window)
    assert window.header.model.text() == "Profile S01, session 1: weak"


def test_the_first_start_has_the_whole_window_on_the_screen(opened):
    window, _ = opened(live_news())
    place(window, WindowOptions(seconds=None, size=None, theme=None, scale=None), window.settings)
    assert window.isMaximized()  # the screen of the tests is smaller than the window at first
    assert window.height() < window.screen().availableSize().height()


def test_holding_a_replay_pauses_its_engine(opened, qtbot):
    window, engines = opened(news(20.0))
    qtbot.keyClick(window.centralWidget(), Qt.Key.Key_Space)
    assert engines.commands == [SessionCommand.PAUSE]


def test_a_screen_smaller_than_the_page_scrolls_over_the_tab_and_nothing_else(opened):
    window, _ = opened(live_news())
    for size in ((683, 384), (900, 480)):  # 1366 x 768 at 200 %, and at 150 %
        window.resize(*size)
        settle(window)
        window.grab()
        assert (window.width(), window.height()) == size
        for widget in (window.header.sign, window.header.answer, window.replay_bar, window.toolbar):
            corner = widget.mapTo(window, widget.rect().bottomRight())
            assert widget.isVisible()
            assert 0 <= corner.x() < size[0]
            assert 0 <= corner.y() < size[1]
    assert window.tabs.now.height() > window.tabs.now.visibleRegion().boundingRect().height()


def summaries(window: MainWindow) -> list[SummaryDialog]:
    return [dialog for dialog in window.findChildren(SummaryDialog) if dialog.isVisible()]


def test_a_live_session_that_is_stopped_shows_its_summary_and_the_window_stays_usable(
    opened, qtbot, tmp_path
):
    window, engines = opened(live_news())
    window.poll()
    assert not summaries(window)
    window.actions_by_name["stop"].trigger()
    settle(window)
    (dialog,) = summaries(window)
    assert not dialog.isModal()
    qtbot.waitUntil(lambda: "Answers by marker" in dialog.page.toPlainText(), timeout=20_000)
    dialog.write(tmp_path / "a.csv")
    qtbot.waitUntil(lambda: "a-streams.csv" in dialog.words.text(), timeout=20_000)
    dialog.close()
    settle(window)
    assert not summaries(window)  # it does not come back by itself
    press(window, "Summary")
    assert summaries(window)
    assert len(engines.made) == 1


def test_a_recording_is_closed_before_the_session_ends(opened, qtbot):
    window, engines = opened([*live_news(), recording("recording")])
    settle(window)
    window.actions_by_name["stop"].trigger()
    answer(qtbot, window.findChild(QMessageBox), "Stop")
    assert engines.commands == [SessionCommand.STOP_RECORDING]
    engines.newest.unread.append(recording("stopped"))
    window.poll()
    qtbot.waitUntil(lambda: engines.commands[-1] is SessionCommand.STOP, timeout=5000)


def test_a_replay_offers_its_summary_at_the_end_and_does_not_open_it(opened):
    window, engines = opened(news(10.0))
    engines.newest.unread.append(Phase("ended"))
    settle(window)
    assert window.banners.conditions["engine"].actions[0] == "show_summary"
    assert not summaries(window)


def test_the_summary_asked_for_is_written_when_the_session_ends(opened, tmp_path):
    window, engines = opened(live_news())
    window.open(replace(REQUEST, options=SessionOptions(summary=tmp_path / "a.html")))
    settle(window)
    engines.newest.end(Phase("ended"))
    settle(window)
    assert "Live session" in (tmp_path / "a.html").read_text()
    assert "summary" in window.banners.conditions


def test_a_marker_key_sends_its_own_name_with_the_time_of_the_press(opened):
    settings = Settings(None)
    settings.keep("marker 2", "eyes closed")
    window, engines = opened(live_news(), settings)
    settle(window)
    before = LslClock().now()
    action = window.actions_by_name["mark_2"]
    assert action.shortcut().toString() == "F6"
    action.trigger()
    (note,) = engines.commands
    assert note.text == "eyes closed"
    assert before <= note.time <= LslClock().now()
    rows = shortcuts_dialog(window, window.choosers.marker_names()).findChild(QTableWidget)
    assert "eyes closed" in {rows.item(row, 1).text() for row in range(rows.rowCount())}


def test_a_replay_takes_no_marker(opened):
    window, _ = opened(news(10.0))
    settle(window)
    assert not window.actions_by_name["mark_1"].isEnabled()


def settings_of(window: MainWindow) -> SettingsDialog:
    window.actions_by_name["settings"].trigger()
    return next(d for d in window.findChildren(SettingsDialog) if d.isVisible())


def test_settings_start_a_new_session_only_where_they_change_it_and_are_kept(opened):
    settings = Settings(None)
    window, engines = opened(live_news(), settings)
    settle(window)
    dialog = settings_of(window)
    dialog.names[0].setText("stimulus")
    dialog.use()
    settle(window)
    assert len(engines.made) == 1
    assert window.actions_by_name["mark_1"].text() == "stimulus"
    dialog = settings_of(window)
    dialog.line.setCurrentIndex(1)
    dialog.numbers["lateness"].setValue(1.5)
    dialog.numbers["answer_from"].setValue(80)
    dialog.use()
    settle(window)
    chosen = engines.newest.request.options
    assert (chosen.line, chosen.lateness, chosen.answer_from, chosen.baseline_s) == (50, 1.5, 0.8, None)
    assert with_kept(REQUEST, settings).options.lateness == 1.5
    given = replace(REQUEST, options=SessionOptions(lateness=0.3))
    assert with_kept(given, settings).options.lateness == 0.3  # the command line comes first
    dialog = settings_of(window)
    dialog.restore()
    dialog.use()
    settle(window)
    assert engines.newest.request.options.lateness is None
    assert with_kept(REQUEST, settings) == REQUEST


def test_half_a_screen_is_refused_in_the_settings(opened):
    window, engines = opened(live_news())
    settle(window)
    dialog = settings_of(window)
    dialog.screen_cm.setText("53x30")
    dialog.use()
    assert dialog.is_refused
    assert dialog.isVisible()
    assert len(engines.made) == 1


def dropped(window: MainWindow, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    action, mods = Qt.DropAction.CopyAction, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(5, 5), action, data, Qt.MouseButton.LeftButton, mods))
    settle(window)


def test_what_is_dropped_is_used_by_what_it_is_or_refused_with_the_session_running_on(opened, tmp_path):
    window, engines = opened(live_news())
    (tmp_path / "notes.md").write_text("no recording")
    for refused in (tmp_path / "notes.md", tmp_path, tmp_path / "gone.xdf"):
        dropped(window, refused)
        assert refused.name in window.banners.conditions["refused"].text
    dropped(window, DEMO_RECORDING, tmp_path)
    assert "at a time" in window.banners.conditions["refused"].text
    assert len(engines.made) == 1
    dropped(window, DEMO_RECORDING)
    assert engines.newest.request.path == DEMO_RECORDING
    assert window.settings.paths("recordings") == [DEMO_RECORDING]


def test_recent_files_that_are_missing_cannot_be_chosen(opened, tmp_path):
    settings = Settings(None)
    for path in (tmp_path / "gone.xdf", DEMO_RECORDING):
        settings.keep_recent("recordings", path)
    window, engines = opened(live_news(), settings)
    menu = QMenu()
    window.choosers.fill_recent(menu)
    first, second = (action for action in menu.actions() if action.text())
    assert (first.isEnabled(), second.isEnabled()) == (True, False)
    first.trigger()
    settle(window)
    assert engines.newest.request.path == DEMO_RECORDING
