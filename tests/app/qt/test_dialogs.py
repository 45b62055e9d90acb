"""The choosers: what they list, hand on and refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from engine_double import Engines
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor
from PyQt6.QtWidgets import QComboBox, QPushButton, QWidget

from acquisition.errors import ErrorCode, InputError
from acquisition.lsl.discovery import FoundStream
from acquisition.simulator.source import SimulatorOptions
from acquisition.types import StreamHeader
from app.model_check import make_starter, read_config
from app.qt.dialogs.folders import ModelDialog, ProfileDialog, profiles_below
from app.qt.dialogs.forms import RecordDialog, SelfReportDialog
from app.qt.dialogs.streams import StreamChoice, StreamsDialog
from app.qt.shell.choosers import Choosers
from app.qt.shell.commands import COMMANDS, OF_PANELS
from app.qt.shell.engine_window import Settings
from app.qt.shell.session import Session
from app.qt.shell.window import shortcuts_dialog
from app.qt.theme import DARK, LIGHT, style_sheet
from app.request import LiveRequest, SessionOptions
from assets import DEMO_MODEL
from calibration.profile_summary import ProfileSummary, model_sha256
from calibration.verdict import VerdictCode
from models.weights import install


def stream(name: str, kind: str, source_id: str, rate: float = 250.0) -> FoundStream:
    header = StreamHeader(name, kind, source_id, "lab", f"uid-{name}", rate, 8, "float32")
    return FoundStream(f"uid-{name}", header, (), None)


def streams_dialog(qtbot, found: list[FoundStream], before: StreamChoice) -> tuple[StreamsDialog, list]:
    chosen: list[StreamChoice] = []
    dialog = StreamsDialog(None, before, chosen.append, lambda: found)
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: dialog.table.rowCount() == len(found))
    return dialog, chosen


def test_streams_are_listed_as_plain_text_and_the_choice_is_handed_on(qtbot):
    found = [stream("<b>Cap</b>", "EEG", "a"), stream("Other, cap", "EEG", ""), stream("Eyes", "Gaze", "c")]
    dialog, chosen = streams_dialog(qtbot, found, StreamChoice(None))
    assert dialog.table.item(0, 1).text() == "<b>Cap</b>"
    dialog.choices["eeg"].setCurrentIndex(3)
    dialog.choices["eye"].setCurrentIndex(1)
    dialog.use()
    assert chosen == [StreamChoice("eeg=name:Other, cap,eye=none")]


def test_the_program_s_own_streams_are_no_choice_and_said_to_be_hidden(qtbot):
    own = stream("Affectscope predictions", "AffectscopePrediction", "p", 4)
    notes = stream("Affectscope notes", "Markers", "affectscope-notes-1", 0)
    chosen: list[StreamChoice] = []
    dialog = StreamsDialog(
        None, StreamChoice(None), chosen.append, lambda: [own, stream("Cap", "EEG", "a"), notes]
    )
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 1)
    assert dialog.table.item(0, 1).text() == "Cap"
    assert not dialog.hidden.isHidden()
    assert "2 streams" in dialog.hidden.text()


def test_what_may_be_left_empty_says_so(qtbot):
    dialog, _ = streams_dialog(qtbot, [stream("Cap", "EEG", "a")], StreamChoice(None))
    for combo in (dialog.webcam, dialog.microphone):
        assert combo.lineEdit().placeholderText().startswith("none")


def test_a_model_says_what_it_was_trained_on_and_its_long_path_is_cut_in_the_middle(qtbot):
    deep = Path("/", *["folder"] * 40, "trained")
    dialog = ModelDialog(None, DEMO_MODEL, [deep], print)
    qtbot.addWidget(dialog)
    assert "trained on simulated data" in dialog.list.item(0).text()
    shown = dialog.list.item(1)
    assert "…" in shown.text()
    assert shown.text().endswith("trained")
    assert str(deep) in shown.toolTip()


@pytest.mark.parametrize("known", ["recordings folder", "record to"])
def test_open_begins_where_the_last_recording_was(qtbot, tmp_path: Path, known):
    settings = Settings(tmp_path / "window.ini")
    settings.keep(known, str(tmp_path))
    settings.keep("record to", str(tmp_path))
    choosers = Choosers(None, Session(Engines()), settings, print)
    dialog = choosers.recording()
    qtbot.addWidget(dialog)
    assert Path(dialog.directory().path()) == tmp_path


def test_two_streams_that_fit_are_refused_in_words_until_one_is_chosen(qtbot):
    found = [stream("One", "EEG", "a"), stream("Two", "EEG", "b")]
    dialog, chosen = streams_dialog(qtbot, found, StreamChoice(None))
    dialog.use()
    assert chosen == []
    assert dialog.is_refused
    assert "'Two'" in dialog.words.text()


def test_what_was_chosen_before_is_chosen_again(qtbot):
    found = [stream("One", "EEG", "a"), stream("Two", "EEG", "b")]
    dialog, _ = streams_dialog(qtbot, found, StreamChoice("eeg=source_id:b,face=none"))
    assert dialog.choices["eeg"].currentData() == "source_id:b"
    assert dialog.choices["face"].currentData() == "none"


def test_a_choice_of_markers_outlives_the_dialog(qtbot):
    found = [stream("Cap", "EEG", "a"), stream("Game", "Markers", "m"), stream("Other", "Markers", "n")]
    dialog, chosen = streams_dialog(qtbot, found, StreamChoice("markers=source_id:m"))
    dialog.use()
    assert chosen == [StreamChoice("markers=source_id:m")]


def test_a_folder_without_a_model_is_refused_in_words(qtbot, tmp_path: Path):
    dialog = ModelDialog(None, DEMO_MODEL, [tmp_path], print)
    qtbot.addWidget(dialog)
    dialog.list.setCurrentRow(1)
    assert dialog.is_refused
    assert not dialog.use.isEnabled()
    dialog.list.setCurrentRow(0)
    assert "disgust" in dialog.words.text()


def test_a_model_whose_weights_are_broken_is_refused_after_the_trial(qtbot, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_bytes((DEMO_MODEL / "config.json").read_bytes())
    (broken / "model.safetensors").write_bytes(b"no weights")
    chosen: list[Path] = []
    dialog = ModelDialog(None, broken, [], chosen.append)
    qtbot.addWidget(dialog)
    dialog.list.setCurrentRow(1)
    dialog.use.click()
    qtbot.waitUntil(lambda: dialog.is_refused, timeout=60_000)
    assert chosen == []


def test_a_recording_never_overwrites_a_file(qtbot, tmp_path: Path):
    (tmp_path / "a.xdf").touch()
    dialog = RecordDialog(None, tmp_path / "a.xdf")
    qtbot.addWidget(dialog)
    assert not dialog.start.isEnabled()
    dialog.path_edit.setText(str(tmp_path / "b"))
    assert dialog.start.isEnabled()
    assert dialog.path == tmp_path / "b.xdf"


def test_every_command_is_listed_with_its_keys(qtbot):
    dialog = shortcuts_dialog(None)
    qtbot.addWidget(dialog)
    table = dialog.findChild(type(dialog.layout().itemAt(0).widget()))
    assert table.rowCount() == len(COMMANDS) + len(OF_PANELS)
    for keys in ("Ctrl+R", "O", "+ or -", "0"):
        assert table.findItems(keys, Qt.MatchFlag.MatchExactly)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_what_is_selected_in_a_choice_can_be_read(qtbot, theme):
    page = QWidget()
    qtbot.addWidget(page)
    page.setStyleSheet(style_sheet(theme))
    choice = QComboBox(page)
    choice.addItems(["█", "two"])
    page.show()
    choice.showPopup()
    view = choice.view()
    row = view.visualRect(view.model().index(0, 0))
    picture = view.viewport().grab().toImage()
    lights = sorted(
        _luminance(picture.pixelColor(x, y)) + 0.05
        for x in range(row.left(), min(row.right(), picture.width()))
        for y in range(row.top(), row.bottom())
    )
    back = lights[len(lights) // 2]
    assert max(back / lights[0], lights[-1] / back) > 4.5  # WCAG 2, level AA
    choice.hidePopup()


def _luminance(colour: QColor) -> float:
    """Return the relative luminance of WCAG 2."""
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def profile(folder: Path, **changes: object) -> Path:
    """Make a folder that says it is a profile of the shipped model."""
    summary = ProfileSummary(
        subject="S01",
        classes=("happy", "<b>sad</b>"),
        modalities=("eeg", "eye"),
        ch_names=("CZ",),
        head="discriminant",
        verdict=VerdictCode.NOT_DISTINGUISHABLE,
        base_name="shipped",
        base_sha256=model_sha256(DEMO_MODEL),
        features_sha256="0" * 64,
    )
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(replace(summary, **changes).to_dict()))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_profile_says_its_verdict_and_is_handed_on(qtbot, tmp_path: Path):
    mine, chosen = profile(tmp_path / "mine"), []
    dialog = ProfileDialog(None, DEMO_MODEL, None, [mine], chosen.append)
    qtbot.addWidget(dialog)
    assert dialog.list.currentRow() == 0
    assert dialog.list.item(0).text().endswith("(in use)")
    assert VerdictCode.NOT_DISTINGUISHABLE in dialog.list.item(1).text()
    dialog.list.setCurrentRow(1)
    assert dialog.words.text().startswith("Do not trust this model")
    assert "<b>sad</b>" in dialog.words.text()
    dialog.use.click()
    assert chosen == [mine]


def test_no_profile_can_be_chosen_while_one_is_in_use(qtbot, tmp_path: Path):
    mine, chosen = profile(tmp_path / "mine", verdict=VerdictCode.USABLE), []
    dialog = ProfileDialog(None, DEMO_MODEL, mine, [mine], chosen.append)
    qtbot.addWidget(dialog)
    assert dialog.list.count() == 2
    assert dialog.list.currentItem().text().splitlines()[0].endswith("(in use)")
    dialog.list.setCurrentRow(0)
    dialog.use.click()
    assert chosen == [None]


def test_a_profile_of_another_model_and_a_folder_without_one_are_refused_in_words(qtbot, tmp_path: Path):
    other = profile(tmp_path / "other", base_sha256="f" * 64)
    dialog = ProfileDialog(None, DEMO_MODEL, None, [other, tmp_path], print)
    qtbot.addWidget(dialog)
    for row, words in ((1, "f" * 16), (2, "cannot be read")):
        dialog.list.setCurrentRow(row)
        assert dialog.is_refused
        assert words in dialog.words.text()
        assert not dialog.use.isEnabled()


def test_profiles_of_the_data_folder_are_offered_the_newest_first(tmp_path: Path):
    for number in (1, 2):
        profile(tmp_path / "sub-S01" / f"ses-{number:02d}" / "profile", session=number)
    (tmp_path / "sub-S02" / "ses-01").mkdir(parents=True)
    found = profiles_below(tmp_path)
    assert [path.parent.name for path in found] == ["ses-02", "ses-01"]
    assert profiles_below(tmp_path / "none") == []


def test_another_model_is_used_without_the_profile_of_the_last_one(qtbot, tmp_path: Path):
    session, asked = Session(Engines()), []
    mine = profile(tmp_path / "mine")
    session.start(LiveRequest(SessionOptions(profile=mine)))
    choosers = Choosers(None, session, Settings(None), asked.append)
    choosers._use_model(tmp_path / "another")
    assert asked[-1].options.profile is None
    choosers._use_profile(None)
    assert asked[-1].options.profile is None
    choosers._use_profile(mine)
    assert asked[-1].options.profile == mine
    choosers.replay(tmp_path / "a.xdf")
    assert asked[-1].options.profile == mine


@pytest.mark.parametrize("simulated", [None, SimulatorOptions()])
def test_the_starter_model_is_offered_for_real_people_and_then_used_with_the_webcam(
    qtbot, tmp_path: Path, simulated: SimulatorOptions | None
):
    session, asked = Session(Engines()), []
    choosers = Choosers(None, session, Settings(None), asked.append)
    session.start(LiveRequest(SessionOptions(profile=profile(tmp_path / "mine")), simulated=simulated))
    dialog = choosers.starter()
    if simulated:
        assert dialog is None
        return
    qtbot.addWidget(dialog)
    dialog.refuse("npm is not installed")
    assert dialog.is_refused
    assert dialog.install.isEnabled()
    dialog._take(tmp_path / "starter")
    assert not dialog.isVisible()
    assert (asked[-1].options.model, asked[-1].options.profile) == (tmp_path / "starter", None)
    assert asked[-1].webcam == "0"


@pytest.mark.slow
@pytest.mark.real_data
def test_the_starter_model_is_made_by_the_commands(real_data: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("AFFECTSCOPE_DATA", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no npm
    with pytest.raises(InputError) as caught:
        make_starter("face-expression")
    assert caught.value.code == ErrorCode.MODEL
    install("face-expression", tmp_path / "weights", real_data / "weights" / "face-api")
    assert read_config(make_starter("face-expression")).labels[:2] == ("neutral", "happy")


def test_enter_answers_no_self_report(qtbot):
    chosen: list[str] = []
    dialog = SelfReportDialog(None, ("happy", "sad"), chosen.append)
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.keyClick(dialog.focusWidget() or dialog, Qt.Key.Key_Return)
    assert chosen == []
    next(one for one in dialog.findChildren(QPushButton) if "sad" in one.text()).click()
    assert chosen == ["sad"]
