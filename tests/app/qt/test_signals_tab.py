"""The Signals tab shows what the store holds, where it belongs; regions of the picture are looked at."""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import QBuffer, QEvent, QIODevice, QObject, QRectF, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QImage
from PyQt6.QtWidgets import QApplication, QMenu

from acquisition.quality import ChannelQuality
from acquisition.stream_words import DEVICES
from acquisition.types import Change, Kind, StreamEvent, StreamSpec
from acquisition.windowing import WindowConfig
from app.engine.messages import (
    EegLook,
    EegPart,
    FramePart,
    GazePart,
    HealthPart,
    LogMelPart,
    Mark,
    Mask,
    ModelInfo,
    Opened,
    Phase,
    QualityPart,
    SpectrogramPart,
    VoicePart,
)
from app.qt.dialogs.forms import ElectrodesDialog
from app.qt.panels.eyes import GazePanel, PupilPanel, WebcamPanel
from app.qt.panels.spectra import BandMapsPanel, SpectrogramPanel, VoicePanel
from app.qt.panels.traces import TracesPanel
from app.qt.shell.engine_window import Settings
from app.qt.shell.tab_set import SignalsTab
from app.qt.theme import DARK, LIGHT
from app.view.store import ViewStore
from models.prediction import FaceMeasures, Prediction

T = 1000.0
NAMES = tuple(f"E{i}" for i in range(62))
BIN_S = 1 / 120


def test_the_unit_of_a_pupil_leaves_room_for_its_number(qtbot):
    tab = SignalsTab()
    qtbot.addWidget(tab)
    tab.resize(1366, 700)
    times = np.arange(T - 20, T, 1 / 60)
    two = np.full((len(times), 2), 3.0, np.float32)
    store = store_with(GazePart(times, two / 6, two, np.ones(len(times), np.float32), "arbitrary"))
    tab.refresh(store, T)
    plot = tab.pupils.plot
    widest = QFontMetricsF(plot.font()).horizontalAdvance(f"3.05 {plot.unit}")
    assert widest < plot.plot_rect().left()


def store_with(*news, kinds=(Kind.EEG, Kind.GAZE, Kind.VIDEO, Kind.AUDIO)):
    store = ViewStore()
    store.take(Phase("running"))
    for kind in kinds:
        spec = StreamSpec(kind.value, kind.value, kind, (), (), 100.0)
        store.take(StreamEvent(kind.value, Change.OPENED, T - 60, "", spec))
    for one in news:
        store.take(one)
    return store


def eeg_part(seconds=12.0, names=NAMES, gap=None):
    bins = np.arange(round((T - seconds) / BIN_S), round(T / BIN_S))
    times = bins * BIN_S
    wave = 20 * np.sin(2 * np.pi * 3 * times)[:, None] + np.zeros(len(names))
    if gap is not None:
        keep = (times < gap[0]) | (times >= gap[1])
        bins, wave = bins[keep], wave[keep]
    wave = wave.astype(np.float32)
    return EegPart(names, "uV", BIN_S, bins, wave - 1, wave + 1)


