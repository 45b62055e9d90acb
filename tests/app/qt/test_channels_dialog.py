"""The channel mapping: presets, refusals, unit, and what is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_double import Engines

from acquisition.header import parse_header
from acquisition.montage import load_montage
from acquisition.types import StreamHeader
from app.devices import Look, mapping_path
from app.qt.dialogs.streams import ChannelsDialog
from app.qt.shell.choosers import Choosers
from app.qt.shell.engine_window import Settings
from app.qt.shell.session import Session
from app.request import ReplayRequest, SessionOptions


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AFFECTSCOPE_SETTINGS", str(tmp_path / "window.ini"))


def header(*labels: str) -> StreamHeader:
    rows = "".join(f"<channel><label>{label}</label><unit/></channel>" for label in labels)
    return parse_header(
        f"<info><name>amp</name><type>EEG</type><channel_count>{len(labels)}</channel_count><nominal_srate>250"
        f"</nominal_srate><channel_format>float32</channel_format><desc><channels>{rows}</channels></desc></info>"
    )


def dialog_of(qtbot, look: Look) -> tuple[ChannelsDialog, list[Path | None]]:
    kept: list[Path | None] = []
    dialog = ChannelsDialog(None, lambda: look, kept.append)
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: dialog.table.rowCount() > 0 and dialog.preset.count() > 0)
    return dialog, kept


def test_a_muse_is_mapped_by_its_labels_and_kept_for_window_and_terminal(qtbot):
    look = Look(header("TP9", "AF7", "AF8", "TP10", "AUX"), 257.1, np.array([12.0] * 5), ())
    dialog, kept = dialog_of(qtbot, look)
    assert dialog.electrodes == {0: "TP9", 1: "AF7", 2: "AF8", 3: "TP10"}
    assert "257.10 Hz measured" in dialog.device.text()
    assert "as uV 12 µV; as mV 12,000 µV; as V 12,000,000 µV" in dialog.amplitude.text()
    dialog.unit.setCurrentText("V")
    assert "its unit is wrong" in dialog.amplitude.text()
    dialog.unit.setCurrentText("uV")
    dialog.use()
    assert kept == [mapping_path(look.header)]
    montage = load_montage(str(mapping_path(look.header)))
    assert (montage.indices, montage.unit) == (dialog.electrodes, "uV")
    again, _ = dialog_of(qtbot, look)
    assert (again.electrodes, again.unit.currentText()) == (dialog.electrodes, "uV")
    again.drop()
    assert not mapping_path(look.header).exists()


def test_a_name_twice_and_an_unknown_name_are_refused(qtbot):
    dialog, _ = dialog_of(qtbot, Look(header("a", "b", "c"), 250.0, np.ones(3), ()))
    assert not dialog.keep.isEnabled()
    for row, text in enumerate(("C3", "c3", "")):
        dialog.table.item(row, 4).setText(text)
    assert dialog.is_refused
    assert "C3" in dialog.words.text()
    dialog.table.item(1, 4).setText("T3")  # the old name of T7
    assert dialog.keep.isEnabled()
    assert dialog.electrodes == {0: "C3", 1: "T7"}
    dialog.table.item(2, 4).setText("nose")
    assert not dialog.keep.isEnabled()
    assert "NOSE" in dialog.words.text()


def test_the_montage_of_the_session_is_shown_first(qtbot):
    look = Look(header(*"abcdefgh"), 250.0, np.ones(8), ())
    dialog = ChannelsDialog(None, lambda: look, print, "openbci-cyton")
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: len(dialog.electrodes) == 8)
    assert (dialog.preset.currentText(), dialog.electrodes[7]) == ("openbci-cyton", "O2")


def test_a_preset_by_number_begins_after_a_packet_counter(qtbot):
    unnamed = parse_header(
        "<info><name>obci</name><type>EEG</type><channel_count>16</channel_count><nominal_srate>125"
        "</nominal_srate><channel_format>float32</channel_format></info>"
    )
    dialog, _ = dialog_of(qtbot, Look(unnamed, 125.0, np.full(16, 3000.0), (0,)))
    dialog.use_preset("openbci-daisy")
    assert (dialog.electrodes[1], dialog.electrodes[15], 0 in dialog.electrodes) == ("FP1", "P3", False)
    dialog.unit.setCurrentText("0.02235uV")
    assert dialog.table.item(0, 3).text() == "counts samples"
    assert dialog.table.item(1, 3).text() == "67 µV"


def test_streams_of_a_replay_are_the_file_s_and_a_choice_replays_it_again(qtbot, tmp_path, real_data):
    engines, asked = Engines(), []
    session = Session(engines)
    path = real_data / "xdf" / "muse_P031.xdf"
    session.request = ReplayRequest(path, SessionOptions())
    dialog = Choosers(None, session, Settings(None), asked.append).streams()
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: dialog.table.rowCount() == 4)
    assert path.name in dialog.windowTitle()
    made = {dialog.table.item(row, 2).text(): dialog.table.item(row, 6).text() for row in range(4)}
    assert made["EEG"].startswith("not decoded: ")
    assert made["ACC"].startswith("no EEG")
    dialog.choices["eye"].setCurrentIndex(1)
    dialog.use()
    assert asked == [ReplayRequest(path, SessionOptions(streams="eye=none"))]
