"""The Signals tab shows what the store holds, where it belongs; regions of the picture are looked at."""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PyQt6.QtCore import QBuffer, QIODevice, Qt
from PyQt6.QtGui import QColor, QFontMetricsF, QImage

from acquisition.quality import ChannelQuality
from acquisition.types import Change, Kind, StreamEvent, StreamSpec
from app.engine.messages import (
    EegPart,
    FramePart,
    GazePart,
    LogMelPart,
    MarkerPart,
    ModelInfo,
    Opened,
    Phase,
    QualityPart,
    SpectrogramPart,
    VoicePart,
)
from app.qt.panels.gaze import GazePanel, PupilPanel
from app.qt.panels.spectrogram import SpectrogramPanel
from app.qt.panels.traces import TracesPanel
from app.qt.panels.voice import VoicePanel
from app.qt.panels.webcam import WebcamPanel
from app.qt.tabs import SignalsTab
from app.qt.theme import DARK, LIGHT
from app.view.store import ViewStore
from models.prediction import Prediction

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
    strip = tab.pupils.strip
    widest = QFontMetricsF(strip.font()).horizontalAdvance(f"3.05 {strip._unit}")
    assert widest < strip.left_gutter()


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


def plot_pixels(strip):
    rect = strip.plot().toRect()
    return picture(strip)[rect.top() : rect.bottom() + 1, rect.left() : rect.right() + 1]


def shown(qtbot, panel, store, t=T, size=(620, 560)):
    qtbot.addWidget(panel)
    panel.resize(*size)
    panel.show()
    for _ in range(2):
        panel.refresh(store, t)
    return panel


def test_every_channel_has_ink_in_its_row(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    ink = inked(plot_pixels(panel.strip), DARK.surface)
    centres = ((np.arange(62) + 0.5) * panel.strip.row_height()).astype(int)
    for centre in centres:
        assert ink[centre - 2 : centre + 3].any(axis=0).mean() > 0.6


def test_every_channel_has_its_name_beside_it(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    strip = panel.strip
    left = inked(picture(strip), DARK.surface)[:, : int(strip.plot().left()) - 8]
    top, row = strip.plot().top(), strip.row_height()
    for i in range(62):
        centre = int(top + (i + 0.5) * row)
        assert left[centre - 2 : centre + 3].sum() > 4


def test_a_gap_is_empty(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part(gap=(T - 6, T - 4))))
    ink = inked(plot_pixels(panel.strip), DARK.surface)
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
    whole = TracesPanel()
    whole.gain.step(larger=True)
    shown(qtbot, whole, store, store.newest_time)
    np.testing.assert_array_equal(plot_pixels(scrolled.strip), plot_pixels(whole.strip))


def test_bad_electrodes_are_marked_by_colour_letter_and_words(qtbot):
    states = [ChannelQuality(name, "good", "", 1.0) for name in NAMES]
    states[10] = ChannelQuality(NAMES[10], "bad", "mains 63 %", 0.0)
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part(), QualityPart(T, tuple(states))))
    rows = np.flatnonzero(is_coloured(plot_pixels(panel.strip), DARK.bad).any(axis=1))
    centre = 10.5 * panel.strip.row_height()
    assert abs(rows.mean() - centre) < panel.strip.row_height()
    assert panel.electrodes.text() == "1 bad (B)"
    assert panel.electrodes.toolTip() == "E10: bad, mains 63 %"


def test_markers_and_the_chosen_window_cross_all_time_plots(qtbot):
    gaze_times = np.arange(T - 40, T, 0.01)
    ones = np.ones((len(gaze_times), 2), dtype=np.float32)
    gaze = GazePart(gaze_times, 0.5 * ones, 3 * ones, ones[:, 0], "mm")
    store = store_with(eeg_part(), gaze, MarkerPart(T - 5, "<b>now</b>", "notes"))
    tab = SignalsTab()
    tab.set_theme(LIGHT)
    tab.set_highlight(dict.fromkeys(("eeg", "eye", "voice"), (T - 4, T - 2)))
    shown(qtbot, tab, store, size=(1350, 590))
    for strip in (tab.traces.strip, tab.pupils.strip):
        pixels = plot_pixels(strip)
        x = round(strip.x_of(T - 5) - strip.plot().left())
        dark = is_coloured(pixels[:, x - 1 : x + 2], LIGHT.text).any(axis=1)
        assert dark[-40:].mean() > 0.4  # dashed
        middle = round(strip.x_of(T - 3) - strip.plot().left())
        beside = round(strip.x_of(T - 1) - strip.plot().left())
        blank = is_coloured(pixels, LIGHT.surface)
        assert blank[:, beside].any()
        assert not blank[:, middle].any()