def picture(widget):
    """Return the widget's pixels (h, w, 3)."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    data = np.frombuffer(image.constBits().asstring(image.sizeInBytes()), dtype=np.uint8)
    return data.reshape(image.height(), image.bytesPerLine())[:, : 3 * image.width()].reshape(
        image.height(), image.width(), 3
    )


def inked(pixels, background):
    colour = QColor(background)
    return np.abs(pixels.astype(int) - (colour.red(), colour.green(), colour.blue())).sum(axis=-1) > 40


def is_coloured(pixels, colour):
    wanted = QColor(colour)
    return np.abs(pixels.astype(int) - (wanted.red(), wanted.green(), wanted.blue())).sum(axis=-1) < 12


def plot_pixels(plot):
    rect = plot.plot_rect().toRect()
    return picture(plot)[rect.top() : rect.bottom() + 1, rect.left() : rect.right() + 1]


def column_of(plot, t):
    """Return the column of `plot_pixels` at a moment."""
    return round(plot.pixel_of(t - plot.end, 0).x() - plot.plot_rect().left())


def row_height(plot):
    return abs(plot.pixel_of(0, 1).y() - plot.pixel_of(0, 0).y())


def shown(qtbot, panel, store, t=T, size=(620, 560)):
    qtbot.addWidget(panel)
    panel.resize(*size)
    panel.show()
    for _ in range(3):
        panel.refresh(store, t)
        QApplication.processEvents()  # lets layouts settle
    return panel


def test_every_channel_has_ink_in_its_row(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    ink = inked(plot_pixels(panel.plot), DARK.surface)
    centres = ((np.arange(62) + 0.5) * row_height(panel.plot)).astype(int)
    for centre in centres:
        assert ink[centre - 2 : centre + 3].any(axis=0).mean() > 0.6


def test_every_channel_has_its_name_beside_it(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    plot = panel.plot
    left = inked(picture(plot), DARK.surface)[:, : int(plot.plot_rect().left()) - 8]
    top, row = plot.plot_rect().top(), row_height(plot)
    assert plot.names_axis.names == NAMES
    for i in range(62):
        centre = int(top + (i + 0.5) * row)
        assert left[centre - 2 : centre + 3].sum() > 4


def test_a_gap_is_empty(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part(gap=(T - 6, T - 4))))
    ink = inked(plot_pixels(panel.plot), DARK.surface)
    width = ink.shape[1]
    assert not ink[:, int(0.41 * width) : int(0.59 * width)].any()
    assert ink[:, int(0.62 * width) : int(0.98 * width)].any(axis=0).all()
    assert ink[:, int(0.02 * width) : int(0.38 * width)].any(axis=0).all()


def test_scrolling_gives_the_same_picture_as_drawing_at_once(qtbot):
    part = eeg_part(seconds=30.0)
    store, at = store_with(), 0
    scrolled = TracesPanel()
    qtbot.addWidget(scrolled)
    scrolled.resize(620, 560)
    scrolled.show()
    scrolled.gain.step(larger=True)
    rng = np.random.default_rng(0)
    while at < len(part.bins):
        n = int(rng.integers(1, 40))
        pieces = (part.bins[at : at + n], part.low[at : at + n], part.high[at : at + n])
        store.take(EegPart(NAMES, "uV", BIN_S, *pieces))
        at += n
        scrolled.refresh(store, store.newest_time)
        QApplication.processEvents()
    whole = TracesPanel()
    whole.gain.step(larger=True)
    shown(qtbot, whole, store, store.newest_time)
    np.testing.assert_array_equal(plot_pixels(scrolled.plot), plot_pixels(whole.plot))


def test_bad_electrodes_are_marked_by_colour_letter_and_words(qtbot):
    states = [ChannelQuality(name, "good", "", 1.0) for name in NAMES]
    states[10] = ChannelQuality(NAMES[10], "bad", "mains 63 %", 0.0)
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part(), QualityPart(T, tuple(states))))
    rows = np.flatnonzero(is_coloured(plot_pixels(panel.plot), DARK.bad).any(axis=1))
    centre = 10.5 * row_height(panel.plot)
    assert abs(rows.mean() - centre) < row_height(panel.plot)
    assert panel.electrodes.text() == "1 bad (B)"
    assert "E10: bad, mains 63 %" in panel.electrodes.toolTip()


def test_markers_and_the_chosen_window_cross_all_time_plots(qtbot):
    gaze_times = np.arange(T - 40, T, 0.01)
    ones = np.ones((len(gaze_times), 2), dtype=np.float32)
    gaze = GazePart(gaze_times, 0.5 * ones, 3 * ones, ones[:, 0], "mm")
    store = store_with(eeg_part(), gaze, Mark(T - 5, "<b>now</b>", "notes"))
    tab = SignalsTab()
    tab.set_theme(LIGHT)
    tab.set_highlight(dict.fromkeys(("eeg", "eye", "voice"), (T - 4, T - 2)))
    shown(qtbot, tab, store, size=(1350, 590))
    for plot, colour in ((tab.traces.plot, LIGHT.muted), (tab.pupils.plot, LIGHT.text)):
        pixels = plot_pixels(plot)
        x = column_of(plot, T - 5)
        dark = is_coloured(pixels[:, x - 1 : x + 2], colour).any(axis=1)
        assert dark[-40:].mean() > 0.4  # dashed
        assert "<b>now</b>" in plot.text_at(T - 5 - plot.end, 1.0)
        middle, beside = column_of(plot, T - 3), column_of(plot, T - 1)
        blank = is_coloured(pixels, LIGHT.surface)
        assert blank[:, beside].any()
        assert not blank[:, middle].any()


@pytest.mark.parametrize("n", [1, 8, 62, 256])
def test_names_never_overlap_whatever_the_number_of_channels(qtbot, n):
    names = tuple(f"EEG{i:03d}" for i in range(n))
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part(names=names)))
    row = row_height(panel.plot)
    n_columns, font, every = panel.plot.names_axis.layout_for(row)
    assert n_columns * every * row >= QFontMetricsF(font).ascent() - 0.5


def test_keys_change_the_gain(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    before = panel.gain.units_per_row
    qtbot.keyClicks(panel.plot, "+")
    assert panel.gain.units_per_row < before
    assert not panel.gain.is_auto
    qtbot.keyClicks(panel.plot, "0")
    assert panel.gain.is_auto


def electrodes_panel(qtbot, settings, marked=(), mode="live"):
    """Return a panel on an EEG whose engine says what is marked, and what was sent to it."""
    model = ModelInfo("m", Path("m"), ("a",), NAMES, "", True, "small", 1, "cpu", (), WindowConfig())
    spec = StreamSpec("eeg", "Cap", Kind.EEG, NAMES, ("µV",) * 62, 250.0)
    health = HealthPart(T, {}, {}, {}, 0, 0, 0.0, 0.0, "", None, (), 0, marked_bad=marked)
    states = tuple(ChannelQuality(name, "good", "", 1.0) for name in NAMES)
    store = store_with(Opened(mode, model, None), health, eeg_part(), QualityPart(T, states), kinds=())
    store.take(StreamEvent("eeg", Change.OPENED, T - 60, "", spec))
    panel, sent = TracesPanel(), []
    panel.send = sent.append
    panel.use(settings)
    return shown(qtbot, panel, store), sent


def click_name(qtbot, panel, name):
    axis = panel.plot.names_axis
    box = next(box for box, other in axis._boxes if other == name)
    at = panel.plot.mapFromScene(axis.mapToScene(box.center()))
    qtbot.mouseClick(panel.plot.viewport(), Qt.MouseButton.LeftButton, pos=at)


def test_a_click_on_its_name_marks_an_electrode_bad_and_is_kept_for_the_device(qtbot):
    settings = Settings(None)
    panel, sent = electrodes_panel(qtbot, settings)
    assert sent == []
    click_name(qtbot, panel, "E10")
    assert sent == [Mask("eeg", True, "E10")]
    _, sent = electrodes_panel(qtbot, settings)
    assert sent == [Mask("eeg", True, "E10")]  # to the next engine
    panel, sent = electrodes_panel(qtbot, settings, ("E10",))
    assert sent == []  # it has it already
    assert "E10: bad, marked by hand" in panel.electrodes.toolTip()
    click_name(qtbot, panel, "E10")
    assert sent == [Mask("eeg", False, "E10")]
    _, sent = electrodes_panel(qtbot, settings)
    assert sent == []


def test_marks_kept_for_a_device_never_change_a_replay(qtbot):
    settings = Settings(None)
    panel, _ = electrodes_panel(qtbot, settings)
    panel.toggle_bad("E3")
    panel, sent = electrodes_panel(qtbot, settings, mode="replay")
    assert sent == []
    panel.toggle_bad("E4")
    assert sent == [Mask("eeg", True, "E4")]
    _, sent = electrodes_panel(qtbot, settings)
    assert sent == [Mask("eeg", True, "E3")]


def test_electrodes_are_chosen_by_keys_and_hidden_ones_have_no_row(qtbot):
    settings = Settings(None)
    panel, sent = electrodes_panel(qtbot, settings)
    panel.choose_electrodes()
    dialog = panel.findChild(ElectrodesDialog)
    dialog.table.setCurrentCell(0, 1)
    qtbot.keyClick(dialog.table, Qt.Key.Key_Space)
    dialog.table.setCurrentCell(2, 2)
    qtbot.keyClick(dialog.table, Qt.Key.Key_Space)
    dialog._take()
    assert sent == [Mask("eeg", True, "E2")]
    panel, _ = electrodes_panel(qtbot, settings)
    assert panel.plot.names_axis.names == NAMES[1:]
    assert panel.plot.value_at(-5.0, 0.5).startswith("E1 ")
    assert panel.plot.table()[0][1].startswith("E1 ")


def test_filters_are_sent_kept_and_said(qtbot):
    settings = Settings(None)
    panel, sent = electrodes_panel(qtbot, settings)
    by_text = {a.text(): a for menu in panel.menu.findChildren(QMenu) for a in menu.actions()}
    for text in ("45 Hz", "50 Hz", "average of the channels"):
        by_text[text].trigger()
    panel.refresh(panel._store, T)
    assert sent == [EegLook(0.5, 45.0, 50.0, True)]
    panel, sent = electrodes_panel(qtbot, settings, ("E7",))
    assert sent == [EegLook(0.5, 45.0, 50.0, True, ("E7",)), Mask("eeg", False, "E7")]
    panel._store.take(dataclasses.replace(eeg_part(), look="0.5-45 Hz, notch 50"))
    panel.refresh(panel._store, T)
    assert panel.words.text() == "display only: 0.5-45 Hz, notch 50"


def test_channels_of_another_type_have_a_gain_of_their_own(qtbot):
    names = ("CZ", "CB1", "VEOG")  # CB1 is not of the 10-05 system, but SEED's
    part = eeg_part(names=names)
    high = part.high * np.array([1, 1, 50], np.float32)
    panel = shown(qtbot, TracesPanel(), store_with(dataclasses.replace(part, low=-high, high=high)))
    assert panel.gains["EOG"].units_per_row > 10 * panel.gains["EEG"].units_per_row
    panel._of.setCurrentText("EOG")
    before = panel.gains["EEG"].units_per_row
    panel._step(True)
    assert not panel.gains["EOG"].is_auto
    assert panel.gains["EEG"].units_per_row == before


def test_band_maps_leave_out_bad_electrodes(qtbot):
    bands = (("alpha", 8.0, 14.0),)
    model = ModelInfo("m", Path("m"), ("a",), NAMES, "", True, "small", 1, "cpu", bands, WindowConfig())
    states = [ChannelQuality(name, "good", "", 1.0) for name in NAMES]
    states[5] = ChannelQuality("E5", "bad", "pop", 0.0)
    entropy = np.linspace(1, 2, 62, dtype=np.float32)[:, None]
    entropy[5] = 90.0
    found = dataclasses.replace(prediction(), band_de=entropy, band_ch_names=NAMES)
    news = (Opened("live", model, None), eeg_part(), QualityPart(T - 0.5, tuple(states)), found)
    panel = shown(qtbot, BandMapsPanel(), store_with(*news))
    (head,) = panel._maps
    assert np.flatnonzero(np.isnan(head.values)).tolist() == [5]
    assert head.scale == (1.0, 2.0)


@pytest.mark.parametrize(("unit", "said"), [("µV", "dB re 1 µV²/Hz"), ("unscaled", "dB, unit unknown")])
def test_a_spectrogram_names_its_unit_only_where_it_is_known(qtbot, unit, said):
    column = np.linspace(0, 30, 40, dtype=np.float32)[None]
    freqs = np.linspace(1, 50, 40, dtype=np.float32)
    spectrum = SpectrogramPart("E0", np.array([T - 1]), freqs, column, False)
    store = store_with(dataclasses.replace(eeg_part(), unit=unit), spectrum)
    panel = shown(qtbot, SpectrogramPanel(), store)
    assert panel.plot.unit == panel.plot._bar.unit == said


def jpeg(width=320, height=240):
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(QColor("#336699"))
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "JPG")
    return bytes(buffer.data())


def prediction(**more):
    values = {"index": 0, "t_end": T - 0.1, "label": "a", "probs": {"a": 1.0}, "modality_attention": {}}
    values |= {"channel_attention": {}, "time_attention": (), "present": {}, "coverage": {}, "waited_s": 0.0}
    return Prediction(
        **(values | {"warm_up": False, "normalisation": "training", "face_time": T - 0.2} | more)
    )


def test_face_box_lies_where_the_prediction_says(qtbot):
    box = (0.25, 0.2, 0.5, 0.6)
    store = store_with(FramePart(T - 0.05, jpeg()), prediction(face_box=box))
    panel = shown(qtbot, WebcamPanel(), store, size=(400, 330))
    plot = panel.plot
    frame = QRectF(plot.pixel_of(0, 0), plot.pixel_of(320, 240))
    assert frame.width() / frame.height() == pytest.approx(320 / 240, rel=0.02)
    assert plot.plot_rect().adjusted(-1, -1, 1, 1).contains(frame)
    pixels = picture(plot)
    yellow = is_coloured(pixels, "#f0e442")
    rows, columns = np.flatnonzero(yellow.any(axis=1)), np.flatnonzero(yellow.any(axis=0))
    assert columns.min() == pytest.approx(frame.left() + 0.25 * frame.width(), abs=3)
    assert columns.max() == pytest.approx(frame.left() + 0.75 * frame.width(), abs=3)
    assert rows.max() == pytest.approx(frame.top() + 0.8 * frame.height(), abs=3)
    assert panel.words.text() == "face found"


@pytest.mark.parametrize(
    ("face_time", "said"),
    [
        (T - 0.2, "no face found"),
        (math.nan, "face detection has not run yet"),
        (T - 5, "last face detection 5.0 s ago"),
    ],
)
def test_a_missing_face_is_said(qtbot, face_time, said):
    store = store_with(FramePart(T - 0.05, jpeg()), prediction(face_time=face_time))
    assert shown(qtbot, WebcamPanel(), store).words.text() == said


def test_blinks_and_head_pose_stand_beside_the_face(qtbot):
    measures = FaceMeasures(T - 0.2, 0.3, 0.3, True, 14.2, 3.4, -5.0, 1.0, 25.0, 12.0)
    store = store_with(
        FramePart(T - 0.05, jpeg()), prediction(face_box=(0.25, 0.2, 0.5, 0.6), face_measures=measures)
    )
    panel = shown(qtbot, WebcamPanel(), store)
    said = panel.words.text()
    assert all(part in said for part in ("14 blinks/min", "eyes closed", "yaw 3°", "pitch -5°", "roll 1°"))


def test_a_damaged_or_old_frame_is_said(qtbot):
    panel = shown(qtbot, WebcamPanel(), store_with(FramePart(T, b"not a picture")))
    assert "damaged" in panel.plot.notice
    panel = shown(qtbot, WebcamPanel(), store_with(FramePart(T - 7, jpeg())))
    assert panel.plot.notice == "no frame for 7.0 s"


def gaze_part(validity, x=0.75, y=0.25, seconds=3.0, **more):
    times = np.arange(T - seconds, T, 0.01)
    n = len(times)
    part = GazePart(
        times,
        np.tile(np.float32([x, y]), (n, 1)),
        np.full((n, 2), 3.5, np.float32),
        np.full(n, validity, np.float32),
        "mm",
    )
    return dataclasses.replace(part, **more)


def test_gaze_point_lies_where_the_eyes_look(qtbot):
    panel = shown(qtbot, GazePanel(), store_with(gaze_part(1.0)), size=(420, 300))
    plot = panel.plot
    rows, columns = np.nonzero(is_coloured(plot_pixels(plot), DARK.accent))
    at = plot.pixel_of(75, 25) - plot.plot_rect().topLeft()
    assert columns.mean() == pytest.approx(at.x(), abs=3)
    assert rows.mean() == pytest.approx(at.y(), abs=3)
    across, down = plot.pixel_of(100, 100).x() - plot.pixel_of(0, 0).x(), plot.pixel_of(0, 100).y()
    assert across / (down - plot.pixel_of(0, 0).y()) == pytest.approx(16 / 9, rel=0.02)
    assert panel.words.text() == "x 75 %, y 25 %"


@pytest.mark.parametrize(
    ("part", "said"),
    [(gaze_part(0.0), "eyes not detected"), (gaze_part(1.0, x=1.4), "gaze off the screen")],
)
def test_gaze_that_is_no_point_on_the_screen_is_said(qtbot, part, said):
    assert shown(qtbot, GazePanel(), store_with(part)).words.text() == said


def test_blinks_are_counted_and_shaded(qtbot):
    part = gaze_part(1.0, seconds=20.0)
    validity = part.validity.copy()
    for k in range(1, 6):
        validity[k * 300 : k * 300 + 20] = 0.0
    panel = shown(qtbot, PupilPanel(), store_with(dataclasses.replace(part, validity=validity)))
    assert panel.words.text() == "15 blinks/min"
    ink = inked(plot_pixels(panel.plot), DARK.surface)
    for k in range(1, 6):
        x = column_of(panel.plot, T - 20 + 3 * k + 0.1)
        assert ink[:, x].mean() > 0.9


def test_level_meter_says_level_and_clipping(qtbot):
    bins = np.arange(round((T - 5) * 50), round(T * 50))
    n = len(bins)
    quiet = VoicePart(0.02, bins, np.full(n, -30, np.float32), np.full(n, -18, np.float32))
    panel = shown(qtbot, VoicePanel(), store_with(quiet))
    assert panel.meter.words() == "RMS −30 dBFS, peak −18 dBFS"
    loud = dataclasses.replace(quiet, peak_db=np.zeros(n, np.float32))
    assert "CLIPPING" in shown(qtbot, VoicePanel(), store_with(loud)).meter.words()


def test_log_mel_has_low_frequencies_at_the_bottom(qtbot):
    times = np.arange(T - 31, T, 0.01)
    values = np.full((len(times), 128), -1.25, np.float16)
    values[:, :32] = 1.0
    panel = shown(qtbot, VoicePanel(), store_with(LogMelPart(times, values)))
    pixels = plot_pixels(panel.plot).astype(int)
    height = len(pixels)
    brightness = pixels.sum(axis=-1).mean(axis=1)
    assert brightness[int(0.8 * height) :].min() > brightness[: int(0.7 * height)].max() + 100


def test_a_chosen_channel_is_asked_for_and_the_shown_one_is_listed(qtbot):
    freqs = np.arange(1, 51, dtype=np.float32)
    part = SpectrogramPart(
        "E3", np.arange(T - 20, T, 0.25), freqs, np.zeros((80, 50), np.float32), restarts=True
    )
    panel = SpectrogramPanel()
    asked = []
    panel.channels.textActivated.connect(asked.append)
    shown(qtbot, panel, store_with(eeg_part(), part))
    assert panel.channels.currentText() == "E3"
    panel.channels.setFocus()
    qtbot.keyClick(panel.channels, Qt.Key.Key_Down)
    assert asked == ["E4"]
    panel.refresh(store_with(eeg_part(), part), T)
    assert panel.channels.currentText() == "E4"  # stays while the engine has not answered


def test_the_value_below_the_mouse_is_said(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    traces = panel.plot
    assert traces.text_at(-3.0, 2.5).startswith("\N{MINUS SIGN}3.0 s  E2  ")
    assert traces.text_at(-3.0, 2.5).endswith(" µV")
    times = np.arange(T - 31, T, 0.01)
    log_mel = LogMelPart(times, np.full((len(times), 128), 0.5, np.float16))
    panel = shown(qtbot, VoicePanel(), store_with(log_mel))
    voice = panel.plot
    assert voice.text_at(-2.0, 64.5).split("  ")[1:] == ["1827 Hz", "0.50 log-mel, model units"]


def test_a_zoomed_trace_shows_fewer_channels_and_seconds(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    plot, row = panel.plot, row_height(panel.plot)
    dict(plot.menu_actions())["Zoom &in"]()
    shown(qtbot, panel, store_with(eeg_part()))
    (x0, x1), (y0, y1) = plot.view.viewRange()
    assert (x1 - x0, y1 - y0) == pytest.approx((5.0, 31.0), rel=0.01)
    assert row_height(plot) == pytest.approx(2 * row, rel=0.01)
    names, rows = plot.table()
    assert len(rows) == pytest.approx(5.0 / BIN_S, abs=2)
    assert names[1:3] == ["E0 lowest (µV)", "E0 highest (µV)"]
    ink = inked(plot_pixels(plot), DARK.surface)
    assert ink[: int(2 * row)].any(axis=0).mean() > 0.6


class Passes(QObject):
    """Counts a window's passes of painting."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def eventFilter(self, watched, event):
        self.n += event.type() == QEvent.Type.UpdateRequest
        return False


