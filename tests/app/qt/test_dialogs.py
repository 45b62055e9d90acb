"""The choosers: what they list, hand on and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_double import Engines
from PyQt6.QtCore import Qt

from acquisition.discovery import FoundStream
from acquisition.types import StreamHeader
from app.qt.dialogs.model import ModelDialog
from app.qt.dialogs.record import RecordDialog
from app.qt.dialogs.streams import StreamChoice, StreamsDialog
from app.qt.dialogs.text import ShortcutsDialog
from app.qt.shell.choosers import Choosers
from app.qt.shell.session import Session
from app.qt.shell.settings import Settings
from app.qt.shell.shortcuts import COMMANDS
from assets import DEMO_MODEL


def stream(name: str, kind: str, source_id: str, rate: float = 250.0) -> FoundStream:
    header = StreamHeader(name, kind, source_id, "lab", f"uid-{name}", rate, 8, "float32")
    return FoundStream(f"uid-{name}", header, 0.0, (), None)


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
    dialog.line.setCurrentIndex(1)
    dialog.use()
    assert chosen == [StreamChoice("eeg=name:Other, cap,eye=none", None, 50)]


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
    assert dialog.hidden.text().startswith("Not shown: 2 of Affectscope's own")


def test_what_may_be_left_empty_says_so(qtbot):
    dialog, _ = streams_dialog(qtbot, [stream("Cap", "EEG", "a")], StreamChoice(None))
    for combo in (dialog.montage, dialog.webcam, dialog.microphone):
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
    assert "2 streams fit eeg" in dialog.words.text()


def test_what_was_chosen_before_is_chosen_again(qtbot):
    found = [stream("One", "EEG", "a"), stream("Two", "EEG", "b")]
    dialog, _ = streams_dialog(qtbot, found, StreamChoice("eeg=source_id:b,face=none", "cap.toml", 60))
    assert dialog.choices["eeg"].currentData() == "source_id:b"
    assert dialog.choices["face"].currentData() == "none"
    assert (dialog.montage.currentText(), dialog.line.currentText()) == ("cap.toml", "60 Hz")


def test_a_folder_without_a_model_is_refused_in_words(qtbot, tmp_path: Path):
    dialog = ModelDialog(None, DEMO_MODEL, [tmp_path], print)
    qtbot.addWidget(dialog)
    dialog.list.setCurrentRow(1)
    assert dialog.words.text().startswith("Refused: ")
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
    dialog.try_chosen()
    qtbot.waitUntil(lambda: dialog.words.text().startswith("Refused"), timeout=60_000)
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
    dialog = ShortcutsDialog(None)
    qtbot.addWidget(dialog)
    table = dialog.findChild(type(dialog.layout().itemAt(0).widget()))
    assert table.rowCount() == len(COMMANDS)
    assert table.findItems("Ctrl+R", Qt.MatchFlag.MatchExactly)