@pytest.mark.parametrize("n", [1, 8, 62, 256])
def test_names_never_overlap_whatever_the_number_of_channels(qtbot, n):
    names = tuple(f"EEG{i:03d}" for i in range(n))
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part(names=names)))
    strip = panel.strip
    layout = strip.name_layout()
    assert layout.n_columns * layout.every * strip.row_height() >= QFontMetricsF(layout.font).ascent() - 0.5


def test_keys_change_the_gain(qtbot):
    panel = shown(qtbot, TracesPanel(), store_with(eeg_part()))
    before = panel.gain.units_per_row
    qtbot.keyClicks(panel.strip, "+")
    assert panel.gain.units_per_row < before
    assert not panel.gain.is_auto
    qtbot.keyClicks(panel.strip, "0")
    assert panel.gain.is_auto


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
    frame = panel.picture.frame_rect()
    assert frame.width() / frame.height() == pytest.approx(320 / 240, rel=0.02)
    pixels = picture(panel.picture)
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
        (math.nan, "no face looked for yet"),
        (T - 5, "no face looked for since 5.0 s"),
    ],
)
def test_a_missing_face_is_said(qtbot, face_time, said):
    store = store_with(FramePart(T - 0.05, jpeg()), prediction(face_time=face_time))
    assert shown(qtbot, WebcamPanel(), store).words.text() == said


def test_a_damaged_or_old_frame_is_said(qtbot):
    panel = shown(qtbot, WebcamPanel(), store_with(FramePart(T, b"not a picture")))
    assert "damaged" in panel.picture.notice
    panel = shown(qtbot, WebcamPanel(), store_with(FramePart(T - 7, jpeg())))
    assert panel.picture.notice == "no frame for 7.0 s"


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
    view = panel.screen_view
    accent = is_coloured(picture(view), DARK.accent)
    rows, columns = np.nonzero(accent)
    rect = view.screen_rect()
    assert columns.mean() == pytest.approx(rect.left() + 0.75 * rect.width(), abs=3)
    assert rows.mean() == pytest.approx(rect.top() + 0.25 * rect.height(), abs=3)
    assert panel.words.text() == "75 % right, 25 % down"


@pytest.mark.parametrize(
    ("part", "said"),
    [(gaze_part(0.0), "eyes not seen"), (gaze_part(1.0, x=1.4), "looks off the screen")],
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
    strip = panel.strip
    ink = inked(plot_pixels(strip), DARK.surface)
    for k in range(1, 6):
        x = int(strip.x_of(T - 20 + 3 * k + 0.1) - strip.plot().left())
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
    pixels = plot_pixels(panel.strip).astype(int)
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
    panel.choose = asked.append
    shown(qtbot, panel, store_with(eeg_part(), part))
    assert panel.channels.currentText() == "E3"
    panel.channels.setFocus()
    qtbot.keyClick(panel.channels, Qt.Key.Key_Down)
    assert asked == ["E4"]
    panel.refresh(store_with(eeg_part(), part), T)
    assert panel.channels.currentText() == "E4"  # stays while the engine has not answered


def test_missing_streams_say_what_to_do(qtbot):
    tab = shown(qtbot, SignalsTab(), store_with(kinds=()), t=math.nan, size=(1350, 590))
    assert tab.traces.strip.notice == "no EEG stream: start the amplifier's LSL app, then open Streams"
    assert tab.pupils.strip.notice == "no gaze stream: start the eye tracker's LSL app, then open Streams"
    assert tab.voice.strip.notice == "no microphone stream: publish a microphone under Streams"
    assert tab.webcam.picture.notice == "no webcam stream: publish a camera under Streams"


def test_a_recording_without_a_stream_is_not_told_to_start_one(qtbot):
    model = ModelInfo("m", Path("m"), ("a",), (), "", True, "small", 1, "cpu", (), None)
    store = store_with(Opened("replay", model, None), kinds=())
    tab = shown(qtbot, SignalsTab(), store, t=math.nan, size=(1350, 590))
    assert tab.gaze.screen_view.notice == "this recording has no gaze stream"


def test_a_silent_stream_greys_with_its_reason_and_its_past_stays_clear(qtbot):
    store = store_with(eeg_part(), StreamEvent("eeg", Change.STALE, T - 2, "nothing for 2 s"))
    panel = shown(qtbot, TracesPanel(), store)
    assert panel.strip.notice == "EEG stream silent: nothing for 2 s"
    panel.refresh(store, T - 5)
    assert panel.strip.notice == ""


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
        for strip in (tab.traces.strip, *tab.strips):
            assert strip.notice == ""
            assert inked(plot_pixels(strip), theme.surface).mean() > 0.02
        assert not tab.band_maps.reason.isVisible()
        assert tab.webcam.picture.notice == ""