def test_all_plots_of_the_tab_are_painted_in_one_pass(qtbot):
    times = np.arange(T - 31, T, 0.01)
    log_mel = LogMelPart(times, np.full((len(times), 128), 0.5, np.float16))
    store = store_with(eeg_part(), gaze_part(1.0, seconds=30.0), log_mel)
    tab = shown(qtbot, SignalsTab(), store, size=(1350, 590))
    passes = Passes()
    tab.installEventFilter(passes)
    for k in range(5):
        tab.refresh(store, T - 3 + k / 30)
        QApplication.processEvents()
    assert passes.n <= 6


def test_missing_streams_say_what_to_do(qtbot):
    tab = shown(qtbot, SignalsTab(), store_with(kinds=()), t=math.nan, size=(1350, 590))
    assert tab.traces.plot.notice == f"no EEG stream: {DEVICES[Kind.EEG].if_missing}"
    assert tab.pupils.plot.notice == f"no eye tracker stream: {DEVICES[Kind.GAZE].if_missing}"
    assert tab.voice.plot.notice == f"no microphone stream: {DEVICES[Kind.AUDIO].if_missing}"
    assert tab.webcam.plot.notice == f"no webcam stream: {DEVICES[Kind.VIDEO].if_missing}"


def test_a_recording_without_a_stream_is_not_told_to_start_one(qtbot):
    model = ModelInfo("m", Path("m"), ("a",), (), "", True, "small", 1, "cpu", (), None)
    store = store_with(Opened("replay", model, None), kinds=())
    tab = shown(qtbot, SignalsTab(), store, t=math.nan, size=(1350, 590))
    assert tab.gaze.plot.notice == "this recording has no eye tracker stream"


def test_a_silent_stream_greys_with_its_reason_and_its_past_stays_clear(qtbot):
    store = store_with(eeg_part(), StreamEvent("eeg", Change.STALE, T - 2, "nothing for 2 s"))
    panel = shown(qtbot, TracesPanel(), store)
    assert panel.plot.notice == "EEG stream silent: nothing for 2 s"
    panel.refresh(store, T - 5)
    assert panel.plot.notice == ""


def test_the_shipped_recording_fills_every_panel(qtbot):
    sys.path.insert(0, str(Path(__file__).parents[1] / "view"))
    try:
        from filled_store import filled_store
    finally:
        sys.path.pop(0)
    store = filled_store()
    for theme, size in ((DARK, (1350, 590)), (LIGHT, (2540, 1260))):
        tab = SignalsTab()
        tab.set_theme(theme)
        shown(qtbot, tab, store, store.newest_time, size)
        for plot in (tab.traces.plot, tab.spectrogram.plot, tab.pupils.plot, tab.voice.plot):
            assert plot.notice == ""
            assert inked(plot_pixels(plot), theme.surface).mean() > 0.02
        assert not tab.band_maps.reason.isVisible()
        assert tab.webcam.plot.notice == ""
