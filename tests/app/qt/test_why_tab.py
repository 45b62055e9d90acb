"""The tab Why: what is drawn where, what it says, and how the occlusion check is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor
from PyQt6.QtWidgets import QLabel

from acquisition.montage import SEED_CH_NAMES
from app.engine.messages import Occlusion, OcclusionRow, Phase
from app.qt.panels.why import NEARLY_EVEN, NOT_CAUSE, OcclusionPanel
from app.qt.shell.tab_set import WhyTab
from app.qt.theme import DARK, LIGHT
from app.view.store import ViewStore
from models.prediction import Prediction

SHARES = {"eeg": 0.5, "eye": 0.25, "face": 0.0, "voice": 0.25}


def prediction(t):
    peak = {name: 0.8 / 61 for name in SEED_CH_NAMES} | {"O1": 0.2}
    return Prediction(
        index=round(4 * t),
        t_end=t,
        label="happy",
        probs={"happy": 0.7, "sad": 0.3},
        modality_attention=SHARES,
        channel_attention=peak,
        time_attention=(0.05,) * 8 + (0.2, 0.4),
        present={name: share > 0 for name, share in SHARES.items()},
        coverage={},
        waited_s=0.0,
        warm_up=False,
        normalisation="training",
    )


def answer(t, eeg=-0.2):
    rows = [OcclusionRow("modality", "eeg", eeg), OcclusionRow("modality", "eye", 0.1)]
    rows += [OcclusionRow("modality", "voice", 0.0), OcclusionRow("band", "alpha", -0.02)]
    rows.append(OcclusionRow("region", "midline", -0.04, ("FZ", "CZ", "PZ")))
    return Occlusion(t, "happy", 0.7, tuple(rows))


@pytest.fixture
def store():
    store = ViewStore()
    store.take(Phase("running"))
    for k in range(240):
        store.take(prediction(100 + k / 4))
    return store


@pytest.fixture
def asked():
    return []


@pytest.fixture
def tab(qtbot, asked):
    tab = WhyTab()
    tab.occlusion.asked.connect(lambda: asked.append(True))
    qtbot.addWidget(tab)
    tab.set_theme(LIGHT)
    tab.setStyleSheet(f"background: {LIGHT.surface}")
    tab.resize(1366, 560)
    tab.show()
    return tab


def pixels(widget):
    image = widget.grab().toImage().convertToFormat(widget.grab().toImage().Format.Format_RGB32)
    data = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    return data.reshape(image.height(), image.width(), 4)[..., 2::-1].astype(int)


def share_of(area, colour, tolerance=12):
    near = np.abs(area - QColor(colour).getRgb()[:3]).sum(axis=-1) < tolerance
    return near.mean()


def inside(widget, rect):
    return pixels(widget)[
        round(rect.top()) + 1 : round(rect.bottom()), round(rect.left()) + 1 : round(rect.right())
    ]


def lane_rect(plot, i):
    """Return where the i-th lane of the attention per modality lies, from 100 to 0 %."""
    (x0, x1), _ = plot.view.viewRange()
    return QRectF(plot.pixel_of(x0, 3 - i + 0.88), plot.pixel_of(x1, 3 - i))


def bar_rect(plot, name):
    """Return where the bar of a row lies."""
    bars = [bar for bar in plot.rows if bar.name and bar.end == bar.end]
    index = [bar.name for bar in bars].index(name)
    return plot.bars.rect_of(plot.bars.content[index]).translated(plot.plot_rect().topLeft())


def test_the_tab_fits_a_small_screen_and_the_label_is_permanent(tab, store):
    assert tab.minimumSizeHint().width() <= 1366
    assert tab.minimumSizeHint().height() <= 560
    for panel in (tab.modalities, tab.channels, tab.steps):
        label = [label for label in panel.findChildren(QLabel) if label.text() == NOT_CAUSE]
        assert label[0].isVisible()


def test_every_present_modality_has_its_line_at_its_height(tab, store):
    tab.refresh(store, 160.0)
    plot = tab.modalities.plot
    names, rows = plot.table()
    assert names[1:] == ["EEG", "Eyes", "Face", "Voice"]
    assert rows[-1][1:] == ("0.50000", "0.25000", "nan", "0.25000")
    for i, share in ((0, 0.5), (1, 0.25), (3, 0.25)):
        lane = lane_rect(plot, i)
        area = inside(plot, lane)
        found = [row for row in range(len(area)) if share_of(area[row], LIGHT.category(i)) > 0.9]
        assert len(found) == 1
        assert found[0] / len(area) == pytest.approx(1 - share, abs=0.08)


def test_a_missing_modality_is_hatched_and_said(tab, store):
    tab.refresh(store, 160.0)
    plot = tab.modalities.plot
    area = inside(plot, lane_rect(plot, 2))
    assert 0.03 < share_of(area, LIGHT.stale) < 0.9
    assert plot.accessibleDescription() == "EEG 50 %, Eyes 25 %, Face missing, Voice 25 %"


def test_a_click_chooses_the_moment_below_it(tab, store, qtbot):
    tab.refresh(store, 160.0)
    plot = tab.modalities.plot
    with qtbot.waitSignal(plot.moment_chosen) as chosen:
        middle = lane_rect(plot, 0).center().toPoint()
        qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=middle)
    assert chosen.args[0] == pytest.approx(159.75 - 30, abs=0.2)


def test_bars_of_time_steps_have_the_heights_of_their_shares(tab, store):
    tab.refresh(store, 160.0)
    plot = tab.steps.plot
    rects = [plot.bars.rect_of(bar).translated(plot.plot_rect().topLeft()) for bar in plot.bars.content]
    assert rects[9].height() / rects[8].height() == pytest.approx(2)
    assert share_of(inside(plot, rects[9]), LIGHT.accent) > 0.95
    assert plot.table()[1][9] == (-1.0, 0.0, "0.40000")
    assert plot.text_at(-0.5, 0.1) == "1 to 0 s before: 40.0 %"
    assert plot.accessibleDescription() == "highest 40 %, 1 to 0 s before the prediction"


def test_the_channel_map_peaks_where_the_attention_does(tab, store):
    tab.refresh(store, 160.0)
    assert tab.channels.plot.highest(1) == ["O1"]
    assert tab.channels.plot.accessibleDescription().startswith("highest: O1 +1140 %")


def test_time_travel_shows_the_prediction_of_that_moment(tab, store):
    store.take(
        replace(prediction(160.0), channel_attention={}, present={**prediction(1).present, "eeg": False})
    )
    tab.refresh(store, 160.0)
    assert tab.channels.plot.accessibleDescription() == "EEG missing"
    tab.refresh(store, 159.9)
    assert tab.channels.plot.highest(1) == ["O1"]


def test_the_key_asks_once_and_waits_for_the_answer(tab, store, asked, qtbot):
    panel = tab.occlusion
    tab.refresh(store, 160.0)
    assert panel.ask.isEnabled()
    assert panel.ask.shortcut().toString() == "O"
    panel.ask.click()
    tab.refresh(store, 160.0)
    assert asked == [True]
    assert not panel.ask.isEnabled()
    store.take(answer(159.75))
    tab.refresh(store, 160.0)
    assert panel.ask.isEnabled()
    assert panel.which.text().endswith("happy 70 %")
    assert panel.note.text() == ""


def test_an_older_answer_says_so(tab, store):
    store.take(answer(150.0))
    tab.refresh(store, 160.0)
    assert "9.8 s older" in tab.occlusion.note.text()
    tab.refresh(store, 140.0)
    assert "10 s newer" in tab.occlusion.note.text()


def test_bars_point_left_where_the_probability_falls(tab, store):
    store.take(answer(159.75))
    tab.refresh(store, 160.0)
    bars = tab.occlusion.columns[0]
    falls, rises = bar_rect(bars, "EEG"), bar_rect(bars, "Eyes")
    assert falls.right() == pytest.approx(rises.left())
    assert falls.width() == pytest.approx(2 * rises.width())
    assert share_of(inside(bars, falls), LIGHT.categories[1]) > 0.95
    assert 0.05 < share_of(inside(bars, rises), LIGHT.categories[0]) < 0.9
    assert bars.accessibleDescription().startswith("EEG −20.0, Eyes +10.0, Face missing, Voice 0.0")


def test_disagreement_is_flagged_in_words(tab, store):
    store.take(answer(159.75, eeg=0.1))
    tab.refresh(store, 160.0)
    assert tab.occlusion.flag.text().startswith("▲ ")
    store.take(answer(159.75))
    tab.refresh(store, 160.0)
    assert tab.occlusion.flag.text().startswith("● ")


def test_no_answer_in_time_is_said_and_can_be_asked_again(qtbot, store):
    clock = [0.0]
    panel = OcclusionPanel(now=lambda: clock[0])
    qtbot.addWidget(panel)
    panel.refresh(store, 160.0)
    panel.ask.click()
    clock[0] = 20.0
    panel.refresh(store, 160.0)
    assert panel.state == "no answer"
    assert panel.note.text()
    assert panel.ask.isEnabled()


def test_without_a_session_nothing_can_be_asked(tab):
    tab.refresh(ViewStore(), float("nan"))
    assert not tab.occlusion.ask.isEnabled()
    assert tab.modalities.plot.accessibleDescription() == "no prediction yet"


def test_both_themes_draw_with_an_answer_and_without(tab, store):
    for theme in (LIGHT, DARK):
        tab.set_theme(theme)
        tab.refresh(ViewStore(), float("nan"))
        assert pixels(tab).std() > 1
        store.take(answer(159.75))
        tab.refresh(store, 160.0)
        assert pixels(tab).std() > 1


def test_no_electrode_is_named_where_their_shares_hardly_differ(tab, store):
    even = {name: 0.0161 for name in SEED_CH_NAMES} | {"O1": 0.0164}
    calm = ViewStore()
    calm.take(replace(prediction(160.0), channel_attention=even))
    tab.refresh(calm, 160.0)
    assert tab.channels.plot.accessibleDescription() == NEARLY_EVEN
    tab.refresh(store, 159.75)
    assert tab.channels.plot.accessibleDescription().startswith("highest: O1")


def test_bars_and_head_of_the_occlusion_have_one_scale(tab, store):
    store.take(answer(159.75, eeg=-0.31))
    tab.refresh(store, 159.75)
    end = tab.occlusion.end
    assert end == 50.0
    assert all(plot.home[0] == (-end, end) for plot in tab.occlusion.columns)
    assert tab.occlusion.map.scale == (-end, end)


def test_the_agreement_is_never_cut_on_a_small_screen(tab, store, qtbot):
    rows = [OcclusionRow("modality", name, change) for name, change in (("eeg", 0.3), ("eye", -0.31))]
    rows += [OcclusionRow("region", f"left parieto-occipital {k}", 0.01, ("O1",)) for k in range(9)]
    rows += [OcclusionRow("band", f"band {k}", 0.01) for k in range(5)]
    little = SHARES | {"eeg": 0.7, "eye": 0.05}
    store.take(replace(prediction(159.75), modality_attention=little))
    store.take(Occlusion(159.75, "happy", 0.7, tuple(rows)))
    tab.resize(1366, 570)
    tab.refresh(store, 159.75)
    qtbot.wait(1)
    flag = tab.occlusion.flag
    assert flag.text().count("yet") == 2
    assert flag.height() >= flag.heightForWidth(flag.width())
    assert tab.occlusion.rect().contains(flag.geometry())
