"""The health tab on a filled store: what is said, coloured, copied and kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QColor, QGuiApplication
from PyQt6.QtWidgets import QLabel

from acquisition.quality import ChannelQuality
from acquisition.types import Change, Kind, StreamEvent, StreamHealth, StreamSpec
from app.engine.messages import HealthPart, Mark, Opened, Phase, QualityPart, RecordingInfo, Timeline
from app.qt.panels.health import ElectrodesPanel
from app.qt.shell.tab_set import HealthTab
from app.qt.theme import DARK, LIGHT
from app.telemetry import Failure
from app.view.health import DisplayLatency
from app.view.store import ViewStore
from models.prediction import Latency, Prediction

NOW = 1000.0
WELL = StreamHealth(100_000, 998.7, 0.02, 0.0003, 12, False, True, 0, 0)
HOSTILE = "<img src=x>\u202e\n<b>T7</b>"


def filled(**health_changes):
    store = ViewStore()
    store.mode = "live"
    for key, kind, name in (("e", Kind.EEG, "BioSemi"), ("g", Kind.GAZE, HOSTILE)):
        spec = StreamSpec(key, name, kind, ("x",), ("uV",), 1000.0)
        store.take(StreamEvent(key, Change.OPENED, NOW - 60, f"{name}: opened", spec))
    recording = RecordingInfo(Path("sub-S01.xdf"), "recording", "", 725.0, 10**9, 10**10, 300.0)
    silent = replace(WELL, age_s=4.0, is_stale=True)
    p50 = {"arrival": 3.0, "wait": 9.0, "features": 20.0, "network": 30.0, "total": 62.0}
    health = HealthPart(
        NOW, {"e": WELL, "g": silent}, p50, dict.fromkeys(p50, 99.0), 10, 0, 50.0, 800.0, "", recording, (), 0
    )
    store.take(replace(health, **health_changes))
    channels = (
        ChannelQuality("FP1", "good", "", 0.9),
        ChannelQuality("T7", "bad", HOSTILE, 0.1),
        ChannelQuality("CZ", "suspect", "drift", 0.5),
    )
    store.take(QualityPart(NOW - 1, channels))
    latency = Latency(arrival=3.0, wait=10.0, features=20.0, network=30.0, total=65.0, age=70.0)
    store.take(Prediction(1, NOW, "happy", {}, {}, {}, (), {}, {}, 0.0, False, "training", latency))
    store.take(Failure("device", HOSTILE, NOW - 5))
    return store


@pytest.fixture
def tab(qtbot):
    made = HealthTab(DisplayLatency())
    qtbot.addWidget(made)
    made.resize(1366, 560)
    made.set_theme(LIGHT)
    made.show()
    return made


def cells(tab):
    table = tab.streams.table
    return [[table.item(r, c).text() for c in range(table.columnCount())] for r in range(table.rowCount())]


def test_an_empty_store_says_what_is_missing(tab):
    tab.refresh(ViewStore(), float("nan"))
    shown = [label.text() for label in tab.findChildren(QLabel) if label.isVisible()]
    for words in (
        "No stream yet",
        "No figures yet",
        "No prediction yet",
        "No messages yet",
        "no figures yet",
    ):
        assert any(words in text for text in shown), words


def test_streams_come_with_their_remedy_below(tab):
    tab.refresh(filled(), NOW)
    rows = cells(tab)
    assert rows[0][:4] == ["● running", "EEG", "BioSemi", "998.7 of 1,000 Hz"]
    assert rows[1][0] == "■ silent"
    assert rows[1][2] == "<img src=x> <b>T7</b>"
    tip = tab.streams.table.item(1, 2).toolTip()
    assert "&lt;img" in tip  # not fetched, not drawn
    assert "<img" not in tip
    assert rows[2][0].startswith("No sample for 4.0 s: check the eye tracker")
    assert tab.streams.table.columnSpan(2, 0) == len(rows[0])
    assert tab.streams.summary.text() == "2 streams: 1 running, 1 to check"


def test_a_remedy_goes_when_the_stream_is_back(tab, qtlog):
    store = filled()
    tab.refresh(store, NOW)
    store.take(replace(store.health, time=NOW + 1, streams={"e": WELL, "g": WELL}))
    tab.refresh(store, NOW + 1)
    assert [row[0] for row in cells(tab)] == ["● running", "● running"]
    assert tab.streams.table.columnSpan(1, 0) == 1
    assert not [record.message for record in qtlog.records if "QTableWidget" in record.message]


def test_rows_are_copied_as_text(tab, qtbot):
    tab.refresh(filled(), NOW)
    tab.streams.table.selectRow(0)
    qtbot.keyClick(tab.streams.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().split("\t")[:3] == ["● running", "EEG", "BioSemi"]
    tab.electrodes.list.setCurrentRow(1)
    qtbot.keyClick(tab.electrodes.list, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "▲ CZ  suspect: drift"


def test_electrodes_are_those_of_the_moment_looked_at(tab):
    store = filled()
    store.take(QualityPart(NOW + 5, (ChannelQuality("FP1", "good", "", 1.0),)))
    tab.refresh(store, NOW)
    assert tab.electrodes.counts.text() == "1 good, 1 suspect, 1 bad"
    assert tab.electrodes.list.item(0).text() == "■ T7  bad: <img src=x> <b>T7</b>"
    tab.refresh(store, NOW + 5)
    assert tab.electrodes.counts.text() == "1 good, 0 suspect, 0 bad"


def test_electrodes_are_said_to_be_unknown_when_the_eeg_has_stopped(tab):
    store = filled()
    tab.refresh(store, NOW)
    panel = tab.findChild(ElectrodesPanel)
    assert panel.counts.text()
    store.take(StreamEvent("e", Change.STALE, NOW, "the sender is gone"))
    store.take(Phase("running"))
    tab.refresh(store, NOW)
    assert (panel.counts.text(), panel.list.isVisible()) == ("", False)
    assert panel.empty.isVisible()
    assert "stopped" in panel.empty.text()


def test_messages_are_plain_filtered_and_copied(tab):
    store = filled()
    tab.refresh(store, NOW)
    lines = tab.messages.text.toPlainText().splitlines()
    assert len(lines) == 3
    assert "■ problem  device: <img src=x> <b>T7</b>" in lines[0]
    tab.messages.filter.setCurrentIndex(1)
    assert tab.messages.text.toPlainText().splitlines() == lines[:1]
    tab.messages.copy.click()
    assert QGuiApplication.clipboard().text() == lines[0]


def test_message_times_of_a_replay_count_from_the_file_s_beginning(tab):
    store = filled()
    store.take(Opened("replay", None, Timeline(Path("a.xdf"), NOW - 130, NOW, (Mark(NOW, "x"),), ())))
    tab.refresh(store, NOW)
    assert tab.messages.text.toPlainText().startswith("2:05  ■ problem")


def test_a_short_disk_is_said_in_words(tab):
    tab.refresh(filled(), NOW)
    assert tab.machine.values["Disk"].text().startswith("almost full: 10 GB free, enough for 5 min")
    assert LIGHT.bad in tab.machine.values["Disk"].styleSheet()


def test_the_display_s_time_is_part_of_the_waterfall(tab):
    store = filled()
    tab.latency.display.shown(store.predictions.newest, NOW + 0.1)
    tab.refresh(store, NOW)
    assert [stage.name for stage in tab.latency.stages][-2:] == ["display", "on screen"]
    assert "on screen 95.0" in tab.latency.plot.accessibleDescription()
    assert tab.latency.plot.table()[1][-1] == ("on screen", 0.0, pytest.approx(95.0))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_bar_has_ink_where_it_belongs(tab, theme):
    tab.set_theme(theme)
    store = filled()
    tab.latency.display.shown(store.predictions.newest, NOW + 0.1)
    tab.refresh(store, NOW)
    plot = tab.latency.plot
    image, corner = plot.grab().toImage(), plot.plot_rect().topLeft()
    for i, (stage, bar) in enumerate(zip(tab.latency.stages, plot.bars.content, strict=True)):
        box = plot.bars.rect_of(bar).translated(corner).toRect().adjusted(1, 1, -1, -1)
        colour = theme.muted if stage.name in ("decided", "on screen") else theme.category(i)
        assert nearest(image, box.adjusted(-2, -2, 2, 2), colour) < 40, stage.name


def nearest(image, box, colour):
    wanted = QColor(colour)
    pixels = [
        image.pixelColor(x, y)
        for x in range(box.left(), box.right() + 1)
        for y in range(box.top(), box.bottom() + 1)
    ]
    return min(
        abs(p.red() - wanted.red()) + abs(p.green() - wanted.green()) + abs(p.blue() - wanted.blue())
        for p in pixels
    )


def test_unchanged_figures_cost_nothing(tab):
    store = filled()
    tab.refresh(store, NOW)
    drawn = []
    tab.streams.table.itemChanged.connect(drawn.append)
    tab.electrodes.list.itemChanged.connect(drawn.append)
    for _ in range(10):
        tab.refresh(store, NOW)
    assert not drawn


def test_nan_figures_do_not_break_the_tab(tab):
    nan = float("nan")
    odd = StreamHealth(0, nan, nan, nan, 0, False, True, 0, 0)
    store = filled(
        streams={"e": odd}, cpu_percent=nan, memory_mb=nan, latency_p50_ms={}, latency_p99_ms={"total": nan}
    )
    store.take(QualityPart(NOW - 0.5, (ChannelQuality("FP1", "bad", "flat", float(np.float32(nan))),)))
    tab.refresh(store, NOW)
    assert cells(tab)[0][3:7] == ["- of 1,000 Hz", "-", "-", "-"]
    assert tab.machine.values["Engine"].text() == "- % of a core, - MB"
    tab.grab()


def test_everything_fits_a_small_screen(tab):
    tab.refresh(filled(), NOW)
    QGuiApplication.processEvents()
    hint = tab.minimumSizeHint()
    assert hint.width() <= 1366
    assert hint.height() <= 560
    assert not tab.streams.table.horizontalScrollBar().isVisible()
    for label in tab.findChildren(QLabel):
        if label.isVisible() and not label.wordWrap():
            assert label.width() >= label.fontMetrics().horizontalAdvance(label.text()), label.text()


def test_controls_have_names_and_take_the_keyboard(tab):
    for widget in (
        tab.streams.table,
        tab.electrodes.list,
        tab.electrodes.head_map,
        tab.messages.text,
        tab.messages.filter,
        tab.messages.copy,
    ):
        assert widget.accessibleName()
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus
